/*
 * libspf2's DNS layer over a map of answers. Each name that libspf2 asks about is a token; what is
 * answered are addresses, or a record rewritten to tokens. See spf_check.h.
 */
#include <stdlib.h>
#include <string.h>

#include "authn/spf_check.h"
#include "authn/spf_name.h"
#include "lib/base/buffer.h"
#include "lib/base/fail.h"

enum {
	WHERE_MAX = 120,    /* bytes of outside text in a problem */
	ADDRESSES_MAX = 16, /* shown to libspf2 of those that don't match */
	REWRITTEN_MAX = 512
};

const char spf_first_name[] = "t0.t";

/* --- tokens --- */

/* Two labels, and the last one a word: libspf2 warns of other names, which costs. */
static void token_write(struct buffer *out, size_t index)
{
	ENSURE(buffer_print(out, "t%zu.t", index));
}

static size_t token_add(
	struct spf_check *check, const struct spf_level *level, const struct spf_term *term)
{
	ENSURE(check->n_tokens < SPF_TOKENS_MAX);
	check->tokens[check->n_tokens] = (struct spf_token){level, term};
	return check->n_tokens++;
}

/* NULL: it is none. */
static const struct spf_token *token_find(const struct spf_check *check, const char *name)
{
	struct span text = span_text(name);
	uint64_t index;

	if (text.len < 4 || text.at[0] != 't' ||
		!span_number(span_make(text.at + 1, text.len - 3), SPF_TOKENS_MAX, &index) ||
		index >= check->n_tokens)
		return NULL;
	return &check->tokens[index];
}

static struct spf_check *check_of(const SPF_dns_server_t *layer)
{
	struct spf_check *check = layer->hook;

	MAGIC_ENSURE(check, SPF_CHECK_MAGIC);
	return check;
}

/* --- verdicts that libspf2 would not come to --- */

static void check_stop(
	struct spf_check *check, enum spf_code code, const struct spf_token *token, const char *why)
{
	const struct span domain = span_first(token->level->domain, WHERE_MAX);

	if (check->stopped)
		return;
	check->stopped = true;
	check->code = code;
	if (!token->term)
		check->problem =
			span_text(arena_print(check->arena, "%.*s: %s", SPAN_ARGS(domain), why));
	else if (token->level == check->levels)
		check->problem = span_text(arena_print(check->arena, "%.*s: %s",
			SPAN_ARGS(span_first(token->term->text, WHERE_MAX)), why));
	else
		check->problem = span_text(arena_print(check->arena, "%.*s of %.*s: %s",
			SPAN_ARGS(span_first(token->term->text, WHERE_MAX)), SPAN_ARGS(domain),
			why));
}

static void lookups_count(struct spf_check *check, const struct spf_token *token)
{
	if (++check->lookups > SPF_LOOKUPS_MAX)
		check_stop(check, SPF_IS_PERMERROR, token, "more than ten lookups");
}

static void term_begin(struct spf_check *check, const struct spf_token *token)
{
	check->term_is_void = false;
	if (token->level->outermost)
		check->last = token;
}

/* Something that was asked for is not there. RFC 7208 4.6.4 speaks of terms, so a term counts once,
 * whatever else it asks for in vain. */
static void void_count(struct spf_check *check, const struct spf_token *token)
{
	if (check->term_is_void)
		return;
	check->term_is_void = true;
	if (++check->voids > SPF_VOIDS_MAX)
		check_stop(check, SPF_IS_PERMERROR, token, "more than two lookups of nothing");
}

/* --- answers --- */

/* Where nothing of the evaluation hangs on it: it may be missing, and nothing more is asked after a
 * stop. */
static const struct answer *answer_find(
	struct spf_check *check, struct span name, enum answer_type type)
{
	const struct answer *answer = answers_find(check->answers, name, type);

	if (!answer && !check->stopped) {
		check->missing = true;
		wants_add(check->wants, name, type);
	}
	return answer;
}

static bool is_void(const struct answer *answer)
{
	return answer->outcome == ANSWER_NODATA || answer->outcome == ANSWER_NXDOMAIN;
}

/* For a term (RFC 7208 5): trouble ends the evaluation. NULL: there is nothing to look at. */
static const struct answer *term_ask(struct spf_check *check, const struct spf_token *token,
	struct span name, enum answer_type type)
{
	const struct answer *answer = answer_find(check, name, type);

	if (!answer)
		return NULL;
	if (answer->outcome == ANSWER_TROUBLE) {
		check_stop(check, SPF_IS_TEMPERROR, token, "DNS does not answer");
		return NULL;
	}
	if (is_void(answer)) {
		void_count(check, token);
		return NULL;
	}
	return answer;
}

static enum answer_type address_type(const struct spf_check *check)
{
	return check->client.family == IP_V4 ? ANSWER_A : ANSWER_AAAA;
}

/* As in a null MX (RFC 7505). */
static bool is_root(struct span name)
{
	return name.len == 0 || span_equal(name, SPAN("."));
}

/* --- the client's own names --- */

static bool has_client(const struct spf_check *check, const struct answer *answer)
{
	for (size_t i = 0; answer->outcome == ANSWER_FOUND && i < answer->n_records; i++)
		if (ip_equal(&answer->records[i].ip, &check->client))
			return true;
	return false;
}

/* RFC 7208 5.5: names beyond the tenth are ignored, and so are those that DNS has trouble with. */
static void validated_read(struct spf_check *check, const struct answer *names)
{
	struct spf_validated *v = &check->validated;

	for (size_t i = 0; i < names->n_records && i < SPF_PTR_MAX; i++) {
		struct span name = names->records[i].text;
		const struct answer *answer =
			is_root(name) ? NULL : answer_find(check, name, address_type(check));

		if (!answer)
			continue;
		v->is_void = v->is_void || is_void(answer);
		if (has_client(check, answer))
			v->names[v->n++] = name;
	}
}

/* false: not all is known yet. */
static bool validated_find(struct spf_check *check)
{
	struct spf_validated *v = &check->validated;
	const struct answer *names;
	bool missing = check->missing;

	if (v->state == SPF_VALIDATED_KNOWN)
		return true;
	*v = (struct spf_validated){.state = SPF_VALIDATED_ASKED};
	check->missing = false;
	names = answer_find(check, spf_name_of_address(&check->client, check->arena), ANSWER_PTR);
	if (names && names->outcome == ANSWER_FOUND)
		validated_read(check, names);
	else if (names)
		v->is_void = is_void(names);
	if (!check->missing && names)
		v->state = SPF_VALIDATED_KNOWN;
	check->missing = check->missing || missing;
	return v->state == SPF_VALIDATED_KNOWN;
}

/* For %{p} (RFC 7208 7.3): the domain itself, else a name below it, else any. A name with escaped
 * bytes is none of a host, and could not be asked for as part of another. */
static struct span validated_name(const struct spf_check *check, struct span domain)
{
	const struct spf_validated *v = &check->validated;
	struct span below = SPAN_NONE, any = SPAN_NONE;

	for (size_t i = v->n; i-- > 0;) {
		if (span_find_char(v->names[i], '\\') < v->names[i].len)
			continue;
		if (span_equal_nocase(v->names[i], domain))
			return v->names[i];
		any = v->names[i];
		if (spf_name_is_under(any, domain))
			below = any;
	}
	if (below.len)
		return below;
	return any.len ? any : SPAN("unknown");
}

/* --- names that terms speak of --- */

/* Fills in what changes from record to record. false: %{p} is not known yet. */
static bool macros_prepare(struct spf_check *check, const struct spf_level *level, struct span text)
{
	check->macros.values[SPF_MACRO_DOMAIN] = level->domain;
	if (!spf_macro_uses_validated(text))
		return true;
	if (!validated_find(check))
		return false;
	check->macros.values[SPF_MACRO_VALIDATED] = validated_name(check, level->domain);
	return true;
}

/* <target-name>. A %{p} that has the client's names asked for is a lookup of its own (RFC 7208
 * 4.6.4). false: not known yet, or it is no name that can be asked for; *plain is set if it is
 * known. */
static bool target_find(struct spf_check *check, const struct spf_token *token, struct span *plain,
	struct span *name)
{
	const struct spf_level *level = token->level;
	struct span spec = token->term->target;

	*plain = level->domain;
	if (spec.len) {
		*plain = SPAN_NONE;
		if (check->validated.state == SPF_VALIDATED_UNKNOWN &&
			spf_macro_uses_validated(spec))
			lookups_count(check, token);
		if (check->stopped || !macros_prepare(check, level, spec))
			return false;
		if (check->validated.is_void && spf_macro_uses_validated(spec))
			void_count(check, token);
		*plain = spf_macro_expand_name(spec, &check->macros, check->arena);
	}
	return spf_name_usual(*plain, check->arena, name);
}

/* --- terms that libspf2 looks up --- */

/* The addresses of a term: some of those that don't match, or one that does. */
struct found {
	struct ip ips[ADDRESSES_MAX];
	size_t n;
};

static void found_match(const struct spf_check *check, struct found *found)
{
	found->ips[0] = check->client;
	found->n = 1;
}

/* true: the client is among them, so that no further ones count. libspf2 knows no /0, so the client
 * itself is the address then. */
static bool found_add(const struct spf_check *check, const struct spf_term *term,
	const struct answer *answer, struct found *found)
{
	struct cidr around = cidr_around(&check->client, term->prefix_bits);

	for (size_t i = 0; i < answer->n_records; i++) {
		const struct ip *ip = &answer->records[i].ip;

		if (cidr_contains(&around, ip)) {
			found->ips[0] = term->prefix_bits ? *ip : check->client;
			found->n = 1;
			return true;
		}
		if (ip->family == check->client.family && found->n < COUNT_OF(found->ips))
			found->ips[found->n++] = *ip;
	}
	return false;
}

static void a_visit(struct spf_check *check, const struct spf_token *token, struct found *found)
{
	struct span plain, name;
	const struct answer *answer;

	if (!target_find(check, token, &plain, &name))
		return;
	answer = term_ask(check, token, name, address_type(check));
	if (answer)
		found_add(check, token->term, answer, found);
}

static void by_preference(const struct answer *answer, const struct answer_record **sorted)
{
	for (size_t i = 0; i < answer->n_records; i++) {
		size_t at = i;

		for (; at > 0 && sorted[at - 1]->preference > answer->records[i].preference; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = &answer->records[i];
	}
}

/* RFC 7208 5.4: hosts in the order of their preference; the first that matches is the last that is
 * looked at. */
static void mx_visit(struct spf_check *check, const struct spf_token *token, struct found *found)
{
	const struct answer_record *hosts[SPF_MX_MAX];
	const struct answer *answer;
	struct span plain, name;

	if (!target_find(check, token, &plain, &name))
		return;
	answer = term_ask(check, token, name, ANSWER_MX);
	if (!answer)
		return;
	if (answer->n_records > SPF_MX_MAX) {
		check_stop(check, SPF_IS_PERMERROR, token, "more than ten MX records");
		return;
	}
	by_preference(answer, hosts);
	for (size_t i = 0; i < answer->n_records; i++) {
		const struct answer *addresses;

		if (is_root(hosts[i]->text))
			continue;
		addresses = term_ask(check, token, hosts[i]->text, address_type(check));
		if (addresses && found_add(check, token->term, addresses, found))
			return;
	}
}

static void exists_visit(
	struct spf_check *check, const struct spf_token *token, struct found *found)
{
	struct span plain, name;

	/* RFC 7208 5.7: A, whatever the client is. */
	if (target_find(check, token, &plain, &name) && term_ask(check, token, name, ANSWER_A))
		found_match(check, found);
}

static void ptr_visit(struct spf_check *check, const struct spf_token *token, struct found *found)
{
	struct span plain, name;

	if (check->validated.state == SPF_VALIDATED_UNKNOWN)
		check->validated.state = SPF_VALIDATED_ASKED; /* this lookup is counted already */
	if (!validated_find(check))
		return;
	if (check->validated.is_void)
		void_count(check, token);
	if (!target_find(check, token, &plain, &name))
		return;
	for (size_t i = 0; i < check->validated.n; i++)
		if (spf_name_is_under(check->validated.names[i], name)) {
			found_match(check, found);
			return;
		}
}

static void token_visit(struct spf_check *check, const struct spf_token *token, struct found *found)
{
	term_begin(check, token);
	if (token->term->kind == SPF_TERM_ALWAYS) {
		found_match(check, found);
		return;
	}
	lookups_count(check, token);
	if (check->stopped)
		return;
	switch (token->term->kind) {
	case SPF_TERM_A:
		a_visit(check, token, found);
		break;
	case SPF_TERM_MX:
		mx_visit(check, token, found);
		break;
	case SPF_TERM_EXISTS:
		exists_visit(check, token, found);
		break;
	case SPF_TERM_PTR:
		ptr_visit(check, token, found);
		break;
	case SPF_TERM_ALWAYS:
	case SPF_TERM_INCLUDE:
	case SPF_TERM_REDIRECT:
	case SPF_TERM_EXP:
		ENSURE(false); /* nothing to look up */
	}
}

static void rr_add(SPF_dns_rr_t *rr, const struct ip *ip)
{
	int index = rr->num_rr;

	if (SPF_dns_rr_buf_realloc(rr, index, sizeof(SPF_dns_rr_data_t)) != SPF_E_SUCCESS)
		fail_memory(sizeof(SPF_dns_rr_data_t));
	if (ip->family == IP_V4)
		memcpy(&rr->rr[index]->a, ip->bytes, sizeof(rr->rr[index]->a));
	else
		memcpy(&rr->rr[index]->aaaa, ip->bytes, sizeof(rr->rr[index]->aaaa));
	rr->num_rr++;
}

static SPF_dns_rr_t *layer_lookup(
	SPF_dns_server_t *layer, const char *name, ns_type type, int cache)
{
	struct spf_check *check = check_of(layer);
	const struct spf_token *token = token_find(check, name);
	struct found found;
	SPF_dns_rr_t *rr;

	(void)cache;
	ENSURE(token && token->term);
	found.n = 0;
	if (!check->stopped)
		token_visit(check, token, &found);
	if (check->stopped)
		found.n = 0;
	rr = SPF_dns_rr_new_init(layer, NULL, type, 0,
		check->stopped ? TRY_AGAIN
		: found.n      ? NETDB_SUCCESS
			       : HOST_NOT_FOUND);
	if (!rr)
		fail_memory(sizeof(*rr));
	for (size_t i = 0; i < found.n; i++)
		rr_add(rr, &found.ips[i]);
	return rr;
}

/* --- records --- */

static const char *term_name(enum spf_term_kind kind)
{
	switch (kind) {
	case SPF_TERM_A:
	case SPF_TERM_MX: /* its hosts' addresses are collected here */
		return "a:";
	case SPF_TERM_ALWAYS: /* is looked up too, so that the layer sees who decides */
	case SPF_TERM_PTR:
	case SPF_TERM_EXISTS:
		return "exists:";
	case SPF_TERM_INCLUDE:
		return "include:";
	case SPF_TERM_REDIRECT:
		return "redirect=";
	case SPF_TERM_EXP:
		return "exp=";
	}
	return "";
}

static void term_write(struct spf_check *check, const struct spf_level *level,
	const struct spf_term *term, struct buffer *out)
{
	bool is_modifier = term->kind == SPF_TERM_REDIRECT || term->kind == SPF_TERM_EXP;
	bool has_prefix = term->kind == SPF_TERM_A || term->kind == SPF_TERM_MX;
	bool is_v4 = check->client.family == IP_V4;

	ENSURE(buffer_add_char(out, ' '));
	if (!is_modifier)
		ENSURE(buffer_add_char(out, term->qualifier));
	ENSURE(buffer_add_text(out, term_name(term->kind)));
	token_write(out, token_add(check, level, term));
	if (has_prefix && term->prefix_bits != 0 && term->prefix_bits != (is_v4 ? 32 : 128))
		ENSURE(buffer_print(out, is_v4 ? "/%u" : "//%u", (unsigned)term->prefix_bits));
}

/* libspf2 drops what has no room in 512 compiled bytes, without a word: what comes out is counted.
 * redirect= is a mechanism to it. */
static SPF_errcode_t compile(SPF_server_t *server, SPF_response_t *response, const char *text,
	size_t n_terms, SPF_record_t **out)
{
	SPF_errcode_t error = SPF_record_compile(server, response, out, text);

	ENSURE(error == SPF_E_SUCCESS && (*out)->num_mech == n_terms);
	return error;
}

static SPF_errcode_t level_compile(struct spf_check *check, const struct spf_level *level,
	SPF_server_t *server, SPF_response_t *response, SPF_record_t **out)
{
	struct buffer rewritten = BUFFER_INIT(REWRITTEN_MAX);
	size_t n = level->record.n;
	SPF_errcode_t error;

	ENSURE(buffer_add_text(&rewritten, "v=spf1"));
	for (size_t i = 0; i < level->record.n; i++)
		term_write(check, level, &level->record.terms[i], &rewritten);
	if (level->record.redirect.text.len) {
		term_write(check, level, &level->record.redirect, &rewritten);
		n++;
	}
	if (level->record.exp.text.len)
		term_write(check, level, &level->record.exp, &rewritten);
	error = compile(server, response, buffer_string(&rewritten), n, out);
	buffer_free(&rewritten);
	return error;
}

/* NULL: there is none, or more than one, or nobody knows; then the check has stopped. */
static const struct answer_record *record_choose(
	struct spf_check *check, const struct spf_token *token, const struct answer *answer)
{
	const struct answer_record *chosen = NULL;

	for (size_t i = 0; answer->outcome == ANSWER_FOUND && i < answer->n_records; i++) {
		if (!spf_record_is_one(answer->records[i].text))
			continue;
		if (chosen) {
			check_stop(check, SPF_IS_PERMERROR, token, "more than one SPF record");
			return NULL;
		}
		chosen = &answer->records[i];
	}
	if (answer->outcome == ANSWER_TROUBLE)
		check_stop(check, SPF_IS_TEMPERROR, token, "DNS does not answer");
	else if (!chosen)
		check_stop(check, token->term ? SPF_IS_PERMERROR : SPF_IS_NONE, token,
			"no SPF record");
	return chosen;
}

/* The record that a token leads to; NULL: stopped or missing. */
static const struct spf_level *level_open(struct spf_check *check, const struct spf_token *token,
	struct span plain, const struct answer *answer)
{
	const struct answer_record *record = record_choose(check, token, answer);
	struct spf_level *level;
	struct spf_token whole;
	struct err err;

	if (!record)
		return NULL;
	ENSURE(check->n_levels < SPF_LEVELS_MAX);
	level = &check->levels[check->n_levels++];
	level->domain = plain;
	level->outermost =
		!token->term || (token->term->kind == SPF_TERM_REDIRECT && token->level->outermost);
	if (spf_record_read(record->text, &check->client, &level->record, &err))
		return level;
	whole = (struct spf_token){.level = level};
	check_stop(check, SPF_IS_PERMERROR, &whole, err.text);
	return NULL;
}

/* The domain whose record a token leads to. false: not known yet, or stopped. */
static bool domain_find(struct spf_check *check, const struct spf_token *token, struct span *plain,
	struct span *name)
{
	bool found;

	if (!token->term) {
		*plain = token->level->domain;
		return spf_name_usual(*plain, check->arena, name);
	}
	term_begin(check, token);
	lookups_count(check, token);
	if (check->stopped)
		return false;
	found = target_find(check, token, plain, name);
	if (!found && plain->at)
		check_stop(check, SPF_IS_PERMERROR, token, "no such domain");
	return found && !check->stopped;
}

/* NULL: stopped or missing. */
static const struct spf_level *level_find(struct spf_check *check, const struct spf_token *token)
{
	struct span plain, name;
	const struct answer *answer = NULL;

	if (domain_find(check, token, &plain, &name))
		answer = answer_find(check, name, ANSWER_TXT);
	return answer ? level_open(check, token, plain, answer) : NULL;
}

static SPF_errcode_t layer_get_spf(
	SPF_server_t *server, SPF_request_t *request, SPF_response_t *response, SPF_record_t **out)
{
	struct spf_check *check = check_of(server->resolver);
	const struct spf_token *token = token_find(check, request->cur_dom);
	const struct spf_level *level = NULL;

	*out = NULL;
	ENSURE(token);
	if (!check->stopped)
		level = level_find(check, token);
	if (check->stopped)
		return SPF_E_DNS_ERROR;
	if (level)
		return level_compile(check, level, server, response, out);
	return compile(server, response, "v=spf1", 0, out); /* missing: as if it did not match */
}

/* --- explanations --- */

/* The token is there already: which record's exp= it is to be is all that libspf2 decides. */
static SPF_errcode_t layer_get_exp(
	SPF_server_t *server, const char *domain, char **buf, size_t *buf_len)
{
	(void)server;
	(void)domain;
	(void)buf;
	(void)buf_len;
	return SPF_E_SUCCESS;
}

struct span spf_explain(struct spf_check *check, const char *name)
{
	const struct spf_token *token = name ? token_find(check, name) : NULL;
	const struct answer *answer;
	struct span plain, usual, text;

	if (!token || !token->term || token->term->kind != SPF_TERM_EXP)
		return SPAN_NONE;
	if (!macros_prepare(check, token->level, token->term->target))
		return SPAN_NONE;
	plain = spf_macro_expand_name(token->term->target, &check->macros, check->arena);
	if (!spf_name_usual(plain, check->arena, &usual))
		return SPAN_NONE;
	answer = answer_find(check, usual, ANSWER_TXT);
	if (!answer || answer->outcome != ANSWER_FOUND || answer->n_records != 1)
		return SPAN_NONE;
	text = answer->records[0].text;
	if (spf_macro_mistake(text, SPF_MACRO_IN_EXPLANATION) ||
		!macros_prepare(check, token->level, text))
		return SPAN_NONE;
	return spf_macro_expand_explanation(text, &check->macros, check->arena);
}

void spf_layer_fill(SPF_dns_server_t *layer)
{
	layer->name = "answers";
	layer->lookup = layer_lookup;
	layer->get_spf = layer_get_spf;
	layer->get_exp = layer_get_exp;
}
