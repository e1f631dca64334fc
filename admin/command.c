#include "admin/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "admin/commands.h"
#include "lib/base/span.h"
#include "policy/diagnostic.h"

static const char default_config[] = "/etc/postern/postern.conf";

/* --- help --- */

static void print_all(FILE *out)
{
	fputs("postern: an anti-spam SMTP proxy\n\nusage: postern COMMAND [-c FILE] ...\n\n", out);
	for (const struct cli_command *c = cli_commands; c->name; c++)
		if (c->summary)
			fprintf(out, "  %-13s %s%s\n", c->name, c->summary,
				c->run ? "" : " (not in this version yet)");
	fprintf(out,
		"\n-c FILE may stand anywhere behind the first word; without it the configuration "
		"is\n"
		"%s. `postern COMMAND --help` says more.\n\n"
		"Exit status: 0 yes or ok, 1 no, 2 usage, 3 invalid configuration or rules, 4 the "
		"daemon\n"
		"or store is not reachable, 5 done in part.\n",
		default_config);
}

static void print_synopsis(FILE *out, const struct cli_command *command)
{
	fprintf(out, "usage: postern %s [-c FILE]", command->name);
	for (const struct option *o = command->options; o->name; o++)
		fprintf(out, " [%s%s%s]", o->name, o->argument ? " " : "",
			o->argument ? o->argument : "");
	fprintf(out, "%s%s\n", command->arguments[0] ? " " : "", command->arguments);
}

static void print_command(const struct cli_command *command)
{
	print_synopsis(stdout, command);
	printf("\n%s%s\n", command->summary ? command->summary : command->name,
		command->run ? "" : " (not in this version yet)");
	if (command->help)
		printf("\n%s\n", command->help);
	if (command->options[0].name)
		putchar('\n');
	for (const struct option *o = command->options; o->name; o++) {
		char left[40];

		snprintf(left, sizeof(left), "%s%s%s", o->name, o->argument ? " " : "",
			o->argument ? o->argument : "");
		printf("  %-18s %s\n", left, o->help);
	}
}

/* --- finding --- */

static const struct cli_command *find(const char *name)
{
	for (const struct cli_command *c = cli_commands; c->name; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

static int unknown_command(const char *name)
{
	struct nearest nearest = nearest_to(span_text(name));

	for (const struct cli_command *c = cli_commands; c->name; c++)
		if (c->summary)
			nearest_offer(&nearest, c->name);
	fprintf(stderr, "postern: there is no command `%s`", name);
	if (nearest.best)
		fprintf(stderr, "; did you mean `%s`?\n", nearest.best);
	else
		fputs("; `postern help` lists them\n", stderr);
	return CLI_USAGE;
}

int cli_help(const struct invocation *invocation)
{
	const struct cli_command *command;

	if (invocation->n_words == 0) {
		print_all(stdout);
		return CLI_OK;
	}
	command = find(invocation->words[0]);
	if (!command)
		return unknown_command(invocation->words[0]);
	print_command(command);
	return CLI_OK;
}

int cli_usage(const struct invocation *invocation, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "postern %s: %s\n", invocation->command->name, text);
	print_synopsis(stderr, invocation->command);
	return CLI_USAGE;
}

/* --- options --- */

static int unknown_option(const struct invocation *invocation, const char *name)
{
	struct nearest nearest = nearest_to(span_text(name));

	nearest_offer(&nearest, "--help");
	for (const struct option *o = invocation->command->options; o->name; o++)
		nearest_offer(&nearest, o->name);
	if (nearest.best)
		return cli_usage(invocation, "there is no option `%s`; did you mean `%s`?", name,
			nearest.best);
	return cli_usage(invocation, "there is no option `%s`", name);
}

/* Takes the option at *at, and its argument; `--name VALUE` and `--name=VALUE` are the same. */
static int take_option(struct invocation *invocation, char **argv, int *at)
{
	const char *word = argv[*at];
	size_t name_len = strcspn(word, "=");
	const struct option *options = invocation->command->options;

	for (size_t i = 0; i < OPTIONS_MAX && options[i].name; i++) {
		const char *value = word[name_len] ? word + name_len + 1 : NULL;

		if (strlen(options[i].name) != name_len ||
			strncmp(options[i].name, word, name_len) != 0)
			continue;
		if (!options[i].argument && value)
			return cli_usage(invocation, "%s takes no value", options[i].name);
		if (options[i].argument && !value)
			value = argv[*at + 1] ? argv[++*at] : NULL;
		if (options[i].argument && !value)
			return cli_usage(
				invocation, "%s wants %s", options[i].name, options[i].argument);
		invocation->values[i] = value ? value : "";
		if (invocation->n_given == CLI_WORDS_MAX)
			return cli_usage(invocation, "there are too many options");
		invocation->given[invocation->n_given].option = i;
		invocation->given[invocation->n_given++].value = invocation->values[i];
		return CLI_OK;
	}
	return unknown_option(invocation, word);
}

static int take_config(struct invocation *invocation, char **argv, int *at)
{
	const char *value = argv[*at][2] ? argv[*at] + 2 : argv[*at + 1];

	if (!value)
		return cli_usage(invocation, "-c wants FILE");
	if (!argv[*at][2])
		++*at;
	invocation->config_path = value;
	invocation->config_given = true;
	return CLI_OK;
}

static int take_word(struct invocation *invocation, const char *word)
{
	if (invocation->n_words >= invocation->command->words_max)
		return cli_usage(invocation, "`%s` is one argument too many", word);
	invocation->words[invocation->n_words++] = word;
	return CLI_OK;
}

/* argv from the word behind the command on. */
static int take_all(struct invocation *invocation, char **argv)
{
	bool options = true;
	int status = CLI_OK;

	for (int i = 0; argv[i] && status == CLI_OK; i++) {
		if (options && strcmp(argv[i], "--") == 0)
			options = false;
		else if (options && strncmp(argv[i], "-c", 2) == 0)
			status = take_config(invocation, argv, &i);
		else if (options && argv[i][0] == '-' && argv[i][1])
			status = take_option(invocation, argv, &i);
		else
			status = take_word(invocation, argv[i]);
	}
	if (status == CLI_OK && invocation->n_words < invocation->command->words_min)
		return cli_usage(invocation, "something is missing");
	return status;
}

const char *cli_option(const struct invocation *invocation, const char *name)
{
	for (size_t i = 0; i < OPTIONS_MAX && invocation->command->options[i].name; i++)
		if (strcmp(invocation->command->options[i].name, name) == 0)
			return invocation->values[i];
	return NULL;
}

const char *cli_option_next(const struct invocation *invocation, const char *name, size_t *cursor)
{
	while (*cursor < invocation->n_given) {
		size_t i = (*cursor)++;
		const struct option *o = &invocation->command->options[invocation->given[i].option];

		if (strcmp(o->name, name) == 0)
			return invocation->given[i].value;
	}
	return NULL;
}

bool cli_duration(const char *text, uint64_t max_ms, uint64_t *out_ms, struct err *err)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000},
		{"d", 24 * 3600 * 1000}};
	size_t digits = strspn(text, "0123456789");
	uint64_t value;

	for (size_t i = 0; i < COUNT_OF(units); i++) {
		if (strcmp(text + digits, units[i].unit) != 0)
			continue;
		if (!span_number(span_make(text, digits), max_ms / units[i].ms, &value))
			break;
		*out_ms = value * units[i].ms;
		return true;
	}
	return err_set(err, "`%s` is not a time such as 30s, 5m or 2h (at most %lluh)", text,
		(unsigned long long)(max_ms / (3600 * 1000)));
}

/* --- the configuration's control socket --- */

static int read_admin(const struct invocation *invocation, struct arena *arena,
	struct admin_config *admin, const char **state)
{
	struct bundle *bundle;
	struct err err = {{0}};
	bool ok;

	if (!bundle_load(&bundle, invocation->config_path, &err)) {
		fprintf(stderr, "postern: %s\n", err.text);
		return CLI_CONFIGURATION;
	}
	ok = config_admin_only(bundle, arena, admin, state, &err);
	bundle_free(&bundle);
	if (!ok) {
		fprintf(stderr, "postern: %s\n", err.text);
		return CLI_CONFIGURATION;
	}
	return CLI_OK;
}

int cli_admin(const struct invocation *invocation, struct arena *arena, struct admin_config *admin)
{
	const char *state;

	return read_admin(invocation, arena, admin, &state);
}

int cli_state(const struct invocation *invocation, struct arena *arena, const char **state)
{
	struct admin_config admin;

	return read_admin(invocation, arena, &admin, state);
}

/* --- all of it --- */

/* Asked for help anywhere behind the command, also where the rest makes no sense. */
static bool wants_help(char **argv)
{
	for (; *argv && strcmp(*argv, "--") != 0; argv++)
		if (strcmp(*argv, "--help") == 0 || strcmp(*argv, "-h") == 0)
			return true;
	return false;
}

static const char *first_word(int argc, char **argv)
{
	if (argc < 2)
		return NULL;
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return "help";
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
		return "version";
	return argv[1];
}

int cli_main(int argc, char **argv, const struct title *title)
{
	const char *name = first_word(argc, argv);
	struct invocation invocation = {.title = title, .config_path = default_config};
	int status;

	if (!name) {
		print_all(stderr);
		return CLI_USAGE;
	}
	invocation.command = find(name);
	if (!invocation.command)
		return unknown_command(name);
	if (wants_help(argv + 2)) {
		print_command(invocation.command);
		return CLI_OK;
	}
	if (!invocation.command->run) {
		fprintf(stderr, "postern: `%s` is not in this version yet\n", name);
		return CLI_USAGE;
	}
	status = take_all(&invocation, argv + 2);
	return status == CLI_OK ? invocation.command->run(&invocation) : status;
}
