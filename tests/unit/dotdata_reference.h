/*
 * The data decoder once more, to compare with: no states and no blocks. It looks at whole input,
 * byte by byte, and asks what stands before and behind.
 */
#ifndef TESTS_DOTDATA_REFERENCE_H
#define TESTS_DOTDATA_REFERENCE_H

#include "lib/mail/dotdata.h"

enum { REFERENCE_INPUT_MAX = 600 };

struct outcome {
	enum dotdata_status status;
	size_t consumed;
	char content[2 * REFERENCE_INPUT_MAX + 8];
	size_t len;
	uint64_t longest_line, line;
	bool leading_dot, eight_bit;
};

static inline void reference_put(struct outcome *o, char c)
{
	o->content[o->len++] = c;
	if (c == '\n') {
		o->line = 0;
	} else if (c != '\r') {
		o->leading_dot |= c == '.' && o->line == 0;
		o->eight_bit |= (unsigned char)c > 127;
		o->line++;
		o->longest_line = o->line > o->longest_line ? o->line : o->longest_line;
	}
}

static inline enum dotdata_status reference_step(
	struct outcome *o, const char *in, size_t len, enum dotdata_mode mode, bool normalize)
{
	size_t i = o->consumed, at = i;
	bool fresh = i == 0 || (i >= 2 && in[i - 1] == '\n' && in[i - 2] == '\r');

	if (mode == DOTDATA_DATA && fresh && in[at] == '.') {
		if (at + 1 == len || (at + 2 == len && in[at + 1] == '\r'))
			return o->consumed = len, DOTDATA_MORE;
		if (in[at + 1] == '\r')
			return o->consumed += 3, in[at + 2] == '\n' ? DOTDATA_END : DOTDATA_BARE_CR;
		at++;
	}
	o->consumed = at + 1;
	if (in[at] == '\0')
		return DOTDATA_NUL;
	if (in[at] == '\n' && !normalize)
		return DOTDATA_BARE_LF;
	if (in[at] == '\r' && at + 1 < len && in[at + 1] != '\n')
		return o->consumed++, DOTDATA_BARE_CR;
	if (in[at] == '\r' || in[at] == '\n') {
		o->consumed += in[at] == '\r' && at + 1 < len;
		if (in[at] == '\r' && at + 1 == len)
			return DOTDATA_MORE;
		reference_put(o, '\r');
		reference_put(o, '\n');
		return DOTDATA_MORE;
	}
	reference_put(o, in[at]);
	return DOTDATA_MORE;
}

static inline void reference_decode(
	struct span in, enum dotdata_mode mode, bool normalize, struct outcome *o)
{
	*o = (struct outcome){.status = DOTDATA_MORE};
	while (o->status == DOTDATA_MORE && o->consumed < in.len)
		o->status = reference_step(o, in.at, in.len, mode, normalize);
}

#endif
