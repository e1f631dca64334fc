/* helo: what the client calls itself. EHLO takes any text; whether it is a name is a fact. */
#include "filters/filter.h"
#include "filters/question.h"

enum { HELO, HELO_LITERAL, HELO_FQDN, HELO_ESMTP, HELO_IS_ME, HELO_RESOLVES };

static const struct fact facts[] = {
	[HELO] = {"helo", TYPE_TEXT, STAGE_HELO, 0, NULL, "what the client calls itself"},
	[HELO_LITERAL] = {"helo.literal", TYPE_BOOL, STAGE_HELO, 0, NULL,
		"it is an address literal such as [192.0.2.1]"},
	[HELO_FQDN] = {"helo.fqdn", TYPE_BOOL, STAGE_HELO, 0, NULL,
		"it is a full domain name: valid, with a dot, no address"},
	[HELO_ESMTP] = {"helo.esmtp", TYPE_BOOL, STAGE_HELO, 0, NULL,
		"it was said with EHLO, not HELO"},
	[HELO_IS_ME] = {"helo.is_me", TYPE_BOOL, STAGE_HELO, 0, NULL,
		"it is our own hostname or address"},
	[HELO_RESOLVES] = {"helo.resolves", TYPE_BOOL, STAGE_HELO, FACT_ASKS, NULL,
		"the name has an address, or the literal is the client's"},
	{.name = NULL},
};

static bool is_fqdn(struct span helo)
{
	struct ip ip;

	if (helo.len && helo.at[helo.len - 1] == '.') /* RFC 5321 has none at the end */
		return false;
	return domain_valid(helo, true) && span_find_char(helo, '.') < helo.len &&
	       !ip_parse(helo, &ip);
}

static bool is_me(const struct call *call, struct span helo, const struct ip *literal)
{
	const struct ip *local = &call_view(call)->local.ip;

	if (literal->family != IP_NONE)
		return ip_equal(literal, local);
	return span_equal_nocase(helo, span_text(call_home(call)->hostname));
}

/* One address of either family is enough. */
static void on_address(struct question *question)
{
	if (question_found(question))
		call_add_bool(question->all->call, HELO_RESOLVES, true);
}

static void on_addresses(struct questions *all)
{
	for (const struct question *question = all->first; question; question = question->next)
		if (question_failed(question))
			call_fail(all->call, HELO_RESOLVES, question_why(question));
	call_add_bool(all->call, HELO_RESOLVES, false);
}

static enum call_status run(struct call *call)
{
	const struct filter_view *view = call_view(call);
	struct ip literal = {.family = IP_NONE};
	bool is_literal = literal_valid(view->helo, &literal), fqdn = is_fqdn(view->helo);
	struct questions *all;

	call_add_text(call, HELO, view->helo);
	call_add_bool(call, HELO_LITERAL, is_literal);
	call_add_bool(call, HELO_FQDN, fqdn);
	call_add_bool(call, HELO_ESMTP, view->esmtp);
	call_add_bool(call, HELO_IS_ME, is_me(call, view->helo, &literal));
	if (is_literal || !fqdn)
		call_add_bool(
			call, HELO_RESOLVES, is_literal && ip_equal(&literal, &view->client.ip));
	if (is_literal || !fqdn || !call_wants(call, HELO_RESOLVES))
		return CALL_DONE;
	all = questions_new(call, on_address, on_addresses);
	question_ask(all, view->helo, DNS_A, 0);
	question_ask(all, view->helo, DNS_AAAA, 0);
	return questions_wait(all);
}

const struct filter filter_helo = {.version = FILTER_VERSION,
	.name = "helo",
	.facts = facts,
	.run = run,
	.cancel = questions_cancel};
