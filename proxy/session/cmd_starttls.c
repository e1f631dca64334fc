/*
 * STARTTLS (RFC 3207): all that was said before is forgotten, and nothing that came in plain text
 * is read as said under TLS.
 */
#include "proxy/session/session.h"

enum step cmd_starttls(struct session *s, struct span argument)
{
	(void)argument;
	if (s->client.tls)
		return session_say(s, 503, "5.5.1", "TLS is on already");
	if (s->listen->tls != LISTEN_TLS_STARTTLS || !s->worker->tls)
		return session_say(s, 502, "5.5.1", "TLS is not offered here");
	/* RFC 3207 4.2; whoever pipelines behind STARTTLS injects. */
	if (s->input.len)
		return session_bye(
			s, 554, "5.5.1", "Nothing may follow STARTTLS before the handshake");
	session_forget_helo(s);
	session_say(s, 220, "2.0.0", "Go ahead");
	session_set_state(s, SESSION_TLS);
	return STEP_NEXT;
}
