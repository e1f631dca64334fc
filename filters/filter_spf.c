/*
 * spf: whether the sender's domain lets the client send for it (RFC 7208), for the domain in MAIL
 * and for the HELO name; for <> the HELO name stands for both (2.4). Records are evaluated in a
 * process of their own (lib/authn/authn.h); here is what to ask, and the DNS for it.
 *
 * The first question is known in advance, and most of the others from the last time that a domain
 * was met (filters/spf_memory.h): they are asked for before the process is, which so answers simple
 * records, and those of domains that send much, in one round. What a domain without a record comes
 * to needs no evaluation at all.
 *
 * Trouble in DNS, and no answer in time, are temperror (2.6.6); what nobody can evaluate, since it
 * kills whoever tries, is permerror. Only where no process is left are the facts failed lookups.
 */
#include "filters/filter.h"
#include "filters/spf_memory.h"
#include "filters/spf_text.h"
#include "filters/verify.h"

enum { SPF, SPF_DOMAIN, SPF_HELO, SPF_EXPLANATION, SPF_AUTHRES, SPF_RECEIVED };
enum { OPTION_RECEIVED };

enum { SPF_TIMEOUT_MS = 8000, QUESTION_MAX = 4096, HELO_MAX = 255 };

static const struct fact_choice results[] = {
#define X(name, word) [SPF_IS_##name] = {word, NULL},
	SPF_CODES(X)
#undef X
		{NULL, NULL}};

static const struct fact facts[] = {
	[SPF] = {"spf", TYPE_CHOICE, STAGE_MAIL, FACT_ASSURES | FACT_ASKS, results,
		"SPF for the envelope sender (RFC 7208); for <> that of the HELO name"},
	[SPF_DOMAIN] = {"spf.domain", TYPE_DOMAIN, STAGE_MAIL, FACT_ASKS, NULL,
		"the domain whose SPF record spoke; none if it has no record"},
	[SPF_HELO] = {"spf.helo", TYPE_CHOICE, STAGE_MAIL, FACT_ASSURES | FACT_ASKS, results,
		"SPF for the HELO name"},
	[SPF_EXPLANATION] = {"spf.explanation", TYPE_TEXT, STAGE_MAIL, FACT_IN_TEXTS | FACT_ASKS,
		NULL, "what the sender's domain says about an SPF failure"},
	[SPF_AUTHRES] = {"spf.authres", TYPE_TEXT, STAGE_MAIL,
		FACT_MANY | FACT_IN_TEXTS | FACT_AUTHRES | FACT_ASKS, NULL,
		"what Authentication-Results says of SPF"},
	[SPF_RECEIVED] = {"spf.received", TYPE_TEXT, STAGE_MAIL,
		FACT_MANY | FACT_IN_TEXTS | FACT_TRACE | FACT_ASKS, NULL,
		"the header Received-SPF, if the filter's option `received` asks for it"},
	{.name = NULL},
};

static const struct filter_option options[] = {
	[OPTION_RECEIVED] = {"received", FILTER_BOOL, "no", 0, 0,
		"put Received-SPF (RFC 7208 9.1) above messages that go on"},
	{.name = NULL},
};

enum lane_state {
	LANE_UNUSED,
	LANE_ASKING, /* for its record */
	LANE_EVALUATED,
	LANE_DONE, /* the result stands */
	LANE_AWAY  /* nobody is there to evaluate it */
};

enum { LANE_MAIL, LANE_HELO, LANES };

/* An identity. */
struct lane {
	struct verify_task task;
	enum lane_state state;
	struct spf_check check;
	struct span local, name; /* of the record, in small letters */
};

struct work {
	struct call *call;
	struct verify *verify;
	struct lane lanes[LANES];
	bool null_sender;
};

static bool open_filter(struct filter_home *home, struct err *err)
{
	(void)err;
	home->state = spf_memory_new();
	return true;
}

static void close_filter(struct filter_home *home)
{
	struct spf_memory *memory = home->state;

	spf_memory_free(&memory);
	home->state = NULL;
}

/* --- what was found --- */

/* The lane whose result is that of the envelope sender. */
static bool is_for_sender(const struct work *work, const struct lane *lane)
{
	return lane == &work->lanes[work->null_sender ? LANE_HELO : LANE_MAIL];
}

static void add_lane(struct work *work, const struct lane *lane)
{
	const struct spf_result *result = &lane->check.result;

	if (lane == &work->lanes[LANE_HELO])
		call_add_choice(work->call, SPF_HELO, result->code);
	if (!is_for_sender(work, lane))
		return;
	if (result->code != SPF_IS_NONE)
		call_add_text(work->call, SPF_DOMAIN, lane->check.domain);
	call_add_text(work->call, SPF_EXPLANATION, result->explanation);
	call_settle(work->call, SPF_DOMAIN);
	call_settle(work->call, SPF_EXPLANATION);
	call_add_choice(work->call, SPF, result->code);
}

static void fail_lane(struct work *work, const struct lane *lane, const char *why)
{
	if (lane == &work->lanes[LANE_HELO])
		call_fail(work->call, SPF_HELO, why);
	if (!is_for_sender(work, lane))
		return;
	call_fail(work->call, SPF_DOMAIN, why);
	call_fail(work->call, SPF_EXPLANATION, why);
	call_fail(work->call, SPF, why);
}

/* The texts tell of all identities, so they come last. */
static void add_texts(struct work *work)
{
	bool received = filter_number(call_home(work->call), OPTION_RECEIVED);
	struct arena *arena = call_arena(work->call);
	bool away = true;

	for (unsigned i = 0; i < LANES; i++)
		if (work->lanes[i].state == LANE_ASKING || work->lanes[i].state == LANE_EVALUATED)
			return;
	for (unsigned i = 0; i < LANES; i++) {
		const struct spf_check *check = &work->lanes[i].check;

		if (work->lanes[i].state != LANE_DONE)
			continue;
		away = false;
		call_add_text(work->call, SPF_AUTHRES, spf_authres(check, arena));
		if (received)
			call_add_text(work->call, SPF_RECEIVED, spf_received(check, arena));
	}
	if (away)
		call_fail(work->call, SPF_AUTHRES, "there is no process to evaluate it");
	call_settle(work->call, SPF_AUTHRES);
	call_settle(work->call, SPF_RECEIVED);
}

static void conclude(struct work *work, struct lane *lane, const struct spf_result *result)
{
	lane->check.result = *result;
	lane->state = LANE_DONE;
	add_lane(work, lane);
	add_texts(work);
}

static void conclude_as(
	struct work *work, struct lane *lane, enum spf_code code, const char *problem)
{
	struct spf_result result = {.code = code, .problem = span_text(problem)};

	conclude(work, lane, &result);
}

static void give_up(struct work *work, struct lane *lane)
{
	lane->state = LANE_AWAY;
	fail_lane(work, lane, "there is no process to evaluate it");
	add_texts(work);
}

/* --- the evaluation --- */

static void on_ended(struct verify_task *task)
{
	struct work *work = task->verify->context;
	struct lane *lane = CONTAINER_OF(task, struct lane, task);
	struct span bytes = task->authn.result;
	struct spf_result result;

	switch (task->authn.outcome) {
	case AUTHN_ANSWERED:
		if (spf_result_read(call_copy(work->call, bytes), &result)) {
			conclude(work, lane, &result);
			return;
		}
		break;
	case AUTHN_AWAY:
		give_up(work, lane);
		return;
	case AUTHN_PENDING:
	case AUTHN_POISONOUS:
		break;
	}
	conclude_as(work, lane, SPF_IS_PERMERROR, "the record can't be evaluated");
}

static void on_wanted(struct verify_task *task, const struct answer *want)
{
	struct work *work = task->verify->context;
	const struct lane *lane = CONTAINER_OF(task, struct lane, task);
	struct filter_home *home = call_home(work->call);

	spf_memory_note(home->state, lane->name, loop_now_ms(home->loop), want->name, want->type);
}

/* false: it is too long to ask. */
static bool write_question(struct work *work, struct lane *lane)
{
	const struct filter_view *view = call_view(work->call);
	struct buffer out = BUFFER_INIT(QUESTION_MAX);
	struct spf_question question = {.client = lane->check.client,
		.helo = lane->check.helo,
		.local = lane->local,
		.domain = lane->check.domain,
		.receiver = lane->check.receiver,
		.wall_s = view->wall_ms / 1000};
	bool written = spf_question_write(&question, &out);

	if (written)
		lane->task.authn.request = call_copy(work->call, buffer_span(&out));
	buffer_free(&out);
	return written;
}

/* Its record, or what the domain has instead, is there. */
static void evaluate(struct work *work, struct lane *lane)
{
	lane->state = LANE_EVALUATED;
	verify_ask(&lane->task, lane->name, ANSWER_TXT); /* it is known: told at once */
	if (!write_question(work, lane))
		conclude_as(work, lane, SPF_IS_PERMERROR, "the names are too long");
	else if (verify_start(&lane->task))
		return;
	else
		give_up(work, lane);
	verify_settle(&lane->task);
}

/* RFC 7208 4.4, 4.5. */
static void take_first(struct work *work, struct lane *lane, const struct answer *answer)
{
	switch (answer->outcome) {
	case ANSWER_FOUND:
		evaluate(work, lane);
		return;
	case ANSWER_NODATA:
	case ANSWER_NXDOMAIN:
		conclude_as(work, lane, SPF_IS_NONE, NULL);
		break;
	case ANSWER_TROUBLE:
		conclude_as(work, lane, SPF_IS_TEMPERROR, "DNS can't be asked for the record");
		break;
	}
	verify_settle(&lane->task);
}

static void on_told(struct verify *verify, const struct answer *answer)
{
	struct work *work = verify->context;

	for (unsigned i = 0; i < LANES; i++) {
		struct lane *lane = &work->lanes[i];

		if (lane->state == LANE_ASKING && answer->type == ANSWER_TXT &&
			span_equal(answer->name, lane->name))
			take_first(work, lane, answer);
	}
}

/* --- what is asked --- */

/* RFC 7208 4.3: a domain of several labels, and no address. */
static bool is_domain(struct span name)
{
	struct ip ip;

	return domain_valid(name, true) && span_find_char(name, '.') < name.len &&
	       !ip_parse(name, &ip);
}

static struct span lower(struct call *call, struct span name)
{
	char *copy = arena_string(call_arena(call), name);

	for (size_t i = 0; i < name.len; i++)
		copy[i] = ascii_lower(copy[i]);
	return span_make(copy, name.len);
}

/* The local part as it is meant: the quotes of a quoted string are none of it, nor are the
 * backslashes in it (RFC 5321 4.1.2). */
static struct span plain_local(struct call *call, const struct address *address)
{
	struct span local = call_copy(call, address->local);
	char *plain = (char *)local.at;
	size_t len = 0;

	if (!address->quoted)
		return local;
	for (size_t i = 1; i + 1 < local.len; i++) {
		if (plain[i] == '\\' && i + 2 < local.len)
			i++;
		plain[len++] = plain[i];
	}
	return span_make(plain, len);
}

static void open_lane(struct work *work, unsigned number, struct span domain, struct span local)
{
	const struct filter_view *view = call_view(work->call);
	struct lane *lane = &work->lanes[number];

	lane->check = (struct spf_check){.client = view->client.ip,
		.of_helo = number == LANE_HELO,
		.mailbox = call_copy(work->call, view->from->mailbox),
		.helo = call_copy(work->call, span_first(view->helo, HELO_MAX)),
		.receiver = span_text(call_home(work->call)->hostname)};
	lane->local = local;
	lane->check.domain = call_copy(work->call, domain);
	if (!is_domain(domain)) {
		lane->state = LANE_DONE;
		return;
	}
	lane->check.domain = question_name(work->call, lane->check.domain);
	lane->name = lower(work->call, lane->check.domain);
	lane->state = LANE_ASKING;
	lane->task.wanted = on_wanted;
	verify_add(work->verify, &lane->task, AUTHN_SPF, on_ended);
}

static void on_remembered(void *context, struct span name, enum answer_type type)
{
	struct verify_task *task = context;

	verify_ask(task, name, type);
}

/* What will be wanted goes first, so that what the cache has is there when the record is. */
static void ask(struct work *work)
{
	struct filter_home *home = call_home(work->call);

	for (unsigned i = 0; i < LANES; i++)
		if (work->lanes[i].state == LANE_ASKING)
			spf_memory_each(home->state, work->lanes[i].name, loop_now_ms(home->loop),
				on_remembered, &work->lanes[i].task);
	for (unsigned i = 0; i < LANES; i++)
		if (work->lanes[i].state == LANE_ASKING)
			verify_ask(&work->lanes[i].task, work->lanes[i].name, ANSWER_TXT);
}

static enum call_status run(struct call *call)
{
	const struct filter_view *view = call_view(call);
	struct work *work;

	if (!view->from)
		return CALL_DONE;
	if (view->client.ip.family == IP_NONE) {
		call_fail_all(call, "the client has no address");
		return CALL_DONE;
	}
	work = call_memory(call, sizeof(*work));
	work->call = call;
	work->verify = verify_new(call, on_told);
	work->verify->context = work;
	work->null_sender = view->from->mailbox.len == 0;
	if (!work->null_sender)
		open_lane(work, LANE_MAIL, view->from->domain, plain_local(call, view->from));
	if (work->null_sender || call_wants(call, SPF_HELO))
		open_lane(work, LANE_HELO, view->helo, SPAN_NONE);
	for (unsigned i = 0; i < LANES; i++)
		if (work->lanes[i].state == LANE_DONE)
			conclude_as(work, &work->lanes[i], SPF_IS_NONE, NULL);
	ask(work);
	return verify_wait(work->verify);
}

/* RFC 7208 4.6.4 asks for a limit on the time, and 2.6.6 what it comes to. */
static void expired(struct call *call)
{
	struct work *work = verify_of(call)->context;

	for (unsigned i = 0; i < LANES; i++)
		if (work->lanes[i].state == LANE_ASKING || work->lanes[i].state == LANE_EVALUATED)
			conclude_as(work, &work->lanes[i], SPF_IS_TEMPERROR,
				"DNS has not answered in time");
}

const struct filter filter_spf = {.version = FILTER_VERSION,
	.name = "spf",
	.facts = facts,
	.options = options,
	.open = open_filter,
	.close = close_filter,
	.run = run,
	.cancel = verify_cancel,
	.expired = expired,
	.timeout_ms = SPF_TIMEOUT_MS,
	.all_at_once = true};
