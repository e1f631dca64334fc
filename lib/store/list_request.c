#include "lib/store/list_request.h"

#include <stdio.h>

/* As it is packed; what follows has these lengths. */
struct head {
	uint32_t expires_s;
	uint16_t key_len, item_len, reason_len;
	uint16_t kind;
};

bool list_name_is_good(struct span name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!ascii_is_alpha(name.at[i]) && !ascii_is_digit(name.at[i]) &&
			!memchr("._-", name.at[i], 3))
			return false;
	return name.len > 0 && name.len <= LIST_NAME_MAX;
}

static const char *const kind_names[IMAGE_KINDS] = {
	[IMAGE_V4] = "v4", [IMAGE_V6] = "v6", [IMAGE_TEXT] = "text"};

const char *list_kind_name(enum image_kind kind)
{
	return kind_names[kind];
}

bool list_kind_parse(struct span name, enum image_kind *kind)
{
	for (int i = 0; i < IMAGE_KINDS; i++) {
		if (!span_equal(name, span_text(kind_names[i])))
			continue;
		*kind = (enum image_kind)i;
		return true;
	}
	return false;
}

struct span list_key(
	enum image_kind kind, const struct image_item *item, char room[LIST_KEY_BYTES_MAX])
{
	size_t bytes = kind == IMAGE_V4 ? 4 : 16;

	if (kind == IMAGE_TEXT)
		return item->key;
	memcpy(room, item->network.ip.bytes, bytes);
	room[bytes] = (char)item->network.prefix_bits;
	return span_make(room, bytes + 1);
}

static bool read_network(enum image_kind kind, struct span key, struct cidr *out)
{
	size_t bytes = kind == IMAGE_V4 ? 4 : 16;
	struct ip ip = {.family = kind == IMAGE_V4 ? IP_V4 : IP_V6};
	uint8_t bits;

	if (key.len != bytes + 1)
		return false;
	memcpy(ip.bytes, key.at, bytes);
	bits = (uint8_t)key.at[bytes];
	if (bits > 8 * bytes)
		return false;
	*out = cidr_around(&ip, bits);
	return ip_equal(&out->ip, &ip);
}

static bool is_small_text(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((uint8_t)text.at[i] < ' ' || text.at[i] == 0x7f ||
			ascii_lower(text.at[i]) != text.at[i])
			return false;
	return text.len > 0 && text.len <= IMAGE_KEY_MAX;
}

bool list_key_read(enum image_kind kind, struct span key, struct image_item *out)
{
	if (kind != IMAGE_TEXT)
		return read_network(kind, key, &out->network);
	out->key = key;
	return is_small_text(key);
}

struct span list_item_show(
	enum image_kind kind, const struct image_item *item, char room[IP_TEXT_SIZE + 4])
{
	uint8_t whole = kind == IMAGE_V4 ? 32 : 128;
	char text[IP_TEXT_SIZE];

	if (kind == IMAGE_TEXT)
		return item->item.len ? item->item : item->key;
	ip_format(&item->network.ip, text);
	if (item->network.prefix_bits == whole)
		snprintf(room, IP_TEXT_SIZE + 4, "%s", text);
	else
		snprintf(room, IP_TEXT_SIZE + 4, "%s/%u", text, item->network.prefix_bits);
	return span_text(room);
}

/* An item that is written as its key is left out. */
static struct span item_beside_key(enum image_kind kind, const struct image_item *item)
{
	return kind == IMAGE_TEXT && !span_equal(item->item, item->key) ? item->item : SPAN_NONE;
}

bool list_pack(enum image_kind kind, const struct image_item *item, struct buffer *out)
{
	char room[LIST_KEY_BYTES_MAX];
	struct span key = list_key(kind, item, room), written = item_beside_key(kind, item);
	struct head head = {.expires_s = item->expires_s,
		.key_len = (uint16_t)key.len,
		.item_len = (uint16_t)written.len,
		.reason_len = (uint16_t)item->reason.len,
		.kind = (uint16_t)kind};
	size_t size = sizeof(head) + key.len + written.len + item->reason.len;

	if (key.len > IMAGE_KEY_MAX || written.len > IMAGE_KEY_MAX ||
		item->reason.len > IMAGE_REASON_MAX || !buffer_reserve(out, size))
		return false;
	return buffer_add(out, span_make(&head, sizeof(head))) && buffer_add(out, key) &&
	       buffer_add(out, written) && buffer_add(out, item->reason);
}

static struct span take(struct span *from, size_t len)
{
	struct span taken = span_first(*from, len);

	*from = span_from(*from, len);
	return taken;
}

bool list_unpack(struct span *items, enum image_kind *kind, struct image_item *out)
{
	struct head head;
	struct span key;

	if (items->len < sizeof(head))
		return false;
	memcpy(&head, take(items, sizeof(head)).at, sizeof(head));
	if (head.kind >= IMAGE_KINDS || head.item_len > IMAGE_KEY_MAX ||
		head.reason_len > IMAGE_REASON_MAX ||
		items->len < (size_t)head.key_len + head.item_len + head.reason_len)
		return false;
	*kind = (enum image_kind)head.kind;
	*out = (struct image_item){.expires_s = head.expires_s};
	key = take(items, head.key_len);
	out->item = take(items, head.item_len);
	out->reason = take(items, head.reason_len);
	return list_key_read(*kind, key, out);
}
