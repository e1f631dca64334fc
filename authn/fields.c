/*
 * Sorted, not hashed: names and their number are the sender's choice, and a signature may name
 * thousands; so a table would need a secret to be safe, and this needs none.
 */
#include "authn/fields.h"

#include <stdlib.h>

/* All of one name: a run of `sorted`, the lowest in the message first. */
struct group {
	struct span name;
	const struct header_field *first;
	size_t n;
	size_t taken;
	uint64_t round; /* in which `taken` counts */
};

struct fields {
	struct header_field *sorted;
	struct group *groups; /* by name */
	size_t n_groups;
	uint64_t round;
};

static int name_order(struct span a, struct span b)
{
	size_t len = a.len < b.len ? a.len : b.len;

	for (size_t i = 0; i < len; i++) {
		int difference =
			(unsigned char)ascii_lower(a.at[i]) - (unsigned char)ascii_lower(b.at[i]);

		if (difference)
			return difference;
	}
	return (a.len > b.len) - (a.len < b.len);
}

static int field_order(const void *left, const void *right)
{
	const struct header_field *a = left, *b = right;
	int by_name = name_order(a->name, b->name);

	return by_name ? by_name : (a->raw.at < b->raw.at) - (a->raw.at > b->raw.at);
}

static void group_fields(struct fields *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct header_field *field = &fields->sorted[i];

		if (i == 0 || name_order(field[-1].name, field->name) != 0)
			fields->groups[fields->n_groups++] =
				(struct group){.name = field->name, .first = field};
		fields->groups[fields->n_groups - 1].n++;
	}
}

struct fields *fields_new(struct span section, struct arena *arena)
{
	struct fields *fields = arena_alloc(arena, sizeof(*fields));
	struct header_field field;
	struct span rest = section;
	size_t n = 0, i = 0;

	while (header_next(&rest, &field))
		n++;
	if (n > FIELDS_MAX)
		return NULL;
	fields->sorted = arena_alloc(arena, (n + 1) * sizeof(*fields->sorted));
	fields->groups = arena_alloc(arena, (n + 1) * sizeof(*fields->groups));
	while (header_next(&section, &field))
		fields->sorted[i++] = field;
	qsort(fields->sorted, n, sizeof(*fields->sorted), field_order);
	group_fields(fields, n);
	return fields;
}

void fields_rewind(struct fields *fields)
{
	fields->round++;
}

static int group_order(const void *name, const void *group)
{
	return name_order(*(const struct span *)name, ((const struct group *)group)->name);
}

const struct header_field *fields_take(struct fields *fields, struct span name)
{
	struct group *group = bsearch(
		&name, fields->groups, fields->n_groups, sizeof(*fields->groups), group_order);

	if (!group)
		return NULL;
	if (group->round != fields->round) {
		group->round = fields->round;
		group->taken = 0;
	}
	return group->taken < group->n ? &group->first[group->taken++] : NULL;
}
