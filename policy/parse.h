/*
 * parse: the state of the reader of rule files and what its parts know of each other. Private to
 * read.c, parser.c and parse_*.c.
 *
 *     read.c           files, includes, what stands at the top of a file
 *     parser.c         tokens, mistakes, and how reading goes on behind one
 *     parse_rule.c     rules and `for`
 *     parse_expr.c     and, or, not, parentheses
 *     parse_compare.c  one comparison: a field, an operator and what it is compared with
 *     parse_operand.c  whether these fit each other, and the test that comes of it
 *     parse_value.c    values and sets of them, for each type of fact
 *     parse_field.c    what a field names; slots
 *     parse_action.c   actions
 *     parse_list.c     lists
 *     parse_test.c     tests
 *     text.c           texts with {fields}
 *
 * Two kinds of mistakes are told apart. Where the *form* is broken a function returns false and the
 * rule is skipped up to its closing brace, since nothing is known of what follows. Where only the
 * *meaning* is (an unknown fact, a value out of range), all tokens have been taken, so reading goes
 * on and the next mistake in the same rule is told too.
 *
 * All names are collected from the tokens of all files before the first rule is read (read.c), so
 * that what a rule may do with a list is known where the rule stands.
 */
#ifndef POLICY_PARSE_H
#define POLICY_PARSE_H

#include "policy/diagnostic.h"
#include "policy/names.h"
#include "policy/read.h"
#include "policy/rules.h"
#include "policy/text.h"

enum {
	MISTAKES_MAX = 100,
	NESTING_MAX = 64,   /* of expressions, of `for` */
	INCLUDES_MAX = 10,  /* one inside the other */
	EXPR_MAX = 2000000, /* nodes in all rules: `for` copies its own into each */
	SET_ITEMS_MAX = 1000000,
	ID_MAX = 64,     /* bytes of a name of a rule or list */
	REPLY_MAX = 400, /* bytes of a reply's text, as written */
	WHY_MAX = 400,
	HEADER_VALUE_MAX = 900,
	PREFIX_MAX = 200,
	TAG_MAX = 64
};

enum file_state { FILE_NEW, FILE_OPEN, FILE_DONE };

/* A rule file. */
struct rule_file {
	const char *path;
	struct span content;
	const char *problem; /* why it can't be read; NULL */
	enum file_state state;
	unsigned scanned_at;   /* the fewest includes around it so far, plus 1; 0: not scanned */
	struct place included; /* line 0: named by the caller */
};

/* A list that some file declares. Rules may speak of it before its declaration is read. */
struct declared_list {
	struct rule_list *list;
	bool read;    /* its declaration was */
	bool unknown; /* its type or origin is no word of the language: uses are not judged */
};

/* A rule that some file has. Tests may speak of it before it is read. */
struct declared_rule {
	bool read;
	struct place place; /* once read */
};

/* A slot with what finds it again. */
struct slot_entry {
	struct slot slot;
	struct slot_entry *same; /* the same field with another window */
	unsigned in_when;        /* the last rule that has it among its slots, as index + 1 */
	unsigned in_texts;       /* likewise */
};

/* An array that grows in the scratch arena. */
struct slot_array {
	const struct slot **items;
	size_t n;
};

/* What `for` around a rule asks; the inner one names the outer. */
struct around {
	const struct expr *when; /* NULL: it had a mistake */
	const struct around *outer;
	unsigned depth;
};

/* A given value of a test: which slots it is for is known when all rules are read. */
struct given {
	struct rule_test_value *value;
	const char *key;    /* as slot_key without a window */
	uint64_t window_ms; /* of a given rate; 0: any */
	struct given *next;
};

struct parser {
	const struct rule_setup *setup;
	const struct rule_source *source;
	struct rules *rules;
	struct arena *arena;   /* that of the rules */
	struct arena *scratch; /* gone when all is read */

	struct diagnostics diagnostics; /* of the file in hand; the counts are of all */
	struct lexer lexer;
	struct token token; /* the next one */
	struct token last;  /* the one taken last */
	unsigned depth;     /* braces that are open */
	bool stopped;       /* too many mistakes */
	const char *path;   /* of the file in hand; in the arena */

	struct names files;         /* path -> struct rule_file */
	struct names rule_names;    /* name -> struct declared_rule */
	struct names list_names;    /* name -> struct declared_list */
	struct names facts;         /* word -> struct known_fact */
	struct names slots;         /* slot_key -> struct slot_entry */
	struct names slot_families; /* the same without window -> the first of them */

	const struct around *around; /* NULL: no `for` is open */
	struct rule *rule;           /* in hand; NULL */
	struct slot_array when_slots;
	struct slot_array text_slots;
	bool expecting; /* an action is read that a test expects */
	size_t n_exprs;
	unsigned nesting;
	bool tags_read_score; /* some tag so far hangs on the score */
	struct rule_test **tests_end;
	struct rule_test_value **values_end; /* of the test in hand */
	struct names given_names;            /* of the test in hand: slot_key with the window */
	struct given *givens;
	struct given **givens_end;
};

/* --- tokens and mistakes (parser.c) --- */

struct token parser_take(struct parser *p);

/* The token behind the next one. */
struct token parser_peek(const struct parser *p);

/* Whether the next token is this bare word. */
bool parser_at(const struct parser *p, const char *word);
bool parser_accept(struct parser *p, const char *word);
bool parser_accept_mark(struct parser *p, enum token_kind kind);

/* Tells of a mistake and returns false. help may be NULL. */
bool parser_mistake(struct parser *p, const struct token *at, const char *help, const char *format,
	...) PRINTF_LIKE(4, 5);
void parser_warning(struct parser *p, const struct token *at, const char *help, const char *format,
	...) PRINTF_LIKE(4, 5);

/* Behind a mistake that something else told of: stops after too many. */
void parser_count(struct parser *p);

/* As parser_mistake, where something is missing before the next token: told there, or behind the
 * last one at the end of a line; where the next one has no place: told at it. If it is a
 * TOKEN_ERROR, what it says is told instead. */
bool parser_missing(struct parser *p, const char *help, const char *format, ...) PRINTF_LIKE(3, 4);
bool parser_misplaced(struct parser *p, const char *help, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* "did you mean `x`?", NULL for NULL. */
const char *parser_suggest(struct parser *p, const char *nearest);

/* "first in FILE:LINE". */
const char *parser_first_at(struct parser *p, const struct place *place);

/* A help in the scratch arena. */
#define HELP(p, ...) arena_print((p)->scratch, __VA_ARGS__)

struct place parser_place(const struct parser *p, const struct token *at);

/* "a word", "a text". */
const char *token_kind_name(enum token_kind kind);

/* `{` of what is named; false: told. */
bool parser_take_open(struct parser *p, const char *what);

/* A name for a rule, list or backend; NULL: told. In the arena. */
const char *parser_take_id(struct parser *p, const char *what, const char *example);

/* Whether an item of the top level begins at the start of a line here: then a } is missing. */
bool parser_at_item(const struct parser *p);

/* Behind a mistake: goes on behind the block that was opened at this depth, or is yet to be. */
void parser_recover(struct parser *p, unsigned depth);

/* Appends room for one item to an array in an arena; zeroed. */
void *parser_append(struct arena *arena, void *array, size_t *count, size_t item_size);

/* --- values (parse_value.c) --- */

/* What stands on the right of an operator. */
struct value {
	struct token at;     /* the value, or the { of a set */
	struct token *items; /* of a set, in scratch; otherwise `at` alone */
	size_t n;
	bool is_set;
};

/* A value or a set. owner: what it is for, for mistakes. */
bool parse_value(struct parser *p, const char *owner, bool may_be_empty, struct value *out);

/* A token as value of a fact; false: told, with `owner` as what needs it. */
bool value_datum(struct parser *p, const struct fact *fact, const char *owner,
	const struct token *at, union fact_datum *out);

/* A TOKEN_NUMBER as score, in SCORE_UNITs; false: told. */
bool value_score(struct parser *p, const struct token *at, unsigned max, int64_t *out);

/* An address, network or range as range; false: told. */
bool value_range(struct parser *p, const char *owner, const struct token *at, struct ip_range *out);

/* An empty list that goes with the arena of the rules; NULL: told. */
struct list *value_new_list(struct parser *p, enum list_type type, const struct token *at);

/* A nameless list of the items; NULL: told. */
struct list *value_list(struct parser *p, enum list_type type, const struct value *value);

/* --- fields and slots (parse_field.c) --- */

struct field {
	struct token at;         /* its name */
	const struct fact *fact; /* NULL: unknown, told already */
	enum verdict_fact verdict;
	size_t source;
	const char *text;         /* of NAME("text"), of a family; NULL */
	const struct slot *field; /* of NAME(FIELD); NULL */
	bool many;
	bool is_rate;
	const char *name; /* as an admin writes it, in scratch */
};

enum field_use { FIELD_IN_WHEN, FIELD_IN_TEST };

/* A field and its parameters. true with out->fact NULL: its meaning is broken, and told. */
bool parse_field(struct parser *p, enum field_use use, struct field *out);

/* A plain one, of an address, domain, mail address or text: for `add` and rate(). */
bool parse_plain_field(struct parser *p, const char *owner, struct field *out);

bool fact_known(struct parser *p, struct span name);

/* Finds a fact by its name for a text or a field; complains at `at`. */
bool field_find(struct parser *p, const struct token *at, struct span name, struct field *out);

/* The fact with the domain of a mail address: "mail.domain" of mail.from. NULL: there is none. */
const char *field_domain(struct parser *p, const struct fact *fact);

const struct slot *slot_of(struct parser *p, const struct field *field, uint64_t window_ms);

/* Those of rule_setup.keeps, when all rules are read. */
void slots_keep(struct parser *p);

/* The slot of looking a field up in a dnsbl list; NULL: told. */
const struct slot *slot_listed(struct parser *p, const struct field *field, const struct token *at,
	struct rule_list *list);

/* What all slots of a field have in common, in scratch. */
const char *slot_key(struct parser *p, const struct field *field);

void slots_add_when(struct parser *p, const struct slot *slot);
void slots_add_text(struct parser *p, const struct slot *slot);

/* --- expressions --- */

/* What was written, before it is judged. */
struct comparison {
	struct token at; /* the first token */
	enum quantifier quantifier;
	struct token quantifier_at;
	struct field field;
	enum operator op;
	struct token op_at;
	const char *op_name;
	struct value value; /* of operators that take one */
};

/* parse_compare.c; NULL: the form is broken. A broken meaning is EXPR_TRUE. */
struct expr *parse_comparison(struct parser *p);

/* parse_operand.c: judges it and fills the test in; false: told. */
bool comparison_judge(struct parser *p, const struct comparison *c, struct test *test);

/* parse_expr.c */
struct expr *parse_expr(struct parser *p);
struct expr *expr_new(struct parser *p, enum expr_kind kind, struct place place);
struct expr *expr_not(struct parser *p, struct expr *inner);

/* Puts a copy of the tree at the end of the terms of an AND, term by term if it is an AND itself;
 * returns the new end. */
struct expr **expr_join(struct parser *p, struct expr **end, const struct expr *more);

/* --- lists (parse_list.c) --- */

bool parse_list(struct parser *p);

/* The declared list that a TOKEN_LIST names; NULL: told. fact: what is looked up in it; NULL: not
 * known. */
struct declared_list *list_named(struct parser *p, const struct token *at, const struct fact *fact);

/* Whether values of the field can be looked up in (or added to) the list; false: told. */
bool list_fits(struct parser *p, const struct token *at, const struct field *field,
	const struct rule_list *list);

bool list_origin_find(struct span word, enum list_origin *out);

/* --- the rest --- */

bool parse_rule(struct parser *p);
bool parse_for(struct parser *p);
bool parse_test(struct parser *p);
void tests_settle(struct parser *p);

/* Whether only texts know such a name: {list.reason}. */
bool text_own_field(struct span name);

/* One action, appended by the caller; NULL: the form is broken. */
struct action *parse_action(struct parser *p);

/* A text from a TOKEN_STRING; what is wrong is told, and the text is there all the same. */
struct text *parse_text(
	struct parser *p, const struct token *at, const char *owner, size_t max_bytes);

/* A text without fields, for what a reply says by default. */
struct text *text_plain(struct parser *p, const char *words);

/* Words and a field behind them, for the rule in hand. */
struct text *text_before(struct parser *p, const char *words, const struct slot *slot);

#endif
