/*
 * From bytes to verbs: a line is taken off the input, judged as a line, and looked up in the table
 * of verbs, which says what each needs before it may run, and who does it. The order of checks is
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

/* --- lines --- */

/* Between two chunks, too. */
bool session_within_message(const struct session *s)
{
	return s->transaction && s->transaction->has_data;
}

/* Takes a line off the input. *line is without its end; false: none is whole yet. */
static bool take_line(struct session *s, struct span *line, bool *bare_lf)
{
	size_t lf = span_find_char(s->input, '\n');

	if (lf == s->input.len)
		return false;
	*bare_lf = lf == 0 || s->input.at[lf - 1] != '\r';
	*line = span_first(s->input, *bare_lf ? lf : lf - 1);
	s->input = span_from(s->input, lf + 1);
	return true;
}

/* Whether bytes of a message may follow the line whatever we say to it. */
static bool announces_chunk(struct span line)
{
	return span_starts_nocase(span_trim(line), SPAN("BDAT"));
}

static enum step bad_line(struct session *s, struct span line, uint16_t code, const char *text)
{
	return announces_chunk(line) ? session_bye(s, code, "5.5.2", text)
				     : session_say(s, code, "5.5.2", text);
}

enum step step_command(struct session *s)
{
	size_t max = s->worker->config->limits.command;
	struct command command;
	struct span line;
	bool bare_lf;

	/* What somebody who is gone had pipelined is not run: no answer could reach it. */
	if (s->peer == PEER_GONE)
		return STEP_CLOSED;
	if (s->worker->drain >= WORKER_DRAIN_MESSAGES && !session_within_message(s))
		return session_bye(s, 421, "4.3.2", "Going down, try again");
	if (stream_pending(&s->stream) > SESSION_OUTPUT_PAUSE)
		return STEP_WAIT;
	if (!take_line(s, &line, &bare_lf)) {
		if (s->input.len > max)
			return session_bye(s, 500, "5.5.2", "Line too long");
		return s->peer == PEER_THERE ? STEP_WAIT : STEP_CLOSED;
	}
	session_set_state(s, SESSION_COMMAND); /* its time begins anew */
	if (line.len + 2 > max)
		return session_bye(s, 500, "5.5.2", "Line too long");
	if (bare_lf)
		return bad_line(s, line, 500, "Lines end in CRLF, not in LF alone");
	if (!command_line_clean(line))
		return bad_line(s, line, 501, "Control characters are not allowed");
	command = command_parse(line);
	if (command.verb == VERB_UNKNOWN && announces_chunk(line))
		return session_bye(s, 500, "5.5.2", "Unknown command");
	return session_command(s, &command);
}
