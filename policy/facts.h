/*
 * facts: what rules can speak of. Each filter declares its own in a table; the registry joins them.
 * This header is all that filters and policy know of each other.
 *
 * A fact has a type and a stage: the first moment of a session at which it can be measured, which
 * is also how long it holds (a client's address for the session, a HELO name until the next HELO, a
 * recipient's address for that recipient, the rest for the transaction).
 */
#ifndef POLICY_FACTS_H
#define POLICY_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/idn.h"
#include "lib/base/ip.h"
#include "lib/base/span.h"

/* X(NAME, word) */
#define STAGES(X)                                                                                  \
	X(CONNECT, "connect")                                                                      \
	X(HELO, "helo")                                                                            \
	X(MAIL, "mail")                                                                            \
	X(RCPT, "rcpt")                                                                            \
	X(HEADER, "header") /* the header section is there, the body still comes */                \
	X(MESSAGE, "message")

enum stage {
#define X(name, word) STAGE_##name,
	STAGES(X)
#undef X
		STAGE_COUNT
};

const char *stage_name(enum stage stage);

enum fact_type {
	TYPE_BOOL,
	TYPE_NUMBER,
	TYPE_SIZE, /* bytes */
	TYPE_IP,
	TYPE_DOMAIN,
	TYPE_MAIL, /* local@domain; empty: the null reverse-path */
	TYPE_TEXT,
	TYPE_CHOICE, /* one word of a few */
	TYPE_COUNT
};

const char *fact_type_name(enum fact_type type);

enum fact_flags {
	FACT_MANY = 1,      /* several values: rules say any, all or no */
	FACT_ORDERED = 2,   /* choices can be compared with < and > */
	FACT_ASSURES = 4,   /* a condition on it tells who really sent: SPF, DKIM, DMARC, ARC, TLS
			       client certificates (`check` warns of an accept without one) */
	FACT_OF_TEXT = 8,   /* written NAME("text"): header("X-Spam") */
	FACT_OF_FIELD = 16, /* written NAME(FIELD), or NAME("text", FIELD) with FACT_OF_TEXT */
	FACT_FAMILY = 32,   /* NAME ends in a dot, any word may follow: milter.NAME */
	FACT_IN_TEXTS = 64, /* only in texts, as {NAME} */
	FACT_FIRST = 128,   /* of many values: without any, all or no a rule means the first */
	FACT_ANY = 256,     /* of many values: without any, all or no a rule means any */
	FACT_ABSENT = 512,  /* declared, but no filter of this version measures it */
	FACT_ASKS = 1024,   /* others are asked, or it is waited for: begun when what is known at
			       once still leaves it wanted */
	FACT_OF_BACKEND = 2048, /* the backend is asked, so a rule with `route` can't read it */
	FACT_TOGETHER = 4096, /* with FACT_OF_TEXT alone: its texts are names, without case, and one
				 call looks for all of them (call_add_text_of) */
	FACT_AUTHRES = 8192,  /* texts that stand in Authentication-Results: each is a resinfo (RFC
				 8601 2.2), "spf=pass smtp.mailfrom=example.com" */
	FACT_TRACE = 16384,   /* texts that are put above a message that goes on: each is a field,
				 "Received-SPF: pass ..." */
	FACT_COUNTS = 32768   /* of a FACT_OF_FIELD number: counts transactions, or recipients where
				 it is written NAME(FIELD, recipients), which is known at rcpt */
};

struct fact_choice {
	const char *word;
	const char *also; /* other ways to write it, one blank between; NULL: none */
};

struct fact {
	const char *name;
	enum fact_type type;
	enum stage stage;
	unsigned flags;                    /* enum fact_flags */
	const struct fact_choice *choices; /* TYPE_CHOICE; ends with a NULL word */
	const char *help;                  /* one line */
};

/* One value of a fact; which member counts is the type's. Texts are borrowed from the arena of
 * whoever keeps the value. Choices are indexes into the fact's list. */
union fact_datum {
	bool yes;
	double number; /* TYPE_SIZE too */
	unsigned choice;
	struct ip ip;
	struct span text; /* TYPE_DOMAIN, TYPE_MAIL, TYPE_TEXT */
};

enum fact_state {
	FACT_PENDING, /* may still become anything */
	FACT_KNOWN,   /* count values; 0: known to be none */
	FACT_FAILED   /* unknown for good */
};

struct fact_value {
	enum fact_state state;
	uint32_t count;
	const union fact_datum *items;
	const char *why; /* FACT_FAILED: for people; static or as the items */
};

/* Addresses from one to another, both included, of one family. */
struct ip_range {
	struct ip first, last;
};

/* A few values that a fact has at most; a filter that has more drops the rest. */
enum { FACT_ITEMS_MAX = 1000 };

/* What one source (a filter, or the session itself) declares; the facts end with a NULL name. */
struct fact_source {
	const char *name;
	const struct fact *facts;
};

struct fact_registry {
	const struct fact_source *sources;
	size_t n_sources;
};

/* The fact that a word names (of a family: "milter.clamav" finds "milter."); *source: its index in
 * the registry, may be NULL. NULL: there is none. */
const struct fact *fact_find(
	const struct fact_registry *registry, struct span name, size_t *source);

/* The two that follow from the rules themselves and so are in no registry: score (a number) and
 * tags (texts). Ends with a NULL name. */
extern const struct fact verdict_facts[];

/* The nearest name to one that is none; NULL: none is near. */
const char *fact_nearest(const struct fact_registry *registry, struct span name);

/* The index of the choice that a word names, by any of its spellings, without case; -1: none. */
int fact_choice_find(const struct fact *fact, struct span word);

/* A fact's choices for people: "none, pass, fail". "" if it is no choice. In the arena. */
const char *fact_choices(const struct fact *fact, struct arena *arena);

/* What a value of the fact looks like: "a size, such as 25MB". In the arena or static. */
const char *fact_expects(const struct fact *fact, struct arena *arena);

/* Whether a value of the type holds a domain that is not in ASCII, and puts it into ASCII: facts,
 * rules and lists have domains in that spelling (idn.h). Other types stay as they are. */
static inline bool fact_text_is_wide(enum fact_type type, struct span text)
{
	return (type == TYPE_DOMAIN || type == TYPE_MAIL) &&
	       idn_is_wide(type == TYPE_MAIL ? IDN_MAILBOX : IDN_DOMAIN, text);
}

static inline bool fact_text_ascii(
	enum fact_type type, domain_ascii *ascii, struct span *text, struct arena *arena)
{
	if (type != TYPE_DOMAIN && type != TYPE_MAIL)
		return true;
	return idn_to_ascii(type == TYPE_MAIL ? IDN_MAILBOX : IDN_DOMAIN, ascii, text, arena);
}

/* Values as text, for people and for {field} in texts: several are joined by ", ". false: out is
 * full. */
bool fact_value_write(
	const struct fact *fact, const struct fact_value *value, struct buffer *out) MUST_CHECK;

/* One value from text, which is copied to the arena as written. false: why says what it should have
 * been. */
struct err;
bool fact_datum_read(const struct fact *fact, struct span text, struct arena *arena,
	union fact_datum *out, struct err *why) MUST_CHECK;

/* A value from a person's text (`--fact spf=fail`); several are separated by commas, "none" is
 * none. Texts are copied to the arena. false: why says what it should have been. */
bool fact_value_read(const struct fact *fact, struct span text, struct arena *arena,
	struct fact_value *out, struct err *why) MUST_CHECK;

#endif
