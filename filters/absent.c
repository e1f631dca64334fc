/* Facts of filters that later releases bring: rules may name them, and find them failed. */
#include "filters/set.h"

#define ABSENT(name, type, stage, flags, choices, help)                                            \
	{                                                                                          \
		name, TYPE_##type, STAGE_##stage, FACT_ABSENT | (flags), choices, help             \
	}

const struct fact absent_facts[] = {
	ABSENT("virus", BOOL, MESSAGE, 0, NULL, "a virus scanner found something"),
	ABSENT("virus.name", TEXT, MESSAGE, 0, NULL, "what the virus scanner found"),
	ABSENT("milter.", TEXT, MESSAGE, FACT_FAMILY, NULL,
		"what the milter of this name answered"),
	ABSENT("rspamd.score", NUMBER, MESSAGE, 0, NULL, "rspamd's score"),
	ABSENT("rspamd.action", TEXT, MESSAGE, 0, NULL, "what rspamd would do"),
	{.name = NULL},
};
