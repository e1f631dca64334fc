/*
 * The trace field that we put before a message (RFC 5321 4.4). What a HELO may hold is wider than
 * what a field may hold: a name that is neither a domain nor a literal goes into a comment, made
 * harmless.
 */
#include "lib/base/fail.h"
#include "lib/mail/header.h"
#include "proxy/session/session.h"

enum { HELO_SHOWN_MAX = 255 };

/* Inside a comment only plain characters stand; parentheses, backslashes and quotes would change
 * its meaning. */
static void add_harmless(struct buffer *out, struct span text)
{
	text = span_first(text, HELO_SHOWN_MAX);
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];
		bool plain = c >= ' ' && c <= '~' && c != '(' && c != ')' && c != '\\' && c != '"';

		ENSURE(buffer_add_char(out, plain ? c : '?'));
	}
}

static void add_from(struct buffer *out, const struct client *client)
{
	bool named = domain_valid(client->helo, false) || literal_valid(client->helo, NULL);
	char ip[IP_TEXT_SIZE];

	ENSURE(buffer_print(
		out, "Received: from %.*s", SPAN_ARGS(named ? client->helo : SPAN("unknown"))));
	ENSURE(buffer_add_text(out, " ("));
	if (client->name.len && domain_valid(client->name, false))
		ENSURE(buffer_print(out, "%.*s ", SPAN_ARGS(client->name)));
	ip_format(&client->remote.ip, ip);
	ENSURE(client->remote.ip.family == IP_NONE
			? buffer_add_text(out, "unknown")
			: buffer_print(out, "[%s%s]",
				  client->remote.ip.family == IP_V6 ? "IPv6:" : "", ip));
	ENSURE(buffer_add_char(out, ')'));
	if (!named && client->helo.len) {
		ENSURE(buffer_add_text(out, "\r\n\t(helo="));
		add_harmless(out, client->helo);
		ENSURE(buffer_add_char(out, ')'));
	}
}

/* RFC 3848 and RFC 6531 4.3. */
static const char *protocol(const struct client *client, const struct envelope *envelope)
{
	if (envelope->smtputf8)
		return client->tls ? "UTF8SMTPS" : "UTF8SMTP";
	if (!client->esmtp)
		return "SMTP";
	return client->tls ? "ESMTPS" : "ESMTP";
}

void received_add(struct transaction *t)
{
	const struct session *s = t->session;
	const struct config *config = s->worker->config;
	struct stream_tls_info tls = stream_tls_info(&s->stream);
	struct buffer *out = &t->message.prefix;
	char date[HEADER_DATE_SIZE];

	add_from(out, &s->client);
	ENSURE(buffer_print(out, "\r\n\tby %s with %s id %.*s", config->hostname,
		protocol(&s->client, &t->envelope), SPAN_ARGS(t->tid)));
	if (tls.version)
		ENSURE(buffer_print(out, "\r\n\t(%s %s)", tls.version, tls.cipher));
	/* With several recipients the field would tell one of the others (RFC 5321 7.2). */
	if (t->envelope.n_recipients == 1)
		ENSURE(buffer_print(
			out, "\r\n\tfor <%.*s>", SPAN_ARGS(t->envelope.recipients->to.mailbox)));
	header_date(clock_wall_ms(&s->worker->loop->clock), date);
	ENSURE(buffer_print(out, ";\r\n\t%s\r\n", date));
}
