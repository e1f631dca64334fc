/*
 * command: the command line. One table (cli_commands in commands.c) declares each command with its
 * arguments, options, help and function; the dispatcher, `help` and each --help walk it.
 */
#ifndef ADMIN_COMMAND_H
#define ADMIN_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/error.h"
#include "proxy/config/config.h"
#include "proxy/process/title.h"

/* Exit statuses, the same for all commands. */
enum cli_exit {
	CLI_OK = 0,
	CLI_NO = 1, /* not found, verdict differs, test failed */
	CLI_USAGE = 2,
	CLI_CONFIGURATION = 3, /* invalid configuration or rules */
	CLI_UNREACHABLE = 4,   /* the daemon or the store */
	CLI_PART = 5           /* done in part */
};

enum { OPTIONS_MAX = 12, CLI_WORDS_MAX = 256 };

struct option {
	const char *name;     /* "--wait" */
	const char *argument; /* "TIME"; NULL: it has none */
	const char *help;
};

/* A command line, taken apart. All borrowed from argv. */
struct invocation {
	const struct cli_command *command;
	const struct title *title;
	const char *config_path;
	bool config_given;                /* by -c */
	const char *words[CLI_WORDS_MAX]; /* what is no option, NULL behind the last */
	size_t n_words;
	const char *values[OPTIONS_MAX]; /* by the option's index: NULL not given, "" given without
					    argument; the last one of several */
	struct {
		size_t option;
		const char *value;
	} given[CLI_WORDS_MAX]; /* all, in order */
	size_t n_given;
};

struct cli_command {
	const char *name;
	const char *arguments; /* for the synopsis; "" none */
	const char *summary;   /* one line; NULL: hidden */
	const char *help;      /* paragraphs; may be NULL */
	size_t words_min, words_max;
	struct option options[OPTIONS_MAX]; /* besides -c, --help; ends at a NULL name */
	int (*run)(const struct invocation *invocation); /* NULL: not in this version yet */
};

/* The whole program: the exit status. */
int cli_main(int argc, char **argv, const struct title *title);

/* The value of an option that the command declares; NULL: not given. */
const char *cli_option(const struct invocation *invocation, const char *name);

/* Walks the values of one that may be given several times; start with a cursor of 0. NULL: no
 * more. */
const char *cli_option_next(const struct invocation *invocation, const char *name, size_t *cursor);

/* "30s", "5m", "2h", "7d", "500ms", "10" (seconds). */
bool cli_duration(const char *text, uint64_t max_ms, uint64_t *out_ms, struct err *err) MUST_CHECK;

/* Says how it should have been, on stderr; CLI_USAGE. */
int cli_usage(const struct invocation *invocation, const char *format, ...) PRINTF_LIKE(2, 3);

/* The admin part of the configuration; mistakes elsewhere in it don't matter. CLI_OK, or says why
 * not. */
int cli_admin(const struct invocation *invocation, struct arena *arena, struct admin_config *admin);

/* The same for the state folder; it lies in the arena. */
int cli_state(const struct invocation *invocation, struct arena *arena, const char **state);

/* What the table names. */
int cli_run(const struct invocation *invocation);
int cli_worker(const struct invocation *invocation);
int cli_keeper(const struct invocation *invocation);
int cli_authn(const struct invocation *invocation);
int cli_check(const struct invocation *invocation);
int cli_test(const struct invocation *invocation);
int cli_explain(const struct invocation *invocation);
int cli_list(const struct invocation *invocation);
int cli_fmt(const struct invocation *invocation);
int cli_config(const struct invocation *invocation);
int cli_dmarc_report(const struct invocation *invocation);
int cli_greylist(const struct invocation *invocation);
int cli_reputation(const struct invocation *invocation);
int cli_quarantine(const struct invocation *invocation);
int cli_status(const struct invocation *invocation);
int cli_reload(const struct invocation *invocation);
int cli_drain(const struct invocation *invocation);
int cli_version(const struct invocation *invocation);
int cli_help(const struct invocation *invocation);

#endif
