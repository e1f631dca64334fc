/*
 * The verbs that change nothing or end things: RSET, NOOP, QUIT, VRFY, EXPN, HELP, AUTH, and what
 * is no verb at all.
 */
#include "proxy/session/session.h"

/* Commands that bring no message forward are counted (limits.junk). */
static enum step junk(struct session *s, uint16_t code, const char *enhanced, const char *text)
{
	return session_junk(s) ? STEP_NEXT : session_say(s, code, enhanced, text);
}

enum step cmd_rset(struct session *s, struct span argument)
{
	(void)argument;
	session_reset(s);
	return junk(s, 250, "2.0.0", "Forgotten");
}

enum step cmd_noop(struct session *s, struct span argument)
{
	(void)argument;
	return junk(s, 250, "2.0.0", "Still here");
}

enum step cmd_quit(struct session *s, struct span argument)
{
	if (argument.len)
		return session_say(s, 501, "5.5.4", "No argument is allowed here");
	/* Who said QUIT reads to the end: nothing to discard. TLS has a farewell of its own. */
	if (s->client.tls)
		return session_bye(s, 221, "2.0.0", "Goodbye");
	session_say(s, 221, "2.0.0", "Goodbye");
	return STEP_CLOSED;
}

/* RFC 5321 3.5.3: a server that will not say may answer 252. */
enum step cmd_vrfy(struct session *s, struct span argument)
{
	if (argument.len == 0)
		return session_say(s, 501, "5.5.4", "An address is needed");
	return junk(s, 252, "2.5.0", "Send it some mail, it will be seen then");
}

enum step cmd_expn(struct session *s, struct span argument)
{
	(void)argument;
	return session_say(s, 502, "5.5.1", "EXPN is not done here");
}

enum step cmd_help(struct session *s, struct span argument)
{
	(void)argument;
	return junk(s, 214, "2.0.0", "RFC 5321 tells it all");
}

/* This is an MX: nobody logs in here, and never in plain text (RFC 4954 4). */
enum step cmd_auth(struct session *s, struct span argument)
{
	(void)argument;
	if (!s->client.tls)
		return session_say(s, 538, "5.7.11", "No authentication without encryption");
	return session_say(s, 502, "5.5.1", "No authentication on this port");
}

enum step cmd_unknown(struct session *s, struct span argument)
{
	(void)argument;
	return session_say(s, 500, "5.5.2", "Unknown command");
}

enum step cmd_foreign(struct session *s, struct span argument)
{
	(void)argument;
	return session_bye(s, 554, "5.5.1", "Only SMTP is spoken here");
}
