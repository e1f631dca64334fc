/*
 * The chain as RFC 8617 5.2 has it, step by step. Structure is judged when the header is there, so
 * that a chain that is broken, or that its last sealer found broken, costs neither keys nor a pass
 * over the body. At the end, what costs least comes first.
 *
 * All failures are permanent (5.2.1), those of DNS too; `temporary` only tells a reader of logs
 * that the message was not to blame.
 *
 * Two hashes of the body serve all sets: there are two ways to canonicalise it, and l= has to cover
 * all of it. That RFC 6376 lets l= leave out the end is an invitation to append; such a chain
 * fails.
 *
 * A seal covers all sets up to its own, so the sets are hashed once, and the hash is forked for
 * each seal; else a chain of fifty would be hashed twenty-five times over.
 */
#include "authn/arc.h"

#include "authn/arc_set.h"
#include "authn/base64.h"
#include "authn/fields.h"
#include "lib/base/fail.h"
#include "lib/mail/tag_list.h"

enum {
	SECTION_MAX = 1 << 20, /* bytes of a header that has a chain */
	OLDER_MAX = 1 << 20,   /* bytes hashed for message signatures below the last, about */
	RESULTS_MAX = 16384,   /* bytes of `results`: longer ones are left out */
	RECORDS_MAX = 4        /* of a selector: more are not tried (RFC 6376 6.1.2 step 4) */
};

struct arc_set {
	struct header_field fields[ARC_SEAL + 1]; /* by kind; without `raw`: missing */
	struct span payload;                      /* of its results */
	struct arc_message message;
	struct arc_seal seal;
};

struct arc {
	struct arena *arena; /* borrowed */
	uint64_t now_s;
	struct arc_result result; /* of a chain that is decided */
	bool decided;             /* neither keys nor the body can change it */
	struct fields *fields;
	struct arc_set *sets[ARC_SETS_MAX]; /* from i=1 */
	unsigned n;
	struct canon_body bodies[CANON_RELAXED + 1]; /* open: some signature needs it */
	uint8_t hashes[CANON_RELAXED + 1][SHA256_SIZE];
	uint64_t lens[CANON_RELAXED + 1];
	uint64_t hashed; /* bytes, for message signatures below the last */
};

/* Whether a signature is good. UNKNOWN: DNS does not say. */
enum outcome { GOOD, BAD, UNKNOWN };

/* --- the header --- */

static void decide(struct arc *arc, enum arc_code code, const char *problem)
{
	arc->decided = true;
	arc->result.code = code;
	arc->result.problem = span_text(problem);
}

/* i: the set it is about */
static void fail(struct arc *arc, unsigned i, const char *problem)
{
	decide(arc, ARC_IS_FAIL, arena_print(arc->arena, "i=%u: %s", i, problem));
}

static bool field_read(struct arc *arc, enum arc_kind kind, struct span body, struct arc_set *set,
	unsigned *i, const char **problem)
{
	switch (kind) {
	case ARC_RESULTS:
		return arc_results_read(body, i, &set->payload, problem);
	case ARC_MESSAGE:
		return arc_message_read(body, arc->arena, i, &set->message, problem);
	case ARC_SEAL:
		return arc_seal_read(body, arc->arena, i, &set->seal, problem);
	}
	return false;
}

/* Step 1: a field into its set. */
static void collect_field(struct arc *arc, enum arc_kind kind, const struct header_field *field)
{
	struct arc_set read = {.payload = SPAN_NONE}, *set;
	const char *problem;
	unsigned i;

	if (!field_read(arc, kind, field->body, &read, &i, &problem)) {
		decide(arc, ARC_IS_FAIL,
			arena_print(arc->arena, "%.*s: %s", SPAN_ARGS(field->name), problem));
		return;
	}
	if (!arc->sets[i - 1])
		arc->sets[i - 1] = arena_alloc(arc->arena, sizeof(*set));
	set = arc->sets[i - 1];
	if (set->fields[kind].raw.len) {
		fail(arc, i, "a field stands there twice");
		return;
	}
	set->fields[kind] = *field;
	if (kind == ARC_RESULTS)
		set->payload = read.payload;
	else if (kind == ARC_MESSAGE)
		set->message = read.message;
	else
		set->seal = read.seal;
	arc->n = i > arc->n ? i : arc->n;
}

static void collect(struct arc *arc, struct span section)
{
	struct header_field field;
	enum arc_kind kind;

	while (!arc->decided && header_next(&section, &field))
		if (arc_kind_of(&field, &kind))
			collect_field(arc, kind, &field);
	if (!arc->decided && arc->n == 0)
		decide(arc, ARC_IS_NONE, NULL);
}

static bool is_complete(const struct arc_set *set)
{
	return set && set->fields[ARC_RESULTS].raw.len && set->fields[ARC_MESSAGE].raw.len &&
	       set->fields[ARC_SEAL].raw.len;
}

/* Step 3. */
static void check_sets(struct arc *arc)
{
	for (unsigned i = 1; !arc->decided && i <= arc->n; i++) {
		const struct arc_set *set = arc->sets[i - 1];

		if (!is_complete(set))
			fail(arc, i, "the set is not complete");
		else if (set->seal.cv != (i == 1 ? ARC_CV_NONE : ARC_CV_PASS))
			fail(arc, i, i == 1 ? "cv= is not none" : "cv= is not pass");
	}
}

/* Steps 2 and 3, and what is known of step 4 without keys. */
static void check_structure(struct arc *arc)
{
	const struct arc_set *last = arc->sets[arc->n - 1];

	if (last->fields[ARC_SEAL].raw.len && last->seal.cv == ARC_CV_FAIL)
		fail(arc, arc->n, "the sealer found the chain broken");
	check_sets(arc);
	if (!arc->decided && last->message.problem)
		fail(arc, arc->n, last->message.problem);
}

static void open_body(struct arc *arc, const struct arc_message *message)
{
	struct canon_body *body = &arc->bodies[message->body];

	if (!message->problem && !body->sha256.context)
		canon_body_open(body, message->body);
}

struct arc *arc_begin(struct span section, uint64_t now_s, struct arena *arena)
{
	struct arc *arc = arena_alloc(arena, sizeof(*arc));

	arc->arena = arena;
	arc->now_s = now_s;
	collect(arc, section);
	if (!arc->decided)
		check_structure(arc);
	if (arc->decided)
		return arc;
	arc->fields = section.len <= SECTION_MAX ? fields_new(section, arena) : NULL;
	if (!arc->fields) {
		decide(arc, ARC_IS_FAIL, "the header is too large");
		return arc;
	}
	for (unsigned i = 0; i < arc->n; i++)
		open_body(arc, &arc->sets[i]->message);
	return arc;
}

bool arc_needs_body(const struct arc *arc)
{
	return !arc->decided;
}

/* --- keys --- */

static void want(
	const struct arc_signature *signature, const struct answers *answers, struct wants *wants)
{
	if (!answers_find(answers, signature->key, ANSWER_TXT))
		wants_add(wants, signature->key, ANSWER_TXT);
}

void arc_wants(const struct arc *arc, const struct answers *answers, struct wants *wants)
{
	for (unsigned i = arc->n; !arc->decided && i > 0; i--) {
		const struct arc_set *set = arc->sets[i - 1];

		want(&set->seal.signature, answers, wants);
		if (!set->message.problem)
			want(&set->message.signature, answers, wants);
	}
}

/* --- the body --- */

void arc_body(struct arc *arc, struct span piece)
{
	for (size_t i = 0; i < COUNT_OF(arc->bodies); i++)
		if (arc->bodies[i].sha256.context)
			canon_body_add(&arc->bodies[i], piece);
}

static void end_bodies(struct arc *arc)
{
	for (size_t i = 0; i < COUNT_OF(arc->bodies); i++)
		if (arc->bodies[i].sha256.context)
			arc->lens[i] = canon_body_end(&arc->bodies[i], arc->hashes[i]);
}

/* --- signatures --- */

struct signature {
	enum dkim_algorithm algorithm;
	uint8_t hash[SHA256_SIZE]; /* of what is signed */
	uint8_t bytes[DKIM_SIGNATURE_SIZE_MAX];
	size_t len;
};

static bool check_key(struct span record, const struct signature *signature, const char **problem)
{
	struct dkim_key key;
	bool good;

	if (!dkim_key_read(record, signature->algorithm, &key, problem))
		return false;
	good = dkim_key_verifies(
		&key, signature->hash, span_make(signature->bytes, signature->len));
	dkim_key_free(&key);
	if (!good)
		*problem = "the signature is not by this key or for other content";
	return good;
}

/* Any key of the selector will do. */
static enum outcome check_keys(
	const struct answer *answer, const struct signature *signature, const char **problem)
{
	*problem = "the key is not known, DNS does not answer";
	if (!answer || answer->outcome == ANSWER_TROUBLE)
		return UNKNOWN;
	*problem = "there is no key";
	if (answer->outcome != ANSWER_FOUND)
		return BAD;
	for (size_t i = 0; i < answer->n_records && i < RECORDS_MAX; i++)
		if (check_key(answer->records[i].text, signature, problem))
			return GOOD;
	return BAD;
}

/* signed_hash: of what it is about. */
static enum outcome check_signature(const struct arc *arc, const struct arc_signature *about,
	const uint8_t signed_hash[SHA256_SIZE], const struct answers *answers, const char **problem)
{
	struct signature signature = {.algorithm = about->algorithm};

	*problem = "the signature has expired";
	if (about->expires_s && arc->now_s > about->expires_s)
		return BAD;
	*problem = "b= is not base64, or too long";
	if (!base64_read(about->value, signature.bytes, sizeof(signature.bytes), &signature.len))
		return BAD;
	memcpy(signature.hash, signed_hash, SHA256_SIZE);
	return check_keys(answers_find(answers, about->key, ANSWER_TXT), &signature, problem);
}

static void add_field(enum canon canon, const struct header_field *field, struct sha256 *out)
{
	canon_field(canon, field, SPAN_NONE, out);
	sha256_add(out, SPAN("\r\n"));
}

/* RFC 6376 3.7, its second hash. The field itself is not among those that it may name: it was not
 * there when it was made. Fields that it does not name are left in arc->fields. */
static void hash_message(struct arc *arc, const struct arc_set *set, uint8_t out[SHA256_SIZE])
{
	const struct arc_message *message = &set->message;
	const struct header_field *own = &set->fields[ARC_MESSAGE];
	struct span names = message->names;
	struct sha256 sha256;

	sha256_open(&sha256);
	fields_rewind(arc->fields);
	while (names.len) {
		struct span name = tag_word_next(&names);
		const struct header_field *field = fields_take(arc->fields, name);

		if (field && field->raw.at == own->raw.at)
			field = fields_take(arc->fields, name);
		if (field)
			add_field(message->headers, field, &sha256);
	}
	canon_field(message->headers, own, message->signature.value, &sha256);
	sha256_peek(&sha256, out);
	arc->hashed += sha256.len;
	sha256_close(&sha256);
}

static enum outcome check_message(struct arc *arc, const struct arc_set *set,
	const struct answers *answers, const char **problem)
{
	const struct arc_message *message = &set->message;
	uint8_t hash[SHA256_SIZE];

	*problem = message->problem;
	if (message->problem)
		return BAD;
	*problem = "l= leaves out a part of the body, or is longer";
	if (message->body_len != UINT64_MAX && message->body_len != arc->lens[message->body])
		return BAD;
	*problem = "the body was changed";
	if (memcmp(message->body_hash, arc->hashes[message->body], SHA256_SIZE) != 0)
		return BAD;
	hash_message(arc, set, hash);
	*problem = "there is a From that it does not sign";
	if (fields_take(arc->fields, SPAN("From")))
		return BAD;
	return check_signature(arc, &message->signature, hash, answers, problem);
}

/* RFC 8617 5.1.1 */
static void hash_seals(const struct arc *arc, uint8_t (*out)[SHA256_SIZE])
{
	struct sha256 all, own;

	sha256_open(&all);
	for (unsigned i = 0; i < arc->n; i++) {
		const struct arc_set *set = arc->sets[i];

		add_field(CANON_RELAXED, &set->fields[ARC_RESULTS], &all);
		add_field(CANON_RELAXED, &set->fields[ARC_MESSAGE], &all);
		sha256_fork(&all, &own);
		canon_field(CANON_RELAXED, &set->fields[ARC_SEAL], set->seal.signature.value, &own);
		sha256_peek(&own, out[i]);
		sha256_close(&own);
		add_field(CANON_RELAXED, &set->fields[ARC_SEAL], &all);
	}
	sha256_close(&all);
}

/* --- the outcome --- */

/* What DNS keeps back counts only when nothing else is wrong. */
static void note(
	struct arc *arc, enum outcome outcome, unsigned i, const char *what, const char *problem)
{
	if (outcome == GOOD || (outcome == UNKNOWN && arc->result.temporary))
		return;
	arc->result.code = ARC_IS_FAIL;
	arc->result.temporary = outcome == UNKNOWN;
	arc->result.problem = span_text(arena_print(arc->arena, "i=%u: %s: %s", i, what, problem));
	arc->decided = outcome == BAD;
}

/* Steps 4 and 6. */
static void check_chain(struct arc *arc, const struct answers *answers)
{
	uint8_t hashes[ARC_SETS_MAX][SHA256_SIZE];
	const char *problem;
	enum outcome outcome = check_message(arc, arc->sets[arc->n - 1], answers, &problem);

	note(arc, outcome, arc->n, "the message signature", problem);
	if (arc->decided)
		return;
	hash_seals(arc, hashes);
	for (unsigned i = arc->n; !arc->decided && i > 0; i--) {
		outcome = check_signature(
			arc, &arc->sets[i - 1]->seal.signature, hashes[i - 1], answers, &problem);
		note(arc, outcome, i, "the seal", problem);
	}
}

/* Step 5. One that would cost too much counts as if it failed. */
static uint32_t oldest_pass(struct arc *arc, const struct answers *answers)
{
	const char *problem;

	arc->hashed = 0;
	for (unsigned i = arc->n - 1; i > 0; i--)
		if (arc->hashed > OLDER_MAX ||
			check_message(arc, arc->sets[i - 1], answers, &problem) != GOOD)
			return i + 1;
	return 0;
}

static struct span unfolded(struct span body, struct arena *arena)
{
	struct buffer text = BUFFER_INIT(RESULTS_MAX);
	struct span copy;

	if (body.len > RESULTS_MAX)
		return SPAN_NONE;
	ENSURE(header_unfold(body, &text));
	copy = arena_span(arena, buffer_span(&text));
	buffer_free(&text);
	return copy;
}

static void pass(struct arc *arc, const struct answers *answers)
{
	struct span *sealers = arena_alloc(arc->arena, arc->n * sizeof(*sealers));

	for (unsigned i = 0; i < arc->n; i++)
		sealers[i] = arena_span(arc->arena, arc->sets[i]->seal.signature.domain);
	arc->result = (struct arc_result){.code = ARC_IS_PASS,
		.sealers = sealers,
		.n_sealers = arc->n,
		.results = unfolded(arc->sets[arc->n - 1]->payload, arc->arena),
		.oldest_pass = oldest_pass(arc, answers)};
}

void arc_end(struct arc *arc, const struct answers *answers, struct arc_result *result)
{
	if (!arc->decided) {
		end_bodies(arc);
		check_chain(arc, answers);
		if (arc->result.code != ARC_IS_FAIL)
			pass(arc, answers);
	}
	*result = arc->result;
}

void arc_free(struct arc **arc)
{
	if (!*arc)
		return;
	for (size_t i = 0; i < COUNT_OF((*arc)->bodies); i++)
		canon_body_close(&(*arc)->bodies[i]);
	*arc = NULL;
}
