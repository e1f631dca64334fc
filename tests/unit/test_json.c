/*
 * json: what the daemon answers reads back; anything else is refused and stays harmless.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <stdlib.h>

#include "admin/json.h"
#include "lib/base/fail.h"
#include "lib/base/log.h"

static struct json *read_text(struct arena *arena, struct span text)
{
	/* A copy of exactly that size: the sanitizer sees what is read past it. */
	char *exact = memory_new(text.len);
	struct json *json;

	memcpy(exact, text.at, text.len);
	json = json_read(arena, span_make(exact, text.len));
	free(exact);
	return json;
}

static void test_reads_records(void **state)
{
	struct arena *arena = arena_new(1024);
	struct record r;
	struct json *json;
	const struct json *list;

	(void)state;
	record_init(&r, true, 4096);
	record_string(&r, "text", "a \"b\"\\ \n\x01 \xc3\xa4");
	record_number(&r, "number", -12);
	record_bool(&r, "yes", true);
	record_null(&r, "null");
	record_list(&r, "list");
	record_open(&r, NULL);
	record_string(&r, "x", "y");
	record_close(&r);
	record_open(&r, NULL);
	record_close(&r);
	record_close(&r);
	json = read_text(arena, record_finish(&r));
	record_free(&r);
	assert_non_null(json);
	assert_string_equal(json_text(json, "text"), "a \"b\"\\ ?? \xc3\xa4");
	assert_int_equal(json_number(json, "number"), -12);
	assert_string_equal(json_text(json, "yes"), "yes");
	assert_string_equal(json_text(json, "null"), "-");
	assert_string_equal(json_text(json, "absent"), "-");
	list = json_get(json, "list");
	assert_non_null(list);
	assert_string_equal(json_text(list->first, "x"), "y");
	assert_null(list->first->next->first);
	assert_null(list->first->next->next);
	arena_free(&arena);
}

static void test_refuses(void **state)
{
	static const char *const texts[] = {"", " ", "{", "}", "[", "[1", "[1,", "[1,]", "{\"a\"",
		"{\"a\":", "{\"a\":1,}", "{a:1}", "\"", "\"\\", "\"\\u12", "\"\\u12\"",
		"\"\\u 12\"", "\"\\x\"", "nul", "1 2", "{}{}", "\"\\u00e4", "\"\\\""};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct arena *arena = arena_new(256);

		assert_null(read_text(arena, span_text(texts[i])));
		arena_free(&arena);
	}
}

static void test_depth(void **state)
{
	struct arena *arena = arena_new(256);
	char deep[200000];

	(void)state;
	memset(deep, '[', sizeof(deep));
	assert_null(json_read(arena, span_make(deep, sizeof(deep))));
	arena_free(&arena);
}

static void test_escapes(void **state)
{
	struct arena *arena = arena_new(256);
	struct json *json =
		read_text(arena, SPAN(" [ \"\\u00e4\\u20ac\\u001b\\ud800\\/\" , null ] "));

	(void)state;
	assert_non_null(json);
	assert_string_equal(json->first->text, "\xc3\xa4\xe2\x82\xac?\?/");
	assert_int_equal(json->first->next->kind, JSON_NULL);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_records),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
