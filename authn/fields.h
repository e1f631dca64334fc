/*
 * fields: a header section by name, from the bottom up, which is how a signature names what it
 * covers (RFC 6376 5.4.2).
 */
#ifndef AUTHN_FIELDS_H
#define AUTHN_FIELDS_H

#include "lib/base/arena.h"
#include "lib/mail/header.h"

enum { FIELDS_MAX = 10000 };

struct fields;

/* In the arena; borrows the section. NULL: it has more than FIELDS_MAX. */
struct fields *fields_new(struct span section, struct arena *arena);

/* All are there to be taken again. */
void fields_rewind(struct fields *fields);

/* The lowest of this name that was not taken yet; NULL: there is none. */
const struct header_field *fields_take(struct fields *fields, struct span name);

#endif
