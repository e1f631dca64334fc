/*
 * client: what authn.c (tasks), crew.c (which runner takes which task) and link.c (one runner's
 * socket) share. For nobody else.
 *
 * Of an ask:
 *
 *     QUEUED --a runner has room--> UNDER_WAY --RESULT--> (done)
 *       ^ ^                          |    |
 *       | +---it was killed from-----+    +--its runner crashed or hung--> SUSPECT <---------+
 *       |     outside (a few times)                                          |               |
 *       +--the parent is gone                      its message is whole, and |               |
 *                                                  a runner is there for it  |        killed |
 *                                                                            v  from outside |
 *                         (done, POISONOUS) <--crashed, or hung-------- ALONE ---------------+
 *
 * Of a link:
 *
 *     FRESH --takes a suspect--> ALONE --its task is done--> (closed)
 *       |
 *       +--takes tasks--> OPEN --tired, not needed--> LEAVING --its tasks are done--> (closed)
 *
 *     all --the socket ends--> LOST --the parent says why (or is gone itself)--> (closed)
 *     all --hangs, speaks nonsense--> (killed, closed)
 */
#ifndef AUTHN_CLIENT_H
#define AUTHN_CLIENT_H

#include "lib/authn/authn.h"
#include "lib/authn/control.h"
#include "lib/authn/wire.h"

enum ask_state { ASK_QUEUED, ASK_UNDER_WAY, ASK_SUSPECT, ASK_ALONE };

enum link_state { LINK_FRESH, LINK_OPEN, LINK_LEAVING, LINK_ALONE, LINK_LOST };

enum {
	CREW_SPARE = 1,       /* runners kept ready for what comes */
	CREW_ALONE_MAX = 16,  /* suspects at a time, each in a runner of its own */
	CREW_OPEN_MAX = 16,   /* runners with many tasks each */
	CREW_REFUSED_MS = 100 /* after a refusal the next runner is asked for */
};

struct ask_list {
	struct authn_ask *first, *last;
	unsigned n;
};

struct authn_ask {
	struct authn *authn;     /* borrowed */
	struct authn_task *task; /* borrowed */
	enum ask_state state;
	struct ask_list *list; /* where it is: the authn's or its link's */
	struct authn_ask *next, *prev;
	struct link *link;        /* UNDER_WAY, ALONE */
	uint32_t id;              /* on the wire; a new one each time */
	bool begun, whole, ended; /* BEGIN was sent; the body is all there; END was sent */
	uint64_t size, sent;      /* of the body: there is, and was sent to this runner */
	struct buffer answers;    /* ANSWER frames to be sent */
	size_t answer_bytes;      /* of all that were given to this runner */
	unsigned n_wanted;        /* by this runner */
	unsigned deaths;          /* runners with it that were killed from outside */
	bool talks;               /* is in its link's list of those who have something to say */
	struct authn_ask *next_talker;
};

struct link {
	uint32_t magic;
	struct authn *authn; /* borrowed */
	struct link *next;   /* of the authn's list */
	enum link_state state;
	uint32_t runner; /* its number at the parent */
	int fd;          /* owned; -1: closed */
	uv_poll_t poll;
	int events;
	struct ask_list asks;
	size_t request_bytes; /* of the asks */
	unsigned n_taken;     /* tasks in all */
	struct authn_ask *first_talker, **last_talker;
	struct buffer out; /* gathered, or not taken by the kernel yet */
	bool blocked;      /* wait until the kernel has room, or for others' turn */
	bool full;         /* it had none for all of the last write */
	struct buffer in;  /* the beginning of a frame */
	bool sync_owed;    /* SYNC was sent, SYNCED has not come */
	bool unsynced;     /* something was sent since the last SYNC */
	bool quiet;        /* for a while already: new tasks go elsewhere */
	bool tired;        /* it has said so */
	unsigned n_strays; /* frames of it for tasks that it does not have */
	unsigned n_cancelled;
	uint64_t progress_ms;
	struct timer timer; /* silence; LOST: the parent's word does not come */
};

struct authn {
	uint32_t magic;
	struct loop *loop;  /* borrowed */
	struct log *log;    /* borrowed */
	int control;        /* owned; -1: there is no process */
	uv_poll_t *poll;    /* owned: control's; frees itself when closed */
	struct link *links; /* owned list, oldest first */
	struct ask_list queued, suspects;
	uint32_t last_id;
	unsigned n_forks; /* asked for, not answered */
	bool refused;     /* wait a moment before the next */
	bool away;        /* no runner is there, since: */
	uint64_t away_ms;
	struct timer retry;   /* refused */
	struct timer gave_up; /* away, with tasks that wait */
	struct deferred work;
	char *read_buffer; /* owned */
	struct {
		uint64_t answered, poisonous, away, cancelled, reruns;
		uint64_t runners, crashes, stalls, nonsense, killed;
	} n;
	uint64_t logged_ms; /* lines are counted from here on */
	unsigned n_logged;
};

/* --- asks: authn.c --- */

void ask_list_add(struct ask_list *list, struct authn_ask *ask);
void ask_list_take(struct authn_ask *ask);

/* Calls done; the ask is gone. */
void ask_done(struct authn_ask *ask, enum authn_outcome outcome, struct span result);

/* Back to the start, in the list that fits. */
void ask_requeue(struct authn_ask *ask, bool suspect);

/* It may take a runner of its own: what is missing of the body may take minutes. */
bool ask_is_ready(const struct authn_ask *ask);

/* --- links: link.c --- */

void link_open(struct authn *authn, uint32_t runner, int fd);

/* Its asks must have gone elsewhere. Frees it later. */
void link_close(struct link *link);

void link_take(struct link *link, struct authn_ask *ask);

/* The ask is not for this link any more. */
void link_leave(struct authn_ask *ask);

/* The ask has something to say. */
void link_talk(struct authn_ask *ask);

/* The latest piece of a body, at once if nothing stands before it and it is worth it. */
void link_content(struct authn_ask *ask, struct span piece);

/* Tells the runner that the ask is void. */
void link_cancel(struct authn_ask *ask);

/* Says all that there is to say and room for. */
void link_pump(struct link *link);

/* Reads what has come, to the end of the socket if it has one. */
void link_read(struct link *link);

bool link_is_full(const struct link *link);

/* --- who does what: crew.c --- */

void crew_link(struct authn *authn, int control);
void crew_unlink(struct authn *authn);

/* Something has changed: soon. */
void crew_work_soon(struct authn *authn);
void crew_work(struct deferred *work);
void crew_on_retry(struct timer *timer);
void crew_on_gave_up(struct timer *timer);

/* The runner's socket has ended: LOST. */
void crew_on_end(struct link *link);

/* It hangs, or (false) speaks nonsense. */
void crew_kill(struct link *link, bool hangs);

/* The parent does not say why a LOST runner is gone. */
void crew_forget(struct link *link);

/* An ask has left it. */
void crew_on_idle(struct link *link);

#endif
