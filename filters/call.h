/*
 * call: one run of a filter: what it may look at, and how it answers. A fact is named by its index
 * in the filter's own table. Values are copied; one that no rule reads is dropped, and so is what
 * comes after the deadline or a cancel.
 */
#ifndef FILTERS_CALL_H
#define FILTERS_CALL_H

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "lib/net/loop.h"
#include "policy/facts.h"

struct authn;
struct call;
struct charsets;
struct dns;
struct filters;
struct store;

enum call_status {
	CALL_DONE,
	CALL_WAIT /* call_done follows */
};

enum filter_option_kind {
	FILTER_BOOL,     /* yes, no */
	FILTER_NUMBER,   /* a whole number */
	FILTER_DURATION, /* milliseconds */
	FILTER_SIZE,     /* bytes */
	FILTER_TEXT,
	FILTER_PATH,  /* absolute: relative ones start at postern.conf's folder */
	FILTER_CHOICE /* one of a few words, which the fallback lists: "tree or psl", the first is
			 the default */
};

struct filter_option {
	const char *name;
	enum filter_option_kind kind;
	const char *fallback; /* as it would be written; NULL: not set */
	uint64_t min, max;
	const char *help;
};

/* What a filter has in a worker, from open to close. */
struct filter_home {
	struct loop *loop;
	struct dns *dns;
	struct authn *authn; /* NULL: there is none here */
	struct store *store; /* NULL: nothing is remembered here */
	struct log *log;
	const char *hostname;
	void *state; /* the filter's own */
	void *private;
	struct filters *filters; /* private */
};

/* The value of an option, by its index in the table. Text, path, choice: NULL when not set. */
uint64_t filter_number(const struct filter_home *home, unsigned option);
const char *filter_text(const struct filter_home *home, unsigned option);

/* For decoding headers and text (lib/mail/mime_decode.h): one for all filters of a worker, made
 * when the first asks, which must be in its open (later a sandbox may forbid it). Borrowed. */
struct charsets *filter_charsets(struct filter_home *home);

/* The session as far as it has come; what is not there yet is empty. All borrowed: what a waiting
 * call needs later it copies (call_copy). */
struct filter_view {
	struct endpoint client, local;
	const char *listener;    /* as in postern.conf */
	struct span client_name; /* told by XCLIENT; empty: not */
	bool talked;             /* something came before the greeting */
	bool greeted;            /* it went out: `talked` is final */
	struct span helo;
	bool esmtp;
	const char *tls_version; /* "TLSv1.3"; NULL: no TLS */
	const char *tls_sni;     /* NULL: none */
	bool tls_client_verified;
	const struct address *from; /* NULL: before MAIL. The null reverse-path has no mailbox */
	uint64_t declared_size;
	bool smtputf8;
	const struct address *to; /* the recipient that RCPT names; NULL: none */
	unsigned to_count;        /* recipients accepted so far, and this one */
	struct span
		headers; /* the header section with its empty line; at is NULL before it is there */
	uint64_t message_size; /* at the message's end */
	uint64_t wall_ms;
	/* Asks the backend about `to`: records the boolean fact or fails it, and returns CALL_DONE;
	 * or CALL_WAIT, and call_done follows. NULL: there is no backend to ask. */
	enum call_status (*ask_recipient)(
		const struct filter_view *view, struct call *call, unsigned fact);
	/* The call is cancelled: call_done soon. */
	void (*forget_recipient)(const struct filter_view *view, struct call *call);
};

/* Empty once the call was cancelled. */
const struct filter_view *call_view(const struct call *call);
struct filter_home *call_home(const struct call *call);

/* Whether a rule reads it. */
bool call_wants(const struct call *call, unsigned fact);

/* Of NAME("text") and of a family; NULL otherwise, and with FACT_TOGETHER. */
const char *call_text(const struct call *call);

/* Of NAME(FIELD): its values, known and at least one, and which fact it is. NULL otherwise. */
const struct fact_value *call_field(const struct call *call);
const struct fact *call_field_fact(const struct call *call);

/* Of NAME(FIELD) compared with N/TIME; 0 otherwise. */
uint64_t call_window_ms(const struct call *call);

/* The answers that count, of a dnsbl list; *n 0: any in 127.0.0.0/8. */
const struct ip_range *call_codes(const struct call *call, size_t *n);

/* A fact that `after` names, known or failed. NULL: it is of a later stage. */
const struct fact_value *call_other(const struct call *call, const char *name);

/* The message's content that has come so far, to read it again: hands a piece of it to `take`, from
 * a byte on, and says how long it is; 0: there is no more yet. */
size_t call_content(const struct call *call, uint64_t from,
	void (*take)(void *taker, struct span piece), void *taker);

/* Memory of this call, zeroed; gone after call_done. */
void *call_memory(struct call *call, size_t size_bytes);
struct arena *call_arena(struct call *call);
struct span call_copy(struct call *call, struct span text);
void call_keep(struct call *call, void *own);
void *call_own(const struct call *call);

/* Adds a value: of a FACT_MANY fact one more, of others the only one, which is known at once. An
 * empty text is none, but of TYPE_MAIL; domains are kept in lower case, and those of mail addresses
 * too in ASCII (xn--...). */
void call_add_bool(struct call *call, unsigned fact, bool yes);
void call_add_number(struct call *call, unsigned fact, double number);
void call_add_choice(struct call *call, unsigned fact, unsigned choice);
void call_add_ip(struct call *call, unsigned fact, const struct ip *ip);
void call_add_text(struct call *call, unsigned fact, struct span text);

/* With FACT_TOGETHER: whether a rule reads NAME("of"), and adds a value to it. */
bool call_wants_of(const struct call *call, unsigned fact, struct span of);
void call_add_text_of(struct call *call, unsigned fact, struct span of, struct span text);

/* The fact is known now: what was added, or none. Without it that is so at the end of the call. */
void call_settle(struct call *call, unsigned fact);

/* The fact can't be known: NXDOMAIN is a fact, a timeout a failure. why: copied, for people. */
void call_fail(struct call *call, unsigned fact, const char *why);
void call_fail_all(struct call *call, const char *why);

/* Likewise where nothing went wrong: it is not set up here, and nobody needs to be told of that
 * with each session. */
void call_lack(struct call *call, unsigned fact, const char *why);

/* After CALL_WAIT, once: from the loop, or from within feed or cancel. The call is gone. */
void call_done(struct call *call);

#endif
