/*
 * "disposition" is what was done as far as DMARC is concerned (RFC 9990, "policy_evaluated"), not
 * what became of the message: one that passes DMARC and is refused for a virus counts as a pass,
 * and one that a backend refuses does not count as refused. The rules need not do what the policy
 * asks for; then a reason says so.
 */
#include "proxy/session/dmarc_row.h"

#include <string.h>

#include "lib/mail/tag_list.h"
#include "lib/store/store.h"
#include "proxy/session/session.h"

const char *const dmarc_row_facts[] = {"dmarc", "dmarc.policy", "dmarc.domain", "dmarc.record",
	"dmarc.spf_aligned", "dmarc.dkim_aligned", "from.domain", "spf", "spf.domain",
	"dkim.results", NULL};

/* --- facts --- */

static const struct fact_value *find(
	const struct dmarc_row_source *source, const char *name, const struct fact **fact)
{
	const struct fact_value *value = source->fact(source->context, name, fact);

	return value && value->state == FACT_KNOWN && value->count ? value : NULL;
}

/* The word of a choice; "" when there is none. */
static const char *word_of(const struct dmarc_row_source *source, const char *name)
{
	const struct fact *fact;
	const struct fact_value *value = find(source, name, &fact);

	return value && fact->type == TYPE_CHOICE ? fact->choices[value->items[0].choice].word : "";
}

static struct span text_of(const struct dmarc_row_source *source, const char *name)
{
	const struct fact *fact;
	const struct fact_value *value = find(source, name, &fact);

	if (!value || (fact->type != TYPE_TEXT && fact->type != TYPE_DOMAIN))
		return SPAN_NONE;
	return value->items[0].text;
}

/* false: it is not known. */
static bool flag_of(const struct dmarc_row_source *source, const char *name, bool *out)
{
	const struct fact *fact;
	const struct fact_value *value = find(source, name, &fact);

	if (!value || fact->type != TYPE_BOOL)
		return false;
	*out = value->items[0].yes;
	return true;
}

/* --- what was done --- */

/* What the record would ask for if it were not on trial (t=y). */
static bool asks_for_nothing(
	struct span record, struct span policy_domain, struct span header_from, bool *testing)
{
	struct tag_list tags;
	struct span policy;

	*testing = false;
	if (!tag_list_read(record, &tags))
		return true;
	*testing = span_equal_nocase(tag_list_find(&tags, SPAN("t")), SPAN("y"));
	policy = span_equal_nocase(policy_domain, header_from) ? SPAN_NONE
							       : tag_list_find(&tags, SPAN("sp"));
	if (policy.len == 0)
		policy = tag_list_find(&tags, SPAN("p"));
	return policy.len == 0 || span_equal_nocase(policy, SPAN("none"));
}

/* Of a message that fails. */
static void note_reason(struct dmarc_results *out, const char *asked)
{
	static const char *const words[] = {[DMARC_DONE_NONE] = "none",
		[DMARC_DONE_PASS] = "none",
		[DMARC_DONE_QUARANTINE] = "quarantine",
		[DMARC_DONE_REJECT] = "reject"};
	bool testing;

	if (strcmp(words[out->disposition], asked) != 0)
		out->reason = "local_policy";
	else if (!asks_for_nothing(out->record, out->policy_domain, out->header_from, &testing) &&
		 testing)
		out->reason = "policy_test_mode"; /* `asked` is one step milder for it */
}

/* false: the message comes again, and will count then; or nobody knows what was asked for. */
static bool note_disposition(
	const struct dmarc_row_source *source, struct dmarc_results *out, bool passes)
{
	const char *asked = word_of(source, "dmarc.policy");

	if (source->sternness == STERN_DEFER || !asked[0])
		return false;
	if (passes) {
		out->disposition = strcmp(asked, "none") == 0 ? DMARC_DONE_NONE : DMARC_DONE_PASS;
		return true;
	}
	out->disposition = source->sternness == STERN_ACCEPT       ? DMARC_DONE_NONE
			   : source->sternness == STERN_QUARANTINE ? DMARC_DONE_QUARANTINE
								   : DMARC_DONE_REJECT;
	note_reason(out, asked);
	return true;
}

/* --- what was found --- */

/* RFC 9990, "DKIM Signatures in Aggregate Reports": those of the domain in From that pass come
 * first, then others that pass. */
static unsigned rank_of(const struct dmarc_signature_result *s, struct span header_from)
{
	if (!span_equal_nocase(s->result, SPAN("pass")))
		return 2;
	return span_equal_nocase(s->domain, header_from) ? 0 : 1;
}

/* "domain selector result", one for each signature. */
static void note_signatures(const struct dmarc_row_source *source, struct dmarc_results *out)
{
	const struct fact *fact;
	const struct fact_value *value = find(source, "dkim.results", &fact);
	uint32_t count = value && fact->type == TYPE_TEXT ? value->count : 0;

	for (unsigned rank = 0; rank <= 2; rank++) {
		for (uint32_t i = 0; i < count; i++) {
			struct span rest = value->items[i].text;
			struct dmarc_signature_result s;

			s.domain = span_word(&rest);
			s.selector = span_word(&rest);
			s.result = span_word(&rest);
			if (s.result.len && rank_of(&s, out->header_from) == rank &&
				out->n_signatures < DMARC_SIGNATURES_MAX)
				out->signatures[out->n_signatures++] = s;
		}
	}
}

static void note_spf(const struct dmarc_row_source *source, struct dmarc_results *out)
{
	out->spf_domain = text_of(source, "spf.domain");
	out->spf_result = span_text(word_of(source, "spf"));
	/* Also of the null reverse-path, which stands for postmaster at the HELO name (RFC 7208
	 * 2.4). */
	out->spf_scope = SPAN("mfrom");
}

bool dmarc_row_fill(const struct dmarc_row_source *source, struct dmarc_results *out)
{
	const char *result = word_of(source, "dmarc");
	bool passes = strcmp(result, "pass") == 0;

	*out = (struct dmarc_results){.source = source->client,
		.policy_domain = text_of(source, "dmarc.domain"),
		.record = text_of(source, "dmarc.record"),
		.header_from = text_of(source, "from.domain"),
		.envelope_from = source->envelope_from};
	if (!passes && strcmp(result, "fail") != 0)
		return false;
	if (!out->policy_domain.len || !out->record.len || !out->header_from.len ||
		!flag_of(source, "dmarc.spf_aligned", &out->spf_aligned) ||
		!flag_of(source, "dmarc.dkim_aligned", &out->dkim_aligned) ||
		!note_disposition(source, out, passes))
		return false;
	note_spf(source, out);
	note_signatures(source, out);
	return true;
}

/* --- of a transaction --- */

static const struct fact_value *fact_of_session(
	const void *context, const char *name, const struct fact **fact)
{
	return judge_fact(context, name, fact);
}

/* The cohort that the verdict is of; NULL: nothing was made of the message. */
static const struct cohort *decided(const struct transaction *t, const char *verdict)
{
	static const char *const told[] = {"accept", "reject", "quarantine", "discard"};
	const struct cohort *c = t->cohorts;

	while (c && !(c->verdict && strcmp(c->verdict, verdict) == 0))
		c = c->next;
	for (size_t i = 0; i < COUNT_OF(told); i++)
		if (c && strcmp(verdict, told[i]) == 0)
			return c;
	return NULL;
}

void dmarc_row_tell(const struct transaction *t, const char *verdict)
{
	const struct session *s = t->session;
	const struct cohort *c = s->worker->store ? decided(t, verdict) : NULL;
	struct dmarc_results results;

	if (!c)
		return;
	if (dmarc_row_fill(&(struct dmarc_row_source){.fact = fact_of_session,
				   .context = s,
				   .client = s->client.remote.ip,
				   .envelope_from = t->envelope.from.domain,
				   .sternness = outcome_sternness(&c->outcome)},
		    &results))
		dmarc_results_tell(s->worker->store, &results);
}
