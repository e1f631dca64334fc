#include "admin/metrics.h"

#include <inttypes.h>
#include <stdio.h>

enum { US_PER_S = 1000 * 1000 };

/* Where the text goes. What does not fit makes all of it void, so no caller looks in between. */
struct writer {
	struct buffer *out;
	bool full;
};

/* --- the format --- */

static void put(struct writer *w, const char *text)
{
	w->full = w->full || !buffer_add_text(w->out, text);
}

static void put_count(struct writer *w, uint64_t value)
{
	w->full = w->full || !buffer_print(w->out, " %" PRIu64 "\n", value);
}

/* name: without "postern_". */
static void family(struct writer *w, const char *name, const char *type, const char *help)
{
	w->full = w->full || !buffer_print(w->out, "# HELP postern_%s %s\n# TYPE postern_%s %s\n",
				     name, help, name, type);
}

/* The beginning of a sample, up to its labels. suffix: of a histogram; or "". */
static void sample(struct writer *w, const char *name, const char *suffix)
{
	w->full = w->full || !buffer_print(w->out, "postern_%s%s", name, suffix);
}

/* first: '{' for the first label of a sample, ',' for others. */
static void label(struct writer *w, char first, const char *name, const char *value)
{
	w->full = w->full || !buffer_print(w->out, "%c%s=\"", first, name);
	for (; *value; value++) {
		if (*value == '\n')
			put(w, "\\n");
		else if (*value == '\\' || *value == '"')
			w->full = w->full || !buffer_print(w->out, "\\%c", *value);
		else
			w->full = w->full || !buffer_add_char(w->out, *value);
	}
	put(w, "\"");
}

static void plain(
	struct writer *w, const char *name, const char *type, const char *help, uint64_t value)
{
	family(w, name, type, help);
	sample(w, name, "");
	put_count(w, value);
}

/* --- what all processes share --- */

static void write_shared(struct writer *w, const struct shared *shared)
{
	plain(w, "sessions", "gauge", "SMTP sessions open now", shared_sessions(shared));
	plain(w, "spool_memory_bytes", "gauge", "memory that holds message content now",
		shared_spool_memory(shared));
	plain(w, "spool_disk_bytes", "gauge", "disk that holds message content now",
		shared_spool_disk(shared));
	for (int i = 0; i < SHARED_COUNTER_COUNT; i++) {
		enum shared_counter counter = (enum shared_counter)i;
		char name[64];

		snprintf(name, sizeof(name), "%s_total", shared_counter_name(counter));
		plain(w, name, "counter", shared_counter_help(counter),
			shared_count(shared, counter));
	}
}

static void write_verdicts(struct writer *w, const struct shared *shared)
{
	family(w, "verdicts_total", "counter", "what clients were told, and at which stage");
	for (int m = 0; m < SHARED_MOMENT_COUNT; m++) {
		for (int v = 0; v < SHARED_VERDICT_COUNT; v++) {
			enum shared_moment moment = (enum shared_moment)m;
			enum shared_verdict verdict = (enum shared_verdict)v;

			/* Before the message, rules can do nothing but refuse. */
			if (moment != AT_message && verdict != SPOKEN_reject &&
				!(moment == AT_rcpt && verdict == SPOKEN_defer))
				continue;
			sample(w, "verdicts_total", "");
			label(w, '{', "verdict", shared_verdict_name(verdict));
			label(w, ',', "stage", shared_moment_name(moment));
			put(w, "}");
			put_count(w, shared_spoken(shared, moment, verdict));
		}
	}
}

/* --- what workers told --- */

/* The next tally of a kind, from *at on; NULL: there is none. */
static const struct tally *next_of(const struct ledger *sum, enum tally_kind kind, size_t *at)
{
	while (*at < sum->n) {
		const struct tally *t = &sum->tallies[(*at)++];

		if (t->kind == kind)
			return t;
	}
	return NULL;
}

static void write_rules(struct writer *w, const struct ledger *sum)
{
	const struct tally *t;

	family(w, "rule_hits_total", "counter", "how often a rule was true");
	for (size_t at = 0; (t = next_of(sum, TALLY_RULE, &at));) {
		sample(w, "rule_hits_total", "");
		label(w, '{', "rule", t->name);
		label(w, ',', "mode", t->detail);
		put(w, "}");
		put_count(w, t->counts[RULE_HITS]);
	}
}

static void write_filter_counts(struct writer *w, const struct ledger *sum, const char *name,
	const char *help, unsigned which)
{
	const struct tally *t;

	family(w, name, "counter", help);
	for (size_t at = 0; (t = next_of(sum, TALLY_FILTER, &at));) {
		sample(w, name, "");
		label(w, '{', "kind", t->name);
		put(w, "}");
		put_count(w, t->counts[which]);
	}
}

/* Seconds, exact to the microsecond and whatever the locale. */
static void put_seconds(struct writer *w, uint64_t us)
{
	w->full = w->full || !buffer_print(w->out, " %" PRIu64 ".%06u\n", us / US_PER_S,
				     (unsigned)(us % US_PER_S));
}

static void write_buckets(struct writer *w, const struct tally *t)
{
	static const char name[] = "lookup_duration_seconds";
	uint64_t below = 0;

	for (size_t i = 0; i < FILTER_RANGES; i++) {
		char bound[32] = "+Inf";

		if (filter_ranges[i].us != UINT64_MAX)
			snprintf(bound, sizeof(bound), "%g", (double)filter_ranges[i].us / 1e6);
		below += t->counts[FILTER_TOOK + i];
		sample(w, name, "_bucket");
		label(w, '{', "kind", t->name);
		label(w, ',', "le", bound);
		put(w, "}");
		put_count(w, below);
	}
	sample(w, name, "_sum");
	label(w, '{', "kind", t->name);
	put(w, "}");
	put_seconds(w, t->counts[FILTER_US]);
	sample(w, name, "_count");
	label(w, '{', "kind", t->name);
	put(w, "}");
	put_count(w, below);
}

static void write_lookups(struct writer *w, const struct ledger *sum)
{
	const struct tally *t;

	write_filter_counts(w, sum, "lookup_errors_total",
		"calls of a filter that failed, those that timed out among them", FILTER_FAILURES);
	write_filter_counts(w, sum, "lookup_timeouts_total",
		"calls of a filter that did not answer in time", FILTER_TIMEOUTS);
	family(w, "lookup_duration_seconds", "histogram", "how long calls of a filter took");
	for (size_t at = 0; (t = next_of(sum, TALLY_FILTER, &at));)
		write_buckets(w, t);
}

/* The labels of a zone or server. */
static void name_place(struct writer *w, const struct tally *t)
{
	if (t->kind == TALLY_ZONE) {
		label(w, '{', "zone", t->name);
		label(w, ',', "of", t->detail);
	} else {
		label(w, '{', "server", t->name);
		label(w, ',', "backend", t->detail);
	}
	put(w, "}");
}

/* Only what workers know now. */
static void write_up(struct writer *w, const struct ledger *sum, enum tally_kind kind,
	const char *name, const char *help)
{
	const struct tally *t;

	family(w, name, "gauge", help);
	for (size_t at = 0; (t = next_of(sum, kind, &at));) {
		if (!t->now)
			continue;
		sample(w, name, "");
		name_place(w, t);
		put_count(w, !t->down);
	}
}

static void write_zones(struct writer *w, const struct ledger *sum)
{
	static const char name[] = "dnsbl_broken_total";
	const struct tally *t;

	write_up(w, sum, TALLY_ZONE, "dnsbl_up", "0 when some worker has switched the list off");
	family(w, name, "counter", "answers of a list that make no sense");
	for (size_t at = 0; (t = next_of(sum, TALLY_ZONE, &at));) {
		sample(w, name, "");
		name_place(w, t);
		put_count(w, t->counts[ZONE_BROKEN]);
	}
}

/* --- the supervisor --- */

static void write_reload(struct writer *w, const struct json *state)
{
	const struct json *ok = json_get(json_get(state, "last_reload"), "ok");

	if (ok)
		plain(w, "config_last_reload_success", "gauge",
			"1 when the last reload, or else the start, went well",
			ok->kind == JSON_TRUE);
}

bool metrics_write(const struct metrics_sources *sources, struct buffer *out)
{
	struct writer w = {out, false};

	write_shared(&w, sources->shared);
	write_verdicts(&w, sources->shared);
	write_rules(&w, sources->sum);
	write_lookups(&w, sources->sum);
	write_zones(&w, sources->sum);
	write_up(&w, sources->sum, TALLY_SERVER, "backend_up",
		"0 when some worker sees the server down");
	plain(&w, "workers_silent", "gauge",
		"workers that did not answer: they count as they last said", sources->silent);
	write_reload(&w, sources->state);
	return !w.full;
}
