#include "lib/base/idn.h"

#include <string.h>

enum { DOMAIN_MAX = 253 };

/* Where the domain begins. */
static size_t find_domain(enum idn_text what, struct span text)
{
	const char *at = what == IDN_MAILBOX && text.len ? memrchr(text.at, '@', text.len) : NULL;
	size_t from = at ? (size_t)(at - text.at) + 1 : what == IDN_MAILBOX ? text.len : 0;

	if (span_starts(span_from(text, from), SPAN("*.")))
		return from + 2;
	return from + span_starts(span_from(text, from), SPAN("."));
}

bool idn_is_wide(enum idn_text what, struct span text)
{
	for (size_t i = find_domain(what, text); i < text.len; i++)
		if ((unsigned char)text.at[i] > 127)
			return true;
	return false;
}

bool idn_to_ascii(enum idn_text what, domain_ascii *ascii, struct span *text, struct arena *arena)
{
	size_t from = find_domain(what, *text), len = text->len;
	struct buffer out = BUFFER_INIT(len + DOMAIN_MAX);
	bool angle, ok;

	if (!idn_is_wide(what, *text))
		return true;
	angle = what == IDN_MAILBOX && text->at[len - 1] == '>';
	ok = buffer_add(&out, span_first(*text, from)) &&
	     ascii(span_from(span_first(*text, len - angle), from), &out) &&
	     (!angle || buffer_add_char(&out, '>'));
	if (ok)
		*text = arena_span(arena, buffer_span(&out));
	buffer_free(&out);
	return ok;
}
