/*
 * header: the header section of a message (RFC 5322 2.2), as it stands in memory. Nothing is
 * copied or unfolded unless asked for.
 */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include <stdbool.h>

#include "lib/base/buffer.h"
#include "lib/base/span.h"

/* A field, borrowed: raw includes the folded lines and the last CRLF. */
struct header_field {
	struct span raw;
	struct span name; /* without colon and the blanks or folds before it (RFC 5322 4.5.8) */
	struct span body; /* behind the colon, with folds, without the last CRLF */
};

/* Finds the end of the header section: the index behind the empty line's CRLF, 0: not there yet.
 * *from: where to go on looking (0 at first; kept by the caller between calls as content grows). A
 * message that begins with CRLF has an empty section (2). */
size_t header_end(struct span content, size_t *from);

/* Takes the next field off *section (a section that ends in an empty line or at the end). A line
 * that is no field (no colon, starts with a blank first, or holds blanks inside the name) is
 * skipped into `raw` with an empty name, so that every byte belongs to one field. false: none
 * left. */
bool header_next(struct span *section, struct header_field *out) MUST_CHECK;

bool header_is(const struct header_field *field, struct span name); /* without case */

/* Unfolded body: CRLF taken out, blanks kept (RFC 5322 2.2.3), trimmed. */
bool header_unfold(struct span body, struct buffer *out) MUST_CHECK;

/* RFC 5322 3.3 date-time of a wall clock in UTC: "Mon, 23 Nov 2026 16:00:00 +0000". */
enum { HEADER_DATE_SIZE = 48 };
void header_date(uint64_t wall_ms, char out[HEADER_DATE_SIZE]);

/* Whether a Received field names `hostname` behind its "by" (comments skipped, without case). */
bool received_by(struct span body, struct span hostname);

/* Whether an Authentication-Results body (RFC 8601 2.2) carries this authserv-id, or could be read
 * so: comments (nested, quoted pairs), folds, case, quoted-string form, a version behind it,
 * percent signs and other scripts are seen through. One with nothing before its first ';' counts
 * too, and one with an encoded word there: it is nobody's, so a reader may take it for its own. */
bool authres_is_from(struct span body, struct span authserv_id);

/* Whether a field is called Authentication-Results, or is a line that is no field but could be read
 * as one; and its body. */
bool authres_find(const struct header_field *field, struct span *body) MUST_CHECK;

#endif
