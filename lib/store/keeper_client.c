#include "lib/store/keeper_client.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/net/ipc.h"
#include "lib/store/driver.h"
#include "lib/store/wire.h"

enum { KEEPER_CLIENT_MAGIC = 0x4eec1e47 };

struct keeper_client {
	uint32_t magic;
	struct loop *loop;
	struct store *store; /* borrowed: it owns us */
	struct log *log;     /* borrowed */
	struct lists *lists; /* borrowed; NULL: nobody reads lists here */
	struct ipc *ipc;     /* owned; NULL: no link */
};

static void on_end(void *context)
{
	struct keeper_client *client = context;

	MAGIC_ENSURE(client, KEEPER_CLIENT_MAGIC);
	ipc_close(&client->ipc);
	store_on_gone(client->store);
}

/* false: it is none about lists. */
static bool take_list(struct keeper_client *client, const struct ipc_frame *frame)
{
	struct err err = {{0}};
	enum lists_frame taken =
		client->lists ? lists_take(client->lists, frame, &err) : LISTS_OTHER;

	if (taken == LISTS_NONSENSE) {
		/* Lists stay as they were; a keeper that sends such things has no use. */
		log_event(client->log, LOG_ERROR, "lists_failed", SPAN_NONE, "%s", err.text);
		on_end(client);
	}
	return taken != LISTS_OTHER;
}

static void on_frame(void *context, const struct ipc_frame *frame)
{
	struct keeper_client *client = context;
	struct span payload = frame->payload;
	uint32_t outcome;

	MAGIC_ENSURE(client, KEEPER_CLIENT_MAGIC);
	if (take_list(client, frame))
		return;
	for (size_t i = 0; i < frame->n_fds; i++)
		close(frame->fds[i]);
	if (frame->type > STORE_FRAME_ANSWER && frame->type <= STORE_FRAME_LISTS_SHOWN)
		return; /* nobody reads lists here */
	if (frame->type == STORE_FRAME_ANSWER && frame->n_fds == 0 &&
		store_number_take(&payload, &outcome) && outcome > STORE_PENDING &&
		outcome <= STORE_AWAY)
		store_on_answer(client->store, frame->id, (enum store_outcome)outcome, payload);
	else
		on_end(client); /* nonsense */
}

static const struct ipc_handler handler = {on_frame, on_end};

static bool client_send(void *state, uint32_t id, enum store_kind kind, struct span body)
{
	struct keeper_client *client = state;
	struct buffer payload = BUFFER_INIT(STORE_BODY_MAX + sizeof(uint32_t));
	uint32_t number = kind;
	bool sent;

	MAGIC_ENSURE(client, KEEPER_CLIENT_MAGIC);
	if (!client->ipc)
		return false;
	sent = buffer_add(&payload, span_make(&number, sizeof(number))) &&
	       buffer_add(&payload, body) &&
	       ipc_send(client->ipc, &(struct ipc_frame){.type = STORE_FRAME_ASK,
					     .id = id,
					     .payload = buffer_span(&payload)});
	buffer_free(&payload);
	return sent;
}

static void client_close(void *state)
{
	struct keeper_client *client = state;

	MAGIC_ENSURE(client, KEEPER_CLIENT_MAGIC);
	ipc_close(&client->ipc);
	client->magic = 0;
	free(client);
}

static const struct store_driver driver = {.send = client_send, .close = client_close};

struct store *store_open_keeper(struct loop *loop, struct log *log)
{
	struct keeper_client *client = memory_zeroed(sizeof(*client));

	client->magic = KEEPER_CLIENT_MAGIC;
	client->loop = loop;
	client->log = log;
	client->store = store_open(loop, log, &driver, client);
	return client->store;
}

void store_keeper_lists(struct store *store, struct lists *lists)
{
	struct keeper_client *client = store_driver_state(store, &driver);

	MAGIC_ENSURE(client, KEEPER_CLIENT_MAGIC);
	client->lists = lists;
}

void store_link(struct store *store, int fd)
{
	struct keeper_client *client = store_driver_state(store, &driver);

	MAGIC_ENSURE(client, KEEPER_CLIENT_MAGIC);
	if (client->ipc) {
		ipc_close(&client->ipc);
		store_on_gone(store);
	}
	client->ipc = ipc_open(client->loop, fd, &handler, client);
	if (client->lists)
		lists_linked(client->lists);
	store_on_there(store);
}
