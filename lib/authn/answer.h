/*
 * answer: what DNS says, as the evaluators of SPF, DKIM and ARC see it. They have no network: they
 * read a map of answers, and what it lacks they want; whoever runs them finds it out and runs them
 * again, or lets them go on.
 *
 * Names are in ASCII, lower case, without the dot at the end; other bytes than letters, digits and
 * "-_*+/=" stand there as \DDD (as lib/net/dns.h has them).
 */
#ifndef AUTHN_ANSWER_H
#define AUTHN_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/ip.h"
#include "lib/base/span.h"

/* IANA's numbers, as enum dns_type has them. */
enum answer_type {
	ANSWER_A = 1,
	ANSWER_PTR = 12,
	ANSWER_MX = 15,
	ANSWER_TXT = 16,
	ANSWER_AAAA = 28
};

enum answer_outcome {
	ANSWER_FOUND,    /* at least one record */
	ANSWER_NODATA,   /* the name exists, not with this type */
	ANSWER_NXDOMAIN, /* it does not, or can't be a name */
	ANSWER_TROUBLE   /* nobody knows: no server answered, DNSSEC says it is forged */
};

struct answer_record {
	struct ip ip;        /* A, AAAA */
	uint16_t preference; /* MX */
	struct span text;    /* TXT: its strings joined, any bytes; MX, PTR: a name */
};

/* The question alone is a want. */
struct answer {
	struct span name;
	enum answer_type type;
	enum answer_outcome outcome;
	const struct answer_record *records;
	size_t n_records;
};

enum {
	ANSWERS_MAX = 512,        /* in a map: more are no longer taken */
	ANSWER_RECORDS_MAX = 256, /* of one answer */
	WANTS_MAX = 64            /* at one time: the rest is wanted when these are answered */
};

/* A map, in an arena with all that it holds. */
struct answers;

struct answers *answers_new(struct arena *arena);

/* Copies it. The first answer to a question stands. false: ANSWERS_MAX is reached. */
bool answers_add(struct answers *answers, const struct answer *answer) MUST_CHECK;

/* NULL: not known. The name in any case and with or without a dot at its end. */
const struct answer *answers_find(
	const struct answers *answers, struct span name, enum answer_type type);

/* What an evaluator needs to know before it can go on; in the arena that the caller gave it. */
struct wants {
	struct arena *arena; /* borrowed */
	struct answer items[WANTS_MAX];
	size_t n;
};

/* Once for each question, its name copied and in the usual form. Beyond WANTS_MAX nothing is added.
 */
void wants_add(struct wants *wants, struct span name, enum answer_type type);

#endif
