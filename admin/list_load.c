#include "admin/list_load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/list_import.h"
#include "admin/visible.h"
#include "lib/base/fail.h"
#include "lib/mail/url.h"
#include "policy/list_entry.h"

enum {
	TOLD_MAX = 20,
	BATCH_BYTES = 240 * 1024,
	KIND_SHIFT = 60 /* offsets are below that */
};

/* Packed items, and where each begins. */
struct place {
	uint64_t prefix; /* the first 8 bytes of its key: as a rule they settle the order */
	uint64_t at;     /* kind in the high bits, then the offset */
};

struct gathering {
	struct list_load *load;
	struct list_call *call;
	struct arena *arena; /* of the item at hand */
	struct buffer packed;
	struct place *places; /* owned */
	size_t n, room, told;
	bool sorted; /* so far */
};

/* --- gathering --- */

static void tell(struct gathering *g, size_t line, const char *text)
{
	if (g->told++ < TOLD_MAX)
		fprintf(stderr, "line %zu: %s\n", line,
			visible_line(g->call->arena, span_text(text)));
}

static void on_mistake(void *context, size_t line, const char *text)
{
	struct gathering *g = context;

	g->load->bad++;
	tell(g, line, text);
}

static uint64_t prefix_of(struct span key)
{
	uint64_t prefix = 0;

	for (size_t i = 0; i < 8; i++)
		prefix = prefix << 8 | (i < key.len ? (uint8_t)key.at[i] : 0);
	return prefix;
}

static struct image_item item_at(const struct gathering *g, const struct place *place)
{
	struct span rest = span_from(
		buffer_span(&g->packed), (size_t)(place->at & (((uint64_t)1 << KIND_SHIFT) - 1)));
	struct image_item item;
	enum image_kind kind;

	ENSURE(list_unpack(&rest, &kind, &item));
	return item;
}

static int compare(const struct gathering *g, const struct place *a, const struct place *b)
{
	uint64_t kind_a = a->at >> KIND_SHIFT, kind_b = b->at >> KIND_SHIFT;
	struct image_item item_a, item_b;

	if (kind_a != kind_b)
		return kind_a < kind_b ? -1 : 1;
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	if (kind_a == IMAGE_V4)
		return 0; /* all of the key is in it */
	item_a = item_at(g, a);
	item_b = item_at(g, b);
	return image_compare((enum image_kind)kind_a, &item_a, &item_b);
}

static void keep(struct gathering *g, enum image_kind kind, const struct image_item *item)
{
	char room[LIST_KEY_BYTES_MAX];
	struct place place = {prefix_of(list_key(kind, item, room)),
		(uint64_t)kind << KIND_SHIFT | g->packed.len};

	if (g->n == g->room) {
		g->room = g->room ? g->room * 2 : 1024;
		g->places = memory_resize(g->places, g->room * sizeof(*g->places));
	}
	ENSURE(list_pack(kind, item, &g->packed));
	g->sorted = g->sorted && (g->n == 0 || compare(g, &g->places[g->n - 1], &place) <= 0);
	g->places[g->n++] = place;
}

static struct span cut(struct span reason)
{
	size_t len = IMAGE_REASON_MAX;

	if (reason.len <= len)
		return reason;
	while (len && ((uint8_t)reason.at[len] & 0xc0) == 0x80)
		len--;
	return span_first(reason, len);
}

static void on_item(
	void *context, size_t line, struct span text, struct span reason, uint64_t expires_s)
{
	struct gathering *g = context;
	struct list_load *load = g->load;
	struct image_item item = {.reason = cut(reason.len ? reason : load->reason),
		.expires_s = (uint32_t)(expires_s ? expires_s : load->expires_s)};
	enum image_kind kind;
	struct err err;

	switch (list_entry_read(load->type, text, host_ascii, g->arena, &kind, &item, &err)) {
	case LIST_REFUSED:
		on_mistake(g, line, err.text);
		return;
	case LIST_MENDED:
		load->mended++;
		tell(g, line, err.text);
		break;
	case LIST_ADDED:
		break;
	}
	keep(g, kind, &item);
	if (arena_size(g->arena) > 256 * 1024) {
		arena_free(&g->arena);
		g->arena = arena_new(64 * 1024);
	}
}

/* --- order --- */

static int by_key(const void *a, const void *b, void *context)
{
	const struct place *x = a, *y = b;
	int order = compare(context, x, y);

	/* Of an item that stands twice the last one holds: it comes first, and wins below. */
	return order ? order : (x->at < y->at) - (x->at > y->at);
}

static void drop_doubles(struct gathering *g)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n; i++) {
		if (n && compare(g, &g->places[n - 1], &g->places[i]) == 0) {
			if (g->places[i].at > g->places[n - 1].at)
				g->places[n - 1] = g->places[i];
			g->load->twice++;
			continue;
		}
		g->places[n++] = g->places[i];
	}
	g->n = n;
}

/* Those that enclose the item at hand. */
struct chain {
	struct cidr networks[129];
	unsigned depth;
};

/* Whether it lies in one that came before it. In this order those that do enclose each other. */
static bool is_covered(struct chain *chain, enum image_kind kind, const struct image_item *item)
{
	bool covered;

	if (kind == IMAGE_TEXT)
		return false;
	while (chain->depth &&
		!cidr_contains(&chain->networks[chain->depth - 1], &item->network.ip))
		chain->depth--;
	covered = chain->depth > 0;
	chain->networks[chain->depth++] = item->network;
	return covered;
}

/* --- sending --- */

static bool send_batch(struct gathering *g, struct span items, const char *mode, int *status)
{
	struct list_load *load = g->load;
	struct span parts[] = {span_text(load->list), span_text(list_type_name(load->type)),
		load->by, span_text(mode), items};
	struct arena *arena = arena_new(4096);
	const struct json *answer =
		list_ask_json(g->call, STORE_LIST_BATCH, parts, COUNT_OF(parts), arena, status);

	if (answer) {
		if (load->protected == 0)
			list_print_protected(g->call, answer);
		load->added += (size_t)json_number(answer, "added");
		load->changed += (size_t)json_number(answer, "changed");
		load->same += (size_t)json_number(answer, "same");
		load->protected += (size_t)json_number(answer, "protected");
		load->full += (size_t)json_number(answer, "full");
	}
	arena_free(&arena);
	return answer != NULL;
}

/* Before the last batch workers are shown nothing of it. */
static int send_all(struct gathering *g)
{
	struct buffer batch = BUFFER_INIT(BATCH_BYTES);
	const char *more = g->load->dry ? "dry" : "more", *last = g->load->dry ? "dry" : "last";
	struct chain chain = {.depth = 0};
	int status = CLI_OK;
	bool ok = true;

	for (size_t i = 0; ok && i < g->n; i++) {
		enum image_kind kind = (enum image_kind)(g->places[i].at >> KIND_SHIFT);
		struct image_item item = item_at(g, &g->places[i]);

		g->load->covered += is_covered(&chain, kind, &item);
		if (list_pack(kind, &item, &batch))
			continue;
		ok = send_batch(g, buffer_span(&batch), more, &status);
		buffer_clear(&batch);
		ENSURE(list_pack(kind, &item, &batch));
	}
	ok = ok && send_batch(g, buffer_span(&batch), last, &status);
	buffer_free(&batch);
	return ok ? CLI_OK : status;
}

static int judge(const struct list_load *load)
{
	size_t in = load->added + load->changed + load->same;
	size_t out = load->bad + load->protected + load->full;

	return out == 0 ? CLI_OK : in ? CLI_PART : CLI_NO;
}

int list_load(struct list_call *call, struct list_load *load)
{
	struct gathering g = {
		.load = load, .call = call, .sorted = true, .packed = BUFFER_INIT(SIZE_MAX / 2)};
	struct list_import import = {load->type, on_item, on_mistake, &g};
	struct err err = {{0}};
	int status = CLI_NO;

	g.arena = arena_new(64 * 1024);
	if (list_import_read(&import, load->source, &err)) {
		if (g.told > TOLD_MAX)
			fprintf(stderr, "%zu more lines are not shown\n", g.told - TOLD_MAX);
		load->items = g.n;
		if (!g.sorted)
			qsort_r(g.places, g.n, sizeof(*g.places), by_key, &g);
		drop_doubles(&g);
		status = g.n ? send_all(&g) : CLI_OK;
		status = status == CLI_OK ? judge(load) : status;
	} else {
		fprintf(stderr, "postern list: %s\n", err.text);
	}
	buffer_free(&g.packed);
	free(g.places);
	arena_free(&g.arena);
	return status;
}
