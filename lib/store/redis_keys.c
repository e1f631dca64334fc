#include "lib/store/redis_keys.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/fail.h"
#include "lib/base/ip.h"
#include "lib/net/digest.h"
#include "lib/store/store.h"

void redis_key(char out[REDIS_KEY_SIZE], const char *prefix, const struct span *parts, size_t n)
{
	struct buffer text = BUFFER_INIT(STORE_BODY_MAX + STORE_PARTS_MAX);
	char hex[64];
	bool ok = true;

	for (size_t i = 0; i < n && ok; i++)
		ok = buffer_add(&text, parts[i]) && buffer_add_char(&text, '\0');
	ENSURE(ok && digest_hex(64, buffer_span(&text), hex));
	snprintf(out, REDIS_KEY_SIZE, "%s%.32s", prefix, hex);
	buffer_free(&text);
}

bool redis_list_name_is_good(struct span name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!ascii_is_alpha(name.at[i]) && !ascii_is_digit(name.at[i]) &&
			!memchr("._-", name.at[i], 3))
			return false;
	return name.len > 0 && name.len <= REDIS_LIST_NAME_MAX;
}

void redis_list_keys(struct span name, char hash[REDIS_KEY_SIZE], char log[REDIS_KEY_SIZE])
{
	snprintf(hash, REDIS_KEY_SIZE, "postern:list:{%.*s}", SPAN_ARGS(name));
	snprintf(log, REDIS_KEY_SIZE, "postern:list:{%.*s}:log", SPAN_ARGS(name));
}

static bool network_field(bool v4, struct span key, char room[REDIS_FIELD_MAX])
{
	size_t bytes = v4 ? 4 : 16;
	struct ip ip = {.family = v4 ? IP_V4 : IP_V6};
	char text[IP_TEXT_SIZE];
	uint8_t bits;

	if (key.len != bytes + 1)
		return false;
	bits = (uint8_t)key.at[bytes];
	memcpy(ip.bytes, key.at, bytes);
	if (bits > bytes * 8)
		return false;
	ip_format(&ip, text);
	if (bits == bytes * 8)
		return snprintf(room, REDIS_FIELD_MAX, "%s", text) < REDIS_FIELD_MAX;
	return snprintf(room, REDIS_FIELD_MAX, "%s/%u", text, bits) < REDIS_FIELD_MAX;
}

bool redis_list_field(
	struct span kind, struct span key, char room[REDIS_FIELD_MAX], struct span *field)
{
	bool v4 = span_equal(kind, SPAN("v4"));

	*field = key;
	if (span_equal(kind, SPAN("text")))
		return key.len > 0;
	if ((!v4 && !span_equal(kind, SPAN("v6"))) || !network_field(v4, key, room))
		return false;
	*field = span_text(room);
	return true;
}
