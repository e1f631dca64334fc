/* Facts of filters that later releases bring: rules may name them, and find them failed. */
#include "filters/set.h"

static const struct fact_choice spf_results[] = {{"none", NULL}, {"neutral", NULL}, {"pass", NULL},
	{"fail", NULL}, {"softfail", NULL}, {"temperror", NULL}, {"permerror", NULL}, {NULL, NULL}};
static const struct fact_choice dkim_results[] = {{"none", NULL}, {"pass", NULL}, {"fail", NULL},
	{"temperror", NULL}, {"permerror", NULL}, {"policy", NULL}, {NULL, NULL}};
static const struct fact_choice dmarc_results[] = {{"none", NULL}, {"pass", NULL}, {"fail", NULL},
	{"temperror", NULL}, {"permerror", NULL}, {NULL, NULL}};
static const struct fact_choice arc_results[] = {
	{"none", NULL}, {"pass", NULL}, {"fail", NULL}, {NULL, NULL}};
static const struct fact_choice greylist_states[] = {
	{"new", NULL}, {"waiting", NULL}, {"passed", NULL}, {"known", NULL}, {NULL, NULL}};

#define ABSENT(name, type, stage, flags, choices, help)                                            \
	{                                                                                          \
		name, TYPE_##type, STAGE_##stage, FACT_ABSENT | (flags), choices, help             \
	}

const struct fact absent_facts[] = {
	ABSENT("client.reputation", NUMBER, CONNECT, 0, NULL,
		"how the client behaved so far, from -1 to 1"),
	ABSENT("mail.reputation", NUMBER, MAIL, 0, NULL,
		"how the envelope sender's domain behaved so far, from -1 to 1"),
	ABSENT("from.reputation", NUMBER, HEADER, 0, NULL,
		"how the domain in From behaved so far, from -1 to 1"),
	ABSENT("rate", NUMBER, CONNECT, FACT_OF_FIELD, NULL,
		"transactions with this value of a field within a time"),
	ABSENT("spf", CHOICE, MAIL, FACT_ASSURES, spf_results,
		"SPF for the envelope sender (RFC 7208)"),
	ABSENT("spf.domain", DOMAIN, MAIL, 0, NULL, "the domain whose SPF record spoke"),
	ABSENT("spf.helo", CHOICE, MAIL, FACT_ASSURES, spf_results, "SPF for the HELO name"),
	ABSENT("spf.explanation", TEXT, MAIL, FACT_IN_TEXTS, NULL,
		"what the sender's domain says about an SPF failure"),
	ABSENT("greylist", CHOICE, RCPT, 0, greylist_states,
		"how far greylisting has come for this client, sender and recipient"),
	ABSENT("dkim", CHOICE, MESSAGE, FACT_ASSURES, dkim_results,
		"the best result of all DKIM signatures (RFC 6376)"),
	ABSENT("dkim.domains", DOMAIN, MESSAGE, FACT_MANY | FACT_ASSURES, NULL,
		"domains with a DKIM signature that passes"),
	ABSENT("arc", CHOICE, MESSAGE, FACT_ASSURES, arc_results,
		"whether the ARC chain is valid (RFC 8617)"),
	ABSENT("arc.sealers", DOMAIN, MESSAGE, FACT_MANY, NULL,
		"domains that sealed the ARC chain"),
	ABSENT("arc.spf", CHOICE, MESSAGE, 0, spf_results, "SPF as the last ARC sealer saw it"),
	ABSENT("arc.dkim", CHOICE, MESSAGE, 0, dkim_results, "DKIM as the last ARC sealer saw it"),
	ABSENT("arc.dmarc", CHOICE, MESSAGE, 0, dmarc_results,
		"DMARC as the last ARC sealer saw it"),
	ABSENT("virus", BOOL, MESSAGE, 0, NULL, "a virus scanner found something"),
	ABSENT("virus.name", TEXT, MESSAGE, 0, NULL, "what the virus scanner found"),
	ABSENT("milter.", TEXT, MESSAGE, FACT_FAMILY, NULL,
		"what the milter of this name answered"),
	ABSENT("rspamd.score", NUMBER, MESSAGE, 0, NULL, "rspamd's score"),
	ABSENT("rspamd.action", TEXT, MESSAGE, 0, NULL, "what rspamd would do"),
	{.name = NULL},
};
