/*
 * The embedded store's file alone: what is added up and what is bounded, and every way in which the
 * file can be unwell: damaged, full, newer than we are, out of reach, cut off by kill -9.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin/json.h"
#include "lib/base/arena.h"
#include "lib/base/fail.h"
#include "store_play.h"

enum { DAY_MS = 24 * 3600 * 1000, JOBS_MAX = 64, NOBODY = 65534 };

struct fixture {
	struct store_play play; /* its folder and its clock */
	struct arena *arena;
	int dir;
	struct database_setup setup;
	struct database *db;
	struct database_job jobs[JOBS_MAX];
	struct buffer rows[JOBS_MAX];
	size_t n;
	char events[4096]; /* of notices, each with a blank behind it */
};

static void on_notice(void *context, enum log_level level, const char *event, const char *text)
{
	struct fixture *f = context;

	assert_true(strlen(f->events) + strlen(event) + 2 < sizeof(f->events));
	(void)level;
	assert_true(strlen(text) > 0);
	strcat(f->events, event);
	strcat(f->events, " ");
}

static void open_database(struct fixture *f)
{
	f->setup.dir = f->dir;
	f->setup.clock = &f->play.loop.clock;
	f->setup.notice = on_notice;
	f->setup.context = f;
	f->db = database_new(&f->setup);
}

static int set_up(void **state)
{
	struct fixture *f = memory_zeroed(sizeof(*f));

	store_play_open(&f->play);
	f->dir = store_play_folder(&f->play);
	f->arena = arena_new(4096);
	open_database(f);
	*state = f;
	return 0;
}

static void forget_jobs(struct fixture *f)
{
	for (size_t i = 0; i < f->n; i++) {
		buffer_free(&f->jobs[i].answer);
		buffer_free(&f->rows[i]);
	}
	f->n = 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	forget_jobs(f);
	database_free(&f->db);
	close(f->dir);
	arena_free(&f->arena);
	store_play_close(&f->play);
	free(f);
	return 0;
}

static void reopen(struct fixture *f)
{
	database_free(&f->db);
	open_database(f);
}

/* --- jobs --- */

static struct database_job *add_job(struct fixture *f, enum store_kind kind)
{
	struct database_job *job = &f->jobs[f->n];

	assert_true(f->n < JOBS_MAX);
	f->rows[f->n++] = BUFFER_INIT(DMARC_ROW_MAX + 16);
	*job = (struct database_job){.kind = kind, .answer = BUFFER_INIT(STORE_ANSWER_MAX)};
	return job;
}

static struct database_job *add_results(struct fixture *f, const struct dmarc_results *results)
{
	struct database_job *job = add_job(f, STORE_DMARC_ADD);
	struct buffer *row = &f->rows[f->n - 1];

	assert_true(dmarc_results_write(results, row));
	job->parts[0] = results->policy_domain;
	job->parts[1] = results->record;
	job->parts[2] = buffer_span(row);
	return job;
}

static void run(struct fixture *f)
{
	struct database_job *jobs[JOBS_MAX];

	for (size_t i = 0; i < f->n; i++)
		jobs[i] = &f->jobs[i];
	database_run(f->db, jobs, f->n);
}

static enum store_outcome add_one(struct fixture *f, const struct dmarc_results *results)
{
	enum store_outcome outcome;

	add_results(f, results);
	run(f);
	outcome = f->jobs[0].outcome;
	forget_jobs(f);
	return outcome;
}

static enum store_outcome add_default(struct fixture *f)
{
	struct dmarc_results results = store_play_results();

	return add_one(f, &results);
}

/* The answer as JSON; NULL: it is empty. */
static const struct json *ask(
	struct fixture *f, enum store_kind kind, const char *day, const char *domain)
{
	struct database_job *job = add_job(f, kind);
	const struct json *json;

	job->parts[0] = span_text(day);
	job->parts[1] = span_text(domain);
	run(f);
	assert_int_equal(job->outcome, STORE_DONE);
	json = job->answer.len ? json_read(f->arena, buffer_span(&job->answer)) : NULL;
	assert_true(json || job->answer.len == 0);
	forget_jobs(f);
	return json;
}

static const struct json *rows_of(struct fixture *f, const char *domain)
{
	return ask(f, STORE_DMARC_DOMAIN, store_play_today(&f->play), domain);
}

static const struct json *day_now(struct fixture *f)
{
	return ask(f, STORE_DMARC_DAY, store_play_today(&f->play), NULL);
}

static size_t length(const struct json *list)
{
	size_t n = 0;

	for (const struct json *item = list->first; item; item = item->next)
		n++;
	return n;
}

/* --- what is kept --- */

static void alike_messages_are_one_row(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results(), other = results;
	const struct json *answer, *row;

	other.spf_result = SPAN("softfail");
	add_results(f, &results);
	add_results(f, &other);
	add_results(f, &results);
	run(f);
	for (size_t i = 0; i < f->n; i++)
		assert_int_equal(f->jobs[i].outcome, STORE_DONE);
	forget_jobs(f);
	answer = rows_of(f, "example.com");
	assert_int_equal(json_number(answer, "messages"), 3);
	assert_int_equal(json_number(answer, "left_out"), 0);
	assert_string_equal(
		json_text(answer, "record"), "v=DMARC1; p=reject; rua=mailto:dmarc@example.com");
	assert_int_equal(length(json_get(answer, "rows")), 2);
	row = json_get(answer, "rows")->first; /* the most frequent first */
	assert_int_equal(json_number(row, "count"), 2);
	row = json_read(f->arena, span_text(json_text(row, "row")));
	assert_non_null(row);
	assert_string_equal(json_text(row, "source_ip"), "192.0.2.1");
	assert_string_equal(json_text(row, "disposition"), "reject");
	assert_string_equal(json_text(row, "header_from"), "mail.example.com");
	assert_string_equal(json_text(row, "spf_result"), "fail");
	assert_string_equal(json_text(json_get(row, "signatures")->first, "selector"), "sel");
}

static void a_day_lists_its_domains(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();
	const struct json *answer, *domain;

	add_one(f, &results);
	add_one(f, &results);
	results.policy_domain = SPAN("example.org");
	add_one(f, &results);
	answer = day_now(f);
	domain = json_get(answer, "domains")->first;
	assert_int_equal(length(json_get(answer, "domains")), 2);
	assert_string_equal(json_text(domain, "domain"), "example.com");
	assert_int_equal(json_number(domain, "messages"), 2);
	assert_int_equal(json_number(domain, "rows"), 1);
	assert_null(ask(f, STORE_DMARC_DOMAIN, store_play_today(&f->play), "example.net"));
	assert_null(ask(f, STORE_DMARC_DOMAIN, "2020-01-01", "example.com"));
	assert_int_equal(
		length(json_get(ask(f, STORE_DMARC_DAY, "2020-01-01", NULL), "domains")), 0);
}

static void the_record_is_as_last_seen(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();

	add_one(f, &results);
	results.record = SPAN("v=DMARC1; p=none");
	add_one(f, &results);
	assert_string_equal(json_text(rows_of(f, "example.com"), "record"), "v=DMARC1; p=none");
	assert_int_equal(json_number(rows_of(f, "example.com"), "messages"), 2);
}

static void it_is_there_after_a_restart(void **state)
{
	struct fixture *f = *state;

	add_default(f);
	reopen(f);
	add_default(f);
	assert_int_equal(json_number(rows_of(f, "example.com"), "messages"), 2);
	assert_string_equal(f->events, "");
}

static void days_have_their_own(void **state)
{
	struct fixture *f = *state;
	char day[16];

	add_default(f);
	strcpy(day, store_play_today(&f->play));
	f->play.loop.clock.offset_ms += DAY_MS;
	add_default(f);
	add_default(f);
	assert_int_equal(
		json_number(ask(f, STORE_DMARC_DOMAIN, day, "example.com"), "messages"), 1);
	assert_int_equal(json_number(rows_of(f, "example.com"), "messages"), 2);
}

static void what_is_old_goes(void **state)
{
	struct fixture *f = *state;
	char day[16];

	add_default(f);
	strcpy(day, store_play_today(&f->play));
	f->play.loop.clock.offset_ms += (uint64_t)DATABASE_DMARC_DAYS * DAY_MS;
	add_default(f);
	while (database_expire(f->db))
		;
	assert_int_equal(
		json_number(ask(f, STORE_DMARC_DOMAIN, day, "example.com"), "messages"), 1);
	f->play.loop.clock.offset_ms += DAY_MS;
	while (database_expire(f->db))
		;
	assert_null(ask(f, STORE_DMARC_DOMAIN, day, "example.com"));
	f->play.loop.clock.offset_ms -= DAY_MS;
	assert_int_equal(json_number(rows_of(f, "example.com"), "messages"), 1);
}

/* --- what is bounded --- */

static void from_ip(struct dmarc_results *results, unsigned n)
{
	char text[32];

	snprintf(text, sizeof(text), "198.51.%u.%u", n / 256, n % 256);
	assert_true(ip_parse(span_text(text), &results->source));
}

static void a_domain_has_room_for_so_many_rows(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();
	const struct json *answer;

	f->setup.dmarc_rows_domain = 10;
	reopen(f);
	for (unsigned i = 0; i < 25; i++) {
		from_ip(&results, i);
		assert_int_equal(add_one(f, &results), STORE_DONE);
	}
	from_ip(&results, 3); /* what is there is counted on */
	add_one(f, &results);
	answer = rows_of(f, "example.com");
	assert_int_equal(length(json_get(answer, "rows")), 10);
	assert_int_equal(json_number(answer, "messages"), 26);
	assert_int_equal(json_number(answer, "left_out"), 15);
}

static void a_day_has_room_for_so_many(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();
	const struct json *answer;
	char domain[32];

	f->setup.dmarc_rows_day = 10; /* rows and domains */
	reopen(f);
	for (unsigned i = 0; i < 9; i++) {
		snprintf(domain, sizeof(domain), "d%u.example", i);
		results.policy_domain = span_text(domain);
		assert_int_equal(add_one(f, &results), STORE_DONE);
	}
	answer = day_now(f);
	assert_int_equal(length(json_get(answer, "domains")), 5);
	assert_int_equal(json_number(answer, "left_out"), 4);
	f->play.loop.clock.offset_ms += DAY_MS; /* a new day has room again */
	assert_int_equal(add_one(f, &results), STORE_DONE);
	assert_int_equal(length(json_get(day_now(f), "domains")), 1);
}

static void bytes_count_too(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();

	f->setup.dmarc_bytes_day = 2000;
	reopen(f);
	for (unsigned i = 0; i < 20; i++) {
		from_ip(&results, i);
		add_one(f, &results);
	}
	assert_in_range(length(json_get(rows_of(f, "example.com"), "rows")), 2, 8);
	assert_in_range(json_number(rows_of(f, "example.com"), "left_out"), 12, 18);
}

static void nonsense_fails_alone(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();
	char *long_text = memory_zeroed(DMARC_ROW_MAX + 1);
	struct database_job *no_domain, *no_row, *long_row;

	memset(long_text, 'x', DMARC_ROW_MAX + 1);
	add_results(f, &results);
	no_domain = add_results(f, &results);
	no_domain->parts[0] = SPAN_NONE;
	no_row = add_results(f, &results);
	no_row->parts[2] = SPAN_NONE;
	long_row = add_results(f, &results);
	long_row->parts[2] = span_make(long_text, DMARC_ROW_MAX + 1);
	add_results(f, &results);
	run(f);
	assert_int_equal(no_domain->outcome, STORE_FAILED);
	assert_int_equal(no_row->outcome, STORE_FAILED);
	assert_int_equal(long_row->outcome, STORE_FAILED);
	assert_int_equal(f->jobs[0].outcome, STORE_DONE);
	assert_int_equal(f->jobs[4].outcome, STORE_DONE);
	forget_jobs(f);
	free(long_text);
	assert_int_equal(json_number(rows_of(f, "example.com"), "messages"), 2);
}

static void any_bytes_may_come(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();
	const struct json *answer;

	results.record = span_make("v=DMARC1; p=none; x=\0\xff\"\\\n'; DROP TABLE", 38);
	results.header_from = span_make("a\0b", 3);
	results.signatures[0].selector = SPAN("\"},{'");
	assert_int_equal(add_one(f, &results), STORE_DONE);
	assert_int_equal(add_one(f, &results), STORE_DONE);
	answer = rows_of(f, "example.com");
	assert_int_equal(length(json_get(answer, "rows")), 1);
	assert_non_null(strstr(json_text(answer, "record"), "\"\\"));
}

/* --- when the file is unwell --- */

static void overwrite(struct fixture *f, off_t from, size_t size)
{
	int fd = openat(f->dir, "postern.db", O_RDWR | O_CLOEXEC);
	char *junk = memory_new(size);

	assert_true(fd >= 0);
	memset(junk, 0xa5, size);
	assert_int_equal(pwrite(fd, junk, size, from), (ssize_t)size);
	close(fd);
	free(junk);
}

static void fill(struct fixture *f, unsigned rows)
{
	struct dmarc_results results = store_play_results();

	for (unsigned i = 0; i < rows; i++) {
		from_ip(&results, i);
		assert_int_equal(add_one(f, &results), STORE_DONE);
	}
}

static void a_file_that_is_none_is_moved_aside(void **state)
{
	struct fixture *f = *state;

	fill(f, 3);
	database_free(&f->db);
	overwrite(f, 0, 4096);
	open_database(f);
	assert_int_equal(add_default(f), STORE_DONE);
	assert_string_equal(f->events, "store_corrupt ");
	assert_int_equal(store_play_files(&f->play, "postern.db.corrupt-20"), 1);
	assert_int_equal(json_number(rows_of(f, "example.com"), "messages"), 1);
}

static void a_damaged_page_is_found_at_the_start(void **state)
{
	struct fixture *f = *state;

	fill(f, 200);
	database_free(&f->db);
	overwrite(f, 5 * 4096, 3 * 4096);
	open_database(f);
	assert_int_equal(add_default(f), STORE_DONE);
	assert_string_equal(f->events, "store_corrupt ");
	assert_int_equal(json_number(rows_of(f, "example.com"), "messages"), 1);
}

/* More than SQLite keeps in memory, so that it is read again. */
static void fill_much(struct fixture *f)
{
	struct dmarc_results results = store_play_results();

	for (unsigned i = 0; i < 8000;) {
		for (; f->n < JOBS_MAX; i++) {
			from_ip(&results, i);
			add_results(f, &results);
		}
		run(f);
		assert_int_equal(f->jobs[0].outcome, STORE_DONE);
		forget_jobs(f);
	}
}

static void a_page_damaged_later_is_found_when_read(void **state)
{
	struct fixture *f = *state;

	f->setup.cache_kb = 2000;
	reopen(f);
	fill_much(f);
	reopen(f); /* all is in the file itself */
	assert_int_equal(add_default(f), STORE_DONE);
	assert_string_equal(f->events, "");
	overwrite(f, 4 * 4096, 400 * 4096);
	/* What asks for it is answered by the new file, which has nothing. */
	assert_null(rows_of(f, "example.com"));
	assert_string_equal(f->events, "store_corrupt ");
	assert_in_range(store_play_files(&f->play, "postern.db.corrupt-20"), 1, 2); /* its log */
	assert_int_equal(add_default(f), STORE_DONE);
	assert_int_equal(json_number(rows_of(f, "example.com"), "messages"), 1);
}

static void a_newer_file_is_left_alone(void **state)
{
	struct fixture *f = *state;
	const unsigned char version[4] = {0, 0, 0, DATABASE_VERSION + 1};
	int fd;

	add_default(f);
	database_free(&f->db);
	fd = openat(f->dir, "postern.db", O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, version, sizeof(version), 60), sizeof(version));
	close(fd);
	open_database(f);
	assert_int_equal(add_default(f), STORE_FAILED);
	f->play.loop.clock.offset_ms += 2000;
	assert_int_equal(add_default(f), STORE_FAILED);
	assert_string_equal(f->events, "store_newer ");
	assert_int_equal(store_play_files(&f->play, "postern.db.corrupt"), 0);
}

static void a_full_disk_fails_and_recovers(void **state)
{
	struct fixture *f = *state;
	struct dmarc_results results = store_play_results();
	enum store_outcome outcome = STORE_DONE;
	long long kept = 0;

	f->setup.pages_max = 20;
	reopen(f);
	while (outcome == STORE_DONE && kept < 5000) {
		from_ip(&results, (unsigned)kept);
		outcome = add_one(f, &results);
		kept += outcome == STORE_DONE;
	}
	assert_int_equal(outcome, STORE_FAILED);
	assert_string_equal(f->events, "store_full ");
	assert_int_equal(add_one(f, &results), STORE_FAILED);
	assert_string_equal(f->events, "store_full "); /* not told again at once */
	/* Nothing of what failed is there, and what was there can be read. */
	assert_int_equal(json_number(rows_of(f, "example.com"), "messages"), kept);
	assert_int_equal(length(json_get(rows_of(f, "example.com"), "rows")), kept);
	f->setup.pages_max = 0;
	reopen(f);
	assert_int_equal(add_one(f, &results), STORE_DONE);
	assert_int_equal(json_number(rows_of(f, "example.com"), "messages"), kept + 1);
}

/* The same by the kernel's word, in a process of its own: EFBIG as a disk says ENOSPC. */
static void a_file_at_its_limit_fails_and_is_sound(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid;

	database_free(&f->db);
	pid = fork();
	if (pid == 0) {
		const struct rlimit limit = {512 * 1024, 512 * 1024};
		struct dmarc_results results = store_play_results();
		unsigned kept = 0;

		open_database(f);
		setrlimit(RLIMIT_FSIZE, &limit);
		do
			from_ip(&results, kept);
		while (add_one(f, &results) == STORE_DONE && ++kept < 10000);
		_exit(kept > 10 && kept < 10000 &&
					json_number(rows_of(f, "example.com"), "messages") ==
						kept &&
					strcmp(f->events, "store_failed ") == 0
				? 0
				: 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	open_database(f);
	assert_int_equal(add_default(f), STORE_DONE);
	assert_string_equal(f->events, "");
}

static void a_folder_that_is_gone_fails(void **state)
{
	struct fixture *f = *state;
	int devnull = open("/dev/null", O_RDONLY | O_CLOEXEC), kept = f->dir;

	f->dir = devnull;
	reopen(f);
	assert_int_equal(add_default(f), STORE_FAILED);
	assert_int_equal(add_default(f), STORE_FAILED);
	assert_string_equal(f->events, "store_failed ");
	f->dir = kept;
	reopen(f);
	assert_int_equal(add_default(f), STORE_DONE);
	close(devnull);
}

static void a_link_is_not_followed(void **state)
{
	struct fixture *f = *state;
	struct stat info;

	assert_int_equal(symlinkat("elsewhere", f->dir, "postern.db"), 0);
	assert_int_equal(add_default(f), STORE_FAILED);
	assert_int_equal(fstatat(f->dir, "elsewhere", &info, 0), -1);
	assert_non_null(strstr(f->events, "store_failed"));
}

/* What the keeper's account may not reach by a path it reaches by the descriptor. */
static void no_path_is_needed(void **state)
{
	struct fixture *f = *state;
	char inner[128];
	int dir, status;
	pid_t pid;

	snprintf(inner, sizeof(inner), "%s/inner", f->play.folder);
	assert_int_equal(mkdir(inner, 0700), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(inner, NOBODY, NOBODY), 0);
	dir = open(inner, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(chmod(f->play.folder, 0), 0);
	pid = fork();
	if (pid == 0) {
		int kept = f->dir;
		bool ok;

		if (geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0)
			_exit(2);
		f->dir = dir;
		f->setup.notice = on_notice;
		open_database(f);
		ok = access(inner, F_OK) < 0 && add_default(f) == STORE_DONE;
		f->dir = kept;
		_exit(ok ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(chmod(f->play.folder, 0700), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_int_equal(unlinkat(dir, "postern.db", 0), 0);
	unlinkat(dir, "postern.db-wal", 0);
	unlinkat(dir, "postern.db-shm", 0);
	close(dir);
	rmdir(inner);
}

/* A writer is killed in the middle, again and again: whatever it had committed is there. */
static void kill_9_loses_nothing_that_was_committed(void **state)
{
	struct fixture *f = *state;
	long long before = 0;

	database_free(&f->db);
	for (int round = 0; round < 10; round++) {
		int pipe_fds[2], status;
		long long committed = 0;
		pid_t pid;
		char c;

		assert_int_equal(pipe(pipe_fds), 0);
		pid = fork();
		if (pid == 0) {
			struct dmarc_results results = store_play_results();

			open_database(f);
			for (unsigned i = 0;; i++) {
				from_ip(&results, i % 1000);
				if (add_one(f, &results) != STORE_DONE ||
					write(pipe_fds[1], "c", 1) != 1)
					_exit(1);
			}
		}
		close(pipe_fds[1]);
		while (committed < 30 + round && read(pipe_fds[0], &c, 1) == 1)
			committed++;
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(pipe_fds[0], &c, 1) == 1)
			committed++;
		close(pipe_fds[0]);
		open_database(f);
		/* The last one may have been committed and not told. */
		assert_in_range(json_number(rows_of(f, "example.com"), "messages"),
			before + committed, before + committed + 1);
		before = json_number(rows_of(f, "example.com"), "messages");
		database_free(&f->db);
		assert_string_equal(f->events, "");
	}
	open_database(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(alike_messages_are_one_row),
		TEST(a_day_lists_its_domains),
		TEST(the_record_is_as_last_seen),
		TEST(it_is_there_after_a_restart),
		TEST(days_have_their_own),
		TEST(what_is_old_goes),
		TEST(a_domain_has_room_for_so_many_rows),
		TEST(a_day_has_room_for_so_many),
		TEST(bytes_count_too),
		TEST(nonsense_fails_alone),
		TEST(any_bytes_may_come),
		TEST(a_file_that_is_none_is_moved_aside),
		TEST(a_damaged_page_is_found_at_the_start),
		TEST(a_page_damaged_later_is_found_when_read),
		TEST(a_newer_file_is_left_alone),
		TEST(a_full_disk_fails_and_recovers),
		TEST(a_file_at_its_limit_fails_and_is_sound),
		TEST(a_folder_that_is_gone_fails),
		TEST(a_link_is_not_followed),
		TEST(no_path_is_needed),
		TEST(kill_9_loses_nothing_that_was_committed),
	};

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
