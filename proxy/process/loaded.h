/*
 * loaded: a configuration as it was read, judged whole: the bundle for the workers, the parsed
 * form, the rules, and a report of every mistake, certificates that don't fit their keys and tests
 * of rules that fail included. `check`, the start and each reload judge with this same code.
 */
#ifndef PROXY_PROCESS_LOADED_H
#define PROXY_PROCESS_LOADED_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "proxy/config/config.h"
#include "proxy/process/ruleset.h"

enum { LOADED_REPORT_MAX = 256 * 1024, LOADED_BYTES_MAX = 48 * 1024 * 1024 };

struct loaded {
	struct bundle *bundle;  /* owned; NULL: the file could not be read */
	struct config *config;  /* owned; NULL: mistakes */
	struct ruleset rules;   /* owned */
	struct buffer bytes;    /* the bundle as the workers get it */
	struct buffer declared; /* what the keeper wants to know of it (declared.h) */
	struct buffer report;   /* mistakes and warnings, as lines for people */
	size_t n_mistakes, n_warnings;
};

/* Reads and judges. true: without mistakes. Either way loaded_free. */
bool loaded_read(struct loaded *loaded, const char *path) MUST_CHECK;

/* As loaded_read but for the rules, which may have mistakes. */
bool loaded_read_config(struct loaded *loaded, const char *path) MUST_CHECK;

/* Gives the memory of the rules back: they have been judged, and workers read their own. */
void loaded_drop_rules(struct loaded *loaded);

void loaded_free(struct loaded *loaded);

#endif
