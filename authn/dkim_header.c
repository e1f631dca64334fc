#include "authn/dkim_header.h"

#include "authn/canon.h"
#include "authn/dkim_fields.h"

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
static void fields_add(struct sha256 *out, enum canon canon, const struct dkim_claim *claim,
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
		canon_field(canon, &taken[at], SPAN_NONE, out);
		sha256_add(out, SPAN("\r\n"));
		taken[at].name.len = 0;
	}
}

void dkim_header_hash(struct span section, const struct dkim_claim *claim, struct arena *arena,
	uint8_t out[DKIM_HASH_SIZE])
{
	enum canon canon = claim->relaxed_header ? CANON_RELAXED : CANON_SIMPLE;
	struct header_field taken[DKIM_NAMES_MAX];
	struct dkim_names names;
	struct sha256 sha256;

	dkim_names_collect(&names, claim, 1, arena);
	dkim_names_count(&names, section);
	sha256_open(&sha256);
	fields_add(&sha256, canon, claim, taken, fields_take(&names, section, taken));
	/* The signature's own, as if its b= were empty (RFC 6376 3.7). */
	canon_field(canon, &claim->field, claim->own_value, &sha256);
	sha256_peek(&sha256, out);
	sha256_close(&sha256);
}
