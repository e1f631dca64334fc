/* `postern explain`: one session before the rules, offline. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/command.h"
#include "admin/offline.h"
#include "admin/store_content.h"
#include "lib/base/fail.h"
#include "lib/mail/header.h"
#include "policy/policy.h"
#include "proxy/process/loaded.h"

enum { MESSAGE_MAX = 64 * 1024 * 1024 };

/* --- the message --- */

static bool read_all(int fd, struct buffer *out)
{
	for (;;) {
		char *at = buffer_reserve(out, 65536);
		ssize_t got;

		if (!at) {
			errno = EFBIG;
			return false;
		}
		got = read(fd, at, 65536);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0;
		buffer_added(out, (size_t)got);
	}
}

/* As it would come over SMTP: each line ends in CRLF, and an empty one ends the headers. */
static bool add_lines(struct span raw, struct buffer *out)
{
	size_t from = 0;

	while (raw.len) {
		size_t end = span_find_char(raw, '\n');
		struct span line = span_first(raw, end);

		if (line.len && line.at[line.len - 1] == '\r')
			line.len--;
		if (!buffer_add(out, line) || !buffer_add_text(out, "\r\n"))
			return false;
		raw = span_from(raw, end + 1);
	}
	return header_end(buffer_span(out), &from) || buffer_add_text(out, "\r\n");
}

static bool read_message(const char *path, struct buffer *out, struct err *err)
{
	struct buffer raw = BUFFER_INIT(MESSAGE_MAX);
	int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && read_all(fd, &raw);

	if (!ok)
		err_set(err, "%s: %s", path, strerror(errno));
	else if (!add_lines(buffer_span(&raw), out))
		ok = err_set(err, "%s: it is larger than %d MB", path, MESSAGE_MAX / 1024 / 1024);
	if (fd >= 0)
		close(fd);
	buffer_free(&raw);
	return ok;
}

/* --- what was asked --- */

/* The command line as a session; all in the arena. */
struct question {
	const struct invocation *invocation;
	struct arena *arena;
	struct offline_session session;
	struct address from;
	struct buffer message;
};

static bool take_client(struct question *q, struct err *err)
{
	const char *ip = cli_option(q->invocation, "--ip");

	if (!ip)
		return err_set(err, "--ip says which client comes: --ip 192.0.2.1");
	q->session.client.port = 25252;
	return ip_parse(span_text(ip), &q->session.client.ip) ||
	       err_set(err, "`%.64s` is no IP address", ip);
}

/* "a@b", "<a@b>". */
static bool take_address(
	struct question *q, const char *text, bool sender, struct address *out, struct err *err)
{
	struct span path = span_text(text);
	enum address_status status;

	if (path.len == 0 || path.at[0] != '<')
		path = span_text(arena_print(q->arena, "<%s>", text));
	status = address_parse_path(&path, sender, true, out);
	return (status == ADDRESS_OK && path.len == 0) ||
	       err_set(err, "`%.256s` is no mail address", text);
}

static bool take_addresses(struct question *q, struct err *err)
{
	struct address *to = arena_alloc(q->arena, CLI_WORDS_MAX * sizeof(*to));
	const char *from = cli_option(q->invocation, "--from"), *text;
	size_t cursor = 0;

	if (!from)
		return err_set(err, "--from says who sends; --from \"\" is the null sender");
	if (!take_address(q, from, true, &q->from, err))
		return false;
	q->session.from = &q->from;
	q->session.to = to;
	while ((text = cli_option_next(q->invocation, "--to", &cursor)))
		if (!take_address(q, text, false, &to[q->session.n_to++], err))
			return false;
	return q->session.n_to > 0 || err_set(err, "--to says to whom; it may be given again");
}

static bool take_facts(struct question *q, struct err *err)
{
	struct offline_fact *facts = arena_alloc(q->arena, CLI_WORDS_MAX * sizeof(*facts));
	const char *text;
	size_t cursor = 0;

	q->session.facts = facts;
	while ((text = cli_option_next(q->invocation, "--fact", &cursor))) {
		struct span all = span_text(text);
		size_t equals = span_find_char(all, '=');

		if (equals == 0 || equals == all.len)
			return err_set(err, "--fact wants NAME=VALUE, such as spf=fail");
		facts[q->session.n_facts++] = (struct offline_fact){
			arena_string(q->arena, span_first(all, equals)), text + equals + 1};
	}
	return true;
}

static bool take_all(struct question *q, struct err *err)
{
	const struct invocation *invocation = q->invocation;

	q->session.helo = cli_option(invocation, "--helo");
	q->session.without_dns = cli_option(invocation, "--no-dns") != NULL;
	if (!take_client(q, err) || !take_addresses(q, err) || !take_facts(q, err))
		return false;
	if (invocation->n_words && !read_message(invocation->words[0], &q->message, err))
		return false;
	if (invocation->n_words)
		q->session.message = buffer_span(&q->message);
	return true;
}

/* --- rules --- */

/* The files of --rules instead of the configuration's; then there need be none. */
static bool read_rules(
	const struct invocation *invocation, struct arena *arena, struct loaded *loaded)
{
	const char **paths = arena_alloc(arena, CLI_WORDS_MAX * sizeof(*paths)), *path;
	struct ruleset_told told = {.report = &loaded->report};
	struct bundle *bundle;
	size_t n = 0, cursor = 0;
	bool ok;

	while ((path = cli_option_next(invocation, "--rules", &cursor)))
		paths[n++] = path;
	*loaded = (struct loaded){
		.bytes = BUFFER_INIT(LOADED_BYTES_MAX), .report = BUFFER_INIT(LOADED_REPORT_MAX)};
	if ((n == 0 || invocation->config_given) &&
		!loaded_read_config(loaded, invocation->config_path))
		return false;
	bundle = n ? bundle_of_rules(paths, n) : loaded->bundle;
	ok = ruleset_read(&loaded->rules, bundle, loaded->config, RULESET_READ, &told);
	if (n)
		bundle_free(&bundle);
	return ok;
}

/* --- the answer --- */

static bool is_accepted(const struct explanation *explanation)
{
	for (const struct explained_recipient *r = explanation->recipients; r; r = r->next)
		if (!r->accepted)
			return false;
	return true;
}

static int answer(struct question *q, const struct loaded *loaded)
{
	struct explanation *explanation;
	struct err err = {{0}};

	q->session.rules = &loaded->rules;
	q->session.config = loaded->config;
	store_content_fetch(loaded->rules.policy->rules,
		loaded->config ? loaded->config->admin.socket : NULL, q->arena);
	explanation = offline_run(&q->session, q->arena, &err);
	if (!explanation) {
		fprintf(stderr, "postern explain: %s\n", err.text);
		return CLI_USAGE;
	}
	if (cli_option(q->invocation, "--json"))
		explanation_print_json(explanation, stdout);
	else
		explanation_print(explanation, stdout);
	return is_accepted(explanation) ? CLI_OK : CLI_NO;
}

int cli_explain(const struct invocation *invocation)
{
	struct question q = {.invocation = invocation,
		.arena = arena_new(16 * 1024),
		.message = BUFFER_INIT(2 * MESSAGE_MAX)};
	struct loaded loaded;
	struct err err = {{0}};
	int status;

	if (!take_all(&q, &err)) {
		status = cli_usage(invocation, "%s", err.text);
	} else if (!read_rules(invocation, q.arena, &loaded)) {
		fputs(buffer_string(&loaded.report), stderr);
		loaded_free(&loaded);
		status = CLI_CONFIGURATION;
	} else {
		status = answer(&q, &loaded);
		loaded_free(&loaded);
	}
	buffer_free(&q.message);
	arena_free(&q.arena);
	return status;
}
