#include "policy/guard.h"

#include <stdlib.h>

#include "lib/base/fail.h"
#include "policy/bits.h"
#include "policy/truth.h"

enum {
	WORTH = 8, /* so many keys on one slot before an index of them pays */
	RUN = 4,   /* bytes, of GUARD_CONTAINS */
	FILTER_BITS_PER_KEY = 16
};

/* --- hashes --- */

static uint64_t hash_of_network(const struct cidr *net)
{
	union fact_datum datum = {.ip = net->ip};

	return datum_hash(TYPE_IP, &datum) + net->prefix_bits;
}

static uint32_t run_next(uint32_t run, char c)
{
	return run << 8 | (uint8_t)ascii_lower(c);
}

static uint64_t hash_of_run(uint32_t run)
{
	uint64_t h = run * UINT64_C(0x9e3779b97f4a7c15);

	return h ^ h >> 32;
}

/* The run by which a literal is found: its first. */
static uint64_t hash_of_literal(struct span text)
{
	uint32_t run = 0;

	for (size_t i = 0; i < RUN; i++)
		run = run_next(run, text.at[i]);
	return hash_of_run(run);
}

static uint64_t hash_of_domain(struct span domain)
{
	union fact_datum datum = {.text = domain};

	return datum_hash(TYPE_DOMAIN, &datum);
}

/* --- which tests can be guarded --- */

/* The literals of a test; 0: it has none of that form. */
static size_t literals(const struct test *t, const union fact_datum **out)
{
	*out = t->operand == OPERAND_DATUM ? &t->datum : t->data;
	return t->operand == OPERAND_DATUM ? 1 : t->operand == OPERAND_DATA ? t->n : 0;
}

static bool all_have_runs(const struct test *t)
{
	const union fact_datum *data;
	size_t n = literals(t, &data);

	for (size_t i = 0; i < n; i++)
		if (data[i].text.len < RUN)
			return false;
	return true;
}

/* Whether the test is false for all values that its keys don't lead to. */
static bool find_kind(const struct test *t, enum guard_kind *kind)
{
	const union fact_datum *data;

	if (t->verdict != VERDICT_NO ||
		(t->quantifier != QUANTIFIER_ONE && t->quantifier != QUANTIFIER_ANY))
		return false;
	if (t->op == OP_IN && t->operand == OPERAND_CIDR)
		*kind = GUARD_NETWORK;
	else if (literals(t, &data) == 0)
		return false;
	else if (t->op == OP_EQUAL || t->op == OP_IN)
		*kind = GUARD_EQUAL;
	else if (t->op == OP_UNDER)
		*kind = GUARD_UNDER;
	else if (t->op == OP_CONTAINS && all_have_runs(t))
		*kind = GUARD_CONTAINS;
	else
		return false;
	return true;
}

/* --- building --- */

struct building {
	struct guard *guard; /* in the arena */
	size_t room;
	struct building *next; /* of the same slot */
};

struct builder {
	const struct rules *rules;
	struct arena *arena, *scratch;
	struct building **slots;
};

static void add_key(struct building *b, size_t rule, uint64_t hash)
{
	struct guard *g = b->guard;

	if (g->n == b->room) {
		b->room = b->room ? 2 * b->room : 16;
		g->keys = memory_resize(g->keys, b->room * sizeof(*g->keys));
	}
	g->keys[g->n++] = (struct guard_key){hash, (uint32_t)rule};
}

static struct building *building_of(struct builder *b, const struct test *t, enum guard_kind kind)
{
	struct building **at = &b->slots[t->slot->number];

	while (*at && (*at)->guard->kind != kind)
		at = &(*at)->next;
	if (!*at) {
		*at = arena_alloc(b->scratch, sizeof(**at));
		(*at)->guard = arena_alloc(b->arena, sizeof(struct guard));
		(*at)->guard->kind = kind;
		(*at)->guard->type = t->type;
		(*at)->guard->guarded =
			arena_alloc(b->arena, (bits_words(b->rules->n) + 1) * sizeof(uint64_t));
	}
	return *at;
}

static void add_literal(struct building *b, size_t rule, const union fact_datum *datum)
{
	switch (b->guard->kind) {
	case GUARD_EQUAL:
		add_key(b, rule, datum_hash(b->guard->type, datum));
		break;
	case GUARD_UNDER:
		add_key(b, rule, hash_of_domain(datum->text));
		if (datum->text.len > b->guard->longest)
			b->guard->longest = datum->text.len;
		break;
	case GUARD_CONTAINS:
		add_key(b, rule, hash_of_literal(datum->text));
		break;
	case GUARD_NETWORK:
		break;
	}
}

static void guard_test(struct builder *builder, const struct test *t, size_t rule)
{
	const union fact_datum *data;
	enum guard_kind kind;
	struct building *b;
	size_t n;

	if (!find_kind(t, &kind))
		return;
	b = building_of(builder, t, kind);
	/* One test of a rule is enough; a second on the same slot would let both keys in. */
	if (bits_has(b->guard->guarded, rule))
		return;
	bits_add(b->guard->guarded, rule);
	if (kind == GUARD_NETWORK) {
		add_key(b, rule, hash_of_network(&t->cidr));
		b->guard->prefixes[t->cidr.prefix_bits] = true;
		return;
	}
	n = literals(t, &data);
	for (size_t i = 0; i < n; i++)
		add_literal(b, rule, &data[i]);
}

/* Tests that the whole condition needs to be true. */
static void guard_expr(struct builder *b, const struct expr *e, size_t rule)
{
	if (e->kind == EXPR_TEST)
		guard_test(b, e->test, rule);
	for (const struct expr *child = e->first; child && e->kind == EXPR_AND; child = child->next)
		guard_expr(b, child, rule);
}

static int by_hash(const void *a, const void *b)
{
	const struct guard_key *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->rule > y->rule) - (x->rule < y->rule);
}

static void finish(struct builder *b, struct guard *g)
{
	size_t bits = 64;

	qsort(g->keys, g->n, sizeof(g->keys[0]), by_hash);
	arena_on_free(b->arena, free, g->keys);
	while (bits < FILTER_BITS_PER_KEY * g->n)
		bits *= 2;
	g->filter_mask = bits - 1;
	g->filter = arena_alloc(b->arena, bits / 64 * sizeof(uint64_t));
	for (size_t i = 0; i < g->n; i++)
		bits_add(g->filter, g->keys[i].hash & g->filter_mask);
}

static const struct guard *finish_slot(struct builder *b, const struct building *all)
{
	const struct guard *out = NULL;

	for (const struct building *one = all; one; one = one->next) {
		if (one->guard->n < WORTH) {
			free(one->guard->keys);
			continue;
		}
		finish(b, one->guard);
		one->guard->next = out;
		out = one->guard;
	}
	return out;
}

const struct guard **guards_new(const struct rules *rules, struct arena *arena)
{
	struct builder b = {.rules = rules, .arena = arena, .scratch = arena_new(4096)};
	const struct guard **guards = arena_alloc(arena, (rules->n_slots + 1) * sizeof(*guards));

	b.slots = arena_alloc(b.scratch, (rules->n_slots + 1) * sizeof(*b.slots));
	for (size_t i = 0; i < rules->n; i++)
		if (rules->items[i]->mode != RULE_OFF && rules->items[i]->when)
			guard_expr(&b, rules->items[i]->when, i);
	for (size_t i = 0; i < rules->n_slots; i++)
		guards[i] = finish_slot(&b, b.slots[i]);
	arena_free(&b.scratch);
	return guards;
}

/* --- looking up --- */

static void spare(const struct guard *g, uint64_t hash, uint64_t *rules)
{
	size_t low = 0, high = g->n;

	if (!bits_has(g->filter, hash & g->filter_mask))
		return;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (g->keys[middle].hash < hash)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < g->n && g->keys[low].hash == hash; low++)
		bits_drop(rules, g->keys[low].rule);
}

static void spare_domain(const struct guard *g, struct span domain, uint64_t *rules)
{
	bool begins = true; /* a label, here */

	for (size_t i = 0; i < domain.len; i++) {
		if (begins && domain.len - i <= g->longest)
			spare(g, hash_of_domain(span_from(domain, i)), rules);
		begins = domain.at[i] == '.';
	}
}

static void spare_networks(const struct guard *g, const struct ip *ip, uint64_t *rules)
{
	unsigned bits = ip->family == IP_V4 ? 32 : 128;

	for (unsigned i = 0; i <= bits; i++) {
		struct cidr net;

		if (!g->prefixes[i])
			continue;
		net = cidr_around(ip, (uint8_t)i);
		spare(g, hash_of_network(&net), rules);
	}
}

static void spare_runs(const struct guard *g, struct span text, uint64_t *rules)
{
	uint32_t run = 0;

	for (size_t i = 0; i < text.len; i++) {
		run = run_next(run, text.at[i]);
		if (i + 1 >= RUN)
			spare(g, hash_of_run(run), rules);
	}
}

void guard_spare(const struct guard *g, const struct fact_value *value, uint64_t *rules)
{
	for (uint32_t i = 0; i < value->count; i++) {
		const union fact_datum *datum = &value->items[i];

		switch (g->kind) {
		case GUARD_EQUAL:
			spare(g, datum_hash(g->type, datum), rules);
			break;
		case GUARD_UNDER:
			spare_domain(g, datum->text, rules);
			break;
		case GUARD_NETWORK:
			spare_networks(g, &datum->ip, rules);
			break;
		case GUARD_CONTAINS:
			spare_runs(g, datum->text, rules);
			break;
		}
	}
}

bool guard_applies(const struct guard *guard, const struct fact_value *value)
{
	return value->state == FACT_KNOWN && (value->count > 0 || guard->type != TYPE_CHOICE);
}
