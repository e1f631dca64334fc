/*
 * The library is a canonicaliser here, and sees as little of a message as that takes: signature
 * fields that keep to the grammar (dkim_guard), the fields that they can have signed (dkim_fields),
 * the body. All its signatures are set to be ignored, so that it asks for no keys and verifies
 * nothing; its hashes are taken (dkim_sig_gethashes), and dkim_key does the rest.
 *
 * Tried and rejected: keys through dkim_set_key_lookup and its own verdict. It has the key parsed
 * by OpenSSL anew for each signature, which is most of what a short message costs; its key buffer
 * is 1,025 bytes; its verdict says PASSED where the body's hash differs; and every record that a
 * stranger publishes would be read by it.
 */
#include "authn/dkim.h"

#include <inttypes.h>
#include <opendkim/dkim.h>
#include <stdlib.h>

#include "authn/dkim_fields.h"
#include "authn/dkim_guard.h"
#include "authn/dkim_header.h"
#include "authn/dkim_keys.h"
#include "lib/base/fail.h"
#include "lib/mail/header.h"

struct dkim_library {
	DKIM_LIB *lib;          /* owned */
	struct dkim_keys *keys; /* owned */
};

/* The signatures that the library is shown: the claims', and two that we make up. */
enum { RULERS = DKIM_SIGNATURES_MAX, SLOTS = RULERS + 2 };

struct dkim_check {
	struct dkim_library *library; /* borrowed */
	struct arena *arena;          /* borrowed */
	struct span section;          /* borrowed */
	struct dkim_claim claims[DKIM_SIGNATURES_MAX];
	size_t n_claims, n_more;
	bool by_hand[DKIM_SIGNATURES_MAX]; /* the header's hash is not to be the library's */
	DKIM *handle;                      /* owned; NULL: no claim was open */
	DKIM_SIGINFO *slots[SLOTS];        /* NULL: not shown */
	bool has_body, is_ruled;           /* is_ruled: the rulers are there */
};

/* --- the library --- */

static DKIM_CBSTAT no_key(DKIM *handle, DKIM_SIGINFO *sig, unsigned char *buf, size_t size)
{
	(void)handle;
	(void)sig;
	(void)buf;
	(void)size;
	return DKIM_CBSTAT_NOTFOUND;
}

struct dkim_library *dkim_library_open(struct err *err)
{
	/* No keys before they are asked for; and signatures that it finds fault with keep their
	 * place, so that those behind can be told apart. */
	unsigned flags = DKIM_LIBFLAGS_DELAYSIGPROC | DKIM_LIBFLAGS_BADSIGHANDLES;
	uint64_t drift_s = DKIM_FUTURE_S;
	struct dkim_library *library;
	DKIM_LIB *lib = dkim_init(NULL, NULL);

	if (!lib) {
		err_set(err, "libopendkim can't be started");
		return NULL;
	}
	ENSURE(dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof(flags)) ==
		DKIM_STAT_OK);
	/* Times are judged by the caller's clock; the library's word is not to come first. */
	ENSURE(dkim_options(lib, DKIM_OP_SETOPT, DKIM_OPTS_CLOCKDRIFT, &drift_s, sizeof(drift_s)) ==
		DKIM_STAT_OK);
	/* Never called. With it, q= is nothing that the library judges. */
	ENSURE(dkim_set_key_lookup(lib, no_key) == DKIM_STAT_OK);
	library = memory_new(sizeof(*library));
	library->lib = lib;
	library->keys = dkim_keys_new();
	return library;
}

void dkim_library_close(struct dkim_library **library)
{
	if (!*library)
		return;
	dkim_close((*library)->lib);
	dkim_keys_free(&(*library)->keys);
	free(*library);
	*library = NULL;
}

/* It takes no const, and changes nothing. */
static unsigned char *bytes_of(struct span s)
{
	return (unsigned char *)(uintptr_t)s.at;
}

static bool feed(DKIM *handle, struct span field)
{
	return dkim_header(handle, bytes_of(field), field.len) == DKIM_STAT_OK;
}

/* Where h= names all fields and one more, the library writes a pointer behind its list of them:
 * with this one, which no h= can name (they have no blanks), there are always more. */
static DKIM *handle_new(struct dkim_library *library)
{
	DKIM_STAT status;
	DKIM *handle = dkim_verify(library->lib, (const unsigned char *)"-", NULL, &status);

	ENSURE(handle && feed(handle, SPAN("- -: -")));
	return handle;
}

/* --- headers --- */

static void refuse_all(struct dkim_check *check, const char *problem)
{
	for (size_t i = 0; i < check->n_claims; i++)
		dkim_claim_refuse(&check->claims[i], DKIM_IS_PERMERROR, problem);
}

static size_t n_open(const struct dkim_check *check)
{
	size_t n = 0;

	for (size_t i = 0; i < check->n_claims; i++)
		n += dkim_claim_is_open(&check->claims[i]);
	return n;
}

static bool is_signature(const struct header_field *field)
{
	return header_is(field, SPAN("DKIM-Signature"));
}

static void claims_read(struct dkim_check *check, uint64_t now_s)
{
	struct span section = check->section;
	struct header_field field;

	while (header_next(&section, &field)) {
		if (!is_signature(&field))
			continue;
		if (check->n_claims == DKIM_SIGNATURES_MAX)
			check->n_more++;
		else
			dkim_claim_read(
				&field, now_s, check->arena, &check->claims[check->n_claims++]);
	}
}

/* Without the line's end. */
static struct span field_text(const struct header_field *field)
{
	struct span text = field->raw;

	if (text.len && text.at[text.len - 1] == '\n')
		text.len--;
	if (text.len && text.at[text.len - 1] == '\r')
		text.len--;
	return text;
}

/* Space that no mail has (RFC 5322 2.2.3 knows blanks and tabs) and that the library takes for
 * some, and NUL, at which it stops. */
static bool is_odd(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i];

		if (c == '\0' || c == '\v' || c == '\f')
			return true;
		if ((c == '\r' && (i + 1 == text.len || text.at[i + 1] != '\n')) ||
			(c == '\n' && (i == 0 || text.at[i - 1] != '\r')))
			return true;
	}
	return false;
}

/* The library takes the field for something else: who signs it is hashed here. */
static void take_from_library(struct dkim_check *check, struct span name, bool relaxed_only)
{
	for (size_t i = 0; i < check->n_claims; i++)
		if (dkim_claim_names(&check->claims[i], name) &&
			(check->claims[i].relaxed_header || !relaxed_only))
			check->by_hand[i] = true;
}

static void feed_field(
	struct dkim_check *check, struct dkim_names *names, const struct header_field *field)
{
	struct span text = field_text(field);

	if (!dkim_names_take(names, field->name))
		return;
	if (is_odd(text))
		take_from_library(check, field->name, true);
	/* It refuses some: tabs and folds before the colon. */
	if (!feed(check->handle, text))
		take_from_library(check, field->name, false);
}

/* A signature that asks for the same of the body, and for no more than a From. */
static void feed_stand_in(struct dkim_check *check, bool relaxed_body, const uint64_t *limit)
{
	struct span text = span_text(arena_print(check->arena,
		"DKIM-Signature: v=1; a=rsa-sha256; c=simple/%s; d=a.example; s=a; h=from; "
		"bh=AAAA; b=AAAA",
		relaxed_body ? "relaxed" : "simple"));

	if (limit)
		text = span_text(
			arena_print(check->arena, "%.*s; l=%" PRIu64, SPAN_ARGS(text), *limit));
	ENSURE(feed(check->handle, text));
}

static void feed_claim(struct dkim_check *check, size_t number)
{
	const struct dkim_claim *claim = &check->claims[number];

	/* A signature that signs signatures: of those the library is not shown all. */
	if (claim->misread || dkim_claim_names(claim, SPAN("DKIM-Signature")))
		check->by_hand[number] = true;
	if (claim->misread)
		feed_stand_in(check, claim->relaxed_body, claim->limited ? &claim->limit : NULL);
	else
		(void)feed(check->handle, field_text(&claim->field));
}

static void feed_section(struct dkim_check *check)
{
	struct span section = check->section;
	struct dkim_names names;
	struct header_field field;

	dkim_names_collect(&names, check->claims, check->n_claims, check->arena);
	dkim_names_count(&names, section);
	while (header_next(&section, &field))
		if (!is_signature(&field))
			feed_field(check, &names, &field);
}

/* The order in which signatures are shown, as slots; returns how many. The library does not say how
 * long a body is beyond l=: so two more measure it, which have none. */
static size_t feed_signatures(struct dkim_check *check, size_t order[SLOTS])
{
	size_t n = 0;

	for (size_t i = 0; i < check->n_claims; i++) {
		if (!dkim_claim_is_open(&check->claims[i]))
			continue;
		feed_claim(check, i);
		order[n++] = i;
		check->is_ruled = check->is_ruled || check->claims[i].limited;
	}
	for (size_t relaxed = 0; check->is_ruled && relaxed < 2; relaxed++) {
		feed_stand_in(check, relaxed, NULL);
		order[n++] = RULERS + relaxed;
	}
	return n;
}

/* The library's signatures are known by their order. It is to verify none of them. */
static bool slots_fill(struct dkim_check *check, const size_t *order, size_t n)
{
	DKIM_SIGINFO **sigs;
	int n_sigs;

	if (dkim_getsiglist(check->handle, &sigs, &n_sigs) != DKIM_STAT_OK || (size_t)n_sigs != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		DKIM_SIGERROR error = dkim_sig_geterror(sigs[i]);

		dkim_sig_ignore(sigs[i]);
		/* One with an error has no hashes, and the library aborts when asked for them. */
		if (error == DKIM_SIGERROR_UNKNOWN)
			check->slots[order[i]] = sigs[i];
		else if (order[i] < RULERS)
			dkim_claim_refuse(&check->claims[order[i]], DKIM_IS_PERMERROR,
				dkim_sig_geterrorstr(error));
	}
	return !check->is_ruled || (check->slots[RULERS] && check->slots[RULERS + 1]);
}

static void headers_hash(struct dkim_check *check)
{
	size_t order[SLOTS], n;

	check->handle = handle_new(check->library);
	feed_section(check);
	n = feed_signatures(check, order);
	if (dkim_eoh(check->handle) != DKIM_STAT_OK || !slots_fill(check, order, n))
		refuse_all(check, "the header can't be hashed");
}

/* --- a message --- */

struct dkim_check *dkim_check_begin(
	struct dkim_library *library, struct span section, uint64_t now_s, struct arena *arena)
{
	struct dkim_check *check = arena_alloc(arena, sizeof(*check));

	check->library = library;
	check->arena = arena;
	check->section = section;
	claims_read(check, now_s);
	if (n_open(check))
		headers_hash(check);
	return check;
}

bool dkim_check_needs_body(const struct dkim_check *check)
{
	return n_open(check) > 0;
}

static struct span key_name(const struct dkim_check *check, const struct dkim_claim *claim)
{
	return span_text(arena_print(check->arena, "%.*s._domainkey.%.*s",
		SPAN_ARGS(claim->said.selector), SPAN_ARGS(claim->said.domain)));
}

void dkim_check_wants(
	const struct dkim_check *check, const struct answers *answers, struct wants *wants)
{
	for (size_t i = 0; i < check->n_claims; i++) {
		struct span name;

		if (!dkim_claim_is_open(&check->claims[i]))
			continue;
		name = key_name(check, &check->claims[i]);
		if (!answers_find(answers, name, ANSWER_TXT))
			wants_add(wants, name, ANSWER_TXT);
	}
}

void dkim_check_body(struct dkim_check *check, struct span piece)
{
	if (piece.len == 0 || !n_open(check))
		return;
	check->has_body = true;
	(void)dkim_body(check->handle, bytes_of(piece), piece.len);
}

/* --- verdicts --- */

static void settle(struct dkim_claim *claim, enum dkim_code code, const char *problem)
{
	claim->said.code = code;
	claim->said.problem = span_text(problem);
}

/* Of the whole body, canonicalised as the claim has it. */
static uint64_t body_length(const struct dkim_check *check, const struct dkim_claim *claim)
{
	DKIM_SIGINFO *ruler = check->slots[RULERS + claim->relaxed_body];
	ssize_t length;

	ENSURE(dkim_sig_getcanonlen(check->handle, ruler, NULL, &length, NULL) == DKIM_STAT_OK);
	return (uint64_t)length;
}

/* The signature is good, the body's hash as well. RFC 6376 8.2: what is behind l= may be anybody's;
 * 3.5: there must be as much as it says. */
static void length_judge(const struct dkim_check *check, struct dkim_claim *claim)
{
	uint64_t length = claim->limited ? body_length(check, claim) : 0;

	if (claim->limited && length > claim->limit)
		settle(claim, DKIM_IS_POLICY, "a part of the body is not signed");
	else if (claim->limited && length < claim->limit)
		settle(claim, DKIM_IS_PERMERROR, "l= is longer than the body");
	else
		settle(claim, DKIM_IS_PASS, NULL);
}

struct hashes {
	uint8_t header[DKIM_HASH_SIZE], body[DKIM_HASH_SIZE];
};

/* false: the library has none. */
static bool hashes_take(const struct dkim_check *check, size_t number, struct hashes *out)
{
	void *header, *body;
	size_t header_len, body_len;

	if (dkim_sig_gethashes(check->slots[number], &header, &header_len, &body, &body_len) !=
			DKIM_STAT_OK ||
		header_len != DKIM_HASH_SIZE || body_len != DKIM_HASH_SIZE)
		return false;
	memcpy(out->header, header, DKIM_HASH_SIZE);
	memcpy(out->body, body, DKIM_HASH_SIZE);
	if (check->by_hand[number])
		dkim_header_hash(check->section, &check->claims[number], check->arena, out->header);
	return true;
}

static void key_use(const struct dkim_check *check, struct dkim_claim *claim,
	const struct dkim_key *key, const struct hashes *hashes)
{
	struct span signature = span_make(claim->signature, claim->signature_len);

	if (key->domain_itself && claim->in_subdomain)
		settle(claim, DKIM_IS_PERMERROR, "the key is not for subdomains");
	else if (memcmp(hashes->body, claim->body_hash, DKIM_HASH_SIZE) != 0)
		settle(claim, DKIM_IS_FAIL, "the body has changed");
	else if (!dkim_key_verifies(key, hashes->header, signature))
		settle(claim, DKIM_IS_FAIL, "the signed fields have changed");
	else
		length_judge(check, claim);
}

static void record_try(const struct dkim_check *check, struct dkim_claim *claim, struct span record,
	const struct hashes *hashes)
{
	const char *problem;
	const struct dkim_key *key =
		dkim_keys_read(check->library->keys, record, claim->algorithm, &problem);

	claim->said.key_bits = key->bits;
	claim->said.testing = key->testing;
	if (!problem)
		key_use(check, claim, key, hashes);
	else
		settle(claim, DKIM_IS_PERMERROR, problem);
}

/* Several keys at one name are undefined (RFC 6376 3.6.2.2), and come in any order. All are the
 * signer's, so that one of them has to fit, but not many are tried. */
enum { RECORDS_TRIED_MAX = 4 };

static void records_try(struct dkim_check *check, size_t number, const struct answer *answer)
{
	struct dkim_claim *claim = &check->claims[number];
	struct hashes hashes;
	size_t n_tried = 0;

	if (!hashes_take(check, number, &hashes)) {
		settle(claim, DKIM_IS_PERMERROR, "the message can't be hashed");
		return;
	}
	for (size_t i = 0; i < answer->n_records && n_tried < RECORDS_TRIED_MAX; i++) {
		if (!dkim_key_is(answer->records[i].text))
			continue;
		record_try(check, claim, answer->records[i].text, &hashes);
		if (claim->said.code == DKIM_IS_PASS || claim->said.code == DKIM_IS_POLICY)
			return;
		n_tried++;
	}
	if (n_tried == 0)
		settle(claim, DKIM_IS_PERMERROR, "the key record can't be read");
}

static void claim_conclude(struct dkim_check *check, size_t number, const struct answers *answers)
{
	struct dkim_claim *claim = &check->claims[number];
	const struct answer *answer = answers_find(answers, key_name(check, claim), ANSWER_TXT);

	if (!answer || answer->outcome == ANSWER_TROUBLE)
		settle(claim, DKIM_IS_TEMPERROR, "the key can't be looked up");
	else if (answer->outcome != ANSWER_FOUND)
		settle(claim, DKIM_IS_PERMERROR, "there is no key");
	else
		records_try(check, number, answer);
}

/* RFC 6376 3.4.3, 3.4.4: a body that does not end in CRLF is hashed as if it did. One that does can
 * do with another, for empty lines at the end do not count. */
static void body_end(struct dkim_check *check)
{
	if (check->has_body)
		(void)dkim_body(check->handle, bytes_of(SPAN("\r\n")), 2);
	/* There is nothing for it to verify: it ends the hashes, and says so. */
	(void)dkim_eom(check->handle, NULL);
}

void dkim_check_end(
	struct dkim_check *check, const struct answers *answers, struct dkim_result *result)
{
	struct dkim_signature *signatures =
		arena_alloc(check->arena, DKIM_SIGNATURES_MAX * sizeof(*signatures));

	if (n_open(check))
		body_end(check);
	for (size_t i = 0; i < check->n_claims; i++) {
		if (dkim_claim_is_open(&check->claims[i]))
			claim_conclude(check, i, answers);
		signatures[i] = check->claims[i].said;
	}
	*result = (struct dkim_result){signatures, check->n_claims, check->n_more};
}

void dkim_check_free(struct dkim_check **check)
{
	if (!*check)
		return;
	if ((*check)->handle)
		(void)dkim_free((*check)->handle);
	*check = NULL;
}
