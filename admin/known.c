#include "admin/known.h"

#include "admin/keeper.h"
#include "lib/store/list_request.h"

enum { KNOWN_S = 36 * 24 * 3600 /* as long as greylisting knows somebody */ };

static void add(struct keeper *keeper, const char *list, const char *type, enum image_kind kind,
	const struct image_item *item)
{
	uint64_t until_s = clock_wall_ms(&keeper->loop.clock) / 1000 + KNOWN_S;
	char room[LIST_KEY_BYTES_MAX], expires[24];
	struct span parts[] = {span_text(list), span_text(type), span_text(list_kind_name(kind)),
		list_key(kind, item, room), SPAN_NONE, SPAN("good so far"), SPAN("reputation"),
		SPAN_NONE};

	snprintf(expires, sizeof(expires), "%llu", (unsigned long long)until_s);
	parts[7] = span_text(expires);
	keeper_ask_store(
		keeper, KEEPER_TOLD, STORE_LIST_ADD, parts, sizeof(parts) / sizeof(*parts));
}

void known_add(void *context, struct span key)
{
	struct span word = span_word(&key);
	struct image_item item = {.key = key};

	if (span_equal(word, SPAN("net")) && cidr_parse(key, &item.network, NULL))
		add(context, "known_clients", "cidr",
			item.network.ip.family == IP_V4 ? IMAGE_V4 : IMAGE_V6, &item);
	else if (span_equal(word, SPAN("domain")))
		add(context, "known_senders", "domain", IMAGE_TEXT, &item);
}
