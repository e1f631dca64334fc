/*
 * Element names, their order and their words are RFC 9990's (its tables and its XML schema; the
 * namespace is registered there). Everything else in a report was chosen by those who sent the
 * mail.
 */
#include "admin/dmarc_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/fail.h"
#include "lib/base/ip.h"
#include "lib/mail/dmarc_record.h"
#include "lib/net/digest.h"
#include "proxy/process/version.h"

enum { SHA256_DIGITS = 64, DAY_S = 24 * 3600, FO_MAX = 20 };

struct writer {
	struct buffer *out;
	bool full;
	unsigned depth;
};

/* --- days --- */

/* Days since 1970 to the first of March of a year and so on, by Howard Hinnant's days_from_civil.
 */
static uint64_t days_of(unsigned year, unsigned month, unsigned day)
{
	unsigned y = month <= 2 ? year - 1 : year, era = y / 400, of_era = y - era * 400;
	unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return (uint64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool dmarc_day_read(const char *text, uint64_t *begin_s)
{
	char again[CLOCK_RFC3339_SIZE];
	uint64_t year, month, day;

	if (strlen(text) != 10 || text[4] != '-' || text[7] != '-' ||
		!span_number(span_make(text, 4), 9999, &year) ||
		!span_number(span_make(text + 5, 2), 12, &month) ||
		!span_number(span_make(text + 8, 2), 31, &day) || year < 1970 || month == 0 ||
		day == 0)
		return false;
	*begin_s = days_of((unsigned)year, (unsigned)month, (unsigned)day) * DAY_S;
	clock_rfc3339(*begin_s * 1000, again);
	return strncmp(again, text, 10) == 0; /* there is no 30th of February */
}

/* --- XML --- */

static void add(struct writer *w, struct span text)
{
	w->full = !buffer_add(w->out, text) || w->full;
}

static void indent(struct writer *w)
{
	for (unsigned i = 0; i < w->depth; i++)
		add(w, SPAN("  "));
}

static void open_element(struct writer *w, const char *name)
{
	indent(w);
	add(w, SPAN("<"));
	add(w, span_text(name));
	add(w, SPAN(">\n"));
	w->depth++;
}

static void close_element(struct writer *w, const char *name)
{
	w->depth--;
	indent(w);
	add(w, SPAN("</"));
	add(w, span_text(name));
	add(w, SPAN(">\n"));
}

/* Characters that XML 1.0 has not (2.2), of UTF-8 that is sound. */
static size_t unfit_at(const char *at, size_t len)
{
	unsigned char c = (unsigned char)at[0];

	if (c < 0x20 || c == 0x7f)
		return 1;
	return len >= 3 && c == 0xef && (unsigned char)at[1] == 0xbf && (unsigned char)at[2] >= 0xbe
		       ? 3
		       : 0;
}

static void add_escaped(struct writer *w, struct span text)
{
	for (size_t i = 0; i < text.len;) {
		size_t unfit = unfit_at(text.at + i, text.len - i);

		if (unfit)
			add(w, SPAN("?"));
		else if (text.at[i] == '<')
			add(w, SPAN("&lt;"));
		else if (text.at[i] == '>')
			add(w, SPAN("&gt;"));
		else if (text.at[i] == '&')
			add(w, SPAN("&amp;"));
		else
			add(w, span_make(text.at + i, 1));
		i += unfit ? unfit : 1;
	}
}

static void element(struct writer *w, const char *name, struct span text)
{
	indent(w);
	add(w, SPAN("<"));
	add(w, span_text(name));
	add(w, SPAN(">"));
	add_escaped(w, text);
	add(w, SPAN("</"));
	add(w, span_text(name));
	add(w, SPAN(">\n"));
}

static void number(struct writer *w, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	element(w, name, span_text(text));
}

/* --- words --- */

/* The list has blanks around each word. */
static bool is_word(const char *list, struct span word)
{
	char wanted[24];

	snprintf(wanted, sizeof(wanted), " %.*s ", SPAN_ARGS(span_first(word, 20)));
	return word.len > 0 && word.len <= 20 && span_find_char(word, ' ') == word.len &&
	       strstr(list, wanted);
}

#define DISPOSITIONS " none pass quarantine reject "
#define PASS_FAIL    " pass fail "
#define DKIM_RESULTS " none pass fail policy neutral temperror permerror "
#define SPF_RESULTS  " none neutral pass fail softfail temperror permerror "
#define REASONS      " local_policy mailing_list other policy_test_mode trusted_forwarder "

/* --- the parts of a report --- */

static void write_metadata(struct writer *w, const struct dmarc_report_source *source,
	const struct dmarc_report *report)
{
	open_element(w, "report_metadata");
	element(w, "org_name", span_text(source->org_name));
	element(w, "email", span_text(source->email));
	element(w, "report_id", span_text(report->id));
	open_element(w, "date_range");
	number(w, "begin", source->begin_s);
	number(w, "end", source->end_s);
	close_element(w, "date_range");
	element(w, "generator", SPAN("postern " POSTERN_VERSION));
	close_element(w, "report_metadata");
}

static void policy(struct writer *w, const char *name, enum dmarc_policy value)
{
	element(w, name, span_text(dmarc_policy_name(value)));
}

/* What is not said counts as what stands in its place, and that is told (RFC 9990,
 * "policy_published"). */
static void write_policy(struct writer *w, const struct dmarc_report *report, struct span text)
{
	struct dmarc_record r = {.p = DMARC_NONE, .sp = DMARC_ABSENT, .np = DMARC_ABSENT};
	enum dmarc_policy p, sp;

	if (!dmarc_record_read(text, &r))
		r.fo = SPAN_NONE;
	p = r.p == DMARC_ABSENT ? DMARC_NONE : r.p;
	sp = r.sp == DMARC_ABSENT ? p : r.sp;
	open_element(w, "policy_published");
	element(w, "domain", span_text(report->domain));
	policy(w, "p", p);
	policy(w, "sp", sp);
	policy(w, "np", r.np == DMARC_ABSENT ? sp : r.np);
	element(w, "adkim", r.strict_dkim ? SPAN("s") : SPAN("r"));
	element(w, "aspf", r.strict_spf ? SPAN("s") : SPAN("r"));
	if (r.fo.len && r.fo.len <= FO_MAX)
		element(w, "fo", r.fo);
	element(w, "testing", r.testing ? SPAN("y") : SPAN("n"));
	close_element(w, "policy_published");
}

static struct span member(const struct json *object, const char *key)
{
	const struct json *found = json_get(object, key);

	return found && found->kind == JSON_STRING ? span_text(found->text) : SPAN_NONE;
}

/* Whether the words of a row are what they can be; its address in its one form. */
static bool row_fits(const struct json *row, char ip_text[IP_TEXT_SIZE])
{
	struct span reason = member(row, "reason");
	struct ip ip;

	if (!ip_parse(member(row, "source_ip"), &ip))
		return false;
	ip_format(&ip, ip_text);
	return is_word(DISPOSITIONS, member(row, "disposition")) &&
	       is_word(PASS_FAIL, member(row, "dkim")) && is_word(PASS_FAIL, member(row, "spf")) &&
	       (reason.len == 0 || is_word(REASONS, reason)) && member(row, "header_from").len;
}

static void write_evaluated(struct writer *w, const struct json *row)
{
	struct span reason = member(row, "reason");

	open_element(w, "policy_evaluated");
	element(w, "disposition", member(row, "disposition"));
	element(w, "dkim", member(row, "dkim"));
	element(w, "spf", member(row, "spf"));
	if (reason.len) {
		open_element(w, "reason");
		element(w, "type", reason);
		close_element(w, "reason");
	}
	close_element(w, "policy_evaluated");
}

static void write_signature(struct writer *w, const struct json *signature)
{
	struct span result = member(signature, "result");

	if (!is_word(DKIM_RESULTS, result) || !member(signature, "domain").len ||
		!member(signature, "selector").len)
		return;
	open_element(w, "dkim");
	element(w, "domain", member(signature, "domain"));
	element(w, "selector", member(signature, "selector"));
	element(w, "result", result);
	close_element(w, "dkim");
}

static void write_auth_results(struct writer *w, const struct json *row)
{
	const struct json *signatures = json_get(row, "signatures");
	struct span spf = member(row, "spf_result");

	open_element(w, "auth_results");
	for (const struct json *s = signatures ? signatures->first : NULL; s; s = s->next)
		write_signature(w, s);
	if (is_word(SPF_RESULTS, spf) && member(row, "spf_domain").len) {
		open_element(w, "spf");
		element(w, "domain", member(row, "spf_domain"));
		element(w, "scope", SPAN("mfrom"));
		element(w, "result", spf);
		close_element(w, "spf");
	}
	close_element(w, "auth_results");
}

static void write_row(struct writer *w, const struct json *row, const char *ip, uint64_t count)
{
	open_element(w, "record");
	open_element(w, "row");
	element(w, "source_ip", span_text(ip));
	number(w, "count", count);
	write_evaluated(w, row);
	close_element(w, "row");
	open_element(w, "identifiers");
	element(w, "header_from", member(row, "header_from"));
	if (json_get(row, "envelope_from"))
		element(w, "envelope_from", member(row, "envelope_from"));
	close_element(w, "identifiers");
	write_auth_results(w, row);
	close_element(w, "record");
}

static void write_rows(
	struct writer *w, const struct dmarc_report_source *source, struct dmarc_report *report)
{
	const struct json *rows = json_get(source->answer, "rows");

	for (const struct json *r = rows ? rows->first : NULL; r && !w->full; r = r->next) {
		const struct json *row = json_read(source->arena, member(r, "row"));
		long long count = json_number(r, "count");
		char ip[IP_TEXT_SIZE];

		if (!row || count <= 0 || !row_fits(row, ip)) {
			report->unfit++;
			continue;
		}
		write_row(w, row, ip, (uint64_t)count);
		report->rows++;
		report->messages += (uint64_t)count;
	}
}

/* --- its names --- */

static void name_report(const struct dmarc_report_source *source, struct dmarc_report *report)
{
	char hex[SHA256_DIGITS];
	const char *what = arena_print(source->arena, "%s %s %" PRIu64 " %" PRIu64,
		source->receiver, report->domain, source->begin_s, source->end_s);

	ENSURE(digest_hex(SHA256_DIGITS, span_text(what), hex));
	memcpy(report->id, hex, sizeof(report->id) - 1);
	report->id[sizeof(report->id) - 1] = '\0';
	report->file = arena_print(source->arena, "%s!%s!%" PRIu64 "!%" PRIu64 "!%s.xml.gz",
		source->receiver, report->domain, source->begin_s, source->end_s, report->id);
	report->subject =
		arena_print(source->arena, "Report Domain: %s Submitter: %s Report-ID: <%s>",
			report->domain, source->receiver, report->id);
}

bool dmarc_report_write(
	const struct dmarc_report_source *source, struct dmarc_report *report, struct buffer *out)
{
	struct writer w = {.out = out};

	*report = (struct dmarc_report){.domain = source->domain,
		.left_out = (uint64_t)json_number(source->answer, "left_out")};
	name_report(source, report);
	add(&w, SPAN("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		     "<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">\n"));
	w.depth = 1;
	element(&w, "version", SPAN("1.0"));
	write_metadata(&w, source, report);
	write_policy(&w, report, member(source->answer, "record"));
	write_rows(&w, source, report);
	add(&w, SPAN("</feedback>\n"));
	return !w.full && report->rows > 0;
}
