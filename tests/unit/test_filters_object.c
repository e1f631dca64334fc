/*
 * Filters in shared objects: those of docs/FILTERS.md, taken from the page, built as it says and
 * run; and objects that must not be taken.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/filter_play.h"

#define STRICT "-Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith"

static struct filter_play *play;
static struct arena *arena;
static char folder[] = "/tmp/postern-filters-XXXXXX";
static const char *page; /* docs/FILTERS.md */

static const char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = arena_alloc(arena, 256 * 1024);

	if (!file)
		fail_msg("%s can't be read: this runs from the root of the tree", path);
	text[fread(text, 1, 256 * 1024 - 1, file)] = '\0';
	fclose(file);
	return text;
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(arena_print(arena, "%s/%s", folder, name), "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("it fails: %s", command);
}

static int set_up_all(void **state)
{
	(void)state;
	arena = arena_new(4096);
	page = read_file("docs/FILTERS.md");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down_all(void **state)
{
	(void)state;
	run(arena_print(arena, "rm -r %s", folder));
	arena_free(&arena);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	play = filter_play_new("_herald.example.org TXT 60 \"hear, \" \"hear\"\n");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	filter_play_free(&play);
	return 0;
}

/* The indented lines behind the one that reads `filters/NAME`:. */
static const char *code_of(const char *name)
{
	const char *at = strstr(page, arena_print(arena, "\n`filters/%s`:\n", name));
	struct buffer code = BUFFER_INIT(64 * 1024);
	const char *text;

	if (!at)
		fail_msg("the page has no %s", name);
	at = strchr(at + 1, '\n') + 1;
	for (size_t len; *at == '\n' || strncmp(at, "    ", 4) == 0; at += len) {
		len = strcspn(at, "\n") + 1;
		assert_true(buffer_add(&code, span_from(span_make(at, len), *at == '\n' ? 0 : 4)));
	}
	text = arena_string(arena, buffer_span(&code));
	buffer_free(&code);
	return text;
}

/* `text` with each `old` as `new`. */
static const char *replaced(const char *text, const char *old, const char *new)
{
	const char *at = strstr(text, old), *done = "";

	for (; at; text = at + strlen(old), at = strstr(text, old))
		done = arena_print(arena, "%s%.*s%s", done, (int)(at - text), text, new);
	return arena_print(arena, "%s%s", done, text);
}

/* The page's command, for a filter of this name and against the tree. */
static void build(const char *name, const char *code)
{
	const char *command = strstr(page, "\n    cc ");
	char here[1024];

	assert_non_null(command);
	assert_non_null(getcwd(here, sizeof(here)));
	command += 5;
	command = arena_string(arena, span_make(command, strcspn(command, "\n")));
	command = replaced(command, "/usr/include/postern", here);
	command = replaced(command, "hello", name);
	write_file(arena_print(arena, "filter_%s.c", name), code);
	run(arena_print(arena, "cd %s && %s " STRICT, folder, command));
}

static const char *load(const char *name, const char *options)
{
	return filter_play_configure(
		play, name, arena_print(arena, "load \"%s/%s.so\" %s", folder, name, options));
}

static void test_hello(void **state)
{
	(void)state;
	build("hello", code_of("filter_hello.c"));
	assert_null(load("hello", ""));
	play->view.helo = SPAN("joe");
	assert_fact(play, "hello.greeting", "hello, joe");
	assert_fact(play, "hello.length", "3");
	filter_play_free(&play);
	play = filter_play_new(NULL);
	assert_null(load("hello", "word \"good day\""));
	play->view.helo = SPAN("joe");
	assert_fact(play, "hello.greeting", "good day, joe");
}

static void test_herald(void **state)
{
	struct address from;

	(void)state;
	build("herald", code_of("filter_herald.c"));
	assert_null(load("herald", "timeout 3s"));
	assert_int_equal(address_parse(SPAN("joe@example.org"), false, &from), ADDRESS_OK);
	play->view.from = &from;
	assert_fact(play, "herald.text", "hear, hear");
	assert_int_equal(address_parse(SPAN("joe@nowhere.example"), false, &from), ADDRESS_OK);
	assert_fact(play, "herald.text", "none");
	assert_int_equal(address_parse(SPAN("joe@drop.example"), false, &from), ADDRESS_OK);
	dns_play_fault(play->names, "_herald.drop.example", DNS_PLAY_DROP);
	filter_play_abandon(play, "herald.text");
}

static void refuse(const char *name, const char *code, const char *why)
{
	const char *error;

	build(name, code);
	error = load(name, "");
	if (!error || !strstr(error, why))
		fail_msg("expected \"%s\", not \"%s\"", why, error ? error : "that it is taken");
}

static void test_refused(void **state)
{
	const char *hello = code_of("filter_hello.c");

	(void)state;
	refuse("version",
		replaced(replaced(hello, "filter_hello", "filter_version"), "FILTER_VERSION", "99"),
		"is built for version 99");
	refuse("other", replaced(hello, "filter_hello", "filter_other"), "calls itself `hello`");
	refuse("symbol", replaced(hello, "filter_hello", "filter_symbols"),
		"has no `postern_filter`");
	refuse("prefix",
		replaced(replaced(hello, "filter_hello", "filter_prefix"), "\"hello\"",
			"\"prefix\""),
		"fact `hello.greeting` must be called `prefix.` and a word");
	refuse("undefined",
		"extern int nobody_has_this(void); extern int filter_undefined(void);\n"
		"int filter_undefined(void)\n{\n\treturn nobody_has_this();\n}\n",
		"nobody_has_this");
	write_file("text.so", "no object at all");
	assert_non_null(strstr(load("text", ""), "text.so"));
	assert_non_null(strstr(load("client", ""), "can't be loaded"));
}

static void test_unknown_option(void **state)
{
	(void)state;
	assert_non_null(strstr(load("hello", "wrod \"x\""), "did you mean `word`?"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_hello),
		CASE(test_herald),
		CASE(test_refused),
		CASE(test_unknown_option),
	};

	return cmocka_run_group_tests_name("filters/object", tests, set_up_all, tear_down_all);
}
