/* The pieces of a message that go on, in order, whatever is cut out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include "proxy/message/message.h"

static struct message message_of(const char *memory)
{
	struct message m = {.prefix = BUFFER_INIT(4096)};

	m.spool.fd = -1;
	m.spool.memory = (char *)(uintptr_t)memory;
	m.spool.memory_len = strlen(memory);
	return m;
}

/* All pieces one behind the other; a file's as "[offset+len]". */
static const char *walk(const struct message *m)
{
	static struct buffer out = BUFFER_INIT(65536);
	struct message_cursor cursor = {0};
	struct message_piece piece;
	uint64_t size = 0;

	buffer_clear(&out);
	while (message_next(m, &cursor, &piece)) {
		assert_true(piece.len > 0);
		size += piece.len;
		if (piece.fd >= 0) {
			assert_true(buffer_print(
				&out, "[%u+%u]", (unsigned)piece.offset, (unsigned)piece.len));
			continue;
		}
		assert_int_equal(piece.len, piece.memory.len);
		assert_true(buffer_print(&out, "%.*s|", SPAN_ARGS(piece.memory)));
	}
	assert_false(message_next(m, &cursor, &piece));
	assert_int_equal(size, message_size(m));
	return buffer_string(&out);
}

static void test_whole(void **state)
{
	struct message m = message_of("content");

	assert_string_equal(walk(&m), "content|");
	assert_true(buffer_add_text(&m.prefix, "Received: x"));
	assert_string_equal(walk(&m), "Received: x|content|");
	buffer_free(&m.prefix);
	(void)state;
}

static void test_empty(void **state)
{
	struct message m = message_of("");

	assert_string_equal(walk(&m), "");
	assert_int_equal(message_size(&m), 0);
	(void)state;
}

/* A range that does not go on. */
#define CUT(start_, len_)                                                                          \
	{                                                                                          \
		.start = (start_), .len = (len_)                                                   \
	}

static void test_cuts(void **state)
{
	struct message m = message_of("0123456789");
	struct message_change middle[] = {CUT(2, 3)}, ends[] = {CUT(0, 2), CUT(8, 2)},
			      touching[] = {CUT(1, 2), CUT(3, 2)};
	struct message_change all[] = {CUT(0, 10)}, none[] = {CUT(4, 0)};

	m.changes = middle;
	m.n_changes = 1;
	assert_string_equal(walk(&m), "01|56789|");
	m.changes = ends;
	m.n_changes = 2;
	assert_string_equal(walk(&m), "234567|");
	m.changes = touching;
	assert_string_equal(walk(&m), "0|56789|");
	m.changes = all;
	m.n_changes = 1;
	assert_string_equal(walk(&m), "");
	m.changes = none;
	assert_string_equal(walk(&m), "0123|456789|");
	(void)state;
}

static void test_replacements(void **state)
{
	struct message m = message_of("0123456789");
	struct message_change front[] = {{0, 0, SPAN("A")}, {0, 0, SPAN("B")}, {0, 2, SPAN("C")}},
			      back[] = {{8, 2, SPAN("Y")}, {10, 0, SPAN("Z")}},
			      between[] = {{3, 1, SPAN("x")}, {4, 0, SPAN("y")}, CUT(4, 2)},
			      all[] = {{0, 10, SPAN("new")}};

	m.changes = front;
	m.n_changes = 3;
	assert_string_equal(walk(&m), "A|B|C|23456789|");
	m.changes = back;
	m.n_changes = 2;
	assert_string_equal(walk(&m), "01234567|Y|Z|");
	m.changes = between;
	m.n_changes = 3;
	assert_string_equal(walk(&m), "012|x|y|6789|");
	m.changes = all;
	m.n_changes = 1;
	assert_string_equal(walk(&m), "new|");
	m.spool.fd = 0;
	m.spool.file_start = 7;
	m.spool.file_len = 5;
	assert_string_equal(walk(&m), "new|[7+5]");
	m.spool = message_of("").spool;
	m.changes = front;
	m.n_changes = 2;
	assert_string_equal(walk(&m), "A|B|");
	(void)state;
}

static void test_file(void **state)
{
	struct message m = message_of("0123");
	struct message_change cut = CUT(0, 1);

	m.spool.fd = 0;
	assert_string_equal(walk(&m), "0123|");
	m.spool.file_len = 1000;
	assert_string_equal(walk(&m), "0123|[0+1000]");
	m.changes = &cut;
	m.n_changes = 1;
	assert_string_equal(walk(&m), "123|[0+1000]");
	assert_int_equal(message_size(&m), 1003);
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_replacements),
		cmocka_unit_test(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
