#include "lib/authn/wire.h"

#include "lib/authn/pack.h"
#include "lib/base/fail.h"

/* --- frames --- */

static const struct {
	enum wire_side to;
	uint32_t most; /* bytes of payload */
} types[] = {
	[WIRE_BEGIN] = {WIRE_TO_RUNNER, WIRE_REQUEST_MAX + 1},
	[WIRE_ANSWER] = {WIRE_TO_RUNNER, WIRE_ANSWER_MAX},
	[WIRE_STEP] = {WIRE_TO_RUNNER, 0},
	[WIRE_CONTENT] = {WIRE_TO_RUNNER, WIRE_PIECE_MAX},
	[WIRE_END] = {WIRE_TO_RUNNER, 0},
	[WIRE_CANCEL] = {WIRE_TO_RUNNER, 0},
	[WIRE_SYNC] = {WIRE_TO_RUNNER, 0},
	[WIRE_WANTS] = {WIRE_TO_WORKER, WIRE_WANTS_MAX},
	[WIRE_RESULT] = {WIRE_TO_WORKER, WIRE_RESULT_MAX},
	[WIRE_SYNCED] = {WIRE_TO_WORKER, 0},
	[WIRE_TIRED] = {WIRE_TO_WORKER, 0},
};

struct wire_head wire_head(enum wire_type type, uint32_t task, size_t len)
{
	ENSURE(len <= types[type].most);
	return (struct wire_head){(uint32_t)len, task, type};
}

bool wire_put(struct buffer *out, enum wire_type type, uint32_t task, struct span payload)
{
	struct wire_head head = wire_head(type, task, payload.len);

	return buffer_add(out, span_make(&head, sizeof(head))) && buffer_add(out, payload);
}

enum wire_progress wire_take(
	struct span *bytes, enum wire_side to, struct wire_frame *frame, size_t *needed)
{
	struct wire_head head;

	*needed = sizeof(head);
	if (bytes->len < sizeof(head))
		return WIRE_MORE;
	memcpy(&head, bytes->at, sizeof(head));
	if (head.type < WIRE_BEGIN || head.type > WIRE_TIRED || types[head.type].to != to ||
		head.len > types[head.type].most)
		return WIRE_NONSENSE;
	*needed += head.len;
	if (bytes->len < *needed)
		return WIRE_MORE;
	*frame = (struct wire_frame){.type = (enum wire_type)head.type,
		.task = head.task,
		.payload = span_make(bytes->at + sizeof(head), head.len)};
	*bytes = span_from(*bytes, *needed);
	return WIRE_FRAME;
}

/* --- names --- */

static bool is_type(uint32_t type)
{
	return type == ANSWER_A || type == ANSWER_PTR || type == ANSWER_MX || type == ANSWER_TXT ||
	       type == ANSWER_AAAA;
}

static bool question_write(const struct answer *answer, struct buffer *out)
{
	return answer->name.len <= WIRE_NAME_MAX && pack_number(out, answer->type) &&
	       pack_text(out, answer->name);
}

/* A name is printable and without blanks: it is asked of DNS, and logged. */
static bool question_read(struct span *bytes, struct answer *out)
{
	uint32_t type;

	*out = (struct answer){.outcome = ANSWER_TROUBLE};
	if (!unpack_number(bytes, UINT16_MAX, &type) || !is_type(type) ||
		!unpack_text(bytes, &out->name) || out->name.len > WIRE_NAME_MAX)
		return false;
	out->type = (enum answer_type)type;
	for (size_t i = 0; i < out->name.len; i++)
		if (out->name.at[i] <= ' ' || out->name.at[i] > '~')
			return false;
	return true;
}

/* --- answers --- */

static bool record_write(const struct answer_record *record, struct buffer *out)
{
	return pack_ip(out, &record->ip) && pack_number(out, record->preference) &&
	       pack_text(out, record->text);
}

static bool records_write(const struct answer *answer, struct buffer *out)
{
	size_t n = answer->n_records < ANSWER_RECORDS_MAX ? answer->n_records : ANSWER_RECORDS_MAX;

	if (!pack_byte(out, (uint8_t)answer->outcome) || !pack_number(out, (uint32_t)n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!record_write(&answer->records[i], out))
			return false;
	return true;
}

/* More than DNS would send in one message, its compressed names written out included. */
static size_t records_size(const struct answer *answer)
{
	size_t size = 0;

	for (size_t i = 0; i < answer->n_records && i < ANSWER_RECORDS_MAX; i++)
		size += 32 + answer->records[i].text.len;
	return size;
}

bool wire_answer_write(const struct answer *answer, struct buffer *out)
{
	struct answer trouble = {
		.name = answer->name, .type = answer->type, .outcome = ANSWER_TROUBLE};

	if (records_size(answer) > WIRE_ANSWER_MAX - 2 * WIRE_NAME_MAX)
		answer = &trouble;
	return question_write(answer, out) && records_write(answer, out);
}

bool wire_answer_read(struct span bytes, struct arena *arena, struct answer *out)
{
	struct answer_record *records;
	uint32_t n, preference;
	uint8_t outcome;

	if (!question_read(&bytes, out) || !unpack_byte(&bytes, ANSWER_TROUBLE, &outcome) ||
		!unpack_number(&bytes, ANSWER_RECORDS_MAX, &n))
		return false;
	records = arena_alloc(arena, ((size_t)n + 1) * sizeof(*records));
	for (uint32_t i = 0; i < n; i++) {
		if (!unpack_ip(&bytes, &records[i].ip) ||
			!unpack_number(&bytes, UINT16_MAX, &preference) ||
			!unpack_text(&bytes, &records[i].text))
			return false;
		records[i].preference = (uint16_t)preference;
	}
	out->outcome = (enum answer_outcome)outcome;
	out->records = records;
	out->n_records = n;
	return bytes.len == 0 && (out->outcome == ANSWER_FOUND) == (n > 0);
}

bool wire_wants_write(const struct answer *wants, size_t n, struct buffer *out)
{
	ENSURE(n > 0 && n <= WANTS_MAX);
	if (!pack_byte(out, (uint8_t)n))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!question_write(&wants[i], out))
			return false;
	return true;
}

bool wire_wants_read(struct span bytes, struct answer *items, size_t *n)
{
	uint8_t count;

	if (!unpack_byte(&bytes, WANTS_MAX, &count) || count == 0)
		return false;
	for (uint8_t i = 0; i < count; i++)
		if (!question_read(&bytes, &items[i]))
			return false;
	*n = count;
	return bytes.len == 0;
}
