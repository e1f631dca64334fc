/*
 * authres_read: what an Authentication-Results field says (RFC 8601 2.2), one result after the
 * other. Whose it is, and so whether to believe it, authres_is_from (header.h) and the caller tell.
 *
 * It is read as kindly as it can be without guessing: comments, blanks and folds are passed over
 * wherever the grammar allows them, and a result that can't be read costs itself alone.
 */
#ifndef MAIL_AUTHRES_READ_H
#define MAIL_AUTHRES_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "lib/base/span.h"

enum {
	AUTHRES_PROPERTIES_MAX = 16, /* of a result: what goes on is passed over */
	AUTHRES_RESULTS_MAX = 256    /* of a field, for authres_result */
};

/* "smtp.mailfrom=joe@example.com". A value is as it stands, quotes and all; see authres_unquote. */
struct authres_property {
	struct span type; /* ptype: "smtp"; empty: there is no dot ("action=none", as some write) */
	struct span name;
	struct span value;
};

/* A resinfo: "spf=pass smtp.mailfrom=example.com". Borrowed from the body. */
struct authres_info {
	struct span method;  /* without its version */
	struct span version; /* empty: 1 */
	struct span result;
	struct span reason; /* as a value; empty: none */
	struct authres_property properties[AUTHRES_PROPERTIES_MAX];
	size_t n;
};

/* Takes the authserv-id (as a value) off the front of a body, which goes on behind its ';' then,
 * and says it in *id; *version, too, is empty where there is none. A body without one, that begins
 * with a result, stays as it is, with an empty id. */
void authres_begin(struct span *body, struct span *id, struct span *version);

/* Takes the next result that can be read off *rest. false: none left ("none" is none). */
bool authres_next(struct span *rest, struct authres_info *out) MUST_CHECK;

/* A property of a result; its `at` is NULL when there is none. Without case. */
struct span authres_info_find(const struct authres_info *info, struct span type, struct span name);

/* A value without its quotes and what is escaped in them. false: the buffer is full. */
bool authres_unquote(struct span value, struct buffer *out) MUST_CHECK;

/* The result word of a method in a body with an authserv-id (or none), in whatever case the body
 * has it; empty: it is not there. Of several
 *   dkim: a pass, if one is (RFC 6376 6.1: one good signature is enough), or the first
 *   spf: that of smtp.mailfrom, since others are about HELO, or the first
 *   others: one that is no pass, if there is one. */
struct span authres_result(struct span body, struct span method);

#endif
