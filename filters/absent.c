/* Facts of filters that later releases bring: rules may name them, and find them failed. */
#include "filters/set.h"

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
	ABSENT("greylist", CHOICE, RCPT, 0, greylist_states,
		"how far greylisting has come for this client, sender and recipient"),
	ABSENT("virus", BOOL, MESSAGE, 0, NULL, "a virus scanner found something"),
	ABSENT("virus.name", TEXT, MESSAGE, 0, NULL, "what the virus scanner found"),
	ABSENT("milter.", TEXT, MESSAGE, FACT_FAMILY, NULL,
		"what the milter of this name answered"),
	ABSENT("rspamd.score", NUMBER, MESSAGE, 0, NULL, "rspamd's score"),
	ABSENT("rspamd.action", TEXT, MESSAGE, 0, NULL, "what rspamd would do"),
	{.name = NULL},
};
