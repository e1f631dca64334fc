/*
 * How questions and results travel. Numbers that choose must be choices, counts are bounded, and a
 * text with a control character in it is nonsense: texts end up in header fields and log lines, and
 * the process that wrote them may no longer be ours.
 */
#include "lib/authn/result.h"

#include "lib/authn/pack.h"
#include "lib/base/fail.h"

static const char *const spf_names[] = {
#define X(name, word) word,
	SPF_CODES(X)
#undef X
};

static const char *const dkim_names[] = {
#define X(name, word) word,
	DKIM_CODES(X)
#undef X
};

static const char *const arc_names[] = {
	[ARC_IS_NONE] = "none", [ARC_IS_PASS] = "pass", [ARC_IS_FAIL] = "fail"};

const char *spf_code_name(enum spf_code code)
{
	ENSURE(code < COUNT_OF(spf_names));
	return spf_names[code];
}

const char *dkim_code_name(enum dkim_code code)
{
	ENSURE(code < COUNT_OF(dkim_names));
	return dkim_names[code];
}

const char *arc_code_name(enum arc_code code)
{
	ENSURE(code < COUNT_OF(arc_names));
	return arc_names[code];
}

/* --- texts --- */

static bool is_clean(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

static bool is_ascii(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < ' ' || text.at[i] > '~')
			return false;
	return true;
}

static bool unpack_clean(struct span *from, struct span *out)
{
	return unpack_text(from, out) && is_clean(*out);
}

static bool unpack_bool(struct span *from, bool *out)
{
	uint8_t value;

	if (!unpack_byte(from, 1, &value))
		return false;
	*out = value;
	return true;
}

/* --- SPF --- */

/* The question comes from us, and holds what a client said in HELO and MAIL, whatever that is. */
bool spf_question_write(const struct spf_question *question, struct buffer *out)
{
	return pack_ip(out, &question->client) && pack_text(out, question->helo) &&
	       pack_text(out, question->local) && pack_text(out, question->domain) &&
	       pack_text(out, question->receiver) && pack_long(out, question->wall_s);
}

bool spf_question_read(struct span bytes, struct spf_question *out)
{
	return unpack_ip(&bytes, &out->client) && unpack_text(&bytes, &out->helo) &&
	       unpack_text(&bytes, &out->local) && unpack_text(&bytes, &out->domain) &&
	       unpack_text(&bytes, &out->receiver) && unpack_long(&bytes, &out->wall_s) &&
	       bytes.len == 0;
}

bool spf_result_write(const struct spf_result *result, struct buffer *out)
{
	return pack_byte(out, (uint8_t)result->code) && pack_text(out, result->mechanism) &&
	       pack_text(out, result->problem) && pack_text(out, result->explanation);
}

bool spf_result_read(struct span bytes, struct spf_result *out)
{
	uint8_t code;

	if (!unpack_byte(&bytes, COUNT_OF(spf_names) - 1, &code) ||
		!unpack_clean(&bytes, &out->mechanism) || !unpack_clean(&bytes, &out->problem) ||
		!unpack_text(&bytes, &out->explanation) || !is_ascii(out->explanation))
		return false;
	out->code = (enum spf_code)code;
	return bytes.len == 0;
}

/* --- DKIM --- */

static bool signature_write(const struct dkim_signature *s, struct buffer *out)
{
	return pack_byte(out, (uint8_t)s->code) && pack_text(out, s->domain) &&
	       pack_text(out, s->selector) && pack_text(out, s->identity) &&
	       pack_text(out, s->algorithm) && pack_text(out, s->start) &&
	       pack_number(out, s->key_bits) && pack_byte(out, s->testing) &&
	       pack_text(out, s->problem);
}

static bool signature_read(struct span *bytes, struct dkim_signature *s)
{
	uint8_t code;

	if (!unpack_byte(bytes, COUNT_OF(dkim_names) - 1, &code) || code == DKIM_IS_NONE)
		return false;
	s->code = (enum dkim_code)code;
	return unpack_clean(bytes, &s->domain) && unpack_clean(bytes, &s->selector) &&
	       unpack_clean(bytes, &s->identity) && unpack_clean(bytes, &s->algorithm) &&
	       unpack_clean(bytes, &s->start) && unpack_number(bytes, UINT32_MAX, &s->key_bits) &&
	       unpack_bool(bytes, &s->testing) && unpack_clean(bytes, &s->problem);
}

bool dkim_result_write(const struct dkim_result *result, struct buffer *out)
{
	ENSURE(result->n <= DKIM_SIGNATURES_MAX);
	if (!pack_byte(out, (uint8_t)result->n) || !pack_long(out, result->n_more))
		return false;
	for (size_t i = 0; i < result->n; i++)
		if (!signature_write(&result->signatures[i], out))
			return false;
	return true;
}

bool dkim_result_read(struct span bytes, struct arena *arena, struct dkim_result *out)
{
	struct dkim_signature *signatures;
	uint64_t n_more;
	uint8_t n;

	if (!unpack_byte(&bytes, DKIM_SIGNATURES_MAX, &n) || !unpack_long(&bytes, &n_more))
		return false;
	signatures = arena_alloc(arena, ((size_t)n + 1) * sizeof(*signatures));
	for (size_t i = 0; i < n; i++)
		if (!signature_read(&bytes, &signatures[i]))
			return false;
	*out = (struct dkim_result){.signatures = signatures, .n = n, .n_more = n_more};
	return bytes.len == 0;
}

/* --- ARC --- */

bool arc_result_write(const struct arc_result *result, struct buffer *out)
{
	ENSURE(result->n_sealers <= ARC_SETS_MAX);
	if (!pack_byte(out, (uint8_t)result->code) || !pack_byte(out, result->temporary) ||
		!pack_text(out, result->problem) || !pack_byte(out, (uint8_t)result->n_sealers))
		return false;
	for (size_t i = 0; i < result->n_sealers; i++)
		if (!pack_text(out, result->sealers[i]))
			return false;
	return pack_text(out, result->results) && pack_number(out, result->oldest_pass);
}

/* Only a chain that passes says who sealed it, and what they found. */
static bool is_consistent(const struct arc_result *result)
{
	if (result->code != ARC_IS_PASS)
		return result->n_sealers == 0 && result->results.len == 0;
	return result->n_sealers > 0 && result->oldest_pass <= result->n_sealers;
}

bool arc_result_read(struct span bytes, struct arena *arena, struct arc_result *out)
{
	struct span *sealers;
	uint8_t code, n;

	if (!unpack_byte(&bytes, COUNT_OF(arc_names) - 1, &code) ||
		!unpack_bool(&bytes, &out->temporary) || !unpack_clean(&bytes, &out->problem) ||
		!unpack_byte(&bytes, ARC_SETS_MAX, &n))
		return false;
	sealers = arena_alloc(arena, ((size_t)n + 1) * sizeof(*sealers));
	for (size_t i = 0; i < n; i++)
		if (!unpack_clean(&bytes, &sealers[i]))
			return false;
	if (!unpack_clean(&bytes, &out->results) ||
		!unpack_number(&bytes, ARC_SETS_MAX, &out->oldest_pass))
		return false;
	out->code = (enum arc_code)code;
	out->sealers = sealers;
	out->n_sealers = n;
	return is_consistent(out) && bytes.len == 0;
}
