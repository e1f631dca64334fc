/* `postern config`: what the configuration says and means. It needs no daemon. */
#include <stdio.h>
#include <string.h>

#include "admin/command.h"
#include "admin/tables.h"
#include "lib/base/buffer.h"
#include "proxy/process/loaded.h"

enum { OUTPUT_MAX = 4 * 1024 * 1024 };

static void print(FILE *to, const struct buffer *text)
{
	struct span all = buffer_span(text);

	fwrite(all.at, 1, all.len, to);
}

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

/* postern's own filters, and with `-c` those that the configuration loads; NULL: told. */
static struct filter_set *filters_of(const struct invocation *invocation)
{
	struct loaded loaded = {.bundle = NULL};
	struct filter_set *set = NULL;
	struct err err = {0};

	if (!invocation->config_given)
		set = ruleset_filters(NULL, &err);
	else if (loaded_read_config(&loaded, invocation->config_path))
		set = ruleset_filters(loaded.config, &err);
	else
		print(stderr, &loaded.report);
	if (!set && err.text[0])
		fprintf(stderr, "postern: %s\n", err.text);
	loaded_free(&loaded);
	return set;
}

/* What is no key, but a table of its own. */
static int doc_topic(const struct invocation *invocation, const struct tables_topic *topic)
{
	bool json = cli_option(invocation, "--json") != NULL;
	struct filter_set *set;

	if (json && !topic->print_json)
		return cli_usage(invocation, "`config doc %s` has no --json", topic->name);
	set = filters_of(invocation);
	if (!set)
		return CLI_CONFIGURATION;
	(json ? topic->print_json : topic->print)(stdout, set);
	filter_set_free(&set);
	return CLI_OK;
}

static int doc(const struct invocation *invocation)
{
	const char *key = invocation->n_words > 1 ? invocation->words[1] : NULL;
	const struct tables_topic *topic = key ? tables_find(key) : NULL;
	struct buffer out = BUFFER_INIT(OUTPUT_MAX);
	bool known;

	if (topic)
		return doc_topic(invocation, topic);
	if (cli_option(invocation, "--json"))
		return cli_usage(invocation, "--json is for `config doc facts`");
	known = config_doc(key, &out);
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

	if (cli_option(invocation, "--json") && strcmp(what, "doc") != 0)
		return cli_usage(invocation, "--json is for `config doc facts`");
	if (strcmp(what, "show") == 0 && alone)
		return show(invocation);
	if (strcmp(what, "doc") == 0)
		return doc(invocation);
	if (strcmp(what, "man") == 0 && alone)
		return man();
	return cli_usage(invocation,
		"it is `config show` or `config doc [KEY | facts | language | filters]`");
}
