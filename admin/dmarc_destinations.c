#include "admin/dmarc_destinations.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/fail.h"
#include "lib/mail/dmarc.h"
#include "lib/mail/url.h"

/* --- reading --- */

/* The domain of a mailbox in its one form; NULL: none. */
static const char *host_of(struct span domain, struct arena *arena)
{
	struct buffer out = BUFFER_INIT(DNS_NAME_MAX + 1);
	const char *host = NULL;

	if (host_ascii(domain, &out))
		host = arena_string(arena, buffer_span(&out));
	buffer_free(&out);
	return host;
}

/* As the record has it, up to the next comma: with its limit. */
static struct span as_written(struct span uri, struct span list)
{
	struct span rest = span_from(list, (size_t)(uri.at - list.at));

	return span_trim(span_first(rest, span_find_char(rest, ',')));
}

static struct dmarc_destination destination_of(
	const struct dmarc_uri *uri, struct span list, struct arena *arena)
{
	struct dmarc_destination d = {.uri = arena_string(arena, as_written(uri->text, list)),
		.limit_bytes = uri->limit_bytes,
		.state = DESTINATION_NOT};

	if (!uri->mailto) {
		d.why = "it is no mail address";
		return d;
	}
	d.mailbox = arena_string(arena, span_text(uri->mailbox));
	d.host = host_of(uri->domain, arena);
	if (d.host)
		d.state = DESTINATION_UNSURE;
	else
		d.why = "its domain is none";
	return d;
}

void dmarc_destinations_read(struct span text, struct arena *arena, struct dmarc_destinations *out)
{
	struct dmarc_record record;
	struct dmarc_uri uri;
	struct span list;

	*out = (struct dmarc_destinations){0};
	if (!dmarc_record_read(text, &record))
		return;
	for (list = record.rua; dmarc_uri_next(&list, &uri);) {
		if (out->n == DMARC_DESTINATIONS_MAX) {
			out->more = true;
			return;
		}
		out->items[out->n++] = destination_of(&uri, record.rua, arena);
	}
}

/* --- asking --- */

struct inquiry {
	struct dns *dns;
	struct loop *loop;
	struct arena *arena;
	const char *domain;
};

struct question {
	struct dns_query query;
	bool done;
	unsigned wish;
	struct question *next;
};

static void on_answer(struct dns_query *query)
{
	CONTAINER_OF(query, struct question, query)->done = true;
}

static struct question *ask(const struct inquiry *in, struct span name, enum dns_type type)
{
	struct question *q = arena_alloc(in->arena, sizeof(*q));

	*q = (struct question){
		.query = {.name = name, .type = type, .arena = in->arena, .done = on_answer}};
	q->done = dns_start(in->dns, &q->query);
	return q;
}

static const struct dns_query *answer_to(const struct inquiry *in, struct question *q)
{
	while (!q->done)
		loop_turn(in->loop, true);
	return &q->query;
}

/* --- the same organization --- */

static void tell(const struct inquiry *in, struct dmarc *dmarc, struct question *q)
{
	const struct dns_query *query = answer_to(in, q);
	struct span *texts = arena_alloc(in->arena, (query->n_records + 1) * sizeof(*texts));
	enum dmarc_answer answer = DMARC_TROUBLE;

	for (size_t i = 0; i < query->n_records; i++)
		texts[i] = query->records[i].text;
	if (query->outcome == DNS_FOUND)
		answer = DMARC_TEXTS;
	else if (query->outcome == DNS_NODATA)
		answer = DMARC_NO_TEXT;
	else if (query->outcome == DNS_NXDOMAIN)
		answer = DMARC_NO_NAME;
	dmarc_answer(dmarc, q->wish, answer, texts, query->n_records);
}

static void ask_wishes(const struct inquiry *in, struct dmarc *dmarc)
{
	struct question *all = NULL;
	const struct dmarc_wish *wish;

	while ((wish = dmarc_wish(dmarc))) {
		struct question *q = ask(in, wish->name, wish->existence ? DNS_A : DNS_TXT);

		q->wish = wish->number;
		q->next = all;
		all = q;
	}
	for (; all; all = all->next)
		tell(in, dmarc, all);
}

/* Whether both have one Organizational Domain (RFC 9989 4.10.2). */
static enum dmarc_destination_state is_same_organization(const struct inquiry *in, const char *host)
{
	struct dmarc *dmarc = dmarc_new(in->arena, NULL, NULL);
	struct dmarc_domain *ours = dmarc_domain(dmarc, span_text(in->domain));
	struct dmarc_domain *theirs = dmarc_domain(dmarc, span_text(host));
	enum dmarc_knowledge knowledge;
	bool same;

	if (!ours || !theirs)
		return DESTINATION_NOT;
	while ((knowledge = dmarc_aligned(dmarc, ours, theirs, false, &same)) == DMARC_OPEN)
		ask_wishes(in, dmarc);
	if (knowledge == DMARC_UNKNOWN)
		return DESTINATION_UNSURE;
	return same ? DESTINATION_TAKES : DESTINATION_NOT;
}

/* --- others --- */

static void settle(struct dmarc_destination *d, enum dmarc_destination_state state, const char *why)
{
	d->state = state;
	d->why = why;
}

/* The other side may name another address, at the same host (step 9 there). */
static void take_override(struct dmarc_destination *d, const struct inquiry *in, struct span record)
{
	struct dmarc_destinations others;

	dmarc_destinations_read(record, in->arena, &others);
	if (others.n == 0)
		return;
	if (others.items[0].state == DESTINATION_NOT ||
		strcmp(others.items[0].host, d->host) != 0) {
		settle(d, DESTINATION_NOT,
			arena_print(in->arena, "%s sends it on to another host", d->host));
		return;
	}
	d->mailbox = others.items[0].mailbox;
	if (others.items[0].limit_bytes)
		d->limit_bytes = others.items[0].limit_bytes;
}

/* RFC 9990, "Verifying External Destinations". */
static void verify_external(struct dmarc_destination *d, const struct inquiry *in)
{
	struct buffer out = BUFFER_INIT(DNS_NAME_MAX);
	bool fits = dmarc_report_name(span_text(in->domain), span_text(d->host), &out);
	const char *name = arena_string(in->arena, buffer_span(&out));
	const struct dns_query *query;

	buffer_free(&out);
	if (!fits) {
		settle(d, DESTINATION_NOT, "the name to ask it by would be too long for DNS");
		return;
	}
	query = answer_to(in, ask(in, span_text(name), DNS_TXT));
	if (dns_is_unknown(query->outcome)) {
		settle(d, DESTINATION_UNSURE,
			arena_print(in->arena, "TXT of %s: %s", name,
				dns_outcome_name(query->outcome)));
		return;
	}
	for (size_t i = 0; i < query->n_records; i++) {
		struct dmarc_record record;

		if (!dmarc_record_read(query->records[i].text, &record))
			continue;
		settle(d, DESTINATION_TAKES,
			arena_print(in->arena, "%s says that it takes reports about %s", d->host,
				in->domain));
		take_override(d, in, query->records[i].text);
		return;
	}
	settle(d, DESTINATION_NOT,
		arena_print(in->arena, "%s does not say that it takes reports about %s (TXT of %s)",
			d->host, in->domain, name));
}

static void verify(struct dmarc_destination *d, const struct inquiry *in, uint64_t size_bytes)
{
	enum dmarc_destination_state same = is_same_organization(in, d->host);

	if (same == DESTINATION_TAKES)
		settle(d, DESTINATION_TAKES, "of the same organization");
	else
		verify_external(d, in);
	if (same == DESTINATION_UNSURE && d->state == DESTINATION_NOT)
		settle(d, DESTINATION_UNSURE,
			"DNS does not tell whether it is of the same organization");
	if (d->state == DESTINATION_TAKES && d->limit_bytes && size_bytes > d->limit_bytes)
		settle(d, DESTINATION_NOT,
			arena_print(in->arena,
				"it takes %" PRIu64 " bytes at most, and this would be %" PRIu64,
				d->limit_bytes, size_bytes));
}

void dmarc_destinations_verify(struct dmarc_destinations *all, const char *domain,
	uint64_t size_bytes, struct dns *dns, struct loop *loop, struct arena *arena)
{
	const struct inquiry in = {dns, loop, arena, domain};

	for (size_t i = 0; i < all->n; i++)
		if (all->items[i].state == DESTINATION_UNSURE)
			verify(&all->items[i], &in, size_bytes);
}
