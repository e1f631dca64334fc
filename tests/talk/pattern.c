#include "tests/talk/pattern.h"

#include <stdlib.h>

#include "lib/base/fail.h"

static void put(struct talk_pattern *p, uint16_t what)
{
	if (p->len == p->room) {
		p->room = p->room ? 2 * p->room : 64;
		p->at = memory_resize(p->at, p->room * sizeof(*p->at));
	}
	p->at[p->len++] = what;
}

void talk_pattern_free(struct talk_pattern *p)
{
	free(p->at);
	*p = (struct talk_pattern){NULL, 0, 0};
}

static unsigned hex(char c)
{
	return ascii_is_digit(c) ? (unsigned)(c - '0') : (unsigned)(ascii_lower(c) - 'a') + 10;
}

/* What the escape at the front stands for; *used: how long it is. */
static uint16_t unescape(struct span text, size_t *used)
{
	char c = text.len > 1 ? text.at[1] : '\\';

	*used = text.len > 1 ? 2 : 1;
	switch (c) {
	case 'r':
		return '\r';
	case 'n':
		return '\n';
	case 't':
		return '\t';
	case '0':
		return 0;
	case 'x':
		ENSURE(text.len >= 4);
		*used = 4;
		return (uint16_t)(hex(text.at[2]) << 4 | hex(text.at[3]));
	default:
		return (unsigned char)c;
	}
}

static void add_once(struct talk_pattern *p, struct span text, bool wild)
{
	while (text.len) {
		char c = text.at[0];
		size_t used = 1;

		if (c == '\\')
			put(p, unescape(text, &used));
		else if (wild && (c == '*' || c == '?'))
			put(p, c == '*' ? PATTERN_ANY : PATTERN_ONE);
		else
			put(p, (unsigned char)c);
		text = span_from(text, used);
	}
}

void pattern_add(struct talk_pattern *p, struct span text, bool wild, size_t times)
{
	while (times--)
		add_once(p, text, wild);
}

bool number_with_unit(struct span text, uint64_t *out)
{
	static const struct {
		struct span name;
		uint64_t factor;
	} units[] = {{SPAN("KB"), 1024}, {SPAN("MB"), 1024 * 1024}, {SPAN("B"), 1}};
	uint64_t factor = 1;

	for (size_t i = 0; i < COUNT_OF(units); i++) {
		if (span_ends_nocase(text, units[i].name)) {
			text = span_first(text, text.len - units[i].name.len);
			factor = units[i].factor;
			break;
		}
	}
	if (!span_number(text, UINT32_MAX, out))
		return false;
	*out *= factor;
	return true;
}

/* "..." at the front of *text, which is moved behind it. */
static bool take_quoted(struct span *text, struct span *inside)
{
	size_t end = 1;

	if (text->len < 2 || text->at[0] != '"')
		return false;
	while (end < text->len && text->at[end] != '"')
		end += text->at[end] == '\\' ? 2 : 1;
	if (end >= text->len)
		return false;
	*inside = span_make(text->at + 1, end - 1);
	*text = span_trim(span_from(*text, end + 1));
	return true;
}

bool pattern_add_expression(struct talk_pattern *p, struct span text, bool wild)
{
	text = span_trim(text);
	while (text.len) {
		struct span inside, word;
		uint64_t times = 1;

		if (!take_quoted(&text, &inside))
			return false;
		if (text.len && text.at[0] == '*') {
			text = span_trim(span_from(text, 1));
			word = span_word(&text);
			text = span_trim(text);
			if (!number_with_unit(word, &times))
				return false;
		}
		pattern_add(p, inside, wild, (size_t)times);
	}
	return true;
}

/* Two fingers: on a mismatch the last * takes one byte more. */
bool talk_pattern_matches(const struct talk_pattern *p, struct span text)
{
	size_t i = 0, j = 0, star = SIZE_MAX, star_at = 0;

	while (j < text.len) {
		if (i < p->len && p->at[i] == PATTERN_ANY) {
			star = i++;
			star_at = j;
		} else if (i < p->len &&
			   (p->at[i] == PATTERN_ONE || p->at[i] == (unsigned char)text.at[j])) {
			i++;
			j++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			j = ++star_at;
		} else {
			return false;
		}
	}
	while (i < p->len && p->at[i] == PATTERN_ANY)
		i++;
	return i == p->len;
}

char *pattern_bytes(const struct talk_pattern *p)
{
	char *bytes = memory_new(p->len + 1);

	for (size_t i = 0; i < p->len; i++) {
		ENSURE(p->at[i] < PATTERN_ONE);
		bytes[i] = (char)p->at[i];
	}
	return bytes;
}
