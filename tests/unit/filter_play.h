/*
 * filter_play: the stage for tests of filters: one session that can be painted at will, DNS from a
 * table, and facts measured through the real pipeline.
 *
 *     play = filter_play_new("example.org MX 300 10 mx.example.org\n");
 *     play->view.from = ...;
 *     assert_fact(play, "mail.mx", "yes");
 *
 * Each assert_fact is a session of its own, with all stages entered and the content fed.
 */
#ifndef TESTS_FILTER_PLAY_H
#define TESTS_FILTER_PLAY_H

#include "filters/pipeline.h"
#include "lib/net/dns.h"
#include "tests/unit/dns_play.h"

enum { FILTER_PLAY_SLOTS = 32, FILTER_PLAY_FED = 7 };

struct filter_play {
	struct arena *arena; /* what the slots point to */
	struct loop loop;
	struct log log;
	int log_fds[2]; /* what is logged can be read at [0] */
	struct dns_play *names;
	struct dns *dns;
	struct authn *authn; /* the test's; NULL: none */
	struct filter_set *set;
	struct filters *filters; /* of the slots; NULL until something is measured */
	struct filter_slot slots[FILTER_PLAY_SLOTS];
	size_t n_slots;
	struct fact_value given[FILTER_PLAY_SLOTS]; /* by slot; PENDING: it is measured */
	struct filter_view view;
	struct span content; /* fed in pieces of FILTER_PLAY_FED bytes, if any */
	bool ahead;          /* what can be read again is more than was fed: all of it */
	struct buffer text;  /* the last value */
	uint64_t timeout_ms;
};

/* zone: as dns_play_zone; NULL: no DNS at all. */
struct filter_play *filter_play_new(const char *zone);
void filter_play_free(struct filter_play **play);

/* `filter NAME { options }`, before anything is measured. The error, or NULL. */
const char *filter_play_configure(struct filter_play *play, const char *name, const char *options);

/* A slot as a rule would write it: "mail.mx", "header(\"X-A\")", "dnsbl(\"zone\", client.ip)". The
 * same twice is one. */
size_t filter_play_slot(struct filter_play *play, const char *written);

/* From now on the fact has this value, as `--fact` takes it, and is not measured; "failed": it
 * can't be known; NULL: it is measured again. Forgotten by filter_play_configure. */
void filter_play_give(struct filter_play *play, const char *written, const char *value);

/* Its value as people would read it: "yes", "a, b", "none", "failed: why". Valid until the next. */
const char *filter_play_measure(struct filter_play *play, const char *written);

/* Several of one session, ' | ' between them. */
const char *filter_play_measure_all(struct filter_play *play, const char *const *written, size_t n);

#define assert_fact(play, written, value)                                                          \
	assert_string_equal(filter_play_measure((play), (written)), (value))

/* Starts measuring, and drops it at once. */
void filter_play_abandon(struct filter_play *play, const char *written);

/* Whether this was logged since the last time. */
bool filter_play_logged(struct filter_play *play, const char *event);

#endif
