/*
 * spf_check: one evaluation. libspf2 walks records of which each term is a token of ours: it knows
 * qualifiers, prefixes and the order of things, and asks its DNS layer about "t7.t"; the layer
 * knows which term that is, whose record it stands in, and finds out what the answers say.
 *
 *     domain --get_spf--> record, read and kept (spf_record) --> "v=spf1 a:t1.t/24 -exists:t2.t"
 *                                                                       |
 *        stopped  <--limits, errors-- the layer <--lookup, get_spf-- libspf2, compiled
 *        missing  <--no answer yet---'
 *
 * stopped: the verdict stands, whatever libspf2 makes of it: it hears "try again" from then on.
 * missing: there is no verdict; what may be asked later too is found out by going on as if the term
 * did not match. Nothing is wanted any more once it is stopped.
 */
#ifndef AUTHN_SPF_CHECK_H
#define AUTHN_SPF_CHECK_H

#include "authn/spf_macro.h"
#include "authn/spf_record.h"
#include "lib/authn/answer.h"
#include "lib/authn/result.h"

#include <spf2/spf.h>

enum {
	/* RFC 7208 4.6.4 */
	SPF_VOIDS_MAX = 2,
	SPF_MX_MAX = 10,
	SPF_PTR_MAX = 10,
	/* The first record, one for each term that leads to another, and one too many. */
	SPF_LEVELS_MAX = SPF_LOOKUPS_MAX + 2,
	SPF_TOKENS_MAX = SPF_LEVELS_MAX * (SPF_TERMS_MAX + 2)
};

/* A record that is walked. */
struct spf_level {
	struct span domain; /* <domain> of check_host() */
	/* It decides about the whole, and explains it: neither it nor what led to it is an include.
	 */
	bool outermost;
	struct spf_record record;
};

struct spf_token {
	const struct spf_level *level;
	const struct spf_term *term;
};

/* The client's names that lead back to it (RFC 7208 5.5). */
enum spf_validated_state { SPF_VALIDATED_UNKNOWN, SPF_VALIDATED_ASKED, SPF_VALIDATED_KNOWN };

struct spf_validated {
	enum spf_validated_state state;
	bool is_void; /* to find it out something was asked that is not there */
	struct span names[SPF_PTR_MAX];
	size_t n;
};

struct spf_check {
	unsigned magic;
	const struct spf_question *question;
	const struct answers *answers;
	struct wants *wants;
	struct arena *arena; /* owned */
	struct ip client;    /* never an IPv4 address in IPv6's clothes */
	struct spf_macros macros;

	struct spf_level start; /* has the first record's domain, and no record itself */
	struct spf_level levels[SPF_LEVELS_MAX];
	size_t n_levels;
	struct spf_token tokens[SPF_TOKENS_MAX];
	size_t n_tokens;
	const struct spf_token *last; /* of the outermost records, the last that was visited */

	unsigned lookups, voids;
	bool term_is_void; /* the term that is visited has asked for what is not there */
	struct spf_validated validated;

	bool missing;
	bool stopped;
	enum spf_code code; /* while stopped */
	struct span problem;
};

enum { SPF_CHECK_MAGIC = 0x5bfc4ec4 };

/* Where libspf2 begins: as the name of the first record. */
extern const char spf_first_name[];

/* The functions that libspf2 asks; the check is the layer's hook. */
void spf_layer_fill(SPF_dns_server_t *layer);

/* What the domain has to say about a fail; `name` is what libspf2 holds to be the explanation. May
 * set missing. Lies in the check's arena. */
struct span spf_explain(struct spf_check *check, const char *name);

#endif
