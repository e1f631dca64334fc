/*
 * text: what an admin wrote with {fields} in it: `"Blocked: {list.reason}"`. A field is any fact,
 * or one of what only a rule knows. `{{` stands for a brace.
 */
#ifndef POLICY_TEXT_H
#define POLICY_TEXT_H

#include "policy/rules.h"

enum text_field {
	TEXT_LITERAL,
	TEXT_SLOT,        /* {mail.from}, {header("X-A")}, {spf.explanation} */
	TEXT_SCORE,       /* {score} */
	TEXT_TAGS,        /* {tags} */
	TEXT_LIST_REASON, /* {list.reason}, {list.item}: of the list that matched in this rule */
	TEXT_LIST_ITEM,
	TEXT_RULE, /* {rule}: its name */
	TEXT_SID   /* {sid} */
};

struct text_part {
	enum text_field field;
	struct span literal;
	const struct slot *slot;
	struct text_part *next;
};

struct text {
	struct span source; /* as written, unescaped */
	struct text_part *first;
};

#endif
