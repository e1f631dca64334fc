/*
 * authres_field: the fields that a message gets above it from what was measured of it: results put
 * together as one Authentication-Results (RFC 8601 2.2), and trace fields (Received-SPF and its
 * like).
 *
 * Whoever wrote a result or a field need not be trusted with its form: what comes from mail stands
 * in it. So all of it is read by the grammar first, and what does not fit is left out whole: a
 * mailbox with a ';' must not add a result, nor a line end a field.
 */
#ifndef MAIL_AUTHRES_FIELD_H
#define MAIL_AUTHRES_FIELD_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "lib/base/span.h"

/* One resinfo without its ';' (RFC 8601 2.2), in its plain form: "spf=pass (comment) reason="why"
 * smtp.mailfrom=a@example.com", with blanks between these and nowhere else but in comments and
 * quoted strings. utf8: values and comments may hold UTF-8 (RFC 8616 4), as SMTPUTF8 allows. */
bool authres_result_valid(struct span result, bool utf8) MUST_CHECK;

/* Adds the field with those of the results that are valid and fit into what `out` may hold, in
 * their order; lines are folded. authserv_id: a dot-atom. Adds nothing and returns false when there
 * is none. */
bool authres_field_write(struct span authserv_id, const struct span *results, size_t n, bool utf8,
	struct buffer *out) MUST_CHECK;

/* Adds the field that says that nothing was measured: "none". false: it does not fit. */
bool authres_field_write_none(struct span authserv_id, struct buffer *out) MUST_CHECK;

/* Adds a whole field, folded anew, with its line end: "Received-SPF: pass (...) ...". It may come
 * folded. false, and nothing is added: it is not one field, or does not fit. */
bool trace_field_write(struct span field, bool utf8, struct buffer *out) MUST_CHECK;

#endif
