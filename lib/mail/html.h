/*
 * html: what an HTML part shows as text, and where it leads. A tokenizer after the HTML standard's
 * (13.2.5) that builds no tree: it gets through anything in one pass, without memory of its own.
 */
#ifndef MAIL_HTML_H
#define MAIL_HTML_H

#include <stdbool.h>

#include "lib/base/buffer.h"
#include "lib/base/span.h"

struct html_reader {
	/* Adds the visible text: UTF-8, blanks run together, a line for each block; NULL: not
	 * wanted. Borrowed. What has no room is left out. */
	struct buffer *text;
	/* Told each attribute that names an address, its character references decoded, otherwise
	 * as it stands; NULL: not wanted. The span is borrowed for the call. */
	void (*link)(void *context, struct span address);
	void *context;
	bool cut; /* set when the text did not fit */
};

/* The longest attribute value that is looked at, in bytes; what is longer is cut. */
enum { HTML_VALUE_MAX = 8 * 1024 };

/* html: valid UTF-8. */
void html_read(struct html_reader *reader, struct span html);

/* The charset that a <meta> near the top names; SPAN_NONE: none. Borrowed from html. */
struct span html_charset(struct span html);

#endif
