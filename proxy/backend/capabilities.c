#include "proxy/backend/capabilities.h"

static const struct {
	struct span keyword;
	enum backend_capability can;
} keywords[] = {
	{SPAN("PIPELINING"), CAN_PIPELINING},
	{SPAN("SIZE"), CAN_SIZE},
	{SPAN("8BITMIME"), CAN_8BITMIME},
	{SPAN("SMTPUTF8"), CAN_SMTPUTF8},
	{SPAN("DSN"), CAN_DSN},
	{SPAN("CHUNKING"), CAN_CHUNKING},
	{SPAN("STARTTLS"), CAN_STARTTLS},
	{SPAN("ENHANCEDSTATUSCODES"), CAN_ENHANCED_CODES},
	{SPAN("XCLIENT"), CAN_XCLIENT},
	{SPAN("XFORWARD"), CAN_XFORWARD},
};

static const struct span attribute_names[] = {
#define X(name) SPAN(#name),
	CLIENT_ATTRIBUTES(X)
#undef X
};

const char *client_attribute_name(enum client_attribute attribute)
{
	return attribute_names[attribute].at;
}

static unsigned parse_attributes(struct span rest)
{
	unsigned bits = 0;

	for (struct span word = span_word(&rest); word.len; word = span_word(&rest))
		for (size_t i = 0; i < ATTRIBUTE_COUNT; i++)
			if (span_equal_nocase(word, attribute_names[i]))
				bits |= 1U << i;
	return bits;
}

static void parse_line(struct backend_capabilities *c, struct span line)
{
	struct span keyword = span_word(&line);
	uint64_t size_max;

	for (size_t i = 0; i < COUNT_OF(keywords); i++) {
		if (!span_equal_nocase(keyword, keywords[i].keyword))
			continue;
		c->can |= (unsigned)keywords[i].can;
		if (keywords[i].can == CAN_SIZE &&
			span_number(span_word(&line), INT64_MAX, &size_max))
			c->size_max = size_max;
		else if (keywords[i].can == CAN_XCLIENT)
			c->xclient = parse_attributes(line);
		else if (keywords[i].can == CAN_XFORWARD)
			c->xforward = parse_attributes(line);
	}
}

struct backend_capabilities backend_capabilities_parse(struct span text)
{
	struct backend_capabilities c = {0};

	for (size_t end = span_find_char(text, '\n'); end < text.len;) {
		text = span_from(text, end + 1);
		end = span_find_char(text, '\n');
		parse_line(&c, span_first(text, end));
	}
	return c;
}
