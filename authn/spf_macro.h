/*
 * spf_macro: the macros of RFC 7208 7, checked and expanded. libspf2 has macros too, but they
 * overflow, forget the limits of names, and would take what the sender wrote near it
 * (docs/why/spf.md).
 *
 * A text is checked once, as a whole; expanding trusts that.
 */
#ifndef AUTHN_SPF_MACRO_H
#define AUTHN_SPF_MACRO_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/arena.h"
#include "lib/base/attributes.h"
#include "lib/base/span.h"

enum {
	/* In one text. A name of 253 bytes has no room for more; without a limit a record full of
	 * macros that expand to nothing would cost what its author likes. */
	SPF_MACROS_MAX = 512,
	SPF_EXPLANATION_MAX = 500 /* bytes; the rest is cut off */
};

/* The letters in the order of RFC 7208 7.2. X(LETTER, letter) */
#define SPF_MACRO_LETTERS(X)                                                                       \
	X(SENDER, 's')                                                                             \
	X(LOCAL, 'l')                                                                              \
	X(SENDER_DOMAIN, 'o')                                                                      \
	X(DOMAIN, 'd')                                                                             \
	X(ADDRESS, 'i')                                                                            \
	X(VALIDATED, 'p')                                                                          \
	X(VERSION, 'v')                                                                            \
	X(HELO, 'h')                                                                               \
	X(PRETTY, 'c')                                                                             \
	X(RECEIVER, 'r')                                                                           \
	X(TIME, 't')

enum spf_macro_letter {
#define X(name, letter) SPF_MACRO_##name,
	SPF_MACRO_LETTERS(X)
#undef X
		SPF_MACRO_LETTERS_N
};

/* What each letter stands for; borrowed. VALIDATED counts only for texts that use it. */
struct spf_macros {
	struct span values[SPF_MACRO_LETTERS_N];
};

/* domain-spec, macro-string (of modifiers that nobody knows), explain-string (RFC 7208 12). */
enum spf_macro_place { SPF_MACRO_IN_DOMAIN, SPF_MACRO_IN_MODIFIER, SPF_MACRO_IN_EXPLANATION };

/* NULL: it is well-formed there. Otherwise why it is not, for people. */
const char *spf_macro_mistake(struct span text, enum spf_macro_place place);

/* Whether %{p} stands in it. */
bool spf_macro_uses_validated(struct span text);

/* A name, cut from the left to fit (RFC 7208 7.3) and without the dot at its end. Whether it can be
 * asked for is another question. Lies in the arena. */
struct span spf_macro_expand_name(
	struct span text, const struct spf_macros *macros, struct arena *arena);

/* An explanation. What is not printable ASCII becomes '?'. Lies in the arena. */
struct span spf_macro_expand_explanation(
	struct span text, const struct spf_macros *macros, struct arena *arena);

#endif
