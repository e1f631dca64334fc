/*
 * The arena: aligned and zeroed memory of any size, and hooks that run once, last in first out.
 */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "lib/base/arena.h"

static void test_memory(void **state)
{
	struct arena *arena = arena_new(64);
	unsigned char *last = NULL;

	(void)state;
	for (size_t size = 0; size < 3000; size += 7) {
		unsigned char *at = arena_alloc(arena, size);

		assert_non_null(at);
		assert_ptr_not_equal(at, last);
		assert_int_equal((uintptr_t)at % alignof(max_align_t), 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(at[i], 0);
		memset(at, 0xee, size);
		last = at;
	}
	arena_free(&arena);
	assert_null(arena);
	arena_free(&arena);
}

static void test_larger_than_any_block(void **state)
{
	struct arena *arena = arena_new(16);
	size_t before = arena_size(arena);
	char *large = arena_alloc(arena, 1 << 20), *small;

	(void)state;
	memset(large, 1, 1 << 20);
	small = arena_alloc(arena, 1);
	assert_int_equal(*small, 0);
	assert_true(arena_size(arena) >= before + (1 << 20));
	assert_true(arena_size(arena) < before + (2 << 20));
	arena_free(&arena);
}

static void test_small_arena_is_one_block(void **state)
{
	struct arena *arena = arena_new(1024);
	size_t before = arena_size(arena);

	(void)state;
	for (int i = 0; i < 64; i++)
		arena_alloc(arena, 16);
	assert_int_equal(arena_size(arena), before);
	arena_alloc(arena, 1);
	assert_true(arena_size(arena) > before);
	arena_free(&arena);
}

static void test_texts(void **state)
{
	struct arena *arena = arena_new(16);
	struct span copy;

	(void)state;
	assert_string_equal(arena_string(arena, span_first(SPAN("hello"), 4)), "hell");
	assert_string_equal(arena_string(arena, SPAN_NONE), "");
	copy = arena_span(arena, SPAN("a\0b"));
	assert_int_equal(copy.len, 3);
	assert_memory_equal(copy.at, "a\0b", 4);
	assert_string_equal(arena_print(arena, "%s-%d", "x", 7), "x-7");
	assert_string_equal(arena_print(arena, "%s", ""), "");
	arena_free(&arena);
}

/* Notes the order in which the hooks ran. */
struct order {
	char names[8];
	size_t count;
};

struct hook {
	struct order *order;
	char name;
};

static void note(void *context)
{
	const struct hook *hook = context;

	hook->order->names[hook->order->count++] = hook->name;
}

static void test_hooks(void **state)
{
	struct arena *arena = arena_new(16);
	struct order order = {"", 0};

	(void)state;
	for (char name = 'a'; name <= 'c'; name++) {
		struct hook *hook = arena_alloc(arena, sizeof(*hook));

		*hook = (struct hook){&order, name};
		arena_on_free(arena, note, hook);
	}
	assert_int_equal(order.count, 0);
	arena_free(&arena);
	assert_string_equal(order.names, "cba");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_larger_than_any_block),
		cmocka_unit_test(test_small_arena_is_one_block),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_hooks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
