#include "proxy/process/ruleset.h"

#include "filters/pipeline.h"
#include "lib/net/digest.h"
#include "policy/advise.h"
#include "policy/expect.h"

static bool mistake(struct ruleset_told *told, const char *file, const char *text)
{
	told->n_mistakes++;
	if (!buffer_print(told->report, "%s: error: %s\n", file, text))
		return false; /* so many mistakes will do */
	return false;
}

static bool read_filters(struct ruleset *set, const struct config *config, struct arena *arena,
	struct ruleset_told *told)
{
	size_t n = config ? config->n_filters : 0;
	struct filter_given *given = arena_alloc(arena, (n + 1) * sizeof(*given));
	struct err err = {{0}};

	for (size_t i = 0; i < n; i++)
		given[i] =
			(struct filter_given){config->filters[i].name, config->filters[i].options};
	set->filters = filter_set_new(given, n, config ? config->folder : "", &err);
	return set->filters || mistake(told, config ? config->file : "postern", err.text);
}

static const char *const *backend_names(const struct config *config, struct arena *arena)
{
	const char **names;

	if (!config)
		return NULL;
	names = arena_alloc(arena, (config->n_backends + 1) * sizeof(*names));
	for (size_t i = 0; i < config->n_backends; i++)
		names[i] = config->backends[i].name;
	return names;
}

static bool read_rules(struct ruleset *set, const struct bundle *bundle,
	const struct config *config, struct arena *arena, struct ruleset_told *told)
{
	struct rule_setup setup = {.registry = filter_set_registry(set->filters),
		.backends = backend_names(config, arena),
		.n_backends = config ? config->n_backends : 0,
		.digest = digest_hex};
	size_t n_paths, n_mistakes = 0, n_warnings = 0;
	const char *const *paths = bundle_rules(bundle, arena, &n_paths);
	struct rule_source source;
	struct rules *rules;

	bundle_rule_source(bundle, &source);
	rules = rules_read(&setup, paths, n_paths, &source, told->report, &n_mistakes, &n_warnings);
	told->n_mistakes += n_mistakes;
	told->n_warnings += n_warnings;
	if (rules)
		set->policy = policy_new(rules);
	return rules != NULL;
}

static bool judge(
	const struct policy *policy, const struct bundle *bundle, struct ruleset_told *told)
{
	struct rule_source source;
	struct remarks remarks = {.source = &source, .report = told->report};
	bool ok;

	bundle_rule_source(bundle, &source);
	policy_advise(policy, &remarks);
	ok = policy_expect(policy, &remarks, NULL, NULL);
	told->n_mistakes += remarks.n_errors;
	told->n_warnings += remarks.n_warnings;
	return ok;
}

bool ruleset_read(struct ruleset *out, const struct bundle *bundle, const struct config *config,
	enum ruleset_care care, struct ruleset_told *told)
{
	struct arena *arena = arena_new(4096);
	bool ok;

	*out = (struct ruleset){NULL, NULL};
	ok = read_filters(out, config, arena, told) &&
	     read_rules(out, bundle, config, arena, told) &&
	     (care == RULESET_READ || judge(out->policy, bundle, told));
	if (!ok)
		ruleset_free(out);
	arena_free(&arena);
	return ok;
}

void ruleset_free(struct ruleset *set)
{
	policy_free(&set->policy);
	filter_set_free(&set->filters);
}
