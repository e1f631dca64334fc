#include "proxy/backend/command.h"

#include <stdio.h>

#include "lib/base/fail.h"
#include "lib/mail/command.h"

/* A value longer than this in XCLIENT or XFORWARD is told as unavailable: names and HELOs that are
 * true are shorter, and a server would cut or refuse the line. */
enum { VALUE_MAX = 150 };

static void put(struct buffer *out, struct span text)
{
	ENSURE(buffer_add(out, text));
}

void backend_command_text(struct buffer *out, const char *line)
{
	put(out, span_text(line));
	put(out, SPAN("\r\n"));
}

void backend_command_hello(struct buffer *out, const char *verb, struct span name)
{
	put(out, span_text(verb));
	put(out, SPAN(" "));
	put(out, name);
	put(out, SPAN("\r\n"));
}

static void put_path(struct buffer *out, struct span verb, const struct address *address)
{
	put(out, verb);
	put(out, address->mailbox);
	put(out, SPAN(">"));
}

static void put_number(struct buffer *out, struct span keyword, uint64_t number)
{
	char digits[24];

	put(out, keyword);
	put(out, span_make(digits, (size_t)snprintf(digits, sizeof(digits), "%llu",
					   (unsigned long long)number)));
}

/* RFC 3461 4.3, 4.4 */
static void put_mail_dsn(struct buffer *out, const struct envelope *envelope)
{
	if (envelope->ret != DSN_RET_NONE)
		put(out, envelope->ret == DSN_RET_FULL ? SPAN(" RET=FULL") : SPAN(" RET=HDRS"));
	if (envelope->envid.len) {
		put(out, SPAN(" ENVID="));
		put(out, envelope->envid);
	}
}

void backend_command_mail(struct buffer *out, const struct envelope *envelope,
	const struct message *message, const struct backend_capabilities *can)
{
	put_path(out, SPAN("MAIL FROM:<"), &envelope->from);
	if (message && can->can & CAN_SIZE)
		put_number(out, SPAN(" SIZE="), message_size(message));
	if (message && can->can & CAN_8BITMIME &&
		(message->eight_bit || envelope->body == MAIL_BODY_8BITMIME))
		put(out, SPAN(" BODY=8BITMIME"));
	if (envelope->smtputf8 && can->can & CAN_SMTPUTF8)
		put(out, SPAN(" SMTPUTF8"));
	if (message && can->can & CAN_DSN)
		put_mail_dsn(out, envelope);
	put(out, SPAN("\r\n"));
}

void backend_command_rcpt(struct buffer *out, const struct recipient *recipient,
	const struct backend_capabilities *can)
{
	put_path(out, SPAN("RCPT TO:<"), &recipient->to);
	if (can->can & CAN_DSN && recipient->notify.len) {
		put(out, SPAN(" NOTIFY="));
		put(out, recipient->notify);
	}
	if (can->can & CAN_DSN && recipient->orcpt.len) {
		put(out, SPAN(" ORCPT="));
		put(out, recipient->orcpt);
	}
	put(out, SPAN("\r\n"));
}

void backend_command_bdat(struct buffer *out, uint64_t size_bytes)
{
	put_number(out, SPAN("BDAT "), size_bytes);
	put(out, SPAN(" LAST\r\n"));
}

/* --- who the client is --- */

/* Room for an address as these commands write it. */
struct value_text {
	char text[IP_TEXT_SIZE + 8];
};

static struct span address_value(const struct ip *ip, struct value_text *room)
{
	char text[IP_TEXT_SIZE];

	if (ip->family == IP_NONE)
		return SPAN_NONE;
	snprintf(room->text, sizeof(room->text), "%s%s", ip->family == IP_V6 ? "IPV6:" : "",
		ip_format(ip, text));
	return span_text(room->text);
}

static struct span port_value(const struct endpoint *endpoint, struct value_text *room)
{
	if (endpoint->ip.family == IP_NONE || endpoint->port == 0)
		return SPAN_NONE;
	snprintf(room->text, sizeof(room->text), "%u", endpoint->port);
	return span_text(room->text);
}

/* Empty: not known. */
static struct span attribute_value(
	const struct client *client, enum client_attribute attribute, struct value_text *room)
{
	switch (attribute) {
	case ATTRIBUTE_NAME:
		return client->name;
	case ATTRIBUTE_ADDR:
		return address_value(&client->remote.ip, room);
	case ATTRIBUTE_PORT:
		return port_value(&client->remote, room);
	case ATTRIBUTE_PROTO:
		return client->esmtp ? SPAN("ESMTP") : SPAN("SMTP");
	case ATTRIBUTE_HELO:
		return client->helo;
	case ATTRIBUTE_LOGIN:
		return client->login;
	case ATTRIBUTE_DESTADDR:
		return address_value(&client->local.ip, room);
	case ATTRIBUTE_DESTPORT:
		return port_value(&client->local, room);
	case ATTRIBUTE_SOURCE:
		return SPAN("REMOTE");
	case ATTRIBUTE_COUNT:
		break;
	}
	return SPAN_NONE;
}

static void put_attributes(struct buffer *out, const struct client *client, unsigned attributes)
{
	for (unsigned i = 0; i < ATTRIBUTE_COUNT; i++) {
		struct value_text room;
		struct span value;

		if (!(attributes & 1U << i))
			continue;
		value = attribute_value(client, i, &room);
		put(out, SPAN(" "));
		put(out, span_text(client_attribute_name(i)));
		put(out, SPAN("="));
		if (value.len == 0 || value.len > VALUE_MAX)
			put(out, SPAN("[UNAVAILABLE]"));
		else
			ENSURE(xtext_encode(value, out));
	}
	put(out, SPAN("\r\n"));
}

void backend_command_xclient(struct buffer *out, const struct client *client, unsigned attributes)
{
	put(out, SPAN("XCLIENT"));
	put_attributes(out, client, attributes & ~(1U << ATTRIBUTE_SOURCE));
}

void backend_command_xforward(struct buffer *out, const struct client *client, unsigned attributes,
	enum xforward_part part)
{
	put(out, SPAN("XFORWARD"));
	put_attributes(out, client, attributes & (unsigned)part);
}
