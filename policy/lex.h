/*
 * lex: the tokens of postern.conf and of the rule files. Both are written in one hand: words,
 * quoted strings, numbers that carry units, addresses, braces, `#` comments; white space and line
 * ends only separate. The lexer is pure: it borrows the text, allocates nothing and never fails.
 * What it can't read is a token of kind TOKEN_ERROR that says why, and it goes on behind it.
 *
 * The two dialects differ in what a bare word may hold. In postern.conf it runs up to white space,
 * a quote, a brace, a comma, `=`, `;` or `#`, so that paths and addresses with a port need no
 * quotes. In rules `/` opens a regex and `:` stands alone.
 */
#ifndef POLICY_LEX_H
#define POLICY_LEX_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/ip.h"
#include "lib/base/span.h"

/* May stand at the front of a file, where it means nothing. */
#define UTF8_BOM "\xef\xbb\xbf"

enum lex_dialect { LEX_CONFIG, LEX_RULES };

enum token_kind {
	TOKEN_END, /* returned forever once reached */
	TOKEN_ERROR,
	/* values */
	TOKEN_WORD,
	TOKEN_STRING,   /* "..." with \" \\ \n \r \t */
	TOKEN_NUMBER,   /* 5, -0.5 */
	TOKEN_DURATION, /* 5m */
	TOKEN_SIZE,     /* 25MB */
	TOKEN_RATE,     /* 100/1h */
	TOKEN_CODE,     /* 5.7.1, an enhanced status code (RFC 3463) */
	TOKEN_ADDRESS,  /* 192.0.2.1, 2001:db8::1 */
	TOKEN_CIDR,     /* 192.0.2.0/24 */
	TOKEN_RANGE,    /* 127.0.0.2-127.0.0.11 */
	TOKEN_REGEX,    /* /.../, rules only; \/ stays as it is, PCRE2 reads it as / */
	TOKEN_LIST,     /* @name */
	/* marks */
	TOKEN_LEFT_BRACE,
	TOKEN_RIGHT_BRACE,
	TOKEN_LEFT_PAREN,
	TOKEN_RIGHT_PAREN,
	TOKEN_COMMA,
	TOKEN_COLON, /* rules only */
	TOKEN_ASSIGN,
	TOKEN_EQUAL,
	TOKEN_NOT_EQUAL,
	TOKEN_LESS,
	TOKEN_LESS_EQUAL,
	TOKEN_GREATER,
	TOKEN_GREATER_EQUAL,
	TOKEN_TILDE
};

struct token {
	enum token_kind kind;
	struct span text; /* as written, with quotes; borrowed from the source */
	unsigned line;    /* from 1 */
	unsigned column;  /* from 1, in characters; each byte that is not UTF-8 counts as one */
	bool first_on_line;
	union {
		struct {
			double number;
			bool whole; /* neither sign nor fraction: number is an integer below 10^15
				     */
		};
		uint64_t duration_ms;
		uint64_t size_bytes;
		struct {
			uint64_t count;
			uint64_t per_ms;
		} rate;
		struct cidr
			network; /* TOKEN_ADDRESS has all bits; host bits of a TOKEN_CIDR are 0 */
		struct {
			struct ip first, last; /* one family, first <= last */
		} range;
		struct {
			const char *message; /* TOKEN_ERROR: what is wrong */
			const char *help;    /* and what to do; may be NULL */
		};
	};
};

struct lexer {
	struct span source; /* borrowed */
	size_t at;
	unsigned line;
	unsigned column;
	enum lex_dialect dialect;
};

/* A byte order mark at the front is skipped. */
struct lexer lexer_make(struct span source, enum lex_dialect dialect);

struct token lex_next(struct lexer *lexer);

/* Whether the kind is a value: a word, string, number, address, regex or list. */
bool token_is_value(enum token_kind kind);

/* Whether it is a word or mark that reads so. */
bool token_is(const struct token *token, const char *text);

/* What a value means, NUL-terminated: a string without quotes and escapes, a regex without slashes,
 * a list's name without @, anything else as written. */
const char *token_value(const struct token *token, struct arena *arena);

/* The character at the front of a non-empty text and its length in bytes; what is not UTF-8
 * (RFC 3629) is LEX_BAD_CHAR with length 1. */
#define LEX_BAD_CHAR UINT32_MAX
size_t lex_char(struct span text, uint32_t *code);

#endif
