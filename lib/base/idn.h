/*
 * idn: one domain has several spellings, bücher.example and xn--bcher-kva.example; where domains
 * are compared it is the one in ASCII. What knows how (RFC 5891) lies above this layer and is
 * handed in.
 */
#ifndef BASE_IDN_H
#define BASE_IDN_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/span.h"

/* Adds the domain in ASCII to out; false: there is no such domain, or out is full. */
typedef bool domain_ascii(struct span domain, struct buffer *out);

/* What a text holds: a domain (`*.` and `.` may precede it, as in lists), or a mailbox, whose
 * domain stands behind the last @. */
enum idn_text { IDN_DOMAIN, IDN_MAILBOX };

/* Whether its domain is not in ASCII. */
bool idn_is_wide(enum idn_text what, struct span text);

/* Puts its domain into ASCII; what changes lies in the arena. false: the domain can't be written
 * so; the text stays. */
bool idn_to_ascii(
	enum idn_text what, domain_ascii *ascii, struct span *text, struct arena *arena) MUST_CHECK;

#endif
