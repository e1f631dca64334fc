/* postern.conf: what it means, and that what is shown reads back to the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/tls1.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/read.h"
#include "proxy/config/options.h"
#include "tests/unit/config_texts.h"

/* --- meaning --- */

static void test_smallest(void **state)
{
	struct config *c =
		config_good("hostname mx.example.net listen 0.0.0.0:25 "
			    "backend main { server 10.0.0.5 } relay_domains { Example.COM }");

	(void)state;
	assert_string_equal(c->hostname, "mx.example.net");
	assert_string_equal(c->authserv_id, "mx.example.net");
	assert_true(c->workers >= 1 && c->workers_auto && !c->user_given);
	assert_string_equal(c->state, "/var/lib/postern");
	assert_string_equal(c->user, "postern");
	assert_int_equal(c->n_listens, 1);
	assert_int_equal(c->listens[0].tls, LISTEN_TLS_NONE);
	assert_int_equal(c->listens[0].endpoint.port, 25);
	assert_int_equal(c->listens[0].bare_newline, BARE_NEWLINE_REJECT);
	assert_int_equal(c->listens[0].proxy_protocol_from.count, 0);
	assert_int_equal(c->tls.count, 0);
	assert_int_equal(c->tls.minimum_version, TLS1_2_VERSION);
	assert_int_equal(c->n_backends, 1);
	assert_string_equal(c->backends[0].name, "main");
	assert_int_equal(c->backends[0].servers[0].port, 25);
	assert_int_equal(c->backends[0].servers[0].endpoint.port, 25);
	assert_int_equal(c->backends[0].protocol, BACKEND_SMTP);
	assert_int_equal(c->backends[0].tls, BACKEND_TLS_OPPORTUNISTIC);
	assert_int_equal(c->backends[0].client_info, CLIENT_INFO_PROXY_V2);
	assert_int_equal(c->backends[0].balance, BALANCE_FIRST);
	assert_true(c->backends[0].verify_recipients);
	assert_int_equal(c->backends[0].connections, 20);
	assert_false(c->relay_any);
	assert_string_equal(c->relay_domains[0], "example.com");
	assert_string_equal(c->store, "embedded");
	assert_int_equal(c->n_dns_servers, 0);
	assert_int_equal(c->dns_timeout, 5000);
	assert_int_equal(c->authentication_results, AUTHRES_ALWAYS);
	assert_int_equal(c->conflict, CONFLICT_SPLIT);
	assert_int_equal(c->quarantine_size, 5ULL << 30);
	assert_int_equal(c->history_keep, 30ULL * 24 * 3600 * 1000);
	assert_string_equal(c->admin.socket, "/run/postern/control.sock");
	assert_string_equal(c->admin.http, "127.0.0.1:8025");
	assert_string_equal(c->admin.password_file, "console.passwd");
	assert_int_equal(c->log.format, LOG_FORMAT_JSON);
	assert_int_equal(c->log.target, LOG_TO_STDERR);
	config_free(&c);
	assert_null(c);
}

static void test_default_limits(void **state)
{
	struct config *c = config_good(BASE);
	const struct limits_config *l = &c->limits;
	const struct timeouts_config *t = &c->timeouts;

	(void)state;
	assert_int_equal(l->message, 50 << 20);
	assert_int_equal(l->recipients, 1000);
	assert_int_equal(l->connections, 10000);
	assert_int_equal(l->per_client, 50);
	assert_int_equal(l->command, 2048);
	assert_int_equal(l->line, 32 << 10);
	assert_int_equal(l->headers, 256 << 10);
	assert_int_equal(l->received, 100);
	assert_int_equal(l->errors, 10);
	assert_int_equal(l->junk, 50);
	assert_int_equal(l->spool, 2ULL << 30);
	assert_int_equal(t->greeting, 300000);
	assert_int_equal(t->command, 300000);
	assert_int_equal(t->data_block, 180000);
	assert_int_equal(t->data_end, 600000);
	assert_int_equal(t->session, 3600000);
	assert_int_equal(t->filter, 10000);
	assert_int_equal(t->backend_connect, 30000);
	config_free(&c);
}

static void test_listeners(void **state)
{
	struct config *c = config_good(
		"hostname a backend b { server c } relay_domains { d }\n"
		"tls { certificate mx.pem key mx.key minimum 1.3 }\n"
		"listen \"0.0.0.0:25\" { proxy_protocol from { 10.0.0.0/8, 192.0.2.1 } }\n"
		"listen \"[::1]:465\" { tls implicit xclient from { ::1 }\n"
		"    bare_newline normalize from { 2001:db8::/32 } }\n"
		"listen 192.0.2.1:26 { tls none bare_newline normalize }");
	struct ip ip;

	(void)state;
	assert_int_equal(c->n_listens, 3);
	assert_int_equal(c->listens[0].tls, LISTEN_TLS_STARTTLS);
	assert_int_equal(c->listens[0].proxy_protocol_from.count, 2);
	assert_true(ip_parse(SPAN("10.9.9.9"), &ip));
	assert_true(cidr_set_contains(&c->listens[0].proxy_protocol_from, &ip));
	assert_true(ip_parse(SPAN("192.0.2.2"), &ip));
	assert_false(cidr_set_contains(&c->listens[0].proxy_protocol_from, &ip));
	assert_int_equal(c->listens[1].tls, LISTEN_TLS_IMPLICIT);
	assert_int_equal(c->listens[1].endpoint.ip.family, IP_V6);
	assert_int_equal(c->listens[1].xclient_from.count, 1);
	assert_int_equal(c->listens[1].normalize_from.items[0].prefix_bits, 32);
	assert_int_equal(c->listens[2].tls, LISTEN_TLS_NONE);
	assert_int_equal(c->listens[2].bare_newline, BARE_NEWLINE_NORMALIZE);
	assert_int_equal(c->listens[2].normalize_from.count, 0);
	assert_int_equal(c->tls.minimum_version, TLS1_3_VERSION);
	assert_string_equal(c->tls.certificates[0].key.name, "mx.key");
	assert_true(span_starts(c->tls.certificates[0].key.content, SPAN("-----BEGIN PRIVATE")));
	config_free(&c);
}

static void test_servers(void **state)
{
	static const struct {
		const char *address, *host, *unix_path;
		enum ip_family family;
		uint16_t port;
	} expected[] = {
		{"10.0.0.5:2525", "10.0.0.5", NULL, IP_V4, 2525},
		{"[2001:db8::5]:26", "2001:db8::5", NULL, IP_V6, 26},
		{"[::1]", "::1", NULL, IP_V6, 24},
		{"mail.example.net:25", "mail.example.net", NULL, IP_NONE, 25},
		{"mail", "mail", NULL, IP_NONE, 24},
		{"unix:/run/lmtp", NULL, "/run/lmtp", IP_NONE, 0},
	};
	struct config *c = config_good(
		"hostname a listen 192.0.2.1:25 relay_domains { d }\n"
		"backend b { server 10.0.0.5:2525 server \"[2001:db8::5]:26\" server [::1]\n"
		"server mail.example.net:25 server mail server unix:/run/lmtp protocol lmtp\n"
		"client_info xclient balance least-connections tls required verify_recipients no\n"
		"connections 7 }");
	const struct backend_config *b = &c->backends[0];

	(void)state;
	assert_int_equal(b->n_servers, COUNT_OF(expected));
	for (size_t i = 0; i < b->n_servers; i++) {
		const struct server_config *s = &b->servers[i];

		assert_string_equal(s->address, expected[i].address);
		assert_string_equal(
			s->host ? s->host : "-", expected[i].host ? expected[i].host : "-");
		assert_string_equal(s->unix_path ? s->unix_path : "-",
			expected[i].unix_path ? expected[i].unix_path : "-");
		assert_int_equal(s->endpoint.ip.family, expected[i].family);
		assert_int_equal(s->port, expected[i].port);
		assert_int_equal(s->endpoint.port, expected[i].port);
	}
	assert_int_equal(b->protocol, BACKEND_LMTP);
	assert_int_equal(b->balance, BALANCE_LEAST_CONNECTIONS);
	assert_int_equal(b->tls, BACKEND_TLS_REQUIRED);
	assert_false(b->verify_recipients);
	assert_int_equal(b->connections, 7);
	config_free(&c);
}

static void test_paths(void **state)
{
	struct bundle *bundle = bundle_of_text("/etc/postern/p.conf",
		SPAN(BASE "state s admin { socket run/c.sock } log { to file l.log }"));
	struct buffer report = BUFFER_INIT(OUT_MAX);
	struct config *c = config_parse(bundle, &report, NULL, NULL);

	(void)state;
	assert_non_null(c);
	assert_string_equal(c->state, "/etc/postern/s");
	assert_string_equal(c->admin.socket, "/etc/postern/run/c.sock");
	assert_string_equal(c->admin.password_file, "/etc/postern/console.passwd");
	assert_string_equal(c->log.file, "/etc/postern/l.log");
	assert_string_equal(c->rules, "/etc/postern/rules.d/*.rules");
	assert_string_equal(c->file, "/etc/postern/p.conf");
	config_free(&c);
	bundle_free(&bundle);
	buffer_free(&report);
}

/* The whole example of the design, in which every key stands. */
static void test_design_example(void **state)
{
	char *text = read_text_file(CONFIG_DATA "design.conf");
	struct config *c = config_good(text);

	(void)state;
	for (size_t i = 0; i < option_count; i++) {
		char name[OPTION_NAME_SIZE];

		if (option_table[i].name[0] && !strstr(text, option_table[i].name) &&
			strcmp(option_table[i].name, "authserv_id") != 0)
			fail_msg("%s is not in the example", option_name(&option_table[i], name));
	}
	assert_int_equal(c->listens[0].tls, LISTEN_TLS_STARTTLS);
	assert_int_equal(c->n_relay_domains, 2);
	assert_int_equal(c->n_dns_servers, 1);
	assert_string_equal(c->filters[0].name, "spf");
	assert_string_equal(c->filters[0].options, "timeout 8s");
	assert_int_equal(c->timeouts.session, 3600000);
	config_free(&c);
	free(text);
}

/* --- show, doc, manual --- */

static void expect_fixed_point(const char *text)
{
	struct buffer one = BUFFER_INIT(OUT_MAX), two = BUFFER_INIT(OUT_MAX);
	struct buffer changed = BUFFER_INIT(OUT_MAX), three = BUFFER_INIT(OUT_MAX);
	struct config *first = config_good(text), *second, *third;

	assert_true(config_show(first, false, &one));
	second = config_good(buffer_string(&one));
	assert_true(config_show(second, false, &two));
	assert_string_equal(buffer_string(&one), buffer_string(&two));
	assert_true(config_show(first, true, &changed));
	third = config_good(buffer_string(&changed));
	assert_true(config_show(third, false, &three));
	assert_string_equal(buffer_string(&one), buffer_string(&three));
	config_free(&first);
	config_free(&second);
	config_free(&third);
	buffer_free(&one);
	buffer_free(&two);
	buffer_free(&three);
	buffer_free(&changed);
}

static void test_show(void **state)
{
	char *design = read_text_file(CONFIG_DATA "design.conf"),
	     *odd = read_text_file(CONFIG_DATA "odd.conf");

	(void)state;
	expect_fixed_point(BASE);
	expect_fixed_point(design);
	expect_fixed_point(odd);
	free(design);
	free(odd);
}

static void test_show_changed(void **state)
{
	struct config *c = config_good(BASE "limits { message 50MB errors 11 } user postern "
					    "authserv_id a.example timeouts { session 60m }");
	struct buffer out = BUFFER_INIT(OUT_MAX);

	(void)state;
	assert_true(config_show(c, true, &out));
	assert_string_equal(buffer_string(&out), "hostname \"a.example\"\n"
						 "listen \"192.0.2.1:25\"\n"
						 "backend \"b\" {\n"
						 "\tserver \"c\"\n"
						 "}\n"
						 "relay_domains { \"d\" }\n"
						 "limits {\n"
						 "\terrors 11\n"
						 "}\n");
	config_free(&c);
	buffer_free(&out);
}

/* Every key of the table is written somewhere in a full show, so that none is forgotten there. */
static void test_show_is_complete(void **state)
{
	char *design = read_text_file(CONFIG_DATA "design.conf");
	struct config *c = config_good(design);
	struct buffer out = BUFFER_INIT(OUT_MAX);

	(void)state;
	assert_true(config_show(c, false, &out));
	for (size_t i = 0; i < option_count; i++)
		if (!strstr(buffer_string(&out), option_table[i].name))
			fail_msg("%s is not shown", option_table[i].name);
	config_free(&c);
	buffer_free(&out);
	free(design);
}

static void test_doc(void **state)
{
	struct buffer out = BUFFER_INIT(OUT_MAX);

	(void)state;
	assert_true(config_doc("limits.message", &out));
	assert_string_equal(buffer_string(&out),
		"limits.message SIZE\n"
		"    The largest message, offered as SIZE; a larger one gets 552.\n"
		"    Default: 50MB; 1KB to 4GB\n");
	buffer_clear(&out);
	assert_true(config_doc("history.keep", &out));
	assert_non_null(strstr(buffer_string(&out), "It is checked, but has no effect yet.\n"));
	buffer_clear(&out);
	assert_true(config_doc("state", &out));
	assert_non_null(strstr(buffer_string(&out), "A change needs a restart"));
	buffer_clear(&out);
	assert_false(config_doc("messge", &out));
	assert_string_equal(
		buffer_string(&out), "postern.conf has no key `messge`; did you mean `message`?\n");
	buffer_clear(&out);
	assert_false(config_doc("limits.messge", &out));
	assert_string_equal(buffer_string(&out),
		"postern.conf has no key `limits.messge`; did you mean `limits.message`?\n");
	buffer_clear(&out);
	assert_false(config_doc("", &out));
	buffer_clear(&out);
	assert_true(config_doc(NULL, &out));
	for (size_t i = 0; i < option_count; i++) {
		char name[OPTION_NAME_SIZE];

		if (!strstr(buffer_string(&out), option_name(&option_table[i], name)))
			fail_msg("%s is not listed", name);
	}
	buffer_free(&out);
}

static void test_manual(void **state)
{
	struct buffer out = BUFFER_INIT(OUT_MAX);
	const char *page, *line;

	(void)state;
	assert_true(config_manual(&out));
	page = buffer_string(&out);
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &option_table[i];
		char entry[OPTION_NAME_SIZE + 16];

		snprintf(entry, sizeof(entry),
			o->kind == &kind_block ? "\n.SS %s " : "\n\\fB%s\\fR ",
			o->name[0] ? o->name : o->block);
		if (!strstr(page, entry))
			fail_msg("%s.%s is not in the manual", o->block, o->name);
	}
	/* No text of the table became a request. */
	for (line = page; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (*line == '\'' || (*line == '.' && (line[1] < 'A' || line[1] > 'n')))
			fail_msg("troff would take this for a request: %.40s", line);
	buffer_free(&out);
}

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < option_count; i++) {
		const struct option *o = &option_table[i];
		char name[OPTION_NAME_SIZE];

		option_name(o, name);
		if (!o->help || !o->help[0] || o->help[strlen(o->help) - 1] != '.' ||
			strlen(o->help) > 90)
			fail_msg("%s: help is not one sentence of a line", name);
		if (o->kind->limit && (o->min > o->max || o->max == 0))
			fail_msg("%s has no range", name);
		if (o->kind->limit && !o->fallback)
			fail_msg("%s has no default", name);
		if (!o->kind->syntax && !o->choices)
			fail_msg("%s has no syntax", name);
		/* Rows of one block stand together. */
		assert_ptr_equal(option_find(o->block, span_text(o->name)), o);
	}
}

/* --- bundle, admin only, restart --- */

static void test_bundle_round_trip(void **state)
{
	struct bundle *bundle = bundle_for(BASE "tls { certificate mx.pem key mx.key }"), *copy;
	struct buffer bytes = BUFFER_INIT(OUT_MAX), again = BUFFER_INIT(OUT_MAX);
	struct buffer report = BUFFER_INIT(OUT_MAX);
	struct config *c;
	struct err err;

	(void)state;
	assert_true(bundle_write(bundle, &bytes));
	assert_true(bundle_read(&copy, buffer_span(&bytes), &err));
	assert_true(bundle_write(copy, &again));
	assert_true(span_equal(buffer_span(&bytes), buffer_span(&again)));
	bundle_free(&bundle);
	c = config_parse(copy, &report, NULL, NULL);
	bundle_free(&copy);
	assert_non_null(c);
	assert_string_equal(c->file, "t.conf");
	assert_int_equal(c->tls.count, 1);
	assert_true(c->tls.certificates[0].certificate.content.len > 0);
	config_free(&c);
	buffer_free(&again);
	again = BUFFER_INIT(40);
	bundle = bundle_for("");
	assert_false(bundle_write(bundle, &again));
	bundle_free(&bundle);
	buffer_free(&bytes);
	buffer_free(&again);
	buffer_free(&report);
}

/* Each cut and each changed byte is refused or read as something, never more. */
static void test_bundle_garbage(void **state)
{
	struct bundle *bundle = bundle_for("x"), *copy;
	struct buffer bytes = BUFFER_INIT(OUT_MAX);
	struct err err;

	(void)state;
	assert_true(bundle_write(bundle, &bytes));
	bundle_free(&bundle);
	for (size_t cut = 0; cut < bytes.len; cut++) {
		char *exact = malloc(cut + 1);

		memcpy(exact, bytes.data, cut);
		if (bundle_read(&copy, span_make(exact, cut), &err))
			bundle_free(&copy);
		free(exact);
	}
	for (size_t at = 0; at < bytes.len; at++) {
		char old = bytes.data[at];

		for (int bit = 0; bit < 8; bit++) {
			bytes.data[at] = (char)(old ^ (1 << bit));
			if (bundle_read(&copy, buffer_span(&bytes), &err))
				bundle_free(&copy);
		}
		bytes.data[at] = old;
	}
	assert_false(bundle_read(&copy, SPAN(""), &err));
	assert_false(bundle_read(&copy, SPAN("postern bundle 2\n"), &err));
	assert_string_equal(err.text, "the configuration bundle is empty");
	assert_false(bundle_read(&copy, SPAN("postern bundle 2\nxyz"), &err));
	assert_string_equal(err.text, "the configuration bundle is damaged");
	buffer_free(&bytes);
}

static void write_file(const char *folder, const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	fclose(file);
}

static void remove_folder(const char *folder)
{
	static const char *const names[] = {
		"p.conf", "mx.pem", "pipe", "b.rules", "Z.rules", "c.inc", "d.inc", "l"};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		char path[256];

		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(folder), 0);
}

/* "a.rules b.rules": the rule files of a bundle, without their folder. */
static void expect_rules(const struct bundle *bundle, const char *expected)
{
	struct arena *arena = arena_new(256);
	struct buffer got = BUFFER_INIT(OUT_MAX);
	size_t n;
	const char *const *paths = bundle_rules(bundle, arena, &n);

	for (size_t i = 0; i < n; i++)
		assert_true(buffer_print(&got, "%s%s", i ? " " : "", strrchr(paths[i], '/') + 1));
	assert_string_equal(buffer_string(&got), expected);
	buffer_free(&got);
	arena_free(&arena);
}

static void expect_in_bundle(
	const struct bundle *bundle, const char *folder, const char *name, const char *content)
{
	struct rule_source source;
	struct span got = SPAN_NONE;
	const char *problem = NULL;
	char path[256];

	bundle_rule_source(bundle, &source);
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (!content) {
		assert_false(source.read(source.context, path, &got, &problem));
		assert_non_null(problem);
		return;
	}
	assert_true(source.read(source.context, path, &got, &problem));
	assert_true(span_equal(got, span_text(content)));
}

static void test_bundle_rules(void **state)
{
	char folder[] = "/tmp/postern-test-[XXXXXX", path[256];
	struct buffer bytes = BUFFER_INIT(OUT_MAX);
	struct bundle *bundle, *copy;
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(folder));
	write_file(folder, "p.conf", BASE "rules \"*.rules\"");
	write_file(folder, "b.rules", "include \"c.inc\" include \"b.rules\"");
	write_file(
		folder, "Z.rules", "list a : text from file \"l\" list b : text from file \"m\"");
	write_file(folder, "c.inc", "include \"./d.inc\"");
	write_file(folder, "d.inc", "# d");
	write_file(folder, "l", "include \"p.conf\"");
	snprintf(path, sizeof(path), "%s/p.conf", folder);
	assert_true(bundle_load(&bundle, path, &err));
	assert_true(bundle_write(bundle, &bytes));
	assert_true(bundle_read(&copy, buffer_span(&bytes), &err));
	expect_rules(bundle, "Z.rules b.rules");
	expect_rules(copy, "Z.rules b.rules");
	expect_in_bundle(copy, folder, "d.inc", "# d");
	expect_in_bundle(copy, folder, "l", "include \"p.conf\"");
	expect_in_bundle(copy, folder, "m", NULL);      /* is not there */
	expect_in_bundle(copy, folder, "p.conf", NULL); /* a list names no files */
	bundle_free(&bundle);
	bundle_free(&copy);
	buffer_free(&bytes);
	remove_folder(folder);
}

static void test_bundle_load(void **state)
{
	char folder[] = "/tmp/postern-test-XXXXXX", path[256], expected[4096];
	struct buffer report = BUFFER_INIT(OUT_MAX);
	struct bundle *bundle;
	struct config *c;
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(folder));
	write_file(folder, "mx.pem", "-----BEGIN CERTIFICATE-----\n");
	snprintf(path, sizeof(path), "%s/pipe", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	write_file(folder, "p.conf",
		BASE "tls { certificate mx.pem key gone.key\n"
		     "certificate pipe key mx.pem }");
	snprintf(path, sizeof(path), "%s/p.conf", folder);
	assert_true(bundle_load(&bundle, path, &err));
	c = config_parse(bundle, &report, NULL, NULL);
	assert_null(c);
	snprintf(expected, sizeof(expected),
		"%s:2:30: error: can't read `gone.key`\n"
		"    tls { certificate mx.pem key gone.key\n"
		"                                 ^~~~~~~~\n"
		"    help: %s/gone.key: No such file or directory\n"
		"%s:3:13: error: can't read `pipe`\n"
		"    certificate pipe key mx.pem }\n"
		"                ^~~~\n"
		"    help: %s/pipe: it is not a regular file\n"
		"%s:3:22: error: `mx.pem` holds no private key\n"
		"    certificate pipe key mx.pem }\n"
		"                         ^~~~~~\n"
		"    help: are certificate and key swapped?\n",
		path, folder, path, folder, path);
	assert_string_equal(buffer_string(&report), expected);
	bundle_free(&bundle);
	assert_false(bundle_load(&bundle, folder, &err));
	assert_non_null(strstr(err.text, "it is not a regular file"));
	assert_false(bundle_load(&bundle, "/nonexistent/p.conf", &err));
	assert_string_equal(err.text, "can't read /nonexistent/p.conf: No such file or directory");
	remove_folder(folder);
	buffer_free(&report);
}

static void test_admin_only(void **state)
{
	struct arena *arena = arena_new(256);
	struct admin_config admin;
	struct bundle *bundle = bundle_for("hostname ! limits { { foo 5 \nadmin { socket /x/y }");
	const char *folder;
	struct err err;

	(void)state;
	assert_true(config_admin_only(bundle, arena, &admin, &folder, &err));
	bundle_free(&bundle);
	assert_string_equal(folder, "/var/lib/postern");
	bundle = bundle_for("what ever\nadmin { http nonsense socket /x/y } state /s");
	assert_true(config_admin_only(bundle, arena, &admin, &folder, &err));
	assert_string_equal(admin.socket, "/x/y");
	assert_string_equal(folder, "/s");
	bundle_free(&bundle);
	bundle = bundle_for("admin { socket \"\" }");
	assert_false(config_admin_only(bundle, arena, &admin, &folder, &err));
	assert_string_equal(
		err.text, "t.conf: admin.socket or state can't be read; `postern check` says why");
	bundle_free(&bundle);
	arena_free(&arena);
}

static void expect_restart(const char *old, const char *new, const char *expected)
{
	struct config *a = config_good(old), *b = config_good(new);
	struct buffer out = BUFFER_INIT(4096);

	assert_int_equal(config_needs_restart(a, b, &out), *expected != '\0');
	assert_string_equal(buffer_string(&out), expected);
	config_free(&a);
	config_free(&b);
	buffer_free(&out);
}

static void test_needs_restart(void **state)
{
	(void)state;
	expect_restart(BASE, BASE, "");
	expect_restart(BASE, BASE "workers 5 limits { errors 4 } listen 192.0.2.9:25", "");
	expect_restart(BASE, BASE "state /x user postern", "state");
	expect_restart(
		BASE "admin { socket /a }", BASE "user x log { to syslog }", "user, admin.socket");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_default_limits),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_design_example),
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_show_changed),
		cmocka_unit_test(test_show_is_complete),
		cmocka_unit_test(test_doc),
		cmocka_unit_test(test_manual),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_bundle_round_trip),
		cmocka_unit_test(test_bundle_garbage),
		cmocka_unit_test(test_bundle_load),
		cmocka_unit_test(test_bundle_rules),
		cmocka_unit_test(test_admin_only),
		cmocka_unit_test(test_needs_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
