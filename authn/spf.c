/*
 * A server of libspf2's serves all questions, since it keeps nothing of them; a request and a
 * response are made for each run, since they do.
 *
 * SPF_request_query_mailfrom is not used: it waves clients at 127.0.0.1 through, and wants a
 * sender, of which libspf2 is to know nothing.
 */
#include "authn/spf.h"

#include <stdlib.h>

#include "authn/spf_check.h"
#include "authn/spf_name.h"
#include "lib/base/fail.h"

struct spf {
	SPF_dns_server_t layer;
	SPF_server_t *server; /* owned */
};

enum {
	SCRATCH_BYTES = 32 * 1024,
	UNLIMITED = 1000,   /* of what is counted here and not by libspf2 */
	VALUE_MAX = 512,    /* bytes that a macro stands for: SMTP has no longer ones */
	MECHANISM_MAX = 255 /* bytes of a term that are told */
};

struct spf *spf_open(struct err *err)
{
	struct spf *spf = memory_zeroed(sizeof(*spf));
	SPF_response_t *response = NULL;

	spf_layer_fill(&spf->layer);
	spf->server = SPF_server_new_dns(&spf->layer, 0);
	if (!spf->server || SPF_server_set_rec_dom(spf->server, "postern") != SPF_E_SUCCESS ||
		SPF_server_set_explanation(spf->server, "none", &response) != SPF_E_SUCCESS ||
		SPF_server_set_max_dns_mech(spf->server, UNLIMITED) != SPF_E_SUCCESS) {
		err_set(err, "libspf2 does not start");
		spf_close(&spf);
	}
	if (response)
		SPF_response_free(response);
	return spf;
}

void spf_close(struct spf **spf)
{
	if (!*spf)
		return;
	if ((*spf)->server)
		SPF_server_free((*spf)->server); /* not the layer, which has no destructor */
	free(*spf);
	*spf = NULL;
}

/* --- the question --- */

static struct ip plain_client(const struct ip *client)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	struct ip plain = {.family = IP_V4};

	if (client->family != IP_V6 || memcmp(client->bytes, mapped, sizeof(mapped)) != 0)
		return *client;
	memcpy(plain.bytes, client->bytes + sizeof(mapped), 4);
	return plain;
}

/* %{i}: dotted also for IPv6, in nibbles (RFC 7208 7.3). */
static struct span dotted(const struct ip *client, struct arena *arena)
{
	static const char hex[] = "0123456789ABCDEF";
	char text[IP_TEXT_SIZE];
	size_t len = 0;

	if (client->family == IP_V4)
		return arena_span(arena, span_text(ip_format(client, text)));
	for (size_t i = 0; i < sizeof(client->bytes); i++) {
		text[len++] = hex[client->bytes[i] >> 4];
		text[len++] = '.';
		text[len++] = hex[client->bytes[i] & 0xf];
		text[len++] = '.';
	}
	return arena_span(arena, span_make(text, len - 1));
}

static void macros_fill(struct spf_check *check)
{
	const struct spf_question *q = check->question;
	struct span *values = check->macros.values;
	struct span local = q->local.len ? span_first(q->local, VALUE_MAX) : SPAN("postmaster");
	struct span domain = check->start.domain;
	char pretty[IP_TEXT_SIZE];

	values[SPF_MACRO_LOCAL] = local;
	values[SPF_MACRO_SENDER_DOMAIN] = domain;
	values[SPF_MACRO_SENDER] = span_text(
		arena_print(check->arena, "%.*s@%.*s", SPAN_ARGS(local), SPAN_ARGS(domain)));
	values[SPF_MACRO_ADDRESS] = dotted(&check->client, check->arena);
	values[SPF_MACRO_PRETTY] =
		arena_span(check->arena, span_text(ip_format(&check->client, pretty)));
	values[SPF_MACRO_VERSION] = check->client.family == IP_V4 ? SPAN("in-addr") : SPAN("ip6");
	values[SPF_MACRO_HELO] = span_first(q->helo, VALUE_MAX);
	values[SPF_MACRO_RECEIVER] =
		q->receiver.len ? span_first(q->receiver, VALUE_MAX) : SPAN("unknown");
	values[SPF_MACRO_TIME] =
		span_text(arena_print(check->arena, "%llu", (unsigned long long)q->wall_s));
}

/* RFC 7208 4.3: what is no name, is a single label, or an address literal, has no record. */
static bool domain_is_askable(struct span domain, struct arena *arena)
{
	struct span usual;

	return domain.len && domain.at[0] != '[' && spf_name_usual(domain, arena, &usual) &&
	       span_find_char(usual, '.') < usual.len;
}

static struct spf_check *check_new(const struct spf_question *question,
	const struct answers *answers, struct wants *wants, struct arena *arena)
{
	struct spf_check *check = arena_alloc(arena, sizeof(*check));

	check->magic = SPF_CHECK_MAGIC;
	check->arena = arena;
	check->question = question;
	check->answers = answers;
	check->wants = wants;
	check->client = plain_client(&question->client);
	check->start.domain = question->domain;
	if (span_ends_nocase(question->domain, SPAN(".")))
		check->start.domain.len--;
	macros_fill(check);
	check->tokens[check->n_tokens++] = (struct spf_token){.level = &check->start};
	return check;
}

/* --- libspf2 --- */

static SPF_request_t *request_new(SPF_server_t *server, const struct ip *client)
{
	SPF_request_t *request = SPF_request_new(server);
	struct in_addr v4;
	struct in6_addr v6;

	if (!request)
		fail_memory(sizeof(*request));
	memcpy(&v4, client->bytes, sizeof(v4));
	memcpy(&v6, client->bytes, sizeof(v6));
	if (client->family == IP_V4)
		SPF_request_set_ipv4(request, v4);
	else
		SPF_request_set_ipv6(request, v6);
	request->cur_dom = spf_first_name;
	return request;
}

static enum spf_code code_of(SPF_result_t result)
{
	switch (result) {
	case SPF_RESULT_NEUTRAL:
		return SPF_IS_NEUTRAL;
	case SPF_RESULT_PASS:
		return SPF_IS_PASS;
	case SPF_RESULT_FAIL:
		return SPF_IS_FAIL;
	case SPF_RESULT_SOFTFAIL:
		return SPF_IS_SOFTFAIL;
	case SPF_RESULT_NONE:
	case SPF_RESULT_TEMPERROR:
	case SPF_RESULT_PERMERROR:
	case SPF_RESULT_INVALID:
		break;
	}
	return SPF_IS_PERMERROR;
}

/* Errors are the layer's, all of them: none that libspf2 finds has a cause outside of it. */
static void result_take(
	struct spf_check *check, const SPF_response_t *response, struct spf_result *result)
{
	if (check->stopped) {
		result->code = check->code;
		result->problem = check->code == SPF_IS_NONE ? SPAN_NONE : check->problem;
		return;
	}
	result->code = code_of(response->result);
	if (result->code == SPF_IS_PERMERROR)
		result->problem = SPAN("libspf2 gives up");
	else if (response->reason == SPF_REASON_MECH && check->last)
		result->mechanism = span_first(check->last->term->text, MECHANISM_MAX);
	/* Only of a fail that stands (RFC 7208 6.2): nobody else asks for it. */
	if (result->code == SPF_IS_FAIL && !check->missing)
		result->explanation = spf_explain(check, response->explanation);
}

static void check_run(struct spf *spf, struct spf_check *check, struct spf_result *result)
{
	SPF_request_t *request = request_new(spf->server, &check->client);
	SPF_response_t *response = SPF_response_new(request);
	SPF_record_t *record = NULL;

	if (!response)
		fail_memory(sizeof(*response));
	spf->layer.hook = check;
	if (SPF_server_get_record(spf->server, request, response, &record) == SPF_E_SUCCESS) {
		response->spf_record_exp = record;
		SPF_record_interpret(record, request, response, 0);
	}
	if (record)
		SPF_record_free(record);
	result_take(check, response, result);
	spf->layer.hook = NULL;
	SPF_response_free(response);
	SPF_request_free(request);
}

/* What is wrong names what came from outside. */
static struct span printable(struct arena *arena, struct span text)
{
	char *copy = arena_string(arena, text);

	for (size_t i = 0; i < text.len; i++)
		if (copy[i] < 0x20 || copy[i] > 0x7e)
			copy[i] = '?';
	return span_make(copy, text.len);
}

bool spf_run(struct spf *spf, const struct spf_question *question, const struct answers *answers,
	struct wants *wants, struct spf_result *result, struct arena *arena)
{
	struct arena *scratch = arena_new(SCRATCH_BYTES);
	struct spf_check *check = check_new(question, answers, wants, scratch);
	bool known;

	*result = (struct spf_result){.code = SPF_IS_NONE};
	if (check->client.family != IP_NONE && domain_is_askable(question->domain, scratch))
		check_run(spf, check, result);
	known = !check->missing;
	result->mechanism = arena_span(arena, result->mechanism);
	result->problem = printable(arena, result->problem);
	result->explanation = arena_span(arena, result->explanation);
	arena_free(&scratch);
	return known;
}
