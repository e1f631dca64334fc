#include <string.h>

#include "lib/base/fail.h"
#include "lib/store/redis_private.h"

enum { SENTINEL_UNANSWERED_MAX = 2, SENTINEL_NEXT_MS = 50 };

static void set_timer(struct redis_client *client, uint64_t delay_ms)
{
	timer_set(&client->setup.loop->timers, &client->sentinel.timer, delay_ms);
}

static void on_ready(void *context)
{
	struct redis_client *client = context;

	client->sentinel.is_down = false;
	client->sentinel.unanswered = 0;
	set_timer(client, 0);
}

/* It goes on to the next one from the timer: a link can't be closed from here. */
static void on_down(void *context, const char *why)
{
	struct redis_client *client = context;

	(void)why;
	client->sentinel.is_down = true;
	set_timer(client, SENTINEL_NEXT_MS);
}

static void turn_to(struct redis_client *client, size_t at)
{
	struct redis_link_setup setup = redis_link_setup_of(client);
	struct sentinel *sentinel = &client->sentinel;

	redis_link_close(&sentinel->link);
	sentinel->at = at % client->url.n_nodes;
	sentinel->unanswered = 0;
	sentinel->is_down = false;
	setup.sentinel = true;
	setup.on_ready = on_ready;
	setup.on_down = on_down;
	setup.context = client;
	sentinel->link = redis_link_open(&setup, &client->url.nodes[sentinel->at]);
	set_timer(client, REDIS_SENTINEL_MS);
}

/* Another than before: what is under way to the old one is lost. */
static void primary_is(struct redis_client *client, const struct redis_node *node)
{
	struct place *old = client->places[0];
	struct record *r;

	if (old && redis_link_is_to(old->link, node))
		return;
	if (old) {
		/* In this order those above hear that it is gone before they hear of commands. */
		client->places[0] = NULL;
		redis_client_settle(client);
		client->places[0] = old;
		redis_place_close(client, 0);
	}
	r = log_begin(client->setup.log, LOG_INFO, "redis_primary");
	record_string(r, "name", client->url.name);
	record_string(r, "server", redis_link_name(redis_place(client, node)->link));
	log_end(client->setup.log);
}

static bool read_primary(const redisReply *reply, struct redis_node *node)
{
	uint64_t port;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
		reply->element[0]->type != REDIS_REPLY_STRING ||
		reply->element[1]->type != REDIS_REPLY_STRING || reply->element[0]->len == 0 ||
		reply->element[0]->len >= sizeof(node->host) ||
		!span_number(span_make(reply->element[1]->str, reply->element[1]->len), UINT16_MAX,
			&port))
		return false;
	memcpy(node->host, reply->element[0]->str, reply->element[0]->len);
	node->host[reply->element[0]->len] = '\0';
	node->port = (uint16_t)port;
	return true;
}

static void on_answer(void *context, const redisReply *reply)
{
	struct redis_client *client = context;
	struct sentinel *sentinel = &client->sentinel;
	struct redis_node node = {.port = 0};

	if (!reply || client->closing)
		return;
	sentinel->unanswered = 0;
	if (read_primary(reply, &node)) {
		sentinel->trouble = NULL;
		primary_is(client, &node);
		return;
	}
	sentinel->trouble = reply->type == REDIS_REPLY_ERROR ? "it refuses us"
							     : "it knows no primary of that name";
	sentinel->is_down = true; /* maybe the next one knows more */
}

static void ask(struct redis_client *client)
{
	struct span args[] = {
		SPAN("SENTINEL"), SPAN("get-master-addr-by-name"), span_text(client->url.name)};
	struct buffer command = BUFFER_INIT(4096);

	ENSURE(redis_command_write(&command, args, COUNT_OF(args)));
	client->sentinel.unanswered++;
	(void)!redis_link_send(client->sentinel.link, buffer_span(&command), on_answer, client);
	buffer_free(&command);
}

static void on_timer(struct timer *timer)
{
	struct redis_client *client = CONTAINER_OF(timer, struct redis_client, sentinel.timer);
	struct sentinel *sentinel = &client->sentinel;

	if (sentinel->is_down || sentinel->unanswered >= SENTINEL_UNANSWERED_MAX ||
		!redis_link_is_ready(sentinel->link)) {
		turn_to(client, sentinel->at + 1);
		return;
	}
	ask(client);
	set_timer(client, REDIS_SENTINEL_MS);
}

void redis_sentinel_start(struct redis_client *client)
{
	client->sentinel.timer.fire = on_timer;
	turn_to(client, 0);
}

void redis_sentinel_stop(struct redis_client *client)
{
	timer_clear(&client->setup.loop->timers, &client->sentinel.timer);
	redis_link_close(&client->sentinel.link);
}

void redis_sentinel_ask(struct redis_client *client)
{
	if (!client->closing && redis_link_is_ready(client->sentinel.link))
		set_timer(client, SENTINEL_NEXT_MS);
}
