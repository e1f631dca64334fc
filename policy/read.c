/*
 * Files, and what stands at the top of one. Before anything is judged, the tokens of all files are
 * walked once for the names of lists and rules, so that these may be used before they are declared,
 * and in other files; then each file is read in full, in order.
 *
 * Rejected: resolving names behind the last file. Whether `in @x` fits its field hangs on the type
 * of the list, so every such mistake would be told out of order and far from its place.
 */
#include "policy/read.h"

#include "policy/parse.h"

enum { ARENA_FIRST = 16 * 1024 };

/* --- files --- */

const char *rules_join(struct arena *arena, const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	while (name[0] == '.' && name[1] == '/')
		for (name += 2; *name == '/'; name++)
			;
	if (name[0] == '/' || !slash)
		return arena_string(arena, span_text(name));
	return arena_print(arena, "%.*s%s", (int)(slash + 1 - path), path, name);
}

static struct rule_file *file_of(struct parser *p, const char *path)
{
	struct rule_file **place =
		(struct rule_file **)names_place(&p->files, p->scratch, span_text(path));
	struct rule_file *file = *place;

	if (file)
		return file;
	*place = file = arena_alloc(p->scratch, sizeof(*file));
	file->path = path;
	if (!p->source->read(p->source->context, path, &file->content, &file->problem))
		file->problem = file->problem ? file->problem : "it can't be read";
	else
		file->problem = NULL;
	return file;
}

/* A window of tokens, newest last. */
enum { WINDOW = 6 };

static void shift(struct token window[WINDOW], const struct token *next)
{
	memmove(window, window + 1, (WINDOW - 1) * sizeof(window[0]));
	window[WINDOW - 1] = *next;
}

static bool is_word(const struct token *t, const char *word)
{
	return t->kind == TOKEN_WORD && span_equal(t->text, span_text(word));
}

/* Whether the newest token is a file's name: of `include "x"` or `from file "x"`. */
static bool names_file(const struct token window[WINDOW], bool *include)
{
	const struct token *t = &window[WINDOW - 1];

	*include = is_word(t - 1, "include");
	return t->kind == TOKEN_STRING &&
	       (*include || (is_word(t - 1, "file") && is_word(t - 2, "from")));
}

void rules_files(
	struct span text, void (*found)(void *context, const char *name, bool rules), void *context)
{
	struct lexer lexer = lexer_make(text, LEX_RULES);
	struct arena *arena = arena_new(1024);
	struct token window[WINDOW] = {0}, next;
	bool include;

	while ((next = lex_next(&lexer)).kind != TOKEN_END) {
		shift(window, &next);
		if (names_file(window, &include))
			found(context, token_value(&next, arena), include);
	}
	arena_free(&arena);
}

/* --- names --- */

/* list NAME : TYPE ..., where the window holds all up to `from` ORIGIN or what stands there. */
static void declare_list(struct parser *p, const struct token *t, const char *path)
{
	struct declared_list **place, *declared;
	struct rule_list *list;

	if (!is_word(t, "list") || t[1].kind != TOKEN_WORD || t[2].kind != TOKEN_COLON)
		return;
	place = (struct declared_list **)names_place(
		&p->list_names, p->scratch, arena_span(p->arena, t[1].text));
	if (*place)
		return;
	*place = declared = arena_alloc(p->scratch, sizeof(*declared));
	declared->list = list = arena_alloc(p->arena, sizeof(*list));
	list->name = arena_string(p->arena, t[1].text);
	list->place = (struct place){path, t[1].line, t[1].column};
	if (!list_type_parse(t[3].text, &list->type))
		declared->unknown = true;
	if (is_word(&t[4], "from") && !list_origin_find(t[5].text, &list->origin))
		declared->unknown = true;
}

static void declare_rule(struct parser *p, const struct token *t)
{
	void **place;

	if (!is_word(t, "rule") || t[1].kind != TOKEN_WORD)
		return;
	place = names_place(&p->rule_names, p->scratch, arena_span(p->scratch, t[1].text));
	if (!*place)
		*place = arena_alloc(p->scratch, sizeof(struct declared_rule));
}

static void scan_file(struct parser *p, struct rule_file *file, unsigned includes)
{
	struct lexer lexer = lexer_make(file->content, LEX_RULES);
	struct token window[WINDOW] = {0}, next;
	bool include;

	/* Again where it is less deep: more of what it includes is then read. */
	if (file->problem || includes > INCLUDES_MAX ||
		(file->scanned_at && includes + 1 >= file->scanned_at))
		return;
	file->scanned_at = includes + 1;
	do {
		next = lex_next(&lexer);
		shift(window, &next);
		declare_rule(p, &window[WINDOW - 2]);
		declare_list(p, window, file->path);
		if (names_file(window, &include) && include)
			scan_file(p,
				file_of(p, rules_join(p->arena, file->path,
						   token_value(&next, p->scratch))),
				includes + 1);
	} while (next.kind != TOKEN_END);
	for (int i = 1; i < WINDOW - 1; i++) { /* a list may end the file */
		shift(window, &next);
		declare_list(p, window, file->path);
	}
}

/* --- the top of a file --- */

static void read_file(struct parser *p, struct rule_file *file, unsigned includes);

static const char *include_problem(
	struct parser *p, const struct rule_file *file, unsigned includes, const char **help)
{
	*help = NULL;
	if (includes > INCLUDES_MAX)
		return HELP(p, "includes go more than %d deep", INCLUDES_MAX);
	if (file->state == FILE_OPEN)
		return "this file includes itself, by way of what it includes";
	if (file->state == FILE_DONE) {
		*help = file->included.line ? parser_first_at(p, &file->included)
					    : "it is one of the files that are read anyway";
		return "this file is included twice";
	}
	return file->problem;
}

/* include "FILE" */
static bool read_include(struct parser *p, unsigned includes)
{
	struct token at;
	struct rule_file *file;
	const char *problem, *help;

	parser_take(p);
	if (p->token.kind != TOKEN_STRING)
		return parser_missing(p, "write: include \"more.rules\"",
			"`include` needs the name of a file, in quotes");
	at = parser_take(p);
	file = file_of(p, rules_join(p->arena, p->path, token_value(&at, p->scratch)));
	problem = include_problem(p, file, includes + 1, &help);
	if (problem)
		return parser_mistake(p, &at, help, "%s: %s", file->path, problem) || true;
	file->included = parser_place(p, &at);
	read_file(p, file, includes + 1);
	return true;
}

/* What is no item; false: all up to the next one is skipped. */
static bool read_stray(struct parser *p)
{
	static const char *const items[] = {"rule", "list", "for", "test", "include"};
	struct nearest nearest = nearest_to(p->token.text);

	for (size_t i = 0; p->token.kind == TOKEN_WORD && i < COUNT_OF(items); i++)
		nearest_offer(&nearest, items[i]);
	if (p->token.kind == TOKEN_RIGHT_BRACE)
		parser_mistake(p, &p->token, NULL, "this } closes nothing");
	else if (p->token.kind == TOKEN_ERROR)
		parser_mistake(p, &p->token, p->token.help, "%s", p->token.message);
	else
		parser_mistake(p, &p->token, parser_suggest(p, nearest.best),
			"rule, list, for, test or include is expected here, not `%.*s`",
			SPAN_ARGS(p->token.text));
	if (parser_take(p).kind != TOKEN_RIGHT_BRACE)
		return false;
	while (p->token.kind == TOKEN_RIGHT_BRACE) /* one mistake, however many */
		parser_take(p);
	return true;
}

static bool read_item(struct parser *p, unsigned includes)
{
	if (parser_at(p, "rule"))
		return parse_rule(p);
	if (parser_at(p, "for"))
		return parse_for(p);
	if (parser_at(p, "list"))
		return parse_list(p);
	if (parser_at(p, "test"))
		return parse_test(p);
	if (parser_at(p, "include"))
		return read_include(p, includes);
	return read_stray(p);
}

/* Behind a mistake at the top: to the next item, over what stands in braces. */
static void find_next_item(struct parser *p)
{
	parser_recover(p, 0);
	while (p->token.kind != TOKEN_END && !parser_at_item(p) && !parser_at(p, "rule") &&
		!parser_at(p, "list") && !parser_at(p, "test")) {
		parser_take(p);
		parser_recover(p, 0);
	}
}

static void read_items(struct parser *p, unsigned includes)
{
	while (p->token.kind != TOKEN_END && !p->stopped)
		if (!read_item(p, includes))
			find_next_item(p);
}

static void read_file(struct parser *p, struct rule_file *file, unsigned includes)
{
	struct parser outer = *p;
	struct diagnostics *d = &p->diagnostics;

	file->state = FILE_OPEN;
	d->file = p->path = file->path;
	d->source = file->content;
	p->lexer = lexer_make(file->content, LEX_RULES);
	p->token = p->last = (struct token){.kind = TOKEN_END};
	p->depth = 0;
	parser_take(p);
	read_items(p, includes);
	file->state = FILE_DONE;
	d->file = p->path = outer.path;
	d->source = outer.diagnostics.source;
	p->lexer = outer.lexer;
	p->token = outer.token;
	p->last = outer.last;
	p->depth = outer.depth;
}

/* A file that the caller names. */
static void read_root(struct parser *p, const char *path)
{
	struct rule_file *file = file_of(p, path);

	if (file->problem || file->state == FILE_DONE) {
		p->diagnostics.file = path;
		parser_mistake(p, NULL,
			file->problem         ? NULL
			: file->included.line ? parser_first_at(p, &file->included)
					      : NULL,
			"%s", file->problem ? file->problem : "this file is read twice");
		return;
	}
	read_file(p, file, 0);
}

/* --- the whole --- */

static void read_all(struct parser *p, const char *const *paths, size_t n_paths)
{
	const char **copies = arena_alloc(p->scratch, (n_paths + 1) * sizeof(*copies));

	for (size_t i = 0; i < n_paths; i++) {
		copies[i] = arena_string(p->arena, span_text(paths[i]));
		scan_file(p, file_of(p, copies[i]), 0);
	}
	for (size_t i = 0; i < n_paths && !p->stopped; i++)
		read_root(p, copies[i]);
	slots_keep(p);
	tests_settle(p);
}

struct rules *rules_read(const struct rule_setup *setup, const char *const *paths, size_t n_paths,
	const struct rule_source *source, struct buffer *report, size_t *n_mistakes,
	size_t *n_warnings)
{
	struct arena *arena = arena_new(ARENA_FIRST);
	struct rules *rules = arena_alloc(arena, sizeof(*rules));
	struct parser p = {
		.setup = setup,
		.source = source,
		.rules = rules,
		.arena = arena,
		.scratch = arena_new(ARENA_FIRST),
		.diagnostics = {.file = "", .out = report},
	};

	rules->arena = arena;
	rules->registry = setup->registry;
	p.tests_end = &rules->tests;
	p.givens_end = &p.givens;
	read_all(&p, paths, n_paths);
	if (n_mistakes)
		*n_mistakes = p.diagnostics.n_errors;
	if (n_warnings)
		*n_warnings = p.diagnostics.n_warnings;
	arena_free(&p.scratch);
	if (p.diagnostics.n_errors)
		rules_free(&rules);
	return rules;
}

void rules_free(struct rules **rules)
{
	struct arena *arena;

	if (!*rules)
		return;
	arena = (*rules)->arena;
	*rules = NULL;
	arena_free(&arena);
}
