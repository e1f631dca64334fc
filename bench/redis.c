/*
 * redis: what the store on Redis does in a second, over one connection as a worker has it: greylist
 * decisions (GREY_LOOK, and GREY_TRIED told behind each), one after the other and many at once; and
 * how long a list takes to be read, and what it costs in memory.
 *
 *     redis [ITEMS] [URL]
 *
 * Without a url it starts a redis-server of its own on a unix socket.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/store/redis_lists.h"
#include "lib/store/redis_store.h"

enum { DECISIONS = 200 * 1000, SERIAL = 20 * 1000, WINDOW_MAX = 256, ITEMS = 1000 * 1000 };

struct bench {
	struct loop loop;
	struct log log;
	struct redis_url url;
	struct store *store;
	struct slot {
		struct bench *bench;
		struct store_request request;
	} slots[WINDOW_MAX];
	unsigned begun, ended, wanted, failed;
	bool loaded;
	char folder[32];
	pid_t server;
};

static double now_s(struct bench *bench)
{
	return (double)clock_now_us(&bench->loop.clock) / 1e6;
}

/* Of this process: bytes that are its own. */
static double memory_mb(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long total = 0, resident = 0;

	if (file && fscanf(file, "%lu %lu", &total, &resident) != 2)
		resident = 0;
	if (file)
		fclose(file);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

/* --- decisions --- */

static void ask(struct slot *slot);

static void on_done(struct store_request *request)
{
	struct slot *slot = request->context;
	struct bench *bench = slot->bench;

	bench->ended++;
	bench->failed += request->outcome != STORE_DONE;
	if (bench->begun < bench->wanted)
		ask(slot);
}

static void ask(struct slot *slot)
{
	struct bench *bench = slot->bench;
	char key[128];

	snprintf(key, sizeof(key), "192.0.%u.0/24 someone-%u@example.com bob@example.net",
		bench->begun % 256, bench->begun % 50000);
	slot->request = (struct store_request){.kind = STORE_GREY_LOOK,
		.parts = {span_text(key)},
		.n_parts = 1,
		.done = on_done,
		.context = slot};
	bench->begun++;
	store_ask(bench->store, &slot->request);
	store_tell(bench->store, STORE_GREY_TRIED,
		(struct span[]){span_text(key), SPAN("86400000")}, 2);
}

static void decide(struct bench *bench, unsigned window, unsigned wanted)
{
	double begun_s = now_s(bench), took_s;

	bench->begun = bench->ended = bench->failed = 0;
	bench->wanted = wanted;
	for (unsigned i = 0; i < window; i++) {
		bench->slots[i].bench = bench;
		ask(&bench->slots[i]);
	}
	while (bench->ended < wanted)
		loop_turn(&bench->loop, true);
	took_s = now_s(bench) - begun_s;
	printf("greylist decisions, %3u at once: %8.0f /s, %.0f us each%s\n", window,
		wanted / took_s, took_s / wanted * window * 1e6,
		bench->failed ? " (some failed)" : "");
}

/* --- a list --- */

static bool read_field(void *context, const char *list, struct span field, struct arena *arena,
	enum image_kind *kind, struct image_item *out)
{
	(void)context;
	(void)list;
	(void)arena;
	*kind = IMAGE_V4;
	return cidr_parse(field, &out->network, NULL);
}

static void on_loaded(void *context, const char *list)
{
	struct bench *bench = context;

	(void)list;
	bench->loaded = true;
}

static void on_change(
	void *context, const char *list, enum image_kind kind, const struct image_item *item)
{
	(void)context;
	(void)list;
	(void)kind;
	(void)item;
}

static bool count(void *taker, const struct image_item *item)
{
	(void)item;
	++*(uint64_t *)taker;
	return true;
}

static void fill(struct bench *bench, unsigned items)
{
	redisContext *c = redisConnectUnix(bench->url.path);
	const char *script = "for i = ARGV[1], ARGV[1] + 9999 do redis.call('HSET', "
			     "'postern:list:{bench}', (i % 223 + 1) .. '.' .. (math.floor(i / "
			     "65536) % 256) .. '.' .. (math.floor(i / 256) % 256) .. '.' .. (i % "
			     "256), '{\"reason\":\"r' .. i % 100 .. '\",\"at\":1700000000}') end";

	ENSURE(c && !c->err);
	for (unsigned i = 0; i < items; i += 10000)
		freeReplyObject(redisCommand(c, "EVAL %s 0 %u", script, i));
	redisFree(c);
}

static void read_list(struct bench *bench, unsigned items)
{
	double before_mb = memory_mb(), begun_s, took_s;
	struct err err = {{0}};
	struct redis_lists *lists;
	uint64_t n = 0;

	fill(bench, items);
	begun_s = now_s(bench);
	lists = redis_lists_open(&(struct redis_lists_setup){.loop = &bench->loop,
					 .log = &bench->log,
					 .url = &bench->url,
					 .read = read_field,
					 .on_loaded = on_loaded,
					 .on_change = on_change,
					 .context = bench},
		&err);
	ENSURE(lists);
	redis_lists_follow(lists, "bench");
	while (!bench->loaded)
		loop_turn(&bench->loop, true);
	took_s = now_s(bench) - begun_s;
	printf("a list of %u: read in %.1f s, %+.0f MB here\n", items, took_s,
		memory_mb() - before_mb);
	begun_s = now_s(bench);
	ENSURE(redis_lists_walk(lists, "bench", IMAGE_V4, NULL, NULL, count, &n, &err));
	printf("  walked (%" PRIu64 " items) in %.1f s\n", n, now_s(bench) - begun_s);
	redis_lists_close(&lists);
}

/* --- life --- */

static void start_server(struct bench *bench)
{
	strcpy(bench->folder, "/tmp/postern-bench.XXXXXX");
	ENSURE(mkdtemp(bench->folder));
	bench->url.form = REDIS_UNIX;
	snprintf(bench->url.path, sizeof(bench->url.path), "%s/socket", bench->folder);
	fflush(NULL);
	bench->server = fork();
	if (bench->server == 0) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(126);
		execlp("redis-server", "redis-server", "--port", "0", "--save", "", "--unixsocket",
			bench->url.path, "--dir", bench->folder, (char *)NULL);
		_exit(127);
	}
}

static void stop_server(struct bench *bench)
{
	if (!bench->server)
		return;
	kill(bench->server, SIGKILL);
	waitpid(bench->server, NULL, 0);
	unlink(bench->url.path);
	rmdir(bench->folder);
}

int main(int argc, char **argv)
{
	struct bench *bench = memory_zeroed(sizeof(*bench));
	unsigned items = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : ITEMS;
	struct err err = {{0}};
	size_t offset;

	loop_init(&bench->loop);
	log_init(&bench->log, -1, true, &bench->loop.clock, "bench");
	if (argc > 2 && !redis_url_read(span_text(argv[2]), &bench->url, &offset, &err)) {
		fprintf(stderr, "redis: %s\n", err.text);
		return 2;
	}
	if (argc <= 2)
		start_server(bench);
	bench->store = store_open_redis(&bench->loop, &bench->log, &bench->url, NULL, &err);
	ENSURE(bench->store);
	while (!store_is_there(bench->store))
		loop_turn(&bench->loop, true);
	decide(bench, 1, SERIAL);
	decide(bench, 16, DECISIONS);
	decide(bench, WINDOW_MAX, DECISIONS);
	if (argc <= 2)
		read_list(bench, items);
	store_close(&bench->store);
	loop_close(&bench->loop);
	stop_server(bench);
	log_close(&bench->log);
	free(bench);
	return 0;
}
