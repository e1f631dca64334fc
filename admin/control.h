/*
 * control: what `postern status`, `reload` and `drain` say to the daemon, over the unix socket of
 * the configuration (`admin { socket }`). One request for each connection:
 *
 *     -> WORD [WORD ...] LF
 *     <- STATUS LF            the exit status for the command, in decimal
 *     <- text until the end of the connection
 *
 *     status [N]       one JSON object; of each worker the N (100) oldest sessions
 *     reload [wait MS] text for people: mistakes and warnings, and what came of it. wait: answered
 * when the sessions of the old configuration have ended, or with status 5 after so many
 * milliseconds drain            text, when the last message is through and before the daemon ends
 *     version          the daemon's version
 *     metrics          Prometheus text
 *     dmarc DAY [DOMAIN]  JSON: the policy domains of a day (2026-11-24) with results of DMARC; of
 *                      one domain all rows. 1: it has none
 *     store KIND SIZE  so many bytes follow the line: the parts of a request to the store (a kind
 *                      of lib/store/store.h, "LIST_SHOW"); answered as the store does. 4: it could
 * not
 *     greylist ls [AFTER]  JSON: the keys behind that one, a page of them (GREY_LIST of
 *                      lib/store/store.h)
 *     greylist allow SECONDS KEY | clear KEY     clear: 1, it is not there
 *     reputation show KEY | reset KEY            JSON. 1: nothing is known
 *
 * Who may connect: root, the daemon's own account, members of its group (SO_PEERCRED,
 * SO_PEERGROUPS); the socket's mode says the same. So `nc -U` and a cron job serve as clients too.
 */
#ifndef ADMIN_CONTROL_H
#define ADMIN_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/base/span.h"

enum {
	CONTROL_REQUEST_MAX = 1024,
	CONTROL_BODY_MAX = 256 * 1024,
	CONTROL_SESSIONS = 100, /* of each worker, when the request says nothing */
	CONTROL_SESSIONS_MAX = 5000,
	CONTROL_WAIT_MAX_MS = 24 * 3600 * 1000
};

enum control_verb {
	CONTROL_STATUS,
	CONTROL_RELOAD,
	CONTROL_DRAIN,
	CONTROL_VERSION,
	CONTROL_METRICS,
	CONTROL_DMARC,
	CONTROL_STORE,
	CONTROL_GREYLIST,
	CONTROL_REPUTATION
};

struct control_request {
	enum control_verb verb;
	uint32_t number; /* status: sessions; reload: milliseconds to wait, 0: none; greylist allow:
			    seconds */
	struct span day, domain; /* dmarc; borrowed from the line, as what follows */
	struct span what;        /* greylist, reputation: "show" */
	struct span key;         /* likewise; holds blanks */
	struct span kind;        /* store */
	uint32_t body_size;      /* bytes that follow the line */
	struct span body;        /* once they are there */
};

/* One line, without its end. */
bool control_parse(struct span line, struct control_request *out, struct err *err) MUST_CHECK;

enum control_outcome {
	CONTROL_ANSWERED,
	CONTROL_UNREACHABLE, /* nobody there, or gone before the answer was whole */
	CONTROL_LATE         /* no whole answer within the time */
};

/* As control_call, with a body behind the request's line. */
enum control_outcome control_call_with(const char *socket_path, const char *request,
	struct span body, uint64_t timeout_ms, int *status, struct buffer *answer,
	struct err *err) MUST_CHECK;

/* Asks the daemon and waits for the whole answer, its exit status taken off the front. */
enum control_outcome control_call(const char *socket_path, const char *request, uint64_t timeout_ms,
	int *status, struct buffer *answer, struct err *err) MUST_CHECK;

#endif
