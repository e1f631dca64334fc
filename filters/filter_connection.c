/*
 * connection: the client's name in DNS, and whether the name leads back to the client.
 *
 * A name told by XCLIENT is not used: what one server before us calls verified another does not,
 * and the address that it told is enough to ask ourselves.
 *
 * Of several PTR names the facts must not depend on the order in which a resolver happens to give
 * them: they are sorted, and client.rdns is the first that leads back, or else the first.
 */
#include <stdlib.h>

#include "filters/filter.h"
#include "filters/question.h"

enum { CLIENT_RDNS, CLIENT_FCRDNS };
enum { FCRDNS_PASS, FCRDNS_FAIL, FCRDNS_NONE };
enum { NAMES_MAX = 10 };

static const struct fact_choice results[] = {
	{"pass", NULL}, {"fail", NULL}, {"none", NULL}, {NULL, NULL}};

static const struct fact facts[] = {
	[CLIENT_RDNS] = {"client.rdns", TYPE_DOMAIN, STAGE_CONNECT, FACT_ASKS, NULL,
		"the name that DNS gives for the client's address (PTR)"},
	[CLIENT_FCRDNS] = {"client.fcrdns", TYPE_CHOICE, STAGE_CONNECT, FACT_ASKS, results,
		"pass if that name has the client's address again, none if there is no name"},
	{.name = NULL},
};

struct state {
	struct ip ip;
	struct span names[NAMES_MAX]; /* sorted */
	unsigned n;
	bool leads_back[NAMES_MAX];
	const char *trouble; /* a name could not be looked up */
};

static int compare_names(const void *a, const void *b)
{
	const struct dns_record *x = a, *y = b;
	size_t len = x->name.len < y->name.len ? x->name.len : y->name.len;
	int order = memcmp(x->name.at, y->name.at, len);

	return order ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

static void take_names(struct questions *all, struct dns_query *query)
{
	struct state *state = all->context;
	enum dns_type type = state->ip.family == IP_V4 ? DNS_A : DNS_AAAA;

	qsort(query->records, query->n_records, sizeof(*query->records), compare_names);
	for (size_t i = 0; i < query->n_records && state->n < NAMES_MAX; i++)
		state->names[state->n++] = query->records[i].name;
	if (state->n == 1)
		call_add_text(all->call, CLIENT_RDNS, state->names[0]);
	for (unsigned i = 0; i < state->n; i++)
		if (state->n > 1 || call_wants(all->call, CLIENT_FCRDNS))
			question_ask(all, state->names[i], type, i);
}

static void take_addresses(struct state *state, const struct question *question)
{
	const struct dns_query *query = &question->query;

	if (question_failed(question))
		state->trouble = question_why(question);
	for (size_t i = 0; query->outcome == DNS_FOUND && i < query->n_records; i++)
		if (ip_equal(&query->records[i].ip, &state->ip))
			state->leads_back[question->tag] = true;
}

static void on_answer(struct question *question)
{
	if (question->query.type != DNS_PTR)
		take_addresses(question->all->context, question);
	else if (question_failed(question))
		call_fail_all(question->all->call, question_why(question));
	else if (question_found(question))
		take_names(question->all, &question->query);
}

static void on_end(struct questions *all)
{
	const struct state *state = all->context;

	for (unsigned i = 0; i < state->n; i++) {
		if (!state->leads_back[i])
			continue;
		call_add_text(all->call, CLIENT_RDNS, state->names[i]);
		call_add_choice(all->call, CLIENT_FCRDNS, FCRDNS_PASS);
	}
	if (state->trouble)
		call_fail_all(all->call, state->trouble);
	if (state->n)
		call_add_text(all->call, CLIENT_RDNS, state->names[0]);
	call_add_choice(all->call, CLIENT_FCRDNS, state->n ? FCRDNS_FAIL : FCRDNS_NONE);
}

static enum call_status run(struct call *call)
{
	struct questions *all = questions_new(call, on_answer, on_end);
	struct state *state = call_memory(call, sizeof(*state));
	char name[DNS_NAME_SIZE];

	all->context = state;
	state->ip = call_view(call)->client.ip;
	if (dns_reverse_name(&state->ip, NULL, name))
		question_ask(all, span_text(name), DNS_PTR, 0);
	return questions_wait(all);
}

const struct filter filter_connection = {.version = FILTER_VERSION,
	.name = "connection",
	.facts = facts,
	.run = run,
	.cancel = questions_cancel};
