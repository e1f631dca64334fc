/* Files of lists that others publish: whatever is in them, each item and each mistake is told with
 * its line, and what is told of an item is no control character. What can be exported is read back
 * as it was. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "admin/list_import.h"
#include "lib/base/fail.h"

struct tally {
	struct span source;
	size_t last_line;
	size_t n;
	struct span item, reason; /* the ones that must come back; none: any */
	bool check;
};

static void on_item(
	void *context, size_t line, struct span item, struct span reason, uint64_t expires_s)
{
	struct tally *t = context;

	ENSURE(line >= t->last_line && line >= 1 && expires_s <= UINT32_MAX);
	ENSURE(item.len > 0);
	for (size_t i = 0; i < reason.len; i++)
		ENSURE((uint8_t)reason.at[i] >= ' ' || reason.at[i] == '\t');
	if (t->check)
		ENSURE(span_equal(item, t->item) && span_equal(reason, t->reason));
	t->last_line = line;
	t->n++;
}

static void on_mistake(void *context, size_t line, const char *text)
{
	struct tally *t = context;

	ENSURE(line >= t->last_line && line >= 1 && text[0]);
	ENSURE(!t->check);
	t->last_line = line;
}

static void read_back(struct span item, struct span reason)
{
	struct buffer file = BUFFER_INIT(64 * 1024);
	struct tally t = {.item = span_trim(item), .reason = span_trim(reason), .check = true};
	struct list_import import = {LIST_TEXT, on_item, on_mistake, &t};
	struct err err;

	ENSURE(buffer_add_text(&file, "item,reason\n") && list_export_field(t.item, &file) &&
		buffer_add_char(&file, ',') && list_export_field(t.reason, &file) &&
		buffer_add_char(&file, '\n'));
	ENSURE(list_import_read(&import, buffer_span(&file), &err) && t.n == 1);
	buffer_free(&file);
}

static bool is_plain(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((uint8_t)text.at[i] < ' ' || (uint8_t)text.at[i] > '~')
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span source = span_make(data, size), item, reason;
	struct err err = {{0}};

	if (size < 2)
		return 0;
	for (int type = LIST_CIDR; type <= LIST_HASH; type++) {
		struct tally t = {.source = source};
		struct list_import import = {(enum list_type)type, on_item, on_mistake, &t};

		if (!list_import_read(&import, source, &err))
			ENSURE(err.text[0]);
	}
	item = span_first(source, size / 2 < 1000 ? size / 2 : 1000);
	reason = span_first(span_from(source, item.len), 400);
	if (is_plain(item) && is_plain(reason) && span_trim(item).len)
		read_back(item, reason);
	return 0;
}
