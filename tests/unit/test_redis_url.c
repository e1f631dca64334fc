/* Addresses of Redis: what is taken, what is wrong and where, and that no password is shown. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "lib/store/redis_url.h"

static struct redis_url url;

static void takes(const char *text)
{
	struct err err = {{0}};
	size_t offset;

	if (!redis_url_read(span_text(text), &url, &offset, &err))
		fail_msg("%s: %s", text, err.text);
}

static void refuses(const char *text, size_t where, const char *why)
{
	struct err err = {{0}};
	size_t offset = 999;

	if (redis_url_read(span_text(text), &url, &offset, &err))
		fail_msg("%s is taken", text);
	if (offset != where || !strstr(err.text, why))
		fail_msg("%s: %s at %zu", text, err.text, offset);
}

static void node_is(size_t i, const char *host, unsigned port)
{
	assert_true(i < url.n_nodes);
	assert_string_equal(url.nodes[i].host, host);
	assert_int_equal(url.nodes[i].port, port);
}

static void test_taken(void **state)
{
	(void)state;
	takes("redis://h");
	assert_int_equal(url.form, REDIS_ONE);
	node_is(0, "h", 6379);
	assert_false(url.tls || url.with_password);
	takes("rediss://ann:a%40b%25:c@[2001:db8::1]:7000/15");
	node_is(0, "2001:db8::1", 7000);
	assert_string_equal(url.user, "ann");
	assert_string_equal(url.password, "a@b%:c");
	assert_true(url.tls && url.with_password);
	assert_int_equal(url.db, 15);
	takes("redis://:p@ss@127.0.0.1:6380/");
	assert_string_equal(url.user, "");
	assert_string_equal(url.password, "p@ss");
	node_is(0, "127.0.0.1", 6380);
	takes("redis+unix:///run/redis/redis.sock?db=2");
	assert_int_equal(url.form, REDIS_UNIX);
	assert_string_equal(url.path, "/run/redis/redis.sock");
	assert_int_equal(url.db, 2);
	takes("redis+unix://u:p@/run/r");
	assert_string_equal(url.path, "/run/r");
	assert_string_equal(url.password, "p");
	takes("redis+sentinel://h1,h2:26380/mymaster/3");
	assert_int_equal(url.form, REDIS_SENTINEL);
	node_is(0, "h1", 26379);
	node_is(1, "h2", 26380);
	assert_string_equal(url.name, "mymaster");
	assert_int_equal(url.db, 3);
	takes("redis+sentinel://h1/m");
	takes("rediss+cluster://h1:7000,[::1]/");
	assert_int_equal(url.form, REDIS_CLUSTER);
	node_is(1, "::1", 6379);
}

static void test_refused(void **state)
{
	(void)state;
	refuses("mysql://h", 0, "no address of Redis");
	refuses("redis://", 8, "missing");
	refuses("redis://h:0", 9, "port");
	refuses("redis://h:70000", 9, "port");
	refuses("redis://h:6379x/0", 9, "port");
	refuses("redis://h:6379/x", 15, "database");
	refuses("redis://h/65536", 10, "database");
	refuses("redis://h1,h2/0", 10, "one host only");
	refuses("redis://h h/0", 8, "no host");
	refuses("redis://[::1/0", 8, "`]`");
	refuses("redis://ann@h", 8, "user:password@");
	refuses("redis://a:%4@h", 10, "hex digits");
	refuses("redis://a:x%zz@h", 11, "hex digits");
	refuses("redis://a:%00@h", 10, "hex digits");
	refuses("redis+unix://run/redis", 13, "whole path");
	refuses("redis+unix:///run/redis?x", 23, "?db=");
	refuses("redis+sentinel://h1,h2", 22, "name of the primary");
	refuses("redis+sentinel://h1,,h2/m", 20, "missing");
	refuses("redis+cluster://h1/1", 18, "database 0");
}

static void masks(const char *text, const char *masked)
{
	struct buffer out = BUFFER_INIT(4096);

	assert_true(redis_url_mask(span_text(text), &out));
	assert_string_equal(buffer_string(&out), masked);
	buffer_free(&out);
}

static void test_masked(void **state)
{
	(void)state;
	masks("embedded", "embedded");
	masks("redis://h:1/0", "redis://h:1/0");
	masks("redis://:secret@h:1/0", "redis://:***@h:1/0");
	masks("redis+sentinel://ann:s@e:cret@h1,h2/name/0",
		"redis+sentinel://ann:***@h1,h2/name/0");
	masks("redis://secret@h", "redis://secret:***@h");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_masked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
