/*
 * reputation: how those behaved so far from whom a message comes: the client's network, and domains
 * that are proved to be the sender's; nothing is said of names that anybody can write. Who counts
 * what as good and bad: proxy/session/consequences.h.
 *
 * Of a network of which little is known that of its AS speaks, half as loud.
 */
#include "filters/filter.h"
#include "filters/recall.h"
#include "lib/authn/result.h"
#include "lib/mail/dmarc.h"
#include "lib/base/fail.h"
#include "lib/store/reputation.h"

enum { CLIENT, MAIL, FROM };

static const double AS_SHARE = 0.5;

static const struct fact facts[] = {
	[CLIENT] = {"client.reputation", TYPE_NUMBER, STAGE_CONNECT, FACT_ASKS, NULL,
		"how the client's network behaved so far, from -1 to 1"},
	[MAIL] = {"mail.reputation", TYPE_NUMBER, STAGE_MAIL, FACT_ASKS, NULL,
		"how the envelope sender's domain behaved so far, from -1 to 1; none unless SPF "
		"passes"},
	[FROM] = {"from.reputation", TYPE_NUMBER, STAGE_MESSAGE, FACT_ASKS, NULL,
		"how the domain in From behaved so far, from -1 to 1; none unless DMARC passes"},
	{.name = NULL},
};

static const struct filter_option options[] = {RECALL_OPTION, {.name = NULL}};

static const char *const after[] = {
	"client.asn", "spf", "spf.domain", "dmarc", "from.domain", NULL};

/* What is asked. */
struct look {
	unsigned fact;
	unsigned n; /* keys */
};

/* NULL: none, or it can't be known, which `why` says. */
static const union fact_datum *datum_of(const struct call *call, const char *name, const char **why)
{
	const struct fact_value *value = call_other(call, name);

	if (value && value->state == FACT_FAILED && why)
		*why = value->why ? value->why : "unknown";
	return value && value->state == FACT_KNOWN && value->count ? &value->items[0] : NULL;
}

static enum call_status told(struct call *call, void *context, struct span answer)
{
	const struct look *q = context;
	struct reputation counts, as;
	double prior = 0;

	if (!reputation_read(&answer, &counts) || (q->n > 1 && !reputation_read(&answer, &as))) {
		call_fail_all(call, "the store could not tell");
		return CALL_DONE;
	}
	if (q->n > 1)
		prior = AS_SHARE * reputation_value(&as, 0);
	call_add_number(call, q->fact, reputation_value(&counts, prior));
	return CALL_DONE;
}

static enum call_status ask(struct call *call, unsigned fact, unsigned n, struct buffer *keys)
{
	struct look *q = call_memory(call, sizeof(*q));
	struct span part = buffer_span(keys);
	enum call_status status;

	*q = (struct look){fact, n};
	status = recall(call, STORE_REP_LOOK, &part, 1, told, q);
	buffer_free(keys);
	return status;
}

static enum call_status run_client(struct call *call)
{
	struct buffer keys = BUFFER_INIT(STORE_BODY_MAX);
	const union fact_datum *asn = datum_of(call, "client.asn", NULL);
	const struct ip *client = &call_view(call)->client.ip;

	if (client->family == IP_NONE)
		return CALL_DONE;
	ENSURE(reputation_key_of_client(client, &keys));
	if (asn)
		ENSURE(buffer_add_text(&keys, "\n") &&
			reputation_key_of_asn((uint64_t)asn->number, &keys));
	return ask(call, CLIENT, asn ? 2 : 1, &keys);
}

/* Of a domain that a result proves; none unless it passes. */
static enum call_status run_domain(struct call *call, unsigned fact, const char *result,
	unsigned pass, const char *domain_fact)
{
	struct buffer keys = BUFFER_INIT(STORE_KEY_MAX);
	const union fact_datum *proof, *domain;
	const char *why = NULL;

	proof = datum_of(call, result, &why);
	domain = datum_of(call, domain_fact, &why);
	if (why) {
		call_fail(call, fact, why);
		return CALL_DONE;
	}
	if (!proof || proof->choice != pass || !domain)
		return CALL_DONE;
	if (reputation_key_of_domain(domain->text, &keys))
		return ask(call, fact, 1, &keys);
	buffer_free(&keys);
	return CALL_DONE;
}

static enum call_status run(struct call *call)
{
	if (call_wants(call, CLIENT))
		return run_client(call);
	if (call_wants(call, MAIL))
		return run_domain(call, MAIL, "spf", SPF_IS_PASS, "spf.domain");
	return run_domain(call, FROM, "dmarc", DMARC_IS_PASS, "from.domain");
}

const struct filter filter_reputation = {.version = FILTER_VERSION,
	.name = "reputation",
	.facts = facts,
	.options = options,
	.after = after,
	.run = run,
	.cancel = recall_cancel};
