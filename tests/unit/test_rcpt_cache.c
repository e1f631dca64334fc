/* What servers said about recipients: kept for a while, within bounds, and never mixed up. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "proxy/backend/rcpt_cache.h"

static const struct reply refusal = {550, "5.1.1", {"unknown", 7}};
static const struct reply later = {450, "4.2.1", {"later", 5}};

static uint64_t key_of(const struct rcpt_cache *cache, unsigned i)
{
	return rcpt_cache_key(
		cache, SPAN("main"), SPAN("from@example.org"), span_make(&i, sizeof(i)), NULL);
}

static void test_answers(void **state)
{
	struct rcpt_cache *cache = rcpt_cache_new(100);
	uint64_t key = key_of(cache, 1);
	struct reply reply;

	assert_int_equal(rcpt_cache_get(cache, key, 0, &reply), RCPT_UNKNOWN);
	rcpt_cache_put(cache, key, 0, 3600 * 1000, RCPT_GOOD, NULL);
	assert_int_equal(rcpt_cache_get(cache, key, 3599 * 1000, &reply), RCPT_GOOD);
	assert_int_equal(rcpt_cache_get(cache, key, 3600 * 1000, &reply), RCPT_UNKNOWN);
	assert_int_equal(rcpt_cache_count(cache), 0);
	rcpt_cache_put(cache, key, 5000, 10 * 1000, RCPT_REFUSED, &refusal);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(rcpt_cache_get(cache, key, 6000, &reply), RCPT_REFUSED);
		assert_int_equal(reply.code, 550);
		assert_string_equal(reply.enhanced, "5.1.1");
		assert_true(span_equal(reply.text, SPAN("unknown")));
	}
	assert_int_equal(rcpt_cache_get(cache, key_of(cache, 2), 6000, &reply), RCPT_UNKNOWN);
	/* The last word counts. */
	rcpt_cache_put(cache, key, 6000, 10 * 1000, RCPT_GOOD, NULL);
	assert_int_equal(rcpt_cache_get(cache, key, 6000, &reply), RCPT_GOOD);
	rcpt_cache_forget(cache, key);
	rcpt_cache_forget(cache, key);
	assert_int_equal(rcpt_cache_get(cache, key, 6000, &reply), RCPT_UNKNOWN);
	rcpt_cache_free(&cache);
	assert_null(cache);
	(void)state;
}

static void test_put_off_is_told_once(void **state)
{
	struct rcpt_cache *cache = rcpt_cache_new(100);
	struct reply reply;

	rcpt_cache_put(cache, 1, 0, 1000000, RCPT_PUT_OFF, &later);
	assert_int_equal(rcpt_cache_get(cache, 1, 0, &reply), RCPT_PUT_OFF);
	assert_int_equal(reply.code, 450);
	assert_true(span_equal(reply.text, SPAN("later")));
	assert_int_equal(rcpt_cache_get(cache, 1, 0, &reply), RCPT_UNKNOWN);
	rcpt_cache_put(cache, 1, 0, 1000000, RCPT_PUT_OFF, &later);
	assert_int_equal(rcpt_cache_get(cache, 1, 0, &reply), RCPT_PUT_OFF);
	rcpt_cache_free(&cache);
	(void)state;
}

static void test_keys(void **state)
{
	struct rcpt_cache *cache = rcpt_cache_new(100), *other = rcpt_cache_new(100);
	struct ip one = {.family = IP_V4, .bytes = {192, 0, 2, 1}}, two = one, none = {0};
	uint64_t key = rcpt_cache_key(cache, SPAN("b"), SPAN("from"), SPAN("to"), NULL);

	two.bytes[3] = 2;
	assert_true(key == rcpt_cache_key(cache, SPAN("b"), SPAN("from"), SPAN("to"), &none));
	assert_true(key != rcpt_cache_key(cache, SPAN("b"), SPAN("fromt"), SPAN("o"), NULL));
	assert_true(key != rcpt_cache_key(cache, SPAN("bf"), SPAN("rom"), SPAN("to"), NULL));
	assert_true(key != rcpt_cache_key(cache, SPAN("b"), SPAN(""), SPAN("fromto"), NULL));
	assert_true(key != rcpt_cache_key(cache, SPAN("b"), SPAN("from"), SPAN("to"), &one));
	assert_true(rcpt_cache_key(cache, SPAN("b"), SPAN("from"), SPAN("to"), &one) !=
		    rcpt_cache_key(cache, SPAN("b"), SPAN("from"), SPAN("to"), &two));
	/* Nobody outside can tell keys beforehand. */
	assert_true(key != rcpt_cache_key(other, SPAN("b"), SPAN("from"), SPAN("to"), NULL));
	rcpt_cache_free(&cache);
	rcpt_cache_free(&other);
	(void)state;
}

/* The least lately used gives way. */
static void test_bound(void **state)
{
	struct rcpt_cache *cache = rcpt_cache_new(3);
	struct reply reply;

	for (uint64_t key = 1; key <= 3; key++)
		rcpt_cache_put(cache, key, 0, 1000000, key == 2 ? RCPT_REFUSED : RCPT_GOOD,
			key == 2 ? &refusal : NULL);
	assert_int_equal(rcpt_cache_get(cache, 1, 0, &reply), RCPT_GOOD);
	rcpt_cache_put(cache, 4, 0, 1000000, RCPT_GOOD, NULL);
	assert_int_equal(rcpt_cache_count(cache), 3);
	assert_int_equal(rcpt_cache_get(cache, 2, 0, &reply), RCPT_UNKNOWN);
	assert_int_equal(rcpt_cache_get(cache, 1, 0, &reply), RCPT_GOOD);
	assert_int_equal(rcpt_cache_get(cache, 3, 0, &reply), RCPT_GOOD);
	assert_int_equal(rcpt_cache_get(cache, 4, 0, &reply), RCPT_GOOD);
	rcpt_cache_free(&cache);
	(void)state;
}

/* Against a plain table of what should be there. */
static void test_random(void **state)
{
	enum { KEYS = 2000, MAX = 500 };
	struct rcpt_cache *cache = rcpt_cache_new(MAX);
	static enum rcpt_answer model[KEYS];
	uint64_t seed = 4711;
	unsigned hits = 0;

	memset(model, 0, sizeof(model));
	for (unsigned i = 0; i < 200000; i++) {
		unsigned which;
		enum rcpt_answer answer;
		struct reply reply;

		seed = seed * 6364136223846793005U + 1442695040888963407U;
		which = (unsigned)(seed >> 33) % KEYS;
		switch ((seed >> 60) % 4) {
		case 0:
			rcpt_cache_forget(cache, key_of(cache, which));
			model[which] = RCPT_UNKNOWN;
			break;
		case 1:
			rcpt_cache_put(cache, key_of(cache, which), 0, 1000000, RCPT_GOOD, NULL);
			model[which] = RCPT_GOOD;
			break;
		case 2:
			rcpt_cache_put(
				cache, key_of(cache, which), 0, 1000000, RCPT_REFUSED, &refusal);
			model[which] = RCPT_REFUSED;
			break;
		default:
			answer = rcpt_cache_get(cache, key_of(cache, which), 0, &reply);
			assert_true(answer == model[which] || answer == RCPT_UNKNOWN);
			hits += answer != RCPT_UNKNOWN;
		}
		assert_true(rcpt_cache_count(cache) <= MAX);
	}
	assert_int_equal(rcpt_cache_count(cache), MAX);
	assert_true(hits > 1000);
	rcpt_cache_free(&cache);
	(void)state;
}

static void test_long_text_is_cut(void **state)
{
	struct rcpt_cache *cache = rcpt_cache_new(1);
	static char text[5000];
	struct reply reply = {550, "5.0.0", {text, sizeof(text)}};

	rcpt_cache_put(cache, 1, 0, 1000, RCPT_REFUSED, &reply);
	assert_int_equal(rcpt_cache_get(cache, 1, 0, &reply), RCPT_REFUSED);
	assert_int_equal(reply.text.len, RCPT_CACHE_TEXT_MAX);
	rcpt_cache_free(&cache);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_put_off_is_told_once),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_long_text_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
