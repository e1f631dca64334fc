#include "authn/dkim_header.h"

#include <openssl/evp.h>

#include "authn/dkim_fields.h"
#include "lib/base/buffer.h"
#include "lib/base/fail.h"

/* --- canonicalisation --- */

static struct span without_line_end(struct span text)
{
	return span_ends_nocase(text, SPAN("\r\n")) ? span_first(text, text.len - 2) : text;
}

static bool is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

/* RFC 6376 3.4.2: unfolded, runs of blanks as one, none at the ends. */
static void relaxed_add(struct buffer *out, struct span body)
{
	bool blank = false, begun = false;

	for (size_t i = 0; i < body.len; i++) {
		if (span_starts(span_from(body, i), SPAN("\r\n"))) {
			i++;
		} else if (is_wsp(body.at[i])) {
			blank = begun;
		} else {
			ENSURE(!blank || buffer_add_char(out, ' '));
			ENSURE(buffer_add_char(out, body.at[i]));
			begun = true;
			blank = false;
		}
	}
}

/* text: from the name on, without the line's end. */
static void field_add(struct buffer *out, bool relaxed, struct span name, struct span text)
{
	if (!relaxed) {
		ENSURE(buffer_add(out, text));
		return;
	}
	for (size_t i = 0; i < name.len; i++)
		ENSURE(buffer_add_char(out, ascii_lower(name.at[i])));
	ENSURE(buffer_add_char(out, ':'));
	relaxed_add(out,
		span_from(text, name.len + span_find_char(span_from(text, name.len), ':') + 1));
}

/* The signature's own field, as if its b= were empty, without a line's end (RFC 6376 3.7). */
static void own_field_add(struct buffer *out, const struct dkim_claim *claim)
{
	struct span text = without_line_end(claim->field.raw);
	struct buffer own = BUFFER_INIT(text.len);
	size_t cut = (size_t)(claim->own_value.at - text.at);

	ENSURE(buffer_add(&own, span_first(text, cut)));
	ENSURE(buffer_add(&own, span_from(text, cut + claim->own_value.len)));
	field_add(out, claim->relaxed_header, claim->field.name, buffer_span(&own));
	buffer_free(&own);
}

/* --- selection --- */

/* The fields that can be signed, in order; of each name there are no more than that. */
static size_t fields_take(struct dkim_names *names, struct span section, struct header_field *taken)
{
	struct header_field field;
	size_t n = 0;

	while (header_next(&section, &field))
		if (field.name.len && dkim_names_take(names, field.name))
			taken[n++] = field;
	return n;
}

/* Of a name the lowest first (RFC 6376 5.4.2); each once. */
static void fields_add(struct buffer *out, const struct dkim_claim *claim,
	struct header_field *taken, size_t n_taken)
{
	for (size_t i = 0; i < claim->n_names; i++) {
		size_t at = n_taken;

		while (at > 0 &&
			(!taken[at - 1].name.len || !header_is(&taken[at - 1], claim->names[i])))
			at--;
		if (at == 0)
			continue;
		at--;
		field_add(out, claim->relaxed_header, taken[at].name,
			without_line_end(taken[at].raw));
		ENSURE(buffer_add_text(out, "\r\n"));
		taken[at].name.len = 0;
	}
}

void dkim_header_hash(struct span section, const struct dkim_claim *claim, struct arena *arena,
	uint8_t out[DKIM_HASH_SIZE])
{
	/* Canonicalised text is no longer, but for a line end that may be missing at the end. */
	struct buffer text = BUFFER_INIT(section.len + claim->field.raw.len + 2);
	struct header_field taken[DKIM_NAMES_MAX];
	struct dkim_names names;

	dkim_names_collect(&names, claim, 1, arena);
	dkim_names_count(&names, section);
	fields_add(&text, claim, taken, fields_take(&names, section, taken));
	own_field_add(&text, claim);
	ENSURE(EVP_Digest(buffer_span(&text).at, buffer_span(&text).len, out, NULL, EVP_sha256(),
		       NULL) == 1);
	buffer_free(&text);
}
