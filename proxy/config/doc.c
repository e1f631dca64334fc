/* `postern config doc`: what the option table says about a key. */
#include <string.h>

#include "proxy/config/read.h"

enum { COLUMN = 30 };

/* The sentences behind the help: default, range, what a reload does. */
static void put_facts(struct text *t, const struct option *o)
{
	if (o->flags & OPTION_REQUIRED) {
		text_put(t, "    It is required.\n");
	} else if (o->kind != &kind_block && o->name[0]) {
		text_put(t, "    Default: ");
		text_default(t, o);
		if (o->kind->limit) {
			text_put(t, "; ");
			text_range(t, o);
		}
		text_put(t, "\n");
	}
	if (o->flags & OPTION_REPEAT)
		text_put(t, "    It may be repeated.\n");
	if (o->flags & OPTION_RESTART)
		text_put(t, "    A change needs a restart; a reload does not apply it.\n");
	if (o->flags & OPTION_LATER)
		text_put(t, "    It is checked, but has no effect yet.\n");
}

static void put_option(struct text *t, const struct option *o)
{
	char name[OPTION_NAME_SIZE];

	text_put(t, "%s ", option_name(o, name));
	text_syntax(t, o);
	text_put(t, "\n");
	text_wrapped(t, "    ", o->help);
	if (o->more)
		text_wrapped(t, "    ", o->more);
	put_facts(t, o);
}

static void put_line(struct text *t, const struct option *o)
{
	char name[OPTION_NAME_SIZE];

	text_put(t, "%-24s ", option_name(o, name));
	text_syntax(t, o);
	if (o->kind != &kind_block && o->name[0]) {
		text_put(t, " (");
		text_default(t, o);
		text_put(t, ")");
	}
	if (o->flags & OPTION_LATER)
		text_put(t, " [no effect yet]");
	text_put(t, "\n%*s%s\n", COLUMN - 5, "", o->help);
}

static bool matches(const struct option *o, const char *key)
{
	char name[OPTION_NAME_SIZE];

	if (strcmp(key, option_name(o, name)) == 0 || strcmp(key, o->name) == 0)
		return true;
	return strcmp(key, o->block) == 0;
}

static void suggest(struct text *t, const char *key)
{
	struct nearest nearest = nearest_to(span_text(key));
	char names[OPTION_NAME_SIZE];

	text_put(t, "postern.conf has no key `%s`", key);
	for (size_t i = 0; i < option_count; i++)
		nearest_offer(&nearest, option_table[i].name);
	if (nearest.best) {
		text_put(t, "; did you mean `%s`?\n", nearest.best);
		return;
	}
	for (size_t i = 0; i < option_count; i++) {
		struct nearest one = nearest_to(span_text(key));

		nearest_offer(&one, option_name(&option_table[i], names));
		if (!one.best)
			continue;
		text_put(t, "; did you mean `%s`?\n", one.best);
		return;
	}
	text_put(t, "; `postern config doc` lists all\n");
}

bool config_doc(const char *key, struct buffer *out)
{
	struct text t = {out, false};
	bool found = false;

	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &option_table[i];

		if (!key) {
			put_line(&t, o);
			found = true;
		} else if (*key && matches(o, key)) {
			if (found)
				text_put(&t, "\n");
			put_option(&t, o);
			found = true;
		}
	}
	if (!found && key)
		suggest(&t, key);
	return found && !t.full;
}
