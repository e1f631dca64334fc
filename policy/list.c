/*
 * One text pool holds each item as written with its reason behind it; eight bytes say where. The
 * lookups work on numbers of items: list_cidr for addresses, list_table for everything else. The
 * key under which an item is found is a part of what was written, so it is kept no second time.
 */
#include "policy/list.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "policy/list_cidr.h"
#include "policy/list_item.h"
#include "policy/list_table.h"

enum { DIGEST_MAX = 64, FIRST_ITEMS = 16, DOMAIN_LABELS_MAX = 128 };

/* Where an item stands in the pool. */
struct item {
	uint32_t at;
	uint16_t len;
	uint16_t reason_len; /* directly behind it */
};

struct list {
	enum list_type type;
	enum { LIST_FILLING, LIST_SEALED } state;
	const struct list_view *view; /* borrowed; NULL: it holds its items itself, below */
	const struct clock *clock;    /* borrowed; of a view */
	list_digest *digest;
	domain_ascii *ascii; /* NULL: domains stay as written */
	struct buffer pool;
	struct item *items; /* owned */
	size_t n_items;     /* as added; one that was given twice stands here twice */
	size_t room;
	unsigned labels_max;         /* of a domain */
	bool digits[DIGEST_MAX + 1]; /* which lengths the hashes have */
	struct list_cidr cidr;
	struct list_table table;
};

static const char *const type_names[] = {
	[LIST_CIDR] = "cidr",
	[LIST_IP] = "ip",
	[LIST_DOMAIN] = "domain",
	[LIST_MAIL] = "mail",
	[LIST_TEXT] = "text",
	[LIST_HASH] = "hash",
};

bool list_type_parse(struct span name, enum list_type *type)
{
	for (size_t i = 0; i < COUNT_OF(type_names); i++) {
		if (span_equal(name, span_text(type_names[i]))) {
			*type = (enum list_type)i;
			return true;
		}
	}
	return false;
}

const char *list_type_name(enum list_type type)
{
	return type_names[type];
}

static bool holds_addresses(const struct list *list)
{
	return list->type == LIST_CIDR || list->type == LIST_IP;
}

struct list *list_new(enum list_type type, list_digest *digest, domain_ascii *ascii)
{
	struct list *list = memory_zeroed(sizeof(*list));

	ENSURE((type == LIST_HASH) == (digest != NULL));
	list->type = type;
	list->digest = digest;
	list->ascii = ascii;
	list->pool = BUFFER_INIT(UINT32_MAX);
	return list;
}

struct list *list_new_live(enum list_type type, list_digest *digest, const struct list_view *view,
	const struct clock *clock)
{
	struct list *list = list_new(type, digest, NULL);

	list->state = LIST_SEALED;
	list->view = view;
	list->clock = clock;
	/* What it holds is not known here: any. */
	list->labels_max = DOMAIN_LABELS_MAX;
	list->digits[32] = list->digits[40] = list->digits[64] = type == LIST_HASH;
	return list;
}

void list_free(struct list **list)
{
	if (!*list)
		return;
	buffer_free(&(*list)->pool);
	free((*list)->items);
	list_cidr_free(&(*list)->cidr);
	list_table_free(&(*list)->table);
	free(*list);
	*list = NULL;
}

enum list_type list_type(const struct list *list)
{
	return list->type;
}

static struct span item_text(const struct list *list, uint32_t number)
{
	const struct item *item = &list->items[number];

	return span_make(list->pool.data + item->at, item->len);
}

static struct span item_reason(const struct list *list, uint32_t number)
{
	const struct item *item = &list->items[number];

	return span_make(list->pool.data + item->at + item->len, item->reason_len);
}

/* --- filling --- */

/* The most that fits, without half a character at its end. */
static struct span cut_reason(struct span reason)
{
	size_t len = LIST_REASON_MAX;

	if (reason.len <= LIST_REASON_MAX)
		return reason;
	while (len && ((uint8_t)reason.at[len] & 0xc0) == 0x80)
		len--;
	return span_trim(span_first(reason, len));
}

static bool keep(struct list *list, struct span item, struct span reason, struct err *err)
{
	size_t at = list->pool.len;

	if (list->n_items == UINT32_MAX - 1 || !buffer_reserve(&list->pool, item.len + reason.len))
		return err_set(err, "the list is full: its texts have 4 GB");
	if (list->n_items == list->room) {
		list->room = list->room ? list->room * 2 : FIRST_ITEMS;
		list->items = memory_resize(list->items, list->room * sizeof(*list->items));
	}
	ENSURE(buffer_add(&list->pool, item) && buffer_add(&list->pool, reason));
	list->items[list->n_items++] = (struct item){
		.at = (uint32_t)at,
		.len = (uint16_t)item.len,
		.reason_len = (uint16_t)reason.len,
	};
	return true;
}

/* A kind of hash that can't be computed here would never match: better told now. */
static bool know_digest(struct list *list, size_t digits, struct err *err)
{
	char hex[DIGEST_MAX + 1];

	if (list->digits[digits])
		return true;
	if (!list->digest((unsigned)digits, SPAN("x"), hex))
		return err_set(err, "hashes of %zu digits can't be computed here", digits);
	list->digits[digits] = true;
	return true;
}

static enum list_added add_item(
	struct list *list, struct span item, struct span reason, struct err *err)
{
	bool mended = false;
	struct cidr network;
	unsigned labels;

	if (!list_item_check(list->type, item, err))
		return LIST_REFUSED;
	if (holds_addresses(list) && !list_item_network(list->type, item, &network, &mended, err))
		return LIST_REFUSED;
	if (list->type == LIST_HASH && !know_digest(list, item.len, err))
		return LIST_REFUSED;
	if (!keep(list, item, reason, err))
		return LIST_REFUSED;
	if (holds_addresses(list))
		list_cidr_add(&list->cidr, &network, (uint32_t)list->n_items - 1);
	labels = list_item_labels(list_item_key(list->type, item));
	if (labels > list->labels_max)
		list->labels_max = labels;
	return mended ? LIST_MENDED : LIST_ADDED;
}

/* The type of fact whose values a list's items are like. */
static enum fact_type fact_type_of(const struct list *list)
{
	return list->type == LIST_DOMAIN ? TYPE_DOMAIN
	       : list->type == LIST_MAIL ? TYPE_MAIL
					 : TYPE_TEXT;
}

static bool is_wide(const struct list *list, struct span item)
{
	return list->ascii && fact_text_is_wide(fact_type_of(list), item);
}

static enum list_added add_wide(
	struct list *list, struct span item, struct span reason, struct err *err)
{
	struct arena *arena;
	enum list_added added = LIST_REFUSED;

	if (!list_item_check(list->type, item, err))
		return LIST_REFUSED;
	arena = arena_new(LIST_ITEM_MAX);
	if (fact_text_ascii(fact_type_of(list), list->ascii, &item, arena))
		added = add_item(list, item, reason, err);
	else
		err_set(err, "the domain of `%.*s` can't be written in ASCII (xn--...)",
			SPAN_ARGS(item));
	arena_free(&arena);
	return added;
}

enum list_added list_add(struct list *list, struct span item, struct span reason, struct err *err)
{
	ENSURE(list->state == LIST_FILLING);
	reason = cut_reason(reason);
	return is_wide(list, item) ? add_wide(list, item, reason, err)
				   : add_item(list, item, reason, err);
}

/* --- the table of all but addresses --- */

/* In small letters; text has at most LIST_ITEM_MAX bytes. */
static struct span lowered(struct span text, char out[LIST_ITEM_MAX])
{
	for (size_t i = 0; i < text.len; i++)
		out[i] = ascii_lower(text.at[i]);
	return span_make(out, text.len);
}

static struct span item_key(const struct list *list, uint32_t number)
{
	return list_item_key(list->type, item_text(list, number));
}

/* A key in small letters; the probe stands at its item, or where that would be put. */
static bool find(const struct list *list, struct span key, struct list_probe *probe, uint32_t *item)
{
	*probe = list_table_probe(&list->table, key);
	while (list_table_next(&list->table, probe, item))
		if (span_equal_nocase(item_key(list, *item), key))
			return true;
	return false;
}

static void index_items(struct list *list)
{
	char small[LIST_ITEM_MAX];
	struct list_probe probe;
	uint32_t other;

	list_table_init(&list->table, list->n_items);
	for (uint32_t i = 0; i < list->n_items; i++) {
		find(list, lowered(item_key(list, i), small), &probe, &other);
		list_table_put(&list->table, &probe, i);
	}
}

void list_seal(struct list *list)
{
	ENSURE(list->state == LIST_FILLING);
	list->state = LIST_SEALED;
	if (holds_addresses(list))
		list_cidr_seal(&list->cidr);
	else
		index_items(list);
}

size_t list_count(const struct list *list)
{
	ENSURE(list->state == LIST_SEALED);
	if (list->view)
		return list_view_count(list->view);
	return holds_addresses(list) ? list->cidr.count : list->table.count;
}

size_t list_size(const struct list *list)
{
	return sizeof(*list) + list->pool.capacity + list->room * sizeof(*list->items) +
	       list_cidr_size(&list->cidr) + list_table_size(&list->table);
}

/* --- lookups --- */

static bool is_hit(const struct list *list, uint32_t number, struct list_hit *hit)
{
	if (hit)
		*hit = (struct list_hit){
			.item = item_text(list, number), .reason = item_reason(list, number)};
	return true;
}

static uint32_t now_s(const struct list *list)
{
	return (uint32_t)(clock_wall_ms(list->clock) / 1000);
}

static struct span write_network(const struct cidr *network, struct list_hit *hit)
{
	bool alone = network->prefix_bits == (network->ip.family == IP_V4 ? 32 : 128);
	char text[IP_TEXT_SIZE];

	ip_format(&network->ip, text);
	if (alone)
		snprintf(hit->network, sizeof(hit->network), "%s", text);
	else
		snprintf(hit->network, sizeof(hit->network), "%s/%u", text, network->prefix_bits);
	return span_text(hit->network);
}

static bool match_view_ip(const struct list *list, const struct ip *ip, struct list_hit *hit)
{
	struct image_item item;

	if (!list_view_find_ip(list->view, ip, now_s(list), &item))
		return false;
	if (hit) {
		hit->item = write_network(&item.network, hit);
		hit->reason = item.reason;
	}
	return true;
}

bool list_match_ip(const struct list *list, const struct ip *ip, struct list_hit *hit)
{
	uint32_t number;

	ENSURE(list->state == LIST_SEALED && holds_addresses(list));
	if (list->view)
		return match_view_ip(list, ip, hit);
	return list_cidr_find(&list->cidr, ip, &number) && is_hit(list, number, hit);
}

static bool match_view_key(const struct list *list, struct span key, struct list_hit *hit)
{
	struct image_item item;

	if (!list_view_find_key(list->view, key, now_s(list), &item))
		return false;
	if (hit) {
		hit->item = item.item;
		hit->reason = item.reason;
	}
	return true;
}

static bool match_key(const struct list *list, struct span key, struct list_hit *hit)
{
	struct list_probe probe;
	uint32_t number;

	if (list->view)
		return match_view_key(list, key, hit);
	return find(list, key, &probe, &number) && is_hit(list, number, hit);
}

enum reach { DOMAIN_ITSELF, DOMAIN_UNDER };

/*
 * The domain, then `.parent` (and, under, `parent`) for each parent from the longest. Parents of
 * more labels than any item has are passed over: a name of a hundred labels costs no more than the
 * list makes it.
 */
static bool match_domain(
	const struct list *list, struct span domain, enum reach reach, struct list_hit *hit)
{
	unsigned labels = list_item_labels(domain);

	if (domain.len == 0 || domain.at[0] == '.')
		return false;
	if (labels <= list->labels_max && match_key(list, domain, hit))
		return true;
	for (size_t i = 0; i < domain.len; i++) {
		if (domain.at[i] != '.' || --labels > list->labels_max)
			continue;
		if (match_key(list, span_from(domain, i), hit))
			return true;
		if (reach == DOMAIN_UNDER && match_key(list, span_from(domain, i + 1), hit))
			return true;
	}
	return false;
}

/* The address, `@domain`, then `@.parent` for each parent from the longest. key is changed. */
static bool match_mail(const struct list *list, char *key, size_t len, struct list_hit *hit)
{
	struct span address = len ? span_make(key, len) : SPAN("<>");
	const char *at = len ? memrchr(key, '@', len) : NULL;
	size_t domain = at ? (size_t)(at - key) : len;
	unsigned labels;

	if (match_key(list, address, hit))
		return true;
	if (!at)
		return false;
	if (match_key(list, span_from(address, domain), hit))
		return true;
	labels = list_item_labels(span_from(address, domain + 1));
	for (size_t i = domain + 1; i < len; i++) {
		if (key[i] != '.' || --labels > list->labels_max)
			continue;
		key[i - 1] = '@';
		if (match_key(list, span_make(key + i - 1, len - (i - 1)), hit))
			return true;
	}
	return false;
}

static bool match_hash(const struct list *list, struct span text, struct list_hit *hit)
{
	char small[LIST_HASHED_MAX], hex[DIGEST_MAX + 1];

	if (text.len > sizeof(small))
		return false;
	for (size_t i = 0; i < text.len; i++)
		small[i] = ascii_lower(text.at[i]);
	for (unsigned digits = 0; digits <= DIGEST_MAX; digits++)
		if (list->digits[digits] && list->digest(digits, span_make(small, text.len), hex) &&
			match_key(list, span_make(hex, digits), hit))
			return true;
	return false;
}

static struct span without_last_dot(struct span domain)
{
	return domain.len && domain.at[domain.len - 1] == '.' ? span_first(domain, domain.len - 1)
							      : domain;
}

bool list_match_text(const struct list *list, struct span text, struct list_hit *hit)
{
	char small[LIST_ITEM_MAX];

	ENSURE(list->state == LIST_SEALED && !holds_addresses(list));
	if (list->type == LIST_HASH)
		return match_hash(list, text, hit);
	if (text.len > sizeof(small))
		return false;
	text = lowered(text, small);
	if (list->type == LIST_MAIL)
		return match_mail(list, small, text.len, hit);
	if (list->type == LIST_DOMAIN)
		return match_domain(list, without_last_dot(text), DOMAIN_ITSELF, hit);
	return match_key(list, text, hit);
}

bool list_match_under(const struct list *list, struct span domain, struct list_hit *hit)
{
	char small[LIST_ITEM_MAX];

	ENSURE(list->state == LIST_SEALED && list->type == LIST_DOMAIN);
	if (domain.len > sizeof(small))
		return false;
	return match_domain(list, without_last_dot(lowered(domain, small)), DOMAIN_UNDER, hit);
}
