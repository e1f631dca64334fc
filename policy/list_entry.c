#include "policy/list_entry.h"

#include "policy/list_item.h"

static enum list_added read_network(enum list_type type, struct span item, enum image_kind *kind,
	struct image_item *out, struct err *err)
{
	bool mended;

	if (!list_item_check(type, item, err) ||
		!list_item_network(type, item, &out->network, &mended, err))
		return LIST_REFUSED;
	*kind = out->network.ip.family == IP_V4 ? IMAGE_V4 : IMAGE_V6;
	return mended ? LIST_MENDED : LIST_ADDED;
}

static enum fact_type fact_type_of(enum list_type type)
{
	return type == LIST_DOMAIN ? TYPE_DOMAIN : type == LIST_MAIL ? TYPE_MAIL : TYPE_TEXT;
}

enum list_added list_entry_read(enum list_type type, struct span item, domain_ascii *ascii,
	struct arena *arena, enum image_kind *kind, struct image_item *out, struct err *err)
{
	struct span written = item;
	char *key;

	if (type == LIST_CIDR || type == LIST_IP)
		return read_network(type, item, kind, out, err);
	if (!list_item_check(type, item, err))
		return LIST_REFUSED;
	if (ascii && fact_text_is_wide(fact_type_of(type), item) &&
		!fact_text_ascii(fact_type_of(type), ascii, &item, arena)) {
		err_set(err, "the domain of `%.*s` can't be written in ASCII (xn--...)",
			SPAN_ARGS(written));
		return LIST_REFUSED;
	}
	*kind = IMAGE_TEXT;
	out->item = arena_span(arena, item);
	key = arena_string(arena, list_item_key(type, out->item));
	out->key = span_text(key);
	for (; *key; key++)
		*key = ascii_lower(*key);
	return LIST_ADDED;
}

struct span list_entry_text(
	enum image_kind kind, const struct image_item *item, struct arena *arena)
{
	unsigned whole = kind == IMAGE_V4 ? 32 : 128;
	char text[IP_TEXT_SIZE];

	if (kind == IMAGE_TEXT)
		return item->item.len ? item->item : item->key;
	ip_format(&item->network.ip, text);
	if (item->network.prefix_bits == whole)
		return arena_span(arena, span_text(text));
	return span_text(arena_print(arena, "%s/%u", text, item->network.prefix_bits));
}
