/* visible: what strangers wrote, for a terminal: nothing in it moves the cursor or changes a
 * colour. */
#ifndef ADMIN_VISIBLE_H
#define ADMIN_VISIBLE_H

#include <stdio.h>

#include "lib/base/arena.h"

/* For one line: control characters (C1 too) and what is not UTF-8 are '?'. */
const char *visible_line(struct arena *arena, struct span text);

/* A part of a longer text; line ends and tabs stay. A character that a part ends within is '?'. */
void visible_print(struct span part, FILE *out);

#endif
