#include "lib/store/dmarc_results.h"

#include "lib/base/log.h"
#include "lib/store/wire.h"

static bool is_domain(struct span name)
{
	return name.len > 0 && name.len <= DMARC_DOMAIN_MAX;
}

static void write_signatures(struct record *r, const struct dmarc_results *results)
{
	record_list(r, "signatures");
	for (size_t i = 0; i < results->n_signatures; i++) {
		const struct dmarc_signature_result *s = &results->signatures[i];

		if (!is_domain(s->domain) || !is_domain(s->selector) || s->result.len == 0)
			continue;
		record_open(r, NULL);
		record_text(r, "domain", s->domain);
		record_text(r, "selector", s->selector);
		record_text(r, "result", s->result);
		record_close(r);
	}
	record_close(r);
}

bool dmarc_results_write(const struct dmarc_results *results, struct buffer *out)
{
	static const char *const dispositions[] = {[DMARC_DONE_NONE] = "none",
		[DMARC_DONE_PASS] = "pass",
		[DMARC_DONE_QUARANTINE] = "quarantine",
		[DMARC_DONE_REJECT] = "reject"};
	char ip[IP_TEXT_SIZE];
	struct record r;
	bool whole;

	record_init(&r, true, DMARC_ROW_MAX);
	record_string(&r, "source_ip", ip_format(&results->source, ip));
	record_string(&r, "disposition", dispositions[results->disposition]);
	record_string(&r, "dkim", results->dkim_aligned ? "pass" : "fail");
	record_string(&r, "spf", results->spf_aligned ? "pass" : "fail");
	if (results->reason)
		record_string(&r, "reason", results->reason);
	record_text(&r, "header_from", results->header_from);
	if (results->envelope_from.len <= DMARC_DOMAIN_MAX)
		record_text(&r, "envelope_from", results->envelope_from);
	if (is_domain(results->spf_domain) && results->spf_result.len) {
		record_text(&r, "spf_domain", results->spf_domain);
		record_text(&r, "spf_scope", results->spf_scope);
		record_text(&r, "spf_result", results->spf_result);
	}
	write_signatures(&r, results);
	whole = !r.cut;
	whole = buffer_add(out, record_finish(&r)) && whole;
	record_free(&r);
	return whole;
}

/* A record that is cut in the middle of a tag could say something else than it does. */
static struct span cut_record(struct span record)
{
	if (record.len <= DMARC_RECORD_MAX)
		return record;
	record.len = DMARC_RECORD_MAX;
	while (record.len && record.at[record.len - 1] != ';')
		record.len--;
	return record;
}

void dmarc_results_tell(struct store *store, const struct dmarc_results *results)
{
	struct buffer row = BUFFER_INIT(DMARC_ROW_MAX + 16);
	struct dmarc_results less = *results;
	bool written;

	if (!is_domain(results->policy_domain) || !is_domain(results->header_from))
		return;
	written = dmarc_results_write(&less, &row);
	while (!written && less.n_signatures) {
		less.n_signatures--;
		buffer_clear(&row);
		written = dmarc_results_write(&less, &row);
	}
	if (written)
		store_tell(store, STORE_DMARC_ADD,
			(struct span[]){results->policy_domain, cut_record(results->record),
				buffer_span(&row)},
			store_kind_parts(STORE_DMARC_ADD));
	buffer_free(&row);
}
