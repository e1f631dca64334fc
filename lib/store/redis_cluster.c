#include <string.h>

#include "lib/base/fail.h"
#include "lib/store/redis_private.h"

enum { DOUBT_MS = 100 /* between two questions for the map */ };

/* --- slots --- */

/* CRC-16/XMODEM, as the cluster's specification names it. */
static unsigned crc16(struct span bytes)
{
	unsigned crc = 0;

	for (size_t i = 0; i < bytes.len; i++) {
		crc ^= (unsigned)(unsigned char)bytes.at[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
	}
	return crc & 0xffff;
}

unsigned redis_slot(struct span key)
{
	size_t open = span_find_char(key, '{');
	struct span tag = span_from(key, open + 1);
	size_t length = span_find_char(tag, '}');

	if (open < key.len && length > 0 && length < tag.len)
		key = span_first(tag, length);
	return crc16(key) % REDIS_SLOTS;
}

static bool set_node(
	struct span host, uint64_t port, const struct place *from, struct redis_node *node)
{
	/* A node that does not know its own address means the one under which it was reached. */
	if (host.len == 0 || span_equal(host, SPAN("?")))
		host = span_text(from->node.host);
	if (host.len >= sizeof(node->host) || port == 0 || port > UINT16_MAX)
		return false;
	memcpy(node->host, host.at, host.len);
	node->host[host.len] = '\0';
	node->port = (uint16_t)port;
	return true;
}

bool redis_redirect_read(
	struct span text, const struct place *from, unsigned *slot, struct redis_node *node)
{
	struct span number = span_word(&text), host;
	uint64_t value, port;
	size_t colon;

	text = span_trim(text);
	for (colon = text.len; colon > 0 && text.at[colon - 1] != ':'; colon--)
		;
	if (colon == 0 || !span_number(number, REDIS_SLOTS - 1, &value) ||
		!span_number(span_from(text, colon), UINT16_MAX, &port))
		return false;
	*slot = (unsigned)value;
	host = span_first(text, colon - 1);
	return set_node(host, port, from, node);
}

/* --- the map --- */

static size_t number_of(const struct redis_client *client, const struct place *place)
{
	size_t i = 0;

	while (client->places[i] != place)
		i++;
	return i;
}

static bool is_number(const redisReply *reply, uint64_t max, uint64_t *out)
{
	*out = (uint64_t)reply->integer;
	return reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0 && *out <= max;
}

/* [first, last, [host, port, ...primary], replicas...] */
static void take_range(
	struct redis_client *client, const struct place *from, const redisReply *range)
{
	const redisReply *server;
	struct redis_node node;
	uint64_t first, last, port;
	struct place *place;
	struct span host;

	if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 ||
		!is_number(range->element[0], REDIS_SLOTS - 1, &first) ||
		!is_number(range->element[1], REDIS_SLOTS - 1, &last))
		return;
	server = range->element[2];
	if (server->type != REDIS_REPLY_ARRAY || server->elements < 2 ||
		!is_number(server->element[1], UINT16_MAX, &port))
		return;
	host = server->element[0]->type == REDIS_REPLY_STRING
		       ? span_make(server->element[0]->str, server->element[0]->len)
		       : SPAN_NONE;
	if (!set_node(host, port, from, &node) || !(place = redis_place(client, &node)))
		return;
	place->primary = true;
	for (uint64_t slot = first; slot <= last; slot++)
		client->cluster.slots[slot] = (uint8_t)(number_of(client, place) + 1);
}

static void close_others(struct redis_client *client)
{
	for (size_t i = 0; i < REDIS_LINKS_MAX; i++)
		if (client->places[i] && !client->places[i]->primary)
			redis_place_close(client, i);
}

static void take_map(struct redis_client *client, struct place *from, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
		return;
	memset(client->cluster.slots, 0, sizeof(client->cluster.slots));
	for (size_t i = 0; i < REDIS_LINKS_MAX; i++)
		if (client->places[i])
			client->places[i]->primary = false;
	for (size_t i = 0; i < reply->elements; i++)
		take_range(client, from, reply->element[i]);
	client->cluster.known = true;
	close_others(client);
}

static void on_map(void *context, const redisReply *reply)
{
	struct place *from = context;
	struct redis_client *client = from->client;

	client->cluster.asking = false;
	if (client->closing)
		return;
	if (reply)
		take_map(client, from, reply);
	if (reply)
		redis_client_settle(client);
	if (!client->cluster.known || !reply)
		redis_cluster_doubt(client);
}

static struct place *ready_place(struct redis_client *client)
{
	for (unsigned i = 0; i < REDIS_LINKS_MAX; i++) {
		struct place *place = client->places[++client->cluster.turn % REDIS_LINKS_MAX];

		if (place && redis_link_is_ready(place->link))
			return place;
	}
	return NULL;
}

static void on_timer(struct timer *timer)
{
	struct redis_client *client = CONTAINER_OF(timer, struct redis_client, cluster.timer);
	struct place *place = ready_place(client);

	if (!place || client->cluster.asking)
		return;
	client->cluster.asking = redis_link_send(
		place->link, SPAN("*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n"), on_map, place);
}

void redis_cluster_doubt(struct redis_client *client)
{
	if (!timer_is_set(&client->cluster.timer) && !client->cluster.asking && !client->closing)
		timer_set(&client->setup.loop->timers, &client->cluster.timer, DOUBT_MS);
}

/* --- who is there --- */

static void open_seeds(struct redis_client *client)
{
	for (size_t i = 0; i < client->url.n_nodes; i++)
		(void)redis_place(client, &client->url.nodes[i]);
}

void redis_cluster_on_link(struct redis_client *client)
{
	if (client->closing)
		return;
	/* Those that we knew may all have moved; those that the admin named are tried too. */
	if (!ready_place(client))
		open_seeds(client);
	redis_cluster_doubt(client);
}

struct place *redis_cluster_place(struct redis_client *client, const struct op *op)
{
	unsigned left = op->node;

	if (!op->node)
		return client->cluster.slots[op->slot]
			       ? client->places[client->cluster.slots[op->slot] - 1]
			       : NULL;
	for (size_t i = 0; i < REDIS_LINKS_MAX; i++)
		if (client->places[i] && client->places[i]->primary && --left == 0)
			return client->places[i];
	return NULL;
}

bool redis_cluster_is_there(const struct redis_client *client)
{
	for (size_t i = 0; i < REDIS_LINKS_MAX && client->cluster.known; i++)
		if (client->places[i] && client->places[i]->primary &&
			redis_link_is_ready(client->places[i]->link))
			return true;
	return false;
}

void redis_cluster_start(struct redis_client *client)
{
	client->cluster.timer.fire = on_timer;
	open_seeds(client);
}

void redis_cluster_stop(struct redis_client *client)
{
	timer_clear(&client->setup.loop->timers, &client->cluster.timer);
}
