/*
 * arc: the chain of those who handled the message before (RFC 8617): whether it holds, who sealed
 * it, and what the last one of them had found out. Trusting a sealer is a rule's business:
 *
 *     unless arc == pass and any arc.sealers in @trusted
 *
 * The chain is verified in a process of their own (lib/authn/authn.h) while the body comes in.
 * Trouble in DNS, no answer in time and a chain that can't be evaluated are all fail: the sender
 * could bring any of them about, and a fact that fails would have the rule above skipped, which
 * would open the door that it keeps. Only where no process is left are the facts failed lookups.
 */
#include "filters/filter.h"
#include "filters/verify_message.h"
#include "lib/mail/authres_read.h"
#include "lib/mail/authres_write.h"

enum { ARC, ARC_SEALERS, ARC_SPF, ARC_DKIM, ARC_DMARC, ARC_AUTHRES };

static const struct fact_choice results[] = {[ARC_IS_NONE] = {"none", NULL},
	[ARC_IS_PASS] = {"pass", NULL},
	[ARC_IS_FAIL] = {"fail", NULL},
	{NULL, NULL}};
static const struct fact_choice spf_results[] = {
#define X(name, word) {word, NULL},
	SPF_CODES(X)
#undef X
		{NULL, NULL}};
static const struct fact_choice dkim_results[] = {
#define X(name, word) {word, NULL},
	DKIM_CODES(X)
#undef X
		{NULL, NULL}};
static const struct fact_choice dmarc_results[] = {{"none", NULL}, {"pass", NULL}, {"fail", NULL},
	{"temperror", NULL}, {"permerror", NULL}, {NULL, NULL}};

static const struct fact facts[] = {
	[ARC] = {"arc", TYPE_CHOICE, STAGE_MESSAGE, FACT_ASSURES | FACT_ASKS, results,
		"whether the ARC chain is valid (RFC 8617)"},
	[ARC_SEALERS] = {"arc.sealers", TYPE_DOMAIN, STAGE_MESSAGE, FACT_MANY | FACT_ASKS, NULL,
		"domains that sealed the message as it is; none unless the ARC chain is valid"},
	[ARC_SPF] = {"arc.spf", TYPE_CHOICE, STAGE_MESSAGE, FACT_ASKS, spf_results,
		"SPF as the last ARC sealer saw it"},
	[ARC_DKIM] = {"arc.dkim", TYPE_CHOICE, STAGE_MESSAGE, FACT_ASKS, dkim_results,
		"DKIM as the last ARC sealer saw it"},
	[ARC_DMARC] = {"arc.dmarc", TYPE_CHOICE, STAGE_MESSAGE, FACT_ASKS, dmarc_results,
		"DMARC as the last ARC sealer saw it"},
	[ARC_AUTHRES] = {"arc.authres", TYPE_TEXT, STAGE_MESSAGE,
		FACT_MANY | FACT_IN_TEXTS | FACT_AUTHRES | FACT_ASKS, NULL,
		"what Authentication-Results says of the ARC chain"},
	{.name = NULL},
};

/* --- what was found --- */

/* The two properties are RFC 8617's (10.2); an address last, since IPv6 is quoted. */
static bool write_authres(
	const struct call *call, const struct arc_result *result, struct buffer *text)
{
	char oldest[16], ip[IP_TEXT_SIZE];

	if (!authres_add(text, "arc", arc_code_name(result->code), result->problem))
		return false;
	if (result->code != ARC_IS_PASS)
		return true;
	snprintf(oldest, sizeof(oldest), "%u", (unsigned)result->oldest_pass);
	if (!authres_property(text, "header", "oldest-pass", span_text(oldest)))
		return false;
	if (call_view(call)->client.ip.family == IP_NONE)
		return true;
	return authres_last_property(
		text, "smtp", "remote-ip", span_text(ip_format(&call_view(call)->client.ip, ip)));
}

static void add_authres(struct call *call, const struct arc_result *result)
{
	struct buffer text = BUFFER_INIT(AUTHRES_MAX);

	if (write_authres(call, result, &text))
		call_add_text(call, ARC_AUTHRES, buffer_span(&text));
	call_settle(call, ARC_AUTHRES);
	buffer_free(&text);
}

/* A word that is none of the fact's choices is none. */
static void add_method(
	struct call *call, unsigned fact, struct span sealers_results, const char *method)
{
	const struct fact_choice *choices = facts[fact].choices;
	struct span word = authres_result(sealers_results, span_text(method));

	for (unsigned i = 0; choices[i].word; i++)
		if (span_equal_nocase(word, span_text(choices[i].word)))
			call_add_choice(call, fact, i);
}

/* Those who sealed the message as it is now: since the oldest of their signatures that still holds.
 * Who was before them sealed another message, and whoever took that one and wrote what he likes
 * into it could seal it once more: the chain is valid, and must not have the trust that the first
 * one has. */
static void add_sealers(struct call *call, const struct arc_result *result)
{
	size_t first = result->oldest_pass ? result->oldest_pass - 1 : 0;

	for (size_t i = first; i < result->n_sealers; i++) {
		bool known = false;

		for (size_t j = first; j < i && !known; j++)
			known = span_equal_nocase(result->sealers[i], result->sealers[j]);
		if (!known)
			call_add_text(call, ARC_SEALERS, result->sealers[i]);
	}
}

static void conclude(struct call *call, const struct arc_result *result)
{
	add_authres(call, result);
	if (result->code == ARC_IS_PASS) {
		add_sealers(call, result);
		add_method(call, ARC_SPF, result->results, "spf");
		add_method(call, ARC_DKIM, result->results, "dkim");
		add_method(call, ARC_DMARC, result->results, "dmarc");
	}
	call_settle(call, ARC_SEALERS);
	call_settle(call, ARC_SPF);
	call_settle(call, ARC_DKIM);
	call_settle(call, ARC_DMARC);
	call_add_choice(call, ARC, result->code);
}

static void conclude_as(struct call *call, enum arc_code code, const char *problem)
{
	struct arc_result result = {.code = code, .problem = span_text(problem)};

	conclude(call, &result);
}

static void nothing(struct call *call)
{
	conclude_as(call, ARC_IS_NONE, NULL);
}

static bool answered(struct call *call, struct span bytes)
{
	struct arc_result result;

	if (!arc_result_read(bytes, call_arena(call), &result))
		return false;
	conclude(call, &result);
	return true;
}

static void broken(struct call *call)
{
	conclude_as(call, ARC_IS_FAIL, "the chain can't be evaluated");
}

static void expired(struct call *call)
{
	conclude_as(call, ARC_IS_FAIL, "no answer in time");
}

static enum call_status run(struct call *call)
{
	static const struct span fields[] = {SPAN("arc-seal"), SPAN("arc-message-signature"),
		SPAN("arc-authentication-results"), SPAN_NONE};
	static const struct verify_method method = {.kind = AUTHN_ARC,
		.fields = fields,
		.nothing = nothing,
		.answered = answered,
		.broken = broken};

	return verify_message_run(call, &method);
}

const struct filter filter_arc = {.version = FILTER_VERSION,
	.name = "arc",
	.facts = facts,
	.run = run,
	.feed = verify_message_feed,
	.cancel = verify_cancel,
	.expired = expired,
	.all_at_once = true};
