#include "tests/unit/rules_texts.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/policy_facts.h"

enum { REPORT_MAX = 1 << 20 };

struct files {
	const char *text;
	const struct text_file *others;
};

static bool read_text(void *context, const char *path, struct span *content, const char **problem)
{
	const struct files *files = context;

	*content = span_text(files->text);
	if (strcmp(path, "t.rules") == 0)
		return true;
	for (const struct text_file *f = files->others; f && f->path; f++) {
		*content = span_text(f->text);
		if (strcmp(f->path, path) == 0)
			return true;
	}
	*problem = "no such file";
	return false;
}

/* A digest of the tests: the length in hex. */
static bool digest(unsigned digits, struct span text, char *hex)
{
	memset(hex, '0', digits);
	hex[digits - 1] = "0123456789abcdef"[text.len % 16];
	return true;
}

/* ü is the only letter that these know. */
static bool ascii(struct span domain, struct buffer *out)
{
	size_t at = span_find(domain, SPAN("\xc3\xbc"));

	return at < domain.len && buffer_add_text(out, "xn--") &&
	       buffer_add(out, span_first(domain, at)) && buffer_add_char(out, 'u') &&
	       buffer_add(out, span_from(domain, at + 2));
}

static struct rules *read_files(const char *text, const struct text_file *others,
	bool (*keeps)(const struct fact *fact), struct buffer *report, size_t *n_warnings)
{
	static const char *const backends[] = {"main", "other"};
	static const char *const paths[] = {"t.rules"};
	struct rule_setup setup = {&policy_facts, backends, 2, digest, ascii, keeps};
	struct files files = {text, others};
	struct rule_source source = {read_text, &files};
	size_t n_mistakes;
	struct rules *rules =
		rules_read(&setup, paths, 1, &source, report, &n_mistakes, n_warnings);

	assert_int_equal(rules == NULL, n_mistakes > 0);
	return rules;
}

struct rules *rules_of_files(
	const char *text, const struct text_file *others, struct buffer *report, size_t *n_warnings)
{
	return read_files(text, others, NULL, report, n_warnings);
}

struct rules *rules_of_keeping(const char *text, bool (*keeps)(const struct fact *fact))
{
	struct buffer report = BUFFER_INIT(REPORT_MAX);
	struct rules *rules = read_files(text, NULL, keeps, &report, NULL);

	assert_string_equal(buffer_string(&report), "");
	assert_non_null(rules);
	buffer_free(&report);
	return rules;
}

struct rules *rules_of(const char *text)
{
	return rules_of_keeping(text, NULL);
}

void expect_rules_report(const char *text, const char *expected)
{
	struct buffer report = BUFFER_INIT(REPORT_MAX);
	struct rules *rules = rules_of_files(text, NULL, &report, NULL);

	assert_string_equal(buffer_string(&report), expected);
	rules_free(&rules);
	buffer_free(&report);
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		n++;
	return n;
}

void expect_mistakes(const char *text, size_t n, const char *first, const char *help)
{
	struct buffer report = BUFFER_INIT(REPORT_MAX);
	struct rules *rules = rules_of_files(text, NULL, &report, NULL);
	const char *got = buffer_string(&report);

	if (strncmp(got, "t.rules:", 8) != 0 || strncmp(got + 8, first, strlen(first)) != 0 ||
		(help && !strstr(got, help)) || count(got, ": error: ") != n || rules)
		fail_msg("of: %s\nexpected %zu: %s, with %s\ngot:\n%s", text, n, first,
			help ? help : "no help", got);
	rules_free(&rules);
	buffer_free(&report);
}
