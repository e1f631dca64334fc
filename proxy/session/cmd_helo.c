/*
 * HELO and EHLO (RFC 5321 4.1.1.1). Whatever printable name a client gives is taken: rules judge
 * it. Offered is what we do ourselves, and of what needs the backend what all backends have.
 */
#include "lib/base/fail.h"
#include "proxy/session/session.h"

enum { HELO_MAX = 255, EHLO_TEXT_MAX = 1024 };

static bool take_name(struct session *s, struct span name)
{
	if (name.len == 0) {
		session_say(s, 501, "5.5.4", "A host name is needed");
		return false;
	}
	if (name.len > HELO_MAX || !text_printable(name)) {
		session_say(s, 501, "5.5.4", "The host name is too long or not printable");
		return false;
	}
	/* The first one of a session, or of its part under TLS, is no junk. */
	if (s->helo_given && session_junk(s))
		return false;
	session_take_helo(s, name);
	session_set_state(s, SESSION_COMMAND); /* from now on timeouts.command counts */
	return true;
}

/* As if it had not been said; but one that goes on trying names is junk. */
static enum step refuse_name(struct session *s)
{
	s->helo_given = false;
	return session_junk(s) ? STEP_NEXT : session_refuse(s);
}

enum step cmd_helo(struct session *s, struct span argument)
{
	if (!take_name(s, argument))
		return STEP_NEXT;
	s->client.esmtp = false;
	if (judge_helo(s) == JUDGE_CERTAIN)
		return refuse_name(s);
	return session_say(s, 250, "", s->worker->config->hostname);
}

static void offer(struct buffer *text, const char *line)
{
	ENSURE(buffer_add_char(text, '\n') && buffer_add_text(text, line));
}

static bool offers_starttls(const struct session *s)
{
	return s->listen->tls == LISTEN_TLS_STARTTLS && !s->client.tls && s->worker->tls;
}

/* Our own limit, or the backend's where it is lower (RFC 1870 4). */
static uint64_t size_offered(const struct session *s, const struct backend_features *features)
{
	uint64_t ours = s->worker->config->limits.message;

	return features->size_max && features->size_max < ours ? features->size_max : ours;
}

enum step cmd_ehlo(struct session *s, struct span argument)
{
	const struct config *config = s->worker->config;
	struct backend_features features = backends_features(s->worker->backends);
	struct buffer text = BUFFER_INIT(EHLO_TEXT_MAX);
	struct reply reply = {.code = 250};

	if (!take_name(s, argument))
		return STEP_NEXT;
	s->client.esmtp = true;
	if (judge_helo(s) == JUDGE_CERTAIN)
		return refuse_name(s);
	ENSURE(buffer_add_text(&text, config->hostname));
	offer(&text, "PIPELINING");
	ENSURE(buffer_print(&text, "\nSIZE %llu", (unsigned long long)size_offered(s, &features)));
	if (offers_starttls(s))
		offer(&text, "STARTTLS");
	if (features.eight_bit)
		offer(&text, "8BITMIME");
	if (features.smtputf8)
		offer(&text, "SMTPUTF8");
	if (features.dsn)
		offer(&text, "DSN");
	offer(&text, "ENHANCEDSTATUSCODES");
	offer(&text, "CHUNKING");
	offer(&text, "PRDR");
	ENSURE(buffer_print(
		&text, "\nLIMITS RCPTMAX=%u", features.lmtp ? 1 : config->limits.recipients));
	if (cidr_set_contains(&s->listen->xclient_from, &s->peer_address.ip))
		offer(&text, "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT");
	reply.text = buffer_span(&text);
	session_tell(s, &reply);
	buffer_free(&text);
	return STEP_NEXT;
}
