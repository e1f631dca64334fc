#include "tests/talk/house.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/store/keeper_client.h"
#include "lib/store/keeper_store.h"
#include "policy/read.h"
#include "proxy/session/results.h"
#include "tests/unit/trial.h"

static _Noreturn void die(const char *what, const char *detail)
{
	fprintf(stderr, "talk: %s: %s\n", what, detail);
	exit(1);
}

static struct config *read_config(struct house *house, struct span text)
{
	struct bundle *bundle = bundle_of_text("/etc/postern/postern.conf", text);
	struct buffer report = BUFFER_INIT(64 * 1024);
	struct config *config;

	bundle_add(bundle, "mx.pem", certificate_pem(house->mx.chain));
	bundle_add(bundle, "mx.key", certificate_pem(house->mx.key));
	bundle_add(bundle, "other.pem", certificate_pem(house->other.chain));
	bundle_add(bundle, "other.key", certificate_pem(house->other.key));
	config = config_parse(bundle, &report, NULL, NULL);
	if (!config)
		die("the configuration has mistakes", buffer_string(&report));
	buffer_free(&report);
	bundle_free(&bundle);
	return config;
}

/* The worker's own socket; the configuration's address only names it. */
static int listen_on(const struct endpoint *wanted, uint16_t *port)
{
	struct endpoint local = *wanted;
	struct sockaddr_storage address;
	socklen_t size;
	int one = 1, fd;

	local.port = 0;
	size = endpoint_sockaddr(&local, &address);
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ENSURE(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
	ENSURE(bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 1024) == 0);
	size = sizeof(address);
	ENSURE(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
	*port = endpoint_of((struct sockaddr *)&address).port;
	return fd;
}

static void on_drained(void *context)
{
	struct house *house = context;

	ENSURE(!house->drained); /* once */
	house->drained = true;
}

static void open_shared(struct house *house)
{
	struct err err;
	int fd = shared_create(&err);

	if (fd < 0 || !(house->shared = shared_map(fd, &err)))
		die("shared memory", err.text);
	close(fd);
}

static void open_log(struct house *house)
{
	int pair[2], size = 4 * 1024 * 1024;

	ENSURE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	house->log_out = pair[1];
	log_init(&house->log, pair[0], false, &house->loop.clock, "worker 1");
}

/* There is one rule file; what it names is among the others. */
static bool read_rules(void *context, const char *path, struct span *content, const char **problem)
{
	const struct house_setup *setup = context;

	*content = setup->rules;
	if (strcmp(path, "test.rules") == 0)
		return true;
	for (const struct house_file *file = setup->files; file; file = file->next) {
		*content = span_text(file->content);
		if (strcmp(path, file->name) == 0)
			return true;
	}
	*problem = "the script has no such file";
	return false;
}

static void open_filters(struct house *house, bool trial)
{
	const struct config *config = house->config;
	struct filter_given given[16];
	struct err err;

	ENSURE(config->n_filters <= COUNT_OF(given));
	for (size_t i = 0; i < config->n_filters; i++)
		given[i] =
			(struct filter_given){config->filters[i].name, config->filters[i].options};
	house->filters = trial ? trial_filter_set(given, config->n_filters, &err)
			       : filter_set_new(given, config->n_filters, "/", &err);
	if (!house->filters)
		die("the filters", err.text);
}

static void open_rules(struct house *house, const struct house_setup *given)
{
	static const char *const paths[] = {"test.rules"};
	struct house_setup files = *given;
	struct rule_source source = {read_rules, &files};
	struct buffer report = BUFFER_INIT(64 * 1024);
	const char *backends[HOUSE_LISTENERS];
	struct rule_setup setup = {.backends = backends, .keeps = results_keep};
	struct rules *rules;

	open_filters(house, given->trial);
	if (given->rules.len == 0 && house->config->authentication_results == AUTHRES_ON_DEMAND)
		return;
	setup.registry = filter_set_registry(house->filters);
	for (; setup.n_backends < house->config->n_backends; setup.n_backends++)
		backends[setup.n_backends] = house->config->backends[setup.n_backends].name;
	rules = rules_read(&setup, paths, 1, &source, &report, NULL, NULL);
	if (!rules)
		die("the rules have mistakes", buffer_string(&report));
	buffer_free(&report);
	house->policy = policy_new(rules);
	house->dns = dns_play_new(&house->loop, "127.0.0.1");
	house->resolver = dns_play_endpoint(house->dns);
	dns_play_zone(house->dns, given->zone);
	house->config->dns_servers = &house->resolver;
	house->config->n_dns_servers = 1;
}

/* STATE/quarantine, as the supervisor makes it. */
static int open_quarantine(struct house *house)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/quarantine", house->folder);
	ENSURE(mkdir(path, 0700) == 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ENSURE(fd >= 0 && mkdirat(fd, "tmp", 0700) == 0 && mkdirat(fd, "new", 0700) == 0);
	return fd;
}

/* What a conversation left there is its own business (`quarantine` looked at it). */
static void close_quarantine(struct house *house)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf %s/quarantine", house->folder);
	ENSURE(system(command) == 0);
	close(house->quarantine_dir);
}

/* --- the store --- */

/* Nobody but the worker asks. */
static void on_store_answer(
	void *context, uint32_t id, enum store_outcome outcome, struct span answer)
{
	(void)context;
	(void)id;
	(void)outcome;
	(void)answer;
	die("the store", "it answers the keeper");
}

static void store_path(const struct house *house, char path[96])
{
	snprintf(path, 96, "%s/store", house->folder);
}

void house_store_begins(struct house *house)
{
	struct keeper_store_setup setup = {.loop = &house->loop,
		.log = &house->log,
		.on_answer = on_store_answer,
		.gather_ms = 1};
	char path[96];
	int pair[2];

	if (!house->store || house->keeper)
		return;
	store_path(house, path);
	setup.database.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ENSURE(setup.database.dir >= 0);
	house->keeper = keeper_store_open(&setup);
	ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	keeper_store_link(house->keeper, pair[0]);
	store_link(house->store, pair[1]);
}

void house_store_ends(struct house *house)
{
	keeper_store_close(&house->keeper);
}

void house_settle_store(struct house *house)
{
	bool settled = !house->keeper;

	while (!settled) {
		struct record r;

		record_init(&r, false, 4096);
		store_status(house->store, &r);
		settled = strstr(arena_string(house->store_arena, record_finish(&r)),
				  "told_waiting=0") != NULL;
		record_free(&r);
		if (!settled)
			loop_turn(&house->loop, true);
	}
}

static void open_store(struct house *house)
{
	char path[96];

	store_path(house, path);
	ENSURE(mkdir(path, 0700) == 0);
	house->store_arena = arena_new(1024);
	house->store = store_open_keeper(&house->loop, &house->log);
	house_store_begins(house);
}

static void close_store(struct house *house)
{
	char command[160];

	if (!house->store)
		return;
	store_close(&house->store);
	house_store_ends(house);
	arena_free(&house->store_arena);
	snprintf(command, sizeof(command), "rm -rf %s/store", house->folder);
	ENSURE(system(command) == 0);
}

void house_open(struct house *house, const struct house_setup *given)
{
	static const uint8_t ticket_keys[TLS_TICKET_KEYS_SIZE] = {1};
	struct worker_setup setup;
	struct err err;

	*house = (struct house){.log_out = -1};
	loop_init(&house->loop);
	house->mx =
		certificate_new("mx.example.net", "DNS:mx.example.net,DNS:localhost,IP:127.0.0.1");
	house->other = certificate_new("other.example.org", "DNS:other.example.org");
	house->config = read_config(house, given->config);
	open_rules(house, given);
	open_shared(house);
	open_log(house);
	snprintf(house->folder, sizeof(house->folder), "/tmp/talk.XXXXXX");
	ENSURE(mkdtemp(house->folder));
	house->spool_dir = open(house->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ENSURE(house->spool_dir >= 0);
	house->quarantine_dir = open_quarantine(house);
	if (house->policy)
		house->authn = authn_play_new(&house->loop, &house->log, &authn_kinds);
	if (given->store)
		open_store(house);
	setup = (struct worker_setup){.loop = &house->loop,
		.store = house->store,
		.config = house->config,
		.log = &house->log,
		.shared = house->shared,
		.row = shared_row_take(house->shared),
		.spool_dir = house->spool_dir,
		.quarantine_dir = house->quarantine_dir,
		.policy = house->policy,
		.filters = house->filters,
		.authn = house->authn ? house->authn->authn : NULL,
		.ticket_keys = ticket_keys,
		.on_drained = on_drained,
		.context = house};
	house->worker = worker_open(&setup, &err);
	if (!house->worker)
		die("the worker does not open", err.text);
	ENSURE(house->config->n_listens <= HOUSE_LISTENERS);
	for (size_t i = 0; i < house->config->n_listens; i++)
		worker_listen(house->worker, (unsigned)i, i,
			listen_on(&house->config->listens[i].endpoint, &house->ports[i]));
}

/* Whatever the conversation was, all that was counted in is counted out. */
static void check_counters(struct house *house)
{
	struct shared_row *row = &house->shared->rows[0];

	ENSURE(shared_sessions(house->shared) == 0);
	ENSURE(shared_spool_memory(house->shared) == 0);
	ENSURE(shared_spool_disk(house->shared) == 0);
	for (int i = 0; i < SHARED_SKETCH_CELLS; i++)
		ENSURE(row->clients[0][i] == 0 && row->clients[1][i] == 0);
}

void house_close(struct house *house)
{
	worker_close(&house->worker);
	authn_play_free(&house->authn);
	close_store(house);
	if (house->dns)
		dns_play_free(&house->dns);
	loop_close(&house->loop);
	check_counters(house);
	house_read_log(house);
	for (size_t i = 0; i < house->n_lines; i++)
		free(house->lines[i].text);
	close(house->log.fd);
	log_close(&house->log);
	close(house->log_out);
	close(house->spool_dir);
	close_quarantine(house);
	ENSURE(rmdir(house->folder) == 0); /* nothing was left in it */
	policy_free(&house->policy);
	filter_set_free(&house->filters);
	shared_unmap(&house->shared);
	config_free(&house->config);
	certificate_free(&house->mx);
	certificate_free(&house->other);
}

bool house_read_log(struct house *house)
{
	static char line[LOG_LINE_MAX + 1];
	bool some = false;
	ssize_t len;

	while ((len = recv(house->log_out, line, sizeof(line) - 1, MSG_DONTWAIT)) > 0) {
		line[len - (line[len - 1] == '\n')] = '\0';
		ENSURE(house->n_lines < HOUSE_LOG_LINES);
		house->lines[house->n_lines++] = (struct log_line){memory_string(line), false};
		some = true;
	}
	return some;
}

/* A quoted value, unescaped; at stands on its first quote. */
static void add_quoted(const char *at, struct buffer *out)
{
	for (at++; *at && *at != '"'; at++) {
		unsigned code;

		if (*at != '\\') {
			ENSURE(buffer_add_char(out, *at));
		} else if (*++at == 'u' && sscanf(at + 1, "%4x", &code) == 1) {
			ENSURE(buffer_add_char(out, (char)code));
			at += 4;
		} else {
			ENSURE(buffer_add_char(out, *at));
		}
	}
}

/* Behind a value: the next key, or the end. */
static const char *behind_value(const char *at)
{
	if (*at == '"') {
		for (at++; *at && *at != '"'; at++)
			at += *at == '\\' && at[1];
		at += *at == '"';
	}
	while (*at && *at != ' ')
		at++;
	while (*at == ' ')
		at++;
	return at;
}

bool log_value(const char *line, struct span key, struct buffer *out)
{
	const char *at = line;

	while (*at) {
		const char *equals = strchr(at, '=');

		if (!equals)
			return false;
		if (span_equal(span_make(at, (size_t)(equals - at)), key)) {
			buffer_clear(out);
			if (equals[1] == '"')
				add_quoted(equals + 1, out);
			else
				ENSURE(buffer_add(
					out, span_make(equals + 1, strcspn(equals + 1, " "))));
			return true;
		}
		at = behind_value(equals + 1);
	}
	return false;
}
