/*
 * rules: rule files as they were read: lists, rules, tests, with every name resolved and every type
 * checked, and where each stands. Immutable; lives in one arena with all that it points to.
 *
 * Whether an expression is true is a matter of three values, so nothing here is computed when read:
 * evaluate.h walks the trees.
 */
#ifndef POLICY_RULES_H
#define POLICY_RULES_H

#include "lib/base/arena.h"
#include "policy/facts.h"
#include "policy/list.h"
#include "policy/pattern.h"

struct text; /* a text with {fields} (text.h) */

/* A place in a rule file. */
struct place {
	const char *file;
	unsigned line, column;
};

/* --- what a rule reads --- */

/* A fact as some rule reads it, with its parameters: each distinct one is a slot, a place for its
 * value. Slots are numbered within their stage. */
struct slot {
	const struct fact *fact;
	size_t source;            /* in the registry */
	const char *text;         /* of NAME("text"), of a family the word behind the dot; NULL */
	const struct slot *field; /* of NAME(FIELD); NULL */
	const struct rule_list *list; /* a dnsbl list looked up with `field`; NULL */
	uint64_t window_ms;           /* of rate(FIELD) against N/TIME; 0 */
	enum stage stage;             /* the fact's own, or the field's where that is later */
	unsigned index;               /* within the stage */
	unsigned number;              /* among all */
	bool unread;                  /* no rule reads it: it is there for rule_setup.keeps */
	const char *name;             /* as an admin would write it */
};

/* --- lists --- */

enum list_origin { LIST_LITERAL, LIST_FILE, LIST_STORE, LIST_DNSBL };

struct rule_list {
	const char *name;
	struct place place;
	enum list_type type;
	enum list_origin origin;
	const char *from;       /* file, store list or zone */
	struct list *content;   /* LITERAL and FILE (owned by the arena); NULL for the others */
	struct ip_range *codes; /* DNSBL: answers that mean listed; none given: 127.0.0.0/8 */
	size_t n_codes;
	bool used;
};

/* --- expressions --- */

enum expr_kind { EXPR_AND, EXPR_OR, EXPR_NOT, EXPR_TEST, EXPR_TRUE };
enum quantifier { QUANTIFIER_ONE, QUANTIFIER_ANY, QUANTIFIER_ALL, QUANTIFIER_NO };
enum operator{
	OP_TRUE, /* a boolean fact alone */
	OP_EQUAL,
	OP_NOT_EQUAL,
	OP_LESS,
	OP_LESS_EQUAL,
	OP_GREATER,
	OP_GREATER_EQUAL,
	OP_IN,
	OP_UNDER,
	OP_CONTAINS,
	OP_MATCHES,
	OP_IS_NONE,
	OP_IS_NOT_NONE
};

/* What a fact is compared with. */
enum operand_kind {
	OPERAND_NONE,
	OPERAND_DATUM,   /* one value of the fact's type */
	OPERAND_CIDR,    /* one network: client.ip in 192.0.2.0/24 */
	OPERAND_DATA,    /* a set of numbers, choices or booleans */
	OPERAND_RANGES,  /* a set of ranges of addresses */
	OPERAND_LIST,    /* texts, domains, mailboxes, networks: a literal set or @LIST */
	OPERAND_PATTERN, /* a regex; or a set of them in `patterns` */
	OPERAND_LISTED   /* the slot is a dnsbl lookup: true if it has any value */
};

/* Facts that are no slots: they follow from the rules themselves. */
enum verdict_fact { VERDICT_NO, VERDICT_SCORE, VERDICT_TAGS };

struct test {
	enum verdict_fact verdict; /* VERDICT_NO: reads `slot` */
	const struct slot *slot;
	enum fact_type type;
	enum quantifier quantifier;
	enum operator op;
	enum operand_kind operand;
	union fact_datum datum; /* texts in lower case */
	struct cidr cidr;
	const union fact_datum *data;
	const struct ip_range *ranges;
	size_t n; /* of data, ranges or patterns */
	const struct rule_list *list;
	struct pattern *const *patterns;
	int64_t score; /* VERDICT_SCORE: the datum in SCORE_UNITs */
	unsigned memo; /* policy_new: where evaluations remember how it came out; 0: nowhere */
};

struct expr {
	enum expr_kind kind;
	struct expr *first; /* AND, OR, NOT */
	struct expr *next;  /* the sibling */
	struct test *test;  /* EXPR_TEST */
	struct place place;
};

/* --- actions --- */

/* X(NAME, word): the final ones first */
#define ACTIONS(X)                                                                                 \
	X(ACCEPT, "accept")                                                                        \
	X(REJECT, "reject")                                                                        \
	X(DEFER, "defer")                                                                          \
	X(GREYLIST, "greylist")                                                                    \
	X(QUARANTINE, "quarantine")                                                                \
	X(DISCARD, "discard")                                                                      \
	X(SCORE, "score")                                                                          \
	X(TAG, "tag")                                                                              \
	X(HEADER_ADD, "header add")                                                                \
	X(HEADER_SET, "header set")                                                                \
	X(HEADER_REMOVE, "header remove")                                                          \
	X(SUBJECT_PREFIX, "subject prefix")                                                        \
	X(DELAY, "delay")                                                                          \
	X(ROUTE, "route")                                                                          \
	X(ADD, "add")

enum action_kind {
#define X(name, word) ACTION_##name,
	ACTIONS(X)
#undef X
		ACTION_COUNT
};

static inline bool action_is_final(enum action_kind kind)
{
	return kind <= ACTION_DISCARD;
}

const char *action_name(enum action_kind kind);

/* Scores are counted exactly, in thousandths. */
enum { SCORE_UNIT = 1000 };

struct action {
	enum action_kind kind;
	struct action *next;
	struct place place;
	bool now;            /* REJECT */
	uint16_t code;       /* REJECT, DEFER: always set, the default where none was written */
	char enhanced[12];   /* likewise */
	bool code_given;     /* as written */
	bool enhanced_given; /* likewise */
	struct text *text;   /* reply, "why", a tag, a header's value, a prefix; NULL: none */
	const char *name;    /* HEADER_*: the field; ROUTE: the backend */
	int64_t score;       /* SCORE, in SCORE_UNITs */
	uint64_t time_ms;    /* GREYLIST, DELAY, ADD; of ADD 0: for good */
	const struct slot *field;     /* ADD */
	const struct rule_list *list; /* ADD */
};

/* --- rules and tests --- */

enum rule_mode { RULE_ON, RULE_MONITOR, RULE_OFF };
enum on_error { ON_ERROR_SKIP, ON_ERROR_DEFER };

struct rule {
	const char *name;
	struct place place;
	unsigned index; /* in order of reading */
	enum rule_mode mode;
	enum on_error on_error;
	struct expr *when; /* all `for`, `when` and `unless` around and in it, joined; NULL: always
			    */
	struct action *actions;    /* in order */
	struct action *final;      /* the final one among them; NULL: none */
	const struct slot **slots; /* all that `when` reads, each once */
	unsigned n_slots;
	const struct slot **text_slots; /* all that its texts and `add` read */
	unsigned n_text_slots;
	bool reads_score; /* `when` does, itself or through tags */
	bool reads_tags;
	bool scores; /* some action is `score`; off and monitor rules don't count */
	bool text_reads_score;
	bool text_reads_tags;
};

struct rule_test_value {
	struct place place;
	const struct fact *fact; /* NULL: a list is replaced */
	const struct slot *slot; /* the slot that gets the value; NULL: no rule reads it */
	struct fact_value value;
	struct rule_list *list; /* `with @list = { }` */
	struct list *content;   /* its items in this test */
	struct rule_test_value *next;
};

struct rule_test {
	const char *name;
	struct place place;
	struct rule_test_value *values;
	struct action *expect; /* one or several */
	const char *by;        /* NULL: any rule */
	struct rule_test *next;
};

struct rules {
	struct arena *arena; /* owned; holds this struct too */
	const struct fact_registry *registry;
	struct rule **items;
	size_t n;
	struct rule_list **lists;
	size_t n_lists;
	struct slot **slots; /* by number */
	size_t n_slots;
	unsigned n_at[STAGE_COUNT]; /* slots of each stage */
	struct rule_test *tests;
	size_t n_tests;
};

#endif
