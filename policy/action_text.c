#include "policy/action_text.h"

#include "policy/text.h"

enum { TEXT_MAX = 4096 };

bool duration_write(uint64_t duration_ms, struct buffer *out)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"d", 24ULL * 3600 * 1000}, {"h", 3600 * 1000}, {"m", 60 * 1000}, {"s", 1000}};

	for (size_t i = 0; i < COUNT_OF(units); i++)
		if (duration_ms && duration_ms % units[i].ms == 0)
			return buffer_print(out, "%llu%s",
				(unsigned long long)(duration_ms / units[i].ms), units[i].unit);
	return buffer_print(out, "%llums", (unsigned long long)duration_ms);
}

/* ` "text"` with what must be escaped; nothing when there is none. */
static bool write_text(const struct text *text, const struct render *render, struct buffer *out)
{
	struct buffer filled = BUFFER_INIT(TEXT_MAX);
	struct span all;
	bool ok = true;

	if (!text)
		return true;
	if (render && !text_render(text, render, &filled)) {
		/* More than a reply or header can hold; what fits is shown. */
	}
	all = render ? buffer_span(&filled) : text->source;
	ok = buffer_add_text(out, " \"");
	for (size_t i = 0; ok && i < all.len; i++) {
		if (all.at[i] == '"' || all.at[i] == '\\')
			ok = buffer_add_char(out, '\\');
		ok = ok && (all.at[i] == '\n' ? buffer_add_text(out, "\\n")
					      : buffer_add_char(out, all.at[i]));
	}
	buffer_free(&filled);
	return ok && buffer_add_char(out, '"');
}

static bool write_codes(const struct action *a, bool all, struct buffer *out)
{
	bool ok = true;

	if (a->code && (all || a->code_given))
		ok = buffer_print(out, " %u", a->code);
	if (ok && a->enhanced[0] && (all || a->enhanced_given))
		ok = buffer_print(out, " %s", a->enhanced);
	return ok;
}

static bool write_add(const struct action *a, struct buffer *out)
{
	bool ok = !a->field || buffer_print(out, " %s", a->field->name);

	ok = ok && (!a->list || buffer_print(out, " to @%s", a->list->name));
	if (ok && a->time_ms)
		ok = buffer_add_text(out, " for ") && duration_write(a->time_ms, out);
	return ok;
}

bool action_write(const struct action *a, const struct render *render, struct buffer *out)
{
	bool ok = buffer_print(out, "%s%s", action_name(a->kind), a->now ? " now" : "");

	switch (a->kind) {
	case ACTION_REJECT:
	case ACTION_DEFER:
		ok = ok && write_codes(a, render != NULL, out);
		break;
	case ACTION_GREYLIST:
	case ACTION_DELAY:
		if (a->time_ms)
			ok = ok && buffer_add_char(out, ' ') && duration_write(a->time_ms, out);
		ok = ok && (a->kind != ACTION_GREYLIST || write_codes(a, render != NULL, out));
		break;
	case ACTION_SCORE:
		ok = ok && buffer_add_char(out, ' ') && score_write(a->score, out);
		break;
	case ACTION_HEADER_ADD:
	case ACTION_HEADER_SET:
	case ACTION_HEADER_REMOVE:
	case ACTION_ROUTE:
		ok = ok && buffer_print(out, " \"%s\"", a->name);
		break;
	case ACTION_ADD:
		ok = ok && write_add(a, out);
		break;
	case ACTION_ACCEPT:
	case ACTION_QUARANTINE:
	case ACTION_DISCARD:
	case ACTION_TAG:
	case ACTION_SUBJECT_PREFIX:
	case ACTION_COUNT:
		break;
	}
	return ok && write_text(a->text, render, out);
}
