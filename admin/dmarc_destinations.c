#include "admin/dmarc_destinations.h"

#include <inttypes.h>
#include <string.h>

#include "admin/dmarc_report.h"
#include "lib/base/fail.h"
#include "lib/mail/address.h"
#include "lib/mail/url.h"

enum { URI_MAX = 1024, LABELS_MAX = 8 /* common ancestors that are asked, RFC 9989 4.10 */ };

/* --- reading --- */

static int hex_digit(char c)
{
	c = ascii_lower(c);
	return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986 2.1. */
static const char *percent_decode(struct span text, struct arena *arena)
{
	char *out = arena_alloc(arena, text.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		int high = text.at[i] == '%' && i + 2 < text.len ? hex_digit(text.at[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(text.at[i + 2]) : -1;

		out[n++] = text.at[i];
		if (low >= 0) {
			out[n - 1] = (char)(high << 4 | low);
			i += 2;
		}
	}
	return out;
}

/* "!10m" at the end of an address (RFC 7489 6.2): taken off. */
static bool take_limit(struct span *uri, uint64_t *limit)
{
	static const char units[] = "kmgt";
	size_t mark = span_find_char(*uri, '!');
	struct span text = span_from(*uri, mark + 1);
	uint64_t unit = 1, value;

	*limit = 0;
	if (mark == uri->len)
		return true;
	*uri = span_first(*uri, mark);
	for (size_t i = 0; text.len && i < sizeof(units) - 1; i++)
		if (ascii_lower(text.at[text.len - 1]) == units[i])
			unit = (uint64_t)1 << 10 * (i + 1);
	if (unit > 1)
		text.len--;
	if (!span_number(text, 1000 * 1000, &value) || value == 0)
		return false;
	*limit = value * unit;
	return true;
}

/* The domain of a mailbox in its one form; NULL: none. */
static const char *host_of(const struct address *address, struct arena *arena)
{
	struct buffer out = BUFFER_INIT(DNS_NAME_MAX + 1);
	const char *host = NULL;

	if (!address->literal && host_ascii(address->domain, &out))
		host = arena_string(arena, buffer_span(&out));
	buffer_free(&out);
	return host;
}

static struct dmarc_destination read_uri(struct span uri, struct arena *arena)
{
	struct dmarc_destination d = {
		.uri = arena_string(arena, span_first(uri, URI_MAX)), .state = DESTINATION_NOT};
	bool limit_ok = uri.len <= URI_MAX && take_limit(&uri, &d.limit_bytes);
	struct address address;

	if (!span_starts_nocase(uri, SPAN("mailto:"))) {
		d.why = "it is no mail address";
		return d;
	}
	uri = span_from(uri, strlen("mailto:"));
	d.mailbox = percent_decode(span_first(uri, span_find_char(uri, '?')), arena);
	if (address_parse(span_text(d.mailbox), false, &address) == ADDRESS_OK)
		d.host = host_of(&address, arena);
	if (!d.host)
		d.why = "its mail address is none";
	else if (!limit_ok)
		d.why = "its size limit is none";
	else
		d.state = DESTINATION_UNSURE;
	return d;
}

void dmarc_destinations_read(
	struct span record, struct arena *arena, struct dmarc_destinations *out)
{
	struct span list = dmarc_record_tag(record, "rua");

	*out = (struct dmarc_destinations){0};
	while (list.len) {
		size_t end = span_find_char(list, ',');
		struct span uri = span_trim(span_first(list, end));

		list = span_from(list, end + 1);
		if (uri.len == 0)
			continue;
		if (out->n == DMARC_DESTINATIONS_MAX) {
			out->more = true;
			return;
		}
		out->items[out->n++] = read_uri(uri, arena);
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
};

static void on_answer(struct dns_query *query)
{
	CONTAINER_OF(query, struct question, query)->done = true;
}

static const struct dns_query *ask(const struct inquiry *in, const char *name)
{
	struct question *q = arena_alloc(in->arena, sizeof(*q));

	q->query = (struct dns_query){
		.name = span_text(name), .type = DNS_TXT, .arena = in->arena, .done = on_answer};
	q->done = dns_start(in->dns, &q->query);
	while (!q->done)
		loop_turn(in->loop, true);
	return &q->query;
}

/* "v=DMARC1" stands first (RFC 9989 4.7). */
static bool is_dmarc_record(struct span text)
{
	struct span first = span_first(text, span_find_char(text, ';'));

	return span_equal(dmarc_record_tag(first, "v"), SPAN("DMARC1"));
}

static const char *parent_of(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot ? dot + 1 : "";
}

static bool is_below(const char *name, const char *ancestor)
{
	size_t len = strlen(name), end = strlen(ancestor);

	return len == end ? strcmp(name, ancestor) == 0
			  : len > end && name[len - end - 1] == '.' &&
				    strcmp(name + len - end, ancestor) == 0;
}

/* Whether a name has a record and is not one below which others register theirs (psd=y). */
static enum dmarc_destination_state is_organization(const struct inquiry *in, const char *name)
{
	const struct dns_query *query = ask(in, arena_print(in->arena, "_dmarc.%s", name));

	if (dns_is_unknown(query->outcome))
		return DESTINATION_UNSURE;
	for (size_t i = 0; i < query->n_records; i++)
		if (is_dmarc_record(query->records[i].text))
			return span_equal_nocase(
				       dmarc_record_tag(query->records[i].text, "psd"), SPAN("y"))
				       ? DESTINATION_NOT
				       : DESTINATION_TAKES;
	return DESTINATION_NOT;
}

/* Whether both have one Organizational Domain: an ancestor of both (or one of them) that has a
 * record. A name with one label has none. */
static enum dmarc_destination_state is_same_organization(const struct inquiry *in, const char *host)
{
	enum dmarc_destination_state state = DESTINATION_NOT;
	int asked = 0;

	if (strcmp(in->domain, host) == 0)
		return DESTINATION_TAKES;
	for (const char *name = in->domain; strchr(name, '.') && asked < LABELS_MAX;
		name = parent_of(name)) {
		enum dmarc_destination_state here;

		if (!is_below(host, name))
			continue;
		here = is_organization(in, name);
		if (here == DESTINATION_TAKES)
			return here;
		if (here == DESTINATION_UNSURE)
			state = here;
		asked++;
	}
	return state;
}

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
	const char *name = arena_print(in->arena, "%s._report._dmarc.%s", in->domain, d->host);
	const struct dns_query *query;

	if (strlen(name) > DNS_NAME_MAX) {
		settle(d, DESTINATION_NOT, "the name to ask it by would be too long for DNS");
		return;
	}
	query = ask(in, name);
	if (dns_is_unknown(query->outcome)) {
		settle(d, DESTINATION_UNSURE,
			arena_print(in->arena, "TXT of %s: %s", name,
				dns_outcome_name(query->outcome)));
		return;
	}
	for (size_t i = 0; i < query->n_records; i++) {
		if (!is_dmarc_record(query->records[i].text))
			continue;
		settle(d, DESTINATION_TAKES,
			arena_print(in->arena, "%s says that it takes reports about %s", d->host,
				in->domain));
		take_override(d, in, query->records[i].text);
		return;
	}
	settle(d, DESTINATION_NOT,
		arena_print(in->arena,
			"%s does not say that it takes reports about %s (TXT of "
			"%s)",
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
			"DNS does not tell whether it is of the same "
			"organization");
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
