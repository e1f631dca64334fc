/*
 * BDAT (RFC 3030): content in counted chunks. The bytes of a chunk follow its command whatever we
 * think of it, so a refusal first skips them; a size that can't be read ends the connection.
 */
#include <stdio.h>

#include "lib/base/fail.h"
#include "proxy/session/session.h"

static enum step skip_chunk(struct session *s, uint64_t size, struct reply reply)
{
	s->skip = size;
	s->skip_reply = reply;
	session_set_state(s, SESSION_BDAT_SKIP);
	return STEP_NEXT;
}

enum step step_bdat_skip(struct session *s)
{
	struct span skipped = span_first(s->input, s->skip < SIZE_MAX ? (size_t)s->skip : SIZE_MAX);

	s->input = span_from(s->input, skipped.len);
	s->skip -= skipped.len;
	if (s->skip) {
		if (skipped.len)
			session_set_state(s, SESSION_BDAT_SKIP);
		return session_await_client(s);
	}
	session_reset(s);
	session_set_state(s, SESSION_COMMAND);
	session_reply(s, &s->skip_reply);
	return STEP_NEXT;
}

enum step cmd_bdat(struct session *s, struct span argument)
{
	struct transaction *t = s->transaction;
	struct reply why;
	uint64_t size;
	bool last;

	if (!bdat_command_parse(argument, &size, &last, &why))
		return session_bye(s, 501, "5.5.4", "The size of the chunk can't be read");
	if (size / 2 > s->worker->config->limits.message)
		return session_bye(s, 552, "5.3.4", "The chunk is larger than any message allowed");
	if (size == 0 && !last && session_junk(s))
		return STEP_NEXT;
	if (!t || (t->envelope.n_recipients == 0 && t->n_refused == 0))
		return skip_chunk(s, size, REPLY(503, "5.5.1", "Say MAIL and RCPT first"));
	if (t->envelope.n_recipients == 0)
		return skip_chunk(s, size, REPLY(554, "5.5.1", "No valid recipients"));
	if (!t->has_data)
		transaction_data_begin(t, DOTDATA_BDAT);
	t->chunk_size = t->chunk_left = size;
	t->chunk_is_last = last;
	session_set_state(s, SESSION_BDAT);
	return STEP_NEXT;
}

/* The chunk has come whole. */
static enum step chunk_end(struct session *s)
{
	struct transaction *t = s->transaction;
	enum dotdata_status status;
	char text[64];

	if (t->chunk_is_last) {
		status = transaction_data_end(t);
		return status == DOTDATA_END ? commit_start(s) : session_violation(s, status);
	}
	if (t->fault != FAULT_NONE) {
		struct reply reply = fault_reply(t->fault);

		return commit_refuse(s, &reply);
	}
	session_set_state(s, SESSION_COMMAND);
	snprintf(text, sizeof(text), "%llu bytes received", (unsigned long long)t->chunk_size);
	return session_say(s, 250, "2.0.0", text);
}

enum step step_bdat(struct session *s)
{
	struct transaction *t = s->transaction;
	struct span chunk =
		span_first(s->input, t->chunk_left < SIZE_MAX ? (size_t)t->chunk_left : SIZE_MAX);
	enum dotdata_status status;

	if (t->chunk_left == 0)
		return chunk_end(s);
	if (chunk.len == 0)
		return session_await_client(s);
	s->input = span_from(s->input, chunk.len);
	t->chunk_left -= chunk.len;
	status = transaction_data(t, &chunk);
	if (status != DOTDATA_MORE)
		return session_violation(s, status);
	ENSURE(chunk.len == 0);
	session_set_state(s, SESSION_BDAT);
	return STEP_NEXT;
}
