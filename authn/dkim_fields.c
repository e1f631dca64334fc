#include "authn/dkim_fields.h"

#include <stdlib.h>

static int span_order(struct span a, struct span b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	for (size_t i = 0; i < a.len; i++) {
		int order = ascii_lower(a.at[i]) - ascii_lower(b.at[i]);

		if (order)
			return order;
	}
	return 0;
}

static int name_order(const void *a, const void *b)
{
	const struct dkim_name *first = a, *second = b;

	return span_order(first->name, second->name);
}

/* The sorted names of one signature, each once. */
static size_t names_merge(struct dkim_name *items, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (kept && name_order(&items[kept - 1], &items[i]) == 0)
			items[kept - 1].n_signed += items[i].n_signed;
		else
			items[kept++] = items[i];
	}
	return kept;
}

/* The sorted names of all signatures, each once. */
static size_t names_unite(struct dkim_name *items, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		if (!kept || name_order(&items[kept - 1], &items[i]) != 0)
			items[kept++] = items[i];
		else if (items[kept - 1].n_signed < items[i].n_signed)
			items[kept - 1].n_signed = items[i].n_signed;
	}
	return kept;
}

static size_t claim_names(const struct dkim_claim *claim, struct dkim_name *items)
{
	for (size_t i = 0; i < claim->n_names; i++)
		items[i] = (struct dkim_name){.name = claim->names[i], .n_signed = 1};
	qsort(items, claim->n_names, sizeof(*items), name_order);
	return names_merge(items, claim->n_names);
}

void dkim_names_collect(struct dkim_names *names, const struct dkim_claim *claims, size_t n_claims,
	struct arena *arena)
{
	size_t n_max = 0, n_sets = 0;

	for (size_t i = 0; i < n_claims; i++)
		n_max += claims[i].n_names;
	names->items = arena_alloc(arena, (n_max + 1) * sizeof(*names->items));
	names->n = 0;
	for (size_t i = 0; i < n_claims; i++) {
		if (!dkim_claim_is_open(&claims[i]))
			continue;
		names->n += claim_names(&claims[i], names->items + names->n);
		n_sets++;
	}
	if (n_sets < 2)
		return;
	qsort(names->items, names->n, sizeof(*names->items), name_order);
	names->n = names_unite(names->items, names->n);
}

struct dkim_name *dkim_names_find(const struct dkim_names *names, struct span name)
{
	struct dkim_name key = {.name = name};

	return names->n ? bsearch(&key, names->items, names->n, sizeof(key), name_order) : NULL;
}

void dkim_names_count(struct dkim_names *names, struct span section)
{
	struct header_field field;

	while (header_next(&section, &field)) {
		struct dkim_name *name = dkim_names_find(names, field.name);

		if (name)
			name->n_there++;
	}
}

bool dkim_names_take(struct dkim_names *names, struct span text)
{
	struct dkim_name *name = dkim_names_find(names, text);

	/* So many of that name are left, this one included. */
	return name && name->n_there - name->n_passed++ <= name->n_signed;
}
