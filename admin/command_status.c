/*
 * `postern status`. What is wrong comes to the eye first: a failed reload, a worker that does not
 * answer, a backend that is down, a blocklist that is switched off, log lines that were lost.
 * Numbers of all workers are added up;
 * --json has them each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/command.h"
#include "admin/control.h"
#include "admin/json.h"
#include "admin/table.h"

enum {
	ANSWER_MAX = 256 * 1024 * 1024,
	ANSWER_MS = 10 * 1000,
	SESSIONS_SHOWN = 20,
	RULES_SHOWN = 20,
	TEXT_SIZE = 32
};

struct view {
	struct arena *arena;
	const struct json *status;
	bool colour;
};

/* --- numbers for people --- */

/* 850ms, 12s, 3m 5s, 2h 10m, 9d 3h. */
static const char *duration(struct arena *arena, long long ms)
{
	long long s = ms / 1000;

	if (ms > 0 && ms < 1000)
		return arena_print(arena, "%lldms", ms);
	if (s < 60)
		return arena_print(arena, "%llds", s);
	if (s < 3600)
		return arena_print(arena, "%lldm %llds", s / 60, s % 60);
	if (s < 86400)
		return arena_print(arena, "%lldh %lldm", s / 3600, s / 60 % 60);
	return arena_print(arena, "%lldd %lldh", s / 86400, s / 3600 % 24);
}

static const char *size(struct arena *arena, long long bytes)
{
	static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < COUNT_OF(units)) {
		value /= 1024;
		unit++;
	}
	return arena_print(arena, unit && value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

/* 2026-01-31T12:00:00.123Z without what a person does not need. */
static const char *when(struct arena *arena, const struct json *object, const char *key)
{
	const char *text = json_text(object, key);

	return strlen(text) < 19 ? text : arena_print(arena, "%.10s %.8s UTC", text, text + 11);
}

static void print_line(const struct view *v, enum tone tone, const char *text)
{
	printf("%s%s%s\n", tone_on(tone, v->colour), text, tone_off(tone, v->colour));
}

/* --- the head --- */

static void print_reload(const struct view *v)
{
	const struct json *reload = json_get(v->status, "last_reload");

	if (strcmp(json_text(reload, "ok"), "no") != 0)
		return;
	print_line(v, TONE_BAD,
		arena_print(v->arena, "The last reload failed (%s): %s",
			when(v->arena, reload, "at"), json_text(reload, "text")));
}

static void print_lost_lines(const struct view *v)
{
	long long lost = json_number(json_get(v->status, "totals"), "log_dropped");

	if (lost)
		print_line(v, TONE_WARN,
			arena_print(v->arena, "%lld log line%s could not be written", lost,
				lost == 1 ? "" : "s"));
}

static void print_lists_off(const struct view *v)
{
	const struct json *zones = json_get(v->status, "zones");

	for (const struct json *z = zones ? zones->first : NULL; z; z = z->next)
		if (json_get(z, "off"))
			print_line(v, TONE_WARN,
				arena_print(v->arena, "The list %s (of %s) is switched off: %s",
					json_text(z, "zone"), json_text(z, "of"),
					json_text(z, "off")));
}

static void print_head(const struct view *v)
{
	const char *state = json_text(v->status, "state");
	enum tone tone = strcmp(state, "running") == 0 ? TONE_GOOD : TONE_WARN;

	printf("%spostern %s%s, %s%s%s for %s, pid %s\n", tone_on(TONE_BOLD, v->colour),
		json_text(v->status, "version"), tone_off(TONE_BOLD, v->colour),
		tone_on(tone, v->colour), state, tone_off(tone, v->colour),
		duration(v->arena, 1000 * json_number(v->status, "uptime_s")),
		json_text(v->status, "pid"));
	printf("%s, generation %s, loaded %s\n", json_text(v->status, "configuration"),
		json_text(v->status, "generation"), when(v->arena, v->status, "loaded"));
	print_reload(v);
	print_lost_lines(v);
	print_lists_off(v);
	putchar('\n');
}

/* --- processes --- */

/* What the worker with this pid said; NULL: nothing. */
static const struct json *answer_of(const struct view *v, long long pid, bool *asked)
{
	const struct json *workers = json_get(v->status, "workers");

	*asked = false;
	for (const struct json *w = workers ? workers->first : NULL; w; w = w->next) {
		if (json_number(w, "pid") != pid)
			continue;
		*asked = true;
		return json_get(w, "status");
	}
	return NULL;
}

static enum tone process_tone(const char *state)
{
	if (strcmp(state, "ready") == 0)
		return TONE_GOOD;
	return strcmp(state, "back-off") == 0 ? TONE_BAD : TONE_WARN;
}

static void add_process(const struct view *v, struct table *table, const struct json *p)
{
	const char *state = json_text(p, "state");
	bool exists = json_number(p, "pid") != 0, worker = json_number(p, "number") != 0, asked;
	const struct json *answer = answer_of(v, json_number(p, "pid"), &asked);

	table_row(table);
	table_cell(table, TONE_PLAIN, "%s", json_text(p, "name"));
	table_cell(table, TONE_PLAIN, "%s", worker ? json_text(p, "generation") : "");
	table_cell(table, TONE_PLAIN, "%s", exists ? json_text(p, "pid") : "-");
	if (exists && asked && !answer)
		table_cell(table, TONE_BAD, "no answer");
	else
		table_cell(table, process_tone(state), "%s", state);
	table_cell(table, TONE_PLAIN, "%s",
		exists ? duration(v->arena, 1000 * json_number(p, "uptime_s")) : "-");
	table_cell(table, json_number(p, "restarts") ? TONE_WARN : TONE_PLAIN, "%s",
		json_get(p, "restarts") ? json_text(p, "restarts") : "");
	table_cell(table, TONE_PLAIN, "%s",
		!worker  ? ""
		: answer ? json_text(answer, "sessions")
			 : "-");
}

static void print_processes(const struct view *v)
{
	static const char *const heads[] = {
		"PROCESS", ">GEN", ">PID", "STATE", ">UP", ">RESTARTS", ">SESSIONS", NULL};
	const struct json *processes = json_get(v->status, "processes");
	struct table table;

	table_init(&table, v->arena, heads);
	for (const struct json *p = processes ? processes->first : NULL; p; p = p->next)
		add_process(v, &table, p);
	table_print(&table, stdout, v->colour);
}

/* --- backends --- */

/* A server as all workers see it together. */
struct server {
	struct server *next;
	const char *backend, *address, *why;
	unsigned down, up;
	long long down_s; /* the longest that any worker has seen it down */
	long long open, busy, limit, waiting, checks;
};

static struct server *server_of(
	const struct view *v, struct server **all, const char *backend, const char *address)
{
	struct server **at = all;

	while (*at &&
		(strcmp((*at)->backend, backend) != 0 || strcmp((*at)->address, address) != 0))
		at = &(*at)->next;
	if (!*at) {
		*at = arena_alloc(v->arena, sizeof(**at));
		(*at)->backend = backend;
		(*at)->address = address;
		(*at)->why = "";
	}
	return *at;
}

static void add_server(
	const struct view *v, struct server **all, const char *backend, const struct json *json)
{
	struct server *server = server_of(v, all, backend, json_text(json, "server"));
	const struct json *mail = json_get(json, "mail");
	long long since_s = json_number(json, "since_s");

	if (strcmp(json_text(json, "state"), "down") == 0) {
		server->down++;
		server->why = json_text(json, "why");
		server->down_s = since_s > server->down_s ? since_s : server->down_s;
	} else if (strcmp(json_text(json, "state"), "up") == 0) {
		server->up++;
	}
	server->open += json_number(mail, "open");
	server->busy += json_number(mail, "busy");
	server->limit += json_number(mail, "limit");
	server->waiting += json_number(mail, "waiting");
	server->checks += json_number(json_get(json, "checks"), "open");
}

static struct server *collect_servers(const struct view *v)
{
	const struct json *workers = json_get(v->status, "workers");
	struct server *all = NULL;

	for (const struct json *w = workers ? workers->first : NULL; w; w = w->next) {
		const struct json *backends = json_get(json_get(w, "status"), "backends");

		if (json_number(w, "generation") != json_number(v->status, "generation"))
			continue;
		for (const struct json *b = backends ? backends->first : NULL; b; b = b->next) {
			const struct json *servers = json_get(b, "servers");

			for (const struct json *s = servers ? servers->first : NULL; s; s = s->next)
				add_server(v, &all, json_text(b, "backend"), s);
		}
	}
	return all;
}

static void add_server_row(const struct view *v, struct table *table, const struct server *server)
{
	table_row(table);
	table_cell(table, TONE_PLAIN, "%s", server->backend);
	table_cell(table, TONE_PLAIN, "%s", server->address);
	if (server->down)
		table_cell(table, TONE_BAD, "down %s", duration(v->arena, 1000 * server->down_s));
	else
		table_cell(table, server->up ? TONE_GOOD : TONE_DIM, "%s",
			server->up ? "up" : "not used yet");
	table_cell(table, TONE_PLAIN, "%lld/%lld", server->busy, server->limit);
	table_cell(table, TONE_PLAIN, "%lld", server->open - server->busy);
	table_cell(table, server->waiting ? TONE_WARN : TONE_PLAIN, "%lld", server->waiting);
	table_cell(table, TONE_PLAIN, "%lld", server->checks);
	table_cell(table, TONE_PLAIN, "%s", server->why);
}

static void print_backends(const struct view *v)
{
	static const char *const heads[] = {
		"BACKEND", "SERVER", "STATE", ">BUSY", ">IDLE", ">WAITING", ">CHECKS", "WHY", NULL};
	struct table table;

	table_init(&table, v->arena, heads);
	for (const struct server *s = collect_servers(v); s; s = s->next)
		add_server_row(v, &table, s);
	if (table.n_rows == 0)
		return;
	putchar('\n');
	table_print(&table, stdout, v->colour);
}

/* --- rules and lookups --- */

struct ranked {
	const struct json *json;
	long long count;
	size_t place; /* in the daemon's answer: equals stay in its order */
};

static int compare_ranks(const void *left, const void *right)
{
	const struct ranked *a = left, *b = right;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->place < b->place ? -1 : 1;
}

/* The members of a list whose `key` is not 0, most first. *left_out: how many others there are. */
static struct ranked *rank(
	const struct view *v, const struct json *list, const char *key, size_t *n, size_t *left_out)
{
	struct ranked *ranks;

	*n = 0;
	for (const struct json *j = list ? list->first : NULL; j; j = j->next)
		++*n;
	ranks = arena_alloc(v->arena, (*n + 1) * sizeof(*ranks));
	*left_out = *n;
	*n = 0;
	for (const struct json *j = list ? list->first : NULL; j; j = j->next)
		if (json_number(j, key) > 0) {
			ranks[*n] = (struct ranked){j, json_number(j, key), *n};
			++*n;
		}
	*left_out -= *n;
	qsort(ranks, *n, sizeof(*ranks), compare_ranks);
	return ranks;
}

static void add_rule(struct table *table, const struct json *rule)
{
	bool monitor = strcmp(json_text(rule, "mode"), "monitor") == 0;

	table_row(table);
	table_cell(table, TONE_PLAIN, "%s", json_text(rule, "rule"));
	table_cell(table, TONE_PLAIN, "%s", json_text(rule, "hits"));
	table_cell(table, TONE_DIM, "%s", monitor ? "monitor" : "");
}

static void print_rules(const struct view *v)
{
	static const char *const heads[] = {"RULE", ">HITS", "", NULL};
	struct table table;
	size_t n, never;
	const struct ranked *ranks = rank(v, json_get(v->status, "rules"), "hits", &n, &never);

	table_init(&table, v->arena, heads);
	for (size_t i = 0; i < n && i < RULES_SHOWN; i++)
		add_rule(&table, ranks[i].json);
	if (n + never == 0)
		return;
	putchar('\n');
	if (n)
		table_print(&table, stdout, v->colour);
	if (n > RULES_SHOWN || never)
		print_line(v, TONE_DIM,
			arena_print(v->arena, "%s%zu rule%s never true; --json lists all",
				n > RULES_SHOWN ? arena_print(v->arena, "... and %zu more; ",
							  n - RULES_SHOWN)
						: "",
				never, never == 1 ? " was" : "s were"));
}

static void add_lookup(struct table *table, const struct json *lookup)
{
	long long calls = json_number(lookup, "calls"), failed = json_number(lookup, "failures"),
		  late = json_number(lookup, "timeouts");

	table_row(table);
	table_cell(table, TONE_PLAIN, "%s", json_text(lookup, "filter"));
	table_cell(table, TONE_PLAIN, "%lld", calls);
	table_cell(table, failed ? TONE_WARN : TONE_PLAIN, "%lld", failed);
	table_cell(table, late ? TONE_WARN : TONE_PLAIN, "%lld", late);
	table_cell(table, TONE_PLAIN, "%.1f",
		(double)json_number(lookup, "us") / 1000 / (double)calls);
}

static void print_lookups(const struct view *v)
{
	static const char *const heads[] = {
		"LOOKUP", ">CALLS", ">FAILED", ">TIMED OUT", ">MEAN MS", NULL};
	struct table table;
	size_t n, unused;
	const struct ranked *ranks = rank(v, json_get(v->status, "lookups"), "calls", &n, &unused);

	table_init(&table, v->arena, heads);
	for (size_t i = 0; i < n; i++)
		add_lookup(&table, ranks[i].json);
	if (n == 0)
		return;
	putchar('\n');
	table_print(&table, stdout, v->colour);
}

/* --- sessions --- */

static void add_session(
	const struct view *v, struct table *table, const struct json *worker, const struct json *s)
{
	table_row(table);
	table_cell(table, TONE_PLAIN, "%s", json_text(s, "sid"));
	table_cell(table, TONE_PLAIN, "%s", json_text(worker, "number"));
	table_cell(table, TONE_PLAIN, "%s", json_text(s, "client"));
	table_cell(table, TONE_PLAIN, "%s", duration(v->arena, json_number(s, "age_ms")));
	table_cell(table, TONE_PLAIN, "%s", json_text(s, "tls"));
	table_cell(table, TONE_PLAIN, "%s", json_text(s, "state"));
	table_cell(table, TONE_PLAIN, "%s", duration(v->arena, json_number(s, "waits_ms")));
	table_cell(table, TONE_BOLD, "%s", json_text(s, "waits_for"));
	table_cell(table, TONE_PLAIN, "%s", json_text(s, "from"));
}

static void print_sessions(const struct view *v)
{
	static const char *const heads[] = {"SESSION", ">WORKER", "CLIENT", ">AGE", "TLS", "STATE",
		">SINCE", "WAITS FOR", "FROM", NULL};
	const struct json *workers = json_get(v->status, "workers");
	struct table table;
	long long open = 0;

	table_init(&table, v->arena, heads);
	for (const struct json *w = workers ? workers->first : NULL; w; w = w->next) {
		const struct json *status = json_get(w, "status");
		const struct json *list = json_get(status, "session_list");

		open += json_number(status, "sessions");
		for (const struct json *s = list ? list->first : NULL; s; s = s->next)
			add_session(v, &table, w, s);
	}
	if (table.n_rows == 0)
		return;
	putchar('\n');
	table_print(&table, stdout, v->colour);
	if (open > (long long)table.n_rows)
		print_line(v, TONE_DIM,
			arena_print(v->arena, "... and %lld more; --sessions N lists more",
				open - (long long)table.n_rows));
}

/* --- totals --- */

static void print_totals(const struct view *v)
{
	const struct json *t = json_get(v->status, "totals");

	printf("\nsessions    %s open, %s so far, %s refused at a limit, %s with TLS\n",
		json_text(t, "sessions_open"), json_text(t, "sessions"),
		json_text(t, "sessions_refused"), json_text(t, "tls_handshakes"));
	printf("messages    %s accepted (%s), %s refused, %s deferred, %s quarantined, "
	       "%s discarded, %s in doubt\n",
		json_text(t, "messages_accepted"), size(v->arena, json_number(t, "message_bytes")),
		json_text(t, "messages_refused"), json_text(t, "messages_deferred"),
		json_text(t, "messages_quarantined"), json_text(t, "messages_discarded"),
		json_text(t, "messages_in_doubt"));
	printf("recipients  %s refused\n", json_text(t, "recipients_refused"));
	printf("spool       %s in memory, %s on disk\n",
		size(v->arena, json_number(t, "spool_memory_bytes")),
		size(v->arena, json_number(t, "spool_disk_bytes")));
}

static void print_view(const struct view *v)
{
	print_head(v);
	print_processes(v);
	print_backends(v);
	print_rules(v);
	print_lookups(v);
	print_sessions(v);
	print_totals(v);
}

/* --- the command --- */

static int show(const struct invocation *invocation, struct arena *arena, struct span answer)
{
	struct view view = {arena, NULL, tone_wanted(stdout)};

	if (cli_option(invocation, "--json")) {
		fwrite(answer.at, 1, answer.len, stdout);
		return CLI_OK;
	}
	view.status = json_read(arena, answer);
	if (!view.status) {
		fputs("postern: the daemon's answer can't be read; is it another version?\n",
			stderr);
		return CLI_UNREACHABLE;
	}
	print_view(&view);
	return CLI_OK;
}

static int ask(const struct invocation *invocation, struct arena *arena, const char *request)
{
	struct buffer answer = BUFFER_INIT(ANSWER_MAX);
	struct admin_config admin;
	struct err err = {{0}};
	int status = cli_admin(invocation, arena, &admin);

	if (status != CLI_OK)
		return status;
	if (control_call(admin.socket, request, ANSWER_MS, &status, &answer, &err) !=
		CONTROL_ANSWERED) {
		fprintf(stderr, "postern: %s\n", err.text);
		status = CLI_UNREACHABLE;
	} else if (status != CLI_OK) {
		fputs(buffer_string(&answer), stderr);
	} else {
		status = show(invocation, arena, buffer_span(&answer));
	}
	buffer_free(&answer);
	return status;
}

int cli_status(const struct invocation *invocation)
{
	const char *sessions = cli_option(invocation, "--sessions");
	uint64_t count = SESSIONS_SHOWN;
	struct arena *arena;
	char request[TEXT_SIZE];
	int status;

	if (sessions && !span_number(span_text(sessions), CONTROL_SESSIONS_MAX, &count))
		return cli_usage(
			invocation, "--sessions wants a number up to %d", CONTROL_SESSIONS_MAX);
	snprintf(request, sizeof(request), "status %u", (unsigned)count);
	arena = arena_new(64 * 1024);
	status = ask(invocation, arena, request);
	arena_free(&arena);
	return status;
}
