#include "lib/net/dns_answer.h"

#include <stdio.h>

#include "lib/base/fail.h"

enum {
	HEADER_SIZE = 12,
	WIRE_NAME_MAX = 255,
	LABEL_MAX = 63,
	ALIASES_MAX = 16, /* more than libunbound follows */
	CLASS_IN = 1,
	RCODE_NOERROR = 0,
	RCODE_NXDOMAIN = 3
};

/* --- names --- */

struct name {
	char text[DNS_NAME_SIZE];
	size_t len;
};

static struct span name_span(const struct name *name)
{
	return span_make(name->text, name->len);
}

static bool name_equal(const struct name *a, const struct name *b)
{
	return span_equal(name_span(a), name_span(b));
}

static bool is_plain(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (c && strchr("-_*+/=", c));
}

/* Room is certain: 253 bytes of labels and dots, each at most four characters. */
static void name_add_label(struct name *name, struct span label)
{
	if (name->len)
		name->text[name->len++] = '.';
	for (size_t i = 0; i < label.len; i++) {
		if (is_plain(label.at[i]))
			name->text[name->len++] = ascii_lower(label.at[i]);
		else
			name->len += (size_t)snprintf(name->text + name->len, 5, "\\%03u",
				(unsigned)(uint8_t)label.at[i]);
	}
}

/* One label's \DDD or \X at the front of *rest; false: neither. */
static bool escape_skip(struct span *rest)
{
	uint64_t code;

	if (rest->len >= 2 && !ascii_is_digit(rest->at[1])) {
		*rest = span_from(*rest, 2);
		return true;
	}
	if (rest->len < 4 || !span_number(span_make(rest->at + 1, 3), 255, &code))
		return false;
	*rest = span_from(*rest, 4);
	return true;
}

const char *dns_name_mistake(struct span text)
{
	size_t label = 0, wire = 1;

	if (text.len == 0)
		return "the name is empty";
	if (text.len >= DNS_NAME_SIZE)
		return "the name is too long";
	if (memchr(text.at, '\0', text.len))
		return "the name contains a NUL";
	if (span_equal(text, SPAN(".")))
		return NULL;
	while (text.len) {
		if (text.at[0] == '.') {
			if (label == 0)
				return "the name has an empty label";
			label = 0;
			text = span_from(text, 1);
			continue;
		}
		if (text.at[0] != '\\')
			text = span_from(text, 1);
		else if (!escape_skip(&text))
			return "the name has a broken escape";
		wire += label == 0 ? 2 : 1;
		if (++label > LABEL_MAX)
			return "the name has a label of more than 63 bytes";
		if (wire > WIRE_NAME_MAX)
			return "the name is too long";
	}
	return NULL;
}

/* --- the packet --- */

struct reader {
	struct span packet;
	size_t at;
};

static uint16_t load16(const char *at)
{
	return (uint16_t)((uint8_t)at[0] << 8 | (uint8_t)at[1]);
}

static uint32_t load32(const char *at)
{
	return (uint32_t)load16(at) << 16 | load16(at + 2);
}

static bool read16(struct reader *r, uint16_t *out)
{
	if (r->packet.len - r->at < 2)
		return false;
	*out = load16(r->packet.at + r->at);
	r->at += 2;
	return true;
}

static bool read32(struct reader *r, uint32_t *out)
{
	if (r->packet.len - r->at < 4)
		return false;
	*out = load32(r->packet.at + r->at);
	r->at += 4;
	return true;
}

/* A name with compression (RFC 1035 4.1.4), behind which the reader then stands. Each jump must go
 * to before the place where the last one led to, so that there is an end. name may be NULL. */
static bool read_name(struct reader *r, struct name *name)
{
	size_t at = r->at, lowest = r->at, wire = 1;
	bool jumped = false;

	if (name)
		name->len = 0;
	for (;;) {
		unsigned length;

		if (at >= r->packet.len)
			return false;
		length = (uint8_t)r->packet.at[at];
		if (length >= 0xc0) {
			if (r->packet.len - at < 2)
				return false;
			if (!jumped)
				r->at = at + 2;
			jumped = true;
			at = load16(r->packet.at + at) & 0x3fff;
			if (at >= lowest)
				return false;
			lowest = at;
			if (!name)
				return true;
			continue;
		}
		at++;
		if (length == 0)
			break;
		wire += length + 1;
		if (length > LABEL_MAX || wire > WIRE_NAME_MAX || length > r->packet.len - at)
			return false;
		if (name)
			name_add_label(name, span_make(r->packet.at + at, length));
		at += length;
	}
	if (!jumped)
		r->at = at;
	if (name && name->len == 0)
		name->text[name->len++] = '.';
	return true;
}

struct entry {        /* a resource record (RFC 1035 4.1.3) */
	size_t owner; /* where its name begins */
	uint16_t type, class;
	uint32_t ttl_s;
	size_t data, data_size; /* where its rdata begins */
};

static bool read_entry(struct reader *r, struct entry *e)
{
	uint16_t size;

	e->owner = r->at;
	if (!read_name(r, NULL) || !read16(r, &e->type) || !read16(r, &e->class) ||
		!read32(r, &e->ttl_s) || !read16(r, &size) || r->packet.len - r->at < size)
		return false;
	if (e->ttl_s > INT32_MAX) /* RFC 2181 8 */
		e->ttl_s = 0;
	e->data = r->at;
	e->data_size = size;
	r->at += size;
	return true;
}

static bool entry_is_owned(const struct reader *r, const struct entry *e, const struct name *owner)
{
	struct reader at = {r->packet, e->owner};
	struct name name;

	return e->class == CLASS_IN && read_name(&at, &name) && name_equal(&name, owner);
}

/* A name that is all of the rdata from `skip` on, or with `more`, at its begin. */
static bool entry_name(
	const struct reader *r, const struct entry *e, size_t skip, bool more, struct name *name)
{
	struct reader at = {span_first(r->packet, e->data + e->data_size), e->data + skip};

	if (e->data_size <= skip || !read_name(&at, name))
		return false;
	return more || at.at == e->data + e->data_size;
}

/* --- records --- */

bool dns_text_next(struct span *rest, struct span *string)
{
	size_t length;

	if (rest->len == 0)
		return false;
	length = (uint8_t)rest->at[0];
	if (length >= rest->len)
		return false;
	*string = span_make(rest->at + 1, length);
	*rest = span_from(*rest, length + 1);
	return true;
}

/* At least one string, and they fill the rdata (RFC 1035 3.3.14). */
static bool read_text(struct arena *arena, struct span rdata, struct dns_record *record)
{
	struct span rest = rdata, string, first = SPAN_NONE;
	size_t n_strings = 0, len = 0;
	char *joined;

	while (dns_text_next(&rest, &string)) {
		if (n_strings++ == 0)
			first = string;
		len += string.len;
	}
	if (n_strings == 0 || rest.len)
		return false;
	record->rdata = arena_span(arena, rdata);
	if (n_strings == 1) {
		record->text = span_make(record->rdata.at + 1, first.len);
		return true;
	}
	joined = arena_alloc(arena, len + 1);
	record->text = span_make(joined, len);
	for (rest = record->rdata; dns_text_next(&rest, &string); joined += string.len)
		memcpy(joined, string.at, string.len);
	return true;
}

static bool read_ip(sa_family_t family, struct span rdata, struct ip *out)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	bool v4 = family == AF_INET;

	if (rdata.len != (v4 ? sizeof(in.sin_addr) : sizeof(in6.sin6_addr)))
		return false;
	memcpy(v4 ? (void *)&in.sin_addr : (void *)&in6.sin6_addr, rdata.at, rdata.len);
	*out = endpoint_of(v4 ? (const void *)&in : (const void *)&in6).ip;
	return true;
}

static bool read_record(const struct reader *r, const struct entry *e, struct arena *arena,
	struct dns_record *record)
{
	struct span rdata = span_make(r->packet.at + e->data, e->data_size);
	struct name name;

	*record = (struct dns_record){.ttl_s = e->ttl_s};
	switch (e->type) {
	case DNS_A:
		return read_ip(AF_INET, rdata, &record->ip);
	case DNS_AAAA:
		return read_ip(AF_INET6, rdata, &record->ip);
	case DNS_TXT:
		return read_text(arena, rdata, record);
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
		if (!entry_name(r, e, 0, false, &name))
			return false;
		break;
	case DNS_MX:
		if (!entry_name(r, e, 2, false, &name))
			return false;
		record->preference = load16(rdata.at);
		break;
	case DNS_SOA:
		if (!entry_name(r, e, 0, true, &name))
			return false;
		break;
	default:
		record->rdata = arena_span(arena, rdata);
		return true;
	}
	record->name = arena_span(arena, name_span(&name));
	return true;
}

/* --- the answer --- */

struct answer {
	struct reader entries; /* stands before the first one */
	unsigned rcode, n_answers, n_authority;
	struct name canonical;
	uint32_t ttl_s;
};

static void lower_ttl(struct answer *a, uint32_t ttl_s)
{
	if (ttl_s < a->ttl_s)
		a->ttl_s = ttl_s;
}

static bool read_begin(struct answer *a, struct span packet)
{
	uint16_t type, class;

	*a = (struct answer){.entries = {packet, HEADER_SIZE}, .ttl_s = UINT32_MAX};
	if (packet.len < HEADER_SIZE || load16(packet.at + 4) != 1)
		return false;
	a->rcode = (uint8_t)packet.at[3] & 0xf;
	a->n_answers = load16(packet.at + 6);
	a->n_authority = load16(packet.at + 8);
	return read_name(&a->entries, &a->canonical) && read16(&a->entries, &type) &&
	       read16(&a->entries, &class);
}

/* One step from the canonical name so far; false: it is no alias. */
static bool follow_alias(struct answer *a)
{
	struct reader r = a->entries;
	struct name target;
	struct entry e;

	for (unsigned i = 0; i < a->n_answers && read_entry(&r, &e); i++) {
		if (e.type != DNS_CNAME || !entry_is_owned(&r, &e, &a->canonical))
			continue;
		if (!entry_name(&r, &e, 0, false, &target))
			return false;
		lower_ttl(a, e.ttl_s);
		a->canonical = target;
		return true;
	}
	return false;
}

/* Returns how many records are of this type, malformed or not; all that DNS_RECORDS_MAX leaves
 * room for are tried. */
static unsigned read_records(struct answer *a, struct dns_query *query)
{
	struct reader r = a->entries;
	unsigned seen = 0;
	struct entry e;

	for (unsigned i = 0; i < a->n_answers && read_entry(&r, &e); i++) {
		struct dns_record record;

		if (e.type != query->type || !entry_is_owned(&r, &e, &a->canonical))
			continue;
		seen++;
		if (query->n_records == DNS_RECORDS_MAX ||
			!read_record(&r, &e, query->arena, &record))
			continue;
		if (!query->records) {
			unsigned most = a->n_answers - i;

			if (most > DNS_RECORDS_MAX)
				most = DNS_RECORDS_MAX;
			query->records = arena_alloc(query->arena, most * sizeof(record));
		}
		query->records[query->n_records++] = record;
		lower_ttl(a, e.ttl_s);
	}
	return seen;
}

/* How long an absence holds stands in the zone's SOA record: the lower of its TTL and its last
 * field (RFC 2308 5). */
static void read_absence(struct answer *a)
{
	struct reader r = a->entries;
	struct entry e;
	bool known = false;

	for (unsigned i = 0; i < a->n_answers + a->n_authority && read_entry(&r, &e); i++) {
		if (i < a->n_answers || e.type != DNS_SOA || e.data_size < 22)
			continue;
		lower_ttl(a, e.ttl_s);
		lower_ttl(a, load32(r.packet.at + e.data + e.data_size - 4));
		known = true;
	}
	if (!known)
		a->ttl_s = 0;
}

static void fail(struct dns_query *query, const char *why)
{
	query->outcome = DNS_FAILED;
	query->error = why;
}

void dns_answer_read(struct dns_query *query, struct span packet)
{
	struct answer a;
	unsigned seen;

	if (!read_begin(&a, packet)) {
		fail(query, "the answer is malformed");
		return;
	}
	if (a.rcode != RCODE_NOERROR && a.rcode != RCODE_NXDOMAIN) {
		fail(query, "the server failed");
		return;
	}
	for (unsigned i = 0; query->type != DNS_CNAME && i < ALIASES_MAX; i++)
		if (!follow_alias(&a))
			break;
	seen = read_records(&a, query);
	if (seen && !query->n_records) {
		fail(query, "the records are malformed");
		return;
	}
	query->outcome = query->n_records            ? DNS_FOUND
			 : a.rcode == RCODE_NXDOMAIN ? DNS_NXDOMAIN
						     : DNS_NODATA;
	if (!query->n_records)
		read_absence(&a);
	query->ttl_s = a.ttl_s;
	query->canonical = arena_span(query->arena, name_span(&a.canonical));
}
