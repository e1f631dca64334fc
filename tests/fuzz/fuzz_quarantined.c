/*
 * The head of a quarantined message from any bytes: what is read can be written, and reads back to
 * the same bytes; nothing in an envelope breaks out of a command line.
 */
#include <stdint.h>

#include "lib/base/fail.h"
#include "proxy/message/quarantined.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_harmless(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		ENSURE((unsigned char)text.at[i] >= 32 && text.at[i] != 127);
}

static void check(struct arena *arena, const struct quarantined *q)
{
	struct buffer once = BUFFER_INIT(QUARANTINED_HEAD_MAX),
		      again = BUFFER_INIT(QUARANTINED_HEAD_MAX);
	struct quarantined other;
	struct err err;
	size_t head;

	ENSURE(quarantine_id_valid(q->id) && q->envelope.n_recipients > 0);
	check_harmless(q->envelope.from.mailbox);
	check_harmless(q->envelope.envid);
	for (const struct recipient *r = q->envelope.recipients; r; r = r->next) {
		check_harmless(r->to.mailbox);
		check_harmless(r->notify);
		check_harmless(r->orcpt);
	}
	ENSURE(quarantined_write(q, &once));
	ENSURE(quarantined_read(buffer_span(&once), arena, &other, &head, &err) ==
		QUARANTINED_READ);
	ENSURE(head == once.len && quarantined_write(&other, &again));
	ENSURE(span_equal(buffer_span(&once), buffer_span(&again)));
	buffer_free(&once);
	buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new(4096);
	struct quarantined q;
	struct err err;
	size_t head;

	if (quarantined_read(span_make(data, size), arena, &q, &head, &err) == QUARANTINED_READ) {
		ENSURE(head <= size);
		check(arena, &q);
	}
	arena_free(&arena);
	return 0;
}
