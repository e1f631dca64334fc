#include "filters/question.h"

#include "lib/mail/address.h"
#include "lib/mail/url.h"

struct questions *questions_new(struct call *call, void (*answered)(struct question *question),
	void (*ended)(struct questions *all))
{
	struct questions *all = call_memory(call, sizeof(*all));

	all->call = call;
	all->answered = answered;
	all->ended = ended;
	call_keep(call, all);
	return all;
}

static bool is_ascii(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] > 127)
			return false;
	return true;
}

struct span question_name(struct call *call, struct span name)
{
	struct span host;

	if (!is_ascii(name) && host_read(name, call_arena(call), &host))
		return host;
	return name;
}

static void end(struct questions *all)
{
	if (all->ended && !all->cancelled)
		all->ended(all);
}

static size_t size_of(const struct dns_query *query)
{
	size_t size = query->n_records * sizeof(*query->records);

	for (size_t i = 0; i < query->n_records; i++)
		size += query->records[i].name.len + query->records[i].text.len +
			query->records[i].rdata.len;
	return size;
}

static bool is_too_much(const struct questions *all)
{
	return all->bytes > QUESTIONS_BYTES_MAX;
}

static void count(struct questions *all, const struct dns_query *query)
{
	if (is_too_much(all))
		return;
	all->bytes += size_of(query);
	for (struct question *q = all->first; is_too_much(all) && q; q = q->next)
		dns_cancel(&q->query);
}

/* `answered` may ask more, which is counted before this one is taken off. */
static void take_answer(struct question *question)
{
	struct questions *all = question->all;

	count(all, &question->query);
	if (!all->cancelled)
		all->answered(question);
	all->under_way--;
}

static void finish(struct questions *all)
{
	if (all->under_way)
		return;
	end(all);
	if (all->under_way == 0) /* `ended` has asked no more */
		call_done(all->call);
}

static void on_done(struct dns_query *query)
{
	struct question *question = query->context;
	struct questions *all = question->all;

	take_answer(question);
	finish(all);
}

void questions_hold(struct questions *all)
{
	all->under_way++;
}

void questions_let_go(struct questions *all)
{
	all->under_way--;
	finish(all);
}

/* The client's address, an IPv6 one by its /64, as connections are counted. */
static uint64_t stranger_of(const struct call *call)
{
	static const uint8_t key[16];
	const struct ip *ip = &call_view(call)->client.ip;
	size_t len = ip->family == IP_V6 ? 8 : 4;

	return span_hash(span_make((const char *)ip->bytes, len), key) | 1;
}

static bool start(const struct questions *all, struct dns_query *query)
{
	struct dns *dns = call_home(all->call)->dns;

	if (dns && !is_too_much(all))
		return dns_start(dns, query);
	query->outcome = DNS_FAILED;
	query->error = dns ? "the answers to others were too long" : "there is no DNS here";
	return true;
}

void question_ask(struct questions *all, struct span name, enum dns_type type, unsigned tag)
{
	struct question *question = call_memory(all->call, sizeof(*question));

	question->all = all;
	question->tag = tag;
	question->next = all->first;
	all->first = question;
	question->query.name = call_copy(all->call, question_name(all->call, name));
	question->query.type = type;
	question->query.stranger = all->of_admin ? 0 : stranger_of(all->call);
	question->query.arena = call_arena(all->call);
	question->query.done = on_done;
	question->query.context = question;
	all->under_way++;
	if (start(all, &question->query))
		take_answer(question);
}

enum call_status questions_wait(struct questions *all)
{
	if (all->under_way == 0)
		end(all);
	return all->under_way ? CALL_WAIT : CALL_DONE;
}

void questions_cancel(struct call *call)
{
	questions_drop(call_own(call));
}

void questions_drop(struct questions *all)
{
	all->cancelled = true;
	for (struct question *question = all->first; question; question = question->next)
		dns_cancel(&question->query);
}

static const char *type_name(enum dns_type type)
{
	switch (type) {
	case DNS_A:
		return "A";
	case DNS_NS:
		return "NS";
	case DNS_CNAME:
		return "CNAME";
	case DNS_SOA:
		return "SOA";
	case DNS_PTR:
		return "PTR";
	case DNS_MX:
		return "MX";
	case DNS_TXT:
		return "TXT";
	case DNS_AAAA:
		return "AAAA";
	case DNS_TLSA:
		return "TLSA";
	}
	return "records";
}

const char *question_why(const struct question *question)
{
	const struct dns_query *query = &question->query;

	return arena_print(call_arena(question->all->call), "DNS, %s of %.*s: %s",
		type_name(query->type), SPAN_ARGS(query->name),
		query->error ? query->error : dns_outcome_name(query->outcome));
}
