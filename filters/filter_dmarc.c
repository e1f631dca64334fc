/*
 * dmarc: whether the domain in From stands behind the message (RFC 9989), by what SPF and DKIM have
 * found. The policy is looked for when the header is there, so that its answers are at hand when
 * the signatures are known; mail.dmarc_policy is the same for the envelope sender, before a byte of
 * the message has come.
 *
 * Of several domains in From each is judged (RFC 9989 11.5): none of them may be forged, so one
 * that fails is a failure, and a pass takes all of them. That no domain is there is "none", as RFC
 * 7489 11.2 names it. Of a name that DNS can't know ("*.bank.example") the part that it can know is
 * judged, since that is what people see. Where something can't be judged, since there are too many
 * domains or nothing of the name could be one, the others may still fail; else it is a permerror,
 * never less: whoever writes From must not choose not to be judged.
 *
 * A lookup that failed makes a temperror only where it could have passed: who forges a domain also
 * chooses the envelope sender and signs as he likes, and must not get away because his own DNS is
 * broken. So SPF's trouble counts for the envelope sender's domain, and DKIM's for the domains that
 * the signatures name.
 */
#include <libpsl.h>
#include <stdlib.h>

#include "filters/filter.h"
#include "filters/question.h"
#include "lib/authn/result.h"
#include "lib/base/fail.h"
#include "lib/mail/dmarc.h"
#include "lib/mail/header.h"
#include "lib/mail/mime_words.h"
#include "lib/mail/tag_list.h"
#include "lib/mail/url.h"

enum { MAIL_POLICY, DMARC, POLICY, DOMAIN, RECORD, SPF_ALIGNED, DKIM_ALIGNED, AUTHRES };
enum { OPTION_ORGANIZATIONAL, OPTION_PSL_FILE };

enum {
	FROM_MAX = 4,
	FROM_FIELDS_MAX = 8,                         /* there is one (RFC 5322 3.6) */
	IDENTITIES_MAX = 1 + 2 * DKIM_SIGNATURES_MAX /* SPF, signatures that pass, and others */
};

static const struct fact_choice policies[] = {
#define X(name, word) [DMARC_##name] = {word, NULL},
	DMARC_POLICIES(X)
#undef X
		{NULL, NULL}};
static const struct fact_choice codes[] = {
#define X(name, word) [DMARC_IS_##name] = {word, NULL},
	DMARC_CODES(X)
#undef X
		{NULL, NULL}};

static const struct fact facts[] = {
	[MAIL_POLICY] = {"mail.dmarc_policy", TYPE_CHOICE, STAGE_MAIL, FACT_ASKS, policies,
		"the DMARC policy of the envelope sender's domain"},
	[DMARC] = {"dmarc", TYPE_CHOICE, STAGE_MESSAGE, FACT_ASKS | FACT_ASSURES, codes,
		"whether the domain in From stands behind the message (RFC 9989)"},
	[POLICY] = {"dmarc.policy", TYPE_CHOICE, STAGE_HEADER, FACT_ASKS, policies,
		"what the domain in From asks for when DMARC fails"},
	[DOMAIN] = {"dmarc.domain", TYPE_DOMAIN, STAGE_HEADER, FACT_ASKS, NULL,
		"the domain whose DMARC record that is"},
	[RECORD] = {"dmarc.record", TYPE_TEXT, STAGE_HEADER, FACT_ASKS | FACT_IN_TEXTS, NULL,
		"the DMARC record that applies"},
	[SPF_ALIGNED] = {"dmarc.spf_aligned", TYPE_BOOL, STAGE_MESSAGE, FACT_ASKS, NULL,
		"SPF passes for the domain in From; none without a DMARC record"},
	[DKIM_ALIGNED] = {"dmarc.dkim_aligned", TYPE_BOOL, STAGE_MESSAGE, FACT_ASKS, NULL,
		"a signature of the domain in From passes; none without a DMARC record"},
	[AUTHRES] = {"dmarc.authres", TYPE_TEXT, STAGE_MESSAGE,
		FACT_ASKS | FACT_MANY | FACT_IN_TEXTS | FACT_AUTHRES, NULL,
		"what stands of DMARC in Authentication-Results"},
	{.name = NULL},
};

static const struct filter_option options[] = {
	[OPTION_ORGANIZATIONAL] = {"organizational", FILTER_CHOICE, "tree or psl", 0, 0,
		"how organizations are told apart: by DNS (RFC 9989 4.10) or by a list of public "
		"suffixes (RFC 7489 3.2)"},
	[OPTION_PSL_FILE] = {"psl_file", FILTER_PATH,
		"/usr/share/publicsuffix/public_suffix_list.dafsa", 0, 0,
		"that list, from Debian's package publicsuffix; for `organizational psl`"},
	{.name = NULL},
};

static const char *const after[] = {"from.domain", "spf", "spf.domain", "dkim", "dkim.domains",
	"dkim.results", "dmarc.policy", NULL};

/* Of a worker. */
struct home {
	const struct charsets *charsets; /* borrowed */
	psl_ctx_t *suffixes;             /* owned; NULL: the tree walk */
};

/* Of a call. */
struct job {
	struct call *call;
	struct dmarc *dmarc;
	struct questions *questions;
	/* Records what is known by now. */
	void (*conclude)(struct job *job);
	bool asking; /* answers from the cache come while wishes are asked for */
	const char *why;
	struct dmarc_domain *from[FROM_MAX];
	size_t n_from;
	const char *unjudged; /* why something in From can't be judged; NULL: all can */
	struct dmarc_identity identities[IDENTITIES_MAX];
	size_t n_identities;
};

/* --- of a worker --- */

static bool open_filter(struct filter_home *home, struct err *err)
{
	struct home *state = memory_zeroed(sizeof(*state));
	const char *path = filter_text(home, OPTION_PSL_FILE);

	state->charsets = filter_charsets(home);
	if (strcmp(filter_text(home, OPTION_ORGANIZATIONAL), "psl") == 0) {
		state->suffixes = psl_load_file(path);
		if (!state->suffixes) {
			free(state);
			return err_set(err, "filter dmarc: %s is no list of public suffixes", path);
		}
	}
	home->state = state;
	return true;
}

static void close_filter(struct filter_home *home)
{
	struct home *state = home->state;

	psl_free(state->suffixes);
	free(state);
	home->state = NULL;
}

/* A public suffix belongs to itself. */
static struct span organizational(void *context, struct span domain)
{
	const char *found = psl_registrable_domain(context, domain.at);

	return found ? span_text(found) : domain;
}

/* --- a call --- */

static struct job *new_job(struct call *call, void (*conclude)(struct job *job))
{
	const struct home *home = call_home(call)->state;
	struct job *job = call_memory(call, sizeof(*job));

	job->call = call;
	job->conclude = conclude;
	job->dmarc = home->suffixes ? dmarc_new(call_arena(call), organizational, home->suffixes)
				    : dmarc_new(call_arena(call), NULL, NULL);
	return job;
}

static bool ask_wishes(struct job *job)
{
	const struct dmarc_wish *wish;
	bool some = false;

	job->asking = true;
	for (; (wish = dmarc_wish(job->dmarc)); some = true)
		question_ask(job->questions, wish->name, wish->existence ? DNS_A : DNS_TXT,
			wish->number);
	job->asking = false;
	return some;
}

static void go_on(struct job *job)
{
	do
		job->conclude(job);
	while (ask_wishes(job));
}

static enum dmarc_answer answer_of(const struct question *question)
{
	switch (question->query.outcome) {
	case DNS_FOUND:
		return DMARC_TEXTS;
	case DNS_NODATA:
		return DMARC_NO_TEXT;
	case DNS_NXDOMAIN:
		return DMARC_NO_NAME;
	case DNS_PENDING:
	case DNS_FAILED:
	case DNS_TIMEOUT:
	case DNS_BOGUS:
	case DNS_CANCELLED:
		break;
	}
	return DMARC_TROUBLE;
}

static void on_answer(struct question *question)
{
	struct job *job = question->all->context;
	struct span texts[DNS_RECORDS_MAX];
	size_t n = question->query.n_records;

	if (question_failed(question))
		job->why = question_why(question);
	for (size_t i = 0; i < n; i++)
		texts[i] = question->query.records[i].text;
	dmarc_answer(job->dmarc, question->tag, answer_of(question), texts, n);
	if (!job->asking)
		go_on(job);
}

static enum call_status start(struct job *job, void (*ended)(struct questions *all))
{
	job->questions = questions_new(job->call, on_answer, ended);
	job->questions->context = job;
	go_on(job);
	return questions_wait(job->questions);
}

/* --- domains --- */

/* U-labels as A-labels; a name that can't be one stays as it is, and is no domain then. */
static struct dmarc_domain *domain_of(struct job *job, struct span name)
{
	return dmarc_domain(job->dmarc, question_name(job->call, name));
}

static struct span without_label(struct span name)
{
	return span_from(name, span_find_char(name, '.') + 1);
}

/* The longest end of a name that DNS can know of; NULL: there is none. */
static struct dmarc_domain *domain_in(struct job *job, struct span name)
{
	struct dmarc_domain *domain = domain_of(job, name);

	if (!domain && name.len > DNS_NAME_MAX)
		name = span_from(name, name.len - DNS_NAME_MAX);
	while (!domain && name.len) {
		name = without_label(name);
		domain = domain_of(job, name);
	}
	return domain;
}

/* An address literal is nobody's domain. */
static void add_from(struct job *job, struct span name)
{
	struct dmarc_domain *domain;
	struct ip ip;

	if (!name.len || literal_valid(name, &ip))
		return;
	domain = domain_in(job, name);
	for (size_t i = 0; i < job->n_from; i++)
		if (job->from[i] == domain)
			return;
	if (!domain)
		job->unjudged = "no domain could have this name";
	else if (job->n_from == FROM_MAX)
		job->unjudged = "too many domains in From";
	else
		job->from[job->n_from++] = domain;
}

/* The one value of another's fact; NULL: there is none. */
static const union fact_datum *datum_of(const struct call *call, const char *fact)
{
	const struct fact_value *value = call_other(call, fact);

	return value && value->state == FACT_KNOWN && value->count ? &value->items[0] : NULL;
}

static bool has_failed(const struct call *call, const char *fact)
{
	const struct fact_value *value = call_other(call, fact);

	return value && value->state == FACT_FAILED;
}

/* Of "a@one.example@two.example" some programs show the one, some the other. */
static void add_mailbox(struct job *job, const struct mime_mailbox *mailbox)
{
	struct span rest = mailbox->address;

	add_from(job, mailbox->domain);
	if (rest.len && rest.at[0] == '"') { /* a quoted local part */
		rest = span_from(rest, 1);
		rest = span_from(rest, span_find_char(rest, '"'));
	}
	for (unsigned n = 0; n < FROM_MAX && span_find_char(rest, '@') < rest.len; n++) {
		rest = span_from(rest, span_find_char(rest, '@') + 1);
		add_from(job, span_first(rest, span_find_char(rest, '@')));
	}
}

static void add_field(struct job *job, struct span body)
{
	const struct home *home = call_home(job->call)->state;
	struct mime_mailboxes mailboxes;

	mailboxes_parse(home->charsets, body, call_arena(job->call), &mailboxes);
	for (size_t i = 0; i < mailboxes.kept; i++)
		add_mailbox(job, &mailboxes.items[i]);
	if (mailboxes.count > mailboxes.kept || body.len > MIME_FIELD_MAX)
		job->unjudged = "From is too long";
}

/* All domains of all From. */
static void read_from(struct job *job)
{
	struct span section = call_view(job->call)->headers;
	struct header_field field;
	unsigned n = 0;

	while (header_next(&section, &field)) {
		if (!header_is(&field, SPAN("from")))
			continue;
		if (++n > FROM_FIELDS_MAX) {
			job->unjudged = "too many From";
			return;
		}
		add_field(job, field.body);
	}
}

/* from.domain is what the header says, but for `explain` and tests, which may know better. */
static void find_from(struct job *job)
{
	const union fact_datum *domain = datum_of(job->call, "from.domain");

	if (domain)
		add_from(job, domain->text);
	read_from(job);
}

/* --- identities --- */

static void add_identity(struct job *job, struct dmarc_domain *domain, bool by_spf, bool unsure)
{
	for (size_t i = 0; i < job->n_identities; i++)
		if (job->identities[i].domain == domain && job->identities[i].by_spf == by_spf)
			return;
	if (job->n_identities < IDENTITIES_MAX)
		job->identities[job->n_identities++] = (struct dmarc_identity){
			.domain = domain, .by_spf = by_spf, .unsure = unsure};
}

/* RFC 9989 4.4.2: the envelope sender's, or for <> the name that the client gave. */
static struct span spf_domain(struct call *call)
{
	const union fact_datum *domain = datum_of(call, "spf.domain");
	const struct filter_view *view = call_view(call);

	if (domain)
		return domain->text;
	if (!view->from)
		return SPAN_NONE;
	return view->from->mailbox.len ? view->from->domain : view->helo;
}

static void find_spf(struct job *job)
{
	const union fact_datum *spf = datum_of(job->call, "spf");
	bool passes = spf && spf->choice == SPF_IS_PASS;
	bool unsure = has_failed(job->call, "spf") || (spf && spf->choice == SPF_IS_TEMPERROR);
	struct span name = spf_domain(job->call);
	struct dmarc_domain *domain = domain_of(job, name);

	if ((passes && domain) || (unsure && (domain || !name.len)))
		add_identity(job, domain, true, unsure);
}

/* Signatures that could not be judged yet ("domain selector temperror"): one may hold. */
static void find_untold_signers(struct job *job, const struct fact_value *results)
{
	for (uint32_t i = 0; i < results->count; i++) {
		struct span rest = results->items[i].text, name = span_word(&rest);
		struct dmarc_domain *domain;

		span_word(&rest);
		if (!span_equal(span_word(&rest), SPAN("temperror")))
			continue;
		domain = domain_of(job, name);
		if (domain)
			add_identity(job, domain, false, true);
	}
}

/* Nothing is told of any: each domain that signatures name may stand behind the message. */
static void find_unsure_signers(struct job *job)
{
	struct span section = call_view(job->call)->headers;
	struct header_field field;
	struct tag_list tags;
	size_t n = 0;

	if (!section.at)
		add_identity(job, NULL, false, true);
	while (n < DKIM_SIGNATURES_MAX && header_next(&section, &field)) {
		struct dmarc_domain *domain;

		if (!header_is(&field, SPAN("dkim-signature")))
			continue;
		n++;
		if (!tag_list_read(field.body, &tags))
			continue;
		domain = domain_of(job, tag_list_find(&tags, SPAN("d")));
		if (domain)
			add_identity(job, domain, false, true);
	}
}

static void find_dkim(struct job *job)
{
	const struct fact_value *domains = call_other(job->call, "dkim.domains");
	const struct fact_value *results = call_other(job->call, "dkim.results");
	const union fact_datum *dkim = datum_of(job->call, "dkim");

	for (size_t i = 0; domains && domains->state == FACT_KNOWN && i < domains->count &&
			   i < DKIM_SIGNATURES_MAX;
		i++) {
		struct dmarc_domain *domain = domain_of(job, domains->items[i].text);

		if (domain)
			add_identity(job, domain, false, false);
	}
	if (has_failed(job->call, "dkim") || has_failed(job->call, "dkim.domains"))
		find_unsure_signers(job);
	else if (results && results->count)
		find_untold_signers(job, results);
	else if (dkim && dkim->choice == DKIM_IS_TEMPERROR)
		find_unsure_signers(job);
}

/* --- policies --- */

static bool is_sterner(const struct dmarc_found *a, const struct dmarc_found *b)
{
	static const unsigned char order[] = {
		[DMARC_ABSENT] = 0, [DMARC_NONE] = 1, [DMARC_QUARANTINE] = 2, [DMARC_REJECT] = 3};

	return order[a->policy] > order[b->policy];
}

static void record_found(struct call *call, const struct dmarc_found *found)
{
	call_add_choice(call, POLICY, found->policy);
	if (found->record) {
		call_add_text(call, DOMAIN, found->domain);
		call_add_text(call, RECORD, found->record->text);
	}
	call_settle(call, DOMAIN);
	call_settle(call, RECORD);
}

/* The sternest of all in From; the first of equals. */
static void conclude_policy(struct job *job)
{
	struct dmarc_found best = {.policy = DMARC_ABSENT}, found;
	bool open = false;

	for (size_t i = 0; i < job->n_from; i++) {
		enum dmarc_knowledge state = dmarc_find(job->dmarc, job->from[i], &found);

		if (state == DMARC_UNKNOWN || found.policy_state == DMARC_UNKNOWN) {
			call_fail(job->call, POLICY, job->why);
			if (state == DMARC_UNKNOWN) {
				call_fail(job->call, DOMAIN, job->why);
				call_fail(job->call, RECORD, job->why);
			}
		}
		open |= state == DMARC_OPEN || found.policy_state == DMARC_OPEN;
		if (!best.record || is_sterner(&found, &best))
			best = found;
	}
	if (!open)
		record_found(job->call, &best);
}

static enum call_status run_policy(struct call *call)
{
	struct job *job = new_job(call, conclude_policy);

	find_from(job);
	if (job->n_from)
		return start(job, NULL);
	if (datum_of(call, "from.domain"))
		call_add_choice(call, POLICY, DMARC_ABSENT);
	return CALL_DONE;
}

static void conclude_sender(struct job *job)
{
	struct dmarc_found found;
	enum dmarc_knowledge state = dmarc_find(job->dmarc, job->from[0], &found);

	if (state == DMARC_KNOWN)
		state = found.policy_state;
	if (state == DMARC_KNOWN)
		call_add_choice(job->call, MAIL_POLICY, found.policy);
	else if (state == DMARC_UNKNOWN)
		call_fail(job->call, MAIL_POLICY, job->why);
}

static enum call_status run_sender(struct call *call)
{
	const struct address *sender = call_view(call)->from;
	struct job *job;

	if (!sender || !sender->domain.len)
		return CALL_DONE;
	job = new_job(call, conclude_sender);
	add_from(job, sender->domain);
	if (job->n_from)
		return start(job, NULL);
	call_add_choice(call, MAIL_POLICY, DMARC_ABSENT);
	return CALL_DONE;
}

/* --- the verdict --- */

/* What one of several domains does to what was found of others. */
static enum dmarc_code worse(enum dmarc_code a, enum dmarc_code b)
{
	static const enum dmarc_code order[] = {
		DMARC_IS_FAIL, DMARC_IS_PERMERROR, DMARC_IS_TEMPERROR, DMARC_IS_NONE};

	for (size_t i = 0; i < COUNT_OF(order); i++)
		if (a == order[i] || b == order[i])
			return order[i];
	return DMARC_IS_PASS;
}

static enum dmarc_knowledge judge(struct job *job, size_t i, struct dmarc_verdict *out)
{
	*out = (struct dmarc_verdict){.code = DMARC_IS_NONE,
		.found = {.policy = DMARC_ABSENT},
		.spf_state = DMARC_KNOWN,
		.dkim_state = DMARC_KNOWN};
	return dmarc_judge(job->dmarc, job->from[i], job->identities, job->n_identities, out);
}

static void record_aligned(struct job *job, unsigned fact, enum dmarc_knowledge state, bool aligned)
{
	if (state == DMARC_KNOWN)
		call_add_bool(job->call, fact, aligned);
	else if (state == DMARC_UNKNOWN)
		call_fail(job->call, fact, job->why ? job->why : "SPF or DKIM could not tell");
}

static void conclude_verdict(struct job *job)
{
	struct dmarc_verdict best = {.found = {.policy = DMARC_ABSENT}}, verdict;
	enum dmarc_code code = job->unjudged ? DMARC_IS_PERMERROR : DMARC_IS_PASS;
	bool open = false;

	for (size_t i = 0; i < job->n_from; i++) {
		open |= judge(job, i, &verdict) == DMARC_OPEN;
		code = worse(code, verdict.code);
		if (!best.found.record || is_sterner(&verdict.found, &best.found))
			best = verdict;
	}
	if (open)
		return;
	call_add_choice(job->call, DMARC, code);
	if (!best.found.record)
		return;
	record_aligned(job, SPF_ALIGNED, best.spf_state, best.spf);
	record_aligned(job, DKIM_ALIGNED, best.dkim_state, best.dkim);
}

/* "(p=reject sp=none dis=none) "; dis: what the policy asks for. */
static const char *written_policy(struct call *call, const struct dmarc_verdict *verdict)
{
	const struct dmarc_record *record = verdict->found.record;
	const char *sp = "", *dis = "";

	if (!record)
		return "";
	if (record->sp != DMARC_ABSENT)
		sp = arena_print(call_arena(call), " sp=%s", dmarc_policy_name(record->sp));
	if (verdict->code == DMARC_IS_PASS)
		dis = " dis=none";
	else if (verdict->code == DMARC_IS_FAIL && verdict->found.policy_state == DMARC_KNOWN)
		dis = arena_print(
			call_arena(call), " dis=%s", dmarc_policy_name(verdict->found.policy));
	return arena_print(call_arena(call), "(p=%s%s%s) ", dmarc_policy_name(record->p), sp, dis);
}

static void add_reason(struct call *call, enum dmarc_code code, const char *reason)
{
	call_add_text(call, AUTHRES,
		span_text(arena_print(call_arena(call), "dmarc=%s reason=\"%s\"",
			dmarc_code_name(code), reason)));
}

static void record_results(struct questions *all)
{
	struct job *job = all->context;
	struct dmarc_verdict verdict;

	for (size_t i = 0; i < job->n_from; i++) {
		(void)judge(job, i, &verdict);
		/* What passed dmarc_domain needs no quotes (RFC 8601 2.2, RFC 2045 5.1). */
		call_add_text(job->call, AUTHRES,
			span_text(arena_print(call_arena(job->call), "dmarc=%s %sheader.from=%.*s",
				dmarc_code_name(verdict.code), written_policy(job->call, &verdict),
				SPAN_ARGS(dmarc_domain_name(job->from[i])))));
	}
	if (job->unjudged)
		add_reason(job->call, DMARC_IS_PERMERROR, job->unjudged);
}

/* What is no question of DNS. */
static enum call_status record_at_once(struct call *call, enum dmarc_code code, const char *reason)
{
	call_add_choice(call, DMARC, code);
	add_reason(call, code, reason);
	return CALL_DONE;
}

static enum call_status run_verdict(struct call *call)
{
	struct job *job = new_job(call, conclude_verdict);

	find_from(job);
	if (job->n_from == 0 && job->unjudged)
		return record_at_once(call, DMARC_IS_PERMERROR, job->unjudged);
	if (job->n_from == 0)
		return record_at_once(call, DMARC_IS_NONE, "no domain in From");
	find_spf(job);
	find_dkim(job);
	return start(job, record_results);
}

/* For the verdict time that is up is DNS that did not answer. */
static void expired(struct call *call)
{
	const struct questions *questions = call_own(call);
	const struct job *job = questions->context;

	if (job->conclude != conclude_verdict)
		return;
	(void)record_at_once(call, DMARC_IS_TEMPERROR, "no answer in time");
	call_settle(call, AUTHRES);
}

/* A call for each stage. */
static enum call_status run(struct call *call)
{
	if (call_wants(call, MAIL_POLICY))
		return run_sender(call);
	if (has_failed(call, "from.domain")) {
		call_fail_all(call, call_other(call, "from.domain")->why);
		return CALL_DONE;
	}
	if (call_wants(call, POLICY) || call_wants(call, DOMAIN) || call_wants(call, RECORD))
		return run_policy(call);
	return run_verdict(call);
}

const struct filter filter_dmarc = {.version = FILTER_VERSION,
	.name = "dmarc",
	.facts = facts,
	.options = options,
	.after = after,
	.open = open_filter,
	.close = close_filter,
	.run = run,
	.cancel = questions_cancel,
	.expired = expired};
