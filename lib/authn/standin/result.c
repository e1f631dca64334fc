/* Until lib/authn/result.c is there: numbers as 32 bits in the machine's order, texts with their
 * length before them. */
#include "lib/authn/result.h"

#include "lib/base/buffer.h"

static const char *const spf_names[] = {
#define X(name, word) [SPF_IS_##name] = word,
	SPF_CODES(X)
#undef X
};
static const char *const dkim_names[] = {
#define X(name, word) [DKIM_IS_##name] = word,
	DKIM_CODES(X)
#undef X
};

const char *spf_code_name(enum spf_code code)
{
	return spf_names[code];
}

const char *dkim_code_name(enum dkim_code code)
{
	return dkim_names[code];
}

const char *arc_code_name(enum arc_code code)
{
	return code == ARC_IS_PASS ? "pass" : code == ARC_IS_FAIL ? "fail" : "none";
}

static bool put_number(struct buffer *out, uint32_t number)
{
	return buffer_add(out, span_make(&number, sizeof(number)));
}

static bool put_text(struct buffer *out, struct span text)
{
	return put_number(out, (uint32_t)text.len) && buffer_add(out, text);
}

static bool get_number(struct span *bytes, uint32_t max, uint32_t *out)
{
	if (bytes->len < sizeof(*out))
		return false;
	memcpy(out, bytes->at, sizeof(*out));
	*bytes = span_from(*bytes, sizeof(*out));
	return *out <= max;
}

static bool get_text(struct span *bytes, struct span *out)
{
	uint32_t len;

	if (!get_number(bytes, UINT32_MAX, &len) || len > bytes->len)
		return false;
	*out = span_first(*bytes, len);
	*bytes = span_from(*bytes, len);
	return true;
}

bool spf_question_write(const struct spf_question *q, struct buffer *out)
{
	return put_text(out, span_make(&q->client, sizeof(q->client))) && put_text(out, q->helo) &&
	       put_text(out, q->local) && put_text(out, q->domain) && put_text(out, q->receiver) &&
	       put_number(out, (uint32_t)q->wall_s);
}

bool spf_question_read(struct span bytes, struct spf_question *out)
{
	struct span client;
	uint32_t wall_s;

	if (!get_text(&bytes, &client) || client.len != sizeof(out->client) ||
		!get_text(&bytes, &out->helo) || !get_text(&bytes, &out->local) ||
		!get_text(&bytes, &out->domain) || !get_text(&bytes, &out->receiver) ||
		!get_number(&bytes, UINT32_MAX, &wall_s))
		return false;
	memcpy(&out->client, client.at, sizeof(out->client));
	out->wall_s = wall_s;
	return bytes.len == 0;
}

bool spf_result_write(const struct spf_result *result, struct buffer *out)
{
	return put_number(out, result->code) && put_text(out, result->mechanism) &&
	       put_text(out, result->problem) && put_text(out, result->explanation);
}

bool spf_result_read(struct span bytes, struct spf_result *out)
{
	uint32_t code;

	if (!get_number(&bytes, SPF_IS_PERMERROR, &code) || !get_text(&bytes, &out->mechanism) ||
		!get_text(&bytes, &out->problem) || !get_text(&bytes, &out->explanation))
		return false;
	out->code = (enum spf_code)code;
	return bytes.len == 0;
}

bool dkim_result_write(const struct dkim_result *result, struct buffer *out)
{
	if (!put_number(out, (uint32_t)result->n) || !put_number(out, (uint32_t)result->n_more))
		return false;
	for (size_t i = 0; i < result->n; i++) {
		const struct dkim_signature *s = &result->signatures[i];

		if (!put_number(out, s->code) || !put_text(out, s->domain) ||
			!put_text(out, s->selector) || !put_text(out, s->identity) ||
			!put_text(out, s->algorithm) || !put_text(out, s->start) ||
			!put_number(out, s->key_bits) || !put_number(out, s->testing) ||
			!put_text(out, s->problem))
			return false;
	}
	return true;
}

bool dkim_result_read(struct span bytes, struct arena *arena, struct dkim_result *out)
{
	struct dkim_signature *signatures;
	uint32_t n, n_more, code, testing;

	if (!get_number(&bytes, DKIM_SIGNATURES_MAX, &n) ||
		!get_number(&bytes, UINT32_MAX, &n_more))
		return false;
	signatures = arena_alloc(arena, (n + 1) * sizeof(*signatures));
	for (uint32_t i = 0; i < n; i++) {
		struct dkim_signature *s = &signatures[i];

		if (!get_number(&bytes, DKIM_IS_POLICY, &code) || !get_text(&bytes, &s->domain) ||
			!get_text(&bytes, &s->selector) || !get_text(&bytes, &s->identity) ||
			!get_text(&bytes, &s->algorithm) || !get_text(&bytes, &s->start) ||
			!get_number(&bytes, UINT32_MAX, &s->key_bits) ||
			!get_number(&bytes, 1, &testing) || !get_text(&bytes, &s->problem))
			return false;
		s->code = (enum dkim_code)code;
		s->testing = testing;
	}
	*out = (struct dkim_result){signatures, n, n_more};
	return bytes.len == 0;
}

bool arc_result_write(const struct arc_result *result, struct buffer *out)
{
	if (!put_number(out, result->code) || !put_number(out, result->temporary) ||
		!put_text(out, result->problem) || !put_number(out, (uint32_t)result->n_sealers))
		return false;
	for (size_t i = 0; i < result->n_sealers; i++)
		if (!put_text(out, result->sealers[i]))
			return false;
	return put_text(out, result->results) && put_number(out, result->oldest_pass);
}

bool arc_result_read(struct span bytes, struct arena *arena, struct arc_result *out)
{
	uint32_t code, temporary, n;
	struct span *sealers;

	if (!get_number(&bytes, ARC_IS_FAIL, &code) || !get_number(&bytes, 1, &temporary) ||
		!get_text(&bytes, &out->problem) || !get_number(&bytes, ARC_SETS_MAX, &n))
		return false;
	sealers = arena_alloc(arena, (n + 1) * sizeof(*sealers));
	for (uint32_t i = 0; i < n; i++)
		if (!get_text(&bytes, &sealers[i]))
			return false;
	out->code = (enum arc_code)code;
	out->temporary = temporary;
	out->sealers = sealers;
	out->n_sealers = n;
	return get_text(&bytes, &out->results) &&
	       get_number(&bytes, UINT32_MAX, &out->oldest_pass) && bytes.len == 0;
}
