/*
 * The same looks at the rules as a session's, but that it waits at each stage for all that is
 * wanted, since here every fact shall be shown and nobody waits for a reply.
 */
#include "admin/offline.h"

#include <stdlib.h>
#include <string.h>

#include "admin/sharing.h"
#include "filters/pipeline.h"
#include "lib/base/fail.h"
#include "lib/mail/header.h"
#include "lib/mail/url.h"
#include "lib/net/dns.h"
#include "policy/action_text.h"
#include "policy/stages.h"
#include "policy/text.h"
#include "proxy/process/authn_alone.h"
#include "proxy/session/bench.h"
#include "proxy/session/results.h"

enum { TEXT_MAX = 4096, VALUE_MAX = 1024, PIECE = 64 * 1024, TIMEOUT_MS = 10000 };

struct offline;

/* A recipient on its way. */
struct guest {
	struct evaluation *e;
	struct fact_value *values; /* put aside; NULL: not yet named */
	struct explained_fact *facts;
	bool certain;
	enum stage at;       /* certain */
	bool over;           /* refused, or not ours */
	const char *said;    /* a reply of ours instead of the rules' */
	const char *put_off; /* why it is for another transaction; NULL: it is in this one */
};

struct offline {
	const struct offline_session *session;
	const struct policy *policy;
	struct arena *arena;
	struct loop loop;
	struct log log;
	struct dns *dns;           /* owned; NULL */
	struct authn_alone *authn; /* owned */
	struct filters *filters;   /* owned; NULL */
	struct pipeline *pipeline; /* owned; NULL */
	struct filter_view view;
	struct evaluation *e; /* what is known before a recipient is named */
	bool base_certain;
	enum stage base_at;
	struct guest *guests;
	bool *wanted, *all_wanted, *given; /* by slot */
	const struct slot *const *results; /* of results_slots */
	size_t n_results;
	bool always; /* authentication_results */
	bool news;
	size_t fed; /* bytes of the message */
};

/* --- opening --- */

static bool open_dns(struct offline *o, struct err *err)
{
	const struct config *config = o->session->config;
	struct dns_setup setup = {.loop = &o->loop, .timeout_ms = TIMEOUT_MS / 2};

	if (o->session->without_dns)
		return true;
	if (config) {
		setup.servers = config->dns_servers;
		setup.n_servers = config->n_dns_servers;
		setup.timeout_ms = config->dns_timeout;
	}
	o->dns = dns_open(&setup, err);
	return o->dns != NULL;
}

static bool open_filters(struct offline *o, struct err *err)
{
	const struct config *config = o->session->config;
	struct filters_setup setup = {.set = o->session->rules->filters,
		.loop = &o->loop,
		.dns = o->dns,
		.log = &o->log,
		.hostname = config ? config->hostname : "localhost",
		.timeout_ms = config ? config->timeouts.filter : TIMEOUT_MS,
		.slots = bench_slots(o->policy, o->always, o->arena),
		.n_slots = o->policy->n_slots};

	o->authn = authn_alone_open(&o->loop, &o->log);
	setup.authn = authn_alone_client(o->authn);
	o->filters = filters_open(&setup, err);
	return o->filters != NULL;
}

static void on_changed(void *context)
{
	struct offline *o = context;

	o->news = true;
}

static enum call_status ask_recipient(
	const struct filter_view *view, struct call *call, unsigned fact)
{
	(void)view;
	call_fail(call, fact, "the mail server is not asked here: give it, --fact rcpt.valid=yes");
	return CALL_DONE;
}

static void forget_recipient(const struct filter_view *view, struct call *call)
{
	(void)view;
	(void)call;
}

static size_t replay(void *context, uint64_t from, void (*take)(void *, struct span), void *taker)
{
	struct offline *o = context;
	struct span rest = span_from(span_first(o->session->message, o->fed), (size_t)from);

	take(taker, rest);
	return rest.len;
}

static void open_pipeline(struct offline *o)
{
	const struct config *config = o->session->config;

	o->view = (struct filter_view){.client = o->session->client,
		.listener = config && config->n_listens ? config->listens[0].address : "",
		.greeted = true,
		.esmtp = true,
		.wall_ms = clock_wall_ms(&o->loop.clock),
		.ask_recipient = ask_recipient,
		.forget_recipient = forget_recipient};
	if (config && config->n_listens)
		o->view.local = config->listens[0].endpoint;
	o->pipeline = pipeline_new(o->filters, &o->view, on_changed, o);
	pipeline_replay(o->pipeline, replay);
}

/* --- facts that are given --- */

static bool give_to_slots(struct offline *o, const char *name, const struct fact_value *value)
{
	bool some = false;

	for (size_t i = 0; i < o->policy->n_slots; i++) {
		if (strcmp(o->policy->rules->slots[i]->name, name) != 0)
			continue;
		pipeline_give(o->pipeline, i, value);
		o->given[i] = true;
		some = some || !o->policy->rules->slots[i]->unread;
	}
	return some;
}

static bool unknown_fact(const struct offline *o, const char *name, struct err *err)
{
	const char *nearest = fact_nearest(o->policy->rules->registry, span_text(name));

	for (const struct fact *fact = verdict_facts; fact->name; fact++)
		if (strcmp(fact->name, name) == 0)
			return err_set(err,
				"`%s` follows from the rules and can't be given: give the facts "
				"that lead to it",
				name);
	return err_set(err,
		nearest ? "`%.64s` is no fact: did you mean `%s`?" : "`%.64s` is no fact", name,
		nearest);
}

/* The fact behind `header("X")` or `spf`. */
static const struct fact *fact_named(const struct offline *o, const char *name)
{
	struct span all = span_text(name);

	return fact_find(
		o->policy->rules->registry, span_first(all, span_find_char(all, '(')), NULL);
}

/* A value as filters record it; false: a domain in it is none. */
static bool read_value(struct offline *o, const struct fact *fact, const char *text,
	struct fact_value *value, struct err *why)
{
	union fact_datum *items;

	if (!fact_value_read(fact, span_text(text), o->arena, value, why))
		return false;
	items = arena_alloc(o->arena, (value->count + 1) * sizeof(*items));
	for (uint32_t i = 0; i < value->count; i++) {
		items[i] = value->items[i];
		if ((fact->type == TYPE_DOMAIN || fact->type == TYPE_MAIL) &&
			!fact_text_ascii(fact->type, host_ascii, &items[i].text, o->arena))
			return err_set(why, "this domain can't be written in ASCII (xn--...)");
	}
	value->items = items;
	return true;
}

static bool give_facts(struct offline *o, struct err *err)
{
	for (size_t i = 0; i < o->session->n_facts; i++) {
		const struct offline_fact *given = &o->session->facts[i];
		const struct fact *fact = fact_named(o, given->name);
		struct fact_value value;
		struct err why = {{0}};

		if (!fact)
			return unknown_fact(o, given->name, err);
		if (!read_value(o, fact, given->value, &value, &why))
			return err_set(err, "--fact %.64s: %.300s", given->name, why.text);
		if (!give_to_slots(o, given->name, &value))
			fprintf(stderr, "postern explain: no rule reads `%s`\n", given->name);
	}
	return true;
}

/* Without a HELO what follows from it is not known, rather than waited for. */
static void give_no_helo(struct offline *o)
{
	static const struct fact_value nothing = {
		.state = FACT_FAILED, .why = "there was no HELO: give one with --helo"};

	for (size_t i = 0; i < o->policy->n_slots; i++) {
		const struct slot *slot = o->policy->rules->slots[i];
		const struct slot *of = slot->field ? slot->field : slot;

		if (of->stage == STAGE_HELO && !o->given[i])
			pipeline_give(o->pipeline, i, &nothing);
	}
}

/* --- looks at the rules --- */

static struct subject subject_of(const struct offline *o, const struct fact_value *recipient)
{
	struct subject subject;

	for (int stage = 0; stage < STAGE_COUNT; stage++)
		subject.at[stage] = pipeline_values(o->pipeline, (enum stage)stage);
	if (recipient)
		subject.at[STAGE_RCPT] = recipient;
	return subject;
}

static bool any_wanted(const struct offline *o, const bool *wanted)
{
	for (size_t i = 0; i < o->policy->n_slots; i++)
		if (wanted[i])
			return true;
	return false;
}

static void wait_for_news(struct offline *o)
{
	for (o->news = false; !o->news;)
		loop_turn(&o->loop, true);
}

/* Until nothing is wanted that can be had at this stage. */
static void settle(struct offline *o, struct evaluation *e, enum stage reached)
{
	struct subject subject;

	for (;;) {
		do {
			subject = subject_of(o, NULL);
			evaluation_run(e, &subject);
			evaluation_wants(e, &subject, reached, o->wanted);
			if (reached == STAGE_RCPT)
				bench_want_own(o->policy, &subject, o->wanted);
		} while (pipeline_want(o->pipeline, o->wanted));
		if (!any_wanted(o, o->wanted))
			return;
		wait_for_news(o);
	}
}

static void note_certain(struct guest *g, enum stage stage)
{
	if (g->certain || !outcome_of(g->e).certain)
		return;
	g->certain = true;
	g->at = stage;
}

/* Whether the message may reach somebody, in the transaction at hand. */
static bool may_go_on(const struct offline *o)
{
	for (size_t i = 0; i < o->session->n_to; i++) {
		const struct guest *g = &o->guests[i];
		struct outcome outcome;

		if (!g->e || g->said || g->put_off)
			continue;
		outcome = outcome_of(g->e);
		if (!outcome.certain || outcome_sternness(&outcome) <= STERN_QUARANTINE)
			return true;
	}
	return false;
}

/* What the header shall say and is not known yet: marks what nobody has begun, if it is begun for
 * its own sake. true: some of it is under way, or was marked. */
static bool want_results(struct offline *o, bool *wanted)
{
	struct subject subject = subject_of(o, NULL);
	bool some = false;

	for (size_t i = 0; i < o->n_results && may_go_on(o); i++) {
		const struct slot *slot = o->results[i];

		if (!subject.at[slot->stage] ||
			subject_value(&subject, slot)->state != FACT_PENDING)
			continue;
		if (o->always)
			wanted[slot->number] = true;
		some = some || o->always || pipeline_is_measuring(o->pipeline, slot->number);
	}
	return some;
}

/* As settle, for all recipients at once. */
static void settle_guests(struct offline *o, enum stage reached, bool wait)
{
	for (bool results;;) {
		do {
			memset(o->all_wanted, 0, o->policy->n_slots);
			for (size_t i = 0; i < o->session->n_to; i++) {
				struct guest *g = &o->guests[i];
				struct subject subject = subject_of(o, g->values);

				if (g->over)
					continue;
				evaluation_run(g->e, &subject);
				note_certain(g, reached);
				evaluation_wants(g->e, &subject, reached, o->wanted);
				for (size_t k = 0; k < o->policy->n_slots; k++)
					o->all_wanted[k] = o->all_wanted[k] || o->wanted[k];
			}
			results = want_results(o, o->all_wanted);
		} while (pipeline_want(o->pipeline, o->all_wanted));
		if (!wait || !(results || any_wanted(o, o->all_wanted)))
			return;
		wait_for_news(o);
	}
}

/* --- what is shown --- */

/* What does not fit is not shown. */
static const char *text_of(struct offline *o, struct buffer *b, bool fits)
{
	const char *text = arena_string(o->arena, buffer_span(b));

	(void)fits;
	buffer_free(b);
	return text;
}

static const char *value_text(
	struct offline *o, const struct fact *fact, const struct fact_value *value)
{
	struct buffer b = BUFFER_INIT(VALUE_MAX);

	if (value->count == 0)
		return "none";
	return text_of(o, &b, fact_value_write(fact, value, &b));
}

/* The slots of a stage whose value is settled. */
static struct explained_fact **add_facts(
	struct offline *o, struct explained_fact **end, enum stage stage)
{
	for (size_t i = 0; i < o->policy->n_slots; i++) {
		const struct slot *slot = o->policy->rules->slots[i];
		const struct fact_value *values = pipeline_values(o->pipeline, stage), *value;
		struct explained_fact *f;

		if (slot->stage != stage || !values || values[slot->index].state == FACT_PENDING)
			continue;
		value = &values[slot->index];
		*end = f = arena_alloc(o->arena, sizeof(*f));
		end = &f->next;
		f->name = slot->name;
		f->ms = -1;
		f->source = "-";
		if (value->state == FACT_KNOWN)
			f->value = value_text(o, slot->fact, value);
		else
			f->why = arena_string(
				o->arena, span_text(value->why ? value->why : "it failed"));
		if (o->given[i]) {
			f->source = "given";
		} else if (!(slot->fact->flags & FACT_ABSENT)) {
			f->source = pipeline_slot_source(o->pipeline, i);
			if (value->state == FACT_KNOWN || pipeline_slot_us(o->pipeline, i))
				f->ms = (double)pipeline_slot_us(o->pipeline, i) / 1000;
		}
	}
	return end;
}

/* The tests of a condition that are open, or that failed. */
static void list_open(const struct guest *g, const struct subject *subject, const struct rule *rule,
	const struct expr *e, struct buffer *out)
{
	const struct test *t = e->test;
	const struct fact_value *value;
	truth_set truth;

	for (const struct expr *child = e->first; child; child = child->next)
		list_open(g, subject, rule, child, out);
	if (e->kind != EXPR_TEST)
		return;
	truth = evaluation_test_truth(g->e, subject, rule, t);
	if (truth == TRUTH_TRUE || truth == TRUTH_FALSE)
		return;
	if (out->len && !buffer_add_text(out, ", "))
		return;
	value = t->slot ? subject_value(subject, t->slot) : NULL;
	if (!buffer_print(out, "%s%s%s",
		    t->slot                       ? t->slot->name
		    : t->verdict == VERDICT_SCORE ? "score"
						  : "tags",
		    value && value->state == FACT_FAILED && value->why ? ": " : "",
		    value && value->state == FACT_FAILED && value->why ? value->why : ""))
		return;
}

static void explain_rule(struct offline *o, const struct guest *g, const struct subject *subject,
	const struct rule *rule, struct explained_rule *out)
{
	static const char *const modes[] = {
		[RULE_ON] = "on", [RULE_MONITOR] = "monitor", [RULE_OFF] = "off"};
	struct outcome outcome = outcome_of(g->e);
	truth_set truth = evaluation_truth(g->e, subject, rule);
	struct buffer open = BUFFER_INIT(TEXT_MAX);

	out->name = rule->name;
	out->mode = modes[rule->mode];
	out->truth = rule->mode == RULE_OFF ? "off"
		     : truth == TRUTH_TRUE  ? "yes"
		     : truth == TRUTH_FALSE ? "no"
		     : truth == TRUTH_ERROR ? "skipped"
					    : "unknown";
	if (truth == TRUTH_TRUE || truth == TRUTH_FALSE || rule->mode == RULE_OFF)
		return;
	if (truth != TRUTH_ERROR && outcome.certain && g->over) {
		out->open = "not needed";
		return;
	}
	if (rule->when)
		list_open(g, subject, rule, rule->when, &open);
	if (truth == TRUTH_ERROR && rule->on_error == ON_ERROR_DEFER)
		out->open = arena_print(o->arena, "%s; on error defer", buffer_string(&open));
	else
		out->open = arena_string(o->arena, buffer_span(&open));
	buffer_free(&open);
}

static void explain_rules(struct offline *o, const struct guest *g, const struct subject *subject,
	struct explained_recipient *out)
{
	struct explained_rule **end = &out->rules;

	for (size_t i = 0; i < o->policy->n_rules; i++) {
		*end = arena_alloc(o->arena, sizeof(**end));
		explain_rule(o, g, subject, policy_rule(o->policy, i), *end);
		end = &(*end)->next;
	}
}

static const char *score_text(struct offline *o, int64_t score, const char *plus)
{
	struct buffer b = BUFFER_INIT(64);
	bool fits = buffer_add_text(&b, score > 0 ? plus : "") && score_write(score, &b);

	return text_of(o, &b, fits);
}

static void explain_score(struct offline *o, const struct guest *g, const struct subject *subject,
	struct explained_recipient *out)
{
	struct explained_points **end = &out->points;
	const struct rule *rule;
	size_t cursor = 0;
	int64_t low, high;

	evaluation_score(g->e, &low, &high);
	out->score = score_text(o, low, "");
	if (high != low)
		out->score = arena_print(o->arena, "%s to %s", out->score, score_text(o, high, ""));
	while (evaluation_next_hit(g->e, &cursor, &rule)) {
		struct render render = {.e = g->e, .subject = subject, .rule = rule};

		for (const struct action *a = rule->actions; a; a = a->next) {
			struct buffer why = BUFFER_INIT(TEXT_MAX);

			if (a->kind != ACTION_SCORE || rule->mode != RULE_ON)
				continue;
			*end = arena_alloc(o->arena, sizeof(**end));
			(*end)->rule = rule->name;
			(*end)->points = score_text(o, a->score, "+");
			(*end)->why = text_of(o, &why, text_render(a->text, &render, &why));
			end = &(*end)->next;
		}
	}
}

static void explain_effects(struct offline *o, const struct guest *g, const struct subject *subject,
	struct explained_recipient *out)
{
	struct explained_text **end = &out->effects;
	struct effect_cursor cursor = {0};
	const struct rule *rule;

	while (evaluation_next_effect(g->e, &cursor, &rule)) {
		struct render render = {
			.e = g->e, .subject = subject, .rule = rule, .sid = SPAN("SID")};
		struct buffer b = BUFFER_INIT(TEXT_MAX);

		*end = arena_alloc(o->arena, sizeof(**end));
		(*end)->text = text_of(o, &b, action_write(cursor.action, &render, &b));
		(*end)->rule = rule->name;
		end = &(*end)->next;
	}
}

static const char *reply_text(struct offline *o, const struct guest *g,
	const struct subject *subject, const struct outcome *outcome)
{
	struct render render = {.e = g->e,
		.subject = subject,
		.rule = outcome->rule,
		.sid = SPAN("SID"),
		.ascii = true};
	struct buffer b = BUFFER_INIT(TEXT_MAX);
	const struct action *a = outcome->final;
	bool fits;

	if (!a)
		return "451 4.4.3 A lookup failed, try again later";
	fits = buffer_print(&b, "%u %s ", a->code, a->enhanced) &&
	       text_render(a->text, &render, &b);
	return text_of(o, &b, fits);
}

static void explain_verdict(struct offline *o, const struct guest *g, const struct subject *subject,
	struct explained_recipient *out)
{
	struct outcome outcome = outcome_of(g->e);
	enum sternness sternness = outcome_sternness(&outcome);

	out->accepted = true;
	out->verdict = "undecided";
	out->route = evaluation_route(g->e);
	if (!outcome.certain)
		return;
	out->certain = policy_stage_name(g->at);
	out->rule = outcome.rule ? outcome.rule->name : NULL;
	out->verdict = outcome.final  ? action_name(outcome.final->kind)
		       : outcome.rule ? "defer"
				      : "accept";
	out->accepted = sternness == STERN_ACCEPT;
	if (sternness == STERN_REJECT || sternness == STERN_DEFER)
		out->reply = reply_text(o, g, subject, &outcome);
	else if (sternness == STERN_DISCARD || sternness == STERN_QUARANTINE)
		out->reply = sternness == STERN_DISCARD ? "250, and the message is discarded"
							: "250, and the message is held back";
}

static struct explained_recipient *explain_guest(struct offline *o, size_t i)
{
	struct explained_recipient *out = arena_alloc(o->arena, sizeof(*out));
	struct guest *g = &o->guests[i];
	struct subject subject = subject_of(o, g->values);

	out->to = arena_string(o->arena, o->session->to[i].mailbox);
	out->facts = g->facts;
	if (g->said) {
		out->score = "0";
		out->verdict = "reject";
		out->reply = g->said;
		out->certain = policy_stage_name(STAGE_RCPT);
		out->rule = "(relay_domains)";
		return out;
	}
	out->put_off = g->put_off;
	explain_rules(o, g, &subject, out);
	explain_score(o, g, &subject, out);
	explain_effects(o, g, &subject, out);
	explain_verdict(o, g, &subject, out);
	return out;
}

/* --- stages --- */

/* true: `reject now` ends the session here. */
static bool look(struct offline *o, enum stage stage)
{
	struct outcome outcome;

	settle(o, o->e, stage);
	outcome = outcome_of(o->e);
	if (outcome.certain && !o->base_certain) {
		o->base_certain = true;
		o->base_at = stage;
	}
	return outcome.certain && outcome.final && outcome.final->now;
}

/* Up to MAIL. */
static bool run_early(struct offline *o)
{
	pipeline_enter(o->pipeline, STAGE_CONNECT, o->arena);
	if (look(o, STAGE_CONNECT))
		return true;
	o->view.helo = span_text(o->session->helo);
	pipeline_enter(o->pipeline, STAGE_HELO, o->arena);
	if (look(o, STAGE_HELO))
		return true;
	o->view.from = o->session->from;
	pipeline_enter(o->pipeline, STAGE_MAIL, o->arena);
	return look(o, STAGE_MAIL);
}

static bool refuses(const struct evaluation *e)
{
	struct outcome outcome = outcome_of(e);

	return outcome.certain && outcome_sternness(&outcome) != STERN_ACCEPT &&
	       outcome_sternness(&outcome) != STERN_QUARANTINE &&
	       outcome_sternness(&outcome) != STERN_DISCARD;
}

/* --- who shares the transaction --- */

/* The 452 of a recipient who can't share it with those before; NULL: it can. */
static const char *put_off(struct offline *o, size_t i)
{
	struct sharer *before = arena_alloc(o->arena, (i + 1) * sizeof(*before));
	struct sharer one = {o->guests[i].e, subject_of(o, o->guests[i].values)};
	size_t n = 0;

	for (size_t k = 0; k < i; k++) {
		const struct guest *other = &o->guests[k];

		if (!other->over && !other->put_off)
			before[n++] = (struct sharer){other->e, subject_of(o, other->values)};
	}
	return sharing_refusal(o->session->config, before, n, &one);
}

/* Only those that the session takes count. */
static void leave_out(struct offline *o, const struct guest *g)
{
	if (g->over || g->put_off)
		o->view.to_count--;
}

static void run_recipient(struct offline *o, size_t i, bool refused)
{
	struct guest *g = &o->guests[i];
	const struct address *to = &o->session->to[i];

	g->e = evaluation_new(o->policy, o->arena);
	evaluation_copy(g->e, o->e);
	g->certain = o->base_certain;
	g->at = o->base_at;
	g->over = refused;
	if (!refused && o->session->config && to->domain.len &&
		!config_relays(o->session->config, to->domain)) {
		g->said = "550 5.7.1 Relaying denied, this is not a domain of ours";
		g->over = true;
	}
	if (g->over)
		return;
	o->view.to = to;
	o->view.to_count++;
	pipeline_enter(o->pipeline, STAGE_RCPT, o->arena);
	settle(o, g->e, STAGE_RCPT);
	note_certain(g, STAGE_RCPT);
	add_facts(o, &g->facts, STAGE_RCPT);
	g->values = pipeline_set_aside(o->pipeline, STAGE_RCPT);
	g->over = refuses(g->e);
	g->put_off = g->over ? NULL : put_off(o, i);
	leave_out(o, g);
	o->view.to = NULL;
}

static void feed(struct offline *o)
{
	struct span message = o->session->message;

	while (o->fed < message.len) {
		struct span piece = span_first(span_from(message, o->fed), PIECE);
		bool news;

		o->fed += piece.len;
		news = pipeline_feed(o->pipeline, piece);
		if (news)
			settle_guests(o, STAGE_MESSAGE, false);
	}
	o->view.message_size = message.len;
	if (pipeline_feed(o->pipeline, SPAN_NONE))
		settle_guests(o, STAGE_MESSAGE, false);
}

static void run_message(struct offline *o)
{
	size_t from = 0;

	o->view.headers = span_first(o->session->message, header_end(o->session->message, &from));
	pipeline_enter(o->pipeline, STAGE_HEADER, o->arena);
	pipeline_enter(o->pipeline, STAGE_MESSAGE, o->arena);
	settle_guests(o, STAGE_HEADER, false);
	settle_guests(o, STAGE_MESSAGE, false);
	feed(o);
	settle_guests(o, STAGE_MESSAGE, true);
	for (size_t i = 0; i < o->session->n_to; i++)
		o->guests[i].over = true;
}

/* Whether a fact of the message was given. */
static bool knows_of_message(const struct offline *o)
{
	for (size_t i = 0; i < o->policy->n_slots; i++)
		if (o->given[i] && o->policy->rules->slots[i]->stage > STAGE_RCPT)
			return true;
	return false;
}

/* Without a message what was given of it counts, and the rest of it stays open. */
static void run_given(struct offline *o)
{
	pipeline_enter(o->pipeline, STAGE_HEADER, o->arena);
	pipeline_enter(o->pipeline, STAGE_MESSAGE, o->arena);
	for (size_t i = 0; i < o->session->n_to; i++) {
		struct guest *g = &o->guests[i];
		struct subject subject = subject_of(o, g->values);

		if (g->over)
			continue;
		evaluation_run(g->e, &subject);
		note_certain(g, STAGE_MESSAGE);
		g->over = refuses(g->e);
	}
}

static bool anybody_left(const struct offline *o)
{
	for (size_t i = 0; i < o->session->n_to; i++)
		if (!o->guests[i].over)
			return true;
	return false;
}

/* The fields that a message which goes on gets above it, but for our Received. */
static const char *header_text(struct offline *o)
{
	const struct config *config = o->session->config;
	struct subject subject = subject_of(o, NULL);
	struct results results = {.slots = o->results,
		.n = o->n_results,
		.subject = &subject,
		.authserv_id = span_text(config ? config->authserv_id : "localhost"),
		.always = o->always};
	struct buffer b = BUFFER_INIT(RESULTS_TRACE_MAX + RESULTS_FIELD_MAX);

	results_write_trace(&results, &b);
	results_write(&results, &b);
	return text_of(o, &b, true);
}

static struct explanation *run(struct offline *o)
{
	struct explanation *out = arena_alloc(o->arena, sizeof(*out));
	struct explained_recipient **end = &out->recipients;
	struct explained_fact **facts = &out->facts;
	bool refused = run_early(o);

	for (size_t i = 0; i < o->session->n_to; i++)
		run_recipient(o, i, refused);
	out->with_message = o->session->message.at != NULL;
	if (out->with_message && anybody_left(o))
		run_message(o);
	else if (knows_of_message(o))
		run_given(o);
	else
		settle_guests(o, STAGE_RCPT, true);
	if (may_go_on(o))
		out->header = header_text(o);
	for (int stage = 0; stage < STAGE_COUNT; stage++)
		if (stage != STAGE_RCPT)
			facts = add_facts(o, facts, (enum stage)stage);
	for (size_t i = 0; i < o->session->n_to; i++) {
		*end = explain_guest(o, i);
		end = &(*end)->next;
	}
	return out;
}

/* --- all of it --- */

static void close_all(struct offline *o)
{
	if (o->pipeline)
		pipeline_free(&o->pipeline);
	while (o->filters && !filters_quiet(o->filters))
		loop_turn(&o->loop, true);
	if (o->filters)
		filters_close(&o->filters);
	authn_alone_close(&o->authn);
	dns_close(&o->dns);
	loop_turn(&o->loop, false); /* whoever asked learns that nothing comes */
	loop_close(&o->loop);
	log_close(&o->log);
}

struct explanation *offline_run(
	const struct offline_session *session, struct arena *arena, struct err *err)
{
	struct offline o = {.session = session,
		.policy = session->rules->policy,
		.arena = arena,
		.always = session->config &&
			  session->config->authentication_results == AUTHRES_ALWAYS};
	size_t n_slots = o.policy->n_slots + 1;
	struct explanation *out = NULL;

	o.wanted = arena_alloc(arena, n_slots);
	o.all_wanted = arena_alloc(arena, n_slots);
	o.given = arena_alloc(arena, n_slots);
	o.guests = arena_alloc(arena, (session->n_to + 1) * sizeof(*o.guests));
	o.e = evaluation_new(o.policy, arena);
	o.results = results_slots(o.policy, arena, &o.n_results);
	loop_init(&o.loop);
	log_init(&o.log, -1, true, &o.loop.clock, "explain");
	if (open_dns(&o, err) && open_filters(&o, err)) {
		open_pipeline(&o);
		if (give_facts(&o, err)) {
			if (!session->helo)
				give_no_helo(&o);
			out = run(&o);
		}
	}
	close_all(&o);
	return out;
}

bool offline_try(const struct ruleset *rules, const struct config *config, struct err *err)
{
	struct offline_session session = {.rules = rules, .config = config, .without_dns = true};
	struct arena *arena = arena_new(4096);
	struct offline o = {.session = &session,
		.policy = rules->policy,
		.arena = arena,
		.always = config && config->authentication_results == AUTHRES_ALWAYS};
	bool ok;

	loop_init(&o.loop);
	log_init(&o.log, -1, true, &o.loop.clock, "check");
	ok = open_filters(&o, err);
	close_all(&o);
	arena_free(&arena);
	return ok;
}
