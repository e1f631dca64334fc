#include "admin/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/fail.h"

enum { FIRST_ROOM = 64 };

/* --- finding --- */

/* The names are the admin's, and workers' at worst: a table that one of them fills badly makes the
 * keeper slow, no more. */
static size_t hash_of(enum tally_kind kind, const char *name, const char *detail)
{
	static const uint8_t key[16] = "postern's ledger";
	uint64_t hash = span_hash(span_text(name), key) ^ (span_hash(span_text(detail), key) >> 7);

	return (size_t)(hash + (uint64_t)kind);
}

static bool tally_is(
	const struct tally *t, enum tally_kind kind, const char *name, const char *detail)
{
	return t->kind == kind && strcmp(t->name, name) == 0 && strcmp(t->detail, detail) == 0;
}

/* Where its position is, or would go. */
static uint32_t *place_of(
	const struct ledger *ledger, enum tally_kind kind, const char *name, const char *detail)
{
	size_t at = hash_of(kind, name, detail) & (ledger->index_size - 1);

	while (ledger->index[at] &&
		!tally_is(&ledger->tallies[ledger->index[at] - 1], kind, name, detail))
		at = (at + 1) & (ledger->index_size - 1);
	return &ledger->index[at];
}

const struct tally *ledger_find(
	const struct ledger *ledger, enum tally_kind kind, const char *name, const char *detail)
{
	uint32_t position = ledger->index ? *place_of(ledger, kind, name, detail) : 0;

	return position ? &ledger->tallies[position - 1] : NULL;
}

static void grow(struct ledger *ledger)
{
	ledger->room = ledger->room ? ledger->room * 2 : FIRST_ROOM;
	ledger->tallies = memory_resize(ledger->tallies, ledger->room * sizeof(*ledger->tallies));
	free(ledger->index);
	ledger->index_size = 2 * ledger->room;
	ledger->index = memory_zeroed(ledger->index_size * sizeof(*ledger->index));
	for (size_t i = 0; i < ledger->n; i++) {
		const struct tally *t = &ledger->tallies[i];

		*place_of(ledger, t->kind, t->name, t->detail) = (uint32_t)i + 1;
	}
}

/* It is made if need be; NULL: there are too many. */
static struct tally *tally_for(
	struct ledger *ledger, enum tally_kind kind, const char *name, const char *detail)
{
	uint32_t *place;

	if (ledger->n == ledger->room)
		grow(ledger);
	ENSURE(ledger->tallies);
	place = place_of(ledger, kind, name, detail);
	if (*place)
		return &ledger->tallies[*place - 1];
	if (ledger->n == LEDGER_MAX)
		return NULL;
	ledger->tallies[ledger->n] = (struct tally){
		.kind = kind, .name = memory_string(name), .detail = memory_string(detail)};
	*place = (uint32_t)++ledger->n;
	return &ledger->tallies[ledger->n - 1];
}

/* --- what a worker says --- */

static const char *text_or_nothing(const struct json *object, const char *key)
{
	const struct json *member = json_get(object, key);

	return member && member->kind == JSON_STRING ? member->text : "";
}

static uint64_t count_in(const struct json *object, const char *key)
{
	long long number = json_number(object, key);

	return number > 0 ? (uint64_t)number : 0;
}

/* NULL: it has no name, or one that can't be. */
static struct tally *take_tally(
	struct ledger *ledger, enum tally_kind kind, const char *name, const char *detail)
{
	if (!name || !*name || strlen(name) > LEDGER_NAME_MAX || strlen(detail) > LEDGER_NAME_MAX)
		return NULL;
	return tally_for(ledger, kind, name, detail);
}

/* why: NULL or empty: it is not down. */
static void set_down(struct tally *t, const char *why)
{
	free(t->down);
	t->down = why && *why ? memory_string(why) : NULL;
}

static const struct json *first_of(const struct json *object, const char *list)
{
	const struct json *member = json_get(object, list);

	return member ? member->first : NULL;
}

static void take_rules(struct ledger *ledger, const struct json *status)
{
	for (const struct json *j = first_of(status, "rules"); j; j = j->next) {
		struct tally *t = take_tally(
			ledger, TALLY_RULE, text_or_nothing(j, "rule"), text_or_nothing(j, "mode"));

		if (t)
			t->counts[RULE_HITS] = count_in(j, "hits");
	}
}

static void take_zones(struct ledger *ledger, const struct json *filter)
{
	for (const struct json *j = first_of(filter, "zones"); j; j = j->next) {
		struct tally *t = take_tally(
			ledger, TALLY_ZONE, text_or_nothing(j, "zone"), text_or_nothing(j, "of"));

		if (!t)
			continue;
		t->counts[ZONE_BROKEN] = count_in(j, "broken");
		set_down(t, text_or_nothing(j, "off"));
	}
}

static void take_filters(struct ledger *ledger, const struct json *status)
{
	for (const struct json *j = first_of(status, "filters"); j; j = j->next) {
		struct tally *t = take_tally(ledger, TALLY_FILTER, j->key, "");
		const struct json *took = json_get(j, "took");

		if (!t)
			continue;
		t->counts[FILTER_CALLS] = count_in(j, "calls");
		t->counts[FILTER_FAILURES] = count_in(j, "failures");
		t->counts[FILTER_TIMEOUTS] = count_in(j, "timeouts");
		t->counts[FILTER_US] = count_in(j, "us");
		for (size_t i = 0; i < FILTER_RANGES; i++)
			t->counts[FILTER_TOOK + i] = count_in(took, filter_ranges[i].name);
		take_zones(ledger, j);
	}
}

static void take_servers(struct ledger *ledger, const struct json *backend)
{
	const char *name = text_or_nothing(backend, "backend");

	for (const struct json *j = first_of(backend, "servers"); j; j = j->next) {
		struct tally *t =
			take_tally(ledger, TALLY_SERVER, text_or_nothing(j, "server"), name);
		bool down = strcmp(text_or_nothing(j, "state"), "down") == 0;

		if (t)
			set_down(t, down ? "down" : NULL);
	}
}

void ledger_take(struct ledger *ledger, const struct json *status)
{
	take_rules(ledger, status);
	take_filters(ledger, status);
	for (const struct json *j = first_of(status, "backends"); j; j = j->next)
		take_servers(ledger, j);
}

/* --- sums --- */

void ledger_add(struct ledger *ledger, const struct ledger *other, bool now)
{
	for (size_t i = 0; i < other->n; i++) {
		const struct tally *from = &other->tallies[i];
		struct tally *t = tally_for(ledger, from->kind, from->name, from->detail);

		if (!t)
			continue;
		for (size_t c = 0; c < TALLY_COUNTS; c++)
			t->counts[c] += from->counts[c];
		t->now |= now;
		if (now && from->down)
			set_down(t, from->down);
	}
}

void ledger_free(struct ledger *ledger)
{
	for (size_t i = 0; i < ledger->n; i++) {
		free(ledger->tallies[i].name);
		free(ledger->tallies[i].detail);
		free(ledger->tallies[i].down);
	}
	free(ledger->tallies);
	free(ledger->index);
	*ledger = (struct ledger){.n = 0};
}

/* --- for people --- */

static void write_rule(const struct tally *t, struct record *r)
{
	record_string(r, "rule", t->name);
	record_string(r, "mode", t->detail);
	record_number(r, "hits", (int64_t)t->counts[RULE_HITS]);
}

static void write_filter(const struct tally *t, struct record *r)
{
	record_string(r, "filter", t->name);
	record_number(r, "calls", (int64_t)t->counts[FILTER_CALLS]);
	record_number(r, "failures", (int64_t)t->counts[FILTER_FAILURES]);
	record_number(r, "timeouts", (int64_t)t->counts[FILTER_TIMEOUTS]);
	record_number(r, "us", (int64_t)t->counts[FILTER_US]);
	record_open(r, "took");
	for (size_t i = 0; i < FILTER_RANGES; i++)
		record_number(r, filter_ranges[i].name, (int64_t)t->counts[FILTER_TOOK + i]);
	record_close(r);
}

static void write_zone(const struct tally *t, struct record *r)
{
	record_string(r, "zone", t->name);
	record_string(r, "of", t->detail);
	if (t->down)
		record_string(r, "off", t->down);
	record_number(r, "broken", (int64_t)t->counts[ZONE_BROKEN]);
}

static void write_list(const struct ledger *ledger, struct record *r, const char *key,
	enum tally_kind kind, void (*write)(const struct tally *, struct record *))
{
	record_list(r, key);
	for (size_t i = 0; i < ledger->n; i++) {
		if (ledger->tallies[i].kind != kind)
			continue;
		record_open(r, NULL);
		write(&ledger->tallies[i], r);
		record_close(r);
	}
	record_close(r);
}

void ledger_status(const struct ledger *ledger, struct record *r)
{
	write_list(ledger, r, "rules", TALLY_RULE, write_rule);
	write_list(ledger, r, "lookups", TALLY_FILTER, write_filter);
	write_list(ledger, r, "zones", TALLY_ZONE, write_zone);
}
