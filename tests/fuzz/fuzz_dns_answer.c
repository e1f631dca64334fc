/*
 * An answer packet behind the type that was asked for (two bytes): what is found is whole, and
 * names that come out are harmless and could be asked for.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/net/dns_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(struct span name)
{
	ENSURE(!dns_name_mistake(name));
	for (size_t i = 0; i < name.len; i++)
		ENSURE(name.at[i] > ' ' && name.at[i] < 0x7f &&
			!strchr("\"<>();@$%&'`", name.at[i]));
}

static void check_text(const struct dns_record *record)
{
	struct span rest = record->rdata, string, text = record->text;

	while (dns_text_next(&rest, &string)) {
		ENSURE(span_starts(text, string));
		text = span_from(text, string.len);
	}
	ENSURE(rest.len == 0 && text.len == 0);
}

static void check_record(const struct dns_record *record, enum dns_type type)
{
	if (type == DNS_A)
		ENSURE(record->ip.family == IP_V4);
	else if (type == DNS_AAAA)
		ENSURE(record->ip.family != IP_NONE);
	else if (type == DNS_TXT)
		check_text(record);
	else if (type == DNS_MX || type == DNS_NS || type == DNS_CNAME || type == DNS_PTR ||
		 type == DNS_SOA)
		check_name(record->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_query query = {.outcome = DNS_PENDING};
	char *packet;

	if (size < 2)
		return 0;
	query.type = (enum dns_type)(data[0] << 8 | data[1]);
	query.arena = arena_new(1024);
	size -= 2;
	packet = memory_new(size ? size : 1);
	memcpy(packet, data + 2, size);
	dns_answer_read(&query, span_make(packet, size));
	free(packet);
	ENSURE(query.outcome != DNS_PENDING);
	ENSURE((query.outcome == DNS_FOUND) == (query.n_records > 0));
	ENSURE((query.outcome == DNS_FAILED) == (query.error != NULL));
	ENSURE(query.n_records <= DNS_RECORDS_MAX);
	for (size_t i = 0; i < query.n_records; i++)
		check_record(&query.records[i], query.type);
	if (query.canonical.len)
		check_name(query.canonical);
	arena_free(&query.arena);
	return 0;
}
