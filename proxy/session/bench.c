#include "proxy/session/bench.h"

#include "lib/base/fail.h"
#include "lib/net/digest.h"
#include "lib/net/dns.h"
#include "lib/store/lists.h"
#include "proxy/session/results.h"
#include "proxy/session/worker.h"

struct filter_slot *bench_slots(const struct policy *policy, bool always, struct arena *arena)
{
	const struct rules *rules = policy->rules;
	struct filter_slot *slots = arena_alloc(arena, (rules->n_slots + 1) * sizeof(*slots));

	for (size_t i = 0; i < rules->n_slots; i++) {
		const struct slot *slot = rules->slots[i];

		slots[i] = (struct filter_slot){.source = slot->source,
			.fact = slot->fact,
			.text = slot->list ? slot->list->from : slot->text,
			.field = slot->field ? &slots[slot->field->number] : NULL,
			.codes = slot->list ? slot->list->codes : NULL,
			.n_codes = slot->list ? slot->list->n_codes : 0,
			.window_ms = slot->window_ms,
			.stage = slot->stage,
			.index = slot->index,
			.rides = results_keep(slot->fact),
			.idle = slot->unread && !(always && results_measure(slot->fact))};
	}
	return slots;
}

const struct slot *bench_slot(const struct bench *bench, const char *fact)
{
	const struct policy *policy = bench->policy;

	for (size_t i = 0; i < policy->n_slots; i++) {
		const struct slot *slot = policy->rules->slots[i];

		if (!slot->text && !slot->field && strcmp(slot->fact->name, fact) == 0)
			return slot;
	}
	return NULL;
}

static bool open_filters(
	struct bench *b, struct worker *worker, struct filter_set *set, struct err *err)
{
	const struct config *config = worker->config;
	struct dns_setup resolver = {.loop = worker->loop,
		.servers = config->dns_servers,
		.n_servers = config->n_dns_servers,
		.timeout_ms = config->dns_timeout};
	struct filters_setup setup = {.set = set,
		.loop = worker->loop,
		.log = worker->log,
		.authn = worker->authn,
		.store = worker->store,
		.hostname = config->hostname,
		.timeout_ms = config->timeouts.filter,
		.slots = bench_slots(b->policy, b->always, b->arena),
		.n_slots = b->policy->n_slots};

	b->dns = dns_open(&resolver, err);
	setup.dns = b->dns;
	b->filters = b->dns ? filters_open(&setup, err) : NULL;
	return b->filters != NULL;
}

/* --- lists from the store --- */

/* They have been shown once: from now on rules look into them. */
static void bind_lists(void *context)
{
	struct bench *b = context;
	const struct rules *rules = b->policy->rules;

	for (size_t i = 0; i < rules->n_lists; i++) {
		struct rule_list *list = rules->lists[i];

		if (list->origin != LIST_STORE)
			continue;
		b->live[i] = list_new_live(list->type, list->type == LIST_HASH ? digest_hex : NULL,
			lists_view(b->lists, span_text(list->from)), &b->loop->clock);
		list->content = b->live[i];
	}
}

static void unbind_lists(struct bench *b)
{
	if (b->lists)
		lists_on_known(b->lists, NULL, NULL);
	for (size_t i = 0; i < b->policy->rules->n_lists; i++) {
		if (!b->live[i])
			continue;
		b->policy->rules->lists[i]->content = NULL;
		list_free(&b->live[i]);
	}
}

bool bench_open(struct bench **out, struct worker *worker, const struct policy *policy,
	struct filter_set *filters, struct err *err)
{
	bool always = worker->config->authentication_results == AUTHRES_ALWAYS;
	struct arena *arena;
	struct bench *b;

	*out = NULL;
	/* Without rules nothing is read but what a header shall say. */
	if (!policy || (policy->n_rules == 0 && (!always || policy->n_slots == 0)))
		return true;
	arena = arena_new(4096);
	b = arena_alloc(arena, sizeof(*b));
	b->arena = arena;
	b->policy = policy;
	b->evaluation = evaluation_new(policy, arena);
	b->wanted = arena_alloc(arena, policy->n_slots + 1);
	b->waits = arena_alloc(arena, policy->n_slots + 1);
	b->early_talker = bench_slot(b, "client.early_talker");
	b->rcpt_valid = bench_slot(b, "rcpt.valid");
	b->always = always;
	b->results = results_slots(policy, arena, &b->n_results);
	b->told = arena_alloc(arena, policy->n_slots + 1);
	b->hits = arena_alloc(arena, (policy->n_rules + 1) * sizeof(*b->hits));
	*out = b;
	b->loop = worker->loop;
	b->lists = worker->setup.lists;
	b->live = arena_alloc(arena, (policy->rules->n_lists + 1) * sizeof(*b->live));
	if (b->lists)
		lists_on_known(b->lists, bind_lists, b);
	if (open_filters(b, worker, filters, err))
		return true;
	bench_close(out);
	return false;
}

void bench_close(struct bench **bench)
{
	struct bench *b = *bench;
	struct arena *arena;

	if (!b)
		return;
	while (b->filters && !filters_quiet(b->filters))
		loop_turn(b->loop, true);
	if (b->filters)
		filters_close(&b->filters);
	if (b->dns)
		dns_close(&b->dns);
	loop_turn(
		b->loop, false); /* questions of filters themselves hear that they are cancelled */
	unbind_lists(b);
	arena = b->arena;
	*bench = NULL;
	arena_free(&arena);
}

void bench_status(const struct bench *bench, struct record *r)
{
	static const char *const modes[] = {"on", "monitor", "off"};

	if (!bench)
		return;
	record_open(r, "dns");
	dns_status(bench->dns, r);
	record_close(r);
	filters_status(bench->filters, r);
	record_list(r, "rules");
	for (size_t i = 0; i < bench->policy->n_rules; i++) {
		const struct rule *rule = policy_rule(bench->policy, i);

		if (rule->mode == RULE_OFF)
			continue;
		record_open(r, NULL);
		record_string(r, "rule", rule->name);
		record_string(r, "mode", modes[rule->mode]);
		record_number(r, "hits", (int64_t)bench->hits[i]);
		record_close(r);
	}
	record_close(r);
}

void bench_want_own(const struct policy *policy, const struct subject *subject, bool *wanted)
{
	for (size_t i = 0; i < policy->n_slots; i++) {
		const struct slot *slot = policy->rules->slots[i];

		if (slot->stage == STAGE_RCPT && !(slot->fact->flags & FACT_ASKS) &&
			subject_value(subject, slot)->state == FACT_PENDING)
			wanted[i] = true;
	}
}

void bench_count(struct bench *b, const struct evaluation *e)
{
	const struct rule *rule;
	size_t cursor = 0;

	while (evaluation_next_hit(e, &cursor, &rule))
		b->hits[rule->index]++;
}
