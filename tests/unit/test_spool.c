/* The spool: memory first, then a file without a name; budgets over all; a disk that is full. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base/fail.h"
#include "proxy/message/message.h"
#include "proxy/message/spool.h"

enum { PIECE = 10000, MB = 1024 * 1024 };

struct fixture {
	struct shared *shared;
	struct shared_row *row;
	struct spools *spools;
	char folder[32];
	int dir;
};

static struct fixture *open_fixture(uint64_t total_max, uint64_t headers_max, bool disk)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err err;
	int fd = shared_create(&err);

	f->shared = shared_map(fd, &err);
	assert_non_null(f->shared);
	close(fd);
	f->row = &f->shared->rows[shared_row_take(f->shared)];
	snprintf(f->folder, sizeof(f->folder), "/tmp/test_spool.XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	f->dir = disk ? open(f->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	f->spools = spools_new(f->shared, f->row, f->dir, total_max, headers_max, 1000);
	return f;
}

/* Whatever happened, nothing stays counted and nothing stays in the folder. */
static void close_fixture(struct fixture *f)
{
	assert_int_equal(shared_spool_memory(f->shared), 0);
	assert_int_equal(shared_spool_disk(f->shared), 0);
	spools_free(&f->spools);
	assert_null(f->spools);
	if (f->dir >= 0)
		close(f->dir);
	assert_int_equal(rmdir(f->folder), 0);
	shared_unmap(&f->shared);
	free(f);
}

static char byte_at(uint64_t offset)
{
	return (char)(offset * 7 + (offset >> 8) * 13 + (offset >> 16));
}

/* Adds so many bytes in pieces; false: refused. */
static bool fill(struct spool *spool, uint64_t size)
{
	while (size) {
		size_t piece = size < PIECE ? (size_t)size : PIECE;
		uint64_t at = spool_size(spool);
		/* More is reserved than used, as the decoder does. */
		char *room = spool_reserve(spool, 2 * piece);

		if (!room)
			return false;
		for (size_t i = 0; i < piece; i++)
			room[i] = byte_at(at + i);
		if (!spool_added(spool, piece))
			return false;
		size -= piece;
	}
	return true;
}

static void check_content(const struct spool *spool, uint64_t size)
{
	struct span memory = spool_memory(spool);
	char *file = malloc((size_t)spool->file_len + 1);

	assert_int_equal(spool_size(spool), size);
	for (size_t i = 0; i < memory.len; i++)
		assert_true(memory.at[i] == byte_at(i));
	if (spool->file_len)
		assert_int_equal(pread(spool->fd, file, (size_t)spool->file_len, 0),
			(ssize_t)spool->file_len);
	for (uint64_t i = 0; i < spool->file_len; i++)
		assert_true(file[i] == byte_at(memory.len + i));
	free(file);
}

static void test_memory_alone(void **state)
{
	struct fixture *f = open_fixture(100 * MB, 1024, true);
	struct spool spool;

	(void)state;
	spool_init(&spool, f->spools);
	assert_int_equal(spool_size(&spool), 0);
	assert_int_equal(spool_memory(&spool).len, 0);
	assert_true(fill(&spool, 100000));
	assert_int_equal(spool.fd, -1);
	check_content(&spool, 100000);
	assert_true(shared_spool_memory(f->shared) >= 100000);
	assert_int_equal(shared_spool_disk(f->shared), 0);
	spool_free(&spool);
	spool_free(&spool); /* twice is fine */
	close_fixture(f);
}

static void test_memory_then_file(void **state)
{
	struct fixture *f = open_fixture(100 * MB, 1024, true);
	struct spool spool;

	(void)state;
	spool_init(&spool, f->spools);
	assert_true(fill(&spool, 5 * MB));
	assert_true(spool.fd >= 0);
	assert_true(spool_memory(&spool).len >= SPOOL_MEMORY_MAX);
	check_content(&spool, 5 * MB);
	/* What was reserved and not used is given back. */
	assert_int_equal(shared_spool_disk(f->shared), spool.file_len);
	spool_free(&spool);
	close_fixture(f);
}

/* A header section lies in memory as a whole, whatever its limit: one byte more than it may have.
 */
static void test_headers_in_memory(void **state)
{
	struct fixture *f = open_fixture(100 * MB, MB, true);
	struct spool spool;

	(void)state;
	spool_init(&spool, f->spools);
	assert_true(fill(&spool, MB + 1));
	assert_int_equal(spool.fd, -1);
	assert_true(fill(&spool, MB));
	assert_true(spool.fd >= 0);
	assert_true(spool_memory(&spool).len > MB);
	check_content(&spool, 2 * MB + 1);
	spool_free(&spool);
	close_fixture(f);
}

/* The total holds for all spools of all workers together. */
static void test_budget(void **state)
{
	struct fixture *f = open_fixture(2 * MB, 1024, true);
	struct spools *other_worker = spools_new(f->shared,
		&f->shared->rows[shared_row_take(f->shared)], f->dir, 2 * MB, 1024, 1000);
	struct spool a, b;

	(void)state;
	spool_init(&a, f->spools);
	spool_init(&b, other_worker);
	assert_true(fill(&a, MB));
	assert_false(fill(&b, 2 * MB));
	assert_true(shared_spool_memory(f->shared) + shared_spool_disk(f->shared) <= 2 * MB);
	/* Who was there first goes on as far as there is room. */
	spool_free(&b);
	assert_true(fill(&a, MB / 2));
	check_content(&a, MB + MB / 2);
	spool_free(&a);
	spools_free(&other_worker);
	close_fixture(f);
}

static void test_no_disk(void **state)
{
	struct fixture *f = open_fixture(100 * MB, 1024, false);
	struct spool spool;

	(void)state;
	spool_init(&spool, f->spools);
	assert_true(fill(&spool, SPOOL_MEMORY_MAX - PIECE));
	assert_false(fill(&spool, 10 * MB));
	spool_free(&spool);
	close_fixture(f);
}

/* A full disk, by a limit on the size of files. */
static void test_disk_full(void **state)
{
	struct fixture *f = open_fixture(100 * MB, 1024, true);
	struct rlimit before, small;
	struct spool spool;

	(void)state;
	getrlimit(RLIMIT_FSIZE, &before);
	small = before;
	small.rlim_cur = 100000;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	spool_init(&spool, f->spools);
	assert_true(fill(&spool, SPOOL_MEMORY_MAX + 50000));
	assert_false(fill(&spool, 10 * MB));
	setrlimit(RLIMIT_FSIZE, &before);
	spool_free(&spool);
	close_fixture(f);
}

/* A folder that takes no files at all. */
static void test_no_file(void **state)
{
	struct fixture *f = open_fixture(100 * MB, 1024, true);
	struct spool spool;

	(void)state;
	close(f->dir);
	f->spools->dir = f->dir = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	spool_init(&spool, f->spools);
	assert_false(fill(&spool, 10 * MB));
	assert_int_equal(spool.fd, -1);
	spool_free(&spool);
	close_fixture(f);
}

/* --- the message that is made of it --- */

static void collect(const struct message *message, struct buffer *out)
{
	struct message_cursor cursor = {0};
	struct message_piece piece;

	while (message_next(message, &cursor, &piece)) {
		char *at = buffer_reserve(out, (size_t)piece.len);

		assert_non_null(at);
		assert_true(piece.len > 0);
		if (piece.fd < 0)
			memcpy(at, piece.memory.at, (size_t)piece.len);
		else
			assert_int_equal(
				pread(piece.fd, at, (size_t)piece.len, (off_t)piece.offset),
				(ssize_t)piece.len);
		buffer_added(out, (size_t)piece.len);
	}
	assert_int_equal(out->len, message_size(message));
}

/* A range that does not go on. */
#define CUT(start_, len_)                                                                          \
	{                                                                                          \
		.start = (start_), .len = (len_)                                                   \
	}

/* Cuts at the beginning, in the middle, side by side, at the end; all of it. */
static void test_cuts(void **state)
{
	static const struct {
		struct message_change cuts[3];
		size_t n;
		const char *rest;
	} cases[] = {
		{{CUT(0, 0)}, 0, "P: 1\r\n0123456789"},
		{{CUT(0, 3)}, 1, "P: 1\r\n3456789"},
		{{CUT(3, 2), CUT(5, 2)}, 2, "P: 1\r\n012789"},
		{{CUT(0, 1), CUT(4, 1), CUT(9, 1)}, 3, "P: 1\r\n1235678"},
		{{CUT(8, 2)}, 1, "P: 1\r\n01234567"},
		{{CUT(0, 10)}, 1, "P: 1\r\n"},
	};
	struct fixture *f = open_fixture(100 * MB, 1024, true);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct message message = {.prefix = BUFFER_INIT(100), .n_changes = cases[i].n};
		struct message_change cuts[3];
		struct buffer out = BUFFER_INIT(MB);
		char *room;

		memcpy(cuts, cases[i].cuts, sizeof(cuts));
		message.changes = cuts;
		spool_init(&message.spool, f->spools);
		room = spool_reserve(&message.spool, 10);
		memcpy(room, "0123456789", 10);
		assert_true(spool_added(&message.spool, 10));
		assert_true(buffer_add_text(&message.prefix, "P: 1\r\n"));
		collect(&message, &out);
		assert_string_equal(buffer_string(&out), cases[i].rest);
		buffer_free(&out);
		buffer_free(&message.prefix);
		spool_free(&message.spool);
	}
	close_fixture(f);
}

static void test_walk_over_file(void **state)
{
	struct fixture *f = open_fixture(100 * MB, 1024, true);
	struct message message = {.prefix = BUFFER_INIT(100)};
	struct buffer out = BUFFER_INIT(10 * MB);

	(void)state;
	spool_init(&message.spool, f->spools);
	assert_true(fill(&message.spool, 3 * MB));
	collect(&message, &out);
	for (size_t i = 0; i < out.len; i++)
		assert_true(buffer_span(&out).at[i] == byte_at(i));
	buffer_free(&out);
	spool_free(&message.spool);
	close_fixture(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_alone),
		cmocka_unit_test(test_memory_then_file),
		cmocka_unit_test(test_headers_in_memory),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_no_disk),
		cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_walk_over_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
