#include "proxy/session/consequences.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filters/due.h"
#include "lib/base/fail.h"
#include "lib/store/reputation.h"
#include "lib/store/store.h"
#include "lib/store/wire.h"
#include "proxy/session/session.h"

enum {
	SUSPECT_SCORE = 5 * SCORE_UNIT, /* an accepted message with so much is not called good */
	UNKNOWN_MAX = 10,               /* refusals by the backend that count */
	COUNT_SIZE = 24
};

static const double UNKNOWN_WEIGHT = 0.25;

const char *const consequences_facts[] = {"client.asn", NULL};

/* --- blame --- */

static bool is_own_judgement(const struct fact *fact)
{
	const char *dot = strrchr(fact->name, '.');

	return strcmp(dot ? dot : fact->name, ".reputation") == 0 ||
	       strcmp(fact->name, "rate") == 0;
}

static bool reads_own_judgement(const struct rule *rule)
{
	for (unsigned i = 0; i < rule->n_slots; i++)
		if (is_own_judgement(rule->slots[i]->fact))
			return true;
	return false;
}

/* Whether such a rule has added to the score. */
static bool score_is_tainted(const struct evaluation *e)
{
	const struct rule *rule;
	size_t cursor = 0;

	while (evaluation_next_hit(e, &cursor, &rule))
		if (rule->scores && reads_own_judgement(rule))
			return true;
	return false;
}

static bool adds_to_a_list(const struct evaluation *e)
{
	struct effect_cursor cursor = {0};
	const struct rule *rule;

	while (evaluation_next_effect(e, &cursor, &rule))
		if (cursor.action->kind == ACTION_ADD && !reads_own_judgement(rule))
			return true;
	return false;
}

enum blame consequences_blame(const struct evaluation *e, const struct outcome *outcome)
{
	enum action_kind kind = outcome->final ? outcome->final->kind : ACTION_ACCEPT;

	if (!e || !outcome->certain)
		return BLAME_NONE;
	if (adds_to_a_list(e))
		return BLAME_TRAP;
	if (kind != ACTION_REJECT && kind != ACTION_QUARANTINE && kind != ACTION_DISCARD)
		return BLAME_NONE;
	if (reads_own_judgement(outcome->rule) ||
		((outcome->rule->reads_score || outcome->rule->reads_tags) && score_is_tainted(e)))
		return BLAME_NONE;
	return BLAME_BAD;
}

/* --- what became of recipients --- */

/* Of a cohort that was told something; else 0. */
static unsigned events_of_cohort(const struct cohort *c)
{
	if (!c->verdict)
		return 0;
	if (strcmp(c->verdict, "accept") == 0)
		return DUE_ACCEPTED;
	if (strcmp(c->verdict, "quarantine") == 0 || strcmp(c->verdict, "discard") == 0)
		return DUE_HELD;
	return strcmp(c->verdict, "defer") == 0 && c->outcome.final &&
			       c->outcome.final->kind == ACTION_GREYLIST
		       ? DUE_GREYLISTED
		       : 0;
}

static unsigned events_of(const struct attempt *a)
{
	if (a->recipient)
		return events_of_cohort(a->cohort);
	return a->final && a->final->kind == ACTION_GREYLIST ? DUE_GREYLISTED : 0;
}

/* --- what is owed --- */

struct debts {
	const struct due **items; /* owned */
	size_t n, room;
};

static void add_debts(struct debts *debts, const struct due *due, unsigned events)
{
	for (; due; due = due->next) {
		if (!(due->when & events))
			continue;
		if (debts->n == debts->room) {
			debts->room = debts->room ? 2 * debts->room : 16;
			debts->items =
				memory_resize(debts->items, debts->room * sizeof(debts->items[0]));
		}
		debts->items[debts->n++] = due;
	}
}

static int compare_parts(struct span a, struct span b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return a.len ? memcmp(a.at, b.at, a.len) : 0;
}

/* Equal ones side by side. */
static int compare(const void *a, const void *b)
{
	const struct due *x = *(const struct due *const *)a, *y = *(const struct due *const *)b;
	int order = 0;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	for (size_t i = 0; i < x->n_parts && order == 0; i++)
		order = compare_parts(x->parts[i], y->parts[i]);
	return order;
}

static void tell(struct store *store, const struct due *due, size_t count)
{
	struct span parts[DUE_PARTS_MAX + 1];
	char number[COUNT_SIZE];

	memcpy(parts, due->parts, sizeof(due->parts));
	snprintf(number, sizeof(number), "%zu", due->each ? count : 1);
	if (due->counted)
		parts[due->n_parts] = span_text(number);
	store_tell(store, due->kind, parts, due->n_parts + due->counted);
}

static void pay(struct store *store, struct debts *debts)
{
	size_t same;

	if (debts->n)
		qsort(debts->items, debts->n, sizeof(debts->items[0]), compare);
	for (size_t i = 0; i < debts->n; i += same) {
		for (same = 1; i + same < debts->n; same++)
			if (compare(&debts->items[i], &debts->items[i + same]) != 0)
				break;
		tell(store, debts->items[i], same);
	}
	free(debts->items);
}

static void tell_debts(const struct transaction *t)
{
	const struct session *s = t->session;
	struct debts debts = {.items = NULL};
	unsigned events = 0;

	for (const struct cohort *c = t->cohorts; c; c = c->next)
		events |= events_of_cohort(c);
	for (int stage = 0; stage < STAGE_COUNT; stage++)
		if (stage != STAGE_RCPT)
			add_debts(&debts, judge_dues(s, (enum stage)stage), events);
	for (const struct attempt *a = t->attempts; a; a = a->next)
		add_debts(&debts, a->dues, events_of(a));
	pay(s->worker->store, &debts);
}

/* --- reputation --- */

/* What a transaction says. */
struct word {
	enum blame blame;
	bool good;
	unsigned unknown; /* refusals by the backend */
};

static void add_cohort(struct word *word, const struct cohort *c)
{
	unsigned events = events_of_cohort(c);
	int64_t low = 0, high = 0;
	enum blame blame;

	if (!c->verdict || !c->evaluation)
		return;
	blame = consequences_blame(c->evaluation, &c->outcome);
	evaluation_score(c->evaluation, &low, &high);
	if (blame > word->blame)
		word->blame = blame;
	if (events & DUE_ACCEPTED && high < SUSPECT_SCORE)
		word->good = true;
	if (strcmp(c->verdict, "reject") == 0 && outcome_sternness(&c->outcome) == STERN_ACCEPT)
		word->unknown++;
}

static struct word word_of(const struct transaction *t)
{
	struct word word = {.blame = t->blame};

	for (const struct cohort *c = t->cohorts; c; c = c->next)
		add_cohort(&word, c);
	for (const struct attempt *a = t->attempts; a; a = a->next) {
		if (a->blame > word.blame)
			word.blame = a->blame;
		word.unknown += a->unknown;
	}
	return word;
}

static void add(struct store *store, struct span key, const struct word *word, double unknown)
{
	bool good = word->good && word->blame == BLAME_NONE;
	char bad[COUNT_SIZE];

	snprintf(bad, sizeof(bad), "%.2f", unknown + (word->blame == BLAME_BAD));
	if (!good && unknown == 0 && word->blame == BLAME_NONE)
		return;
	store_tell(store, STORE_REP_ADD,
		(struct span[]){key, good ? SPAN("1") : SPAN("0"), span_text(bad),
			word->blame == BLAME_TRAP ? SPAN("1") : SPAN("0")},
		store_kind_parts(STORE_REP_ADD));
}

static void add_client(const struct session *s, const struct word *word)
{
	unsigned unknown = word->unknown < UNKNOWN_MAX ? word->unknown : UNKNOWN_MAX;
	struct buffer key = BUFFER_INIT(STORE_KEY_MAX);
	const struct fact_value *asn;
	const struct fact *fact;

	if (s->client.remote.ip.family == IP_NONE)
		return;
	ENSURE(reputation_key_of_client(&s->client.remote.ip, &key));
	add(s->worker->store, buffer_span(&key), word, UNKNOWN_WEIGHT * unknown);
	asn = judge_fact(s, "client.asn", &fact);
	buffer_clear(&key);
	if (asn && asn->count && reputation_key_of_asn((uint64_t)asn->items[0].number, &key))
		add(s->worker->store, buffer_span(&key), word, UNKNOWN_WEIGHT * unknown);
	buffer_free(&key);
}

/* The domain that a result proves; empty: it proves none. */
static struct span proved(const struct session *s, const char *result, const char *domain_fact)
{
	const struct fact *fact;
	const struct fact_value *value = judge_fact(s, result, &fact), *domain;

	if (!value || !value->count ||
		strcmp(fact->choices[value->items[0].choice].word, "pass") != 0)
		return SPAN_NONE;
	domain = judge_fact(s, domain_fact, &fact);
	return domain && domain->count ? domain->items[0].text : SPAN_NONE;
}

static void add_domain(const struct session *s, struct span domain, const struct word *word)
{
	struct buffer key = BUFFER_INIT(STORE_KEY_MAX);

	if (domain.len && reputation_key_of_domain(domain, &key))
		add(s->worker->store, buffer_span(&key), word, 0);
	buffer_free(&key);
}

void consequences_tell(const struct transaction *t)
{
	const struct session *s = t->session;
	struct span by_spf, by_dmarc;
	struct word word;

	if (!s->worker->store || !s->judge)
		return;
	tell_debts(t);
	word = word_of(t);
	add_client(s, &word);
	by_spf = proved(s, "spf", "spf.domain");
	by_dmarc = proved(s, "dmarc", "from.domain");
	add_domain(s, by_spf, &word);
	if (!span_equal_nocase(by_spf, by_dmarc))
		add_domain(s, by_dmarc, &word);
}

void consequences_of_refusal(const struct session *s, enum blame blame)
{
	struct word word = {.blame = blame};

	if (s->worker->store && s->judge)
		add_client(s, &word);
}
