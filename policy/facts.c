/*
 * The registry of facts and their values. Values are read with the lexer of the rules, so that
 * `--fact client.ip=192.0.2.1` and `given client.ip = 192.0.2.1` take the same.
 */
#include "policy/facts.h"

#include "lib/base/error.h"
#include "policy/diagnostic.h"

/* Texts of people are short; what filters measure is bounded by them. */
enum { NUMBER_DIGITS = 15, DOMAIN_MAX = 253 };

static const char *const stages[] = {
#define X(name, word) [STAGE_##name] = (word),
	STAGES(X)
#undef X
};

static const char *const types[] = {
	[TYPE_BOOL] = "yes or no",
	[TYPE_NUMBER] = "number",
	[TYPE_SIZE] = "size",
	[TYPE_IP] = "address",
	[TYPE_DOMAIN] = "domain",
	[TYPE_MAIL] = "mail address",
	[TYPE_TEXT] = "text",
	[TYPE_CHOICE] = "choice",
};

static const char *const expectations[] = {
	[TYPE_BOOL] = "yes or no",
	[TYPE_NUMBER] = "a number, such as 5",
	[TYPE_SIZE] = "a size, such as 25MB",
	[TYPE_IP] = "an address, such as 192.0.2.1",
	[TYPE_DOMAIN] = "a domain, such as \"example.com\"",
	[TYPE_MAIL] = "a mail address, such as \"user@example.com\"",
	[TYPE_TEXT] = "a text in quotes, such as \"text\"",
};

const struct fact verdict_facts[] = {
	{"score", TYPE_NUMBER, STAGE_MESSAGE, 0, NULL, "sum of all `score` actions"},
	{"tags", TYPE_TEXT, STAGE_MESSAGE, FACT_MANY, NULL, "tags set by the rules above"},
	{.name = NULL},
};

const char *stage_name(enum stage stage)
{
	return stages[stage];
}

const char *fact_type_name(enum fact_type type)
{
	return types[type];
}

/* --- the registry --- */

static bool names(const struct fact *fact, struct span name)
{
	size_t len = strlen(fact->name);

	if (fact->flags & FACT_FAMILY)
		return name.len > len && memcmp(name.at, fact->name, len) == 0;
	return name.len == len && memcmp(name.at, fact->name, len) == 0;
}

const struct fact *fact_find(const struct fact_registry *registry, struct span name, size_t *source)
{
	for (size_t i = 0; i < registry->n_sources; i++) {
		for (const struct fact *f = registry->sources[i].facts; f->name; f++) {
			if (!names(f, name))
				continue;
			if (source)
				*source = i;
			return f;
		}
	}
	return NULL;
}

/* Whether a fact's name is PREFIX.word. */
static bool ends_in(const char *name, struct span word)
{
	size_t len = strlen(name);

	return len > word.len + 1 && name[len - word.len - 1] == '.' &&
	       span_equal_nocase(span_text(name + len - word.len), word);
}

struct search {
	struct nearest nearest;
	const char *by_end; /* the one fact whose name ends in the word */
	size_t n_by_end;
};

static void search_among(struct search *search, const struct fact *facts)
{
	for (const struct fact *f = facts; f->name; f++) {
		nearest_offer(&search->nearest, f->name);
		if (!ends_in(f->name, search->nearest.word))
			continue;
		search->by_end = f->name;
		search->n_by_end++;
	}
}

const char *fact_nearest(const struct fact_registry *registry, struct span name)
{
	struct search search = {.nearest = nearest_to(name)};

	for (size_t i = 0; i < registry->n_sources; i++)
		search_among(&search, registry->sources[i].facts);
	search_among(&search, verdict_facts);
	if (search.nearest.best && search.nearest.distance <= 1)
		return search.nearest.best;
	if (search.n_by_end)
		return search.n_by_end == 1 ? search.by_end : NULL; /* of several: which? */
	return search.nearest.best;
}

/* --- choices --- */

int fact_choice_find(const struct fact *fact, struct span word)
{
	for (int i = 0; fact->choices && fact->choices[i].word; i++) {
		struct span also = span_text(fact->choices[i].also);

		if (span_equal_nocase(word, span_text(fact->choices[i].word)))
			return i;
		while (also.len)
			if (span_equal_nocase(word, span_word(&also)))
				return i;
	}
	return -1;
}

const char *fact_choices(const struct fact *fact, struct arena *arena)
{
	const char *all = "";

	for (const struct fact_choice *c = fact->choices; c && c->word; c++)
		all = arena_print(arena, "%s%s%s", all, *all ? ", " : "", c->word);
	return all;
}

const char *fact_expects(const struct fact *fact, struct arena *arena)
{
	if (fact->type != TYPE_CHOICE)
		return fact->type < COUNT_OF(expectations) ? expectations[fact->type] : "";
	return arena_print(arena, "one of %s", fact_choices(fact, arena));
}

/* --- values as text --- */

static bool datum_write(const struct fact *fact, const union fact_datum *datum, struct buffer *out)
{
	char ip[IP_TEXT_SIZE];

	switch (fact->type) {
	case TYPE_BOOL:
		return buffer_add_text(out, datum->yes ? "yes" : "no");
	case TYPE_NUMBER:
	case TYPE_SIZE:
		return buffer_print(out, "%.*g", NUMBER_DIGITS, datum->number);
	case TYPE_IP:
		return buffer_add_text(out, ip_format(&datum->ip, ip));
	case TYPE_CHOICE:
		return buffer_add_text(out, fact->choices[datum->choice].word);
	case TYPE_MAIL:
		return buffer_add(out, datum->text.len ? datum->text : SPAN("<>"));
	case TYPE_DOMAIN:
	case TYPE_TEXT:
	case TYPE_COUNT:
		break;
	}
	return buffer_add(out, datum->text);
}

bool fact_value_write(const struct fact *fact, const struct fact_value *value, struct buffer *out)
{
	if (value->state != FACT_KNOWN)
		return buffer_add_text(out, "unknown");
	if (value->count == 0)
		return buffer_add_text(out, "none");
	for (uint32_t i = 0; i < value->count; i++)
		if ((i && !buffer_add_text(out, ", ")) || !datum_write(fact, &value->items[i], out))
			return false;
	return true;
}

/* --- values from text --- */

static bool yes_or_no(struct span text, bool *yes)
{
	*yes = span_equal_nocase(text, SPAN("yes")) || span_equal_nocase(text, SPAN("true"));
	return *yes || span_equal_nocase(text, SPAN("no")) ||
	       span_equal_nocase(text, SPAN("false"));
}

/* The text as one token, of kind TOKEN_ERROR if it is not one. */
static struct token only_token(struct span text)
{
	struct lexer lexer = lexer_make(text, LEX_CONFIG);
	struct token token = lex_next(&lexer);

	if (lex_next(&lexer).kind != TOKEN_END)
		token.kind = TOKEN_ERROR;
	return token;
}

static bool number_read(enum fact_type type, struct span text, double *out)
{
	struct token token = only_token(text);

	if (token.kind == TOKEN_SIZE && type == TYPE_SIZE) {
		*out = (double)token.size_bytes;
		return true;
	}
	*out = token.kind == TOKEN_NUMBER ? token.number : 0;
	return token.kind == TOKEN_NUMBER && (type == TYPE_NUMBER || token.whole);
}

/* What the rest of postern takes for a domain is more narrow; this is about slips of people. */
static bool is_domain(struct span text)
{
	if (text.len == 0 || text.len > DOMAIN_MAX || text.at[0] == '.')
		return false;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] <= ' ' || strchr("@*/\"<>(),;", text.at[i]))
			return false;
	return true;
}

/* local@domain, or empty for the null reverse-path. */
static bool is_mailbox(struct span text)
{
	size_t at = text.len;

	while (at > 0 && text.at[at - 1] != '@')
		at--;
	return text.len == 0 || span_equal_nocase(text, SPAN("postmaster")) ||
	       (at > 1 && is_domain(span_from(text, at)));
}

static bool text_read(enum fact_type type, struct span *text)
{
	if (type == TYPE_DOMAIN) {
		if (text->len > 1 && text->at[text->len - 1] == '.')
			text->len--;
		return is_domain(*text) || (text->len > 2 && text->at[0] == '[');
	}
	if (type == TYPE_MAIL && span_equal(*text, SPAN("<>")))
		text->len = 0;
	return type == TYPE_TEXT || is_mailbox(*text);
}

static bool datum_read(const struct fact *fact, struct span text, union fact_datum *out)
{
	int choice;

	switch (fact->type) {
	case TYPE_BOOL:
		return yes_or_no(text, &out->yes);
	case TYPE_NUMBER:
	case TYPE_SIZE:
		return number_read(fact->type, text, &out->number);
	case TYPE_IP:
		return ip_parse(text, &out->ip);
	case TYPE_CHOICE:
		choice = fact_choice_find(fact, text);
		out->choice = choice < 0 ? 0 : (unsigned)choice;
		return choice >= 0;
	case TYPE_DOMAIN:
	case TYPE_MAIL:
	case TYPE_TEXT:
	case TYPE_COUNT:
		break;
	}
	out->text = text;
	return text_read(fact->type, &out->text);
}

static bool has_text(const struct fact *fact)
{
	return fact->type == TYPE_DOMAIN || fact->type == TYPE_MAIL || fact->type == TYPE_TEXT;
}

bool fact_datum_read(const struct fact *fact, struct span text, struct arena *arena,
	union fact_datum *out, struct err *why)
{
	union fact_datum datum;

	memset(&datum, 0, sizeof(datum));
	if (!datum_read(fact, text, &datum))
		return err_set(why, "`%s` needs %s", fact->name, fact_expects(fact, arena));
	if (has_text(fact))
		datum.text = arena_span(arena, datum.text);
	*out = datum;
	return true;
}

static size_t count_commas(struct span text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++)
		n += text.at[i] == ',';
	return n;
}

bool fact_value_read(const struct fact *fact, struct span text, struct arena *arena,
	struct fact_value *out, struct err *why)
{
	bool many = fact->flags & FACT_MANY;
	size_t n = many ? count_commas(text) + 1 : 1;
	union fact_datum *items;

	text = span_trim(text);
	*out = (struct fact_value){.state = FACT_KNOWN};
	if (span_equal(text, SPAN("none")) && fact_choice_find(fact, text) < 0)
		return true;
	if (n > FACT_ITEMS_MAX)
		return err_set(why, "`%s` has at most %d values", fact->name, FACT_ITEMS_MAX);
	items = arena_alloc(arena, n * sizeof(*items));
	for (size_t i = 0; i < n; i++) {
		size_t end = many ? span_find_char(text, ',') : text.len;

		if (!fact_datum_read(fact, span_trim(span_first(text, end)), arena, &items[i], why))
			return false;
		text = span_from(text, end + 1);
	}
	out->count = (uint32_t)n;
	out->items = items;
	return true;
}
