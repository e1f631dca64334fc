#include "proxy/backend/content.h"

#include <unistd.h>

#include "lib/mail/dotdata.h"

enum { GATHER_MAX = 64, FILE_PART = 16 * 1024 };

/* Pieces collected for one write. */
struct gather {
	struct stream *stream;
	int count;
	struct iovec pieces[GATHER_MAX];
};

static void gather_flush(struct gather *g)
{
	if (g->count)
		stream_writev(g->stream, g->pieces, g->count);
	g->count = 0;
}

static void gather_add(void *context, struct span bytes)
{
	struct gather *g = context;

	if (bytes.len == 0)
		return;
	if (g->count == GATHER_MAX)
		gather_flush(g);
	g->pieces[g->count].iov_base = (void *)(uintptr_t)bytes.at;
	g->pieces[g->count++].iov_len = bytes.len;
}

void backend_content_begin(struct backend_content *content, const struct message *message,
	enum backend_content_form form)
{
	*content = (struct backend_content){
		.message = message,
		.piece.fd = -1,
		.stuff = form == CONTENT_DATA && message->leading_dot,
		.at_line_start = true,
		.end = form == CONTENT_DATA ? SPAN(".\r\n") : SPAN(""),
	};
}

/* A part of the file through memory, with its dots doubled. */
static int64_t send_stuffed(struct backend_content *content, struct stream *stream)
{
	struct gather g = {.stream = stream};
	char part[FILE_PART];
	uint64_t left = content->piece.len - content->done;
	ssize_t size = pread(content->piece.fd, part, left < FILE_PART ? (size_t)left : FILE_PART,
		(off_t)(content->piece.offset + content->done));

	if (size <= 0)
		return -1;
	dotdata_stuff(span_make(part, (size_t)size), &content->at_line_start, gather_add, &g);
	gather_flush(&g);
	return size;
}

/* The file's piece until it is through or the kernel's buffer is full. */
static enum backend_content_status send_file(struct backend_content *content, struct stream *stream)
{
	while (content->done < content->piece.len) {
		int64_t size;

		if (stream_pending(stream) || stream->failure)
			return CONTENT_WAIT;
		if (content->stuff)
			size = send_stuffed(content, stream);
		else
			size = stream_send_file(stream, content->piece.fd,
				content->piece.offset + content->done,
				content->piece.len - content->done);
		if (size < 0)
			return CONTENT_FAILED;
		content->done += (uint64_t)size;
	}
	content->piece.fd = -1;
	return CONTENT_SENT;
}

enum backend_content_status backend_content_send(
	struct backend_content *content, struct stream *stream, struct span head)
{
	struct gather g = {.stream = stream};

	gather_add(&g, head);
	while (!content->sent) {
		if (content->piece.fd >= 0) {
			enum backend_content_status status;

			gather_flush(&g);
			status = send_file(content, stream);
			if (status != CONTENT_SENT)
				return status;
		} else if (!message_next(content->message, &content->cursor, &content->piece)) {
			gather_add(&g, content->end);
			content->sent = true;
		} else if (content->piece.fd >= 0) {
			content->done = 0;
		} else if (content->stuff) {
			dotdata_stuff(
				content->piece.memory, &content->at_line_start, gather_add, &g);
		} else {
			gather_add(&g, content->piece.memory);
		}
	}
	gather_flush(&g);
	return CONTENT_SENT;
}
