/*
 * list_item: what an item of each type may look like, and the part of it that is compared. Both
 * work on the item as written, so that a list keeps one text for each.
 */
#ifndef POLICY_LIST_ITEM_H
#define POLICY_LIST_ITEM_H

#include "policy/list.h"

/* Whether it is a domain, mail address, text or hash as the type says; err says why not. */
bool list_item_check(enum list_type type, struct span item, struct err *err) MUST_CHECK;

/* As above for LIST_CIDR and LIST_IP. mended: host bits were set; err says what became of it. */
bool list_item_network(enum list_type type, struct span item, struct cidr *network, bool *mended,
	struct err *err) MUST_CHECK;

/* The part of a good item that is compared: no angle brackets, no `*` at the front, no dot at a
 * domain's end. A domain or an address that is looked up goes through here as well. */
struct span list_item_key(enum list_type type, struct span item);

/* How long the item is that a line of a file begins with, if it stands without quotes: to a `;`, a
 * `#` or a blank. In a mail address `#` is a letter, in a text blanks are, and `#` behind none; a
 * quoted local part holds anything. */
size_t list_item_length(enum list_type type, struct span line);

/* Labels of a key of LIST_DOMAIN. */
unsigned list_item_labels(struct span domain);

#endif
