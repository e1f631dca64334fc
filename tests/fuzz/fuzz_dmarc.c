/*
 * DMARC over zones of any kind. The input is lines: the domain in From and those of identities
 * ("spf=a dkim=b ?dkim=c"), then a zone ("_dmarc.a.example v=DMARC1; p=none"; the text ! is
 * trouble, - is none of this type). Whatever order the answers come in, the verdict is the same;
 * one that is certain early stands to the end; and without trouble it is what the steps of RFC 9989
 * 4.10 come to, gone one after another.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/fail.h"
#include "lib/mail/dmarc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 48, IDENTITIES = 6, INPUT_MAX = 4096, WISHES_MAX = 96 };

static struct span lines[LINES_MAX]; /* of the zone: name and text */
static struct span texts[LINES_MAX];
static size_t n_lines;

/* --- the zone --- */

static struct span next_line(struct span *rest)
{
	size_t end = span_find_char(*rest, '\n');
	struct span line = span_first(*rest, end);

	*rest = span_from(*rest, end + 1);
	return line;
}

static void read_zone(struct span rest)
{
	for (n_lines = 0; rest.len && n_lines < LINES_MAX; n_lines++) {
		struct span line = next_line(&rest);
		size_t end = span_find_char(line, ' ');

		lines[n_lines] = span_first(line, end);
		texts[n_lines] = span_from(line, end + 1);
	}
}

static enum dmarc_answer look_up(struct span name, struct span *out, size_t *n)
{
	enum dmarc_answer answer = DMARC_NO_NAME;

	*n = 0;
	for (size_t i = 0; i < n_lines; i++) {
		if (!span_equal_nocase(lines[i], name))
			continue;
		if (span_equal(texts[i], SPAN("!")) || span_equal(texts[i], SPAN("-"))) {
			*n = 0;
			return texts[i].at[0] == '!' ? DMARC_TROUBLE : DMARC_NO_TEXT;
		}
		answer = DMARC_TEXTS;
		out[(*n)++] = texts[i];
	}
	return answer;
}

/* --- the RFC's steps, as they are told --- */

static bool trouble;

/* Steps 1, 2 and 5, 6: the one record at a name. */
static bool record_at(struct span domain, struct dmarc_record *out)
{
	struct span found[LINES_MAX];
	char name[512] = "_dmarc.";
	struct dmarc_record record;
	size_t n, records = 0;

	memcpy(name + 7, domain.at, domain.len);
	if (look_up(span_make(name, domain.len + 7), found, &n) == DMARC_TROUBLE)
		trouble = true;
	for (size_t i = 0; i < n; i++)
		if (dmarc_record_read(found[i], &record)) {
			*out = record;
			records++;
		}
	return records == 1;
}

static size_t labels_of(struct span name)
{
	size_t n = name.len > 0;

	for (size_t i = 0; i < name.len; i++)
		n += name.at[i] == '.';
	return n;
}

static struct span without_label(struct span name)
{
	return span_from(name, span_find_char(name, '.') + 1);
}

/* 4.10.2, and for an organization below a PSD, which PSD (4.10.1). */
static struct span reference_organization(struct span domain, struct span *psd)
{
	struct span organization = domain, target = domain;
	struct dmarc_record record;

	*psd = SPAN_NONE;
	for (bool first = true; target.len; first = false) {
		if (record_at(target, &record)) {
			if (record.psd == DMARC_PSD_YES && !first) {
				*psd = target;
				target = domain;
				while (labels_of(target) > labels_of(*psd) + 1)
					target = without_label(target);
				return target;
			}
			organization = target;
			if (record.psd != DMARC_PSD_UNSAID)
				return organization;
		}
		do
			target = without_label(target);
		while (labels_of(target) > 7);
	}
	return organization;
}

static bool reference_record(struct span from, struct dmarc_record *out, bool *below)
{
	struct span psd, organization = reference_organization(from, &psd);

	*below = false;
	if (record_at(from, out))
		return true;
	*below = true;
	/* What the walk passes over for its length is not asked for. */
	if (labels_of(organization) <= 7 && record_at(organization, out))
		return true;
	return psd.len && record_at(psd, out);
}

/* --- what is tested --- */

struct given {
	struct span from;
	struct span identities[IDENTITIES];
	bool by_spf[IDENTITIES], unsure[IDENTITIES];
	size_t n;
};

static void read_given(struct span line, struct given *out)
{
	out->from = span_word(&line);
	for (out->n = 0; line.len && out->n < IDENTITIES; out->n++) {
		struct span word = span_word(&line);

		out->unsure[out->n] = word.len && word.at[0] == '?';
		word = span_from(word, out->unsure[out->n]);
		out->by_spf[out->n] = word.len && word.at[0] == 's';
		out->identities[out->n] = span_from(word, span_find_char(word, '=') + 1);
	}
}

struct outcome {
	enum dmarc_code code;
	enum dmarc_policy policy;
	enum dmarc_knowledge policy_state, spf_state, dkim_state;
	bool spf, dkim, applies;
};

static void take_outcome(const struct dmarc_verdict *v, struct outcome *out)
{
	*out = (struct outcome){v->code, v->found.policy, v->found.policy_state, v->spf_state,
		v->dkim_state, v->spf, v->dkim, v->found.record != NULL};
}

/* Answers one wish after another, in an order that `seed` makes. */
static bool judge(const struct given *given, uint32_t seed, struct outcome *out)
{
	struct arena *arena = arena_new(4096);
	struct dmarc *dmarc = dmarc_new(arena, NULL, NULL);
	struct dmarc_domain *from = dmarc_domain(dmarc, given->from);
	struct dmarc_identity identities[IDENTITIES];
	const struct dmarc_wish *wishes[WISHES_MAX], *wish;
	enum dmarc_knowledge state;
	size_t n = 0, n_wishes = 0, asked = 0;
	struct dmarc_verdict v;
	bool certain = false;

	for (size_t i = 0; i < given->n; i++) {
		struct dmarc_domain *domain = dmarc_domain(dmarc, given->identities[i]);

		if (domain || given->unsure[i])
			identities[n++] =
				(struct dmarc_identity){domain, given->by_spf[i], given->unsure[i]};
	}
	for (; from;) {
		state = dmarc_judge(dmarc, from, identities, n, &v);
		ENSURE(state != DMARC_UNKNOWN && (!certain || state == DMARC_KNOWN));
		if (certain)
			ENSURE(v.code == out->code);
		certain = state == DMARC_KNOWN;
		take_outcome(&v, out);
		while ((wish = dmarc_wish(dmarc))) {
			ENSURE(n_wishes < WISHES_MAX);
			wishes[n_wishes++] = wish;
			asked++;
		}
		if (!n_wishes)
			break;
		seed = seed * 1664525 + 1013904223;
		{
			struct span found[LINES_MAX];
			size_t pick = (seed >> 16) % n_wishes, n_found;
			enum dmarc_answer answer = look_up(wishes[pick]->name, found, &n_found);

			dmarc_answer(dmarc, wishes[pick]->number, answer, found, n_found);
			wishes[pick] = wishes[--n_wishes];
		}
	}
	if (from) {
		ENSURE(certain && asked <= (n + 1) * DMARC_WALK_MAX + 1);
		ENSURE(out->spf_state != DMARC_OPEN && out->dkim_state != DMARC_OPEN);
		ENSURE(out->policy_state != DMARC_OPEN);
	}
	arena_free(&arena);
	return from != NULL;
}

static void lower(struct span name, char *out)
{
	for (size_t i = 0; i < name.len; i++)
		out[i] = ascii_lower(name.at[i]);
}

/* Only called where there is no trouble. */
static void compare(const struct given *given, const struct outcome *out)
{
	char from_text[512], other_text[512];
	struct span from, psd, found[LINES_MAX];
	struct dmarc_record record;
	bool below, passes = false, exists;
	size_t n;

	lower(given->from, from_text);
	from = span_make(from_text, given->from.len - (given->from.at[given->from.len - 1] == '.'));
	if (!reference_record(from, &record, &below) || !record.applies) {
		ENSURE(out->code == DMARC_IS_NONE && !out->applies);
		return;
	}
	for (size_t i = 0; i < given->n; i++) {
		struct span other = given->identities[i], other_psd;
		bool strict = given->by_spf[i] ? record.strict_spf : record.strict_dkim;

		if (given->unsure[i] || !other.len)
			continue;
		other.len -= other.at[other.len - 1] == '.';
		if (!domain_valid(other, false))
			continue;
		lower(other, other_text);
		other.at = other_text;
		passes |= span_equal(from, other) ||
			  (!strict && span_equal(reference_organization(from, &psd),
					      reference_organization(other, &other_psd)));
	}
	ENSURE(passes == (out->code == DMARC_IS_PASS));
	exists = look_up(from, found, &n) != DMARC_NO_NAME;
	memmove(other_text, "_dmarc.", 7);
	memcpy(other_text + 7, from.at, from.len);
	exists |= look_up(span_make(other_text, from.len + 7), found, &n) != DMARC_NO_NAME;
	ENSURE(out->policy == dmarc_record_policy(&record, below, exists));
}

static void try_record(struct span text)
{
	struct dmarc_record record, again;
	struct dmarc_uri uri;
	struct span list;
	size_t n = 0;

	if (!dmarc_record_read(text, &record))
		return;
	ENSURE(span_starts_nocase(text, SPAN("v")));
	ENSURE(dmarc_record_read(record.text, &again) && again.p == record.p);
	ENSURE(record.applies == (record.p != DMARC_ABSENT));
	for (list = record.rua; dmarc_uri_next(&list, &uri); n++) {
		struct address address;

		ENSURE(uri.text.len > 0);
		if (uri.mailto)
			ENSURE(address_parse(span_text(uri.mailbox), true, &address) ==
					ADDRESS_OK &&
				span_equal(address.domain, uri.domain));
	}
	ENSURE(record.applies || n == 0);
	for (list = record.ruf; dmarc_uri_next(&list, &uri);)
		continue;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_make(data, size < INPUT_MAX ? size : INPUT_MAX);
	struct outcome one, other;
	struct given given;

	read_given(next_line(&rest), &given);
	read_zone(rest);
	for (size_t i = 0; i < n_lines; i++)
		try_record(texts[i]);
	trouble = false;
	if (!judge(&given, 0, &one))
		return 0;
	for (uint32_t seed = 1; seed <= 3; seed++) {
		ENSURE(judge(&given, seed * 7919, &other));
		ENSURE(one.code == other.code && one.policy == other.policy &&
			one.policy_state == other.policy_state && one.spf == other.spf &&
			one.dkim == other.dkim && one.spf_state == other.spf_state &&
			one.dkim_state == other.dkim_state && one.applies == other.applies);
	}
	for (size_t i = 0; i < n_lines; i++)
		trouble |= span_equal(texts[i], SPAN("!"));
	for (size_t i = 0; i < given.n; i++)
		trouble |= given.unsure[i];
	if (!trouble)
		compare(&given, &one);
	return 0;
}
