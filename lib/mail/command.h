/*
 * command: one SMTP command line (RFC 5321 4.1.1) into its verb and its parameters. Pure: it knows
 * the grammar and which reply a mistake earns, nothing of the session's state.
 */
#ifndef MAIL_COMMAND_H
#define MAIL_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"
#include "lib/mail/address.h"
#include "lib/mail/reply.h"

/* X(NAME): the verbs; VERB_FOREIGN stands for the first words of other protocols: HTTP's methods,
 * from a web client that was tricked into talking to us, and a PROXY header where none is read. */
/* clang-format off */
#define COMMAND_VERBS(X)                                                                           \
	X(HELO) X(EHLO) X(MAIL) X(RCPT) X(DATA) X(BDAT) X(RSET) X(NOOP) X(QUIT) X(VRFY) X(EXPN)    \
	X(HELP) X(STARTTLS) X(AUTH) X(XCLIENT)

enum verb {
	VERB_UNKNOWN,
#define X(name) VERB_##name,
	COMMAND_VERBS(X)
#undef X
	VERB_FOREIGN,
	VERB_COUNT
};
/* clang-format on */

const char *verb_name(enum verb verb);

struct command {
	enum verb verb;
	struct span argument; /* what follows the verb, trimmed; borrowed from the line */
};

/* line: without its CRLF. Verbs are case-insensitive. */
struct command command_parse(struct span line);

/* Whether the line may be a command at all: no NUL or other control character but tab (501 5.5.2
 * otherwise). 8-bit bytes are the arguments' business. */
bool command_line_clean(struct span line) MUST_CHECK;

enum mail_body { MAIL_BODY_NONE, MAIL_BODY_7BIT, MAIL_BODY_8BITMIME };
enum dsn_ret { DSN_RET_NONE, DSN_RET_FULL, DSN_RET_HDRS };

/* Parameters of MAIL (RFC 1870, 6152, 6531, 3461); spans borrowed from the line. */
struct mail_command {
	struct address from;
	uint64_t size; /* SIZE=; 0: not given */
	enum mail_body body;
	bool smtputf8;
	bool prdr; /* draft-hall-prdr: an answer for each recipient */
	enum dsn_ret ret;
	struct span envid; /* xtext as given (RFC 3461 4.4), checked; empty: none */
};

/* Parameters of RCPT (RFC 3461 4.1, 4.2). */
struct rcpt_command {
	struct address to;
	struct span notify; /* as given, checked: NEVER or a list of SUCCESS, FAILURE, DELAY */
	struct span orcpt;  /* addr-type;xtext as given, checked */
};

/* argument: what stands behind MAIL, "FROM:<...> ...". false: *why is the reply (501 5.5.4,
 * 555 5.5.4 unknown parameter, 501 5.1.7, 553 5.6.7, a parameter given twice ...). Blanks behind
 * the colon are taken (many clients send them). An address without <> is refused with a text that
 * shows the right form. */
bool mail_command_parse(
	struct span argument, struct mail_command *out, struct reply *why) MUST_CHECK;
bool rcpt_command_parse(struct span argument, bool smtputf8, struct rcpt_command *out,
	struct reply *why) MUST_CHECK;

/* "SIZE" or "SIZE LAST" (RFC 3030 2); sizes above 2^62 refused. */
bool bdat_command_parse(
	struct span argument, uint64_t *size, bool *last, struct reply *why) MUST_CHECK;

/* --- XCLIENT (Postfix's XCLIENT_README), and the xtext (RFC 3461 4) it shares with XFORWARD --- */

struct xclient_command {
	/* Which were given; a value of [UNAVAILABLE] or [TEMPUNAVAIL] is given and empty. */
	bool has_name, has_addr, has_port, has_proto;
	bool has_helo, has_login, has_destaddr, has_destport;
	struct span name, helo, login; /* decoded, in `decoded` (so do not copy the struct) */
	struct ip addr, destaddr;      /* family IP_NONE when unavailable */
	uint16_t port, destport;
	bool esmtp; /* PROTO=ESMTP */
	char decoded[1024];
};
bool xclient_command_parse(
	struct span argument, struct xclient_command *out, struct reply *why) MUST_CHECK;

/* Adds the xtext of any bytes. */
bool xtext_encode(struct span text, struct buffer *out) MUST_CHECK;

/* Decoded length at most text.len; false: not xtext. */
bool xtext_decode(struct span text, char *out, size_t *len) MUST_CHECK;

#endif
