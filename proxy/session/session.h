/*
 * session: one client's connection, from its greeting to its end.
 *
 *        accept
 *          |  (listed proxy)
 *          +----------> PROXY ---+
 *          |  (implicit TLS)     |
 *          +----------> TLS <----+
 *          v            | ^ STARTTLS
 *       GREETING <------+ |
 *          v              |
 *       COMMAND ----------+        each verb is a row of commands.c, each function in a cmd_*.c
 *        | ^ | ^ | ^
 *        | | | | +-+--> DATA, BDAT --> JUDGE (rules) --> COMMIT (backend), KEEP (quarantine)
 *        | | +-+------> VET (a recipient: rules) --> CHECK (backend)
 *        | +----------> BDAT_SKIP (bytes of a refused chunk)
 *        |              DELAY: behind VET and JUDGE, where a rule says so
 *        v
 *     FAREWELL (last reply written, half-closed, discarding what still comes) --> CLOSED
 *
 * Callbacks only record what happened and call session_run, the driver: it runs the step function
 * of the present state until one says WAIT or CLOSED. A guard keeps it from running inside itself.
 * Bytes are read straight from the loop's buffer; what no step has consumed when the driver waits
 * is copied into `pending`.
 */
#ifndef PROXY_SESSION_SESSION_H
#define PROXY_SESSION_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/mail/command.h"
#include "lib/mail/reply.h"
#include "lib/net/stream.h"
#include "proxy/backend/backend.h"
#include "proxy/config/config.h"
#include "proxy/message/envelope.h"
#include "proxy/session/judge.h"
#include "proxy/session/transaction.h"
#include "proxy/session/worker.h"

enum session_state {
	SESSION_PROXY,
	SESSION_TLS,
	SESSION_GREETING,
	SESSION_COMMAND,
	SESSION_VET,
	SESSION_CHECK,
	SESSION_DATA,
	SESSION_BDAT,
	SESSION_BDAT_SKIP,
	SESSION_JUDGE,
	SESSION_DELAY,
	SESSION_COMMIT,
	SESSION_KEEP,
	SESSION_FAREWELL,
	SESSION_CLOSED,
	SESSION_STATE_COUNT
};

enum step { STEP_NEXT, STEP_WAIT, STEP_CLOSED };

/* What is said of the other side of the connection. */
enum peer { PEER_THERE, PEER_HALF_CLOSED, PEER_GONE };

enum {
	SESSION_ID_SIZE = 12,
	SESSION_OUTPUT_PAUSE = 64 * 1024 /* replies that a client does not read stop its commands */
};

struct session {
	uint32_t magic;
	enum session_state state;
	enum peer peer;
	bool running;      /* the driver's guard */
	bool implicit_tls; /* the handshake comes before the greeting */
	bool counted;      /* in the per_client counters, under client.remote.ip */
	bool helo_given;
	struct worker *worker; /* borrowed */
	const struct listen_config *listen;
	struct session *next, *prev; /* the worker's list */
	struct stream stream;
	struct timer timer;
	uint64_t started_ms, state_ms; /* when it began, when this state began */
	char sid[SESSION_ID_SIZE];
	struct endpoint peer_address; /* who really connected */
	struct client client;         /* who that stands for; spans in `arena` */
	struct arena *arena;          /* owned; NULL until something must be kept */
	struct arena *helo_arena;     /* owned: the name in HELO and what was made of it, or NULL */
	struct span input;            /* borrowed: what the driver may consume now */
	struct buffer pending;        /* owned: what it left */
	unsigned errors, junk, n_transactions;
	struct transaction *transaction; /* owned; NULL outside of one */
	struct backend_bond *bond;       /* owned */
	struct judge *judge;             /* owned; NULL: there are no rules, or not yet */
	enum session_state after_delay;
	uint64_t delay_ms;
	struct buffer held;      /* owned: replies that go out when the delay is over */
	bool turned_away;        /* one connection too many of its client: no farewell */
	uint64_t discarded;      /* bytes, in FAREWELL */
	uint64_t skip;           /* bytes left of a refused chunk, in BDAT_SKIP */
	struct reply skip_reply; /* and what is said behind them; static text */
};

/* A connection that was accepted; takes over fd. */
void session_start(struct worker *worker, const struct listen_config *listen, int fd,
	const struct endpoint *remote, const struct endpoint *local);

/* Runs the driver; harmless when nothing has changed. */
void session_run(struct session *s);

/* For `postern status`: one object. */
void session_status(const struct session *s, struct record *r);

/* The worker's drain became sterner, or the client is gone: ends what may be ended now. */
void session_interrupt(struct session *s);

/* --- for the step functions and the verbs --- */

void session_set_state(struct session *s, enum session_state state);

/* Queues a reply; it goes out in one write with others when the driver pauses. 4xx and 5xx get the
 * id; 5xx count as errors, and the one that reaches the limit becomes a 421. */
void session_reply(struct session *s, const struct reply *reply);
enum step session_say(struct session *s, uint16_t code, const char *enhanced, const char *text);

/* As session_reply, but never counted: refused recipients, messages. */
void session_tell(struct session *s, const struct reply *reply);

/* What is queued goes out now: before a handshake. */
void session_flush(struct session *s);

/* The reply is the last: FAREWELL follows. */
enum step session_bye(struct session *s, uint16_t code, const char *enhanced, const char *text);

/* A command that is allowed but brings nothing forward; too many are a 421. true: the limit is
 * reached and the goodbye said. */
bool session_junk(struct session *s);

/* No step can go on without more from the client: waits, unless none will come. */
static inline enum step session_await_client(const struct session *s)
{
	return s->peer == PEER_THERE ? STEP_WAIT : STEP_CLOSED;
}

/* What was said in this run, judge_refusal last, goes out when its delay, if any, is over. */
enum step session_hold(struct session *s);

/* Speaks what judge_refusal says, and records it. */
enum step session_refuse(struct session *s);

/* Content has begun to come, also between two chunks: a drain waits for its end. */
bool session_within_message(const struct session *s);

/* RSET: the transaction, if any, is over. */
void session_reset(struct session *s);

/* As after the greeting: HELO and what it said are forgotten (STARTTLS, XCLIENT). */
void session_forget_helo(struct session *s);

/* Waits so long, whatever the client sends meanwhile, and goes on in the state. */
enum step session_delay(struct session *s, uint64_t delay_ms, enum session_state then);

/* HELO says this name: what hung on the one before is given back, or a client that goes on saying
 * others would never stop to cost more. */
void session_take_helo(struct session *s, struct span name);

/* Memory that lives as long as the session, and text in it. */
struct arena *session_arena(struct session *s);
struct span session_keep(struct session *s, struct span text);

/* The client is now known (or known anew); counts it. false: over per_client, the goodbye is said.
 */
bool session_count_client(struct session *s);
void session_uncount_client(struct session *s);

static inline struct span session_id(const struct session *s)
{
	return span_make(s->sid, SESSION_ID_SIZE);
}

/* --- the verbs (commands.c and cmd_*.c) --- */

enum step session_command(struct session *s, const struct command *command);

#define COMMAND_FUNCTION(name) enum step cmd_##name(struct session *s, struct span argument)
COMMAND_FUNCTION(helo);
COMMAND_FUNCTION(ehlo);
COMMAND_FUNCTION(mail);
COMMAND_FUNCTION(rcpt);
COMMAND_FUNCTION(data);
COMMAND_FUNCTION(bdat);
COMMAND_FUNCTION(rset);
COMMAND_FUNCTION(noop);
COMMAND_FUNCTION(quit);
COMMAND_FUNCTION(vrfy);
COMMAND_FUNCTION(expn);
COMMAND_FUNCTION(help);
COMMAND_FUNCTION(starttls);
COMMAND_FUNCTION(auth);
COMMAND_FUNCTION(xclient);
COMMAND_FUNCTION(unknown);
COMMAND_FUNCTION(foreign);

/* Steps of states that have files of their own. */
enum step step_proxy(struct session *s);     /* greeting.c */
enum step step_tls(struct session *s);       /* greeting.c */
enum step step_greeting(struct session *s);  /* greeting.c */
enum step step_command(struct session *s);   /* commands.c */
enum step step_vet(struct session *s);       /* cmd_rcpt.c */
enum step step_check(struct session *s);     /* cmd_rcpt.c */
enum step step_data(struct session *s);      /* cmd_data.c */
enum step step_bdat(struct session *s);      /* cmd_bdat.c */
enum step step_bdat_skip(struct session *s); /* cmd_bdat.c */
enum step step_judge(struct session *s);     /* commit.c */
enum step step_commit(struct session *s);    /* commit.c */
enum step step_keep(struct session *s);      /* commit.c */

/* commit.c: the message is whole; refuses it for its faults or hands it to the backend. */
enum step commit_start(struct session *s);

/* Refuses the message for its fault and ends the transaction. */
enum step commit_refuse(struct session *s, const struct reply *reply);

/* A message that broke the rules in a way after which nothing that follows can be trusted: the last
 * word, and what still comes is discarded. */
enum step session_violation(struct session *s, enum dotdata_status status);

#endif
