/*
 * What comes before the first command: a PROXY header from a listed proxy, the TLS handshake (also
 * that of STARTTLS), and the greeting, or what a rule says instead.
 */
#include <sys/socket.h>

#include "lib/mail/proxy_header.h"
#include "proxy/session/session.h"

enum step step_proxy(struct session *s)
{
	struct proxy_header header;
	struct err err;

	switch (proxy_header_parse(s->input, &header, &err)) {
	case PROXY_MORE:
		return STEP_WAIT;
	case PROXY_BAD:
		log_event(s->worker->log, LOG_WARNING, "proxy_header", session_id(s),
			"bad PROXY header: %s", err.text);
		return STEP_CLOSED;
	case PROXY_DONE:
		break;
	}
	s->input = span_from(s->input, header.size);
	if (!header.local) {
		s->client.remote = header.source;
		s->client.local = header.destination;
	}
	if (session_count_client(s))
		session_set_state(s, s->implicit_tls ? SESSION_TLS : SESSION_GREETING);
	return STEP_NEXT;
}

enum step step_tls(struct session *s)
{
	if (s->stream.state != STREAM_OPEN || s->stream.ssl)
		return s->peer == PEER_THERE ? STEP_WAIT : STEP_CLOSED;
	/* Plain text that came along with STARTTLS must never be read as commands under TLS
	 * (CVE-2011-0411). Behind a PROXY header it is the handshake's beginning. */
	if (s->input.len && !s->implicit_tls)
		return STEP_CLOSED;
	session_flush(s);
	stream_read(&s->stream, true);
	stream_unread(&s->stream, s->input);
	s->input = SPAN_NONE;
	stream_tls(&s->stream, s->worker->tls, true, NULL);
	return STEP_WAIT;
}

/* Whether the client has talked already, although it must wait for the greeting (RFC 5321 3.1). */
static bool has_talked(struct session *s)
{
	char byte;

	if (s->input.len)
		return true;
	return !s->stream.ssl && recv(s->stream.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static enum step refuse(struct session *s, const struct rule *rule, const struct reply *reply)
{
	audit_refusal(s, rule, reply);
	consequences_of_refusal(s, judge_refusal_blame(s));
	session_tell(s, reply);
	return session_hold(s);
}

/* A rule refuses what the client said, before there is a transaction. */
enum step session_refuse(struct session *s)
{
	const struct rule *rule;
	struct reply reply = judge_refusal(s, &rule);

	shared_speak(s->worker->row, AT_helo, "reject");
	return refuse(s, rule, &reply);
}

/* Instead of a greeting there are 554 (RFC 5321 3.1) and 521 (RFC 7504), whatever the rule says. */
static enum step turn_away(struct session *s)
{
	const struct rule *rule;
	struct reply reply = judge_refusal(s, &rule);

	if (reply.code != 521)
		reply.code = 554;
	session_set_state(s, SESSION_FAREWELL);
	shared_speak(s->worker->row, AT_connect, "reject");
	return refuse(s, rule, &reply);
}

enum step step_greeting(struct session *s)
{
	struct reply greeting = {.code = 220};
	enum judge_status status;
	bool talked;
	char text[300];
	int len;

	if (s->worker->drain >= WORKER_DRAIN_MESSAGES)
		return session_bye(s, 421, "4.3.2", "Going down, try again");
	talked = has_talked(s);
	if (talked && !judge_minds_talk(s))
		return session_bye(s, 554, "5.5.1", "You talked before the greeting");
	status = judge_connect(s);
	if (talked)
		judge_note_talk(s);
	if (status == JUDGE_CERTAIN)
		return turn_away(s);
	if (status == JUDGE_WAIT)
		return session_await_client(s);
	len = snprintf(text, sizeof(text), "%s ESMTP", s->worker->config->hostname);
	greeting.text = span_make(text, (size_t)len);
	session_tell(s, &greeting);
	session_set_state(s, SESSION_COMMAND);
	return STEP_NEXT;
}
