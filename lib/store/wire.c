#include "lib/store/wire.h"

#include <string.h>

bool store_parts_write(const struct span *parts, size_t n, struct buffer *out)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t len = (uint32_t)parts[i].len;

		if (parts[i].len > STORE_BODY_MAX ||
			!buffer_add(out, span_make(&len, sizeof(len))) ||
			!buffer_add(out, parts[i]))
			return false;
	}
	return true;
}

bool store_number_take(struct span *payload, uint32_t *out)
{
	if (payload->len < sizeof(*out))
		return false;
	memcpy(out, payload->at, sizeof(*out));
	*payload = span_from(*payload, sizeof(*out));
	return true;
}

bool store_parts_read(struct span bytes, struct span *parts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t len;

		if (!store_number_take(&bytes, &len) || len > bytes.len)
			return false;
		parts[i] = span_first(bytes, len);
		bytes = span_from(bytes, len);
	}
	return bytes.len == 0;
}

size_t store_kind_parts(enum store_kind kind)
{
	static const uint8_t counts[STORE_KIND_COUNT] = {
#define X(name, parts) [STORE_##name] = (parts),
		STORE_KINDS(X)
#undef X
	};

	return counts[kind];
}
