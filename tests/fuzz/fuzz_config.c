/*
 * Anything as postern.conf, as a rule file's tokens and as a bundle. What parses must be shown in a
 * form that parses back to the same, both in full and with only the changes.
 */
#include <stdlib.h>

#include "lib/base/fail.h"
#include "policy/lex.h"
#include "proxy/config/config.h"

#define PEM(what) SPAN("-----BEGIN " what "-----\nAA==\n-----END " what "-----\n")

enum { REPORT_MAX = 1 << 20, SHOW_MAX = 1 << 26 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bundle *bundle_with_files(struct span text)
{
	struct bundle *bundle = bundle_of_text("/etc/postern/postern.conf", text);

	bundle_add(bundle, "mx.pem", PEM("CERTIFICATE"));
	bundle_add(bundle, "mx.key", PEM("PRIVATE KEY"));
	return bundle;
}

/* The configuration, or NULL when there are mistakes. */
static struct config *parse(struct span text)
{
	struct buffer report = BUFFER_INIT(REPORT_MAX);
	struct bundle *bundle = bundle_with_files(text);
	size_t mistakes, warnings;
	struct config *config = config_parse(bundle, &report, &mistakes, &warnings);

	ENSURE((config != NULL) == (mistakes == 0));
	ENSURE((report.len > 0) == (mistakes + warnings > 0));
	bundle_free(&bundle);
	buffer_free(&report);
	return config;
}

/* Shows in one form, parses that, and expects the full show of it to be the same as before. */
static void show_again(const struct config *config, bool changed_only, struct span full)
{
	struct buffer shown = BUFFER_INIT(SHOW_MAX), again = BUFFER_INIT(SHOW_MAX);
	struct buffer restart = BUFFER_INIT(4096);
	struct config *second;

	ENSURE(config_show(config, changed_only, &shown));
	second = parse(buffer_span(&shown));
	ENSURE(second != NULL);
	ENSURE(config_show(second, false, &again));
	ENSURE(span_equal(buffer_span(&again), full));
	ENSURE(!config_needs_restart(config, second, &restart));
	config_free(&second);
	buffer_free(&shown);
	buffer_free(&again);
	buffer_free(&restart);
}

static void try_config(struct span text)
{
	struct buffer full = BUFFER_INIT(SHOW_MAX);
	struct config *config = parse(text);

	if (config) {
		ENSURE(config_show(config, false, &full));
		show_again(config, false, buffer_span(&full));
		show_again(config, true, buffer_span(&full));
	}
	config_free(&config);
	buffer_free(&full);
}

static void try_admin(struct span text)
{
	struct bundle *bundle = bundle_with_files(text);
	struct arena *arena = arena_new(256);
	struct admin_config admin;
	const char *state;
	struct err err;

	if (config_admin_only(bundle, arena, &admin, &state, &err))
		ENSURE(*admin.socket && *state);
	arena_free(&arena);
	bundle_free(&bundle);
}

static void try_lexer(struct span text, enum lex_dialect dialect)
{
	struct lexer lexer = lexer_make(text, dialect);
	struct arena *arena = arena_new(256);
	struct token token;

	do {
		token = lex_next(&lexer);
		if (token_is_value(token.kind))
			ENSURE(strlen(token_value(&token, arena)) <= token.text.len);
		ENSURE(token.kind != TOKEN_ERROR || token.message);
	} while (token.kind != TOKEN_END);
	arena_free(&arena);
}

static void try_bundle(struct span bytes)
{
	struct buffer written = BUFFER_INIT(SHOW_MAX);
	struct bundle *bundle;
	struct err err;

	if (!bundle_read(&bundle, bytes, &err))
		return;
	ENSURE(bundle_write(bundle, &written));
	bundle_free(&bundle);
	buffer_free(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_make(data, size);

	try_config(text);
	try_admin(text);
	try_lexer(text, LEX_RULES);
	try_lexer(text, LEX_CONFIG);
	try_bundle(text);
	return 0;
}
