#include "filters/recall.h"

#include "lib/base/fail.h"

struct recall {
	struct call *call;
	enum call_status (*told)(struct call *call, void *context, struct span answer);
	void *context;
	struct store_request request;
};

static void on_done(struct store_request *request)
{
	struct recall *recall = request->context;
	struct call *call = recall->call;

	if (request->outcome == STORE_DONE &&
		recall->told(call, recall->context, request->answer) == CALL_WAIT)
		return;
	if (request->outcome != STORE_DONE)
		call_fail_all(call, request->outcome == STORE_AWAY ? "the store is away"
								   : "the store could not tell");
	call_done(call);
}

enum call_status recall(struct call *call, enum store_kind kind, const struct span *parts, size_t n,
	enum call_status (*told)(struct call *call, void *context, struct span answer),
	void *context)
{
	struct filter_home *home = call_home(call);
	struct recall *recall;

	if (!home->store) {
		call_fail_all(call, "there is no store here");
		return CALL_DONE;
	}
	recall = call_memory(call, sizeof(*recall));
	*recall = (struct recall){.call = call, .told = told, .context = context};
	recall->request = (struct store_request){.kind = kind,
		.n_parts = n,
		.timeout_ms = filter_number(home, OPTION_PATIENCE),
		.done = on_done,
		.context = recall};
	for (size_t i = 0; i < n; i++)
		recall->request.parts[i] = parts[i];
	call_keep(call, recall);
	store_ask(home->store, &recall->request);
	return CALL_WAIT;
}

void recall_cancel(struct call *call)
{
	struct recall *recall = call_own(call);

	store_cancel(&recall->request);
	call_done(call);
}
