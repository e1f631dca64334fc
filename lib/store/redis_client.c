#include "lib/store/redis_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fail.h"
#include "lib/net/digest.h"
#include "lib/store/redis_private.h"

enum { CLIENT_MAGIC = 0x4ed15c11, COMMAND_MAX = 1024 * 1024 };

static void dispatch(struct op *op);

/* --- the end of a command --- */

static void op_end(struct op *op, const redisReply *reply)
{
	op->done(op->context, reply);
	buffer_free(&op->bytes);
	free(op);
}

static struct op *take_parked(struct redis_client *client)
{
	struct op *ops = client->parked;

	client->parked = NULL;
	client->last_parked = &client->parked;
	client->n_parked = 0;
	return ops;
}

static void fail_parked(struct redis_client *client)
{
	struct op *op = take_parked(client), *next;

	for (; op; op = next) {
		next = op->next;
		op_end(op, NULL);
	}
}

/* --- parked commands --- */

static uint64_t now_ms(struct redis_client *client)
{
	return loop_now_ms(client->setup.loop);
}

static void park(struct op *op)
{
	struct redis_client *client = op->client;

	if (!client->there || client->closing || now_ms(client) >= op->deadline_ms) {
		op_end(op, NULL);
		return;
	}
	op->next = NULL;
	*client->last_parked = op;
	client->last_parked = &op->next;
	client->n_parked++;
	if (client->url.form == REDIS_CLUSTER)
		redis_cluster_doubt(client);
	if (!timer_is_set(&client->parked_timer))
		timer_set(&client->setup.loop->timers, &client->parked_timer, REDIS_PARKED_MS);
}

static void on_parked(struct timer *timer)
{
	struct redis_client *client = CONTAINER_OF(timer, struct redis_client, parked_timer);
	struct op *op, *next;

	MAGIC_ENSURE(client, CLIENT_MAGIC);
	for (op = take_parked(client); op; op = next) {
		next = op->next;
		dispatch(op);
	}
}

/* --- replies --- */

static bool begins(const redisReply *reply, const char *word)
{
	return reply->type == REDIS_REPLY_ERROR &&
	       span_starts(span_make(reply->str, reply->len), span_text(word));
}

static void on_nothing(void *context, const redisReply *reply)
{
	(void)context;
	(void)reply;
}

static bool load_script(struct redis_client *client, struct place *place, enum redis_script script)
{
	struct span args[] = {SPAN("SCRIPT"), SPAN("LOAD"), span_text(redis_script_text(script))};
	struct buffer command = BUFFER_INIT(COMMAND_MAX);
	bool ok = redis_command_write(&command, args, COUNT_OF(args)) &&
		  redis_link_send(place->link, buffer_span(&command), on_nothing, client);

	buffer_free(&command);
	return ok;
}

static void go_elsewhere(struct op *op, const redisReply *reply, bool once)
{
	struct span text = span_make(reply->str, reply->len);
	struct redis_client *client = op->client;
	struct redis_node node;
	unsigned slot;

	if (!redis_redirect_read(span_from(text, once ? 4 : 6), op->sent_to, &slot, &node)) {
		op_end(op, reply);
		return;
	}
	client->redirected++;
	if (once) {
		op->ask = node;
	} else {
		struct place *place = redis_place(client, &node);

		for (size_t i = 0; place && i < REDIS_LINKS_MAX; i++)
			if (client->places[i] == place)
				client->cluster.slots[slot] = (uint8_t)(i + 1);
		if (place)
			place->primary = true;
		redis_cluster_doubt(client);
	}
	dispatch(op);
}

/* Errors that pass: its data is being loaded, the cluster is finding itself, a script runs. */
static bool is_passing(const redisReply *reply)
{
	return begins(reply, "LOADING ") || begins(reply, "TRYAGAIN ") ||
	       begins(reply, "CLUSTERDOWN ") || begins(reply, "MASTERDOWN ") ||
	       begins(reply, "BUSY ");
}

static void on_reply(void *context, const redisReply *reply)
{
	struct op *op = context;
	struct redis_client *client = op->client;
	bool cluster = client->url.form == REDIS_CLUSTER;

	MAGIC_ENSURE(client, CLIENT_MAGIC);
	if (!reply && cluster) {
		park(op);
	} else if (!reply || reply->type != REDIS_REPLY_ERROR ||
		   ++op->redirects > REDIS_REDIRECTS_MAX) {
		op_end(op, reply);
	} else if (begins(reply, "NOSCRIPT ") && op->script != SCRIPT_NONE) {
		if (load_script(client, op->sent_to, op->script))
			dispatch(op);
		else
			park(op);
	} else if (cluster && begins(reply, "MOVED ")) {
		go_elsewhere(op, reply, false);
	} else if (cluster && begins(reply, "ASK ")) {
		go_elsewhere(op, reply, true);
	} else if (client->url.form == REDIS_SENTINEL && begins(reply, "READONLY ")) {
		op->redirects--;
		redis_sentinel_ask(client);
		park(op);
	} else if (is_passing(reply) || (cluster && begins(reply, "READONLY "))) {
		op->redirects--; /* the deadline bounds these */
		park(op);
	} else {
		op_end(op, reply);
	}
}

/* --- sending --- */

static struct place *place_for(const struct op *op)
{
	if (op->client->url.form == REDIS_CLUSTER)
		return redis_cluster_place(op->client, op);
	return op->client->places[0];
}

/* The one that is asked may see it off to another; ASKING lets it in there once. */
static bool send_asking(struct op *op)
{
	struct place *place = redis_place(op->client, &op->ask);

	if (!place || !redis_link_is_ready(place->link))
		return false;
	if (!redis_link_send(place->link, SPAN("*1\r\n$6\r\nASKING\r\n"), on_nothing, NULL))
		return false;
	op->ask.port = 0;
	op->sent_to = place;
	return redis_link_send(place->link, buffer_span(&op->bytes), on_reply, op);
}

static void dispatch(struct op *op)
{
	struct place *place;

	if (op->ask.port) {
		if (!send_asking(op))
			park(op);
		return;
	}
	place = place_for(op);
	op->sent_to = place;
	if (!place || !redis_link_send(place->link, buffer_span(&op->bytes), on_reply, op))
		park(op);
}

static bool write_command(
	struct redis_client *client, const struct redis_command *command, struct buffer *out)
{
	struct span args[REDIS_ARGS_MAX + 5];
	char n_keys[2] = {(char)('0' + command->n_keys), '\0'};
	size_t n = 0;

	ENSURE(command->n_args <= REDIS_ARGS_MAX && command->n_keys <= 2);
	if (command->script != SCRIPT_NONE) {
		args[n++] = SPAN("EVALSHA");
		args[n++] = span_text(client->sha[command->script]);
		args[n++] = span_text(n_keys);
		for (size_t i = 0; i < command->n_keys; i++)
			args[n++] = command->keys[i];
	}
	for (size_t i = 0; i < command->n_args; i++)
		args[n++] = command->args[i];
	return redis_command_write(out, args, n);
}

bool redis_client_send(struct redis_client *client, const struct redis_command *command)
{
	struct op *op;

	MAGIC_ENSURE(client, CLIENT_MAGIC);
	if (!client->there || client->n_parked >= REDIS_PENDING_MAX)
		return false;
	op = memory_zeroed(sizeof(*op));
	op->bytes = BUFFER_INIT(COMMAND_MAX);
	if (!write_command(client, command, &op->bytes)) {
		buffer_free(&op->bytes);
		free(op);
		return false;
	}
	op->client = client;
	op->script = command->script;
	op->node = command->node;
	op->slot = redis_slot(command->n_keys ? command->keys[0] : command->route);
	op->deadline_ms = now_ms(client) + command->patience_ms;
	op->done = command->done;
	op->context = command->context;
	client->commands++;
	dispatch(op);
	return true;
}

/* --- whether it is there --- */

static bool look_there(const struct redis_client *client)
{
	if (client->url.form == REDIS_CLUSTER)
		return redis_cluster_is_there(client);
	return client->places[0] && redis_link_is_ready(client->places[0]->link);
}

void redis_client_settle(struct redis_client *client)
{
	bool there = !client->closing && look_there(client);

	if (there == client->there)
		return;
	client->there = there;
	if (there) {
		client->setup.on_there(client->setup.context);
		return;
	}
	client->setup.on_gone(client->setup.context);
	fail_parked(client);
}

static void on_ready(void *context)
{
	struct place *place = context;
	struct redis_client *client = place->client;

	MAGIC_ENSURE(client, CLIENT_MAGIC);
	/* What it has forgotten later is loaded when it says so. */
	for (int i = 0; i < SCRIPT_COUNT; i++)
		(void)!load_script(client, place, (enum redis_script)i);
	if (client->url.form == REDIS_CLUSTER)
		redis_cluster_on_link(client);
	redis_client_settle(client);
}

static void on_down(void *context, const char *why)
{
	struct place *place = context;
	struct redis_client *client = place->client;

	MAGIC_ENSURE(client, CLIENT_MAGIC);
	(void)why;
	if (client->url.form == REDIS_CLUSTER)
		redis_cluster_on_link(client);
	if (client->url.form == REDIS_SENTINEL)
		redis_sentinel_ask(client);
	redis_client_settle(client);
}

/* --- servers --- */

struct redis_link_setup redis_link_setup_of(struct redis_client *client)
{
	return (struct redis_link_setup){.loop = client->setup.loop,
		.log = client->setup.log,
		.url = &client->url,
		.tls = client->tls};
}

struct place *redis_place(struct redis_client *client, const struct redis_node *node)
{
	struct redis_link_setup setup = redis_link_setup_of(client);
	size_t free_at = REDIS_LINKS_MAX;
	struct place *place;

	for (size_t i = REDIS_LINKS_MAX; i-- > 0;) {
		if (!client->places[i])
			free_at = i;
		else if (redis_link_is_to(client->places[i]->link, node))
			return client->places[i];
	}
	if (free_at == REDIS_LINKS_MAX)
		return NULL;
	place = memory_zeroed(sizeof(*place));
	place->client = client;
	place->node = *node;
	setup.on_ready = on_ready;
	setup.on_down = on_down;
	setup.context = place;
	place->link = redis_link_open(&setup, node);
	client->places[free_at] = place;
	return place;
}

void redis_place_close(struct redis_client *client, size_t number)
{
	struct place *place = client->places[number];

	if (!place)
		return;
	client->places[number] = NULL;
	redis_link_close(&place->link);
	free(place);
}

/* --- life --- */

struct redis_client *redis_client_open(const struct redis_client_setup *setup, struct err *err)
{
	struct tls_context *tls = setup->url->tls ? tls_context_client(true, err) : NULL;
	struct redis_client *client;

	if (setup->url->tls && !tls)
		return NULL;
	client = memory_zeroed(sizeof(*client));
	client->magic = CLIENT_MAGIC;
	client->setup = *setup;
	client->url = *setup->url;
	client->setup.url = NULL;
	client->tls = tls;
	client->last_parked = &client->parked;
	client->parked_timer.fire = on_parked;
	for (int i = 0; i < SCRIPT_COUNT; i++)
		if (!digest_hex(
			    40, span_text(redis_script_text((enum redis_script)i)), client->sha[i]))
			fail_bug(__FILE__, __LINE__, "there is SHA-1");
	if (client->url.form == REDIS_SENTINEL)
		redis_sentinel_start(client);
	else if (client->url.form == REDIS_CLUSTER)
		redis_cluster_start(client);
	else
		redis_place(client, &client->url.nodes[0]);
	return client;
}

void redis_client_close(struct redis_client **owner)
{
	struct redis_client *client = *owner;

	if (!client)
		return;
	MAGIC_ENSURE(client, CLIENT_MAGIC);
	*owner = NULL;
	client->closing = true;
	client->there = false;
	timer_clear(&client->setup.loop->timers, &client->parked_timer);
	redis_sentinel_stop(client);
	redis_cluster_stop(client);
	for (size_t i = 0; i < REDIS_LINKS_MAX; i++)
		redis_place_close(client, i);
	fail_parked(client);
	tls_context_free(&client->tls);
	client->magic = 0;
	free(client);
}

bool redis_client_is_there(const struct redis_client *client)
{
	return client->there;
}

unsigned redis_client_nodes(const struct redis_client *client)
{
	unsigned n = 0;

	for (size_t i = 0; i < REDIS_LINKS_MAX; i++)
		n += client->places[i] &&
		     (client->places[i]->primary || client->url.form != REDIS_CLUSTER);
	return n;
}

void redis_client_status(const struct redis_client *client, struct record *r)
{
	record_list(r, "servers");
	for (size_t i = 0; i < REDIS_LINKS_MAX; i++) {
		const struct place *place = client->places[i];

		if (!place)
			continue;
		record_open(r, NULL);
		record_string(r, "server", redis_link_name(place->link));
		record_string(r, "state", redis_link_is_ready(place->link) ? "ready" : "away");
		if (*redis_link_why(place->link))
			record_text(r, "why", span_text(redis_link_why(place->link)));
		record_close(r);
	}
	record_close(r);
	if (client->url.form == REDIS_SENTINEL && client->sentinel.link) {
		record_string(r, "sentinel", redis_link_name(client->sentinel.link));
		if (client->sentinel.trouble)
			record_string(r, "sentinel_trouble", client->sentinel.trouble);
	}
	record_number(r, "commands", (int64_t)client->commands);
	record_number(r, "redirected", (int64_t)client->redirected);
	record_number(r, "parked", client->n_parked);
}
