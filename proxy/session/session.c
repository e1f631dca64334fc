/*
 * The driver, the connection's beginning and its end. What a verb does is in its cmd_*.c.
 *
 * Input that comes while a session waits is kept, and reading is paused once more than
 * PENDING_PAUSE bytes are: a client cannot make us hold more than that and one read.
 */
#include "proxy/session/session.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/fail.h"

enum {
	SESSION_MAGIC = 0x73657373,
	PENDING_PAUSE = 16 * 1024,
	PENDING_MAX = PENDING_PAUSE + LOOP_READ_SIZE,
	FAREWELL_MS = 8000,               /* so long we discard what a client still sends */
	FAREWELL_BYTES = 8 * 1024 * 1024, /* and so much */
	PROXY_HEADER_MS = 10 * 1000,
};

static enum step step_delay(struct session *s);
static enum step step_farewell(struct session *s);
static void session_end(struct session *s);
static void on_data(void *context, struct span bytes);
static void on_end(void *context, enum stream_end end, const char *detail);
static void on_drain(void *context);
static void on_tls(void *context);
static void on_closed(void *context);
static void on_timer(struct timer *timer);
static void release_held(struct session *s);

static const struct stream_handler session_stream = {
	.on_data = on_data,
	.on_end = on_end,
	.on_drain = on_drain,
	.on_tls = on_tls,
	.on_closed = on_closed,
};

/* What each state does, and what `postern status` says that it waits for. */
static const struct {
	const char *name, *waits_for;
	enum step (*step)(struct session *);
	bool owes; /* it is not the client that is waited for: it waits for our answer */
} states[SESSION_STATE_COUNT] = {
	[SESSION_PROXY] = {"proxy", "PROXY header", step_proxy, false},
	[SESSION_TLS] = {"tls", "TLS handshake", step_tls, false},
	[SESSION_GREETING] = {"greeting", "greeting", step_greeting, false},
	[SESSION_COMMAND] = {"command", "command", step_command, false},
	[SESSION_VET] = {"vet", NULL, step_vet, true},
	[SESSION_CHECK] = {"check", NULL, step_check, true},
	[SESSION_DATA] = {"data", "message data", step_data, false},
	[SESSION_BDAT] = {"bdat", "message data", step_bdat, false},
	[SESSION_BDAT_SKIP] = {"bdat", "rest of a refused chunk", step_bdat_skip, false},
	[SESSION_JUDGE] = {"judge", NULL, step_judge, true},
	[SESSION_DELAY] = {"delay", "delay by a rule", step_delay, true},
	[SESSION_COMMIT] = {"commit", NULL, step_commit, true},
	[SESSION_KEEP] = {"keep", "quarantine", step_keep, true},
	[SESSION_FAREWELL] = {"farewell", "client to close", step_farewell, false},
	[SESSION_CLOSED] = {"closed", "memory", NULL, false},
};

/* --- beginning --- */

static void make_id(struct session *s)
{
	static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
	uint64_t *state = s->worker->id_state;
	uint64_t x = state[0], y = state[1];

	/* xorshift128+ (Vigna 2014), seeded from the kernel: ids need to differ, not to be secret.
	 */
	state[0] = y;
	x ^= x << 23;
	state[1] = x ^ y ^ (x >> 17) ^ (y >> 26);
	x = state[1] + y;
	for (int i = 0; i < SESSION_ID_SIZE; i++, x >>= 5)
		s->sid[i] = base32[x & 31];
}

static void link_session(struct session *s)
{
	struct worker *w = s->worker;

	s->next = w->sessions;
	if (s->next)
		s->next->prev = s;
	w->sessions = s;
	w->n_sessions++;
	atomic_fetch_add_explicit(&w->row->sessions, 1, memory_order_relaxed);
	shared_add(w->row, COUNT_sessions, 1);
}

static void unlink_session(struct session *s)
{
	struct worker *w = s->worker;

	if (s->next)
		s->next->prev = s->prev;
	if (s->prev)
		s->prev->next = s->next;
	else
		w->sessions = s->next;
	w->n_sessions--;
	atomic_fetch_sub_explicit(&w->row->sessions, 1, memory_order_relaxed);
	if (w->n_sessions == 0 && w->drain != WORKER_SERVING)
		loop_defer(w->loop, &w->drained);
}

void session_start(struct worker *worker, const struct listen_config *listen, int fd,
	const struct endpoint *remote, const struct endpoint *local)
{
	struct session *s = memory_zeroed(sizeof(*s));

	s->magic = SESSION_MAGIC;
	s->worker = worker;
	s->listen = listen;
	s->peer_address = s->client.remote = *remote;
	s->client.local = *local;
	s->pending = BUFFER_INIT(PENDING_MAX);
	s->held = BUFFER_INIT(worker->replies.max);
	s->timer.fire = on_timer;
	s->started_ms = loop_now_ms(worker->loop);
	s->implicit_tls = listen->tls == LISTEN_TLS_IMPLICIT;
	make_id(s);
	link_session(s);
	stream_open(&s->stream, worker->loop, fd, &session_stream, s);
	if (cidr_set_contains(&listen->proxy_protocol_from, &remote->ip)) {
		session_set_state(s, SESSION_PROXY);
		stream_read(&s->stream, true);
	} else if (session_count_client(s)) {
		session_set_state(s, s->implicit_tls ? SESSION_TLS : SESSION_GREETING);
	}
	session_run(s);
}

bool session_count_client(struct session *s)
{
	struct worker *w = s->worker;
	uint32_t connections = shared_client_enter(w->shared, w->row, &s->client.remote.ip);

	s->counted = true;
	if (connections <= w->config->limits.per_client)
		return true;
	shared_add(w->row, COUNT_sessions_refused, 1);
	session_uncount_client(s);
	s->turned_away = true;
	session_bye(s, 421, "4.7.0", "Too many connections from your address, try again later");
	return false;
}

void session_uncount_client(struct session *s)
{
	if (s->counted)
		shared_client_leave(s->worker->shared, s->worker->row, &s->client.remote.ip);
	s->counted = false;
}

/* --- time --- */

static uint64_t state_timeout_ms(const struct session *s)
{
	const struct timeouts_config *t = &s->worker->config->timeouts;

	switch (s->state) {
	case SESSION_PROXY:
		return PROXY_HEADER_MS < t->greeting ? PROXY_HEADER_MS : t->greeting;
	case SESSION_TLS:
	case SESSION_GREETING:
		return t->greeting;
	case SESSION_COMMAND:
		return s->helo_given ? t->command : t->greeting;
	case SESSION_DATA:
	case SESSION_BDAT:
	case SESSION_BDAT_SKIP:
		return t->data_block;
	case SESSION_FAREWELL:
		return FAREWELL_MS;
	case SESSION_DELAY:
		return s->delay_ms;
	case SESSION_VET:
	case SESSION_CHECK:
	case SESSION_JUDGE:
	case SESSION_COMMIT:
	case SESSION_KEEP:
	case SESSION_CLOSED:
	case SESSION_STATE_COUNT:
		break;
	}
	return 0; /* the deadlines of what is waited for rule */
}

static void set_timer(struct session *s)
{
	uint64_t now_ms = loop_now_ms(s->worker->loop);
	uint64_t end_ms = s->started_ms + s->worker->config->timeouts.session;
	uint64_t delay_ms = state_timeout_ms(s);
	uint64_t left_ms = end_ms > now_ms ? end_ms - now_ms : 0;

	if (delay_ms == 0) {
		timer_clear(&s->worker->loop->timers, &s->timer);
		return;
	}
	if (s->state != SESSION_FAREWELL && left_ms < delay_ms)
		delay_ms = left_ms;
	timer_set(&s->worker->loop->timers, &s->timer, delay_ms);
}

void session_set_state(struct session *s, enum session_state state)
{
	s->state = state;
	s->state_ms = loop_now_ms(s->worker->loop);
	set_timer(s);
}

static void on_timer(struct timer *timer)
{
	struct session *s = CONTAINER_OF(timer, struct session, timer);

	MAGIC_ENSURE(s, SESSION_MAGIC);
	if (s->state == SESSION_FAREWELL || s->state == SESSION_TLS || s->state == SESSION_PROXY) {
		session_end(s);
		return;
	}
	if (s->state == SESSION_DELAY) {
		release_held(s);
		session_set_state(s, s->after_delay);
	} else {
		session_bye(s, 421, "4.4.2", "Timeout, closing the connection");
	}
	session_run(s);
}

/* --- replies --- */

static bool is_refusal(const struct reply *reply)
{
	return reply->code >= 400;
}

void session_tell(struct session *s, const struct reply *reply)
{
	struct span id = is_refusal(reply) ? session_id(s) : SPAN_NONE;

	if (s->peer != PEER_GONE)
		ENSURE(reply_write(reply, id, &s->worker->replies));
}

void session_reply(struct session *s, const struct reply *reply)
{
	if (reply->code >= 500 && ++s->errors >= s->worker->config->limits.errors) {
		session_bye(s, 421, "4.7.0", "Too many errors, closing the connection");
		return;
	}
	session_tell(s, reply);
}

static struct reply reply_of(uint16_t code, const char *enhanced, const char *text)
{
	struct reply reply = {.code = code, .text = span_text(text)};

	ENSURE(strlen(enhanced) < sizeof(reply.enhanced));
	memcpy(reply.enhanced, enhanced, strlen(enhanced) + 1);
	return reply;
}

enum step session_say(struct session *s, uint16_t code, const char *enhanced, const char *text)
{
	struct reply reply = reply_of(code, enhanced, text);

	session_reply(s, &reply);
	return STEP_NEXT;
}

enum step session_bye(struct session *s, uint16_t code, const char *enhanced, const char *text)
{
	struct reply reply = reply_of(code, enhanced, text);

	session_tell(s, &reply);
	session_set_state(s, SESSION_FAREWELL);
	return STEP_NEXT;
}

bool session_junk(struct session *s)
{
	if (++s->junk < s->worker->config->limits.junk)
		return false;
	session_bye(s, 421, "4.7.0", "Too many commands without a message, closing the connection");
	return true;
}

void session_flush(struct session *s)
{
	struct buffer *replies = &s->worker->replies;

	if (replies->len && s->stream.state == STREAM_OPEN)
		stream_write(&s->stream, buffer_span(replies));
	buffer_clear(replies);
}

/* --- the driver --- */

/* Bytes that no step has taken are kept until the next run. */
static void keep_input(struct session *s)
{
	/* Reading is paused before it could not be held: no client can make this fail. */
	ENSURE(buffer_add(&s->pending, s->input));
	s->input = SPAN_NONE;
}

static void run_steps(struct session *s)
{
	enum step step = STEP_NEXT;

	while (step == STEP_NEXT && s->state != SESSION_CLOSED) {
		if (s->worker->replies.len > SESSION_OUTPUT_PAUSE)
			session_flush(s);
		step = states[s->state].step(s);
	}
	session_flush(s);
	if (step != STEP_CLOSED)
		return;
	/* What the kernel has not taken yet is worth waiting for. */
	if (stream_pending(&s->stream) && s->state != SESSION_FAREWELL && s->peer != PEER_GONE)
		session_set_state(s, SESSION_FAREWELL);
	else
		session_end(s);
}

void session_run(struct session *s)
{
	struct buffer pending;

	MAGIC_ENSURE(s, SESSION_MAGIC);
	if (s->running || s->state == SESSION_CLOSED)
		return;
	s->running = true;
	/* What was kept comes before what has just come; they are joined only where both are there.
	 */
	if (s->pending.len && s->input.len) {
		ENSURE(buffer_add(&s->pending, s->input));
		s->input = SPAN_NONE;
	}
	pending = s->pending;
	s->pending = BUFFER_INIT(PENDING_MAX);
	if (pending.len)
		s->input = buffer_span(&pending);
	run_steps(s);
	if (s->state != SESSION_CLOSED) {
		keep_input(s);
		if (s->state != SESSION_TLS)
			stream_read(&s->stream, s->pending.len < PENDING_PAUSE);
	}
	buffer_free(&pending);
	s->running = false;
}

/* --- events --- */

static void on_data(void *context, struct span bytes)
{
	struct session *s = context;

	MAGIC_ENSURE(s, SESSION_MAGIC);
	s->input = bytes;
	session_run(s);
}

static bool owes_an_answer(const struct session *s)
{
	return states[s->state].owes;
}

static void on_end(void *context, enum stream_end end, const char *detail)
{
	struct session *s = context;

	MAGIC_ENSURE(s, SESSION_MAGIC);
	(void)detail;
	s->peer = end == STREAM_END_EOF ? PEER_HALF_CLOSED : PEER_GONE;
	if (s->state == SESSION_CLOSED)
		return;
	if (owes_an_answer(s)) {
		/* A client that only closed its sending side still waits for it. */
		if (s->peer == PEER_GONE)
			session_interrupt(s);
		return;
	}
	session_run(s);
	if (s->state != SESSION_CLOSED && !owes_an_answer(s) &&
		(s->peer == PEER_GONE || stream_pending(&s->stream) == 0))
		session_end(s);
}

static void on_drain(void *context)
{
	struct session *s = context;

	session_run(s);
}

static void on_tls(void *context)
{
	struct session *s = context;

	MAGIC_ENSURE(s, SESSION_MAGIC);
	shared_add(s->worker->row, COUNT_tls_handshakes, 1);
	s->client.tls = true;
	session_set_state(s, s->implicit_tls ? SESSION_GREETING : SESSION_COMMAND);
	s->implicit_tls = false;
	session_run(s);
}

/* --- steps that belong to no verb --- */

static enum step step_delay(struct session *s)
{
	return s->peer == PEER_GONE ? STEP_CLOSED : STEP_WAIT;
}

enum step session_delay(struct session *s, uint64_t delay_ms, enum session_state then)
{
	s->delay_ms = delay_ms;
	s->after_delay = then;
	session_set_state(s, SESSION_DELAY);
	return STEP_WAIT;
}

enum step session_hold(struct session *s)
{
	uint64_t delay_ms = judge_refusal_delay(s);
	struct buffer *replies = &s->worker->replies;

	if (delay_ms == 0)
		return STEP_NEXT;
	ENSURE(buffer_add(&s->held, buffer_span(replies)));
	buffer_clear(replies);
	return session_delay(s, delay_ms, s->state);
}

static void release_held(struct session *s)
{
	ENSURE(buffer_add(&s->worker->replies, buffer_span(&s->held)));
	buffer_free(&s->held);
}

static enum step step_farewell(struct session *s)
{
	s->discarded += s->input.len;
	s->input = SPAN_NONE;
	if (s->transaction)
		session_reset(s);
	session_flush(s);
	if (!s->stream.shut && s->stream.state == STREAM_OPEN)
		stream_shutdown(&s->stream);
	if (s->peer == PEER_GONE || s->turned_away || s->discarded > FAREWELL_BYTES ||
		s->worker->drain == WORKER_DRAIN_NOW)
		return STEP_CLOSED;
	return s->peer == PEER_THERE || stream_pending(&s->stream) ? STEP_WAIT : STEP_CLOSED;
}

enum step session_violation(struct session *s, enum dotdata_status status)
{
	struct reply reply = REPLY(550, "5.6.11", "A message must not hold a bare CR");

	if (status == DOTDATA_BARE_LF)
		reply.text = SPAN("A message must not hold a bare LF");
	else if (status == DOTDATA_NUL)
		reply.text = SPAN("A message must not hold a NUL");
	session_tell(s, &reply);
	shared_speak(s->worker->row, AT_message, "reject");
	transaction_end(&s->transaction, "reject", &reply);
	session_set_state(s, SESSION_FAREWELL);
	return STEP_NEXT;
}

/* --- what is kept and what is forgotten --- */

struct arena *session_arena(struct session *s)
{
	if (!s->arena)
		s->arena = arena_new(64);
	return s->arena;
}

struct span session_keep(struct session *s, struct span text)
{
	return arena_span(session_arena(s), text);
}

void session_reset(struct session *s)
{
	static const struct reply none;
	const char *verdict = "abandoned";

	if (!s->transaction)
		return;
	/* Where nobody was let in, that is what became of it. */
	if (s->transaction->envelope.n_recipients == 0 && s->transaction->n_refused)
		verdict = "defer";
	for (struct attempt *a = s->transaction->attempts; a; a = a->next)
		if (verdict[0] == 'd' && a->code >= 500)
			verdict = "reject";
	transaction_end(&s->transaction, verdict, &none);
}

void session_take_helo(struct session *s, struct span name)
{
	session_forget_helo(s);
	s->helo_arena = arena_new(64);
	s->client.helo = arena_span(s->helo_arena, name);
	s->helo_given = true;
}

void session_forget_helo(struct session *s)
{
	session_reset(s);
	judge_forget_helo(s);
	arena_free(&s->helo_arena);
	s->helo_given = false;
	s->client.helo = SPAN_NONE;
	s->client.esmtp = false;
}

/* --- the end --- */

static void session_end(struct session *s)
{
	if (s->state == SESSION_CLOSED)
		return;
	session_reset(s);
	session_set_state(s, SESSION_CLOSED);
	session_uncount_client(s);
	judge_free(&s->judge);
	backend_bond_close(&s->bond);
	stream_close(&s->stream);
}

static void on_closed(void *context)
{
	struct session *s = context;

	MAGIC_ENSURE(s, SESSION_MAGIC);
	ENSURE(s->state == SESSION_CLOSED && !s->transaction);
	unlink_session(s);
	buffer_free(&s->pending);
	buffer_free(&s->held);
	arena_free(&s->helo_arena);
	arena_free(&s->arena);
	s->magic = 0;
	free(s);
}

void session_interrupt(struct session *s)
{
	bool gone = s->peer == PEER_GONE;
	enum worker_drain drain = s->worker->drain;

	if (s->state == SESSION_CLOSED)
		return;
	if (!gone && (drain < WORKER_DRAIN_MESSAGES ||
			     (drain < WORKER_DRAIN_NOW && session_within_message(s))))
		return;
	/* The backend's word comes all the same, exactly once; the step then sees who is gone. */
	if (s->state == SESSION_CHECK) {
		check_cancel(&s->transaction->check);
	} else if (s->state == SESSION_VET && judge_is_asking(s)) {
		judge_stop_asking(s);
	} else if (s->state == SESSION_KEEP) {
		s->transaction->client_gone = gone;
	} else if (s->state == SESSION_COMMIT) {
		s->transaction->client_gone = gone;
		delivery_cancel(&s->transaction->delivery);
	} else if (gone || s->state == SESSION_PROXY || s->state == SESSION_TLS) {
		session_end(s);
	} else if (s->state == SESSION_FAREWELL) {
		if (drain == WORKER_DRAIN_NOW)
			session_end(s);
	} else {
		session_bye(s, 421, "4.3.2", "Going down, try again");
		session_run(s);
	}
}

/* Bytes that it keeps from one command to the next, but for a message's. */
static size_t kept_bytes(const struct session *s)
{
	return (s->arena ? arena_size(s->arena) : 0) +
	       (s->helo_arena ? arena_size(s->helo_arena) : 0) +
	       (s->transaction ? arena_size(s->transaction->arena) : 0) + s->pending.len;
}

void session_status(const struct session *s, struct record *r)
{
	char ip[IP_TEXT_SIZE];
	uint64_t now_ms = loop_now_ms(s->worker->loop);
	const char *waits_for = states[s->state].waits_for;

	if (s->state == SESSION_CHECK)
		waits_for = check_waits_for(&s->transaction->check);
	else if (s->state == SESSION_COMMIT)
		waits_for = delivery_waits_for(&s->transaction->delivery);
	else if (s->state == SESSION_VET || s->state == SESSION_JUDGE)
		waits_for = judge_waits_for(s);
	record_open(r, NULL);
	record_text(r, "sid", session_id(s));
	record_string(r, "client", ip_format(&s->client.remote.ip, ip));
	record_string(r, "listener", s->listen->address);
	record_string(r, "state", states[s->state].name);
	record_string(r, "waits_for", waits_for);
	record_number(r, "age_ms", (int64_t)(now_ms - s->started_ms));
	record_number(r, "waits_ms", (int64_t)(now_ms - s->state_ms));
	record_number(r, "keeps", (int64_t)kept_bytes(s));
	record_bool(r, "tls", s->client.tls);
	record_text(r, "helo", s->client.helo);
	if (s->transaction) {
		record_text(r, "from", s->transaction->envelope.from.mailbox);
		record_number(r, "recipients", s->transaction->envelope.n_recipients);
		record_number(r, "size", (int64_t)s->transaction->decoder.size);
	}
	record_close(r);
}
