/*
 * A list's type, a file of it, and behind a NUL what is looked up, one a line. The list of the
 * whole file must say what lists of each of its lines alone say: the same mistakes, the same
 * matches, and of those the one that says most.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "policy/list.h"
#include "policy/list_item.h"

enum { LINES_MAX = 64, LOOKUPS_MAX = 64, REPORT_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One list for each line, in order. */
struct singles {
	struct list *lists[LINES_MAX];
	size_t count;
	size_t n_errors, n_warnings;
};

/* Stands in for a digest. */
static bool digest_play(unsigned digits, struct span text, char *hex)
{
	for (unsigned i = 0; i < digits; i++)
		hex[i] = text.len ? "0123456789abcdef"[text.at[i % text.len] & 15] : '0';
	return digits != 40;
}

static struct list *read_list(enum list_type type, struct span content, struct diagnostics *d)
{
	struct list *list = list_new(type, type == LIST_HASH ? digest_play : NULL, NULL);
	struct buffer report = BUFFER_INIT(REPORT_MAX);

	*d = (struct diagnostics){.file = "list", .source = content, .out = &report};
	list_read(list, d);
	ENSURE((report.len > 0) == (d->n_errors + d->n_warnings > 0));
	list_seal(list);
	ENSURE(list_size(list) > 0);
	buffer_free(&report);
	d->out = NULL;
	return list;
}

static struct span next_line(struct span *rest)
{
	size_t end = span_find_char(*rest, '\n');
	struct span line = span_first(*rest, end);

	*rest = span_from(*rest, end + 1);
	return line;
}

/* The first lines of a file: no more than there is room for. */
static struct span first_lines(struct span file)
{
	struct span rest = file;

	for (int i = 0; i < LINES_MAX && rest.len; i++)
		next_line(&rest);
	return span_first(file, file.len - rest.len);
}

static void read_singles(struct singles *singles, enum list_type type, struct span file)
{
	struct diagnostics d;
	struct buffer line = BUFFER_INIT(1 << 24);

	while (file.len) {
		/* What is special at a file's beginning is so in the first line only. */
		buffer_clear(&line);
		ENSURE(singles->count == 0 || buffer_add_char(&line, '\n'));
		ENSURE(buffer_add(&line, next_line(&file)));
		singles->lists[singles->count] = read_list(type, buffer_span(&line), &d);
		ENSURE(list_count(singles->lists[singles->count]) <= 1);
		singles->count++;
		singles->n_errors += d.n_errors;
		singles->n_warnings += d.n_warnings;
	}
	buffer_free(&line);
}

static void singles_free(struct singles *singles)
{
	for (size_t i = 0; i < singles->count; i++)
		list_free(&singles->lists[i]);
}

enum lookup { LOOK_IP, LOOK_TEXT, LOOK_UNDER };

static bool look_up(
	const struct list *list, enum lookup how, struct span value, struct list_hit *hit)
{
	struct ip ip;

	switch (how) {
	case LOOK_IP:
		return ip_parse(value, &ip) && list_match_ip(list, &ip, hit);
	case LOOK_TEXT:
		return list_match_text(list, value, hit);
	case LOOK_UNDER:
		return list_match_under(list, value, hit);
	}
	return false;
}

/* How much an item says: the bits of its prefix, the length of its key. */
static size_t weight(enum list_type type, struct span item)
{
	struct cidr network;

	if (type != LIST_CIDR && type != LIST_IP)
		return list_item_key(type, item).len;
	ENSURE(cidr_parse(item, &network, NULL));
	return network.prefix_bits;
}

static void compare(
	const struct list *list, const struct singles *singles, enum lookup how, struct span value)
{
	struct list_hit hit, best = {.item = SPAN_NONE}, other;
	bool found = look_up(list, how, value, &hit), expected = false;

	for (size_t i = 0; i < singles->count; i++) {
		if (!look_up(singles->lists[i], how, value, &other))
			continue;
		/* Of hashes of several lengths the shortest is looked for first. */
		if (!expected ||
			(list_type(list) == LIST_HASH ? other.item.len <= best.item.len
						      : weight(list_type(list), other.item) >=
								weight(list_type(list), best.item)))
			best = other;
		expected = true;
	}
	ENSURE(found == expected);
	if (found)
		ENSURE(span_equal(hit.item, best.item) && span_equal(hit.reason, best.reason));
}

static void compare_all(const struct list *list, const struct singles *singles, struct span value)
{
	enum list_type type = list_type(list);

	if (type == LIST_CIDR || type == LIST_IP)
		compare(list, singles, LOOK_IP, value);
	else
		compare(list, singles, LOOK_TEXT, value);
	if (type == LIST_DOMAIN)
		compare(list, singles, LOOK_UNDER, value);
}

static void try_file(enum list_type type, struct span file, struct span values)
{
	struct singles singles = {.count = 0};
	struct diagnostics d;
	struct list *list = read_list(type, file, &d);
	struct span rest = file;

	read_singles(&singles, type, file);
	ENSURE(d.n_errors == singles.n_errors && d.n_warnings == singles.n_warnings);
	ENSURE(list_count(list) <= singles.count);
	for (int i = 0; i < LOOKUPS_MAX && values.len; i++)
		compare_all(list, &singles, next_line(&values));
	while (rest.len) {
		struct span line = next_line(&rest);

		compare_all(list, &singles, line);
		compare_all(list, &singles, span_first(line, span_find_char(line, '/')));
		compare_all(list, &singles, span_from(line, 1));
	}
	singles_free(&singles);
	list_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_make(data, size), file;
	size_t end;

	if (size == 0)
		return 0;
	end = span_find_char(span_from(rest, 1), '\0');
	file = first_lines(span_first(span_from(rest, 1), end));
	if (span_starts(file, SPAN("\xff\xfe")) || span_starts(file, SPAN("\xfe\xff")))
		return 0; /* refused as a whole */
	try_file((enum list_type)(data[0] % 6), file, span_from(rest, end + 2));
	return 0;
}
