/*
 * dmarc_record: what a domain publishes below _dmarc: "v=DMARC1; p=reject; rua=mailto:..." (RFC
 * 9989 4.7, 4.8), and the addresses in it. Records made for RFC 7489 are read by the same rules:
 * pct, rf and ri are tags that nobody knows any more, and so are passed over (RFC 9989 A.6).
 */
#ifndef MAIL_DMARC_RECORD_H
#define MAIL_DMARC_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "lib/base/span.h"
#include "lib/mail/address.h"

/* What is asked for when DMARC fails; in the order of the facts' choices. X(NAME, word) */
#define DMARC_POLICIES(X)                                                                          \
	X(NONE, "none")                                                                            \
	X(QUARANTINE, "quarantine")                                                                \
	X(REJECT, "reject")                                                                        \
	X(ABSENT, "absent")

enum dmarc_policy {
#define X(name, word) DMARC_##name,
	DMARC_POLICIES(X)
#undef X
};

const char *dmarc_policy_name(enum dmarc_policy policy);

/* Whether the domain is one under which others register theirs. */
enum dmarc_psd {
	DMARC_PSD_UNSAID,
	DMARC_PSD_YES,
	DMARC_PSD_NO /* it is an Organizational Domain */
};

/* Texts are borrowed from what was read. */
struct dmarc_record {
	struct span text; /* all of it */
	/* It says, in p, what is to be done; or at least in rua whom to tell, which is p=none. Else
	 * it is there, and DMARC does not apply (RFC 9989 4.10.1). */
	bool applies;
	enum dmarc_policy p, sp, np; /* ABSENT: not said */
	bool strict_dkim, strict_spf;
	bool testing; /* t=y */
	enum dmarc_psd psd;
	struct span rua, ruf; /* for dmarc_uri_next; empty: none */
	struct span fo;       /* "0" when not said */
};

/* false: it is no DMARC record, by its first tag. Whatever else is wrong in it is passed over in
 * favour of the defaults. */
bool dmarc_record_read(struct span text, struct dmarc_record *out) MUST_CHECK;

/* What the record asks for mail that fails: of its own domain, or of one below it that exists or
 * does not; one step milder while it is tested (t=y). ABSENT when it does not apply. */
enum dmarc_policy dmarc_record_policy(const struct dmarc_record *record, bool below, bool exists);

/* One address that reports go to. */
struct dmarc_uri {
	struct span text; /* without a size; borrowed */
	bool mailto;
	/* Of mailto: the mailbox, decoded; NUL-terminated. */
	char mailbox[ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX + 1];
	struct span domain; /* of the mailbox, in this struct */
	/* How large a report may be, from RFC 7489's "!10m". RFC 9989 has no such thing any more:
	 * 0 when not said. */
	uint64_t limit_bytes;
};

/* Takes the next address that is one off the list; false: there is none left. */
bool dmarc_uri_next(struct span *list, struct dmarc_uri *out) MUST_CHECK;

/* The name whose TXT record "v=DMARC1..." allows that reports about a domain go to another (RFC
 * 9990 4): added to out. false: it does not fit. */
bool dmarc_report_name(struct span domain, struct span destination, struct buffer *out) MUST_CHECK;

#endif
