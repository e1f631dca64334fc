/*
 * tag_list: "v=DKIM1; k=rsa; p=..." (RFC 6376 3.2), the form of DKIM and ARC signatures, of their
 * keys, and of DMARC records.
 */
#ifndef MAIL_TAG_LIST_H
#define MAIL_TAG_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attributes.h"
#include "lib/base/span.h"

/* Borrowed from the text. */
struct tag {
	struct span name;  /* ALPHA *(ALPHA / DIGIT / "_"); its case counts */
	struct span value; /* without blanks and folds around it; may hold some inside */
};

enum { TAGS_MAX = 64 };

struct tag_list {
	struct tag items[TAGS_MAX];
	size_t n;
};

/* false: not of that form, a tag stands there twice, or there are more than TAGS_MAX. */
bool tag_list_read(struct span text, struct tag_list *out) MUST_CHECK;

/* The value of a tag; its `at` is NULL when there is none. */
struct span tag_list_find(const struct tag_list *list, struct span name);

/* White space of folding (RFC 5322 FWS, and what is left of it after unfolding). */
static inline bool is_fws(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Takes the next word off a list with colons between, as h= is: without blanks around, perhaps
 * empty. */
struct span tag_word_next(struct span *words);
bool tag_words_have(struct span words, struct span word);

/* The value without any of it: for base64. false: it is longer than size. */
bool tag_value_squeeze(struct span value, char *out, size_t size, size_t *len) MUST_CHECK;

#endif
