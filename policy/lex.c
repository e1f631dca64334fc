/*
 * A hand-written lexer: the language is small, and only a hand-written one gives columns, messages
 * and recovery as an admin wants them. A token never spans lines, so that one missing quote costs
 * one line.
 *
 * IPv6 addresses are the one hard spot: they begin with a digit, a letter or a colon. So where one
 * of these stands, the longest run of an address's characters is tried as an address first; two
 * colons are needed, which keeps `list dead:cidr` a word.
 */
#include "policy/lex.h"

#include "lib/base/fail.h"

#define UNIT_HELP                                                                                  \
	"durations end in ms, s, m, h, d or w, sizes in B, KB, MB, GB or TB; anything else that "  \
	"begins with a digit goes into quotes"
#define CAPITALS_HELP "units of size are written B, KB, MB, GB and TB"

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit durations[] = {
	{"ms", 1},
	{"s", 1000},
	{"m", 60ULL * 1000},
	{"h", 60ULL * 60 * 1000},
	{"d", 24ULL * 60 * 60 * 1000},
	{"w", 7ULL * 24 * 60 * 60 * 1000},
};

static const struct unit sizes[] = {
	{"B", 1},
	{"KB", 1ULL << 10},
	{"MB", 1ULL << 20},
	{"GB", 1ULL << 30},
	{"TB", 1ULL << 40},
};

/* More digits than a double holds exactly are refused. */
#define DIGITS_MAX 15

/* --- characters --- */

/* The length that a first byte announces, 0 for one that can't be first. */
static size_t sequence_length(uint8_t first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if (first >= 0xe0 && first <= 0xef)
		return 3;
	if (first >= 0xf0 && first <= 0xf4)
		return 4;
	return 0;
}

size_t lex_char(struct span text, uint32_t *code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	uint8_t first = (uint8_t)text.at[0];
	size_t len = sequence_length(first);
	uint32_t value = len > 1 ? first & (0x7fU >> len) : first;

	*code = LEX_BAD_CHAR;
	if (len == 0 || len > text.len)
		return 1;
	for (size_t i = 1; i < len; i++) {
		uint8_t next = (uint8_t)text.at[i];

		if ((next & 0xc0) != 0x80)
			return 1;
		value = value << 6 | (next & 0x3f);
	}
	if (value < smallest[len] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 1;
	*code = value;
	return len;
}

static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

/* What word processors and web pages put in place of a quote or a space, and what is not seen at
 * all. */
static bool is_lookalike(uint32_t code)
{
	return code == 0xa0 || code == 0xab || code == 0xbb || (code >= 0x2000 && code <= 0x200f) ||
	       (code >= 0x2018 && code <= 0x201f) || (code >= 0x2028 && code <= 0x202f) ||
	       (code >= 0x205f && code <= 0x206f) || code == 0x3000 || code == 0xfeff;
}

static bool is_hex(char c)
{
	return ascii_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static struct span rest_of(const struct lexer *lexer)
{
	return span_from(lexer->source, lexer->at);
}

/* Moves over a number of bytes on one line. */
static void advance(struct lexer *lexer, size_t bytes)
{
	size_t end = lexer->at + bytes;

	while (lexer->at < end) {
		uint32_t code;

		if ((uint8_t)lexer->source.at[lexer->at] < 0x80)
			lexer->at++;
		else
			lexer->at += lex_char(rest_of(lexer), &code);
		lexer->column++;
	}
}

struct lexer lexer_make(struct span source, enum lex_dialect dialect)
{
	struct lexer lexer = {source, 0, 1, 1, dialect};

	if (span_starts(source, SPAN(UTF8_BOM)))
		lexer.at = sizeof(UTF8_BOM) - 1;
	return lexer;
}

/* White space and comments; returns whether what follows is the first on its line. */
static bool skip_blanks(struct lexer *lexer)
{
	bool first = lexer->column == 1;

	while (lexer->at < lexer->source.len) {
		char c = lexer->source.at[lexer->at];

		if (c == '\n') {
			lexer->at++;
			lexer->line++;
			lexer->column = 1;
			first = true;
		} else if (c == ' ' || c == '\t' || c == '\r') {
			lexer->at++;
			lexer->column++;
		} else if (c == '#') {
			lexer->at += span_find_char(rest_of(lexer), '\n');
		} else {
			break;
		}
	}
	return first;
}

/* --- numbers and addresses --- */

static size_t count_digits(struct span s)
{
	size_t n = 0;

	while (n < s.len && ascii_is_digit(s.at[n]))
		n++;
	return n;
}

static bool error_set(struct token *token, const char *message, const char *help)
{
	token->kind = TOKEN_ERROR;
	token->message = message;
	token->help = help;
	return true;
}

static bool read_plain_number(struct token *token)
{
	struct span s = token->text;
	bool negative = s.at[0] == '-';
	size_t whole, fraction = 0;
	double value = 0, scale = 1;

	if (negative)
		s = span_from(s, 1);
	whole = count_digits(s);
	if (whole == 0)
		return false;
	if (whole < s.len) {
		fraction = count_digits(span_from(s, whole + 1));
		if (s.at[whole] != '.' || fraction == 0 || whole + 1 + fraction != s.len)
			return false;
	}
	if (whole + fraction > DIGITS_MAX)
		return error_set(token, "this number has too many digits", NULL);
	for (size_t i = 0; i < s.len; i++)
		if (i != whole)
			value = value * 10 + (s.at[i] - '0');
	for (size_t i = 0; i < fraction; i++)
		scale *= 10;
	token->kind = TOKEN_NUMBER;
	token->number = (negative ? -value : value) / scale;
	token->whole = !negative && fraction == 0;
	return true;
}

/* Digits and a unit of the table. *too_large: a unit fits but the value does not. */
static bool read_quantity(
	struct span s, const struct unit *units, size_t n_units, uint64_t *out, bool *too_large)
{
	size_t digits = count_digits(s);
	struct span name = span_from(s, digits);
	uint64_t count;

	if (digits == 0)
		return false;
	for (size_t i = 0; i < n_units; i++) {
		if (!span_equal(name, span_text(units[i].name)))
			continue;
		*too_large =
			!span_number(span_first(s, digits), INT64_MAX / units[i].factor, &count);
		if (*too_large)
			return false;
		*out = count * units[i].factor;
		return true;
	}
	return false;
}

static bool read_unit_number(struct token *token)
{
	bool too_large = false;

	if (read_quantity(
		    token->text, durations, COUNT_OF(durations), &token->duration_ms, &too_large))
		token->kind = TOKEN_DURATION;
	else if (!too_large &&
		 read_quantity(token->text, sizes, COUNT_OF(sizes), &token->size_bytes, &too_large))
		token->kind = TOKEN_SIZE;
	else if (too_large)
		return error_set(token, "this number is too large", NULL);
	else
		return false;
	return true;
}

static bool read_rate(struct token *token)
{
	size_t slash = span_find_char(token->text, '/');
	bool too_large = false;

	if (slash == token->text.len ||
		!span_number(span_first(token->text, slash), UINT32_MAX, &token->rate.count) ||
		!read_quantity(span_from(token->text, slash + 1), durations, COUNT_OF(durations),
			&token->rate.per_ms, &too_large))
		return false;
	if (token->rate.per_ms == 0)
		return error_set(token, "a rate counts over a time that is not 0", NULL);
	token->kind = TOKEN_RATE;
	return true;
}

/* RFC 3463: class "." subject "." detail. */
static bool read_status_code(struct token *token)
{
	struct span s = token->text;
	uint64_t part;

	for (int i = 0; i < 3; i++) {
		size_t digits = count_digits(s);

		if (digits == 0 || !span_number(span_first(s, digits), 999, &part))
			return false;
		if (i == 0 && part != 2 && part != 4 && part != 5)
			return false;
		s = span_from(s, digits);
		if (i < 2 && (s.len == 0 || s.at[0] != '.'))
			return false;
		if (i < 2)
			s = span_from(s, 1);
	}
	if (s.len)
		return false;
	token->kind = TOKEN_CODE;
	return true;
}

static bool read_network(struct token *token)
{
	bool slash = span_find_char(token->text, '/') < token->text.len;

	if (!cidr_parse(token->text, &token->network, NULL))
		return false;
	token->kind = slash ? TOKEN_CIDR : TOKEN_ADDRESS;
	return true;
}

static bool read_range(struct token *token)
{
	size_t dash = span_find_char(token->text, '-');

	if (dash == token->text.len ||
		!ip_parse(span_first(token->text, dash), &token->range.first) ||
		!ip_parse(span_from(token->text, dash + 1), &token->range.last))
		return false;
	if (token->range.first.family != token->range.last.family ||
		memcmp(token->range.first.bytes, token->range.last.bytes, 16) > 0)
		return error_set(
			token, "a range of addresses goes from a lower one to a higher one", NULL);
	token->kind = TOKEN_RANGE;
	return true;
}

static bool classify(struct token *token)
{
	return read_plain_number(token) || read_unit_number(token) || read_rate(token) ||
	       read_status_code(token) || read_network(token) || read_range(token);
}

/* 50mb, 10x, 1.5h: a number and letters that are no unit. */
static bool is_bad_unit(struct span s)
{
	size_t i = count_digits(s);

	if (i == 0)
		return false;
	if (i < s.len && s.at[i] == '.')
		i += 1 + count_digits(span_from(s, i + 1));
	if (i == s.len)
		return false;
	while (i < s.len && ascii_is_alpha(s.at[i]))
		i++;
	return i == s.len;
}

static void error_bad_number(struct token *token)
{
	const char *help = UNIT_HELP;

	for (size_t i = 1; i < COUNT_OF(sizes); i++)
		if (span_ends_nocase(token->text, span_text(sizes[i].name)))
			help = CAPITALS_HELP;
	error_set(token, "no number, duration, size, rate or address reads like this", help);
}

/* --- tokens --- */

/* Takes the next bytes as the token's text. */
static void take(struct lexer *lexer, struct token *token, enum token_kind kind, size_t bytes)
{
	token->kind = kind;
	token->text = span_first(rest_of(lexer), bytes);
	advance(lexer, bytes);
}

static bool is_escape(char c)
{
	return c == '"' || c == '\\' || c == 'n' || c == 'r' || c == 't';
}

/* How far a string or regex goes: the index of its closing mark, or of the line's end. *problem is
 * the first thing inside that can't stay, if any. */
static size_t find_closing(struct span s, char mark, const char **problem)
{
	size_t i = 1;

	while (i < s.len && s.at[i] != '\n' && s.at[i] != mark) {
		uint32_t code;

		i += lex_char(span_from(s, i), &code);
		if (code == LEX_BAD_CHAR && !*problem)
			*problem = "this is not valid UTF-8";
		else if (is_control(code) && code != '\t' && code != '\r' && !*problem)
			*problem = "a control character stands in this text";
		if (code != '\\' || i >= s.len || s.at[i] == '\n')
			continue;
		if (mark == '"' && !is_escape(s.at[i]) && !*problem)
			*problem = "this string has an unknown escape; known are \\\" \\\\ \\n \\r "
				   "\\t";
		if ((uint8_t)s.at[i] < 0x80)
			i++;
	}
	return i;
}

static void lex_quoted(struct lexer *lexer, struct token *token, enum token_kind kind)
{
	struct span s = rest_of(lexer);
	const char *problem = NULL;
	size_t end = find_closing(s, s.at[0], &problem);

	if (end == s.len || s.at[end] == '\n') {
		while (end > 1 && (s.at[end - 1] == '\r' || s.at[end - 1] == ' '))
			end--;
		take(lexer, token, kind, end);
		error_set(token,
			kind == TOKEN_STRING ? "this string has no closing quote on its line"
					     : "this regex has no closing / on its line",
			NULL);
		return;
	}
	take(lexer, token, kind, end + 1);
	if (problem)
		error_set(token, problem, NULL);
}

static bool is_word_char(const struct lexer *lexer, char c)
{
	if ((uint8_t)c >= 0x80 || ascii_is_alpha(c) || ascii_is_digit(c) || c == '_' || c == '-' ||
		c == '.')
		return true;
	if (lexer->dialect == LEX_RULES)
		return false;
	return (uint8_t)c > ' ' && c != 0x7f && !strchr("\"'`{}(),=;#<>~", c);
}

/* Bytes of the word at the front; it stops before what is not UTF-8 or a lookalike. */
static size_t word_length(const struct lexer *lexer, struct span s)
{
	size_t len = 0;

	while (len < s.len && is_word_char(lexer, s.at[len])) {
		uint32_t code;
		size_t step;

		if ((uint8_t)s.at[len] < 0x80) { /* nearly always */
			len++;
			continue;
		}
		step = lex_char(span_from(s, len), &code);
		if (code == LEX_BAD_CHAR || is_control(code) || is_lookalike(code))
			break;
		len += step;
	}
	return len;
}

/* Bytes of an IPv6 address or network at the front, 0 if there is none. */
static size_t ipv6_length(const struct lexer *lexer, struct span s)
{
	size_t len = 0, colons = 0;
	struct cidr network;

	while (len < s.len && (is_hex(s.at[len]) || s.at[len] == ':' || s.at[len] == '.'))
		colons += s.at[len++] == ':';
	if (colons < 2)
		return 0;
	if (len < s.len && s.at[len] == '/')
		len += 1 + count_digits(span_from(s, len + 1));
	if (len < s.len && (is_word_char(lexer, s.at[len]) || s.at[len] == ':'))
		return 0;
	return cidr_parse(span_first(s, len), &network, NULL) ? len : 0;
}

/* In rules: whatever begins with a digit, up to what can't belong to a number, address or range. */
static size_t number_length(const struct lexer *lexer, struct span s)
{
	size_t len = s.at[0] == '-' ? 1 : 0, step;

	while (len < s.len) {
		step = word_length(lexer, span_from(s, len));
		if (step == 0 && s.at[len] != ':' && s.at[len] != '/')
			break;
		len += step ? step : 1;
	}
	return len;
}

static void lex_word(struct lexer *lexer, struct token *token)
{
	struct span s = rest_of(lexer);
	bool numeric =
		ascii_is_digit(s.at[0]) || (s.at[0] == '-' && s.len > 1 && ascii_is_digit(s.at[1]));
	size_t ipv6 = ipv6_length(lexer, s);

	if (ipv6) {
		take(lexer, token, TOKEN_ADDRESS, ipv6);
		ENSURE(read_network(token));
		return;
	}
	if (numeric && lexer->dialect == LEX_RULES) {
		take(lexer, token, TOKEN_NUMBER, number_length(lexer, s));
		if (!classify(token))
			error_bad_number(token);
		return;
	}
	take(lexer, token, TOKEN_WORD, word_length(lexer, s));
	if (numeric && !classify(token) && is_bad_unit(token->text))
		error_bad_number(token);
}

/* Bytes that belong nowhere; a run of a kind is one token, so that a binary file is not a thousand
 * mistakes. */
static void lex_stray(struct lexer *lexer, struct token *token)
{
	struct span s = rest_of(lexer);
	uint32_t code;
	size_t len = lex_char(s, &code);

	if (code == LEX_BAD_CHAR || is_control(code)) {
		while (len < s.len && s.at[len] != '\n') {
			uint32_t next;
			size_t step = lex_char(span_from(s, len), &next);

			if (next != LEX_BAD_CHAR && !is_control(next))
				break;
			len += step;
		}
		take(lexer, token, TOKEN_ERROR, len);
		error_set(token,
			code == LEX_BAD_CHAR ? "this is not valid UTF-8"
					     : "a control character stands here",
			NULL);
		return;
	}
	take(lexer, token, TOKEN_ERROR, len);
	if (is_lookalike(code))
		error_set(token,
			"this character only looks like a quote or a space, or can't be seen",
			"replace it by a plain \" or a plain space");
	else if (code == '\'' || code == '`')
		error_set(token, "strings stand in double quotes", "write \"...\"");
	else if (code == ';')
		error_set(token, "no ; is needed", "white space and line ends separate");
	else
		error_set(token, "this character has no meaning here", "put text into quotes");
}

/* < <= > >= = == and !=: the second character is always `=`. */
static void lex_operator(struct lexer *lexer, struct token *token)
{
	struct span s = rest_of(lexer);
	bool two = s.len > 1 && s.at[1] == '=';

	switch (s.at[0]) {
	case '=':
		take(lexer, token, two ? TOKEN_EQUAL : TOKEN_ASSIGN, two ? 2 : 1);
		break;
	case '<':
		take(lexer, token, two ? TOKEN_LESS_EQUAL : TOKEN_LESS, two ? 2 : 1);
		break;
	case '>':
		take(lexer, token, two ? TOKEN_GREATER_EQUAL : TOKEN_GREATER, two ? 2 : 1);
		break;
	default:
		if (two)
			take(lexer, token, TOKEN_NOT_EQUAL, 2);
		else
			lex_stray(lexer, token);
	}
}

static const struct {
	char mark;
	enum token_kind kind;
} marks[] = {
	{'{', TOKEN_LEFT_BRACE},
	{'}', TOKEN_RIGHT_BRACE},
	{'(', TOKEN_LEFT_PAREN},
	{')', TOKEN_RIGHT_PAREN},
	{',', TOKEN_COMMA},
	{'~', TOKEN_TILDE},
};

/* What a bare word or number may begin with. */
static bool begins_word(const struct lexer *lexer, struct span s)
{
	if (word_length(lexer, s) == 0)
		return false;
	return lexer->dialect == LEX_CONFIG || (uint8_t)s.at[0] >= 0x80 ||
	       ascii_is_alpha(s.at[0]) || ascii_is_digit(s.at[0]) || s.at[0] == '_' ||
	       (s.at[0] == '-' && s.len > 1 && ascii_is_digit(s.at[1]));
}

static void lex_token(struct lexer *lexer, struct token *token)
{
	struct span s = rest_of(lexer);
	char c = s.at[0];

	for (size_t i = 0; i < COUNT_OF(marks); i++) {
		if (c == marks[i].mark) {
			take(lexer, token, marks[i].kind, 1);
			return;
		}
	}
	if (c == '"')
		lex_quoted(lexer, token, TOKEN_STRING);
	else if (c == '=' || c == '<' || c == '>' || (c == '!' && s.len > 1 && s.at[1] == '='))
		lex_operator(lexer, token);
	else if (c == '@' && s.len > 1 && (ascii_is_alpha(s.at[1]) || s.at[1] == '_'))
		take(lexer, token, TOKEN_LIST, 1 + word_length(lexer, span_from(s, 1)));
	else if (c == '/' && lexer->dialect == LEX_RULES)
		lex_quoted(lexer, token, TOKEN_REGEX);
	else if (c == ':' && lexer->dialect == LEX_RULES && ipv6_length(lexer, s) == 0)
		take(lexer, token, TOKEN_COLON, 1);
	else if (c == ':' || begins_word(lexer, s))
		lex_word(lexer, token);
	else
		lex_stray(lexer, token);
}

struct token lex_next(struct lexer *lexer)
{
	struct token token = {.kind = TOKEN_END};
	size_t before;

	token.first_on_line = skip_blanks(lexer);
	token.line = lexer->line;
	token.column = lexer->column;
	token.text = span_first(rest_of(lexer), 0);
	if (lexer->at == lexer->source.len)
		return token;
	before = lexer->at;
	lex_token(lexer, &token);
	ENSURE(lexer->at > before && lexer->at <= lexer->source.len);
	return token;
}

bool token_is_value(enum token_kind kind)
{
	return kind >= TOKEN_WORD && kind <= TOKEN_LIST;
}

bool token_is(const struct token *token, const char *text)
{
	return token->kind != TOKEN_STRING && token->kind != TOKEN_ERROR &&
	       span_equal(token->text, span_text(text));
}

static char unescape(char c)
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

const char *token_value(const struct token *token, struct arena *arena)
{
	struct span s = token->text;
	char *out, *end;

	if (token->kind == TOKEN_LIST)
		return arena_string(arena, span_from(s, 1));
	if (token->kind == TOKEN_REGEX)
		return arena_string(arena, span_make(s.at + 1, s.len - 2));
	if (token->kind != TOKEN_STRING)
		return arena_string(arena, s);
	out = end = arena_alloc(arena, s.len);
	for (size_t i = 1; i + 1 < s.len; i++) {
		if (s.at[i] == '\\')
			*end++ = unescape(s.at[++i]);
		else
			*end++ = s.at[i];
	}
	return out;
}
