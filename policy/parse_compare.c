/*
 * One comparison: [any|all|no] FIELD [OPERATOR VALUE]. Its form is read here, whatever it means;
 * then parse_operand.c judges the meaning. So a slip in a name or a type costs one message, and
 * what follows is read as if nothing were.
 */
#include "policy/parse.h"

/* --- form --- */

static const struct {
	enum token_kind kind;
	const char *word; /* TOKEN_WORD */
	enum operator op;
} operators[] = {
	{TOKEN_EQUAL, "==", OP_EQUAL},
	{TOKEN_NOT_EQUAL, "!=", OP_NOT_EQUAL},
	{TOKEN_LESS, "<", OP_LESS},
	{TOKEN_LESS_EQUAL, "<=", OP_LESS_EQUAL},
	{TOKEN_GREATER, ">", OP_GREATER},
	{TOKEN_GREATER_EQUAL, ">=", OP_GREATER_EQUAL},
	{TOKEN_TILDE, "~", OP_MATCHES},
	{TOKEN_WORD, "in", OP_IN},
	{TOKEN_WORD, "under", OP_UNDER},
	{TOKEN_WORD, "contains", OP_CONTAINS},
};

static void parse_quantifier(struct parser *p, struct comparison *c)
{
	c->quantifier = QUANTIFIER_ONE;
	if (parser_at(p, "any"))
		c->quantifier = QUANTIFIER_ANY;
	else if (parser_at(p, "all"))
		c->quantifier = QUANTIFIER_ALL;
	else if (parser_at(p, "no"))
		c->quantifier = QUANTIFIER_NO;
	if (c->quantifier != QUANTIFIER_ONE)
		c->quantifier_at = parser_take(p);
}

/* is [not] none */
static bool parse_is(struct parser *p, struct comparison *c)
{
	bool negated;

	c->op_at = parser_take(p);
	negated = parser_accept(p, "not");
	c->op = negated ? OP_IS_NOT_NONE : OP_IS_NONE;
	c->op_name = negated ? "is not none" : "is none";
	if (parser_accept(p, "none"))
		return true;
	return parser_missing(p,
		token_is_value(p->token.kind)
			? HELP(p, "write %.*s %s %.*s", SPAN_ARGS(c->field.at.text),
				  negated ? "!=" : "==", SPAN_ARGS(p->token.text))
			: NULL,
		"`is` is followed by none or not none");
}

/* Whether what stands here ends a comparison: anything but a value. */
static bool ends_comparison(const struct parser *p)
{
	static const char *const words[] = {"and", "or", "when", "unless", "on", "then", "rule"};

	if (p->token.kind == TOKEN_RIGHT_PAREN || p->token.kind == TOKEN_END ||
		p->token.kind == TOKEN_LEFT_BRACE || p->token.kind == TOKEN_RIGHT_BRACE ||
		p->token.kind == TOKEN_ERROR || parser_at_item(p))
		return true;
	for (size_t i = 0; i < COUNT_OF(words); i++)
		if (parser_at(p, words[i]))
			return true;
	return false;
}

static bool parse_missing_operator(struct parser *p, struct comparison *c)
{
	if (p->token.kind == TOKEN_ERROR)
		return parser_missing(p, NULL, "an operator is expected here");
	c->op = OP_TRUE;
	c->op_name = "";
	if (ends_comparison(p))
		return true;
	return parser_mistake(p, &p->token,
		"operators are == != < <= > >= in under contains ~ and `is none`",
		"an operator is missing between `%.*s` and `%.*s`", SPAN_ARGS(p->last.text),
		SPAN_ARGS(p->token.text));
}

static bool parse_operator(struct parser *p, struct comparison *c)
{
	c->op_at = p->token;
	if (parser_at(p, "is"))
		return parse_is(p, c);
	for (size_t i = 0; i < COUNT_OF(operators); i++) {
		if (p->token.kind != operators[i].kind ||
			(p->token.kind == TOKEN_WORD && !parser_at(p, operators[i].word)))
			continue;
		c->op = operators[i].op;
		c->op_name = operators[i].word;
		parser_take(p);
		return true;
	}
	if (p->token.kind == TOKEN_ASSIGN) {
		parser_mistake(p, &p->token, "write ==", "a comparison has two equal signs");
		parser_take(p);
		c->op = OP_EQUAL;
		c->op_name = "==";
		return true;
	}
	return parse_missing_operator(p, c);
}

static bool parse_form(struct parser *p, struct comparison *c)
{
	c->at = p->token;
	parse_quantifier(p, c);
	if (!parse_field(p, FIELD_IN_WHEN, &c->field) || !parse_operator(p, c))
		return false;
	if (c->op == OP_TRUE || c->op == OP_IS_NONE || c->op == OP_IS_NOT_NONE)
		return true;
	return parse_value(p, c->op_name, false, &c->value);
}

struct expr *parse_comparison(struct parser *p)
{
	struct comparison c = {.quantifier = QUANTIFIER_ONE};
	struct test *test;
	struct expr *e;

	if (!parse_form(p, &c))
		return NULL;
	test = arena_alloc(p->arena, sizeof(*test));
	e = expr_new(p, EXPR_TRUE, parser_place(p, &c.at));
	if (!comparison_judge(p, &c, test))
		return e;
	e->kind = EXPR_TEST;
	e->test = test;
	return e;
}
