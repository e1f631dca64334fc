#include "proxy/config/config.h"

#include <string.h>

#include "lib/base/fail.h"
#include "proxy/config/read.h"

enum { VALUE_TEXT_MAX = 64 * 1024 };

void config_free(struct config **config)
{
	struct arena *arena;

	if (!*config)
		return;
	arena = (*config)->arena;
	*config = NULL;
	arena_free(&arena);
}

struct config *config_parse(
	const struct bundle *bundle, struct buffer *report, size_t *n_mistakes, size_t *n_warnings)
{
	struct reader_result result = config_read(bundle, report, NULL);

	if (n_mistakes)
		*n_mistakes = result.n_errors;
	if (n_warnings)
		*n_warnings = result.n_warnings;
	if (result.n_errors)
		config_free(&result.config);
	return result.config;
}

const struct backend_config *config_backend(const struct config *config, const char *name)
{
	for (size_t i = 0; name && i < config->n_backends; i++)
		if (strcmp(config->backends[i].name, name) == 0)
			return &config->backends[i];
	return &config->backends[0];
}

bool config_relays(const struct config *config, struct span domain)
{
	if (config->relay_any)
		return true;
	for (size_t i = 0; i < config->n_relay_domains; i++) {
		struct span ours = span_text(config->relay_domains[i]);

		if (ours.len && ours.at[0] == '.'
				? domain.len > ours.len && span_ends_nocase(domain, ours)
				: span_equal_nocase(domain, ours))
			return true;
	}
	return false;
}

bool config_admin_only(const struct bundle *bundle, struct arena *arena, struct admin_config *admin,
	const char **state, struct err *err)
{
	struct buffer report = BUFFER_INIT(0); /* nobody reads it */
	struct reader_result result = config_read(bundle, &report, NULL);
	const struct config *config = result.config;
	bool ok = !result.admin_bad;

	if (ok) {
		admin->socket = arena_string(arena, span_text(config->admin.socket));
		admin->http = arena_string(arena, span_text(config->admin.http));
		admin->password_file = arena_string(arena, span_text(config->admin.password_file));
		*state = arena_string(arena, span_text(config->state));
	} else {
		err_set(err, "%s: admin.socket or state can't be read; `postern check` says why",
			bundle_name(bundle));
	}
	config_free(&result.config);
	buffer_free(&report);
	return ok;
}

static bool values_differ(const struct option *o, const struct config *a, const struct config *b)
{
	struct buffer x = BUFFER_INIT(VALUE_TEXT_MAX), y = BUFFER_INIT(VALUE_TEXT_MAX);
	struct text old = {&x, false}, new = {&y, false};
	bool differ;

	for (size_t i = 0; o->kind->show(o, a, i, &old); i++)
		text_put(&old, "\n");
	for (size_t i = 0; o->kind->show(o, b, i, &new); i++)
		text_put(&new, "\n");
	differ = !span_equal(buffer_span(&x), buffer_span(&y));
	buffer_free(&x);
	buffer_free(&y);
	return differ;
}

bool config_needs_restart(const struct config *old, const struct config *new, struct buffer *out)
{
	struct text t = {out, false};
	bool needed = false;

	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &option_table[i];
		char name[OPTION_NAME_SIZE];

		if (!(o->flags & OPTION_RESTART))
			continue;
		/* Items of a repeated block have no partner to be compared with. */
		ENSURE(!option_in_item(o));
		if (!values_differ(o, old, new))
			continue;
		text_put(&t, "%s%s", needed ? ", " : "", option_name(o, name));
		needed = true;
	}
	return needed;
}
