/*
 * arc_play: a sealer, to play with chains: each set signs what is there, by a key of
 * tests/oracle/arc_keys whose record is then among the answers.
 */
#ifndef TESTS_ARC_PLAY_H
#define TESTS_ARC_PLAY_H

#include "authn/arc.h"
#include "lib/base/buffer.h"

struct arc_play {
	struct arena *arena;
	struct answers *answers;
	struct buffer headers; /* without the empty line */
	struct span body;
	struct arc_result result; /* of arc_play_judge */
	size_t n_wanted;          /* how many keys it asked for */
	bool needed_body;
};

/* What a sealer does; what is not said is as usual. */
struct arc_play_set {
	unsigned i;
	const char *cv;        /* NULL: "none" for i=1, else "pass" */
	const char *key;       /* a file of arc_keys, or "ed25519"; NULL: "a" */
	const char *domain;    /* NULL: "one.example" */
	const char *record;    /* of the key, "%s" where it stands; NULL: "v=DKIM1; k=...; p=%s" */
	const char *algorithm; /* NULL: the key's */
	const char *c;         /* NULL: "relaxed/relaxed"; "": no c= */
	const char *h;         /* NULL: "from:to:subject" */
	const char *results;   /* NULL: "mx.example; spf=pass" */
	const char *message_tags; /* NULL or "x=1; " */
	const char *seal_tags;
	bool bare; /* RSAPublicKey alone */
};

struct arc_play *arc_play_new(const char *headers, const char *body);
void arc_play_free(struct arc_play **play);

/* Puts a set above the headers. */
void arc_play_seal(struct arc_play *play, const struct arc_play_set *set);

/* Puts a field, "name: value\r\n", above the headers. */
void arc_play_above(struct arc_play *play, const char *field);

/* The first occurrence of a text in the headers becomes another. */
void arc_play_replace(struct arc_play *play, const char *text, const char *other);

/* What DNS says of a name; before any seal of it. */
void arc_play_answer(
	struct arc_play *play, const char *name, enum answer_outcome outcome, const char *text);

/* Judged at a time, its body in pieces of three bytes. */
void arc_play_judge(struct arc_play *play, uint64_t now_s);

#endif
