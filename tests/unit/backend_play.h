/*
 * backend_play: the stage for tests of proxy/backend/backend.h: mail servers that say what a test
 * wants, on the same loop, over real sockets; a configuration, an envelope and a message to hand
 * over; a clock that can be moved.
 */
#ifndef TESTS_BACKEND_PLAY_H
#define TESTS_BACKEND_PLAY_H

#include "lib/net/stream.h"
#include "proxy/backend/backend.h"

enum { PLAY_SERVERS = 2 };

/* What a server says at each step. Several replies are separated by '|': the first time the first,
 * and so on, the last for all further times. CLOSE at a reply's end: the connection is closed
 * behind it. Empty: no reply. */
#define CLOSE "\001"
#define PLAY_STEPS(X)                                                                              \
	X(greeting)                                                                                \
	X(ehlo)                                                                                    \
	X(helo)                                                                                    \
	X(starttls) X(xclient) X(xforward) X(mail) X(rcpt) X(data) X(bdat) X(end) X(rset) X(quit)

enum play_step {
#define X(name) STEP_##name,
	PLAY_STEPS(X)
#undef X
		STEP_COUNT
};

struct play_session;

struct play_server {
	struct play *play;
	int fd;
	uv_poll_t poll;
	struct endpoint endpoint;
	char unix_path[100]; /* not empty: listens there instead */
#define X(name) const char *name;
	PLAY_STEPS(X)
#undef X
	const char *ehlo_tls; /* once TLS is on; NULL: as ehlo */
	bool proxy;           /* a PROXY v2 header comes first */
	bool lmtp_ends;       /* as many replies to the end as recipients were taken */
	bool strict;          /* commands out of order are refused with 503, as real servers do */
	bool deaf_in_data;    /* stops to read once data begins, until play_listen */
	struct tls_context *tls; /* owned */
	/* What it says this time, or NULL: as above. */
	const char *(*improvise)(struct play_server *server, enum play_step step);
	unsigned times[STEP_COUNT];
	char end_said;        /* the first character of the last answer to a message's end */
	unsigned connections; /* accepted so far */
	unsigned open;
	unsigned messages;                              /* whose end was seen */
	void (*on_message)(struct play_server *server); /* behind the answer to it; may be NULL */
	struct buffer said;                             /* commands seen, "connection: line\n" */
	struct buffer content; /* of the last message, as it came over the wire */
	struct buffer proxy_header;
	struct play_session *sessions;
};

struct play {
	struct loop loop;
	struct log log;
	int log_fd;
	struct shared_row *row;
	struct config config;
	struct backend_config backend;
	struct server_config server_config[PLAY_SERVERS];
	struct play_server servers[PLAY_SERVERS];
	struct backends *backends;
	uv_timer_t beat; /* bounds each wait */
	/* what is handed over */
	struct client client;
	struct envelope envelope;
	struct recipient recipients[8];
	struct message message;
	struct backend_bond *bond;
	struct check check;
	struct delivery delivery;
	unsigned done; /* answers that came */
};

/* n servers listen; none is talked to before play_open. */
struct play *play_new(unsigned n);
void play_open(struct play *play); /* backends_open, and the probes are over */
void play_open_unprobed(struct play *play);
void play_free(struct play **play);

void play_address(struct address *address, const char *text);
void play_recipients(struct play *play, const char *first, ...); /* ends with NULL */
void play_content(struct play *play, const char *content);

/* Runs the loop until the condition holds; a test that waits over 10 s fails. */
#define PLAY_UNTIL(play, condition)                                                                \
	for (unsigned turns_ = 0; !(condition); turns_++)                                          \
	play_turn((play), turns_, __FILE__, __LINE__)
void play_turn(struct play *play, unsigned turns, const char *file, int line);

/* So many rounds, for what should not happen. */
void play_rest(struct play *play);

void play_advance(struct play *play, uint64_t ms);

void play_deliver_start(struct play *play);
void play_deliver(struct play *play); /* and waits for the answer */
bool play_check_start(struct play *play);
void play_check(struct play *play);

void play_listen(struct play_server *server);
void play_speak(struct play_server *server, const char *text); /* on all connections, unasked */
void play_hang_up(struct play_server *server);                 /* closes all connections */
void play_stop(struct play_server *server);                    /* and listens no more */
void play_start(struct play_server *server);                   /* again, at the same port */
void play_tls(struct play_server *server);

/* The answer's outcome, code and a part of "code enhanced text". */
#define assert_delivery(play, outcome, code, part)                                                 \
	play_assert_delivery((play), (outcome), (code), (part), __FILE__, __LINE__)
void play_assert_delivery(const struct play *play, enum delivery_outcome outcome, unsigned code,
	const char *part, const char *file, int line);

const char *play_said(struct play_server *server);
unsigned play_count(const char *text, const char *part);
const char *play_log(struct play *play); /* static memory */

#endif
