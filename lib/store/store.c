/*
 * What all kinds of store share: who waits for what until when, the breaker, and what is told but
 * not answered yet. Requests are kept in the order in which they were asked; answers come in nearly
 * the same one, so an answer's request is found near the front.
 */
#include "lib/store/store.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/fail.h"
#include "lib/store/driver.h"
#include "lib/store/wire.h"

enum { STORE_MAGIC = 0x5704e000 };

enum breaker { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_TRYING };

/* Something that was told and is not answered. */
struct tale {
	struct tale *next;
	uint32_t id; /* 0: not sent over the present link */
	enum store_kind kind;
	size_t size;
	char body[]; /* parts as in wire.h */
};

struct store {
	uint32_t magic;
	struct loop *loop;
	struct log *log;
	const struct store_driver *driver; /* borrowed, static */
	void *state;                       /* owned by the driver's close */
	struct store *other;               /* borrowed; NULL: none */
	bool there;
	uint32_t last_id;
	struct store_request *first, *last; /* asked, and not answered */
	unsigned n_asked;
	enum breaker breaker;
	unsigned timeouts; /* in a row */
	struct timer breaker_timer;
	struct tale *tales, **last_tale; /* owned */
	unsigned n_tales;
	size_t tale_bytes;
	uint64_t answered, failed, away, told, told_lost;
};

static uint32_t next_id(struct store *store)
{
	if (++store->last_id == 0)
		store->last_id = 1;
	return store->last_id;
}

/* --- requests --- */

static void link_request(struct store *store, struct store_request *request)
{
	request->next = NULL;
	request->prev = store->last;
	if (store->last)
		store->last->next = request;
	else
		store->first = request;
	store->last = request;
	store->n_asked++;
}

/* It is idle afterwards. */
static void take_out(struct store_request *request)
{
	struct store *store = request->store;

	if (request->prev)
		request->prev->next = request->next;
	else
		store->first = request->next;
	if (request->next)
		request->next->prev = request->prev;
	else
		store->last = request->prev;
	store->n_asked--;
	timer_clear(&store->loop->timers, &request->timer);
	loop_undefer(store->loop, &request->deferred);
	request->store = NULL;
}

static void finish(struct store_request *request, enum store_outcome outcome, struct span answer)
{
	struct store *store = request->store;

	take_out(request);
	if (outcome == STORE_DONE)
		store->answered++;
	else if (outcome == STORE_FAILED)
		store->failed++;
	else
		store->away++;
	request->outcome = outcome;
	request->answer = answer;
	request->done(request);
}

static void on_deferred(struct deferred *deferred)
{
	struct store_request *request = CONTAINER_OF(deferred, struct store_request, deferred);

	finish(request, request->outcome, SPAN_NONE);
}

/* It is answered from the loop, without having been sent. */
static void finish_soon(struct store_request *request, enum store_outcome outcome)
{
	request->outcome = outcome;
	loop_defer(request->store->loop, &request->deferred);
}

/* --- the breaker --- */

static void breaker_open(struct store *store)
{
	if (store->breaker == BREAKER_CLOSED)
		log_event(store->log, LOG_WARNING, "store_silent", SPAN_NONE,
			"the store does not answer in time; it is asked once a second until it "
			"does");
	store->breaker = BREAKER_OPEN;
	timer_set(&store->loop->timers, &store->breaker_timer, STORE_BREAKER_MS);
}

static void breaker_close(struct store *store, const char *why)
{
	store->timeouts = 0;
	if (store->breaker == BREAKER_CLOSED)
		return;
	store->breaker = BREAKER_CLOSED;
	timer_clear(&store->loop->timers, &store->breaker_timer);
	log_event(store->log, LOG_INFO, "store_back", SPAN_NONE, "%s", why);
}

static void on_breaker(struct timer *timer)
{
	struct store *store = CONTAINER_OF(timer, struct store, breaker_timer);

	MAGIC_ENSURE(store, STORE_MAGIC);
	/* Nobody may want anything for long: the next one that does is the try. */
}

/* Whether a request may be sent; that of a breaker's try is noted. */
static bool breaker_lets(struct store *store)
{
	if (store->breaker == BREAKER_CLOSED)
		return true;
	if (store->breaker == BREAKER_TRYING || timer_is_set(&store->breaker_timer))
		return false;
	store->breaker = BREAKER_TRYING;
	return true;
}

static void on_timeout(struct timer *timer)
{
	struct store_request *request = CONTAINER_OF(timer, struct store_request, timer);
	struct store *store = request->store;

	MAGIC_ENSURE(store, STORE_MAGIC);
	if (store->breaker == BREAKER_TRYING || ++store->timeouts >= STORE_BREAKER_TIMEOUTS)
		breaker_open(store);
	finish(request, STORE_AWAY, SPAN_NONE);
}

/* --- asking --- */

static bool send_parts(struct store *store, uint32_t id, const struct store_request *request)
{
	struct buffer body = BUFFER_INIT(STORE_BODY_MAX);
	bool sent = store_parts_write(request->parts, request->n_parts, &body) &&
		    store->driver->send(store->state, id, request->kind, buffer_span(&body));

	buffer_free(&body);
	return sent;
}

static bool fits(const struct span *parts, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++) {
		if (parts[i].len > STORE_BODY_MAX)
			return false;
		size += sizeof(uint32_t) + parts[i].len;
	}
	return size <= STORE_BODY_MAX;
}

/* The one that answers this kind. */
static struct store *store_for(struct store *store, enum store_kind kind)
{
	bool knows = !store->driver->knows || store->driver->knows(kind);

	return knows || !store->other ? store : store->other;
}

void store_ask(struct store *store, struct store_request *request)
{
	MAGIC_ENSURE(store, STORE_MAGIC);
	store = store_for(store, request->kind);
	ENSURE(!request->store && request->kind < STORE_KIND_COUNT && request->done &&
		request->n_parts == store_kind_parts(request->kind));
	request->store = store;
	request->outcome = STORE_PENDING;
	request->timer.fire = on_timeout;
	request->deferred.run = on_deferred;
	request->id = 0;
	link_request(store, request);
	if (!fits(request->parts, request->n_parts)) {
		finish_soon(request, STORE_FAILED);
		return;
	}
	if (!store->there || store->n_asked > STORE_ASKED_MAX || !breaker_lets(store)) {
		finish_soon(request, STORE_AWAY);
		return;
	}
	request->id = next_id(store);
	if (!send_parts(store, request->id, request)) {
		if (store->breaker == BREAKER_TRYING)
			breaker_open(store);
		request->id = 0;
		finish_soon(request, STORE_AWAY);
		return;
	}
	timer_set(&store->loop->timers, &request->timer,
		request->timeout_ms ? request->timeout_ms : STORE_TIMEOUT_MS);
}

void store_cancel(struct store_request *request)
{
	struct store *store = request->store;

	if (!store)
		return;
	MAGIC_ENSURE(store, STORE_MAGIC);
	take_out(request);
	/* The try has no end of its own any more: the next request is one. */
	if (store->breaker == BREAKER_TRYING && request->id)
		store->breaker = BREAKER_OPEN;
}

/* --- telling --- */

static void tale_send(struct store *store, struct tale *tale)
{
	tale->id = next_id(store);
	if (!store->driver->send(
		    store->state, tale->id, tale->kind, span_make(tale->body, tale->size)))
		tale->id = 0;
}

static void tale_end(struct store *store, struct tale **at)
{
	struct tale *tale = *at;

	*at = tale->next;
	if (store->last_tale == &tale->next)
		store->last_tale = at;
	store->n_tales--;
	store->tale_bytes -= tale->size;
	free(tale);
}

void store_tell(struct store *store, enum store_kind kind, const struct span *parts, size_t n_parts)
{
	struct buffer body = BUFFER_INIT(STORE_BODY_MAX);
	struct tale *tale;

	MAGIC_ENSURE(store, STORE_MAGIC);
	ENSURE(kind < STORE_KIND_COUNT && n_parts == store_kind_parts(kind));
	store = store_for(store, kind);
	store->told++;
	if (store->n_tales >= STORE_TOLD_MAX || !store_parts_write(parts, n_parts, &body) ||
		store->tale_bytes + body.len > STORE_TOLD_BYTES_MAX) {
		store->told_lost++;
		buffer_free(&body);
		return;
	}
	tale = memory_zeroed(sizeof(*tale) + body.len);
	tale->kind = kind;
	tale->size = body.len;
	if (body.len)
		memcpy(tale->body, buffer_span(&body).at, body.len);
	buffer_free(&body);
	*store->last_tale = tale;
	store->last_tale = &tale->next;
	store->n_tales++;
	store->tale_bytes += tale->size;
	if (store->there)
		tale_send(store, tale);
}

/* false: it is no tale's. */
static bool tale_answered(struct store *store, uint32_t id, enum store_outcome outcome)
{
	for (struct tale **at = &store->tales; *at; at = &(*at)->next) {
		if ((*at)->id != id)
			continue;
		if (outcome != STORE_DONE)
			store->told_lost++;
		tale_end(store, at);
		return true;
	}
	return false;
}

/* --- what the driver has to say --- */

void store_on_answer(
	struct store *store, uint32_t id, enum store_outcome outcome, struct span answer)
{
	struct store_request *request;

	MAGIC_ENSURE(store, STORE_MAGIC);
	if (id == 0)
		return;
	if (tale_answered(store, id, outcome))
		return;
	for (request = store->first; request && request->id != id; request = request->next)
		;
	if (!request)
		return; /* it came too late */
	if (outcome != STORE_AWAY)
		breaker_close(store, "the store answers again");
	finish(request, outcome, answer);
}

void store_on_there(struct store *store)
{
	MAGIC_ENSURE(store, STORE_MAGIC);
	store->there = true;
	breaker_close(store, "the store is there again");
	for (struct tale *tale = store->tales; tale; tale = tale->next)
		if (tale->id == 0)
			tale_send(store, tale);
}

void store_on_gone(struct store *store)
{
	struct store_request *next;

	MAGIC_ENSURE(store, STORE_MAGIC);
	store->there = false;
	for (struct tale *tale = store->tales; tale; tale = tale->next)
		tale->id = 0;
	for (struct store_request *request = store->first; request; request = next) {
		next = request->next;
		request->id = 0;
		if (request->outcome == STORE_PENDING)
			finish_soon(request, STORE_AWAY);
	}
}

/* --- life --- */

struct store *store_open(
	struct loop *loop, struct log *log, const struct store_driver *driver, void *state)
{
	struct store *store = memory_zeroed(sizeof(*store));

	store->magic = STORE_MAGIC;
	store->loop = loop;
	store->log = log;
	store->driver = driver;
	store->state = state;
	store->last_tale = &store->tales;
	store->breaker_timer.fire = on_breaker;
	return store;
}

void store_set_other(struct store *store, struct store *other)
{
	MAGIC_ENSURE(store, STORE_MAGIC);
	store->other = other;
}

void *store_driver_state(const struct store *store, const struct store_driver *driver)
{
	MAGIC_ENSURE(store, STORE_MAGIC);
	ENSURE(store->driver == driver);
	return store->state;
}

void store_close(struct store **owner)
{
	struct store *store = *owner;

	if (!store)
		return;
	MAGIC_ENSURE(store, STORE_MAGIC);
	*owner = NULL;
	store->there = false;
	while (store->first)
		finish(store->first, STORE_AWAY, SPAN_NONE);
	while (store->tales)
		tale_end(store, &store->tales);
	timer_clear(&store->loop->timers, &store->breaker_timer);
	store->driver->close(store->state);
	store->magic = 0;
	free(store);
}

bool store_is_there(const struct store *store)
{
	MAGIC_ENSURE(store, STORE_MAGIC);
	return store->there &&
	       (store->breaker == BREAKER_CLOSED ||
		       (store->breaker == BREAKER_OPEN && !timer_is_set(&store->breaker_timer)));
}

static const char *state_word(const struct store *store)
{
	if (!store->there)
		return "away";
	return store->breaker == BREAKER_CLOSED ? "there" : "silent";
}

void store_status(const struct store *store, struct record *r)
{
	MAGIC_ENSURE(store, STORE_MAGIC);
	record_string(r, "state", state_word(store));
	record_number(r, "asked_now", store->n_asked);
	record_number(r, "answered", (int64_t)store->answered);
	record_number(r, "failed", (int64_t)store->failed);
	record_number(r, "away", (int64_t)store->away);
	record_number(r, "told", (int64_t)store->told);
	record_number(r, "told_waiting", store->n_tales);
	record_number(r, "told_lost", (int64_t)store->told_lost);
	if (store->driver->status)
		store->driver->status(store->state, r);
	if (store->other) {
		record_open(r, "keeper");
		store_status(store->other, r);
		record_close(r);
	}
}
