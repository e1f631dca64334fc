/*
 * rate: how often a value of a field came within a time, over all workers: rate(mail.from) > 100/1h
 * counts transactions, rate(mail.from, recipients) recipients. The one in hand counts with those
 * that were answered 250; it is charged itself only when it is (due.h), so what a rule refuses
 * takes nothing. Several at the same time see each other only when they are answered.
 */
#include "filters/due.h"
#include "filters/filter.h"
#include "filters/recall.h"
#include "lib/base/fail.h"
#include "lib/net/digest.h"
#include "lib/store/grey.h"

#include <stdlib.h>

enum { RATE };

enum {
	VALUES_MAX = 8,  /* of a field that has several: the highest rate counts */
	PLAIN_MAX = 256, /* bytes of a value that stands in the key as it is */
	DIGEST_DIGITS = 64
};

static const struct fact facts[] = {
	[RATE] = {"rate", TYPE_NUMBER, STAGE_MAIL, FACT_OF_FIELD | FACT_ASKS | FACT_COUNTS, NULL,
		"how often a value of a field came within a time; (FIELD, recipients) counts "
		"recipients"},
	{.name = NULL},
};

static const struct filter_option options[] = {RECALL_OPTION, {.name = NULL}};

/* --- keys --- */

static bool is_plain(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] <= ' ' || (unsigned char)text.at[i] >= 0x7f)
			return false;
	return text.len <= PLAIN_MAX;
}

static bool write_text(const struct fact *fact, struct span text, struct buffer *out)
{
	char digest[DIGEST_DIGITS];

	if (text.len == 0)
		return buffer_add_text(out, "<>");
	if (!is_plain(text))
		return digest_hex(DIGEST_DIGITS, text, digest) && buffer_add_text(out, "sha256:") &&
		       buffer_add(out, span_make(digest, sizeof(digest)));
	for (size_t i = 0; i < text.len; i++) {
		char c = fact->type == TYPE_TEXT ? text.at[i] : ascii_lower(text.at[i]);

		if (!buffer_add(out, span_make(&c, 1)))
			return false;
	}
	return true;
}

/* An IPv6 address counts with its /64: one host has all of that. */
static bool write_ip(const struct ip *ip, struct buffer *out)
{
	char text[IP_TEXT_SIZE];

	return ip->family == IP_V6 ? network_write(ip, out)
				   : buffer_add_text(out, ip_format(ip, text));
}

static bool write_key(struct call *call, const union fact_datum *value, struct buffer *out)
{
	const struct fact *fact = call_field_fact(call);

	if (!buffer_add_text(out, fact->name) ||
		!buffer_add_text(out, call_text(call) ? ",recipients " : " "))
		return false;
	return fact->type == TYPE_IP ? write_ip(&value->ip, out)
				     : write_text(fact, value->text, out);
}

/* --- one value after the other --- */

struct tally {
	struct span keys[VALUES_MAX];
	struct span window;
	unsigned n, asked;
	double highest;
};

static bool by_recipient(const struct call *call)
{
	return call_text(call) != NULL;
}

static void owe(struct call *call, const struct tally *tally)
{
	for (unsigned i = 0; i < tally->n; i++)
		call_owe(call, &(struct due){.when = DUE_ACCEPTED | DUE_HELD,
				       .kind = STORE_RATE_CHARGE,
				       .parts = {tally->keys[i], tally->window},
				       .n_parts = 2,
				       .counted = true,
				       .each = by_recipient(call)});
}

/* The one in hand: itself, or its recipients so far. */
static double in_hand(const struct call *call)
{
	return by_recipient(call) ? call_view(call)->to_count : 1;
}

static bool read_count(struct span answer, double *out)
{
	char text[32], *end;

	if (answer.len == 0 || answer.len >= sizeof(text) || !ascii_is_digit(answer.at[0]))
		return false;
	memcpy(text, answer.at, answer.len);
	text[answer.len] = '\0';
	*out = strtod(text, &end);
	return *end == '\0';
}

static enum call_status ask(struct call *call, struct tally *tally);

static enum call_status told(struct call *call, void *context, struct span answer)
{
	struct tally *tally = context;
	double count;

	if (!read_count(answer, &count)) {
		call_fail_all(call, "the store could not tell");
		return CALL_DONE;
	}
	if (count > tally->highest)
		tally->highest = count;
	if (++tally->asked < tally->n)
		return ask(call, tally);
	call_add_number(call, RATE, tally->highest + in_hand(call));
	owe(call, tally);
	return CALL_DONE;
}

static enum call_status ask(struct call *call, struct tally *tally)
{
	const struct span parts[] = {tally->keys[tally->asked], tally->window};

	return recall(call, STORE_RATE_LOOK, parts, COUNT_OF(parts), told, tally);
}

static enum call_status run(struct call *call)
{
	const struct fact_value *field = call_field(call);
	struct tally *tally = call_memory(call, sizeof(*tally));
	struct buffer key = BUFFER_INIT(STORE_KEY_MAX);

	tally->window = span_text(
		arena_print(call_arena(call), "%llu", (unsigned long long)call_window_ms(call)));
	for (uint32_t i = 0; i < field->count && tally->n < VALUES_MAX; i++) {
		buffer_clear(&key);
		if (write_key(call, &field->items[i], &key))
			tally->keys[tally->n++] = call_copy(call, buffer_span(&key));
	}
	buffer_free(&key);
	if (tally->n)
		return ask(call, tally);
	call_fail_all(call, "there is no key for this value");
	return CALL_DONE;
}

const struct filter filter_rate = {.version = FILTER_VERSION,
	.name = "rate",
	.facts = facts,
	.options = options,
	.run = run,
	.cancel = recall_cancel};
