/*
 * pattern: text of a script as bytes to send or as a pattern to compare with. Escapes: \r \n \t \0
 * \xHH, and \ before any other character for itself. In a pattern * stands for any bytes, ? for
 * one.
 */
#ifndef TALK_PATTERN_H
#define TALK_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/span.h"

struct talk_pattern {
	uint16_t *at; /* owned: bytes, or one of the two below */
	size_t len, room;
};

enum { PATTERN_ONE = 256, PATTERN_ANY = 257 };

void talk_pattern_free(struct talk_pattern *p);

/* Appends text with its escapes seen through, so many times; wild: * and ? are not themselves. */
void pattern_add(struct talk_pattern *p, struct span text, bool wild, size_t times);

/* A string expression: "abc" "x" * 40KB "\r\n". false: it can't be read. */
bool pattern_add_expression(struct talk_pattern *p, struct span text, bool wild);

bool talk_pattern_matches(const struct talk_pattern *p, struct span text);

/* The bytes, when nothing in it is wild; owned by the caller. */
char *pattern_bytes(const struct talk_pattern *p);

/* "40KB", "7": bytes or a count. */
bool number_with_unit(struct span text, uint64_t *out);

#endif
