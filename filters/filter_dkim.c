/*
 * dkim: who signed the message, and whether the signatures hold (RFC 6376, 8301, 8463). They are
 * verified in a process of their own (lib/authn/authn.h) while the body comes in; a message without
 * a signature does not go there. Which keys it will want can be read from the signatures, so they
 * are asked for at once, and told along with the question: it is its judgement that counts, and it
 * may want others, or none.
 *
 * Of several signatures the best one counts (6.1: a verifier may stop at the first that passes):
 * pass; then policy, which holds, but not for all of the body; then temperror, which may hold
 * another time; then fail, which is a signature at least; then permerror, which can't be judged.
 *
 * No answer in time is temperror. What kills whoever tries to verify it is permerror: it proves
 * nothing, and DMARC can fail.
 */
#include "filters/filter.h"
#include "filters/verify_message.h"
#include "lib/mail/authres_write.h"
#include "lib/mail/header.h"
#include "lib/mail/tag_list.h"

enum { DKIM, DKIM_DOMAINS, DKIM_RESULTS, DKIM_AUTHRES };

static const struct fact_choice results[] = {
#define X(name, word) [DKIM_IS_##name] = {word, NULL},
	DKIM_CODES(X)
#undef X
		{NULL, NULL}};

static const struct fact facts[] = {
	[DKIM] = {"dkim", TYPE_CHOICE, STAGE_MESSAGE, FACT_ASSURES | FACT_ASKS, results,
		"the best result of all DKIM signatures (RFC 6376)"},
	[DKIM_DOMAINS] = {"dkim.domains", TYPE_DOMAIN, STAGE_MESSAGE,
		FACT_MANY | FACT_ASSURES | FACT_ASKS, NULL,
		"domains with a DKIM signature that passes"},
	[DKIM_RESULTS] = {"dkim.results", TYPE_TEXT, STAGE_MESSAGE,
		FACT_MANY | FACT_IN_TEXTS | FACT_ASKS, NULL,
		"each DKIM signature: its domain, selector and result"},
	[DKIM_AUTHRES] = {"dkim.authres", TYPE_TEXT, STAGE_MESSAGE,
		FACT_MANY | FACT_IN_TEXTS | FACT_AUTHRES | FACT_ASKS, NULL,
		"what Authentication-Results says of each DKIM signature"},
	{.name = NULL},
};

/* Which of two results is the better one. */
static const unsigned ranks[] = {
	[DKIM_IS_NONE] = 0,
	[DKIM_IS_PERMERROR] = 1,
	[DKIM_IS_FAIL] = 2,
	[DKIM_IS_TEMPERROR] = 3,
	[DKIM_IS_POLICY] = 4,
	[DKIM_IS_PASS] = 5,
};

/* --- what was found --- */

static void add_text(struct call *call, struct buffer *text, bool fits)
{
	if (!fits) {
		/* What has found room is a resinfo all the same. */
	}
	call_add_text(call, DKIM_AUTHRES, buffer_span(text));
	buffer_clear(text);
}

static struct span key_comment(const struct dkim_signature *signature, struct arena *arena)
{
	if (!signature->key_bits)
		return SPAN_NONE;
	return span_text(arena_print(arena, "%u-bit key%s", (unsigned)signature->key_bits,
		signature->testing ? ", testing" : ""));
}

/* header.b tells signatures of one domain apart (RFC 6008). */
static void add_signature(
	struct call *call, const struct dkim_signature *signature, struct buffer *text)
{
	bool fits =
		authres_add(text, "dkim", dkim_code_name(signature->code), signature->problem) &&
		authres_comment(text, key_comment(signature, call_arena(call))) &&
		authres_property(text, "header", "d", signature->domain) &&
		authres_property(text, "header", "i", signature->identity) &&
		authres_property(text, "header", "s", signature->selector) &&
		authres_property(text, "header", "a", signature->algorithm) &&
		authres_last_property(text, "header", "b", signature->start);

	add_text(call, text, fits);
}

static void add_domain(struct call *call, const struct dkim_result *result, size_t number)
{
	struct span domain = result->signatures[number].domain;

	if (result->signatures[number].code != DKIM_IS_PASS)
		return;
	for (size_t i = 0; i < number; i++)
		if (result->signatures[i].code == DKIM_IS_PASS &&
			span_equal_nocase(result->signatures[i].domain, domain))
			return;
	call_add_text(call, DKIM_DOMAINS, domain);
}

/* Words with blanks between; what a signature does not say is "-". */
static void add_result(struct call *call, const struct dkim_signature *signature)
{
	struct span domain = signature->domain.len ? signature->domain : SPAN("-");
	struct span selector = signature->selector.len ? signature->selector : SPAN("-");

	call_add_text(call, DKIM_RESULTS,
		span_text(arena_print(call_arena(call), "%.*s %.*s %s", SPAN_ARGS(domain),
			SPAN_ARGS(selector), dkim_code_name(signature->code))));
}

static void conclude(struct call *call, const struct dkim_result *result)
{
	struct buffer text = BUFFER_INIT(AUTHRES_MAX);
	enum dkim_code best = DKIM_IS_NONE;

	for (size_t i = 0; i < result->n; i++) {
		if (ranks[result->signatures[i].code] > ranks[best])
			best = result->signatures[i].code;
		add_domain(call, result, i);
		add_result(call, &result->signatures[i]);
		add_signature(call, &result->signatures[i], &text);
	}
	if (result->n_more)
		add_text(call, &text,
			authres_add(&text, "dkim", "policy",
				SPAN("there are more signatures than are looked at")));
	call_settle(call, DKIM_DOMAINS);
	call_settle(call, DKIM_RESULTS);
	call_settle(call, DKIM_AUTHRES);
	call_add_choice(call, DKIM, best);
	buffer_free(&text);
}

/* Without a look at any signature. */
static void conclude_as(struct call *call, enum dkim_code code, const char *problem)
{
	struct buffer text = BUFFER_INIT(AUTHRES_MAX);

	add_text(call, &text, authres_add(&text, "dkim", dkim_code_name(code), span_text(problem)));
	if (code != DKIM_IS_TEMPERROR) { /* then there may be some */
		call_settle(call, DKIM_DOMAINS);
		call_settle(call, DKIM_RESULTS);
	}
	call_settle(call, DKIM_AUTHRES);
	call_add_choice(call, DKIM, code);
	buffer_free(&text);
}

static void nothing(struct call *call)
{
	conclude_as(call, DKIM_IS_NONE, NULL);
}

static bool answered(struct call *call, struct span bytes)
{
	struct dkim_result result;

	if (!dkim_result_read(bytes, call_arena(call), &result))
		return false;
	conclude(call, &result);
	return true;
}

static void broken(struct call *call)
{
	conclude_as(call, DKIM_IS_PERMERROR, "the signatures can't be evaluated");
}

static void expired(struct call *call)
{
	conclude_as(call, DKIM_IS_TEMPERROR, "no answer in time");
}

/* --- keys --- */

static void ask_key(struct verify_task *task, const struct header_field *signature)
{
	struct arena *arena = call_arena(task->verify->call);
	struct span domain, selector;
	struct tag_list tags;

	if (!tag_list_read(signature->body, &tags))
		return;
	domain = tag_list_find(&tags, SPAN("d"));
	selector = tag_list_find(&tags, SPAN("s"));
	if (domain_valid(domain, false) && domain_valid(selector, false))
		verify_ask(task,
			span_text(arena_print(arena, "%.*s._domainkey.%.*s", SPAN_ARGS(selector),
				SPAN_ARGS(domain))),
			ANSWER_TXT);
}

static void ask_keys(struct verify_task *task)
{
	struct span section = task->authn.request;
	struct header_field field;
	size_t n = 0;

	while (n < DKIM_SIGNATURES_MAX && header_next(&section, &field)) {
		if (!header_is(&field, SPAN("dkim-signature")))
			continue;
		n++;
		ask_key(task, &field);
	}
}

/* --- its life --- */

static enum call_status run(struct call *call)
{
	static const struct span fields[] = {SPAN("dkim-signature"), SPAN_NONE};
	static const struct verify_method method = {.kind = AUTHN_DKIM,
		.fields = fields,
		.nothing = nothing,
		.asks = ask_keys,
		.answered = answered,
		.broken = broken};

	return verify_message_run(call, &method);
}

const struct filter filter_dkim = {.version = FILTER_VERSION,
	.name = "dkim",
	.facts = facts,
	.run = run,
	.feed = verify_message_feed,
	.cancel = verify_cancel,
	.expired = expired,
	.all_at_once = true};
