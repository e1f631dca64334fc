/*
 * The first bytes of a connection: the answer comes at one length, stays with all that follows, and
 * a header that was taken says the same when it is written and read again.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/mail/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_taken(const struct proxy_header *header)
{
	char wire[PROXY_V2_WRITE_MAX];
	struct proxy_header again;
	struct err err;
	size_t size;

	if (header->local) {
		ENSURE(header->source.ip.family == IP_NONE);
		ENSURE(header->destination.ip.family == IP_NONE);
	}
	size = proxy_header_write(&header->source, &header->destination, wire);
	ENSURE(size <= sizeof(wire));
	ENSURE(proxy_header_parse(span_make(wire, size), &again, &err) == PROXY_DONE);
	ENSURE(again.size == size && again.local == header->local);
	ENSURE(ip_equal(&again.source.ip, &header->source.ip));
	ENSURE(ip_equal(&again.destination.ip, &header->destination.ip));
	ENSURE(again.source.port == header->source.port);
	ENSURE(again.destination.port == header->destination.port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header header, first;
	enum proxy_status status, decided = PROXY_MORE;
	struct err err = {""};

	for (size_t len = 0; len <= size; len++) {
		char *copy = malloc(len ? len : 1);

		memcpy(copy, data, len);
		status = proxy_header_parse(span_make(copy, len), &header, &err);
		free(copy);
		if (decided != PROXY_MORE) {
			ENSURE(status == decided);
			ENSURE(status != PROXY_DONE || header.size == first.size);
			continue;
		}
		if (status == PROXY_MORE)
			ENSURE(len < PROXY_V2_MAX);
		if (status == PROXY_BAD)
			ENSURE(err.text[0] != '\0');
		if (status == PROXY_DONE) {
			ENSURE(header.size == len && len <= PROXY_V2_MAX);
			check_taken(&header);
		}
		decided = status;
		first = header;
		/* The rest at one go: what is decided needs no look at each length. */
		if (decided != PROXY_MORE && len + 1 < size)
			len = size - 1;
	}
	return 0;
}
