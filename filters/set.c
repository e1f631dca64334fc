/*
 * set: which filters there are. Those of the program come from a table that CMake makes of file
 * names; others from shared objects that postern.conf names, each under the name and with the facts
 * that it may have, so that none can pass for another. Every table is checked here once, whoever
 * wrote it.
 */
#include "filters/set.h"

#include <dlfcn.h>

#include "lib/base/fail.h"
#include "lib/base/nearest.h"

enum { FILTERS_MAX = 256, OPTIONS_MAX = 60 };

/* Blocks in postern.conf for what later releases bring are no mistake. */
static const char *const later[] = {"virus", "milter", "rspamd"};

static bool is_later(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(later); i++)
		if (strcmp(later[i], name) == 0)
			return true;
	return false;
}

static struct filter_entry *find_entry(const struct filter_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->entries[i].filter && strcmp(set->entries[i].name, name) == 0)
			return &set->entries[i];
	return NULL;
}

static void add_entry(struct filter_set *set, const struct filter *filter, const char *name,
	const struct fact *facts, void *object)
{
	set->entries[set->n] = (struct filter_entry){
		.filter = filter, .name = name, .facts = facts, .object = object};
	set->sources[set->n] = (struct fact_source){name, facts};
	set->n++;
	set->registry = (struct fact_registry){set->sources, set->n};
}

/* --- what a table must hold --- */

static bool check_fact(const struct filter_entry *entry, const struct fact *fact, struct err *err)
{
	const char *wrong = NULL;

	if ((unsigned)fact->type >= TYPE_COUNT)
		wrong = "has no valid type";
	else if ((unsigned)fact->stage >= STAGE_COUNT)
		wrong = "has no valid stage";
	else if ((fact->type == TYPE_CHOICE) != (fact->choices != NULL))
		wrong = "has choices if, and only if, its type is a choice";
	else if (fact->type == TYPE_CHOICE && !fact->choices[0].word)
		wrong = "has no choices";
	else if (!fact->help || !*fact->help)
		wrong = "has no line of help";
	else if (!fact->name[0] || fact->name[0] == '.')
		wrong = "has no valid name";
	else if (((fact->flags & FACT_FAMILY) != 0) != (fact->name[strlen(fact->name) - 1] == '.'))
		wrong = "ends in a dot if, and only if, it is a family";
	else if (fact->flags & FACT_TOGETHER &&
		 (fact->type != TYPE_TEXT || !(fact->flags & FACT_OF_TEXT) ||
			 fact->flags & (FACT_OF_FIELD | FACT_FAMILY)))
		wrong = "is looked for together, but is no text of a text alone";
	else if (fact->flags & (FACT_AUTHRES | FACT_TRACE) &&
		 (fact->type != TYPE_TEXT || fact->stage == STAGE_RCPT ||
			 fact->flags & (FACT_OF_TEXT | FACT_OF_FIELD | FACT_FAMILY)))
		wrong = "stands in a header, but is no plain text of the whole message";
	if (wrong)
		return err_set(err, "filter %s: fact `%.64s` %s", entry->name, fact->name, wrong);
	return true;
}

static bool check_clash(
	const struct filter_set *set, const struct filter_entry *entry, struct err *err)
{
	for (const struct fact *fact = entry->facts; fact->name; fact++)
		for (const struct filter_entry *other = set->entries; other <= entry; other++)
			for (const struct fact *theirs = other->facts;
				theirs->name && theirs != fact; theirs++)
				if (strcmp(theirs->name, fact->name) == 0)
					return err_set(err, "filter %s: fact `%s` is %s's already",
						entry->name, fact->name, other->name);
	return true;
}

/* Others can't be mistaken for ours: "hello" or "hello.greeting" of a filter hello. */
static bool check_prefix(const struct filter_entry *entry, struct err *err)
{
	size_t len = strlen(entry->name);

	for (const struct fact *fact = entry->facts; fact->name; fact++)
		if (strncmp(fact->name, entry->name, len) != 0 || fact->name[len] != '.')
			return err_set(err,
				"filter %s: fact `%.64s` must be called `%s.` and a word",
				entry->name, fact->name, entry->name);
	return true;
}

static bool check_entry(
	const struct filter_set *set, const struct filter_entry *entry, struct err *err)
{
	size_t n = 0;

	for (; entry->facts[n].name; n++) {
		if (n == FACTS_MAX)
			return err_set(
				err, "filter %s has more than %d facts", entry->name, FACTS_MAX);
		if (!check_fact(entry, &entry->facts[n], err))
			return false;
	}
	if (entry->filter && !entry->filter->run)
		return err_set(err, "filter %s has no `run`", entry->name);
	for (n = 0; entry->filter && entry->filter->options && entry->filter->options[n].name; n++)
		if (n == OPTIONS_MAX)
			return err_set(err, "filter %s has more than %d options", entry->name,
				OPTIONS_MAX);
	if (entry->object && !check_prefix(entry, err))
		return false;
	return check_clash(set, entry, err);
}

/* --- what comes after what --- */

/* The entry that declares a fact without parameters; NULL: none. */
static const struct filter_entry *find_owner(const struct filter_set *set, const char *fact)
{
	const unsigned parameters = FACT_OF_TEXT | FACT_OF_FIELD | FACT_FAMILY;

	for (size_t i = 0; i < set->n; i++)
		for (const struct fact *f = set->entries[i].facts; f->name; f++)
			if (strcmp(f->name, fact) == 0 && !(f->flags & parameters))
				return &set->entries[i];
	return NULL;
}

/* A filter may come after a fact of its own that is of an earlier stage: only calls of later stages
 * do (plan_after). */
static bool is_own_earlier(const struct filter_entry *entry, const char *name)
{
	const struct fact *own = NULL;
	bool has_later = false;

	for (const struct fact *f = entry->facts; f->name; f++)
		if (strcmp(f->name, name) == 0)
			own = f;
	for (const struct fact *f = entry->facts; own && f->name; f++)
		has_later |= f->stage > own->stage;
	return has_later;
}

/* Whether `from` waits for `target`, through any number of others; depth ends a circle. */
static bool comes_after(const struct filter_set *set, const struct filter_entry *from,
	const struct filter_entry *target, size_t depth)
{
	const char *const *name = from->filter ? from->filter->after : NULL;

	for (; name && *name && depth; name++) {
		const struct filter_entry *owner = find_owner(set, *name);

		if (owner == from && is_own_earlier(from, *name))
			continue;
		if (owner && (owner == target || comes_after(set, owner, target, depth - 1)))
			return true;
	}
	return false;
}

static bool check_after(
	const struct filter_set *set, const struct filter_entry *entry, struct err *err)
{
	const char *const *name = entry->filter ? entry->filter->after : NULL;

	for (; name && *name; name++)
		if (!find_owner(set, *name))
			return err_set(err,
				"filter %s comes after `%.64s`, which no filter measures",
				entry->name, *name);
	if (comes_after(set, entry, entry, 8))
		return err_set(err, "filter %s comes after itself", entry->name);
	return true;
}

/* --- shared objects --- */

static bool judge_object(
	const struct filter *filter, const char *name, const char *path, struct err *err)
{
	if (!filter)
		return err_set(err, "filter %s: %s has no `postern_filter`", name, path);
	if (filter->version != FILTER_VERSION)
		return err_set(err,
			"filter %s: %s is built for version %u of the filter interface, this "
			"postern "
			"has version %d: build it against its headers",
			name, path, filter->version, FILTER_VERSION);
	if (!filter->name || strcmp(filter->name, name) != 0)
		return err_set(err, "filter %s: %s calls itself `%.64s`", name, path,
			filter->name ? filter->name : "");
	if (!filter->facts)
		return err_set(err, "filter %s: %s has no facts", name, path);
	return true;
}

static bool load_object(
	struct filter_set *set, const struct filter_given *given, const char *path, struct err *err)
{
	const char *name = arena_string(set->arena, span_text(given->name));
	const struct filter *filter;
	void *object;

	if (find_entry(set, name) || is_later(name))
		return err_set(err, "filter %s: a filter of postern's own can't be loaded", name);
	object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!object)
		return err_set(err, "filter %s: %s", name, dlerror());
	filter = dlsym(object, "postern_filter");
	if (!judge_object(filter, name, path, err)) {
		dlclose(object);
		return false;
	}
	add_entry(set, filter, filter->name, filter->facts, object);
	return true;
}

/* --- all together --- */

static bool unknown_filter(const struct filter_set *set, const char *name, struct err *err)
{
	struct nearest nearest = nearest_to(span_text(name));

	for (size_t i = 0; i < set->n; i++)
		if (set->entries[i].filter)
			nearest_offer(&nearest, set->entries[i].name);
	for (size_t i = 0; i < COUNT_OF(later); i++)
		nearest_offer(&nearest, later[i]);
	if (nearest.best)
		return err_set(
			err, "there is no filter `%.64s`: did you mean `%s`?", name, nearest.best);
	return err_set(err,
		"there is no filter `%.64s`: one of your own is named with `load \"%.64s.so\"` in "
		"its "
		"block",
		name, name);
}

static bool take_given(struct filter_set *set, const struct filter_given *given, const char *folder,
	struct err *err)
{
	const char *path = filter_options_load(given, folder, set->arena);
	struct filter_entry *entry;

	if (path && !load_object(set, given, path, err))
		return false;
	entry = find_entry(set, given->name);
	if (!entry)
		return is_later(given->name) || unknown_filter(set, given->name, err);
	if (path &&
		!(check_entry(set, entry, err) && filter_options_default(entry, set->arena, err)))
		return false;
	if (filter_options_read(entry, given, folder, set->arena, err))
		return true;
	set->mistake.token = entry->wrong;
	return false;
}

static bool fill_set(struct filter_set *set, const struct filter *const *own,
	const struct filter_given *given, size_t n, const char *folder, struct err *err)
{
	for (; *own; own++)
		add_entry(set, *own, (*own)->name, (*own)->facts, NULL);
	add_entry(set, NULL, "absent", absent_facts, NULL);
	for (size_t i = 0; i < set->n; i++)
		if (!check_entry(set, &set->entries[i], err) ||
			!filter_options_default(&set->entries[i], set->arena, err))
			return false;
	for (size_t i = 0; i < n; i++) {
		set->mistake = (struct filter_mistake){i, 0};
		if (!take_given(set, &given[i], folder, err))
			return false;
	}
	set->mistake = (struct filter_mistake){SIZE_MAX, 0};
	for (size_t i = 0; i < set->n; i++)
		if (!check_after(set, &set->entries[i], err))
			return false;
	return true;
}

static struct filter_set *judge(const struct filter *const *own, const struct filter_given *given,
	size_t n, const char *folder, struct filter_mistake *at, struct err *err)
{
	struct arena *arena = arena_new(4096);
	struct filter_set *set = arena_alloc(arena, sizeof(*set));
	size_t room = n + 1;

	while (own[room - n - 1])
		room++;
	set->arena = arena;
	set->mistake = *at = (struct filter_mistake){SIZE_MAX, 0};
	set->entries = arena_alloc(arena, room * sizeof(*set->entries));
	set->sources = arena_alloc(arena, room * sizeof(*set->sources));
	if (n > FILTERS_MAX) {
		err_set(err, "at most %d filters have options", FILTERS_MAX);
		filter_set_free(&set);
	} else if (!fill_set(set, own, given, n, folder, err)) {
		*at = set->mistake;
		filter_set_free(&set);
	}
	return set;
}

struct filter_set *filter_set_of(const struct filter *const *own, const struct filter_given *given,
	size_t n, const char *folder, struct err *err)
{
	struct filter_mistake at;

	return judge(own, given, n, folder, &at, err);
}

struct filter_set *filter_set_judge(const struct filter_given *given, size_t n, const char *folder,
	struct filter_mistake *at, struct err *err)
{
	return judge(filter_registry, given, n, folder, at, err);
}

struct filter_set *filter_set_new(
	const struct filter_given *given, size_t n, const char *folder, struct err *err)
{
	return filter_set_of(filter_registry, given, n, folder, err);
}

void filter_set_free(struct filter_set **set)
{
	struct arena *arena;

	if (!*set)
		return;
	for (size_t i = (*set)->n; i--;)
		if ((*set)->entries[i].object)
			dlclose((*set)->entries[i].object);
	arena = (*set)->arena;
	*set = NULL;
	arena_free(&arena);
}

const struct fact_registry *filter_set_registry(const struct filter_set *set)
{
	return &set->registry;
}

const struct filter *filter_set_filter(const struct filter_set *set, size_t index)
{
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++)
		if (set->entries[i].filter && n++ == index)
			return set->entries[i].filter;
	return NULL;
}
