#include "tests/unit/arc_play.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "authn/canon.h"
#include "authn/fields.h"
#include "lib/base/fail.h"

enum { HEADERS_MAX = 1 << 21 };

struct arc_play *arc_play_new(const char *headers, const char *body)
{
	struct arc_play *play = memory_zeroed(sizeof(*play));

	play->arena = arena_new(4096);
	play->answers = answers_new(play->arena);
	play->headers = BUFFER_INIT(HEADERS_MAX);
	play->body = arena_span(play->arena, span_text(body));
	ENSURE(buffer_add_text(&play->headers, headers));
	return play;
}

void arc_play_free(struct arc_play **play)
{
	buffer_free(&(*play)->headers);
	arena_free(&(*play)->arena);
	free(*play);
	*play = NULL;
}

void arc_play_above(struct arc_play *play, const char *field)
{
	struct buffer all = BUFFER_INIT(HEADERS_MAX);

	ENSURE(buffer_add_text(&all, field) && buffer_add(&all, buffer_span(&play->headers)));
	buffer_free(&play->headers);
	play->headers = all;
}

void arc_play_replace(struct arc_play *play, const char *text, const char *other)
{
	struct span headers = buffer_span(&play->headers);
	size_t at = span_find(headers, span_text(text));
	struct buffer all = BUFFER_INIT(HEADERS_MAX);

	ENSURE(at < headers.len && buffer_add(&all, span_first(headers, at)) &&
		buffer_add_text(&all, other) &&
		buffer_add(&all, span_from(headers, at + strlen(text))));
	buffer_free(&play->headers);
	play->headers = all;
}

void arc_play_answer(
	struct arc_play *play, const char *name, enum answer_outcome outcome, const char *text)
{
	struct answer_record record = {.text = span_text(text)};
	struct answer answer = {.name = span_text(name),
		.type = ANSWER_TXT,
		.outcome = outcome,
		.records = &record,
		.n_records = outcome == ANSWER_FOUND};

	ENSURE(answers_add(play->answers, &answer));
}

/* --- keys --- */

static EVP_PKEY *key_load(const char *name)
{
	static const unsigned char seed[33] = "not a secret, the same each time";
	char path[128];
	EVP_PKEY *key;
	FILE *in;

	if (strcmp(name, "ed25519") == 0)
		return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	snprintf(path, sizeof(path), "tests/oracle/arc_keys/%s.pem", name);
	in = fopen(path, "r");
	ENSURE(in);
	key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
	fclose(in);
	ENSURE(key);
	return key;
}

static char *base64(struct arena *arena, const unsigned char *bytes, size_t len)
{
	char *text = arena_alloc(arena, len / 3 * 4 + 8);

	EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
	return text;
}

static char *public_part(struct arena *arena, EVP_PKEY *key, bool bare)
{
	unsigned char raw[2048], *at = raw;
	size_t len = sizeof(raw);

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519)
		ENSURE(EVP_PKEY_get_raw_public_key(key, raw, &len) == 1);
	else
		len = (size_t)(bare ? i2d_PublicKey(key, &at) : i2d_PUBKEY(key, &at));
	return base64(arena, raw, len);
}

static char *sign(struct arena *arena, EVP_PKEY *key, const uint8_t hash[SHA256_SIZE])
{
	unsigned char raw[1024];
	size_t len = sizeof(raw);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *rsa = EVP_PKEY_CTX_new(key, NULL);

	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519)
		ENSURE(EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
			EVP_DigestSign(context, raw, &len, hash, SHA256_SIZE) == 1);
	else
		ENSURE(EVP_PKEY_sign_init(rsa) == 1 &&
			EVP_PKEY_CTX_set_rsa_padding(rsa, RSA_PKCS1_PADDING) == 1 &&
			EVP_PKEY_CTX_set_signature_md(rsa, EVP_sha256()) == 1 &&
			EVP_PKEY_sign(rsa, raw, &len, hash, SHA256_SIZE) == 1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_CTX_free(rsa);
	return base64(arena, raw, len);
}

/* --- sets --- */

static const char * or (const char *value, const char *usual)
{
	return value ? value : usual;
}

static void publish(struct arc_play *play, const struct arc_play_set *set, EVP_PKEY *key)
{
	bool edwards = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
	const char *record =
		or (set->record, edwards ? "v=DKIM1; k=ed25519; p=%s" : "v=DKIM1; p=%s");
	const char *mark = strstr(record, "%s");
	struct span text = span_text(record);

	if (mark)
		text = span_text(arena_print(play->arena, "%.*s%s%s", (int)(mark - record), record,
			public_part(play->arena, key, set->bare), mark + 2));
	arc_play_answer(play,
		arena_print(play->arena, "%s._domainkey.%s", or (set->key, "a"),
			or (set->domain, "one.example")),
		ANSWER_FOUND, text.at);
}

/* Its first field, parsed. */
static struct header_field first_field(struct span section)
{
	struct header_field field;

	ENSURE(header_next(&section, &field));
	return field;
}

static void hash_message(const struct arc_play *play, const struct arc_play_set *set,
	struct span field, uint8_t out[SHA256_SIZE])
{
	struct fields *fields = fields_new(buffer_span(&play->headers), play->arena);
	enum canon canon =
		strncmp(or (set->c, "relaxed"), "simple", 6) == 0 ? CANON_SIMPLE : CANON_RELAXED;
	struct span names = span_text(or (set->h, "from:to:subject"));
	struct header_field own = first_field(field);
	struct sha256 sha256;

	sha256_open(&sha256);
	fields_rewind(fields);
	while (names.len) {
		size_t end = span_find_char(names, ':');
		const struct header_field *named = fields_take(fields, span_first(names, end));

		if (named) {
			canon_field(canon, named, SPAN_NONE, &sha256);
			sha256_add(&sha256, SPAN("\r\n"));
		}
		names = span_from(names, end + 1);
	}
	canon_field(canon, &own, SPAN_NONE, &sha256);
	sha256_peek(&sha256, out);
	sha256_close(&sha256);
}

static char *body_hash(const struct arc_play *play, const struct arc_play_set *set)
{
	const char *slash = strchr(or (set->c, "relaxed/relaxed"), '/');
	bool simple = set->c && set->c[0] && (!slash || strcmp(slash, "/simple") == 0);
	struct canon_body body;
	uint8_t hash[SHA256_SIZE];

	canon_body_open(&body, simple ? CANON_SIMPLE : CANON_RELAXED);
	canon_body_add(&body, play->body);
	canon_body_end(&body, hash);
	canon_body_close(&body);
	return base64(play->arena, hash, SHA256_SIZE);
}

/* What a seal covers: the fields of all sets, which lie in the headers from the last down. */
static void hash_seal(const struct arc_play *play, struct span field, uint8_t out[SHA256_SIZE])
{
	static const char *const names[] = {
		"ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"};
	struct fields *fields = fields_new(buffer_span(&play->headers), play->arena);
	struct header_field own = first_field(field);
	const struct header_field *next;
	struct sha256 sha256;
	size_t k = 0;

	sha256_open(&sha256);
	fields_rewind(fields);
	while ((next = fields_take(fields, span_text(names[k++ % 3])))) {
		canon_field(CANON_RELAXED, next, SPAN_NONE, &sha256);
		sha256_add(&sha256, SPAN("\r\n"));
	}
	canon_field(CANON_RELAXED, &own, SPAN_NONE, &sha256);
	sha256_peek(&sha256, out);
	sha256_close(&sha256);
}

void arc_play_seal(struct arc_play *play, const struct arc_play_set *set)
{
	EVP_PKEY *key = key_load(or (set->key, "a"));
	bool edwards = EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519;
	const char *c = or (set->c, "relaxed/relaxed"), *canon = "";
	uint8_t hash[SHA256_SIZE];
	char *shared, *field;

	publish(play, set, key);
	if (c[0])
		canon = arena_print(play->arena, "c=%s; ", c);
	shared = arena_print(play->arena, "i=%u; a=%s; d=%s; s=%s; ", set->i,
		or (set->algorithm, edwards ? "ed25519-sha256" : "rsa-sha256"),
		or (set->domain, "one.example"), or (set->key, "a"));
	arc_play_above(play, arena_print(play->arena, "ARC-Authentication-Results: i=%u; %s\r\n",
				     set->i, or (set->results, "mx.example; spf=pass")));
	field = arena_print(play->arena, "ARC-Message-Signature: %s%s%sh=%s; bh=%s;\r\n b=", shared,
		canon, or (set->message_tags, ""), or (set->h, "from:to:subject"),
		body_hash(play, set));
	hash_message(play, set, span_text(field), hash);
	arc_play_above(
		play, arena_print(play->arena, "%s%s\r\n", field, sign(play->arena, key, hash)));
	field = arena_print(play->arena, "ARC-Seal: %s%scv=%s;\r\n\tb=", shared,
		or (set->seal_tags, ""), or (set->cv, set->i == 1 ? "none" : "pass"));
	hash_seal(play, span_text(field), hash);
	arc_play_above(
		play, arena_print(play->arena, "%s%s\r\n", field, sign(play->arena, key, hash)));
	EVP_PKEY_free(key);
}

/* --- the judge --- */

static void answer_wants(struct arc_play *play, const struct arc *arc)
{
	struct wants wants = {.arena = play->arena};

	do {
		wants.n = 0;
		arc_wants(arc, play->answers, &wants);
		play->n_wanted += wants.n;
		for (size_t i = 0; i < wants.n; i++) {
			wants.items[i].outcome = ANSWER_NXDOMAIN;
			ENSURE(answers_add(play->answers, &wants.items[i]));
		}
	} while (wants.n);
}

void arc_play_judge(struct arc_play *play, uint64_t now_s)
{
	struct arc *arc = arc_begin(buffer_span(&play->headers), now_s, play->arena);
	struct span body = play->body;

	play->n_wanted = 0;
	play->needed_body = arc_needs_body(arc);
	answer_wants(play, arc);
	for (; play->needed_body && body.len; body = span_from(body, 3))
		arc_body(arc, span_first(body, 3));
	arc_end(arc, play->answers, &play->result);
	arc_free(&arc);
}
