/*
 * Every name that a walk may ask for is known before the first answer, so they are asked side by
 * side, and the steps of RFC 9989 4.10 are gone through over the answers, longest name first. What
 * comes after a psd=y or psd=n counts for nothing, whether it was answered or not.
 *
 * Rejected: asking one after another, as the RFC tells the steps; it saves a question only below a
 * psd tag, and waits eight times in the worst case.
 */
#include "lib/mail/dmarc.h"

#include "lib/base/fail.h"

enum name_state { NAME_OPEN, NAME_TROUBLE, NAME_NOTHING, NAME_RECORD };

/* What is known of one name. */
struct name {
	struct dmarc_wish wish;
	struct span of; /* the domain: the wish's name without "_dmarc." */
	bool wanted, given;
	enum name_state state;
	bool missing;  /* it does not exist */
	bool too_many; /* it has several records, which is as none (RFC 9989 4.10) */
	struct dmarc_record record;
	struct name *next;
};

struct dmarc_domain {
	struct span name; /* lower case */
	struct name *walk[DMARC_WALK_MAX];
	size_t n_walk;
	struct name *existence;
	struct dmarc_domain *next;
};

struct dmarc {
	struct arena *arena; /* borrowed */
	struct span (*organizational)(void *context, struct span domain);
	void *context;
	struct name *first, **last; /* by number */
	unsigned n_names;
	struct dmarc_domain *domains;
};

const char *dmarc_code_name(enum dmarc_code code)
{
	static const char *const names[] = {
#define X(name, word) [DMARC_IS_##name] = (word),
		DMARC_CODES(X)
#undef X
	};

	return names[code];
}

struct dmarc *dmarc_new(struct arena *arena,
	struct span (*organizational)(void *context, struct span domain), void *context)
{
	struct dmarc *dmarc = arena_alloc(arena, sizeof(*dmarc));

	dmarc->arena = arena;
	dmarc->organizational = organizational;
	dmarc->context = context;
	dmarc->last = &dmarc->first;
	return dmarc;
}

/* --- names --- */

static struct name *name_of(struct dmarc *dmarc, struct span domain, bool existence)
{
	struct name *name;

	for (name = dmarc->first; name; name = name->next)
		if (name->wish.existence == existence && span_equal(name->of, domain))
			return name;
	name = arena_alloc(dmarc->arena, sizeof(*name));
	name->of = domain;
	name->wish.number = dmarc->n_names++;
	name->wish.existence = existence;
	name->wish.name =
		existence ? domain
			  : span_text(arena_print(dmarc->arena, "_dmarc.%.*s", SPAN_ARGS(domain)));
	*dmarc->last = name;
	dmarc->last = &name->next;
	return name;
}

const struct dmarc_wish *dmarc_wish(struct dmarc *dmarc)
{
	for (struct name *name = dmarc->first; name; name = name->next) {
		if (!name->wanted || name->given)
			continue;
		name->given = true;
		return &name->wish;
	}
	return NULL;
}

/* RFC 9989 4.10: what is no record is left aside, and several are as none. */
static void take_texts(struct dmarc *dmarc, struct name *name, const struct span *texts, size_t n)
{
	struct dmarc_record record;

	for (size_t i = 0; i < n && !name->too_many; i++) {
		if (!dmarc_record_read(texts[i], &record))
			continue;
		name->too_many = name->state == NAME_RECORD;
		name->state = name->too_many ? NAME_NOTHING : NAME_RECORD;
		name->record = record;
	}
	if (name->state == NAME_RECORD)
		ENSURE(dmarc_record_read(
			arena_span(dmarc->arena, name->record.text), &name->record));
}

void dmarc_answer(struct dmarc *dmarc, unsigned wish, enum dmarc_answer answer,
	const struct span *texts, size_t n)
{
	struct name *name = dmarc->first;

	ENSURE(wish < dmarc->n_names);
	while (name->wish.number != wish)
		name = name->next;
	if (name->state != NAME_OPEN)
		return;
	name->state = answer == DMARC_TROUBLE ? NAME_TROUBLE : NAME_NOTHING;
	name->missing = answer == DMARC_NO_NAME;
	if (answer == DMARC_TEXTS && !name->wish.existence)
		take_texts(dmarc, name, texts, n);
}

static enum dmarc_knowledge want(struct name *name)
{
	name->wanted = true;
	return DMARC_OPEN;
}

/* --- domains --- */

static size_t count_labels(struct span name)
{
	size_t n = 1;

	for (size_t i = 0; i < name.len; i++)
		n += name.at[i] == '.';
	return n;
}

static struct span parent_of(struct span name)
{
	return span_from(name, span_find_char(name, '.') + 1);
}

/* RFC 9989 4.10, steps 1 to 7: the name itself, its last seven labels or what is above it, and so
 * on up. */
static void lay_walk(struct dmarc *dmarc, struct dmarc_domain *domain)
{
	struct span name = domain->name;

	domain->walk[domain->n_walk++] = name_of(dmarc, name, false);
	for (name = parent_of(name); name.len; name = parent_of(name))
		if (count_labels(name) < DMARC_WALK_MAX)
			domain->walk[domain->n_walk++] = name_of(dmarc, name, false);
}

struct dmarc_domain *dmarc_domain(struct dmarc *dmarc, struct span name)
{
	struct dmarc_domain *domain;
	char *copy;

	if (name.len && name.at[name.len - 1] == '.')
		name.len--;
	if (!domain_valid(name, false))
		return NULL;
	for (domain = dmarc->domains; domain; domain = domain->next)
		if (span_equal_nocase(domain->name, name))
			return domain;
	copy = arena_string(dmarc->arena, name);
	for (size_t i = 0; i < name.len; i++)
		copy[i] = ascii_lower(copy[i]);
	domain = arena_alloc(dmarc->arena, sizeof(*domain));
	domain->name = span_make(copy, name.len);
	lay_walk(dmarc, domain);
	domain->next = dmarc->domains;
	dmarc->domains = domain;
	return domain;
}

struct span dmarc_domain_name(const struct dmarc_domain *domain)
{
	return domain->name;
}

/* The name, or one that it is below. */
static bool is_within(struct span name, struct span above)
{
	size_t more = name.len - above.len;

	return span_equal(name, above) || (name.len > above.len && name.at[more - 1] == '.' &&
						  span_equal(span_from(name, more), above));
}

/* --- the tree walk --- */

/* What one walk says; `at` is the index of the record in the walk. */
struct walked {
	struct span organization;
	size_t at;
	bool found;
};

static enum dmarc_knowledge want_walk(struct dmarc_domain *domain)
{
	for (size_t i = 0; i < domain->n_walk; i++)
		domain->walk[i]->wanted = true;
	return DMARC_OPEN;
}

static struct span one_below(const struct dmarc_domain *domain, struct span above)
{
	size_t at = domain->name.len - above.len - 1; /* the dot before it */

	while (at && domain->name.at[at - 1] != '.')
		at--;
	return span_from(domain->name, at);
}

/* RFC 9989 4.10.2. A psd=y where the walk begins ends it and means nothing else. */
static enum dmarc_knowledge walk(struct dmarc_domain *domain, struct walked *out)
{
	*out = (struct walked){.organization = domain->name};
	for (size_t i = 0; i < domain->n_walk; i++) {
		const struct name *name = domain->walk[i];

		if (name->state == NAME_OPEN)
			return want_walk(domain);
		if (name->state == NAME_TROUBLE)
			return DMARC_UNKNOWN;
		if (name->state != NAME_RECORD)
			continue;
		/* The PSD's own record is the last choice (4.10.1). */
		if (name->record.psd == DMARC_PSD_YES && i > 0) {
			out->organization = one_below(domain, name->of);
			if (!out->found ||
				!span_equal(domain->walk[out->at]->of, out->organization))
				out->at = i;
			out->found = true;
			return DMARC_KNOWN;
		}
		*out = (struct walked){.organization = name->of, .at = i, .found = true};
		if (name->record.psd != DMARC_PSD_UNSAID)
			return DMARC_KNOWN;
	}
	return DMARC_KNOWN;
}

/* The Organizational Domain that the list of suffixes tells. */
static struct name *listed_name(struct dmarc *dmarc, const struct dmarc_domain *domain)
{
	struct span organization = dmarc->organizational(dmarc->context, domain->name);

	if (organization.len == 0 || !is_within(domain->name, organization))
		return domain->walk[0];
	return name_of(dmarc, span_from(domain->name, domain->name.len - organization.len), false);
}

enum dmarc_knowledge dmarc_organization(
	struct dmarc *dmarc, struct dmarc_domain *domain, struct span *out)
{
	enum dmarc_knowledge state;
	struct walked walked;

	if (dmarc->organizational) {
		*out = listed_name(dmarc, domain)->of;
		return DMARC_KNOWN;
	}
	state = walk(domain, &walked);
	*out = walked.organization;
	return state;
}

/* --- the policy --- */

/* Whether a domain without a record of its own exists: it does if there is anything at or below its
 * "_dmarc" (RFC 8020), and else has to be asked for. */
static enum dmarc_knowledge find_existence(
	struct dmarc *dmarc, struct dmarc_domain *from, bool *exists)
{
	*exists = true;
	if (from->walk[0]->state != NAME_TROUBLE && !from->walk[0]->missing)
		return DMARC_KNOWN;
	if (!from->existence)
		from->existence = name_of(dmarc, from->name, true);
	if (from->existence->state == NAME_OPEN)
		return want(from->existence);
	*exists = !from->existence->missing;
	return from->existence->state == NAME_TROUBLE ? DMARC_UNKNOWN : DMARC_KNOWN;
}

static void take_record(struct dmarc *dmarc, struct dmarc_domain *from, const struct name *name,
	struct dmarc_found *out)
{
	const struct dmarc_record *record = &name->record;
	bool below = name != from->walk[0], exists = true;

	if (!record->applies) /* RFC 9989 4.10.1: no DMARC for this message */
		return;
	out->record = record;
	out->domain = name->of;
	if (below &&
		dmarc_record_policy(record, true, true) != dmarc_record_policy(record, true, false))
		out->policy_state = find_existence(dmarc, from, &exists);
	out->policy = dmarc_record_policy(record, below, exists);
}

/* RFC 7489 6.6.3: at the domain, then at its Organizational Domain; several records at one of them
 * are the end of it. */
static enum dmarc_knowledge find_listed(
	struct dmarc *dmarc, struct dmarc_domain *from, const struct name **out)
{
	struct name *own = from->walk[0], *name = own, *listed = listed_name(dmarc, from);

	if (own->state == NAME_OPEN)
		want(listed);
	if (own->state == NAME_NOTHING && !own->too_many)
		name = listed;
	if (name->state == NAME_OPEN)
		return want(name);
	if (name->state == NAME_TROUBLE)
		return DMARC_UNKNOWN;
	*out = name->state == NAME_RECORD ? name : NULL;
	return DMARC_KNOWN;
}

static enum dmarc_knowledge find_walked(struct dmarc_domain *from, const struct name **out)
{
	struct name *own = from->walk[0];
	enum dmarc_knowledge state;
	struct walked walked;

	*out = own;
	if (own->state == NAME_RECORD)
		return DMARC_KNOWN;
	state = walk(from, &walked);
	*out = walked.found ? from->walk[walked.at] : NULL;
	return state;
}

enum dmarc_knowledge dmarc_find(
	struct dmarc *dmarc, struct dmarc_domain *from, struct dmarc_found *out)
{
	const struct name *name = NULL;
	enum dmarc_knowledge state;

	*out = (struct dmarc_found){.policy = DMARC_ABSENT, .policy_state = DMARC_KNOWN};
	state = dmarc->organizational ? find_listed(dmarc, from, &name) : find_walked(from, &name);
	if (state == DMARC_KNOWN && name)
		take_record(dmarc, from, name, out);
	return state;
}

/* --- alignment --- */

/* Up to which index a walk is the domain's alone: the rest is the other's too. n_walk: all of it.
 */
static size_t own_part(const struct dmarc_domain *domain, const struct dmarc_domain *other)
{
	size_t i = 0;

	while (i < domain->n_walk && !is_within(other->name, domain->walk[i]->of))
		i++;
	return i;
}

/* Nothing in the part that is its own ends the walk. */
static bool leaves_own(const struct dmarc_domain *domain, size_t own)
{
	for (size_t i = 0; i < own; i++)
		if (domain->walk[i]->state < NAME_NOTHING ||
			(domain->walk[i]->state == NAME_RECORD &&
				domain->walk[i]->record.psd != DMARC_PSD_UNSAID))
			return false;
	return true;
}

/* Two walks that both come to names which they share end at the same one of these, whatever those
 * that are not known say, if there is a record at all. Only the first shared one must be known: if
 * it is a PSD they part below it. So a broken server above both does no harm. */
static bool surely_meet(const struct dmarc_domain *a, const struct dmarc_domain *b)
{
	size_t own = own_part(a, b), own_b = own_part(b, a);

	if (own == a->n_walk || own_b == b->n_walk || a->walk[own] != b->walk[own_b] ||
		!leaves_own(a, own) || !leaves_own(b, own_b) || a->walk[own]->state < NAME_NOTHING)
		return false;
	for (size_t i = own; i < a->n_walk; i++)
		if (a->walk[i]->state == NAME_RECORD)
			return true;
	return false;
}

/* False when only the last label is the same: they are strangers, most likely, and the other's walk
 * can wait until the first one's is known. */
static bool are_near(const struct dmarc_domain *from, const struct dmarc_domain *other)
{
	return own_part(from, other) + 1 < from->n_walk;
}

/* Relaxed, by the walk. */
static enum dmarc_knowledge meet(struct dmarc_domain *from, struct dmarc_domain *other, bool *out)
{
	enum dmarc_knowledge state, other_state;
	struct walked walked, others;

	*out = false;
	if (own_part(from, other) == from->n_walk)
		return DMARC_KNOWN;
	state = walk(from, &walked);
	if (state == DMARC_KNOWN && !is_within(other->name, walked.organization))
		return DMARC_KNOWN;
	if (state == DMARC_OPEN && !are_near(from, other))
		return DMARC_OPEN;
	other_state = walk(other, &others);
	if (state == DMARC_KNOWN && other_state == DMARC_KNOWN) {
		*out = span_equal(walked.organization, others.organization);
		return DMARC_KNOWN;
	}
	*out = surely_meet(from, other);
	if (*out)
		return DMARC_KNOWN;
	return state == DMARC_OPEN || other_state == DMARC_OPEN ? DMARC_OPEN : DMARC_UNKNOWN;
}

enum dmarc_knowledge dmarc_aligned(struct dmarc *dmarc, struct dmarc_domain *from,
	struct dmarc_domain *other, bool strict, bool *out)
{
	*out = from == other;
	if (*out || strict)
		return DMARC_KNOWN;
	if (!dmarc->organizational)
		return meet(from, other, out);
	*out = listed_name(dmarc, from) == listed_name(dmarc, other);
	return DMARC_KNOWN;
}

/* --- the verdict --- */

/* What all identities of a kind come to: the best of those that pass, and whether one that is
 * unsure could change it. */
struct alignment {
	bool aligned, open, unknown, unsure;
};

static void align_one(struct dmarc *dmarc, struct dmarc_domain *from,
	const struct dmarc_identity *identity, bool strict, struct alignment *out)
{
	enum dmarc_knowledge state = DMARC_UNKNOWN;
	bool aligned = false;

	if (identity->domain)
		state = dmarc_aligned(dmarc, from, identity->domain, strict, &aligned);
	if (state == DMARC_OPEN)
		out->open = true;
	else if (identity->unsure)
		out->unsure |= aligned || state == DMARC_UNKNOWN;
	else if (state == DMARC_UNKNOWN)
		out->unknown = true;
	else
		out->aligned |= aligned;
}

static struct alignment align(struct dmarc *dmarc, struct dmarc_domain *from,
	const struct dmarc_identity *identities, size_t n, bool by_spf, bool strict)
{
	struct alignment all = {.aligned = false};

	for (size_t i = 0; i < n; i++)
		if (identities[i].by_spf == by_spf)
			align_one(dmarc, from, &identities[i], strict, &all);
	return all;
}

static enum dmarc_knowledge alignment_state(const struct alignment *of)
{
	if (of->aligned)
		return DMARC_KNOWN;
	if (of->open)
		return DMARC_OPEN;
	return of->unknown || of->unsure ? DMARC_UNKNOWN : DMARC_KNOWN;
}

/* RFC 9989 5.3.5, 5.3.6: without an answer to each question that matters, no pass and no fail. */
static enum dmarc_knowledge conclude(
	const struct alignment *spf, const struct alignment *dkim, struct dmarc_verdict *out)
{
	out->spf = spf->aligned;
	out->dkim = dkim->aligned;
	out->spf_state = alignment_state(spf);
	out->dkim_state = alignment_state(dkim);
	if (spf->aligned || dkim->aligned)
		out->code = DMARC_IS_PASS;
	else if (out->spf_state == DMARC_OPEN || out->dkim_state == DMARC_OPEN)
		return DMARC_OPEN;
	else if (out->spf_state == DMARC_UNKNOWN || out->dkim_state == DMARC_UNKNOWN)
		out->code = DMARC_IS_TEMPERROR;
	else
		out->code = DMARC_IS_FAIL;
	return DMARC_KNOWN;
}

enum dmarc_knowledge dmarc_judge(struct dmarc *dmarc, struct dmarc_domain *from,
	const struct dmarc_identity *identities, size_t n, struct dmarc_verdict *out)
{
	enum dmarc_knowledge state;
	struct alignment spf, dkim;
	struct dmarc_found found;

	*out = (struct dmarc_verdict){.code = DMARC_IS_NONE};
	state = dmarc_find(dmarc, from, &found);
	out->found = found;
	out->spf_state = out->dkim_state = state;
	if (state == DMARC_UNKNOWN)
		out->code = DMARC_IS_TEMPERROR;
	if (state == DMARC_UNKNOWN || (state == DMARC_KNOWN && !found.record))
		return DMARC_KNOWN;
	/* Before the record is known, too, so that all that it may take is asked at once. */
	spf = align(dmarc, from, identities, n, true, found.record && found.record->strict_spf);
	dkim = align(dmarc, from, identities, n, false, found.record && found.record->strict_dkim);
	return state == DMARC_OPEN ? DMARC_OPEN : conclude(&spf, &dkim, out);
}
