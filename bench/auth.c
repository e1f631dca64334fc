/*
 * auth [KIND]: what SPF, DKIM (RSA, 2048 bits) and DMARC cost for a message, all of it: the filters
 * of a worker, run through the pipeline as a session runs them, DNS from the cache, a real authn
 * process with its runners behind their sandbox, and Authentication-Results written. Beside it, in
 * turns, libopendkim alone on the same message (bench/sample.h).
 *
 * CPU time of the worker and of its authn process counts, the least of some rounds: what else the
 * machine does only adds. A runner is replaced now and then, and its time is gone with it: then the
 * round is measured again. How long the loop is held is CPU time, too: from where it was woken to
 * where it waits again, with all that came of all messages at once; what another process takes in
 * between is not the worker's doing.
 *
 * Goals: 1.5 times the library's time for 4 KB, no less than 0.8 of its rate for 1 MB, and no round
 * of the loop over 2 ms.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/sample.h"
#include "filters/pipeline.h"
#include "lib/base/fail.h"
#include "lib/mail/authres_field.h"
#include "lib/net/dns.h"
#include "tests/unit/authn_play.h"

enum {
	ROUNDS = 12,
	RETRIES = 5, /* of a round in which a runner was replaced */
	SESSIONS_MAX = 20,
	SLOTS_MAX = 16,
	PIECE_BYTES = LOOP_READ_SIZE, /* what a read from the client brings */
	FIELD_MAX = 16 * 1024,
	RUNNERS_MAX = 64,
	GOAL_HELD_MS = 2
};

/* What postern measures of each message, with `authentication_results always`, of these three. */
static const char *const measured[] = {"spf", "spf.domain", "spf.authres", "spf.received",
	"from.domain", "dkim", "dkim.results", "dkim.authres", "dmarc", "dmarc.policy",
	"dmarc.domain", "dmarc.record", "dmarc.spf_aligned", "dmarc.dkim_aligned", "dmarc.authres"};

static const char *const expected[] = {"spf=pass ", "dkim=pass ", "dmarc=pass "};

struct bench;

/*
 * A session goes on by one step in each round of the loop, as it would when its client sends:
 *
 *     FREE --MAIL, RCPT--> ENVELOPE --headers--> CONTENT --the last piece--> ENDED --all is
 *      ^                                                                      |      known
 *      +----------------------------------------------------------------------+
 */
struct session {
	struct bench *bench;
	struct pipeline *pipeline;
	struct arena *arena;
	enum { FREE, ENVELOPE, CONTENT, ENDED } state;
	struct filter_view view;
	size_t fed;
};

struct bench {
	struct sample sample;
	struct buffer content; /* the sample as one */
	struct span headers;   /* with their empty line */
	struct loop loop;
	struct log log;
	struct dns *dns;
	struct authn_play *authn;
	struct filter_set *set;
	struct filters *filters;
	struct filter_slot slots[SLOTS_MAX];
	bool wanted[SLOTS_MAX];
	struct address sender;
	struct session sessions[SESSIONS_MAX];
	unsigned n_begun, n_done;
	double held_us; /* the longest round of the loop */
};

static double clock_us(clockid_t id)
{
	struct timespec t;

	ENSURE(clock_gettime(id, &t) == 0);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* --- DNS --- */

/* Ends with us. */
static struct endpoint start_names(const struct sample *sample, pid_t *pid)
{
	struct name_text names[SAMPLE_NAMES];
	struct endpoint server = {.port = 0};
	int fd = names_socket(&server.port);

	sample_names(sample, names);
	ENSURE(ip_parse(SPAN("127.0.0.1"), &server.ip));
	*pid = fork();
	ENSURE(*pid >= 0);
	if (*pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		names_serve(fd, names, SAMPLE_NAMES);
	}
	close(fd);
	return server;
}

static void stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* --- a worker --- */

static void die(const char *what, const struct err *err)
{
	fprintf(stderr, "auth: %s: %s\n", what, err->text);
	exit(2);
}

static void fill_slots(struct bench *b)
{
	unsigned n_at[STAGE_COUNT] = {0};

	for (size_t i = 0; i < COUNT_OF(measured); i++) {
		struct filter_slot *slot = &b->slots[i];

		slot->fact = fact_find(
			filter_set_registry(b->set), span_text(measured[i]), &slot->source);
		ENSURE(slot->fact);
		slot->stage = slot->fact->stage;
		slot->index = n_at[slot->stage]++;
		slot->rides = true;
		b->wanted[i] = true;
	}
}

static void open_worker(struct bench *b, const struct endpoint *names)
{
	struct dns_setup resolver = {
		.loop = &b->loop, .servers = names, .n_servers = 1, .timeout_ms = 5000};
	struct filters_setup setup = {.loop = &b->loop,
		.log = &b->log,
		.hostname = "mx.example.net",
		.timeout_ms = 10000,
		.slots = b->slots,
		.n_slots = COUNT_OF(measured)};
	struct err err = {""};

	loop_init(&b->loop);
	log_init(&b->log, STDERR_FILENO, false, &b->loop.clock, "bench");
	b->authn = authn_play_new(&b->loop, &b->log, &authn_kinds);
	b->set = filter_set_new(NULL, 0, NULL, &err);
	b->dns = b->set ? dns_open(&resolver, &err) : NULL;
	if (!b->dns)
		die("start", &err);
	fill_slots(b);
	setup.set = b->set;
	setup.dns = b->dns;
	setup.authn = b->authn->authn;
	b->filters = filters_open(&setup, &err);
	if (!b->filters)
		die("filters", &err);
	ENSURE(address_parse(SPAN("sender@" SAMPLE_DOMAIN), false, &b->sender) == ADDRESS_OK);
	for (size_t i = 0; i < SESSIONS_MAX; i++)
		b->sessions[i].bench = b;
}

static void close_worker(struct bench *b)
{
	while (!filters_quiet(b->filters))
		loop_turn(&b->loop, true);
	filters_close(&b->filters);
	authn_play_free(&b->authn);
	dns_close(&b->dns);
	loop_turn(&b->loop, false);
	filter_set_free(&b->set);
	log_close(&b->log);
	loop_close(&b->loop);
}

/* --- a session --- */

static void on_changed(void *context)
{
	(void)context; /* it is looked at in each round anyway */
}

static size_t on_replay(
	void *context, uint64_t from, void (*take)(void *, struct span), void *taker)
{
	const struct session *session = context;
	struct span come = span_first(buffer_span(&session->bench->content), session->fed);
	struct span piece = span_first(span_from(come, from), PIECE_BYTES);

	if (piece.len)
		take(taker, piece);
	return piece.len;
}

static void want(struct session *session)
{
	while (pipeline_want(session->pipeline, session->bench->wanted))
		continue;
}

static void begin(struct session *session)
{
	struct bench *b = session->bench;

	b->n_begun++;
	session->view = (struct filter_view){
		.listener = "0.0.0.0:25", .helo = SPAN(SAMPLE_DOMAIN), .from = &b->sender};
	ENSURE(ip_parse(SPAN("127.0.1.1"), &session->view.client.ip));
	session->view.wall_ms = clock_wall_ms(&b->loop.clock);
	session->fed = 0;
	session->arena = arena_new(4096);
	session->pipeline = pipeline_new(b->filters, &session->view, on_changed, session);
	pipeline_replay(session->pipeline, on_replay);
	for (enum stage stage = STAGE_CONNECT; stage <= STAGE_RCPT; stage++)
		pipeline_enter(session->pipeline, stage, session->arena);
	want(session);
	session->state = ENVELOPE;
}

static void take_headers(struct session *session)
{
	session->view.headers = session->bench->headers;
	pipeline_enter(session->pipeline, STAGE_HEADER, session->arena);
	pipeline_enter(session->pipeline, STAGE_MESSAGE, session->arena);
	want(session);
	session->state = CONTENT;
}

static void take_piece(struct session *session)
{
	struct span rest = span_from(buffer_span(&session->bench->content), session->fed);
	struct span piece = span_first(rest, PIECE_BYTES);

	session->fed += piece.len;
	if (pipeline_feed(session->pipeline, piece))
		want(session);
	if (piece.len < rest.len)
		return;
	if (pipeline_feed(session->pipeline, SPAN_NONE))
		want(session);
	session->state = ENDED;
}

static const struct fact_value *value_of(const struct session *session, size_t slot)
{
	const struct filter_slot *of = &session->bench->slots[slot];

	return &pipeline_values(session->pipeline, of->stage)[of->index];
}

static bool is_known(const struct session *session)
{
	for (size_t i = 0; i < COUNT_OF(measured); i++)
		if (value_of(session, i)->state == FACT_PENDING)
			return false;
	return true;
}

/* What was found must be what there is to be found, or the time means nothing. */
static void write_field(const struct session *session)
{
	struct buffer field = BUFFER_INIT(FIELD_MAX);
	struct span results[SLOTS_MAX];
	size_t n = 0;
	bool ok;

	for (size_t i = 0; i < COUNT_OF(measured); i++) {
		const struct fact_value *value = value_of(session, i);

		if (!(session->bench->slots[i].fact->flags & FACT_AUTHRES))
			continue;
		if (value->state != FACT_KNOWN || value->count != 1 ||
			!span_starts(value->items[0].text, span_text(expected[n]))) {
			fprintf(stderr, "auth: %s is not as it should be: %.*s\n", measured[i],
				value->count ? (int)value->items[0].text.len : 0,
				value->count ? value->items[0].text.at : "");
			exit(2);
		}
		results[n++] = value->items[0].text;
	}
	ok = n == COUNT_OF(expected) &&
	     authres_field_write(SPAN("mx.example.net"), results, n, false, &field);
	ENSURE(ok);
	buffer_free(&field);
}

static void end(struct session *session)
{
	write_field(session);
	pipeline_free(&session->pipeline);
	arena_free(&session->arena);
	session->state = FREE;
	session->bench->n_done++;
}

/* false: there was nothing to do. */
static bool step(struct session *session, unsigned times)
{
	switch (session->state) {
	case FREE:
		if (session->bench->n_begun == times)
			return false;
		begin(session);
		return true;
	case ENVELOPE:
		take_headers(session);
		return true;
	case CONTENT:
		take_piece(session);
		return true;
	case ENDED:
		if (!is_known(session))
			return false;
		end(session);
		return true;
	}
	return false;
}

/* --- rounds --- */

static void run(struct bench *b, unsigned times, unsigned at_once)
{
	b->n_begun = b->n_done = 0;
	while (b->n_done < times) {
		double start = clock_us(CLOCK_THREAD_CPUTIME_ID), held;
		bool moved = false;

		for (unsigned i = 0; i < at_once; i++)
			moved |= step(&b->sessions[i], times);
		loop_turn(&b->loop, !moved);
		held = clock_us(CLOCK_THREAD_CPUTIME_ID) - start;
		b->held_us = held > b->held_us ? held : b->held_us;
	}
}

/* CPU time of the authn process and its runners, and who they are. */
struct crew {
	pid_t runners[RUNNERS_MAX];
	size_t n;
	double us;
};

static double process_us(pid_t pid)
{
	clockid_t id;

	return clock_getcpuclockid(pid, &id) == 0 ? clock_us(id) : 0;
}

static struct crew look_at_crew(const struct bench *b)
{
	struct crew crew = {.us = process_us(b->authn->pid)};

	crew.n = authn_play_runners(b->authn, crew.runners, RUNNERS_MAX);
	for (size_t i = 0; i < crew.n; i++)
		crew.us += process_us(crew.runners[i]);
	return crew;
}

static bool is_same(const struct crew *a, const struct crew *b)
{
	return a->n == b->n && memcmp(a->runners, b->runners, a->n * sizeof(*a->runners)) == 0;
}

/* Of a message, in microseconds. */
struct cost {
	double worker, authn, cpu, wall;
	double held; /* of the round in which it was held least */
};

static void take_least(struct cost *least, const struct cost *cost)
{
	if (cost->cpu < least->cpu) {
		least->cpu = cost->cpu;
		least->worker = cost->worker;
		least->authn = cost->authn;
	}
	least->wall = cost->wall < least->wall ? cost->wall : least->wall;
	least->held = cost->held < least->held ? cost->held : least->held;
}

/* false: a runner was replaced in between. */
static bool measure_once(struct bench *b, unsigned times, unsigned at_once, struct cost *cost)
{
	struct crew before = look_at_crew(b), after;
	double worker = clock_us(CLOCK_PROCESS_CPUTIME_ID), wall = clock_us(CLOCK_MONOTONIC);

	b->held_us = 0;
	run(b, times, at_once);
	cost->worker = (clock_us(CLOCK_PROCESS_CPUTIME_ID) - worker) / times;
	cost->wall = (clock_us(CLOCK_MONOTONIC) - wall) / times;
	after = look_at_crew(b);
	cost->authn = (after.us - before.us) / times;
	cost->cpu = cost->worker + cost->authn;
	cost->held = b->held_us;
	return is_same(&before, &after);
}

static void measure_ours(struct bench *b, unsigned times, unsigned at_once, struct cost *least)
{
	struct cost cost;

	for (unsigned i = 0; i < RETRIES; i++) {
		if (!measure_once(b, times, at_once, &cost))
			continue;
		take_least(least, &cost);
		return;
	}
}

static void measure_alone(struct bench *b, unsigned times, struct cost *least)
{
	double cpu = clock_us(CLOCK_PROCESS_CPUTIME_ID), wall = clock_us(CLOCK_MONOTONIC);
	struct cost cost = {0};

	for (unsigned i = 0; i < times; i++)
		sample_verify(&b->sample);
	cost.cpu = (clock_us(CLOCK_PROCESS_CPUTIME_ID) - cpu) / times;
	cost.wall = (clock_us(CLOCK_MONOTONIC) - wall) / times;
	take_least(least, &cost);
}

/* --- figures --- */

enum { COST_MOST = 1000000000 };

/* What is sent, and what it may cost. */
static const struct kind_of_message {
	const char *name;
	size_t more_header_bytes, body_bytes;
	unsigned times, at_once;
	double most; /* times the library's CPU time; 0: no goal */
} kinds[] = {
	{"small", 0, 2500, 200, 20, 1.5},
	{"long-header", 240 * 1024, 2500, 8, 4, 0},
	{"large", 0, 1000000, 8, 4, 1 / 0.8},
};

struct figures {
	size_t bytes;
	struct cost alone, single, many;
};

static void write_content(struct bench *b, const struct kind_of_message *kind)
{
	sample_write(&b->sample, kind->more_header_bytes, kind->body_bytes);
	buffer_clear(&b->content);
	ENSURE(buffer_add(&b->content, buffer_span(&b->sample.section)) &&
		buffer_add_text(&b->content, "\r\n") &&
		buffer_add(&b->content, buffer_span(&b->sample.body)));
	b->headers = span_first(buffer_span(&b->content), b->sample.section.len + 2);
}

static struct figures measure(struct bench *b, const struct kind_of_message *kind)
{
	const struct cost most = {.cpu = COST_MOST, .wall = COST_MOST, .held = COST_MOST};
	struct figures f = {.alone = most, .single = most, .many = most};

	write_content(b, kind);
	f.bytes = b->content.len;
	run(b, kind->at_once, kind->at_once); /* caches */
	for (int i = 0; i < ROUNDS; i++) {
		measure_alone(b, kind->times, &f.alone);
		measure_ours(b, kind->times, 1, &f.single);
		measure_ours(b, kind->times, kind->at_once, &f.many);
	}
	return f;
}

static void print_cost(const char *what, const struct figures *f, const struct cost *cost)
{
	printf("  %-18s %8.1f us %6.2f times %7.1f MB/s   worker %7.1f us, authn %7.1f us, the "
	       "loop held %5.0f us\n",
		what, cost->cpu, cost->cpu / f->alone.cpu, (double)f->bytes / cost->wall,
		cost->worker, cost->authn, cost->held);
}

static bool meets(const char *what, double value, double most)
{
	if (most > 0)
		printf("  goal: %-32s %6.2f  at most %.2f: %s\n", what, value, most,
			value <= most ? "yes" : "NO");
	return most <= 0 || value <= most;
}

static bool compare(struct bench *b, const struct kind_of_message *kind)
{
	struct figures f = measure(b, kind);
	double held_us = f.single.held > f.many.held ? f.single.held : f.many.held;
	char many[24];
	bool met;

	snprintf(many, sizeof(many), "%u at once", kind->at_once);
	printf("%s: a message of %zu bytes\n", kind->name, f.bytes);
	printf("  %-18s %8.1f us %6.2f times %7.1f MB/s\n", "libopendkim alone", f.alone.cpu, 1.0,
		(double)f.bytes / f.alone.wall);
	print_cost("one at a time", &f, &f.single);
	print_cost(many, &f, &f.many);
	met = meets("CPU, times the library's", f.single.cpu / f.alone.cpu, kind->most);
	met &= meets("the same, many at once", f.many.cpu / f.alone.cpu, kind->most);
	return meets("ms in which the loop was held", held_us / 1e3, GOAL_HELD_MS) && met;
}

int main(int argc, char **argv)
{
	struct bench b = {.content = BUFFER_INIT(4 << 20)};
	struct endpoint names;
	bool met = true, some = false;
	pid_t server;

	sample_open(&b.sample);
	names = start_names(&b.sample, &server);
	open_worker(&b, &names);
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		if (argc > 1 && strcmp(argv[1], kinds[i].name) != 0)
			continue;
		some = true;
		met &= compare(&b, &kinds[i]);
	}
	close_worker(&b);
	stop(server);
	buffer_free(&b.content);
	sample_close(&b.sample);
	if (!some)
		fprintf(stderr, "usage: auth [small | long-header | large]\n");
	return some ? !met : 2;
}
