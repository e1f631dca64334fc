#include "proxy/process/loaded.h"

#include "lib/base/fail.h"
#include "lib/net/tls.h"

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

void loaded_free(struct loaded *loaded)
{
	if (loaded->config)
		config_free(&loaded->config);
	if (loaded->bundle)
		bundle_free(&loaded->bundle);
	buffer_free(&loaded->bytes);
	buffer_free(&loaded->report);
}
