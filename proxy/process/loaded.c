#include "proxy/process/loaded.h"

#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/net/tls.h"

/* One more mistake, in the form that config_parse gives its own. */
static void add_mistake(struct loaded *loaded, const char *path, const char *text)
{
	loaded->n_mistakes++;
	if (!buffer_print(&loaded->report, "%s: error: %s\n", path, text))
		return; /* 256 KB of mistakes will do */
}

/* Whether OpenSSL takes each certificate with its key. */
static bool tls_fits(const struct config *config, struct err *err)
{
	const struct tls_config *tls = &config->tls;
	struct tls_identity *identities;
	struct tls_context *context;

	if (tls->count == 0)
		return true;
	identities = memory_zeroed(tls->count * sizeof(*identities));
	for (size_t i = 0; i < tls->count; i++) {
		const struct certificate_config *c = &tls->certificates[i];

		identities[i] = (struct tls_identity){
			c->certificate.name, c->certificate.content, c->key.content};
	}
	context = tls_context_server(identities, tls->count, tls->minimum_version, NULL, err);
	free(identities);
	if (!context)
		return false;
	tls_context_free(&context);
	return true;
}

bool loaded_read(struct loaded *loaded, const char *path)
{
	struct err err = {{0}};

	*loaded = (struct loaded){
		.bytes = BUFFER_INIT(LOADED_BYTES_MAX), .report = BUFFER_INIT(LOADED_REPORT_MAX)};
	if (!bundle_load(&loaded->bundle, path, &err)) {
		add_mistake(loaded, path, err.text);
		return false;
	}
	loaded->config = config_parse(
		loaded->bundle, &loaded->report, &loaded->n_mistakes, &loaded->n_warnings);
	if (!loaded->config)
		return false;
	if (!bundle_write(loaded->bundle, &loaded->bytes))
		err_set(&err, "the files that it names are larger than %d bytes together",
			LOADED_BYTES_MAX);
	else if (tls_fits(loaded->config, &err))
		return true;
	add_mistake(loaded, path, err.text);
	config_free(&loaded->config);
	return false;
}

void loaded_free(struct loaded *loaded)
{
	if (loaded->config)
		config_free(&loaded->config);
	if (loaded->bundle)
		bundle_free(&loaded->bundle);
	buffer_free(&loaded->bytes);
	buffer_free(&loaded->report);
}
