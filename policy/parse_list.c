/*
 * Lists: list NAME : TYPE { ... } or from file, store or dnsbl. read.c has found all names and
 * types before; here the declaration is judged and the items are read.
 */
#include "policy/parse.h"

static const char *const origins[] = {
	[LIST_FILE] = "file", [LIST_STORE] = "store", [LIST_DNSBL] = "dnsbl"};

#define LIST_EXAMPLE "list forwarders : cidr { 192.0.2.0/24 }"

enum { STORE_NAME_MAX = 64, ZONE_MAX = 200 };

bool list_origin_find(struct span word, enum list_origin *out)
{
	for (int i = LIST_FILE; i <= LIST_DNSBL; i++) {
		if (!span_equal(word, span_text(origins[i])))
			continue;
		*out = (enum list_origin)i;
		return true;
	}
	return false;
}

/* --- use --- */

/* The type that a list most likely has in which a fact is looked up. */
static const char *type_for(const struct fact *fact)
{
	if (fact && fact->type == TYPE_DOMAIN)
		return "domain";
	if (fact && fact->type == TYPE_MAIL)
		return "mail";
	return fact && fact->type == TYPE_TEXT ? "text" : "cidr";
}

struct declared_list *list_named(struct parser *p, const struct token *at, const struct fact *fact)
{
	struct span name = span_from(at->text, 1);
	struct declared_list *declared = names_find(&p->list_names, name);
	struct nearest nearest = nearest_to(name);

	if (declared) {
		declared->list->used = true;
		return declared;
	}
	for (size_t i = 0; i < p->list_names.capacity; i++)
		if (p->list_names.entries[i].value)
			nearest_offer(
				&nearest, ((struct declared_list *)p->list_names.entries[i].value)
						  ->list->name);
	parser_mistake(p, at,
		nearest.best ? HELP(p, "did you mean `@%s`?", nearest.best)
			     : HELP(p, "declare it: list %.*s : %s { ... }", SPAN_ARGS(name),
				       type_for(fact)),
		"there is no list `%.*s`", SPAN_ARGS(name));
	return NULL;
}

static bool type_fits(enum fact_type fact, const struct rule_list *list)
{
	bool looked_up = list->origin == LIST_DNSBL;

	switch (list->type) {
	case LIST_CIDR:
	case LIST_IP:
		return fact == TYPE_IP;
	case LIST_DOMAIN:
		return fact == TYPE_DOMAIN || (fact == TYPE_TEXT && !looked_up);
	case LIST_MAIL:
		return fact == TYPE_MAIL || fact == TYPE_TEXT;
	case LIST_TEXT:
	case LIST_HASH:
		break;
	}
	return fact == TYPE_DOMAIN || fact == TYPE_MAIL || fact == TYPE_TEXT;
}

bool list_fits(struct parser *p, const struct token *at, const struct field *field,
	const struct rule_list *list)
{
	enum fact_type type = field->fact->type;
	const char *domain = type == TYPE_MAIL ? field_domain(p, field->fact) : NULL;
	const char *help = NULL;

	if (type_fits(type, list))
		return true;
	if (type == TYPE_MAIL && list->type == LIST_DOMAIN && domain)
		help = HELP(p, "write %s in @%s", domain, list->name);
	else if (type == TYPE_IP)
		help = "an address needs a list of type cidr or ip";
	else if (type == TYPE_DOMAIN)
		help = "a domain needs a list of type domain, text or hash";
	else if (type == TYPE_MAIL)
		help = "a mail address needs a list of type mail, text or hash";
	else if (type == TYPE_TEXT)
		help = "a text needs a list of type text, hash, domain or mail";
	else
		help = HELP(p, "write %s in { ... }", field->name);
	return parser_mistake(p, at, help, "`%s` is no value for @%s, a list of type %s",
		field->name, list->name, list_type_name(list->type));
}

/* --- declaration --- */

/* list NAME : TYPE, whose names are known; NULL: the form is broken. */
static struct declared_list *parse_head(struct parser *p, enum list_type *type)
{
	struct declared_list *declared;
	struct token at;

	parser_take(p);
	at = p->token;
	if (!parser_take_id(p, "list", LIST_EXAMPLE))
		return NULL;
	if (at.text.at[0] != '_' && !ascii_is_alpha(at.text.at[0]))
		parser_mistake(p, &at, NULL, "the name of a list begins with a letter");
	if (!parser_accept_mark(p, TOKEN_COLON)) {
		parser_missing(p, "write: " LIST_EXAMPLE, "a : and the type are missing");
		return NULL;
	}
	declared = names_find(&p->list_names, at.text);
	if (declared && declared->read)
		parser_mistake(p, &at, parser_first_at(p, &declared->list->place),
			"the list `%s` is declared twice", declared->list->name);
	if (!declared || declared->read) {
		declared = arena_alloc(p->scratch, sizeof(*declared));
		declared->list = arena_alloc(p->scratch, sizeof(*declared->list));
		declared->list->name = arena_string(p->scratch, at.text);
	}
	declared->read = true;
	at = p->token;
	if (at.kind != TOKEN_WORD || !list_type_parse(at.text, type)) {
		parser_missing(p, "types are cidr, ip, domain, mail, text and hash",
			at.kind == TOKEN_WORD ? "`%.*s` is no type of a list"
					      : "the type of the list is missing",
			SPAN_ARGS(at.text));
		return NULL;
	}
	parser_take(p);
	declared->list->type = *type;
	return declared;
}

static bool parse_literal(struct parser *p, struct rule_list *list)
{
	struct value value;

	if (!parse_value(p, list->name, true, &value))
		return false;
	list->origin = LIST_LITERAL;
	list->content = value_list(p, list->type, &value);
	return true;
}

/* The items of a file; its mistakes are told with its own name and lines. */
static void read_content(struct parser *p, const struct token *at, struct rule_list *list)
{
	const char *path = rules_join(p->arena, p->path, list->from), *problem = NULL;
	struct diagnostics d = p->diagnostics;

	list->content = value_new_list(p, list->type, at);
	if (!list->content)
		return;
	if (p->source->read(p->source->context, path, &d.source, &problem)) {
		d.file = path;
		list_read(list->content, &d);
		p->diagnostics.n_errors = d.n_errors;
		p->diagnostics.n_warnings = d.n_warnings;
		parser_count(p);
	} else {
		parser_mistake(p, at, NULL, "%s: %s", path, problem ? problem : "can't be read");
	}
	list_seal(list->content);
}

/* { 127.0.0.2-127.0.0.11 }: which answers of a dnsbl mean listed. */
static bool parse_codes(struct parser *p, struct rule_list *list)
{
	struct value value;
	struct ip_range *codes;

	if (p->token.kind != TOKEN_LEFT_BRACE)
		return true;
	if (!parse_value(p, list->name, false, &value))
		return false;
	codes = arena_alloc(p->arena, (value.n + 1) * sizeof(*codes));
	for (size_t i = 0; i < value.n && !p->stopped; i++) {
		if (!value_range(p, list->name, &value.items[i], &codes[i]))
			continue;
		if (codes[i].first.family != IP_V4 || codes[i].first.bytes[0] != 127 ||
			codes[i].last.bytes[0] != 127)
			parser_mistake(p, &value.items[i], "for example { 127.0.0.2-127.0.0.11 }",
				"a dnsbl answers with addresses in 127.0.0.0/8");
	}
	list->codes = codes;
	list->n_codes = value.n;
	return true;
}

static bool parse_dnsbl(struct parser *p, const struct token *at, struct rule_list *list)
{
	size_t len = strlen(list->from);

	if (list->type == LIST_CIDR || (list->type != LIST_IP && list->type != LIST_DOMAIN))
		parser_mistake(p, at,
			list->type == LIST_CIDR ? "write : ip" : "write : ip or : domain",
			"a list from a dnsbl has type ip or domain");
	if (len == 0 || len > ZONE_MAX || strchr(list->from, ' ') || !strchr(list->from, '.'))
		parser_mistake(
			p, at, "for example \"zen.spamhaus.org\"", "a dnsbl is named by its zone");
	return parse_codes(p, list);
}

/* The name stands in commands, and in the keys of Redis. */
static void judge_store_name(struct parser *p, const struct token *at, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!ascii_is_alpha(name[i]) && !ascii_is_digit(name[i]) && !strchr("._-", name[i]))
			len = 0;
	if (len == 0 || len > STORE_NAME_MAX)
		parser_mistake(p, at, NULL,
			"a list in the store has a name of 1 to %d letters, digits, `.`, `_` and "
			"`-`",
			STORE_NAME_MAX);
	else if (strcmp(name, "protected") == 0)
		parser_mistake(p, at, "choose another name",
			"`protected` is what no list may hold, and no list for rules");
}

static bool parse_origin(struct parser *p, struct rule_list *list)
{
	struct token word, at;

	parser_take(p); /* from */
	word = p->token;
	if (word.kind != TOKEN_WORD || !list_origin_find(word.text, &list->origin))
		return parser_missing(p,
			"write: from file \"x\", from store \"x\" or from dnsbl \"x\"",
			word.kind == TOKEN_WORD ? "a list can't come from `%.*s`"
						: "where the list comes from is missing",
			SPAN_ARGS(word.text));
	parser_take(p);
	at = p->token;
	if (at.kind != TOKEN_STRING)
		return parser_missing(
			p, NULL, "from %.*s needs a name in quotes", SPAN_ARGS(word.text));
	parser_take(p);
	list->from = token_value(&at, p->arena);
	if (list->origin == LIST_DNSBL)
		return parse_dnsbl(p, &at, list);
	if (p->token.kind == TOKEN_LEFT_BRACE)
		return parser_mistake(p, &p->token, NULL,
			"only a dnsbl has answers in braces; a list from a %s has its items there",
			origins[list->origin]);
	if (list->origin == LIST_FILE)
		read_content(p, &at, list);
	else
		judge_store_name(p, &at, list->from);
	return true;
}

bool parse_list(struct parser *p)
{
	enum list_type type;
	struct declared_list *declared = parse_head(p, &type);
	struct rule_list **place;

	if (!declared)
		return false;
	place = parser_append(
		p->arena, &p->rules->lists, &p->rules->n_lists, sizeof(p->rules->lists[0]));
	*place = declared->list;
	if (p->token.kind == TOKEN_LEFT_BRACE)
		return parse_literal(p, declared->list);
	if (parser_at(p, "from"))
		return parse_origin(p, declared->list);
	return parser_missing(p, "write: " LIST_EXAMPLE ", or from file, store or dnsbl",
		"the items of the list are missing");
}
