/*
 * `postern greylist` and `postern reputation`: what the store remembers of clients and senders,
 * asked of the daemon. What an admin writes need not be the key to the letter: an address stands
 * for its network, capitals don't matter.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/command.h"
#include "admin/control.h"
#include "admin/json.h"
#include "admin/table.h"
#include "admin/visible.h"
#include "lib/base/clock.h"
#include "lib/base/fail.h"
#include "lib/base/log.h"
#include "lib/mail/url.h"
#include "lib/store/grey.h"
#include "lib/store/reputation.h"
#include "lib/store/store.h"

enum { ANSWER_MAX = 8 * 1024 * 1024, ANSWER_MS = 30 * 1000 };

#define DAY_MS (24ULL * 3600 * 1000)

struct errand {
	const struct invocation *invocation;
	struct arena *arena;
	struct admin_config admin;
	struct buffer answer;
};

/* An exit status; the answer is in errand->answer. What the daemon refuses is said. */
static int ask(struct errand *e, const char *request)
{
	struct err err = {{0}};
	int status;

	buffer_clear(&e->answer);
	if (control_call(e->admin.socket, request, ANSWER_MS, &status, &e->answer, &err) !=
		CONTROL_ANSWERED) {
		fprintf(stderr, "postern: %s\n", err.text);
		return CLI_UNREACHABLE;
	}
	if (status != CLI_OK)
		fputs(buffer_string(&e->answer), stderr);
	return status;
}

static const struct json *read_answer(struct errand *e)
{
	const struct json *json = json_read(e->arena, buffer_span(&e->answer));

	if (!json)
		fputs("postern: the daemon's answer can't be read; is it another version?\n",
			stderr);
	return json;
}

static const char *time_text(struct arena *arena, long long time_s)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339((uint64_t)time_s * 1000, text);
	return arena_print(arena, "%.10s %.8s", text, text + 11);
}

static int run(const struct invocation *invocation, int (*command)(struct errand *e))
{
	struct errand e = {.invocation = invocation,
		.arena = arena_new(4096),
		.answer = BUFFER_INIT(ANSWER_MAX)};
	int status = cli_admin(invocation, e.arena, &e.admin);

	if (status == CLI_OK)
		status = command(&e);
	buffer_free(&e.answer);
	arena_free(&e.arena);
	return status;
}

static const char *lower(struct arena *arena, const char *text)
{
	char *copy = arena_string(arena, span_text(text));

	for (char *c = copy; *c; c++)
		*c = ascii_lower(*c);
	return copy;
}

/* An address, or a network as keys have it; NULL: it is neither. */
static const char *network_text(struct arena *arena, const char *text)
{
	struct buffer out = BUFFER_INIT(IP_TEXT_SIZE + 8);
	const char *copy = NULL;
	struct cidr net;

	if (cidr_parse(span_text(text), &net, NULL) && network_write(&net.ip, &out))
		copy = arena_string(arena, buffer_span(&out));
	buffer_free(&out);
	return copy;
}

/* --- greylist --- */

static void print_item(const struct json *item)
{
	struct record r;
	struct span text;

	record_init(&r, true, ANSWER_MAX);
	record_string(&r, "key", json_text(item, "key"));
	record_string(&r, "state", json_text(item, "state"));
	record_number(&r, "since", json_number(item, "since"));
	record_number(&r, "until", json_number(item, "until"));
	record_number(&r, "tries", json_number(item, "tries"));
	text = record_finish(&r);
	printf("%.*s\n", SPAN_ARGS(text));
	record_free(&r);
}

static void add_row(struct errand *e, struct table *table, const struct json *item)
{
	bool known = strcmp(json_text(item, "state"), "known") == 0;

	table_row(table);
	table_cell(
		table, TONE_PLAIN, "%s", visible_line(e->arena, span_text(json_text(item, "key"))));
	table_cell(table, known ? TONE_GOOD : TONE_WARN, "%s", json_text(item, "state"));
	table_cell(table, TONE_PLAIN, "%s", time_text(e->arena, json_number(item, "since")));
	table_cell(table, TONE_PLAIN, "%s", time_text(e->arena, json_number(item, "until")));
	table_cell(table, TONE_PLAIN, "%s", json_text(item, "tries"));
}

static void print_page(struct errand *e, const struct json *items)
{
	static const char *const heads[] = {
		"CLIENT, FROM, TO", "STATE", "SINCE (UTC)", "UNTIL", ">TRIES", NULL};
	bool json = cli_option(e->invocation, "--json") != NULL;
	struct table table;

	table_init(&table, e->arena, heads);
	for (const struct json *item = items->first; item; item = item->next) {
		if (json)
			print_item(item);
		else
			add_row(e, &table, item);
	}
	if (!json && items->first)
		table_print(&table, stdout, tone_wanted(stdout));
}

/* A page after the other: nothing has to hold a million of them. *after: the last key of this one;
 * NULL: there are no more. */
static int greylist_page(struct errand *e, const char **after)
{
	int status = ask(e, arena_print(e->arena, "greylist ls %s", *after));
	const struct json *page, *items;

	if (status != CLI_OK)
		return status;
	page = read_answer(e);
	items = json_get(page, "items");
	if (!items)
		return CLI_UNREACHABLE;
	print_page(e, items);
	*after = NULL;
	if (json_get(page, "next")) /* Redis, which has no order of keys */
		*after = json_text(page, "next");
	else if (strcmp(json_text(page, "more"), "yes") == 0)
		for (const struct json *item = items->first; item; item = item->next)
			*after = json_text(item, "key");
	return CLI_OK;
}

static int greylist_ls(struct errand *e)
{
	const char *after = "";
	int status = CLI_OK;

	if (e->invocation->n_words > 1)
		return cli_usage(e->invocation, "ls takes nothing more");
	while (after && status == CLI_OK) {
		struct arena *before = e->arena, *page = arena_new(64 * 1024);

		e->arena = page;
		status = greylist_page(e, &after);
		e->arena = before;
		after = after ? arena_string(before, span_text(after)) : NULL;
		arena_free(&page);
	}
	return status;
}

/* CLIENT FROM TO as three words, or as `ls` shows them in one. NULL: they are not three. */
static const char *greylist_key(struct errand *e)
{
	const struct invocation *i = e->invocation;
	struct span rest = span_text(i->n_words == 2 ? i->words[1]
						     : arena_print(e->arena, "%s %s %s",
							       i->n_words > 1 ? i->words[1] : "",
							       i->n_words > 2 ? i->words[2] : "",
							       i->n_words > 3 ? i->words[3] : ""));
	const char *parts[3], *network;

	for (size_t n = 0; n < COUNT_OF(parts); n++) {
		struct span word = span_word(&rest);

		if (word.len == 0)
			return NULL;
		parts[n] = lower(e->arena, arena_string(e->arena, word));
	}
	if (span_trim(rest).len)
		return NULL;
	network = network_text(e->arena, parts[0]);
	return arena_print(e->arena, "%s %s %s", network ? network : parts[0], parts[1], parts[2]);
}

static int greylist_change(struct errand *e)
{
	bool allow = strcmp(e->invocation->words[0], "allow") == 0;
	const char *ttl = cli_option(e->invocation, "--ttl"), *key = greylist_key(e);
	uint64_t ttl_ms = 36 * DAY_MS;
	struct err err = {{0}};

	if (ttl && !allow)
		return cli_usage(e->invocation, "--ttl is for allow");
	if (ttl && (!cli_duration(ttl, 3660 * DAY_MS, &ttl_ms, &err) || ttl_ms < 1000))
		return cli_usage(
			e->invocation, "%s", err.text[0] ? err.text : "--ttl is 1s at least");
	if (!key)
		return cli_usage(e->invocation,
			"write: %s 192.0.2.0/24 ann@example.com bob@example.net",
			e->invocation->words[0]);
	if (!allow)
		return ask(e, arena_print(e->arena, "greylist clear %s", key));
	return ask(e, arena_print(e->arena, "greylist allow %llu %s",
			      (unsigned long long)(ttl_ms / 1000), key));
}

static int greylist(struct errand *e)
{
	const char *verb = e->invocation->words[0];

	if (strcmp(verb, "ls") == 0)
		return greylist_ls(e);
	if (strcmp(verb, "allow") == 0 || strcmp(verb, "clear") == 0)
		return greylist_change(e);
	return cli_usage(e->invocation, "`%s` is none of ls, allow, clear", verb);
}

int cli_greylist(const struct invocation *invocation)
{
	return run(invocation, greylist);
}

/* --- reputation --- */

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

/* "AS64500", "net 192.0.2.0/24" and the other forms of keys; an address; a domain or what has one
 * behind its @. NULL: none of these. */
static const char *reputation_key(struct errand *e, const char *item)
{
	const char *text = lower(e->arena, item), *network = network_text(e->arena, text);
	const char *at = strrchr(text, '@');
	struct buffer domain = BUFFER_INIT(256);
	const char *key = NULL;

	if (strncmp(text, "net ", 4) == 0 || strncmp(text, "asn ", 4) == 0 ||
		strncmp(text, "domain ", 7) == 0)
		return text;
	if (network)
		return arena_print(e->arena, "net %s", network);
	if (strncmp(text, "as", 2) == 0 && is_number(text + 2))
		return arena_print(e->arena, "asn %s", text + 2);
	if (host_ascii(span_text(at ? at + 1 : text), &domain))
		key = arena_print(e->arena, "domain %s", buffer_string(&domain));
	buffer_free(&domain);
	return key;
}

static struct reputation counts_of(const struct json *json)
{
	return (struct reputation){strtod(json_text(json, "good"), NULL),
		strtod(json_text(json, "bad"), NULL), strtod(json_text(json, "traps"), NULL)};
}

static void print_reputation_json(const struct json *json)
{
	struct reputation counts = counts_of(json);
	struct record r;
	struct span text;

	record_init(&r, true, ANSWER_MAX);
	record_string(&r, "key", json_text(json, "key"));
	record_real(&r, "reputation", reputation_value(&counts, 0));
	record_real(&r, "good", counts.good);
	record_real(&r, "bad", counts.bad);
	record_real(&r, "traps", counts.traps);
	record_bool(&r, "known_good", known_good(&counts));
	record_number(&r, "first", json_number(json, "first"));
	record_number(&r, "last", json_number(json, "last"));
	text = record_finish(&r);
	printf("%.*s\n", SPAN_ARGS(text));
	record_free(&r);
}

static void print_reputation(struct errand *e, const struct json *json)
{
	struct reputation counts = counts_of(json);

	printf("%s\n", visible_line(e->arena, span_text(json_text(json, "key"))));
	printf("  reputation  %.2f%s\n", reputation_value(&counts, 0),
		known_good(&counts) ? ", known to be good" : "");
	printf("  good        %.2f\n  bad         %.2f\n  traps       %.2f\n", counts.good,
		counts.bad, counts.traps);
	printf("  first       %s\n", time_text(e->arena, json_number(json, "first")));
	printf("  last        %s\n", time_text(e->arena, json_number(json, "last")));
}

static int reputation(struct errand *e)
{
	const char *verb = e->invocation->words[0];
	const char *key = reputation_key(e, e->invocation->words[1]);
	bool show = strcmp(verb, "show") == 0;
	const struct json *json;
	int status;

	if (!show && strcmp(verb, "reset") != 0)
		return cli_usage(e->invocation, "`%s` is neither show nor reset", verb);
	if (!key)
		return cli_usage(e->invocation, "`%s` is no address, network, AS or domain",
			e->invocation->words[1]);
	status = ask(e, arena_print(e->arena, "reputation %s %s", verb, key));
	if (status != CLI_OK || !show)
		return status;
	json = read_answer(e);
	if (!json)
		return CLI_UNREACHABLE;
	if (cli_option(e->invocation, "--json"))
		print_reputation_json(json);
	else
		print_reputation(e, json);
	return CLI_OK;
}

int cli_reputation(const struct invocation *invocation)
{
	return run(invocation, reputation);
}
