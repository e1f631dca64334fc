#include "store_play.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 20 * 1000, ANSWER_MAX = 64 * 1024 * 1024 };

void store_play_open(struct store_play *play)
{
	memset(play, 0, sizeof(*play));
	loop_init(&play->loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, play->log_fds), 0);
	log_init(&play->log, play->log_fds[0], true, &play->loop.clock, "test");
	strcpy(play->folder, "/tmp/postern-store.XXXXXX");
	assert_non_null(mkdtemp(play->folder));
	play->answer = BUFFER_INIT(ANSWER_MAX);
}

static void empty_folder(const struct store_play *play)
{
	DIR *list = opendir(play->folder);
	const struct dirent *entry;

	while (list && (entry = readdir(list)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(list), entry->d_name, 0);
	closedir(list);
	rmdir(play->folder);
}

void store_play_close(struct store_play *play)
{
	store_close(&play->store);
	store_play_keeper_end(play);
	loop_close(&play->loop);
	log_close(&play->log);
	close(play->log_fds[0]);
	close(play->log_fds[1]);
	buffer_free(&play->answer);
	empty_folder(play);
}

int store_play_folder(const struct store_play *play)
{
	int fd = open(play->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void on_answer(void *context, uint32_t id, enum store_outcome outcome, struct span answer)
{
	struct store_play *play = context;

	play->answers++;
	play->answer_id = id;
	play->answer_outcome = outcome;
	buffer_clear(&play->answer);
	assert_true(buffer_add(&play->answer, answer));
}

static void on_known_good(void *context, struct span key)
{
	struct store_play *play = context;

	assert_true(key.len < sizeof(play->known_good));
	memcpy(play->known_good, key.at, key.len);
	play->known_good[key.len] = '\0';
	play->n_known_good++;
}

void store_play_keeper(struct store_play *play, const struct database_setup *limits)
{
	struct keeper_store_setup setup = {.loop = &play->loop,
		.log = &play->log,
		.on_answer = on_answer,
		.on_known_good = on_known_good,
		.context = play,
		.gather_ms = play->gather_ms ? play->gather_ms : 1};

	if (limits)
		setup.database = *limits;
	setup.database.dir = store_play_folder(play);
	play->keeper = keeper_store_open(&setup);
}

void store_play_keeper_end(struct store_play *play)
{
	keeper_store_close(&play->keeper);
}

void store_play_link(struct store_play *play)
{
	int pair[2];

	if (!play->store)
		play->store = store_open_keeper(&play->loop, &play->log);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	keeper_store_link(play->keeper, pair[0]);
	store_link(play->store, pair[1]);
}

unsigned store_play_files(const struct store_play *play, const char *prefix)
{
	DIR *list = opendir(play->folder);
	const struct dirent *entry;
	unsigned count = 0;

	while (list && (entry = readdir(list)))
		count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
	closedir(list);
	return count;
}

bool store_play_logged(struct store_play *play, const char *event)
{
	char line[4096], wanted[80];
	bool found = false;
	ssize_t got;

	snprintf(wanted, sizeof(wanted), "\"event\":\"%s\"", event);
	while ((got = recv(play->log_fds[1], line, sizeof(line) - 1, MSG_DONTWAIT)) > 0) {
		line[got] = '\0';
		found = found || strstr(line, wanted);
	}
	return found;
}

void store_play_turn(struct store_play *play, uint64_t *since_ms, const char *file, int line)
{
	const struct clock real = {0};
	uint64_t now_ms = clock_now_ms(&real);

	if (*since_ms == 0)
		*since_ms = now_ms;
	if (now_ms - *since_ms > PATIENCE_MS)
		_fail(file, line);
	loop_turn(&play->loop, false);
	usleep(500);
}

enum store_outcome store_play_ask(
	struct store_play *play, enum store_kind kind, const char *first, const char *second)
{
	struct span parts[2] = {span_text(first), span_text(second)};
	unsigned before = play->answers;

	keeper_store_ask(play->keeper, 7, kind, parts, (first != NULL) + (second != NULL));
	STORE_PLAY_UNTIL(play, play->answers > before);
	assert_int_equal(play->answer_id, 7);
	return play->answer_outcome;
}

static void on_done(struct store_request *request)
{
	on_answer(request->context, 7, request->outcome, request->answer);
}

enum store_outcome store_play_request(
	struct store_play *play, enum store_kind kind, const char *const parts[STORE_PLAY_PARTS])
{
	struct store_request request = {
		.kind = kind, .timeout_ms = 2 * PATIENCE_MS, .done = on_done, .context = play};
	unsigned before = play->answers;

	while (request.n_parts < STORE_PLAY_PARTS && parts[request.n_parts]) {
		request.parts[request.n_parts] = span_text(parts[request.n_parts]);
		request.n_parts++;
	}
	if (play->keeper)
		keeper_store_ask(play->keeper, 7, kind, request.parts, request.n_parts);
	else
		store_ask(play->store, &request);
	STORE_PLAY_UNTIL(play, play->answers > before);
	return play->answer_outcome;
}

void store_play_move(struct store_play *play, uint64_t ms)
{
	play->loop.clock.offset_ms += ms;
}

struct dmarc_results store_play_results(void)
{
	struct dmarc_results results = {.policy_domain = SPAN("example.com"),
		.record = SPAN("v=DMARC1; p=reject; rua=mailto:dmarc@example.com"),
		.disposition = DMARC_DONE_REJECT,
		.header_from = SPAN("mail.example.com"),
		.envelope_from = SPAN("bounce.example.net"),
		.spf_domain = SPAN("bounce.example.net"),
		.spf_scope = SPAN("mfrom"),
		.spf_result = SPAN("fail"),
		.signatures = {{SPAN("example.org"), SPAN("sel"), SPAN("pass")}},
		.n_signatures = 1};

	assert_true(ip_parse(SPAN("192.0.2.1"), &results.source));
	return results;
}

const char *store_play_today(const struct store_play *play)
{
	static char day[CLOCK_RFC3339_SIZE];

	clock_rfc3339(clock_wall_ms(&play->loop.clock), day);
	day[10] = '\0';
	return day;
}
