/* The commands that read a configuration and need no daemon: check, config. */
#include <stdio.h>
#include <string.h>

#include "admin/command.h"
#include "lib/base/buffer.h"
#include "proxy/process/loaded.h"

enum { OUTPUT_MAX = 4 * 1024 * 1024 };

static void print(FILE *to, const struct buffer *text)
{
	struct span all = buffer_span(text);

	fwrite(all.at, 1, all.len, to);
}

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

static void print_summary(const struct config *config, size_t n_warnings)
{
	size_t n_servers = 0;

	for (size_t i = 0; i < config->n_backends; i++)
		n_servers += config->backends[i].n_servers;
	printf("%s: ok\n", config->file);
	printf("  %zu listener%s, %zu certificate%s, %zu backend%s with %zu server%s, ",
		config->n_listens, plural(config->n_listens), config->tls.count,
		plural(config->tls.count), config->n_backends, plural(config->n_backends),
		n_servers, plural(n_servers));
	if (config->relay_any)
		printf("any domain");
	else
		printf("%zu relay domain%s", config->n_relay_domains,
			plural(config->n_relay_domains));
	printf(", %u worker%s\n", config->workers, plural(config->workers));
	if (n_warnings)
		printf("  %zu warning%s\n", n_warnings, plural(n_warnings));
}

int cli_check(const struct invocation *invocation)
{
	struct loaded loaded;
	bool ok;

	if (invocation->n_words) {
		fputs("postern check: rule files are not in this version yet\n", stderr);
		return CLI_USAGE;
	}
	ok = loaded_read(&loaded, invocation->config_path);
	print(stderr, &loaded.report);
	if (ok)
		print_summary(loaded.config, loaded.n_warnings);
	else
		fprintf(stderr, "%s: %zu mistake%s\n", invocation->config_path, loaded.n_mistakes,
			plural(loaded.n_mistakes));
	loaded_free(&loaded);
	return ok ? CLI_OK : CLI_CONFIGURATION;
}

/* --- config --- */

static int show(const struct invocation *invocation)
{
	bool changed = cli_option(invocation, "--changed") != NULL;
	struct buffer out = BUFFER_INIT(OUTPUT_MAX);
	struct loaded loaded;
	int status = CLI_CONFIGURATION;

	if (!loaded_read_config(&loaded, invocation->config_path)) {
		print(stderr, &loaded.report);
	} else if (config_show(loaded.config, changed, &out)) {
		print(stdout, &out);
		status = CLI_OK;
	}
	loaded_free(&loaded);
	buffer_free(&out);
	return status;
}

static int doc(const struct invocation *invocation)
{
	struct buffer out = BUFFER_INIT(OUTPUT_MAX);
	bool known = config_doc(invocation->n_words > 1 ? invocation->words[1] : NULL, &out);

	print(known ? stdout : stderr, &out);
	buffer_free(&out);
	return known ? CLI_OK : CLI_NO;
}

/* Hidden: the build makes postern.conf(5) with it. */
static int man(void)
{
	struct buffer out = BUFFER_INIT(OUTPUT_MAX);
	bool ok = config_manual(&out);

	print(stdout, &out);
	buffer_free(&out);
	return ok ? CLI_OK : CLI_NO;
}

int cli_config(const struct invocation *invocation)
{
	const char *what = invocation->words[0];
	bool alone = invocation->n_words == 1;

	if (strcmp(what, "show") == 0 && alone)
		return show(invocation);
	if (strcmp(what, "doc") == 0)
		return doc(invocation);
	if (strcmp(what, "man") == 0 && alone)
		return man();
	return cli_usage(invocation, "it is `config show` or `config doc [KEY]`");
}
