#include "proxy/message/message.h"

enum stage { STAGE_PREFIX, STAGE_MEMORY, STAGE_FILE, STAGE_OVER };

uint64_t message_size(const struct message *message)
{
	uint64_t size_bytes = message->prefix.len + spool_size(&message->spool);

	for (size_t i = 0; i < message->n_changes; i++) {
		size_bytes -= message->changes[i].len;
		size_bytes += message->changes[i].with.len;
	}
	return size_bytes;
}

static struct message_piece piece_of_memory(struct span memory)
{
	return (struct message_piece){.memory = memory, .fd = -1, .len = memory.len};
}

/* The next stretch of the spool's memory, or of what goes in the place of a range of it; false when
 * there is none left. */
static bool next_of_memory(
	const struct message *message, struct message_cursor *cursor, struct message_piece *out)
{
	struct span memory = spool_memory(&message->spool);
	size_t start = (size_t)cursor->offset, end = memory.len;

	while (cursor->change < message->n_changes) {
		const struct message_change *change = &message->changes[cursor->change];

		if (start < change->start) {
			end = change->start;
			break;
		}
		start = change->start + change->len;
		cursor->offset = start;
		cursor->change++;
		if (change->with.len) {
			*out = piece_of_memory(change->with);
			return true;
		}
	}
	if (start >= memory.len)
		return false;
	cursor->offset = end;
	*out = piece_of_memory(span_make(memory.at + start, end - start));
	return true;
}

bool message_next(
	const struct message *message, struct message_cursor *cursor, struct message_piece *out)
{
	if (cursor->stage == STAGE_PREFIX) {
		cursor->stage = STAGE_MEMORY;
		if (message->prefix.len) {
			*out = piece_of_memory(buffer_span(&message->prefix));
			return true;
		}
	}
	if (cursor->stage == STAGE_MEMORY) {
		if (next_of_memory(message, cursor, out))
			return true;
		cursor->stage = STAGE_FILE;
	}
	if (cursor->stage == STAGE_FILE) {
		cursor->stage = STAGE_OVER;
		if (message->spool.fd >= 0 && message->spool.file_len) {
			*out = (struct message_piece){.memory = SPAN_NONE,
				.fd = message->spool.fd,
				.offset = message->spool.file_start,
				.len = message->spool.file_len};
			return true;
		}
	}
	return false;
}
