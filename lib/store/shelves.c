#include "lib/store/shelves.h"

#include <stdlib.h>

#include "lib/base/fail.h"

struct listed {
	struct listed *next;
	struct shelves *shelves;
	struct list_shelf *shelf; /* owned */
	char name[LIST_NAME_MAX + 1];
	uint64_t due_ms; /* UINT64_MAX: nothing is to be told */
	bool reread;     /* it is read anew then; single changes are in that */
	bool importing;
	size_t n_imported; /* changes of the import under way */
};

struct shelves {
	struct shelves_setup setup;
	struct listed *lists; /* owned */
	uint64_t last_id;
};

static bool walk(void *context, enum image_kind kind, const struct image_item *from,
	const struct image_item *until, bool (*take)(void *, const struct image_item *),
	void *taker, struct err *err)
{
	const struct listed *list = context;
	const struct shelves_setup *setup = &list->shelves->setup;

	return setup->walk(
		setup->context, span_text(list->name), kind, from, until, take, taker, err);
}

static void put(void *context, const struct shelf_image *image)
{
	const struct listed *list = context;
	const struct shelves_setup *setup = &list->shelves->setup;

	setup->put(setup->context, span_text(list->name), image);
}

static void drop(void *context, uint64_t id)
{
	const struct listed *list = context;
	const struct shelves_setup *setup = &list->shelves->setup;

	setup->drop(setup->context, span_text(list->name), id);
}

/* NULL: it has no good name. */
static struct listed *list_of(struct shelves *shelves, struct span name)
{
	struct listed *list = shelves->lists;

	while (list && !span_equal(span_text(list->name), name))
		list = list->next;
	if (list || !list_name_is_good(name))
		return list;
	list = memory_zeroed(sizeof(*list));
	list->shelves = shelves;
	list->due_ms = UINT64_MAX;
	memcpy(list->name, name.at, name.len);
	list->shelf = shelf_new(&(struct shelf_setup){.walk = walk,
		.put = put,
		.drop = drop,
		.context = list,
		.last_id = &shelves->last_id});
	list->next = shelves->lists;
	shelves->lists = list;
	return list;
}

struct shelves *shelves_new(const struct shelves_setup *setup)
{
	struct shelves *shelves = memory_zeroed(sizeof(*shelves));

	shelves->setup = *setup;
	return shelves;
}

void shelves_free(struct shelves **shelves)
{
	if (!*shelves)
		return;
	while ((*shelves)->lists) {
		struct listed *list = (*shelves)->lists;

		(*shelves)->lists = list->next;
		shelf_free(&list->shelf);
		free(list);
	}
	free(*shelves);
	*shelves = NULL;
}

/* Each counts a little for an import: so many of them are read faster than they are put in. */
static void count_change(struct listed *list)
{
	if (list->importing && ++list->n_imported > SHELF_CHANGES_MAX)
		list->reread = true;
}

void shelves_change(struct shelves *shelves, struct span name, enum image_kind kind,
	const struct image_item *item, uint64_t now_ms)
{
	struct listed *list = list_of(shelves, name);

	if (!list)
		return;
	count_change(list);
	if (!list->reread)
		shelf_change(list->shelf, kind, item);
	if (list->due_ms == UINT64_MAX)
		list->due_ms = now_ms + SHELVES_MS;
}

void shelves_reread(struct shelves *shelves, struct span name, uint64_t now_ms)
{
	struct listed *list = list_of(shelves, name);

	if (!list)
		return;
	list->reread = true;
	if (!list->importing)
		list->due_ms = now_ms;
}

void shelves_import(struct shelves *shelves, struct span name, bool is_last, uint64_t now_ms)
{
	struct listed *list = list_of(shelves, name);

	if (!list)
		return;
	if (!list->importing)
		list->n_imported = 0;
	list->importing = !is_last;
	list->due_ms = now_ms + (is_last ? 0 : SHELVES_IMPORT_MS);
}

static void run_list(struct listed *list, uint64_t now_ms)
{
	const struct shelves_setup *setup = &list->shelves->setup;
	struct err err = {{0}};
	bool ok = list->reread ? shelf_load(list->shelf, &err) : shelf_publish(list->shelf, &err);

	if (!ok) {
		setup->failed(setup->context, span_text(list->name), err.text);
		list->due_ms = now_ms + SHELVES_RETRY_MS;
		return;
	}
	list->reread = list->importing = false;
	list->due_ms = shelf_is_behind(list->shelf) ? now_ms : UINT64_MAX;
}

void shelves_run(struct shelves *shelves, uint64_t now_ms)
{
	for (struct listed *list = shelves->lists; list; list = list->next)
		if (list->due_ms <= now_ms)
			run_list(list, now_ms);
}

uint64_t shelves_due_ms(const struct shelves *shelves)
{
	uint64_t due_ms = UINT64_MAX;

	for (const struct listed *list = shelves->lists; list; list = list->next)
		if (list->due_ms < due_ms)
			due_ms = list->due_ms;
	return due_ms;
}

size_t shelves_size(const struct shelves *shelves, size_t *n)
{
	size_t size = 0;

	*n = 0;
	for (const struct listed *list = shelves->lists; list; list = list->next) {
		size_t one = shelf_size(list->shelf);

		size += one;
		*n += one > 0;
	}
	return size;
}
