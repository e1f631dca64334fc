#include "policy/truth.h"

#include "lib/base/fail.h"

truth_set truth_and(truth_set a, truth_set b)
{
	truth_set out = (a | b) & TRUTH_FALSE;

	out |= a & b & TRUTH_TRUE;
	if ((a & TRUTH_ERROR && b & (TRUTH_TRUE | TRUTH_ERROR)) ||
		(b & TRUTH_ERROR && a & TRUTH_TRUE))
		out |= TRUTH_ERROR;
	return out;
}

truth_set truth_not(truth_set a)
{
	return (truth_set)((a & TRUTH_ERROR) | (a & TRUTH_FALSE) << 1 | (a & TRUTH_TRUE) >> 1);
}

truth_set truth_or(truth_set a, truth_set b)
{
	return truth_not(truth_and(truth_not(a), truth_not(b)));
}

static truth_set truth_of(bool yes)
{
	return yes ? TRUTH_TRUE : TRUTH_FALSE;
}

/* --- one value --- */

static bool is_text(enum fact_type type)
{
	return type == TYPE_TEXT || type == TYPE_DOMAIN || type == TYPE_MAIL;
}

static bool equals(enum fact_type type, const union fact_datum *a, const union fact_datum *b)
{
	switch (type) {
	case TYPE_BOOL:
		return a->yes == b->yes;
	case TYPE_NUMBER:
	case TYPE_SIZE:
		return a->number == b->number;
	case TYPE_CHOICE:
		return a->choice == b->choice;
	case TYPE_IP:
		return ip_equal(&a->ip, &b->ip);
	case TYPE_DOMAIN:
	case TYPE_MAIL:
	case TYPE_TEXT:
		return span_equal_nocase(a->text, b->text);
	case TYPE_COUNT:
		break;
	}
	fail_bug(__FILE__, __LINE__, "a fact has a type");
}

/* Less than 0, 0, more: numbers, sizes and ordered choices. */
static int compare(enum fact_type type, const union fact_datum *a, const union fact_datum *b)
{
	if (type == TYPE_CHOICE)
		return (a->choice > b->choice) - (a->choice < b->choice);
	return (a->number > b->number) - (a->number < b->number);
}

/* Without case; needle is in lower case. */
static bool contains(struct span text, struct span needle)
{
	char lower, upper;

	if (needle.len == 0)
		return true;
	lower = needle.at[0];
	upper = lower >= 'a' && lower <= 'z' ? (char)(lower - ('a' - 'A')) : lower;
	for (size_t i = 0; i + needle.len <= text.len; i++) {
		char c = text.at[i];

		if ((c == lower || c == upper) &&
			span_equal_nocase(span_make(text.at + i, needle.len), needle))
			return true;
	}
	return false;
}

static bool is_under(struct span domain, struct span parent)
{
	if (span_equal_nocase(domain, parent))
		return true;
	return domain.len > parent.len + 1 && domain.at[domain.len - parent.len - 1] == '.' &&
	       span_ends_nocase(domain, parent);
}

static bool in_ranges(const struct test *t, const struct ip *ip)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct ip_range *r = &t->ranges[i];

		if (r->first.family == ip->family && memcmp(r->first.bytes, ip->bytes, 16) <= 0 &&
			memcmp(ip->bytes, r->last.bytes, 16) <= 0)
			return true;
	}
	return false;
}

static bool in_data(const struct test *t, const union fact_datum *datum)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->op == OP_CONTAINS ? contains(datum->text, t->data[i].text)
		    : t->op == OP_UNDER	 ? is_under(datum->text, t->data[i].text)
					 : equals(t->type, datum, &t->data[i]))
			return true;
	return false;
}

static bool in_list(const struct test *t, const union fact_datum *datum)
{
	if (t->op == OP_UNDER)
		return list_match_under(t->list->content, datum->text, NULL);
	if (is_text(t->type))
		return list_match_text(t->list->content, datum->text, NULL);
	return list_match_ip(t->list->content, &datum->ip, NULL);
}

static truth_set matches(
	const struct test *t, struct span text, struct pattern_scratch *scratch)
{
	truth_set out = TRUTH_FALSE;

	for (size_t i = 0; i < t->n; i++) {
		switch (pattern_match(t->patterns[i], text, scratch)) {
		case PATTERN_YES:
			return TRUTH_TRUE;
		case PATTERN_NO:
			break;
		case PATTERN_LIMIT:
			out = TRUTH_ERROR;
			break;
		}
	}
	return out;
}

static bool datum_passes(const struct test *t, const union fact_datum *datum)
{
	switch (t->op) {
	case OP_TRUE:
		return datum->yes;
	case OP_EQUAL:
		return equals(t->type, datum, &t->datum);
	case OP_NOT_EQUAL:
		return !equals(t->type, datum, &t->datum);
	case OP_LESS:
		return compare(t->type, datum, &t->datum) < 0;
	case OP_LESS_EQUAL:
		return compare(t->type, datum, &t->datum) <= 0;
	case OP_GREATER:
		return compare(t->type, datum, &t->datum) > 0;
	case OP_GREATER_EQUAL:
		return compare(t->type, datum, &t->datum) >= 0;
	case OP_CONTAINS:
		return t->operand == OPERAND_DATA ? in_data(t, datum)
						  : contains(datum->text, t->datum.text);
	case OP_UNDER:
	case OP_IN:
		if (t->operand == OPERAND_LIST)
			return in_list(t, datum);
		if (t->operand == OPERAND_DATA)
			return in_data(t, datum);
		if (t->operand == OPERAND_RANGES)
			return in_ranges(t, &datum->ip);
		if (t->operand == OPERAND_CIDR)
			return cidr_contains(&t->cidr, &datum->ip);
		return t->op == OP_UNDER ? is_under(datum->text, t->datum.text)
					 : equals(t->type, datum, &t->datum);
	case OP_MATCHES:
	case OP_IS_NONE:
	case OP_IS_NOT_NONE:
		break;
	}
	fail_bug(__FILE__, __LINE__, "an operator looks at a value");
}

static truth_set truth_of_datum(
	const struct test *t, const union fact_datum *datum, struct pattern_scratch *scratch)
{
	if (t->op == OP_MATCHES)
		return matches(t, datum->text, scratch);
	return truth_of(datum_passes(t, datum));
}

/* --- all values of a fact --- */

static int none_choice(const struct test *t)
{
	if (t->type != TYPE_CHOICE || !t->slot)
		return -1;
	return fact_choice_find(t->slot->fact, SPAN("none"));
}

static bool is_none(const struct test *t, const struct fact_value *value)
{
	int none;

	if (value->count == 0)
		return true;
	none = none_choice(t);
	return none >= 0 && value->count == 1 && value->items[0].choice == (unsigned)none;
}

/* A fact that is none equals nothing; where `none` is one of its words, it is that word. */
static truth_set truth_of_none(const struct test *t, struct pattern_scratch *scratch)
{
	int none = none_choice(t);
	union fact_datum word = {.choice = (unsigned)none};

	if (none >= 0)
		return truth_of_datum(t, &word, scratch);
	return truth_of(t->op == OP_NOT_EQUAL);
}

truth_set test_of_value(
	const struct test *t, const struct fact_value *value, struct pattern_scratch *scratch)
{
	bool every = t->quantifier == QUANTIFIER_ALL;
	truth_set out = truth_of(every);

	if (t->operand == OPERAND_LIST && !t->list->content)
		return TRUTH_ERROR; /* kept in the store: not at hand */
	if (t->op == OP_IS_NONE || t->op == OP_IS_NOT_NONE) {
		out = truth_of(is_none(t, value) == (t->op == OP_IS_NONE));
	} else if (t->operand == OPERAND_LISTED) {
		out = truth_of(value->count > 0);
	} else if (t->quantifier == QUANTIFIER_ONE) {
		return value->count ? truth_of_datum(t, &value->items[0], scratch)
				    : truth_of_none(t, scratch);
	} else {
		truth_set settled = every ? TRUTH_FALSE : TRUTH_TRUE;

		for (uint32_t i = 0; i < value->count && out != settled; i++) {
			truth_set one = truth_of_datum(t, &value->items[i], scratch);

			out = every ? truth_and(out, one) : truth_or(out, one);
		}
	}
	return t->quantifier == QUANTIFIER_NO ? truth_not(out) : out;
}

/* --- hashes --- */

static uint64_t mix(uint64_t h, uint64_t more)
{
	h = (h ^ more) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

/* Of rules' own literals, so it need not stand up to anybody's choice of inputs: whoever finds two
 * that collide makes one rule be looked at in vain. */
uint64_t datum_hash(enum fact_type type, const union fact_datum *datum)
{
	uint64_t h = UINT64_C(0x243f6a8885a308d3), bits;

	switch (type) {
	case TYPE_BOOL:
		return mix(h, datum->yes);
	case TYPE_CHOICE:
		return mix(h, datum->choice);
	case TYPE_NUMBER:
	case TYPE_SIZE:
		memcpy(&bits, &datum->number, sizeof(bits));
		if (datum->number == 0) /* there are two of them */
			bits = 0;
		return mix(h, bits);
	case TYPE_IP:
		for (size_t i = 0; i < sizeof(datum->ip.bytes); i++)
			h = mix(h, datum->ip.bytes[i]);
		return mix(h, datum->ip.family);
	case TYPE_DOMAIN:
	case TYPE_MAIL:
	case TYPE_TEXT:
		for (size_t i = 0; i < datum->text.len; i++)
			h = mix(h, (uint8_t)ascii_lower(datum->text.at[i]));
		return h;
	case TYPE_COUNT:
		break;
	}
	fail_bug(__FILE__, __LINE__, "a fact has a type");
}
