/*
 * read: rule files into struct rules: grammar, names, types. Every mistake is told where it stands
 * (diagnostic.h), not the first alone; what follows a mistake is still read.
 */
#ifndef POLICY_READ_H
#define POLICY_READ_H

#include "lib/base/attributes.h"
#include "policy/rules.h"

/* Where the text of files comes from: the disk, or the bundle that a worker got. */
struct rule_source {
	/* A file by the path that names it (an `include` or `from file` is joined to the folder of
	 * the file that says it). false: *problem says why not. The content is borrowed until
	 * rules_read returns. */
	bool (*read)(void *context, const char *path, struct span *content, const char **problem);
	void *context;
};

struct rule_setup {
	const struct fact_registry *registry; /* borrowed by the rules */
	const char *const *backends;          /* names for `route`; NULL: any name is taken */
	size_t n_backends;
	bool (*digest)(unsigned digits, struct span text, char *hex); /* for hash lists (list.h) */
	domain_ascii *ascii; /* for domains; NULL: they stay as written */
	/* Facts without parameters that have a slot though no rule may read them; NULL: none. */
	bool (*keeps)(const struct fact *fact);
};

/* Reads the files in this order into one rule set. NULL: mistakes; each is in the report. Warnings
 * go there too. Counters may be NULL. */
struct rules *rules_read(const struct rule_setup *setup, const char *const *paths, size_t n_paths,
	const struct rule_source *source, struct buffer *report, size_t *n_mistakes,
	size_t *n_warnings) MUST_CHECK;

void rules_free(struct rules **rules);

/* The files that a rule file names, as written: so that all can be gathered before anything is
 * judged. rules: `include`, which names files in turn; otherwise `from file`. Knows tokens only. */
void rules_files(struct span text, void (*found)(void *context, const char *name, bool rules),
	void *context);

/* "dir/of/path" + "name"; an absolute name stays. In the arena. */
const char *rules_join(struct arena *arena, const char *path, const char *name);

#endif
