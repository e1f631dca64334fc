#include "proxy/process/loaded.h"

#include <string.h>

#include "lib/base/fail.h"
#include "lib/net/tls.h"
#include "policy/read.h"
#include "proxy/process/declared.h"

/* One more mistake, in the form that config_parse gives its own. */
static void add_mistake(struct loaded *loaded, const char *path, const char *text)
{
	loaded->n_mistakes++;
	if (!buffer_print(&loaded->report, "%s: error: %s\n", path, text))
		return; /* 256 KB of mistakes will do */
}

/* Tells of each certificate that OpenSSL does not take with its key. */
static bool certificates_fit(struct loaded *loaded, const char *path)
{
	const struct tls_config *tls = &loaded->config->tls;
	size_t before = loaded->n_mistakes;

	for (size_t i = 0; i < tls->count; i++) {
		const struct certificate_config *c = &tls->certificates[i];
		const struct tls_identity identity = {
			c->certificate.name, c->certificate.content, c->key.content};
		struct err err;
		struct tls_context *context =
			tls_context_server(&identity, 1, tls->minimum_version, NULL, &err);

		if (context)
			tls_context_free(&context);
		else
			add_mistake(loaded, path, err.text);
	}
	return loaded->n_mistakes == before;
}

bool loaded_read_config(struct loaded *loaded, const char *path)
{
	struct err err = {{0}};

	*loaded = (struct loaded){.bytes = BUFFER_INIT(LOADED_BYTES_MAX),
		.declared = BUFFER_INIT(DECLARED_MAX),
		.report = BUFFER_INIT(LOADED_REPORT_MAX)};
	if (!bundle_load(&loaded->bundle, path, &err)) {
		add_mistake(loaded, path, err.text);
		return false;
	}
	loaded->config = config_parse(
		loaded->bundle, &loaded->report, &loaded->n_mistakes, &loaded->n_warnings);
	if (!loaded->config)
		return false;
	if (!bundle_write(loaded->bundle, &loaded->bytes)) {
		err_set(&err, "the files that it names are larger than %d bytes together",
			LOADED_BYTES_MAX);
		add_mistake(loaded, path, err.text);
	} else if (certificates_fit(loaded, path)) {
		return true;
	}
	config_free(&loaded->config);
	return false;
}

/* `rules` names files that are not there. Without any, everything is accepted. */
static void warn_of_no_rules(struct loaded *loaded)
{
	const struct config *config = loaded->config;
	struct arena *arena = arena_new(512);
	const char *fallback = arena_print(arena, "%s/rules.d/*.rules", config->folder);
	size_t n;

	bundle_rules(loaded->bundle, arena, &n);
	if (n == 0 && strcmp(config->rules, fallback) != 0) {
		loaded->n_warnings++;
		if (!buffer_print(&loaded->report,
			    "%s: warning: no file matches `rules \"%s\"`: there are no rules\n",
			    config->file, config->rules))
			loaded->report.max = loaded->report.len;
	}
	arena_free(&arena);
}

/* Whether facts may come from shared objects, which are not at hand without a configuration. */
static bool may_load_objects(const struct bundle *bundle)
{
	struct rule_source source;
	struct span text;
	const char *problem;

	bundle_config_source(bundle, &source);
	return !source.read(source.context, "", &text, &problem) ||
	       span_find(text, SPAN("load")) < text.len;
}

/* The mistakes in rules beside those in postern.conf: all are told at once. */
static void tell_of_rules(struct loaded *loaded)
{
	struct ruleset_told told = {.report = &loaded->report};
	struct ruleset rules;

	if (!loaded->bundle || may_load_objects(loaded->bundle))
		return;
	if (ruleset_read(&rules, loaded->bundle, NULL, RULESET_READ, &told))
		ruleset_free(&rules);
	loaded->n_mistakes += told.n_mistakes;
	loaded->n_warnings += told.n_warnings;
}

bool loaded_read(struct loaded *loaded, const char *path)
{
	struct ruleset_told told = {.report = &loaded->report};
	bool ok;

	if (!loaded_read_config(loaded, path)) {
		tell_of_rules(loaded);
		return false;
	}
	warn_of_no_rules(loaded);
	ok = ruleset_read(&loaded->rules, loaded->bundle, loaded->config, RULESET_JUDGE, &told);
	loaded->n_mistakes += told.n_mistakes;
	loaded->n_warnings += told.n_warnings;
	if (ok)
		declared_write(loaded->config, loaded->rules.policy, &loaded->declared);
	else
		config_free(&loaded->config);
	return ok;
}

void loaded_drop_rules(struct loaded *loaded)
{
	ruleset_free(&loaded->rules);
}

void loaded_free(struct loaded *loaded)
{
	ruleset_free(&loaded->rules);
	if (loaded->config)
		config_free(&loaded->config);
	if (loaded->bundle)
		bundle_free(&loaded->bundle);
	buffer_free(&loaded->bytes);
	buffer_free(&loaded->declared);
	buffer_free(&loaded->report);
}
