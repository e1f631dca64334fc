/* `postern config show`: a configuration written back, in the order of the table. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/fail.h"
#include "proxy/config/read.h"

enum { VALUE_MAX = 64 * 1024 * 1024 };

struct show {
	const struct config *config;
	struct config *plain; /* in which nothing was said; owned */
	bool changed_only;
	struct text text;
};

/* The struct of one block as it is when the block says nothing. */
static void *plain_item(const struct show *show, const struct option *block)
{
	void *item = arena_alloc(show->plain->arena, block->item_size);

	options_set_defaults(show->plain, block, item);
	return item;
}

static struct span value_text(const struct option *o, const void *base, struct buffer *out)
{
	struct text t = {out, false};

	if (!o->kind->show(o, base, 0, &t))
		return SPAN_NONE;
	return buffer_span(out);
}

/* Whether a key has its default; `plain` is the default struct of its block. */
static bool is_default(
	const struct show *show, const struct option *o, const void *base, void *plain)
{
	struct buffer now = BUFFER_INIT(VALUE_MAX), then = BUFFER_INIT(VALUE_MAX);
	bool same;

	if (o->flags & (OPTION_REQUIRED | OPTION_REPEAT) || (!o->fallback && !o->fallback_of))
		return false;
	if (o->fallback_of)
		option_set_text(
			show->plain, o, plain, o->fallback_of(show->config, show->plain->arena));
	same = span_equal(value_text(o, base, &now), value_text(o, plain, &then));
	buffer_free(&now);
	buffer_free(&then);
	return same;
}

static void show_key(struct show *show, const struct option *o, const void *base, void *plain,
	const char *indent)
{
	struct buffer value = BUFFER_INIT(VALUE_MAX);
	struct text t = {&value, false};

	if (show->changed_only && is_default(show, o, base, plain))
		return;
	for (size_t i = 0; o->kind->show(o, base, i, &t); i++) {
		show->text.full = show->text.full || t.full;
		text_put(&show->text, "%s%s %s\n", indent, o->name, buffer_string(&value));
		buffer_clear(&value);
	}
	buffer_free(&value);
}

/* What stands between the braces; an empty block is left out, or written without braces. */
static void show_body(struct show *show, const struct option *block, const void *base, void *plain)
{
	size_t count, before = show->text.out->len, after;
	const struct option *rows = option_block(block->name, &count);

	text_put(&show->text, " {\n");
	after = show->text.out->len;
	for (size_t i = 0; i < count; i++)
		if (rows[i].name[0])
			show_key(show, &rows[i], base, plain, "\t");
	if (show->text.out->len > after)
		text_put(&show->text, "}");
	else
		show->text.out->len = before;
}

static void show_items(struct show *show, const struct option *block)
{
	const struct option *label = option_find(block->name, SPAN(""));
	size_t count = field_get(show->config, block->also);
	const char *items;

	memcpy(&items, (const char *)show->config + block->at.offset, sizeof(items));
	for (size_t i = 0; i < count; i++) {
		const void *item = items + i * block->item_size;

		text_put(&show->text, "%s ", block->name);
		label->kind->show(label, item, 0, &show->text);
		show_body(show, block, item, plain_item(show, block));
		text_put(&show->text, "\n");
	}
}

static void show_block(struct show *show, const struct option *block)
{
	size_t before = show->text.out->len, after;

	text_put(&show->text, "%s", block->name);
	after = show->text.out->len;
	show_body(show, block, show->config, show->plain);
	if (show->text.out->len > after)
		text_put(&show->text, "\n");
	else
		show->text.out->len = before;
}

bool config_show(const struct config *config, bool changed_only, struct buffer *out)
{
	struct show show = {
		.config = config,
		.plain = config_defaults(config->file, config->folder),
		.changed_only = changed_only,
		.text = {out, false},
	};
	size_t count;
	const struct option *rows = option_block("", &count);

	for (size_t i = 0; i < count; i++) {
		if (rows[i].kind != &kind_block)
			show_key(&show, &rows[i], config, show.plain, "");
		else if (rows[i].item_size)
			show_items(&show, &rows[i]);
		else
			show_block(&show, &rows[i]);
	}
	config_free(&show.plain);
	return !show.text.full;
}
