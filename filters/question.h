/*
 * question: DNS questions of one call, side by side, for filters that ask some. The call is done
 * when all are answered; cancelled, when all have come back.
 *
 *     struct questions *all = questions_new(call, on_answer, on_end);
 *     question_ask(all, domain, DNS_MX, 0);
 *     return questions_wait(all);
 *
 * call_own is the questions' while they are used; the filter's `cancel` is questions_cancel.
 */
#ifndef FILTERS_QUESTION_H
#define FILTERS_QUESTION_H

#include "filters/call.h"
#include "lib/net/dns.h"

struct question;

struct questions {
	struct call *call;
	void *context; /* the filter's own */
	/* The names lie in a zone that an admin named; otherwise who is judged may have chosen
	 * them, and asks at the expense of its own address (dns_query.stranger). */
	bool of_admin;
	/* private */
	void (*answered)(struct question *question);
	void (*ended)(struct questions *all);
	struct question *first;
	unsigned under_way;
	bool cancelled;
	size_t bytes; /* of all answers */
};

/* Memory for the answers of a call, which it keeps as long as its message is under way. Many times
 * what honest domains have; nobody knows the answer to what is asked beyond. */
enum { QUESTIONS_BYTES_MAX = 512 * 1024 };

struct question {
	struct dns_query query; /* outcome and records */
	struct questions *all;
	unsigned tag; /* the asker's */
	/* private */
	struct question *next;
};

/* In the call's memory. answered: for each, may ask more; not after a cancel. ended: when none is
 * under way, before the call is done; or NULL. */
struct questions *questions_new(struct call *call, void (*answered)(struct question *question),
	void (*ended)(struct questions *all));

/* The name in presentation form; U-labels are asked for as A-labels. A name that can't be one is
 * answered NXDOMAIN. */
void question_ask(struct questions *all, struct span name, enum dns_type type, unsigned tag);

/* A name with its U-labels as A-labels, as question_ask does it. In the call's memory. */
struct span question_name(struct call *call, struct span name);

/* What `run` returns. */
enum call_status questions_wait(struct questions *all);

void questions_cancel(struct call *call);

/* None is of use any more: no answer is told, the call is done when all have come back. */
void questions_drop(struct questions *all);

/* The call waits for something else too: it is not done before it was let go as often. Not within
 * `run`, which questions_wait ends. */
void questions_hold(struct questions *all);
void questions_let_go(struct questions *all);

/* For call_fail: "MX of example.com: timeout". In the call's memory. */
const char *question_why(const struct question *question);

/* Nobody knows the answer. */
static inline bool question_failed(const struct question *question)
{
	return dns_is_unknown(question->query.outcome);
}

static inline bool question_found(const struct question *question)
{
	return question->query.outcome == DNS_FOUND;
}

#endif
