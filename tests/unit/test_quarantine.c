/*
 * The quarantine: the form of a file, there and back, and the folder: what is written whole and
 * safe, what is refused, what goes with age.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "proxy/message/quarantine.h"

enum { FILE_MAX = 1024 * 1024, DAY_MS = 24 * 3600 * 1000 };

struct play {
	struct arena *arena;
	struct loop loop;
	struct log log;
	char folder[64];
	int dir;
	struct quarantine *quarantine;
	struct recipient recipients[2];
	struct quarantined about;
	struct message message;
	unsigned done;
};

static struct span full_head(void)
{
	return SPAN("X-Postern-Quarantine-Version: 1\r\n"
		    "X-Postern-Quarantine-ID: K7Q2M4T6A9ZC.1\r\n"
		    "X-Postern-Quarantine-Time: 2026-11-23T16:00:00.123Z\r\n"
		    "X-Postern-Quarantine-Session: K7Q2M4T6A9ZC\r\n"
		    "X-Postern-Quarantine-Transaction: K7Q2M4T6A9ZC.1\r\n"
		    "X-Postern-Quarantine-Client: [2001:db8::7]:4711\r\n"
		    "X-Postern-Quarantine-Client-Name: mail.client.example\r\n"
		    "X-Postern-Quarantine-Local: 192.0.2.1:25\r\n"
		    "X-Postern-Quarantine-Helo: %20a%09b %25 c%C3%BC%20\r\n"
		    "X-Postern-Quarantine-Login: bob\r\n"
		    "X-Postern-Quarantine-Protocol: ESMTP TLS\r\n"
		    "X-Postern-Quarantine-From: <\"a b%25\"@client.example> BODY=8BITMIME SMTPUTF8 "
		    "RET=HDRS ENVID=a+2Bb\r\n"
		    "X-Postern-Quarantine-To: <%C3%BCber@example.com> NOTIFY=SUCCESS,DELAY "
		    "ORCPT=rfc822;x+40y\r\n"
		    "X-Postern-Quarantine-To: <postmaster>\r\n"
		    "X-Postern-Quarantine-Backend: main\r\n"
		    "X-Postern-Quarantine-Rule: exe\r\n"
		    "X-Postern-Quarantine-Why: executable attached%0D%0AX: y\r\n"
		    "X-Postern-Quarantine-Score: 7.5\r\n"
		    "X-Postern-Quarantine-Size: 17\r\n");
}

static struct message message_of(const char *text)
{
	struct message m = {.prefix = BUFFER_INIT(4096)};

	m.spool.fd = -1;
	m.spool.memory = (char *)(uintptr_t)text;
	m.spool.memory_len = strlen(text);
	return m;
}

static int open_play(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	p->arena = arena_new(1024);
	loop_init(&p->loop);
	log_init(&p->log, -1, true, &p->loop.clock, "test");
	strcpy(p->folder, "/tmp/postern-quarantine.XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	p->dir = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->dir >= 0);
	assert_int_equal(mkdirat(p->dir, "tmp", 0700), 0);
	assert_int_equal(mkdirat(p->dir, "new", 0700), 0);
	p->message = message_of("A: 1\r\n\r\nthe body\r\n");
	p->recipients[0].to = (struct address){.mailbox = SPAN("b@example.com")};
	p->about = (struct quarantined){.time_ms = 1795449600123,
		.sid = SPAN("K7Q2M4T6A9ZC"),
		.tid = SPAN("K7Q2M4T6A9ZC.1"),
		.envelope = {.from = {.mailbox = SPAN("a@client.example")},
			.recipients = &p->recipients[0],
			.n_recipients = 1},
		.rule = SPAN("exe"),
		.why = SPAN("executable attached")};
	*state = p;
	return 0;
}

static void open_quarantine(struct play *p, uint64_t size_max)
{
	p->quarantine = quarantine_open(&(struct quarantine_setup){.loop = &p->loop,
		.log = &p->log,
		.dir = p->dir,
		.keep_ms = 30ull * DAY_MS,
		.size_max = size_max});
}

static unsigned empty(struct play *p, const char *name, bool remove_them)
{
	int fd = openat(p->dir, name, O_RDONLY | O_DIRECTORY);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	unsigned count = 0;

	while (list && (entry = readdir(list))) {
		if (entry->d_name[0] == '.')
			continue;
		count++;
		if (remove_them)
			unlinkat(fd, entry->d_name, 0);
	}
	if (list)
		closedir(list);
	return count;
}

static unsigned files_in(struct play *p, const char *name)
{
	return empty(p, name, false);
}

static int close_play(void **state)
{
	struct play *p = *state;

	quarantine_close(&p->quarantine);
	loop_close(&p->loop);
	log_close(&p->log);
	empty(p, "tmp", true);
	empty(p, "new", true);
	unlinkat(p->dir, "tmp", AT_REMOVEDIR);
	unlinkat(p->dir, "new", AT_REMOVEDIR);
	close(p->dir);
	rmdir(p->folder);
	arena_free(&p->arena);
	free(p);
	return 0;
}

/* --- the form --- */

static void test_form(void **state)
{
	struct play *p = *state;
	struct buffer out = BUFFER_INIT(FILE_MAX);
	struct quarantined q;
	struct err err;
	size_t head = 0;

	assert_int_equal(
		quarantined_read(full_head(), p->arena, &q, &head, &err), QUARANTINED_READ);
	assert_int_equal(head, full_head().len);
	assert_true(span_equal(q.id, SPAN("K7Q2M4T6A9ZC.1")));
	assert_true(q.time_ms == 1795449600123);
	assert_int_equal(q.client.remote.port, 4711);
	assert_int_equal(q.client.remote.ip.family, IP_V6);
	assert_int_equal(q.client.local.port, 25);
	assert_true(span_equal(q.client.helo, SPAN(" a\tb % c\xc3\xbc ")));
	assert_true(q.client.tls && q.client.esmtp);
	assert_true(span_equal(q.envelope.from.mailbox, SPAN("\"a b%\"@client.example")));
	assert_true(q.envelope.smtputf8);
	assert_int_equal(q.envelope.body, MAIL_BODY_8BITMIME);
	assert_int_equal(q.envelope.ret, DSN_RET_HDRS);
	assert_true(span_equal(q.envelope.envid, SPAN("a+2Bb")));
	assert_int_equal(q.envelope.n_recipients, 2);
	assert_true(span_equal(q.envelope.recipients->to.mailbox, SPAN("\xc3\xbc"
								       "ber@example.com")));
	assert_true(span_equal(q.envelope.recipients->notify, SPAN("SUCCESS,DELAY")));
	assert_true(span_equal(q.envelope.recipients->orcpt, SPAN("rfc822;x+40y")));
	assert_true(span_equal(q.envelope.recipients->next->to.mailbox, SPAN("postmaster")));
	assert_null(q.envelope.recipients->next->next);
	assert_true(span_equal(q.why, SPAN("executable attached\r\nX: y")));
	assert_true(q.score > 7.4 && q.score < 7.6);
	assert_int_equal(q.size_bytes, 17);
	assert_true(quarantined_write(&q, &out));
	assert_string_equal(buffer_string(&out), full_head().at);
	buffer_free(&out);
}

/* However much of it is there, it is not taken for more than it is. */
static void test_form_in_parts(void **state)
{
	struct play *p = *state;
	struct quarantined q;
	struct err err;
	size_t head;

	for (size_t len = 0; len < full_head().len; len++)
		assert_int_equal(
			quarantined_read(span_first(full_head(), len), p->arena, &q, &head, &err),
			QUARANTINED_MORE);
}

static const char *replaced(struct play *p, const char *what, const char *with)
{
	const char *all = full_head().at, *at = strstr(all, what);

	assert_non_null(at);
	return arena_print(p->arena, "%.*s%s%s", (int)(at - all), all, with, at + strlen(what));
}

static void test_form_tampered(void **state)
{
	static const struct {
		const char *what, *with;
	} cases[] = {
		{"Version: 1", "Version: 2"},
		{"X-Postern-Quarantine-Version: 1\r\n", ""},
		{"ID: K7Q2M4T6A9ZC.1", "ID: ../../etc/passwd"},
		{"ID: K7Q2M4T6A9ZC.1", "ID: .hidden"},
		{"ID: K7Q2M4T6A9ZC.1", "ID: "},
		{"2026-11-23T", "2026-13-23T"},
		{"4711", "471111"},
		{"[2001:db8::7]", "localhost"},
		{"ESMTP TLS", "HTTP"},
		{"<\"a b%25\"@client.example>", "<a%0D%0A@client.example>"},
		{"<\"a b%25\"@client.example>", "a@client.example"},
		{"<\"a b%25\"@client.example>", "<a%00@client.example>"},
		{"<\"a b%25\"@client.example>", "<a%4@client.example>"},
		{"<\"a b%25\"@client.example>", "<a%zz@client.example>"},
		{"<\"a b%25\"@client.example>", "<a\t@client.example>"},
		{"<\"a b%25\"@client.example>", "<\"a%0D%0Ab\"@client.example>"},
		{"ORCPT=rfc822;x+40y", "ORCPT=rfc822;x%0D%0ADATA"},
		{"X-Postern-Quarantine-Backend: main",
			"X-Postern-Quarantine-From: <a@client.example>"},
		{"RET=HDRS", "RET=HDRS FOO=1"},
		{"ENVID=a+2Bb", "ENVID=a%0D%0AQUIT"},
		{"NOTIFY=SUCCESS,DELAY", "NOTIFY=ALWAYS"},
		{"NOTIFY=SUCCESS,DELAY", "NOTIFY=NEVER%0D%0ADATA"},
		{" SMTPUTF8", ""}, /* and so 8-bit addresses are wrong */
		{"Score: 7.5", "Score: nan"},
		{"Score: 7.5", "Score: "},
		{"Size: 17", "Size: -17"},
		{"Size: 17", "Size: 99999999999999999999"},
		{"Rule: exe\r\n", "Rule: exe\n"},
		{"X-Postern-Quarantine-Rule: exe\r\n", "Subject: x\r\n"},
		{"X-Postern-Quarantine-Rule: exe\r\n", "\r\n"},
		{"X-Postern-Quarantine-Rule: exe\r\n", "X-Postern-Quarantine-Version: 1\r\n"},
	};
	struct play *p = *state;
	struct quarantined q;
	struct err err;
	size_t head;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct span file = span_text(replaced(p, cases[i].what, cases[i].with));

		if (quarantined_read(file, p->arena, &q, &head, &err) != QUARANTINED_BAD)
			fail_msg("`%s` was taken", cases[i].with);
		assert_true(err.text[0]);
	}
}

static void test_ids(void **state)
{
	(void)state;
	assert_true(quarantine_id_valid(SPAN("K7Q2M4T6A9ZC.1-2_x")));
	assert_false(quarantine_id_valid(SPAN("")));
	assert_false(quarantine_id_valid(SPAN(".")));
	assert_false(quarantine_id_valid(SPAN("..")));
	assert_false(quarantine_id_valid(SPAN("a/b")));
	assert_false(quarantine_id_valid(SPAN("-rf")));
	assert_false(quarantine_id_valid(
		SPAN("1234567890123456789012345678901234567890123456789012345678901234")));
}

/* --- the folder --- */

static void on_done(struct quarantine_write *write)
{
	struct play *p = write->context;

	p->done++;
}

static void put(struct play *p, struct quarantine_write *write)
{
	unsigned before = p->done;

	*write = (struct quarantine_write){
		.about = &p->about, .message = &p->message, .done = on_done, .context = p};
	quarantine_write(p->quarantine, write);
	assert_int_equal(p->done, before);
	while (p->done == before)
		loop_turn(&p->loop, true);
	assert_int_equal(p->done, before + 1);
}

static const char *content_of(struct play *p, const char *name)
{
	char *text = arena_alloc(p->arena, FILE_MAX);
	int fd = openat(p->dir, name, O_RDONLY);
	ssize_t len;

	assert_true(fd >= 0);
	len = read(fd, text, FILE_MAX - 1);
	assert_true(len > 0);
	close(fd);
	return text;
}

static void test_write(void **state)
{
	struct play *p = *state;
	struct quarantine_write write;
	struct quarantined q;
	struct stat info;
	struct err err;
	uint64_t head;
	int fd;

	open_quarantine(p, FILE_MAX);
	assert_true(buffer_add_text(&p->message.prefix, "Received: x\r\n"));
	put(p, &write);
	buffer_free(&p->message.prefix);
	assert_int_equal(write.outcome, QUARANTINE_KEPT);
	assert_int_equal(quarantine_reply(&write).code, 250);
	assert_string_equal(write.id, "K7Q2M4T6A9ZC.1");
	assert_string_equal(content_of(p, "new/K7Q2M4T6A9ZC.1"),
		"X-Postern-Quarantine-Version: 1\r\n"
		"X-Postern-Quarantine-ID: K7Q2M4T6A9ZC.1\r\n"
		"X-Postern-Quarantine-Time: 2026-11-23T16:00:00.123Z\r\n"
		"X-Postern-Quarantine-Session: K7Q2M4T6A9ZC\r\n"
		"X-Postern-Quarantine-Transaction: K7Q2M4T6A9ZC.1\r\n"
		"X-Postern-Quarantine-Protocol: SMTP\r\n"
		"X-Postern-Quarantine-From: <a@client.example>\r\n"
		"X-Postern-Quarantine-To: <b@example.com>\r\n"
		"X-Postern-Quarantine-Rule: exe\r\n"
		"X-Postern-Quarantine-Why: executable attached\r\n"
		"X-Postern-Quarantine-Score: 0\r\n"
		"X-Postern-Quarantine-Size: 31\r\n"
		"Received: x\r\nA: 1\r\n\r\nthe body\r\n");
	assert_int_equal(files_in(p, "tmp"), 0);
	fd = openat(p->dir, "new/K7Q2M4T6A9ZC.1", O_RDONLY);
	assert_int_equal(fstat(fd, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	assert_true(quarantined_load(fd, p->arena, &q, &head, &err));
	assert_int_equal(q.size_bytes, 31);
	close(fd);
}

/* Memory and file, with a change: what would have gone on. */
static void test_write_from_disk(void **state)
{
	struct play *p = *state;
	struct message_change change = {0, 6, SPAN("B: 2\r\n")};
	struct quarantine_write write;
	char path[] = "/tmp/postern-spool.XXXXXX";
	const char *text;

	open_quarantine(p, FILE_MAX);
	p->message.spool.fd = mkstemp(path);
	unlink(path);
	assert_int_equal(pwrite(p->message.spool.fd, "on disk\r\n", 9, 0), 9);
	p->message.spool.file_len = 9;
	p->message.changes = &change;
	p->message.n_changes = 1;
	put(p, &write);
	assert_int_equal(write.outcome, QUARANTINE_KEPT);
	text = content_of(p, "new/K7Q2M4T6A9ZC.1");
	assert_string_equal(
		strstr(text, "Size: 27"), "Size: 27\r\nB: 2\r\n\r\nthe body\r\non disk\r\n");
	/* A spool that is shorter than it says. */
	p->message.spool.file_len = 10;
	put(p, &write);
	assert_int_equal(write.outcome, QUARANTINE_FAILED);
	assert_int_equal(quarantine_reply(&write).code, 451);
	assert_int_equal(files_in(p, "tmp"), 0);
	assert_int_equal(files_in(p, "new"), 1);
	close(p->message.spool.fd);
}

/* One transaction may hold back several times, for several groups of recipients. */
static void test_same_transaction(void **state)
{
	struct play *p = *state;
	struct quarantine_write first, second, third;

	open_quarantine(p, FILE_MAX);
	put(p, &first);
	put(p, &second);
	put(p, &third);
	assert_string_equal(second.id, "K7Q2M4T6A9ZC.1-2");
	assert_string_equal(third.id, "K7Q2M4T6A9ZC.1-3");
	assert_non_null(strstr(content_of(p, "new/K7Q2M4T6A9ZC.1-2"), "ID: K7Q2M4T6A9ZC.1-2\r\n"));
	assert_int_equal(files_in(p, "new"), 3);
}

static void test_bad_name(void **state)
{
	struct play *p = *state;
	struct quarantine_write write;

	open_quarantine(p, FILE_MAX);
	p->about.tid = SPAN("../x");
	put(p, &write);
	assert_int_equal(write.outcome, QUARANTINE_FAILED);
}

static void test_full(void **state)
{
	struct play *p = *state;
	struct quarantine_write write;
	unsigned kept = 0;

	open_quarantine(p, 2000);
	do {
		put(p, &write);
		kept += write.outcome == QUARANTINE_KEPT;
	} while (write.outcome == QUARANTINE_KEPT && kept < 100);
	assert_int_equal(write.outcome, QUARANTINE_FULL);
	assert_int_equal(quarantine_reply(&write).code, 452);
	assert_int_equal(kept, 3);
	assert_int_equal(files_in(p, "new"), 3);
	assert_int_equal(files_in(p, "tmp"), 0);
	/* What was deleted by hand is noticed at the next scan, and not sooner. */
	empty(p, "new", true);
	put(p, &write);
	assert_int_equal(write.outcome, QUARANTINE_FULL);
	p->loop.clock.offset_ms += QUARANTINE_SCAN_MS;
	put(p, &write);
	assert_int_equal(write.outcome, QUARANTINE_KEPT);
}

/* What others wrote counts too. */
static void test_full_of_others(void **state)
{
	struct play *p = *state;
	struct quarantine_write write;
	int fd = openat(p->dir, "new/other", O_CREAT | O_WRONLY, 0600);

	assert_int_equal(ftruncate(fd, 10000), 0);
	close(fd);
	open_quarantine(p, 10100);
	put(p, &write);
	assert_int_equal(write.outcome, QUARANTINE_FULL);
}

static void test_disk_full(void **state)
{
	struct play *p = *state;
	struct rlimit old, small;
	struct quarantine_write write;

	open_quarantine(p, FILE_MAX);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 300;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	put(p, &write);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(write.outcome, QUARANTINE_FULL);
	assert_int_equal(files_in(p, "tmp"), 0);
	assert_int_equal(files_in(p, "new"), 0);
	put(p, &write);
	assert_int_equal(write.outcome, QUARANTINE_KEPT);
}

static void test_no_folder(void **state)
{
	struct play *p = *state;
	struct quarantine_write write;
	int dir = p->dir;

	p->dir = -1;
	open_quarantine(p, FILE_MAX);
	p->dir = dir;
	put(p, &write);
	assert_int_equal(write.outcome, QUARANTINE_FAILED);
	assert_non_null(strstr(write.err.text, "no folder"));
	quarantine_close(&p->quarantine);
	assert_int_equal(unlinkat(p->dir, "new", AT_REMOVEDIR), 0);
	open_quarantine(p, FILE_MAX);
	put(p, &write);
	assert_int_equal(write.outcome, QUARANTINE_FAILED);
	assert_non_null(strstr(write.err.text, "folder new"));
}

static void make_aged(struct play *p, const char *name, uint64_t age_s)
{
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT}, {.tv_sec = time(NULL) - (time_t)age_s}};
	int fd = openat(p->dir, name, O_CREAT | O_WRONLY, 0600);

	assert_true(fd >= 0);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static bool is_there(struct play *p, const char *name)
{
	return faccessat(p->dir, name, F_OK, 0) == 0;
}

static void make_old_and_young(struct play *p)
{
	make_aged(p, "new/old", 30 * 86400 + 100);
	make_aged(p, "new/young", 30 * 86400 - 100);
	make_aged(p, "tmp/dead", 3700);
	make_aged(p, "tmp/alive", 3500);
}

static void check_old_and_young(struct play *p)
{
	assert_false(is_there(p, "new/old"));
	assert_true(is_there(p, "new/young"));
	assert_false(is_there(p, "tmp/dead"));
	assert_true(is_there(p, "tmp/alive"));
}

static void test_expiry_by_write(void **state)
{
	struct play *p = *state;
	struct quarantine_write write;

	open_quarantine(p, FILE_MAX);
	make_old_and_young(p);
	put(p, &write);
	assert_int_equal(write.outcome, QUARANTINE_KEPT);
	check_old_and_young(p);
}

/* When nothing is written too. */
static void test_expiry_by_time(void **state)
{
	struct play *p = *state;

	open_quarantine(p, FILE_MAX);
	for (int hour = 0; hour < 3; hour++) {
		make_old_and_young(p);
		p->loop.clock.offset_ms += QUARANTINE_EXPIRY_MS;
		timers_run(&p->loop.timers);
		while (is_there(p, "new/old") || is_there(p, "tmp/dead"))
			loop_turn(&p->loop, true);
		loop_turn(&p->loop, false);
		check_old_and_young(p);
	}
}

static void count_kept(struct quarantine_write *write)
{
	unsigned *kept = write->context;

	assert_int_equal(write->outcome, QUARANTINE_KEPT);
	++*kept;
}

/* Many at once, from as many threads as there are; and closing waits for them. */
static void test_many(void **state)
{
	struct play *p = *state;
	struct quarantine_write writes[100];
	struct quarantined about[100];
	unsigned kept = 0;

	open_quarantine(p, FILE_MAX);
	for (unsigned i = 0; i < COUNT_OF(writes); i++) {
		about[i] = p->about;
		about[i].tid = span_text(arena_print(p->arena, "T.%u", i));
		writes[i] = (struct quarantine_write){.about = &about[i],
			.message = &p->message,
			.done = count_kept,
			.context = &kept};
		quarantine_write(p->quarantine, &writes[i]);
	}
	assert_int_equal(kept, 0);
	quarantine_close(&p->quarantine);
	assert_int_equal(kept, COUNT_OF(writes));
	assert_int_equal(files_in(p, "new"), COUNT_OF(writes));
	assert_int_equal(files_in(p, "tmp"), 0);
}

static void test_load_truncated(void **state)
{
	struct play *p = *state;
	struct quarantine_write write;
	struct quarantined q;
	struct err err;
	uint64_t head;
	int fd;

	open_quarantine(p, FILE_MAX);
	put(p, &write);
	fd = openat(p->dir, "new/K7Q2M4T6A9ZC.1", O_RDWR);
	assert_true(quarantined_load(fd, p->arena, &q, &head, &err));
	assert_int_equal(ftruncate(fd, (off_t)(head + q.size_bytes - 1)), 0);
	assert_false(quarantined_load(fd, p->arena, &q, &head, &err));
	assert_non_null(strstr(err.text, "should have"));
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_false(quarantined_load(fd, p->arena, &q, &head, &err));
	assert_non_null(strstr(err.text, "ends before"));
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_false(quarantined_load(fd, p->arena, &q, &head, &err));
	close(fd);
}

/* More recipients than the first read holds. */
static void test_load_large(void **state)
{
	struct play *p = *state;
	struct recipient *many = arena_alloc(p->arena, 5000 * sizeof(*many));
	struct quarantine_write write;
	struct quarantined q;
	struct err err;
	uint64_t head;
	int fd;

	for (unsigned i = 0; i < 5000; i++) {
		many[i].to.mailbox = span_text(arena_print(p->arena, "user%u@example.com", i));
		many[i].next = i + 1 < 5000 ? &many[i + 1] : NULL;
	}
	p->about.envelope.recipients = many;
	p->about.envelope.n_recipients = 5000;
	open_quarantine(p, FILE_MAX);
	put(p, &write);
	assert_int_equal(write.outcome, QUARANTINE_KEPT);
	fd = openat(p->dir, "new/K7Q2M4T6A9ZC.1", O_RDONLY);
	assert_true(quarantined_load(fd, p->arena, &q, &head, &err));
	assert_int_equal(q.envelope.n_recipients, 5000);
	assert_true(span_equal(q.envelope.recipients->to.mailbox, SPAN("user0@example.com")));
	close(fd);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_play, close_play)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_form),
		CASE(test_form_in_parts),
		CASE(test_form_tampered),
		cmocka_unit_test(test_ids),
		CASE(test_write),
		CASE(test_write_from_disk),
		CASE(test_same_transaction),
		CASE(test_bad_name),
		CASE(test_full),
		CASE(test_full_of_others),
		CASE(test_disk_full),
		CASE(test_no_folder),
		CASE(test_expiry_by_write),
		CASE(test_expiry_by_time),
		CASE(test_many),
		CASE(test_load_truncated),
		CASE(test_load_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
