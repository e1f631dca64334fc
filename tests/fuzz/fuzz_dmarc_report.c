/*
 * A report from any answer of the store: it is well-formed, holds no character that XML has not,
 * and says as many records as it counts. The first line is the DMARC record, the rest the answer;
 * what is no answer becomes the text of one row.
 */
#include <stdint.h>
#include <string.h>

#include "admin/dmarc_destinations.h"
#include "admin/dmarc_report.h"
#include "lib/base/fail.h"
#include "lib/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANSWER_MAX = 1 << 20 };

/* As the keeper writes it. */
static struct json *answer_of(struct span record, struct span row, struct arena *arena)
{
	struct record r;
	struct json *json;

	record_init(&r, true, ANSWER_MAX);
	record_text(&r, "record", record);
	record_list(&r, "rows");
	record_open(&r, NULL);
	record_number(&r, "count", 3);
	record_text(&r, "row", row);
	json = json_read(arena, record_finish(&r));
	record_free(&r);
	return json;
}

/* Opened and closed elements pair up; the rest is text. */
static unsigned check_xml(struct span xml)
{
	struct span stack[32];
	unsigned depth = 0, records = 0;

	xml = span_from(xml, span_find_char(xml, '\n')); /* the declaration */
	for (size_t i = 0; i < xml.len; i++) {
		unsigned char c = (unsigned char)xml.at[i];
		struct span tag = span_from(xml, i + 1);

		ENSURE(c >= 0x20 || c == '\n');
		if (c != '<')
			continue;
		tag = span_first(tag, span_find_char(tag, '>'));
		if (tag.at[0] == '/') {
			tag = span_from(tag, 1);
			ENSURE(depth > 0);
			ENSURE(span_equal(stack[--depth], tag));
			continue;
		}
		ENSURE(depth < 32);
		records += span_equal(tag, SPAN("record"));
		stack[depth++] = span_first(tag, span_find_char(tag, ' '));
	}
	ENSURE(depth == 0);
	return records;
}

static void check_destinations(struct span record, struct arena *arena)
{
	struct dmarc_destinations all;

	dmarc_destinations_read(record, arena, &all);
	for (size_t i = 0; i < all.n; i++) {
		ENSURE(all.items[i].state != DESTINATION_TAKES); /* nobody was asked */
		ENSURE(all.items[i].state != DESTINATION_UNSURE ||
			(all.items[i].mailbox[0] && all.items[i].host[0]));
		ENSURE(all.items[i].state != DESTINATION_NOT || all.items[i].why);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = span_make(data, size), record, rest;
	struct arena *arena = arena_new(4096);
	struct dmarc_report_source source = {.domain = "example.com",
		.receiver = "mx.example.net",
		.org_name = "example.net",
		.email = "postmaster@example.net",
		.end_s = 86399,
		.arena = arena};
	struct buffer xml = BUFFER_INIT(16 * ANSWER_MAX);
	struct dmarc_report report;

	record = span_first(all, span_find_char(all, '\n'));
	rest = span_from(all, record.len + 1);
	source.answer = json_read(arena, rest);
	if (!source.answer)
		source.answer = answer_of(record, rest, arena);
	if (source.answer && dmarc_report_write(&source, &report, &xml))
		ENSURE(check_xml(buffer_span(&xml)) == report.rows);
	check_destinations(record, arena);
	buffer_free(&xml);
	arena_free(&arena);
	return 0;
}
