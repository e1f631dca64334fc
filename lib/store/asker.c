#include "lib/store/asker.h"

#include <stdlib.h>

#include "lib/base/fail.h"

enum { ASKER_MAGIC = 0x0a58e400, ASKER_TIMEOUT_MS = 5000 /* an admin has patience */ };

struct asked {
	struct asked *next, *prev;
	struct asker *asker;
	uint32_t id;
	struct store_request request;
};

struct asker {
	uint32_t magic;
	struct store *store; /* borrowed */
	void (*on_answer)(
		void *context, uint32_t id, enum store_outcome outcome, struct span answer);
	void *context;
	struct asked *asked; /* owned list */
};

static void forget(struct asked *asked)
{
	if (asked->prev)
		asked->prev->next = asked->next;
	else
		asked->asker->asked = asked->next;
	if (asked->next)
		asked->next->prev = asked->prev;
	free(asked);
}

static void on_done(struct store_request *request)
{
	struct asked *asked = request->context;
	struct asker *asker = asked->asker;

	MAGIC_ENSURE(asker, ASKER_MAGIC);
	asker->on_answer(asker->context, asked->id, request->outcome, request->answer);
	forget(asked);
}

struct asker *asker_new(struct store *store,
	void (*on_answer)(
		void *context, uint32_t id, enum store_outcome outcome, struct span answer),
	void *context)
{
	struct asker *asker = memory_zeroed(sizeof(*asker));

	asker->magic = ASKER_MAGIC;
	asker->store = store;
	asker->on_answer = on_answer;
	asker->context = context;
	return asker;
}

void asker_ask(struct asker *asker, uint32_t id, enum store_kind kind, const struct span *parts,
	size_t n_parts)
{
	struct asked *asked = memory_zeroed(sizeof(*asked));

	MAGIC_ENSURE(asker, ASKER_MAGIC);
	asked->asker = asker;
	asked->id = id;
	asked->next = asker->asked;
	if (asker->asked)
		asker->asked->prev = asked;
	asker->asked = asked;
	asked->request = (struct store_request){.kind = kind,
		.n_parts = n_parts,
		.timeout_ms = ASKER_TIMEOUT_MS,
		.done = on_done,
		.context = asked};
	for (size_t i = 0; i < n_parts; i++)
		asked->request.parts[i] = parts[i];
	store_ask(asker->store, &asked->request);
}

void asker_free(struct asker **owner)
{
	struct asker *asker = *owner;

	if (!asker)
		return;
	MAGIC_ENSURE(asker, ASKER_MAGIC);
	*owner = NULL;
	while (asker->asked) {
		store_cancel(&asker->asked->request);
		forget(asker->asked);
	}
	asker->magic = 0;
	free(asker);
}
