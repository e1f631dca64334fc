/*
 * A message from any bytes: the walk's result is the same however it is cut, within its limits, and
 * valid UTF-8 without controls; so are the header fields read from the same bytes.
 *
 * The first byte chooses limits and what is wanted, the second how the rest is cut.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/arena.h"
#include "lib/base/fail.h"
#include "lib/mail/address.h"
#include "lib/mail/html.h"
#include "lib/mail/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct charsets *charsets;

static struct mime *walk(
	struct span message, const struct mime_limits *limits, unsigned wanted, unsigned seed)
{
	struct mime *m = mime_new(charsets, limits, wanted);

	while (message.len) {
		size_t piece =
			seed ? 1 + (seed = seed * 1103515245 + 12345) / 65536 % 9 : message.len;

		mime_feed(m, span_first(message, piece));
		message = span_from(message, piece);
	}
	mime_end(m);
	return m;
}

static void check_harmless(struct span text)
{
	ENSURE(utf8_valid(text) && text_printable(text));
}

static void check_attachment(const struct mime_attachment *a, const struct mime_limits *limits)
{
	ENSURE(a->name_count <= MIME_NAMES_MAX);
	for (size_t i = 0; i < a->name_count; i++) {
		check_harmless(a->names[i].text);
		check_harmless(a->names[i].extension);
		ENSURE(a->names[i].text.len && a->names[i].text.len <= limits->name_bytes);
	}
}

static void check(const struct mime_result *r, const struct mime_limits *limits)
{
	ENSURE(r->parts <= limits->parts && r->attachment_count <= limits->parts);
	ENSURE(r->url_count <= limits->urls && r->domain_count <= r->url_count);
	ENSURE(r->body.len <= limits->body_bytes && utf8_valid(r->body));
	for (size_t i = 0; i < r->attachment_count; i++)
		check_attachment(&r->attachments[i], limits);
	for (size_t i = 0; i < r->url_count; i++) {
		check_harmless(r->urls[i].text);
		ENSURE(r->urls[i].host.len && r->urls[i].host.len <= URL_HOST_MAX);
		for (size_t k = 0; k < r->urls[i].host.len; k++)
			ENSURE((unsigned char)r->urls[i].host.at[k] > ' ' &&
				(unsigned char)r->urls[i].host.at[k] < 127);
	}
}

static void check_same_attachment(const struct mime_attachment *a, const struct mime_attachment *b)
{
	ENSURE(a->name_count == b->name_count && span_equal(a->type, b->type));
	ENSURE(a->size == b->size && a->encrypted == b->encrypted);
	for (size_t i = 0; i < a->name_count; i++)
		ENSURE(span_equal(a->names[i].text, b->names[i].text) &&
			span_equal(a->names[i].extension, b->names[i].extension));
}

static void check_same(const struct mime_result *a, const struct mime_result *b)
{
	ENSURE(a->flaws == b->flaws && a->parts == b->parts && span_equal(a->body, b->body));
	ENSURE(a->attachment_count == b->attachment_count && a->url_count == b->url_count);
	ENSURE(a->domain_count == b->domain_count);
	for (size_t i = 0; i < a->attachment_count; i++)
		check_same_attachment(&a->attachments[i], &b->attachments[i]);
	for (size_t i = 0; i < a->url_count; i++)
		ENSURE(span_equal(a->urls[i].text, b->urls[i].text) &&
			span_equal(a->urls[i].host, b->urls[i].host));
}

static void check_header(struct span body)
{
	struct arena *arena = arena_new(4096);
	struct mime_mailboxes all;

	check_harmless(header_decode_text(charsets, body, arena));
	check_harmless(header_angle(body, arena));
	mailboxes_parse(charsets, body, arena, &all);
	ENSURE(all.kept <= all.count && all.kept <= MIME_MAILBOXES_MAX);
	for (size_t i = 0; i < all.kept; i++) {
		check_harmless(all.items[i].name);
		check_harmless(all.items[i].address);
		ENSURE(all.items[i].address.len);
	}
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mime_limits limits = MIME_LIMITS_DEFAULT;
	struct span message = span_from(span_make(data, size), 2);
	unsigned wanted = size ? data[0] & 7 : 7, seed = size > 1 ? data[1] : 0;
	struct mime *whole, *cut;

	if (!charsets)
		charsets = charsets_new();
	if (size && data[0] & 8)
		limits = (struct mime_limits){.parts = 4,
			.depth = 3,
			.header_bytes = 100,
			.name_bytes = 8,
			.part_bytes = 40,
			.text_bytes = 60,
			.body_bytes = 50,
			.urls = 2};
	whole = walk(message, &limits, wanted, 0);
	cut = walk(message, &limits, wanted, seed + 1);
	check(mime_result(whole), &limits);
	check_same(mime_result(whole), mime_result(cut));
	mime_free(&whole);
	mime_free(&cut);
	check_header(message);
	return 0;
}
