/*
 * spf_name: names of DNS, as SPF comes by them: written by whoever sends mail, or left over when
 * macros are expanded. What can be asked for is put into the usual form (lib/authn/answer.h).
 */
#ifndef AUTHN_SPF_NAME_H
#define AUTHN_SPF_NAME_H

#include <stdbool.h>

#include "lib/base/arena.h"
#include "lib/base/attributes.h"
#include "lib/base/ip.h"
#include "lib/base/span.h"

enum { SPF_NAME_MAX = 253, SPF_LABEL_MAX = 63 };

/* false: no such name can be asked for (RFC 1035 2.3.4: a label is empty or longer than 63 bytes,
 * the whole longer than 253), or it is not in ASCII (RFC 8616 4). A dot at the end is no label. The
 * text lies in the arena. */
bool spf_name_usual(struct span name, struct arena *arena, struct span *usual) MUST_CHECK;

/* Whether it is that name, or lies below it. Both in the usual form. */
bool spf_name_is_under(struct span name, struct span top);

/* The name to ask for an address's names (RFC 1035 3.5, RFC 3596 2.5). */
struct span spf_name_of_address(const struct ip *ip, struct arena *arena);

#endif
