/*
 * What the embedded store makes of greylisting: decisions per second as a worker sees them, each a
 * look and an attempt that is told, with a window of them under way; and how long the look alone
 * takes when one is under way.
 *
 *     build/release/bench/memory [DECISIONS]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/store/keeper_client.h"
#include "lib/store/keeper_store.h"

enum { DECISIONS = 200 * 1000, WINDOW = 256, KEYS = 50 * 1000, KEY_MAX = 96 };

struct decision {
	struct bench *bench;
	char key[KEY_MAX];
	uint64_t begun_us;
	struct store_request request;
};

struct bench {
	struct loop loop;
	struct log log;
	char folder[32];
	struct keeper_store *keeper;
	struct store *store;
	unsigned begun, done, most;
	uint64_t *took_us; /* owned */
	struct decision decisions[WINDOW];
};

static void on_own_answer(
	void *context, uint32_t id, enum store_outcome outcome, struct span answer)
{
	(void)context;
	(void)id;
	(void)outcome;
	(void)answer;
}

static void decide(struct decision *d);

static void on_look(struct store_request *request)
{
	struct decision *d = request->context;
	struct bench *b = d->bench;

	ENSURE(request->outcome == STORE_DONE);
	b->took_us[b->done++] = clock_now_us(&b->loop.clock) - d->begun_us;
	store_tell(b->store, STORE_GREY_TRIED, (struct span[]){span_text(d->key), SPAN("86400000")},
		2);
	if (b->begun < b->most)
		decide(d);
}

static void decide(struct decision *d)
{
	struct bench *b = d->bench;
	unsigned n = b->begun++ * 7919u % KEYS;

	snprintf(d->key, sizeof(d->key), "10.%u.%u.0/24 sender%u@example.com user%u@example.net",
		n >> 8 & 255, n & 255, n, n % 1000);
	d->begun_us = clock_now_us(&b->loop.clock);
	d->request = (struct store_request){.kind = STORE_GREY_LOOK,
		.parts = {span_text(d->key)},
		.n_parts = 1,
		.timeout_ms = 60 * 1000,
		.done = on_look,
		.context = d};
	store_ask(b->store, &d->request);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void run(struct bench *b, unsigned window, unsigned most)
{
	uint64_t begun_us = clock_now_us(&b->loop.clock);
	double seconds;

	b->begun = b->done = 0;
	b->most = most;
	b->took_us = memory_new(most * sizeof(b->took_us[0]));
	for (unsigned i = 0; i < window && b->begun < most; i++)
		decide(&b->decisions[i]);
	while (b->done < most)
		loop_turn(&b->loop, true);
	seconds = (double)(clock_now_us(&b->loop.clock) - begun_us) / 1e6;
	qsort(b->took_us, most, sizeof(b->took_us[0]), compare);
	printf("%3u under way: %7.0f decisions/s, look p50 %llu us, p99 %llu us\n", window,
		most / seconds, (unsigned long long)b->took_us[most / 2],
		(unsigned long long)b->took_us[most / 100 * 99]);
	free(b->took_us);
}

static void open_both(struct bench *b)
{
	struct keeper_store_setup setup = {
		.loop = &b->loop, .log = &b->log, .on_answer = on_own_answer, .context = b};
	int pair[2];

	strcpy(b->folder, "/tmp/bench-memory.XXXXXX");
	ENSURE(mkdtemp(b->folder));
	setup.database.dir = open(b->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ENSURE(setup.database.dir >= 0);
	b->keeper = keeper_store_open(&setup);
	b->store = store_open_keeper(&b->loop, &b->log);
	ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	keeper_store_link(b->keeper, pair[0]);
	store_link(b->store, pair[1]);
}

static void close_both(struct bench *b)
{
	static const char *const names[] = {"postern.db", "postern.db-wal", "postern.db-shm"};
	char path[64];

	store_close(&b->store);
	keeper_store_close(&b->keeper);
	loop_close(&b->loop);
	log_close(&b->log);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", b->folder, names[i]);
		unlink(path);
	}
	rmdir(b->folder);
}

int main(int argc, char **argv)
{
	struct bench *b = memory_zeroed(sizeof(*b));
	unsigned most = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : DECISIONS;

	most = most < 1000 ? 1000 : most;
	loop_init(&b->loop);
	log_init(&b->log, STDERR_FILENO, false, &b->loop.clock, "bench");
	for (unsigned i = 0; i < WINDOW; i++)
		b->decisions[i].bench = b;
	open_both(b);
	run(b, 1, most / 10);
	run(b, 16, most);
	run(b, WINDOW, most);
	close_both(b);
	free(b);
	return 0;
}
