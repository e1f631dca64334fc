#include "admin/visible.h"

#include <string.h>

#include "policy/lex.h"

static bool is_harmless(uint32_t code)
{
	return code != LEX_BAD_CHAR && code >= 32 && (code < 127 || code >= 160);
}

const char *visible_line(struct arena *arena, struct span text)
{
	char *out = arena_alloc(arena, text.len + 1);
	size_t len = 0;

	while (text.len) {
		uint32_t code;
		size_t size = lex_char(text, &code);

		if (is_harmless(code)) {
			memcpy(out + len, text.at, size);
			len += size;
		} else {
			out[len++] = '?';
		}
		text = span_from(text, size);
	}
	return out;
}

void visible_print(struct span part, FILE *out)
{
	while (part.len) {
		uint32_t code;
		size_t size = lex_char(part, &code);
		bool line_end = span_starts(part, SPAN("\r\n"));

		if (is_harmless(code) || code == '\n' || code == '\t')
			fwrite(part.at, 1, size, out);
		else if (!line_end)
			fputc('?', out);
		part = span_from(part, size);
	}
}
