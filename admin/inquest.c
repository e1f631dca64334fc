#include "admin/inquest.h"

#include <stdio.h>
#include <stdlib.h>

#include "admin/keeper.h"
#include "admin/reception.h"
#include "lib/base/fail.h"

#define PAGE "1000"

struct inquest {
	struct inquest *next;
	uint32_t id;
	enum store_kind kind;
};

struct question {
	enum store_kind kind;
	struct span parts[2];
	size_t n;
	char number[24]; /* what a part may point to */
};

/* --- what is asked --- */

static void ask_dmarc(const struct control_request *request, struct question *q)
{
	bool one = request->domain.len > 0;

	q->kind = one ? STORE_DMARC_DOMAIN : STORE_DMARC_DAY;
	q->parts[0] = request->day;
	q->parts[1] = request->domain;
	q->n = one ? 2 : 1;
}

static void ask_greylist(const struct control_request *request, struct question *q)
{
	q->parts[0] = request->key;
	q->parts[1] = SPAN(PAGE);
	q->n = 2;
	if (span_equal(request->what, SPAN("ls"))) {
		q->kind = STORE_GREY_LIST;
	} else if (span_equal(request->what, SPAN("allow"))) {
		q->kind = STORE_GREY_ALLOW;
		snprintf(q->number, sizeof(q->number), "%llu", 1000ULL * request->number);
		q->parts[1] = span_text(q->number);
	} else {
		q->kind = STORE_GREY_CLEAR;
		q->n = 1;
	}
}

static void ask_reputation(const struct control_request *request, struct question *q)
{
	q->kind = span_equal(request->what, SPAN("show")) ? STORE_REP_SHOW : STORE_REP_RESET;
	q->parts[0] = request->key;
	q->n = 1;
}

void inquest_start(struct keeper *keeper, uint32_t id, const struct control_request *request)
{
	struct inquest *inquest = memory_zeroed(sizeof(*inquest));
	struct question q = {.n = 0};

	if (request->verb == CONTROL_DMARC)
		ask_dmarc(request, &q);
	else if (request->verb == CONTROL_GREYLIST)
		ask_greylist(request, &q);
	else
		ask_reputation(request, &q);
	inquest->id = id;
	inquest->kind = q.kind;
	inquest->next = keeper->inquests;
	keeper->inquests = inquest;
	keeper_ask_store(keeper, id, q.kind, q.parts, q.n);
}

/* --- what is answered --- */

/* Of an empty answer, or one that says that there was nothing; NULL: that is no news. */
static const char *nothing_text(enum store_kind kind, struct span answer)
{
	bool none = answer.len == 0;

	if (kind == STORE_DMARC_DOMAIN && none)
		return "There are no results for that domain on that day.\n";
	if (kind == STORE_REP_SHOW && none)
		return "Nothing is known of it.\n";
	if ((kind == STORE_GREY_CLEAR || kind == STORE_REP_RESET) && span_equal(answer, SPAN("0")))
		return "Nothing is known of it.\n";
	return NULL;
}

static bool says_nothing_else(enum store_kind kind)
{
	return kind == STORE_GREY_CLEAR || kind == STORE_REP_RESET;
}

static enum store_kind take_kind(struct keeper *keeper, uint32_t id)
{
	struct inquest **at = &keeper->inquests, *inquest;
	enum store_kind kind;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	ENSURE(*at);
	inquest = *at;
	*at = inquest->next;
	kind = inquest->kind;
	free(inquest);
	return kind;
}

void inquest_on_answer(void *context, uint32_t id, enum store_outcome outcome, struct span answer)
{
	struct keeper *keeper = context;
	enum store_kind kind = take_kind(keeper, id);
	const char *nothing = nothing_text(kind, answer);

	if (outcome != STORE_DONE)
		reception_answer(keeper->reception, id, 4,
			SPAN("The store can't do that; the log says why.\n"));
	else if (nothing)
		reception_answer(keeper->reception, id, 1, span_text(nothing));
	else
		reception_answer(
			keeper->reception, id, 0, says_nothing_else(kind) ? SPAN_NONE : answer);
}

void inquest_close_all(struct keeper *keeper)
{
	while (keeper->inquests)
		(void)take_kind(keeper, keeper->inquests->id);
}
