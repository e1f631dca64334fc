/* There are tens of them, at most hundreds: they are looked through. */
#include "lib/store/protected.h"

#include <stdlib.h>

#include "lib/base/fail.h"

struct entry {
	enum image_kind kind;
	struct image_item item;
	char *texts; /* owned */
};

struct protected_set {
	struct entry *entries; /* owned */
	size_t n, room;
};

struct protected_set *protected_new(void)
{
	return memory_zeroed(sizeof(struct protected_set));
}

void protected_free(struct protected_set **set)
{
	if (!*set)
		return;
	for (size_t i = 0; i < (*set)->n; i++)
		free((*set)->entries[i].texts);
	free((*set)->entries);
	free(*set);
	*set = NULL;
}

static struct span copy_to(char **to, struct span text)
{
	struct span copy = span_make(*to, text.len);

	if (text.len)
		memcpy(*to, text.at, text.len);
	*to += text.len;
	return copy;
}

void protected_add(struct protected_set *set, enum image_kind kind, const struct image_item *item,
	struct span why)
{
	struct entry entry = {.kind = kind, .item = *item};
	char *to;

	protected_remove(set, kind, item);
	to = entry.texts = memory_new(item->key.len + item->item.len + why.len + 1);
	entry.item.key = copy_to(&to, item->key);
	entry.item.item = copy_to(&to, item->item);
	entry.item.reason = copy_to(&to, why);
	if (set->n == set->room) {
		set->room = set->room ? set->room * 2 : 16;
		set->entries = memory_resize(set->entries, set->room * sizeof(*set->entries));
	}
	set->entries[set->n++] = entry;
}

void protected_remove(
	struct protected_set *set, enum image_kind kind, const struct image_item *item)
{
	for (size_t i = 0; i < set->n; i++) {
		struct entry *entry = &set->entries[i];

		if (entry->kind != kind || image_compare(kind, &entry->item, item) != 0)
			continue;
		free(entry->texts);
		*entry = set->entries[--set->n];
		return;
	}
}

/* One covers the other. */
static bool meet(enum image_kind kind, const struct image_item *a, const struct image_item *b)
{
	if (kind == IMAGE_TEXT)
		return span_equal(a->key, b->key);
	return cidr_contains(&a->network, &b->network.ip) ||
	       cidr_contains(&b->network, &a->network.ip);
}

bool protected_hit(const struct protected_set *set, enum image_kind kind,
	const struct image_item *item, uint32_t now_s, struct image_item *hit)
{
	for (size_t i = 0; i < set->n; i++) {
		const struct entry *entry = &set->entries[i];
		uint32_t expires_s = entry->item.expires_s;

		if (entry->kind != kind || !meet(kind, &entry->item, item) ||
			(expires_s != IMAGE_FOR_GOOD && expires_s <= now_s))
			continue;
		*hit = entry->item;
		return true;
	}
	return false;
}

bool protected_next(const struct protected_set *set, size_t *cursor, enum image_kind *kind,
	struct image_item *item)
{
	if (*cursor >= set->n)
		return false;
	*kind = set->entries[*cursor].kind;
	*item = set->entries[(*cursor)++].item;
	return true;
}
