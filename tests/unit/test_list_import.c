/* The files in which others publish lists: what is taken from each, and what is told of lines that
 * are none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "admin/list_import.h"
#include "lib/base/buffer.h"

static struct buffer seen = {NULL, 0, 0, 0, 64 * 1024};

static void take(
	void *context, size_t line, struct span item, struct span reason, uint64_t expires_s)
{
	(void)context;
	assert_true(buffer_print(&seen, "%zu[%.*s|%.*s|%llu]", line, SPAN_ARGS(item),
		SPAN_ARGS(reason), (unsigned long long)expires_s));
}

static void mistake(void *context, size_t line, const char *text)
{
	(void)context;
	assert_true(strlen(text) > 0);
	assert_true(buffer_print(&seen, "%zu!", line));
}

static const char *import(enum list_type type, const char *source)
{
	struct list_import i = {type, take, mistake, NULL};
	struct err err = {{0}};

	buffer_clear(&seen);
	if (!list_import_read(&i, span_text(source), &err)) {
		assert_true(strlen(err.text) > 0);
		return "refused";
	}
	return buffer_string(&seen);
}

#define IMPORTS(type, source, wanted) assert_string_equal(import(type, source), wanted)

static void plain_lists(void **state)
{
	(void)state;
	IMPORTS(LIST_CIDR, "192.0.2.0/24\n\n# c\n; d\n// e\n192.0.2.1\r\n2001:db8::/32",
		"1[192.0.2.0/24||0]6[192.0.2.1||0]7[2001:db8::/32||0]");
	IMPORTS(LIST_CIDR, "\xef\xbb\xbf 192.0.2.1 since May\n192.0.2.2#x # y\n",
		"1[192.0.2.1|since May|0]2[192.0.2.2|x # y|0]");
	IMPORTS(LIST_MAIL, "a#b@x.example # why\n\"a b\"@x.example ; c\n@x.example",
		"1[a#b@x.example|why|0]2[\"a b\"@x.example|c|0]3[@x.example||0]");
	IMPORTS(LIST_TEXT, "buy now, cheap ; spam\na #b\n", "1[buy now, cheap|spam|0]2[a|b|0]");
	IMPORTS(LIST_CIDR,
		"192.0.2.1 ; a\x01"
		"z\n ; x\n192.0.2.2 ; \xff\n",
		"1!3!");
	IMPORTS(LIST_CIDR, "", "");
	IMPORTS(LIST_CIDR,
		"\xff\xfe"
		"1",
		"refused");
}

static void spamhaus_drop(void **state)
{
	(void)state;
	IMPORTS(LIST_CIDR,
		"; Spamhaus DROP List 2026/11/24\n1.10.16.0/20 ; SBL256894\n2.56.0.0/14 ; SBL1\n",
		"2[1.10.16.0/20|SBL256894|0]3[2.56.0.0/14|SBL1|0]");
	IMPORTS(LIST_CIDR,
		"{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL256894\",\"rir\":\"apnic\"}\n"
		"{\"cidr\":\"2.56.0.0/14\",\"sblid\":\"SBL1\",\"rir\":\"ripe\"}\n"
		"{\"type\":\"metadata\",\"timestamp\":1,\"records\":2}\n",
		"1[1.10.16.0/20|SBL256894|0]2[2.56.0.0/14|SBL1|0]");
}

static void csv(void **state)
{
	(void)state;
	IMPORTS(LIST_CIDR, "192.0.2.1,spam\n192.0.2.2\n192.0.2.3,\"a \"\"b\"\", c\",x\n",
		"1[192.0.2.1|spam|0]2[192.0.2.2||0]3[192.0.2.3|a \"b\", c|0]");
	IMPORTS(LIST_CIDR, "first,IP,note,expires\n1,192.0.2.1,why,4000000000\n2,192.0.2.2,,\n",
		"2[192.0.2.1|why|4000000000]3[192.0.2.2||0]");
	IMPORTS(LIST_TEXT, "item,reason\n\"buy, now\",spam\nplain,\n",
		"2[buy, now|spam|0]3[plain||0]");
	IMPORTS(LIST_CIDR, "item,reason,expires\n192.0.2.1,x,soon\n\"192.0.2.2\n,x,\n192.0.2.3,,\n",
		"2!3!4!5[192.0.2.3||0]");
	IMPORTS(LIST_TEXT, "a,b\n", "1[a,b||0]");
}

static void hosts_files(void **state)
{
	(void)state;
	IMPORTS(LIST_DOMAIN,
		"127.0.0.1 localhost\n::1 localhost ip6-localhost\n0.0.0.0 0.0.0.0\n"
		"0.0.0.0 ads.example # tracker\n127.0.0.1\tx.example y.example\n",
		"4[ads.example|tracker|0]5[x.example||0]5[y.example||0]");
	IMPORTS(LIST_CIDR, "0.0.0.0 x\n", "1[0.0.0.0|x|0]");
	IMPORTS(LIST_DOMAIN, "ads.example bad\n", "1[ads.example|bad|0]");
}

static void json(void **state)
{
	(void)state;
	IMPORTS(LIST_CIDR,
		"[\"192.0.2.1\", {\"ip\": \"192.0.2.2\", \"comment\": \"x\", \"expires\": 9}, 7, "
		"{\"a\": 1}]",
		"1[192.0.2.1||0]2[192.0.2.2|x|9]3!4!");
	IMPORTS(LIST_CIDR, "{\n \"items\": [\"192.0.2.1\"]\n}\n", "1[192.0.2.1||0]");
	IMPORTS(LIST_DOMAIN, "{\"domain\":\"a.example\"}\nx\n", "1[a.example||0]2!");
	IMPORTS(LIST_CIDR, "[\"192.0.2.1\"", "refused");
	IMPORTS(LIST_TEXT, "[spam] buy\n", "1[[spam] buy||0]");
}

static void what_looks_like_a_comment_is_exported(void **state)
{
	static const char *const texts[] = {"// x", "# x", "; x"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct buffer file = BUFFER_INIT(4096);
		char wanted[32];

		assert_true(buffer_add_text(&file, "item,reason\n"));
		assert_true(list_export_field(span_text(texts[i]), &file));
		assert_true(buffer_add_text(&file, ",\n"));
		snprintf(wanted, sizeof(wanted), "2[%s||0]", texts[i]);
		IMPORTS(LIST_TEXT, buffer_string(&file), wanted);
		buffer_free(&file);
	}
}

static void what_is_exported_is_imported(void **state)
{
	static const char *const texts[] = {
		"plain", "with, comma", "a \"quote\"", " blanks ", "semi;colon", "#", "", "\"\""};
	struct buffer file = BUFFER_INIT(4096), wanted = BUFFER_INIT(4096);

	(void)state;
	assert_true(buffer_add_text(&file, "item,reason\n"));
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_true(buffer_print(&file, "x%zu,", i));
		assert_true(list_export_field(span_text(texts[i]), &file));
		assert_true(buffer_add_char(&file, '\n'));
		assert_true(buffer_print(
			&wanted, "%zu[x%zu|%s|0]", i + 2, i, i == 3 ? "blanks" : texts[i]));
	}
	IMPORTS(LIST_TEXT, buffer_string(&file), buffer_string(&wanted));
	buffer_free(&file);
	buffer_free(&wanted);
}

static int tear_down(void **state)
{
	(void)state;
	buffer_free(&seen);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_lists),
		cmocka_unit_test(spamhaus_drop),
		cmocka_unit_test(csv),
		cmocka_unit_test(hosts_files),
		cmocka_unit_test(json),
		cmocka_unit_test(what_is_exported_is_imported),
		cmocka_unit_test(what_looks_like_a_comment_is_exported),
	};

	return cmocka_run_group_tests(tests, NULL, tear_down);
}
