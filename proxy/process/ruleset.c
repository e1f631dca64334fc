#include "proxy/process/ruleset.h"

#include "filters/pipeline.h"
#include "lib/mail/url.h"
#include "lib/net/digest.h"
#include "policy/advise.h"
#include "policy/expect.h"
#include "proxy/session/results.h"

/* filter: the block in which the mistake stands; NULL: in none. token: as filter_mistake has it. */
static void tell_mistake(struct ruleset_told *told, const struct bundle *bundle, const char *file,
	const struct filter_config *filter, size_t token, const char *text)
{
	struct place place = {.file = file};
	struct rule_source source;
	struct remarks remarks = {.source = &source, .report = told->report};

	if (filter && token < filter->n_places) {
		place.line = filter->places[token].line;
		place.column = filter->places[token].column;
	}
	bundle_config_source(bundle, &source);
	if (place.line)
		remark(&remarks, SEVERITY_ERROR, &place, NULL, "%s", text);
	else if (!buffer_print(told->report, "%s: error: %s\n", file, text))
		told->report->max = told->report->len; /* so many mistakes will do */
	told->n_mistakes++;
}

/* What is wrong with each block alone, or with all of them together. */
static void tell_mistakes(struct ruleset_told *told, const struct bundle *bundle,
	const struct config *config, const struct filter_given *given, const char *together)
{
	size_t before = told->n_mistakes, n = config ? config->n_filters : 0;

	for (size_t i = 0; i < n; i++) {
		struct filter_mistake at;
		struct err err = {{0}};
		struct filter_set *set = filter_set_judge(&given[i], 1, config->folder, &at, &err);

		if (set)
			filter_set_free(&set);
		else
			tell_mistake(told, bundle, config->file, &config->filters[i], at.token,
				err.text);
	}
	if (told->n_mistakes == before)
		tell_mistake(told, bundle, config ? config->file : "postern", NULL, 0, together);
}

static struct filter_given *given_in(const struct config *config, struct arena *arena)
{
	size_t n = config ? config->n_filters : 0;
	struct filter_given *given = arena_alloc(arena, (n + 1) * sizeof(*given));

	for (size_t i = 0; i < n; i++)
		given[i] =
			(struct filter_given){config->filters[i].name, config->filters[i].options};
	return given;
}

static struct filter_set *make_filters(
	const struct config *config, const struct filter_given *given, struct err *err)
{
	return filter_set_new(
		given, config ? config->n_filters : 0, config ? config->folder : "", err);
}

struct filter_set *ruleset_filters(const struct config *config, struct err *err)
{
	struct arena *arena = arena_new(1024);
	struct filter_set *set = make_filters(config, given_in(config, arena), err);

	arena_free(&arena);
	return set;
}

static bool read_filters(struct ruleset *set, const struct bundle *bundle,
	const struct config *config, struct arena *arena, struct ruleset_told *told)
{
	struct filter_given *given = given_in(config, arena);
	struct err err = {{0}};

	set->filters = make_filters(config, given, &err);
	if (!set->filters)
		tell_mistakes(told, bundle, config, given, err.text);
	return set->filters != NULL;
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
		.digest = digest_hex,
		.ascii = host_ascii,
		.keeps = results_keep};
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
	ok = read_filters(out, bundle, config, arena, told) &&
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
