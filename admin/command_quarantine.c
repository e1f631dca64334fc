/*
 * `postern quarantine`: the messages that rules held back, straight from their folder; the daemon
 * need not run. What strangers wrote reaches a terminal only with its control characters made
 * visible.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/command.h"
#include "admin/quarantine_folder.h"
#include "admin/release.h"
#include "admin/table.h"
#include "admin/visible.h"
#include "lib/base/clock.h"
#include "lib/base/fail.h"
#include "lib/base/log.h"

enum { RECORD_MAX = 32 * 1024 * 1024, PART_SIZE = 64 * 1024 };

static const uint64_t OLDER_MAX_MS = 100ull * 365 * 24 * 3600 * 1000;

struct quarantine_view {
	const struct invocation *invocation;
	struct arena *arena;
	struct quarantine_folder folder;
};

static void complain(const char *text)
{
	fprintf(stderr, "postern quarantine: %s\n", text);
}

/* --- text for people --- */

static const char *size_text(struct arena *arena, uint64_t bytes)
{
	if (bytes < 1024)
		return arena_print(arena, "%u B", (unsigned)bytes);
	if (bytes < 1024 * 1024)
		return arena_print(arena, "%.1f KB", (double)bytes / 1024);
	return arena_print(arena, "%.1f MB", (double)bytes / (1024 * 1024));
}

static const char *time_text(struct arena *arena, uint64_t time_ms)
{
	char text[CLOCK_RFC3339_SIZE];

	clock_rfc3339(time_ms, text);
	return arena_print(arena, "%.10s %.8s", text, text + 11);
}

/* --- json --- */

static void record_if(struct record *r, const char *key, struct span value)
{
	if (value.len)
		record_text(r, key, value);
}

static void record_client(struct record *r, const struct client *client)
{
	char ip[IP_TEXT_SIZE];

	record_open(r, "client");
	if (client->remote.ip.family != IP_NONE) {
		record_string(r, "ip", ip_format(&client->remote.ip, ip));
		record_number(r, "port", client->remote.port);
	}
	record_if(r, "rdns", client->name);
	record_close(r);
	record_if(r, "helo", client->helo);
}

static void record_recipients(struct record *r, const struct envelope *envelope)
{
	record_list(r, "to");
	for (const struct recipient *to = envelope->recipients; to; to = to->next)
		record_text(r, NULL, to->to.mailbox);
	record_close(r);
}

/* An object on standard output; why: what is wrong with its file, or NULL. */
static void print_json(const char *id, const struct quarantined *q, const char *why)
{
	char time[CLOCK_RFC3339_SIZE];
	struct span text;
	struct record r;

	record_init(&r, true, RECORD_MAX);
	record_string(&r, "id", id);
	if (why) {
		record_string(&r, "damaged", why);
	} else {
		clock_rfc3339(q->time_ms, time);
		record_string(&r, "time", time);
		record_if(&r, "sid", q->sid);
		record_if(&r, "tid", q->tid);
		record_client(&r, &q->client);
		record_text(&r, "from", q->envelope.from.mailbox);
		record_recipients(&r, &q->envelope);
		record_number(&r, "size", (int64_t)q->size_bytes);
		record_text(&r, "rule", q->rule);
		record_text(&r, "why", q->why);
		record_real(&r, "score", q->score);
		record_if(&r, "backend", q->backend);
	}
	text = record_finish(&r);
	fwrite(text.at, 1, text.len, stdout);
	record_free(&r);
}

/* --- ls --- */

struct listed {
	const char *id;
	struct quarantined q;
	const char *damaged; /* NULL: q is good */
	uint64_t time_ms;
};

static int by_time(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	if (x->time_ms != y->time_ms)
		return x->time_ms < y->time_ms ? -1 : 1;
	return strcmp(x->id, y->id);
}

/* false: it is not there any more. */
static bool look_at(struct quarantine_view *v, const char *id, struct listed *out)
{
	struct quarantine_file file = {.fd = -1};
	struct err err = {{0}};
	uint64_t head;
	enum quarantine_find found = quarantine_file_open(&v->folder, id, &file, &err);

	*out = (struct listed){.id = id};
	if (found == QUARANTINE_UNKNOWN)
		return false;
	if (found == QUARANTINE_FOUND && quarantined_load(file.fd, v->arena, &out->q, &head, &err))
		out->time_ms = out->q.time_ms;
	else
		out->damaged = visible_line(v->arena, span_text(err.text));
	if (out->damaged && found == QUARANTINE_FOUND)
		out->time_ms = (uint64_t)file.time * 1000;
	quarantine_file_close(&file);
	return true;
}

static void add_row(struct quarantine_view *v, struct table *table, const struct listed *l)
{
	const struct envelope *e = &l->q.envelope;

	table_row(table);
	table_cell(table, TONE_BOLD, "%s", l->id);
	table_cell(table, TONE_PLAIN, "%s", time_text(v->arena, l->time_ms));
	if (l->damaged) {
		for (int i = 0; i < 4; i++)
			table_cell(table, TONE_PLAIN, "-");
		table_cell(table, TONE_BAD, "damaged: %s", l->damaged);
		return;
	}
	table_cell(table, TONE_PLAIN, "<%s>", visible_line(v->arena, e->from.mailbox));
	if (e->n_recipients > 1)
		table_cell(table, TONE_PLAIN, "<%s> and %u more",
			visible_line(v->arena, e->recipients->to.mailbox), e->n_recipients - 1);
	else
		table_cell(table, TONE_PLAIN, "<%s>",
			visible_line(v->arena, e->recipients->to.mailbox));
	table_cell(table, TONE_PLAIN, "%s", size_text(v->arena, l->q.size_bytes));
	table_cell(table, TONE_PLAIN, "%s", visible_line(v->arena, l->q.rule));
	table_cell(table, TONE_PLAIN, "%s", visible_line(v->arena, l->q.why));
}

static void print_table(struct quarantine_view *v, const struct listed *all, size_t count)
{
	static const char *const heads[] = {
		"ID", "TIME (UTC)", "FROM", "TO", ">SIZE", "RULE", "WHY", NULL};
	struct table table;

	table_init(&table, v->arena, heads);
	for (size_t i = 0; i < count; i++)
		add_row(v, &table, &all[i]);
	table_print(&table, stdout, tone_wanted(stdout));
}

static int ls(struct quarantine_view *v)
{
	struct listed *all = memory_zeroed((v->folder.n_ids + 1) * sizeof(*all));
	bool json = cli_option(v->invocation, "--json") != NULL;
	size_t count = 0;

	for (size_t i = 0; i < v->folder.n_ids; i++)
		count += look_at(v, v->folder.ids[i], &all[count]);
	if (count)
		qsort(all, count, sizeof(*all), by_time);
	if (json) {
		for (size_t i = 0; i < count; i++) {
			fputs(i ? ",\n" : "[", stdout);
			print_json(all[i].id, &all[i].q, all[i].damaged);
		}
		puts(count ? "]" : "[]");
	} else if (count) {
		print_table(v, all, count);
	} else {
		puts("The quarantine is empty.");
	}
	free(all);
	return CLI_OK;
}

/* --- show --- */

static void print_field(struct quarantine_view *v, const char *name, struct span value)
{
	if (value.len)
		printf("%-10s %s\n", name, visible_line(v->arena, value));
}

static void print_about(struct quarantine_view *v, const struct quarantined *q)
{
	char ip[IP_TEXT_SIZE];

	print_field(v, "id", q->id);
	printf("%-10s %s UTC\n", "time", time_text(v->arena, q->time_ms));
	print_field(v, "session", q->tid.len ? q->tid : q->sid);
	if (q->client.remote.ip.family != IP_NONE)
		printf("%-10s %s%s%s\n", "client", endpoint_format(&q->client.remote, ip),
			q->client.name.len ? " " : "", visible_line(v->arena, q->client.name));
	print_field(v, "helo", q->client.helo);
	printf("%-10s <%s>\n", "from", visible_line(v->arena, q->envelope.from.mailbox));
	for (const struct recipient *to = q->envelope.recipients; to; to = to->next)
		printf("%-10s <%s>\n", "to", visible_line(v->arena, to->to.mailbox));
	print_field(v, "rule", q->rule);
	print_field(v, "why", q->why);
	printf("%-10s %g\n", "score", q->score);
	print_field(v, "backend", q->backend);
	printf("%-10s %s\n\n", "size", size_text(v->arena, q->size_bytes));
}

static bool print_message(int fd, uint64_t at, uint64_t len, bool raw)
{
	char part[PART_SIZE];

	while (len) {
		ssize_t got =
			pread(fd, part, len < sizeof(part) ? (size_t)len : sizeof(part), (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		if (raw)
			fwrite(part, 1, (size_t)got, stdout);
		else
			visible_print(span_make(part, (size_t)got), stdout);
		at += (uint64_t)got;
		len -= (uint64_t)got;
	}
	return fflush(stdout) == 0;
}

static int show_file(struct quarantine_view *v, const char *id, int fd)
{
	bool raw = cli_option(v->invocation, "--raw") != NULL;
	struct quarantined q;
	struct err err = {{0}};
	uint64_t head;

	if (!quarantined_load(fd, v->arena, &q, &head, &err)) {
		fprintf(stderr, "postern quarantine: the file of %s is damaged: %s\n", id,
			visible_line(v->arena, span_text(err.text)));
		return CLI_NO;
	}
	q.id = span_text(id);
	if (cli_option(v->invocation, "--json")) {
		print_json(id, &q, NULL);
		putchar('\n');
		return CLI_OK;
	}
	if (!raw)
		print_about(v, &q);
	if (print_message(fd, head, q.size_bytes, raw || !isatty(STDOUT_FILENO)))
		return CLI_OK;
	complain("the message can't be printed in full");
	return CLI_PART;
}

static int show(struct quarantine_view *v)
{
	const char *id = v->invocation->words[1];
	struct quarantine_file file = {.fd = -1};
	struct err err = {{0}};
	int status = CLI_NO;

	if (quarantine_file_open(&v->folder, id, &file, &err) == QUARANTINE_FOUND)
		status = show_file(v, id, file.fd);
	else
		complain(visible_line(v->arena, span_text(err.text)));
	quarantine_file_close(&file);
	return status;
}

/* --- delete --- */

/* older_s: only files of that age; 0: whatever their age. *skipped: it is younger. */
static bool delete_one(struct quarantine_view *v, const char *id, uint64_t older_s, bool *skipped)
{
	struct quarantine_file file = {.fd = -1};
	struct err err = {{0}};
	bool ok = quarantine_file_open(&v->folder, id, &file, &err) == QUARANTINE_FOUND;

	*skipped = ok && older_s &&
		   (time(NULL) < file.time || (uint64_t)(time(NULL) - file.time) <= older_s);
	ok = ok && (*skipped || (quarantine_file_lock(&file, id, &err) == QUARANTINE_FOUND &&
					quarantine_file_delete(&v->folder, id, &err)));
	if (!ok)
		complain(visible_line(v->arena, span_text(err.text)));
	quarantine_file_close(&file);
	return ok;
}

static int delete_all(
	struct quarantine_view *v, const char *const *ids, size_t count, uint64_t older_s)
{
	size_t deleted = 0, failed = 0;

	for (size_t i = 0; i < count; i++) {
		bool skipped;

		if (!delete_one(v, ids[i], older_s, &skipped))
			failed++;
		else if (!skipped)
			deleted++;
	}
	printf("%zu message%s deleted\n", deleted, deleted == 1 ? "" : "s");
	return failed == 0 ? CLI_OK : deleted ? CLI_PART : CLI_NO;
}

static int delete_some(struct quarantine_view *v)
{
	const struct invocation *invocation = v->invocation;
	const char *older = cli_option(invocation, "--older");
	struct err err = {{0}};
	uint64_t older_ms;

	if (!older && invocation->n_words < 2)
		return cli_usage(invocation, "delete wants an ID, or --older TIME");
	if (!older)
		return delete_all(v, invocation->words + 1, invocation->n_words - 1, 0);
	if (invocation->n_words > 1)
		return cli_usage(invocation, "it is either IDs or --older TIME");
	if (!cli_duration(older, OLDER_MAX_MS, &older_ms, &err))
		return cli_usage(invocation, "--older: %s", err.text);
	if (older_ms < 1000)
		return cli_usage(invocation, "--older wants a second at least");
	return delete_all(v, v->folder.ids, v->folder.n_ids, older_ms / 1000);
}

/* --- release --- */

static int release(struct quarantine_view *v)
{
	const struct invocation *invocation = v->invocation;
	const struct release release = {.folder = &v->folder,
		.to = cli_option(invocation, "--to"),
		.keep = cli_option(invocation, "--keep") != NULL};

	return release_all(invocation, &release, invocation->words + 1, invocation->n_words - 1);
}

/* --- all of it --- */

static const struct quarantine_verb {
	const char *name;
	size_t words_min, words_max; /* with the verb itself */
	const char *options;         /* that it takes */
	int (*run)(struct quarantine_view *v);
} verbs[] = {
	{"ls", 1, 1, "--json", ls},
	{"show", 2, 2, "--json --raw", show},
	{"release", 2, CLI_WORDS_MAX, "--to --keep", release},
	{"delete", 1, CLI_WORDS_MAX, "--older", delete_some},
};

static const struct quarantine_verb *verb_of(const struct invocation *invocation)
{
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (strcmp(verbs[i].name, invocation->words[0]) == 0)
			return &verbs[i];
	return NULL;
}

/* CLI_OK, or says what does not belong together. */
static int judge(const struct invocation *invocation, const struct quarantine_verb *verb)
{
	const struct option *options = invocation->command->options;

	if (!verb)
		return cli_usage(invocation, "it is ls, show, release or delete, not `%s`",
			invocation->words[0]);
	if (invocation->n_words < verb->words_min)
		return cli_usage(invocation, "%s wants an ID", verb->name);
	if (invocation->n_words > verb->words_max)
		return cli_usage(invocation, "`%s` is one argument too many",
			invocation->words[verb->words_max]);
	for (size_t i = 0; i < OPTIONS_MAX && options[i].name; i++)
		if (invocation->values[i] && !strstr(verb->options, options[i].name))
			return cli_usage(
				invocation, "%s does not take %s", verb->name, options[i].name);
	return CLI_OK;
}

int cli_quarantine(const struct invocation *invocation)
{
	const struct quarantine_verb *verb = verb_of(invocation);
	struct quarantine_view v = {.invocation = invocation, .folder = {.fd = -1}};
	struct err err = {{0}};
	const char *state;
	int status = judge(invocation, verb);

	if (status != CLI_OK)
		return status;
	v.arena = arena_new(16 * 1024);
	status = cli_state(invocation, v.arena, &state);
	if (status == CLI_OK && !quarantine_folder_open(&v.folder, state, v.arena, &err)) {
		complain(err.text);
		status = CLI_NO;
	}
	if (status == CLI_OK)
		status = verb->run(&v);
	quarantine_folder_close(&v.folder);
	arena_free(&v.arena);
	return status;
}
