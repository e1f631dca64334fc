#include "lib/mail/tag_list.h"

static struct span trim_fws(struct span s)
{
	while (s.len && is_fws(s.at[0]))
		s = span_from(s, 1);
	while (s.len && is_fws(s.at[s.len - 1]))
		s.len--;
	return s;
}

static bool is_tag_name(struct span name)
{
	if (name.len == 0 || !ascii_is_alpha(name.at[0]))
		return false;
	for (size_t i = 1; i < name.len; i++)
		if (!ascii_is_alpha(name.at[i]) && !ascii_is_digit(name.at[i]) && name.at[i] != '_')
			return false;
	return true;
}

/* VALCHAR and FWS inside: %x21-3A / %x3C-7E; the semicolon is cut off already. */
static bool is_tag_value(struct span value)
{
	for (size_t i = 0; i < value.len; i++)
		if (!is_fws(value.at[i]) && (value.at[i] < 0x21 || value.at[i] > 0x7e))
			return false;
	return true;
}

static bool tag_read(struct span text, struct tag *out)
{
	size_t equals = span_find_char(text, '=');

	if (equals == text.len)
		return false;
	out->name = trim_fws(span_first(text, equals));
	out->value = trim_fws(span_from(text, equals + 1));
	return is_tag_name(out->name) && is_tag_value(out->value);
}

bool tag_list_read(struct span text, struct tag_list *out)
{
	out->n = 0;
	while (text.len) {
		size_t end = span_find_char(text, ';');
		struct span piece = trim_fws(span_first(text, end));
		struct tag tag;

		text = span_from(text, end + 1);
		if (piece.len == 0 && trim_fws(text).len == 0 && out->n > 0)
			return true; /* a semicolon at the end */
		if (out->n == TAGS_MAX || !tag_read(piece, &tag) || tag_list_find(out, tag.name).at)
			return false;
		out->items[out->n++] = tag;
	}
	return out->n > 0;
}

struct span tag_list_find(const struct tag_list *list, struct span name)
{
	for (size_t i = 0; i < list->n; i++)
		if (span_equal(list->items[i].name, name))
			return list->items[i].value;
	return SPAN_NONE;
}

struct span tag_word_next(struct span *words)
{
	size_t end = span_find_char(*words, ':');
	struct span word = trim_fws(span_first(*words, end));

	*words = span_from(*words, end + 1);
	return word;
}

bool tag_words_have(struct span words, struct span word)
{
	while (words.len)
		if (span_equal(tag_word_next(&words), word))
			return true;
	return false;
}

bool tag_value_squeeze(struct span value, char *out, size_t size, size_t *len)
{
	*len = 0;
	for (size_t i = 0; i < value.len; i++) {
		if (is_fws(value.at[i]))
			continue;
		if (*len == size)
			return false;
		out[(*len)++] = value.at[i];
	}
	return true;
}
