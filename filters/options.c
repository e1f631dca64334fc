/*
 * options: what stands in `filter NAME { }`, read against the filter's own table. postern.conf's
 * reader has seen the tokens already and put them down with one blank between them, so that only
 * words and quoted strings are told apart here.
 */
#include "filters/set.h"

#include "lib/base/nearest.h"

enum { TIMEOUT_MAX_MS = 5 * 60 * 1000 };

enum { OPTION_TIMEOUT, OPTION_LOAD };

const struct filter_option filter_common_options[] = {
	[OPTION_TIMEOUT] = {"timeout", FILTER_DURATION, NULL, 1, TIMEOUT_MAX_MS,
		"how long one call may take; otherwise timeouts.filter"},
	[OPTION_LOAD] = {"load", FILTER_PATH, NULL, 0, 0, "a shared object that holds the filter"},
	{.name = NULL},
};

static const struct filter_option *const timeout_option = &filter_common_options[OPTION_TIMEOUT];
static const struct filter_option *const load_option = &filter_common_options[OPTION_LOAD];

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit durations[] = {{"ms", 1}, {"s", 1000}, {"m", 60 * 1000},
	{"h", 3600 * 1000}, {"d", 24 * 3600 * 1000}, {"w", 7 * 24 * 3600 * 1000}, {NULL, 0}};
static const struct unit sizes[] = {{"B", 1}, {"KB", 1ULL << 10}, {"MB", 1ULL << 20},
	{"GB", 1ULL << 30}, {"TB", 1ULL << 40}, {NULL, 0}};

/* --- tokens --- */

static size_t string_end(struct span text)
{
	size_t at = 1;

	while (at < text.len && text.at[at] != '"')
		at += text.at[at] == '\\' ? 2 : 1;
	return at < text.len ? at + 1 : text.len;
}

/* The next token as written, off the front of the text; empty: there is none. */
static struct span next_token(struct span *text)
{
	struct span token;

	*text = span_trim(*text);
	if (text->len && text->at[0] == '"')
		token = span_first(*text, string_end(*text));
	else
		token = span_first(*text, span_find_char(*text, ' '));
	*text = span_from(*text, token.len);
	return token;
}

static char unescaped(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return c;
	}
}

/* What it means: without quotes and escapes. */
static const char *token_text(struct span token, struct arena *arena)
{
	char *out = arena_string(arena, token);
	size_t len = 0;

	if (!token.len || token.at[0] != '"')
		return out;
	for (size_t i = 1; i + 1 < token.len; i++) {
		if (token.at[i] == '\\' && i + 2 < token.len)
			out[len++] = unescaped(token.at[++i]);
		else
			out[len++] = token.at[i];
	}
	out[len] = '\0';
	return out;
}

/* --- values --- */

static bool read_quantity(struct span text, const struct unit *units, uint64_t *out)
{
	size_t digits = 0;
	uint64_t number;

	while (digits < text.len && ascii_is_digit(text.at[digits]))
		digits++;
	if (!span_number(span_first(text, digits), UINT64_MAX, &number))
		return false;
	for (; units->name; units++) {
		if (!span_equal(span_from(text, digits), span_text(units->name)))
			continue;
		*out = number <= UINT64_MAX / units->factor ? number * units->factor : UINT64_MAX;
		return true;
	}
	return false;
}

static bool read_bool(struct span text, uint64_t *out)
{
	*out = span_equal(text, SPAN("yes"));
	return *out || span_equal(text, SPAN("no"));
}

static const char *const kind_expects[] = {
	[FILTER_BOOL] = "yes or no",
	[FILTER_NUMBER] = "a whole number",
	[FILTER_DURATION] = "a duration such as 30s or 5m",
	[FILTER_SIZE] = "a size such as 64KB or 10MB",
	[FILTER_TEXT] = "a text",
	[FILTER_PATH] = "the path of a file",
};

const char *filter_option_expects(const struct filter_option *option)
{
	return option->kind == FILTER_CHOICE ? option->fallback : kind_expects[option->kind];
}

/* The next word of "tree or psl", off its front. */
static struct span next_choice(struct span *list)
{
	size_t end = span_find(*list, SPAN(" or "));
	struct span word = span_first(*list, end);

	*list = span_from(*list, end + 4);
	return word;
}

static bool is_choice(const struct filter_option *option, const char *text)
{
	struct span list = span_text(option->fallback), word;

	while ((word = next_choice(&list)).len)
		if (span_equal(word, span_text(text)))
			return true;
	return false;
}

const char *filter_option_fallback(const struct filter_option *option, struct arena *arena)
{
	struct span list = span_text(option->fallback);

	return option->kind == FILTER_CHOICE ? arena_string(arena, next_choice(&list))
					     : option->fallback;
}

static bool read_number(const struct filter_option *option, struct span text, uint64_t *out)
{
	switch (option->kind) {
	case FILTER_BOOL:
		return read_bool(text, out);
	case FILTER_NUMBER:
		return span_number(text, UINT64_MAX, out);
	case FILTER_DURATION:
		return read_quantity(text, durations, out);
	case FILTER_SIZE:
		return read_quantity(text, sizes, out);
	case FILTER_TEXT:
	case FILTER_PATH:
	case FILTER_CHOICE:
		break;
	}
	return false;
}

/* In the unit that an admin would write. */
static const char *show_number(
	const struct filter_option *option, uint64_t number, struct arena *arena)
{
	const struct unit *units = option->kind == FILTER_DURATION ? durations
				   : option->kind == FILTER_SIZE   ? sizes
								   : NULL;
	const struct unit *best = units;

	for (const struct unit *unit = units; units && unit->name; unit++)
		if (number && number % unit->factor == 0)
			best = unit;
	return arena_print(arena, "%llu%s",
		(unsigned long long)(best ? number / best->factor : number),
		best ? best->name : "");
}

static const char *join_path(const char *folder, const char *path, struct arena *arena)
{
	if (path[0] == '/' || !folder || !*folder)
		return path;
	return arena_print(arena, "%s/%s", folder, path);
}

static bool read_value(const char *filter, const struct filter_option *option, struct span token,
	const char *folder, struct arena *arena, union option_value *out, struct err *err)
{
	const char *text = token_text(token, arena);
	uint64_t number;

	if (!token.len || (option->kind == FILTER_PATH && !*text))
		return err_set(err, "filter %s: `%s` takes %s", filter, option->name,
			filter_option_expects(option));
	if (option->kind == FILTER_TEXT || option->kind == FILTER_PATH) {
		out->text = option->kind == FILTER_PATH ? join_path(folder, text, arena) : text;
		return true;
	}
	if (option->kind == FILTER_CHOICE && is_choice(option, text)) {
		out->text = text;
		return true;
	}
	if (!read_number(option, span_text(text), &number))
		return err_set(err, "filter %s: `%s` takes %s, not `%.64s`", filter, option->name,
			filter_option_expects(option), text);
	if (option->kind != FILTER_BOOL && (number < option->min || number > option->max))
		return err_set(err, "filter %s: `%s` must lie between %s and %s", filter,
			option->name, show_number(option, option->min, arena),
			show_number(option, option->max, arena));
	out->number = number;
	return true;
}

bool filter_options_default(struct filter_entry *entry, struct arena *arena, struct err *err)
{
	const struct filter_option *options = entry->filter ? entry->filter->options : NULL;
	size_t n = 0;

	while (options && options[n].name)
		n++;
	entry->values = arena_alloc(arena, n * sizeof(*entry->values));
	for (size_t i = 0; i < n; i++)
		if (options[i].fallback &&
			!read_value(entry->name, &options[i],
				span_text(filter_option_fallback(&options[i], arena)), NULL, arena,
				&entry->values[i], err))
			return false;
	return true;
}

/* --- blocks --- */

static const struct filter_option *find_option(
	const struct filter_option *options, struct span name, size_t *index)
{
	for (size_t i = 0; options && options[i].name; i++) {
		*index = i;
		if (span_equal(name, span_text(options[i].name)))
			return &options[i];
	}
	return NULL;
}

static bool unknown_option(const struct filter_entry *entry, struct span name, struct err *err)
{
	struct nearest nearest = nearest_to(name);

	nearest_offer(&nearest, timeout_option->name);
	for (const struct filter_option *o = entry->filter->options; o && o->name; o++)
		nearest_offer(&nearest, o->name);
	if (nearest.best)
		return err_set(err, "filter %s has no option `%.*s`: did you mean `%s`?",
			entry->name, (int)span_first(name, 64).len, name.at, nearest.best);
	return err_set(err, "filter %s has no option `%.*s`", entry->name,
		(int)span_first(name, 64).len, name.at);
}

bool filter_options_read(struct filter_entry *entry, const struct filter_given *given,
	const char *folder, struct arena *arena, struct err *err)
{
	struct span rest = span_text(given->options), name;
	uint64_t seen = 0;

	for (entry->wrong = 1; (name = next_token(&rest)).len; entry->wrong += 2) {
		struct span token = next_token(&rest);
		union option_value value = {0};
		const struct filter_option *option = NULL;
		size_t index = 0;
		bool special = true;

		if (span_equal(name, span_text(timeout_option->name)))
			option = timeout_option;
		else if (span_equal(name, span_text(load_option->name)))
			option = load_option;
		if (!option) {
			special = false;
			option = find_option(entry->filter->options, name, &index);
		}
		if (!option)
			return unknown_option(entry, name, err);
		index = special ? 62 + (option == load_option) : index;
		if (index < 64 && seen >> index & 1)
			return err_set(
				err, "filter %s: `%s` is given twice", entry->name, option->name);
		if (index < 64)
			seen |= 1ULL << index;
		if (!read_value(entry->name, option, token, folder, arena, &value, err)) {
			entry->wrong += token.len > 0;
			return false;
		}
		if (option == timeout_option)
			entry->timeout_ms = value.number;
		else if (!special)
			entry->values[index] = value;
	}
	return true;
}

const char *filter_options_load(
	const struct filter_given *given, const char *folder, struct arena *arena)
{
	struct span rest = span_text(given->options), name;

	while ((name = next_token(&rest)).len) {
		struct span token = next_token(&rest);

		if (span_equal(name, span_text(load_option->name)) && token.len)
			return join_path(folder, token_text(token, arena), arena);
	}
	return NULL;
}
