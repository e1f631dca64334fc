#include "lib/store/redis_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fail.h"
#include "lib/net/stream.h"

enum { LINK_MAGIC = 0x4ed15711, ADDRESSES_MAX = 8, NAME_SIZE = REDIS_HOST_MAX + 16, TICK_MS = 500 };

enum link_state {
	LINK_WAITING, /* for the next try */
	LINK_RESOLVING,
	LINK_CONNECTING, /* and TLS */
	LINK_GREETING,
	LINK_READY,
	LINK_CLOSING, /* the stream closes, then WAITING */
	LINK_ENDED    /* redis_link_close was called: it is freed when nothing needs it */
};

/* A command that waits for its reply. */
struct call {
	void (*done)(void *context, const redisReply *reply);
	void *context;
};

struct redis_link {
	uint32_t magic;
	struct redis_link_setup setup;
	struct redis_node node;
	char name[NAME_SIZE]; /* longer than any path */
	enum link_state state;
	struct stream stream;
	uv_getaddrinfo_t lookup;
	bool looking; /* lookup is libuv's */
	struct endpoint addresses[ADDRESSES_MAX];
	size_t n_addresses, next_address;
	redisReader *reader; /* owned; NULL: no connection */
	redisReplyObjectFunctions functions;
	void *(*plain_array)(const redisReadTask *, int);
	struct call *calls; /* owned ring */
	size_t calls_size, first_call, n_calls;
	struct buffer out; /* not yet given to the stream */
	struct deferred flush;
	struct timer timer; /* the next try; the deadline of this one; signs of life */
	uint64_t retry_ms, heard_ms;
	unsigned greetings; /* replies that GREETING waits for */
	char why[200];
	bool told; /* of why, or of being ready */
};

static void begin(struct redis_link *link);

/* --- commands --- */

bool redis_command_write(struct buffer *out, const struct span *args, size_t n)
{
	size_t before = out->len;
	bool ok = buffer_print(out, "*%zu\r\n", n);

	for (size_t i = 0; i < n && ok; i++)
		ok = buffer_print(out, "$%zu\r\n", args[i].len) && buffer_add(out, args[i]) &&
		     buffer_add(out, SPAN("\r\n"));
	if (!ok)
		out->len = before;
	return ok;
}

static void grow_calls(struct redis_link *link)
{
	size_t size = link->calls_size ? link->calls_size * 2 : 64;
	struct call *calls = memory_new(size * sizeof(*calls));

	for (size_t i = 0; i < link->n_calls; i++)
		calls[i] = link->calls[(link->first_call + i) % link->calls_size];
	free(link->calls);
	link->calls = calls;
	link->calls_size = size;
	link->first_call = 0;
}

static void add_call(struct redis_link *link, struct call call)
{
	if (link->n_calls == link->calls_size)
		grow_calls(link);
	link->calls[(link->first_call + link->n_calls++) % link->calls_size] = call;
}

static struct call take_call(struct redis_link *link)
{
	struct call call = link->calls[link->first_call];

	link->first_call = (link->first_call + 1) % link->calls_size;
	link->n_calls--;
	return call;
}

/* However many there are now: callbacks may send anew on another link, not on this one. */
static void fail_calls(struct redis_link *link)
{
	while (link->n_calls) {
		struct call call = take_call(link);

		call.done(call.context, NULL);
	}
}

static void put(struct redis_link *link, struct span command, struct call call)
{
	if (link->n_calls == 0)
		link->heard_ms = loop_now_ms(link->setup.loop);
	if (!buffer_add(&link->out, command))
		fail_bug(__FILE__, __LINE__, "the room for it was looked at before");
	add_call(link, call);
	loop_defer(link->setup.loop, &link->flush);
}

bool redis_link_send(struct redis_link *link, struct span command,
	void (*done)(void *context, const redisReply *reply), void *context)
{
	MAGIC_ENSURE(link, LINK_MAGIC);
	if (link->state != LINK_READY || link->n_calls >= REDIS_PENDING_MAX ||
		link->out.len + stream_pending(&link->stream) + command.len > REDIS_UNSENT_MAX)
		return false;
	put(link, command, (struct call){done, context});
	return true;
}

static void on_flush(struct deferred *deferred)
{
	struct redis_link *link = CONTAINER_OF(deferred, struct redis_link, flush);

	MAGIC_ENSURE(link, LINK_MAGIC);
	if (link->state == LINK_READY || link->state == LINK_GREETING)
		stream_write(&link->stream, buffer_span(&link->out));
	buffer_clear(&link->out);
}

/* --- the end of a connection --- */

static void wait_for_next(struct redis_link *link)
{
	link->state = LINK_WAITING;
	timer_set(&link->setup.loop->timers, &link->timer, link->retry_ms);
	link->retry_ms = link->retry_ms * 2 < REDIS_RETRY_MS ? link->retry_ms * 2 : REDIS_RETRY_MS;
}

static void free_when_idle(struct redis_link *link)
{
	if (link->stream.state != STREAM_CLOSED || link->looking)
		return;
	buffer_free(&link->out);
	free(link->calls);
	link->magic = 0;
	free(link);
}

static void forget_connection(struct redis_link *link)
{
	timer_clear(&link->setup.loop->timers, &link->timer);
	loop_undefer(link->setup.loop, &link->flush);
	buffer_clear(&link->out);
	if (link->stream.state != STREAM_CLOSED && link->stream.state != STREAM_CLOSING)
		stream_close(&link->stream);
}

static void lose(struct redis_link *link, const char *why)
{
	bool same = strcmp(link->why, why) == 0;
	bool was_ready = link->state == LINK_READY;

	if (link->state == LINK_CLOSING || link->state == LINK_WAITING || link->state == LINK_ENDED)
		return;
	snprintf(link->why, sizeof(link->why), "%s", why);
	forget_connection(link);
	if (link->stream.state == STREAM_CLOSED)
		wait_for_next(link);
	else
		link->state = LINK_CLOSING;
	if (was_ready || !link->told || !same) {
		struct record *r = log_begin(link->setup.log, LOG_WARNING, "redis_down");

		record_string(r, "server", link->name);
		record_text(r, "text", span_text(link->why));
		log_end(link->setup.log);
		link->told = true;
	}
	link->setup.on_down(link->setup.context, link->why);
	if (link->state != LINK_ENDED)
		fail_calls(link);
}

void redis_link_drop(struct redis_link *link, const char *why)
{
	MAGIC_ENSURE(link, LINK_MAGIC);
	lose(link, why);
}

static void on_closed(void *context)
{
	struct redis_link *link = context;

	MAGIC_ENSURE(link, LINK_MAGIC);
	redisReaderFree(link->reader);
	link->reader = NULL;
	if (link->state == LINK_ENDED)
		free_when_idle(link);
	else
		wait_for_next(link);
}

static void on_end(void *context, enum stream_end end, const char *detail)
{
	struct redis_link *link = context;
	char why[200];

	MAGIC_ENSURE(link, LINK_MAGIC);
	snprintf(why, sizeof(why), "%s%s%s",
		end == STREAM_END_CONNECT ? "no connection"
		: end == STREAM_END_TLS   ? "TLS"
					  : "the connection has ended",
		detail && *detail ? ": " : "", detail ? detail : "");
	lose(link, why);
}

/* --- greeting --- */

static void become_ready(struct redis_link *link)
{
	struct record *r = log_begin(link->setup.log, LOG_INFO, "redis_up");

	record_string(r, "server", link->name);
	log_end(link->setup.log);
	link->state = LINK_READY;
	link->retry_ms = REDIS_RETRY_FIRST_MS;
	link->why[0] = '\0';
	link->told = false;
	timer_set(&link->setup.loop->timers, &link->timer, TICK_MS);
	link->setup.on_ready(link->setup.context);
}

static void on_greeting(void *context, const redisReply *reply)
{
	struct redis_link *link = context;
	char why[200];

	if (!reply || link->state != LINK_GREETING)
		return;
	/* A sentinel needs no password because its Redis has one. */
	if (reply->type == REDIS_REPLY_ERROR && !link->setup.sentinel) {
		snprintf(why, sizeof(why), "it refuses us: %.*s", (int)reply->len, reply->str);
		lose(link, why);
		return;
	}
	if (--link->greetings == 0)
		become_ready(link);
}

static void greet_with(struct redis_link *link, const struct span *args, size_t n)
{
	struct buffer command = BUFFER_INIT(4096);

	ENSURE(redis_command_write(&command, args, n));
	link->greetings++;
	put(link, buffer_span(&command), (struct call){on_greeting, link});
	buffer_free(&command);
}

static void greet(struct redis_link *link)
{
	const struct redis_url *url = link->setup.url;
	char db[12];

	link->state = LINK_GREETING;
	link->greetings = 0;
	stream_read(&link->stream, true);
	if (url->with_password && url->user[0])
		greet_with(link,
			(struct span[]){
				SPAN("AUTH"), span_text(url->user), span_text(url->password)},
			3);
	else if (url->with_password)
		greet_with(link, (struct span[]){SPAN("AUTH"), span_text(url->password)}, 2);
	snprintf(db, sizeof(db), "%u", url->db);
	if (url->db && !link->setup.sentinel)
		greet_with(link, (struct span[]){SPAN("SELECT"), span_text(db)}, 2);
	/* Something that must be answered, so that READY means that it answers. */
	greet_with(link, (struct span[]){SPAN("PING")}, 1);
}

static void on_connected(void *context)
{
	struct redis_link *link = context;

	MAGIC_ENSURE(link, LINK_MAGIC);
	if (link->state != LINK_CONNECTING)
		return;
	if (!link->setup.tls)
		greet(link);
	else
		stream_tls(&link->stream, link->setup.tls, false, link->node.host);
}

static void on_tls(void *context)
{
	struct redis_link *link = context;

	MAGIC_ENSURE(link, LINK_MAGIC);
	if (link->state == LINK_CONNECTING)
		greet(link);
}

/* --- replies --- */

/* hiredis would take an array of any size, before a single element of it has come. */
static void *create_array(const redisReadTask *task, int elements)
{
	const struct redis_link *link = task->privdata;

	return elements > REDIS_ELEMENTS_MAX ? NULL : link->plain_array(task, elements);
}

static void make_reader(struct redis_link *link)
{
	link->reader = redisReaderCreate();
	ENSURE(link->reader);
	link->functions = *link->reader->fn;
	link->plain_array = link->functions.createArray;
	link->functions.createArray = create_array;
	link->reader->fn = &link->functions;
	link->reader->privdata = link;
}

/* false: no whole one has come yet, or the connection is lost. */
static bool take_reply(struct redis_link *link)
{
	void *reply = NULL;
	struct call call;

	if (redisReaderGetReply(link->reader, &reply) != REDIS_OK) {
		lose(link, "it does not speak as Redis does");
		return false;
	}
	if (!reply)
		return false;
	if (link->n_calls == 0) {
		freeReplyObject(reply);
		lose(link, "it says what nobody asked for");
		return false;
	}
	call = take_call(link);
	call.done(call.context, reply);
	freeReplyObject(reply);
	return link->state == LINK_READY || link->state == LINK_GREETING;
}

static void on_data(void *context, struct span bytes)
{
	struct redis_link *link = context;

	MAGIC_ENSURE(link, LINK_MAGIC);
	if (link->state != LINK_READY && link->state != LINK_GREETING)
		return;
	link->heard_ms = loop_now_ms(link->setup.loop);
	if (link->reader->len - link->reader->pos + bytes.len > REDIS_REPLY_MAX ||
		redisReaderFeed(link->reader, bytes.at, bytes.len) != REDIS_OK) {
		lose(link, "a reply is too long");
		return;
	}
	while (take_reply(link))
		;
}

/* --- connecting --- */

static const struct stream_handler stream_handler = {.on_connected = on_connected,
	.on_data = on_data,
	.on_end = on_end,
	.on_tls = on_tls,
	.on_closed = on_closed};

static void connect_to(struct redis_link *link, const struct endpoint *to, const char *path)
{
	link->state = LINK_CONNECTING;
	make_reader(link);
	stream_connect(&link->stream, link->setup.loop, to, path, &stream_handler, link);
}

static void connect_next(struct redis_link *link)
{
	connect_to(link, &link->addresses[link->next_address++], NULL);
}

static void take_addresses(struct redis_link *link, const struct addrinfo *answer)
{
	link->n_addresses = link->next_address = 0;
	for (; answer && link->n_addresses < ADDRESSES_MAX; answer = answer->ai_next) {
		struct endpoint e = endpoint_of(answer->ai_addr);

		if (e.ip.family == IP_NONE)
			continue;
		e.port = link->node.port;
		link->addresses[link->n_addresses++] = e;
	}
}

static void on_lookup(uv_getaddrinfo_t *lookup, int status, struct addrinfo *answer)
{
	struct redis_link *link = CONTAINER_OF(lookup, struct redis_link, lookup);
	char why[200];

	MAGIC_ENSURE(link, LINK_MAGIC);
	link->looking = false;
	if (status == 0)
		take_addresses(link, answer);
	uv_freeaddrinfo(answer);
	if (link->state == LINK_ENDED) {
		free_when_idle(link);
		return;
	}
	if (link->state != LINK_RESOLVING)
		return; /* it took too long; what it found is for the next try */
	if (link->n_addresses) {
		connect_next(link);
		return;
	}
	snprintf(why, sizeof(why), "address lookup: %s",
		status ? uv_strerror(status) : "it has no address");
	lose(link, why);
}

static void resolve(struct redis_link *link)
{
	static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};

	/* A failure to begin (no memory for a thread's request) leaves it to the deadline. */
	if (!link->looking && uv_getaddrinfo(&link->setup.loop->uv, &link->lookup, on_lookup,
				      link->node.host, NULL, &hints) == 0)
		link->looking = true;
}

static void begin(struct redis_link *link)
{
	struct endpoint to = {.port = link->node.port};

	timer_set(&link->setup.loop->timers, &link->timer, REDIS_CONNECT_MS);
	link->state = LINK_RESOLVING;
	if (link->setup.url->form == REDIS_UNIX)
		connect_to(link, NULL, link->setup.url->path);
	else if (ip_parse(span_text(link->node.host), &to.ip))
		connect_to(link, &to, NULL);
	else if (link->next_address < link->n_addresses)
		connect_next(link); /* of the last answer, one is left to be tried */
	else
		resolve(link);
}

/* --- life --- */

static void on_pong(void *context, const redisReply *reply)
{
	(void)context;
	(void)reply; /* whatever it is, it is one */
}

static void look_for_life(struct redis_link *link)
{
	uint64_t silent_ms = loop_now_ms(link->setup.loop) - link->heard_ms;

	timer_set(&link->setup.loop->timers, &link->timer, TICK_MS);
	if (link->n_calls && silent_ms >= REDIS_SILENT_MS)
		lose(link, "it does not answer");
	else if (!link->n_calls && silent_ms >= REDIS_IDLE_MS)
		put(link, SPAN("*1\r\n$4\r\nPING\r\n"), (struct call){on_pong, link});
}

static void on_timer(struct timer *timer)
{
	struct redis_link *link = CONTAINER_OF(timer, struct redis_link, timer);

	MAGIC_ENSURE(link, LINK_MAGIC);
	if (link->state == LINK_WAITING)
		begin(link);
	else if (link->state == LINK_READY)
		look_for_life(link);
	else
		lose(link, "no answer in time");
}

struct redis_link *redis_link_open(
	const struct redis_link_setup *setup, const struct redis_node *node)
{
	struct redis_link *link = memory_zeroed(sizeof(*link));

	link->magic = LINK_MAGIC;
	link->setup = *setup;
	if (setup->url->form == REDIS_UNIX) {
		snprintf(link->name, sizeof(link->name), "%s", setup->url->path);
	} else {
		link->node = *node;
		snprintf(link->name, sizeof(link->name),
			strchr(node->host, ':') ? "[%s]:%u" : "%s:%u", node->host, node->port);
	}
	link->out = BUFFER_INIT(REDIS_UNSENT_MAX + 64 * 1024);
	link->flush.run = on_flush;
	link->timer.fire = on_timer;
	link->retry_ms = REDIS_RETRY_FIRST_MS;
	link->state = LINK_WAITING;
	timer_set(&setup->loop->timers, &link->timer, 0);
	return link;
}

void redis_link_close(struct redis_link **owner)
{
	struct redis_link *link = *owner;

	if (!link)
		return;
	MAGIC_ENSURE(link, LINK_MAGIC);
	*owner = NULL;
	forget_connection(link);
	link->state = LINK_ENDED;
	if (link->looking)
		uv_cancel((uv_req_t *)&link->lookup);
	fail_calls(link);
	free_when_idle(link);
}

bool redis_link_is_ready(const struct redis_link *link)
{
	return link && link->state == LINK_READY;
}

bool redis_link_is_to(const struct redis_link *link, const struct redis_node *node)
{
	return link->node.port == node->port && strcmp(link->node.host, node->host) == 0;
}

const char *redis_link_name(const struct redis_link *link)
{
	return link->name;
}

const char *redis_link_why(const struct redis_link *link)
{
	return link->why;
}
