/*
 * The table of verbs: what each needs before it may run, and who does it. The order of checks is
 * the same for all, so that a client always learns the first thing that is wrong.
 */
#include "proxy/session/session.h"

enum argument { ARGUMENT_ANY, ARGUMENT_NONE };

struct verb_rule {
	enum step (*run)(struct session *s, struct span argument);
	enum argument argument;
	bool needs_helo;
	bool within_bdat; /* allowed while a message by BDAT is under way (RFC 3030 2) */
};

static const struct verb_rule rules[VERB_COUNT] = {
	[VERB_UNKNOWN] = {cmd_unknown, ARGUMENT_ANY, false, false},
	[VERB_HELO] = {cmd_helo, ARGUMENT_ANY, false, true},
	[VERB_EHLO] = {cmd_ehlo, ARGUMENT_ANY, false, true},
	[VERB_MAIL] = {cmd_mail, ARGUMENT_ANY, true, false},
	[VERB_RCPT] = {cmd_rcpt, ARGUMENT_ANY, true, false},
	[VERB_DATA] = {cmd_data, ARGUMENT_NONE, true, false},
	[VERB_BDAT] = {cmd_bdat, ARGUMENT_ANY, false, true},
	[VERB_RSET] = {cmd_rset, ARGUMENT_NONE, false, true},
	[VERB_NOOP] = {cmd_noop, ARGUMENT_ANY, false, true},
	[VERB_QUIT] = {cmd_quit, ARGUMENT_ANY, false, true},
	[VERB_VRFY] = {cmd_vrfy, ARGUMENT_ANY, false, false},
	[VERB_EXPN] = {cmd_expn, ARGUMENT_ANY, false, false},
	[VERB_HELP] = {cmd_help, ARGUMENT_ANY, false, false},
	[VERB_STARTTLS] = {cmd_starttls, ARGUMENT_NONE, false, false},
	[VERB_AUTH] = {cmd_auth, ARGUMENT_ANY, false, false},
	[VERB_XCLIENT] = {cmd_xclient, ARGUMENT_ANY, false, false},
	[VERB_FOREIGN] = {cmd_foreign, ARGUMENT_ANY, false, true},
};

enum step session_command(struct session *s, const struct command *command)
{
	const struct verb_rule *rule = &rules[command->verb];

	if (s->transaction && s->transaction->has_data && !rule->within_bdat)
		return session_say(s, 503, "5.5.1", "A message by BDAT is under way");
	if (rule->argument == ARGUMENT_NONE && command->argument.len)
		return session_say(s, 501, "5.5.4", "No argument is allowed here");
	if (rule->needs_helo && !s->helo_given)
		return session_say(s, 503, "5.5.1", "Say EHLO first");
	return rule->run(s, command->argument);
}
