/*
 * talk: plays conversations, *.talk: what a client says and must hear, what a backend hears and
 * must say, what the log tells, with a clock that the script moves. README.md in this folder lists
 * the statements.
 *
 * A worker, its clients and its backends live in this one process: each statement sends, or
 * turns the loop until what it expects is there. Nothing sleeps, and nothing waits longer than the
 * guard.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "tests/talk/pattern.h"
#include "tests/talk/script.h"
#include "tests/talk/wire.h"

enum { GUARD_MS = 10000, QUIET_MS = 20, TEXT_MAX = 1024 * 1024, DATA_SHOWN_MAX = 4000 };

struct talk {
	struct script script;
	struct house house;
	struct wire wire;
	struct house_file *files; /* owned */
	bool open;                /* the house stands */
	bool disk_held;
	uv_work_t disk;
	uv_sem_t disk_released;
	bool verbose;
};

typedef void verb_fn(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block);

/* --- failing --- */

static _Noreturn void give_up(struct talk *t, const struct scope *scope, const char *text)
{
	fflush(stdout);
	if (scope)
		fprintf(stderr, "%s:%zu: ", scope->part.source->path, scope->at + 1);
	fprintf(stderr, "%s\n", text);
	for (scope = scope ? scope->outer : NULL; scope; scope = scope->outer)
		fprintf(stderr, "%s:%zu: (from here)\n", scope->part.source->path, scope->at + 1);
	fprintf(stderr, "the conversation so far:\n%s", buffer_string(&t->wire.transcript));
	for (size_t i = 0; i < t->house.n_lines; i++)
		fprintf(stderr, "\tlog%s %s\n", t->house.lines[i].seen ? " (seen)" : "",
			t->house.lines[i].text);
	fflush(stderr);
	_exit(1);
}

static _Noreturn void fail(struct talk *t, const struct scope *scope, const char *format, ...)
	PRINTF_LIKE(3, 4);

static _Noreturn void fail(struct talk *t, const struct scope *scope, const char *format, ...)
{
	static char text[16 * 1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	give_up(t, scope, text);
}

static void script_fail(void *context, const struct scope *scope, const char *text)
{
	give_up(context, scope, text);
}

/* Bytes as a person can read them; the next but three calls use the memory again. */
static const char *shown(struct span bytes)
{
	static char memory[4][DATA_SHOWN_MAX * 4 + 64];
	static unsigned turn;
	char *out = memory[turn++ % COUNT_OF(memory)], *at = out;
	size_t len = bytes.len < DATA_SHOWN_MAX ? bytes.len : DATA_SHOWN_MAX;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes.at[i];

		if (c == '\n')
			at += sprintf(at, "\\n\n\t\t");
		else if (c == '\r')
			at += sprintf(at, "\\r");
		else if (c < 32 || c > 126)
			at += sprintf(at, "\\x%02x", c);
		else
			*at++ = (char)c;
	}
	if (len < bytes.len)
		at += sprintf(at, "... (%zu bytes)", bytes.len);
	*at = '\0';
	return out;
}

/* --- text of statements --- */

/* A line, expanded; a variable in it may hold several lines. Each gets its CRLF. */
static void add_lines(struct talk *t, const struct scope *scope, struct span text, bool wild,
	struct talk_pattern *p)
{
	char *expanded = script_expand(&t->script, scope, text);
	struct span rest = span_text(expanded);

	do {
		size_t end = span_find_char(rest, '\n');

		pattern_add(p, span_first(rest, end), wild, 1);
		pattern_add(p, SPAN("\\r\\n"), false, 1);
		rest = span_from(rest, end + 1);
	} while (rest.len);
	free(expanded);
}

/* The lines of a block, each with CRLF, or the rest of the line. */
static struct talk_pattern text_of(struct talk *t, const struct scope *scope, struct span rest,
	const struct part *block, bool wild, bool line_end)
{
	struct talk_pattern p = {NULL, 0, 0};

	if (!block) {
		pattern_add(&p, rest, wild, 1);
		if (line_end)
			pattern_add(&p, SPAN("\r\n"), false, 1);
		return p;
	}
	for (size_t i = 0; i < block->to - block->from; i++)
		add_lines(t, scope, part_line(block, i), wild, &p);
	return p;
}

/* A block, or an expression of quoted strings. */
static struct talk_pattern expression_of(struct talk *t, const struct scope *scope,
	struct span rest, const struct part *block, bool wild)
{
	struct talk_pattern p = {NULL, 0, 0};

	if (block)
		return text_of(t, scope, rest, block, wild, true);
	if (!pattern_add_expression(&p, rest, wild))
		fail(t, scope, "this is no text: %.*s", SPAN_ARGS(rest));
	return p;
}

/* --- statements of an end --- */

static struct end *end_of(struct talk *t, const struct scope *scope, struct span name)
{
	struct end *end = wire_find(&t->wire, name);

	if (!end)
		fail(t, scope, "there is no %.*s", SPAN_ARGS(name));
	return end;
}

/* Turns until so many bytes are there, or the stream is at its end. */
static bool await_bytes(struct talk *t, struct end *end, size_t count)
{
	uint64_t deadline_ms = wire_deadline(&t->wire);

	while (end->in.len < count) {
		if (end->eof || end->reset || end->tls_failed || end->fd < 0)
			return false;
		if (!wire_turn(&t->wire, deadline_ms))
			return false;
	}
	return true;
}

/* Index behind the first occurrence of needle, which is waited for; 0: it does not come. */
static size_t await_text(struct talk *t, struct end *end, struct span needle)
{
	size_t from = 0;

	for (;;) {
		struct span in = buffer_span(&end->in);
		size_t at = from + span_find(span_from(in, from), needle);

		if (at < in.len)
			return at + needle.len;
		from = in.len > needle.len ? in.len - needle.len : 0;
		if (!await_bytes(t, end, in.len + 1))
			return 0;
	}
}

static const char *what_came(const struct end *end)
{
	if (end->in.len)
		return shown(buffer_span(&end->in));
	return end->eof          ? "(closed by postern)"
	       : end->reset      ? "(reset by postern)"
	       : end->tls_failed ? "(TLS failed)"
				 : "(nothing)";
}

static struct span take_line(
	struct talk *t, const struct scope *scope, struct end *end, struct span wanted)
{
	size_t len = await_text(t, end, SPAN("\r\n"));

	if (len == 0)
		fail(t, scope, "%s: expected %.*s\n\tbut got %s", end->name, SPAN_ARGS(wanted),
			what_came(end));
	return span_first(buffer_span(&end->in), len);
}

/* "... (id abcdefghijkl)" sets ${id}. */
static void remember_id(struct talk *t, struct span line)
{
	struct span mark = SPAN(" (id ");
	size_t at = span_find(line, mark);

	if (at + mark.len + 12 < line.len)
		script_set(&t->script, "id", span_make(line.at + at + mark.len, 12));
}

static void expect_line(
	struct talk *t, const struct scope *scope, struct end *end, struct span text)
{
	struct talk_pattern p = {NULL, 0, 0};
	struct span line = take_line(t, scope, end, text);

	pattern_add(&p, text, true, 1);
	pattern_add(&p, SPAN("\r\n"), false, 1);
	if (!talk_pattern_matches(&p, line))
		fail(t, scope, "%s: expected %.*s\n\tbut got  %s", end->name, SPAN_ARGS(text),
			shown(line));
	talk_pattern_free(&p);
	remember_id(t, line);
	buffer_consume(&end->in, line.len);
}

/* NAME < PATTERN, or a block of them: lines in order. */
static void end_expect(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	if (!block) {
		expect_line(t, scope, end, rest);
		return;
	}
	for (size_t i = 0; i < block->to - block->from; i++) {
		char *line = script_expand(&t->script, scope, part_line(block, i));

		expect_line(t, scope, end, span_text(line));
		free(line);
	}
}

/* NAME reply [!]PATTERN: a whole reply, its lines joined by CRLF. */
static void end_reply(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	bool not = rest.len && rest.at[0] == '!';
	struct buffer reply = BUFFER_INIT(TEXT_MAX);
	struct talk_pattern p = {NULL, 0, 0};
	struct span line;

	(void)block;
	do {
		line = take_line(t, scope, end, rest);
		ENSURE(buffer_add(&reply, line));
		line = span_make(reply.data + reply.start + reply.len - line.len, line.len);
		buffer_consume(&end->in, line.len);
	} while (line.len > 3 && line.at[3] == '-');
	pattern_add(&p, span_from(rest, not ), true, 1);
	if (talk_pattern_matches(&p, span_first(buffer_span(&reply), reply.len - 2)) == not )
		fail(t, scope, "%s: expected the reply %.*s\n\tbut got  %s", end->name,
			SPAN_ARGS(rest), shown(buffer_span(&reply)));
	talk_pattern_free(&p);
	buffer_free(&reply);
}

static void expect_bytes(struct talk *t, const struct scope *scope, struct end *end, size_t len,
	const struct talk_pattern *p, struct span wanted)
{
	struct span bytes = span_first(buffer_span(&end->in), len);

	if (!talk_pattern_matches(p, bytes))
		fail(t, scope, "%s: expected the content %.*s\n\tbut got  %s", end->name,
			SPAN_ARGS(wanted), shown(bytes));
	buffer_consume(&end->in, len);
}

/* NAME data {...}: what stands behind DATA, up to the final dot, as it came. */
static void end_data(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	struct talk_pattern p = expression_of(t, scope, rest, block, true);
	size_t len = await_text(t, end, SPAN("\r\n.\r\n"));

	if (len == 0)
		fail(t, scope, "%s: expected a message and its end\n\tbut got  %s", end->name,
			what_came(end));
	expect_bytes(t, scope, end, len - 3, &p, rest);
	buffer_consume(&end->in, 3);
	talk_pattern_free(&p);
}

/* NAME bdat {...}: BDAT and so many bytes. */
static void end_bdat(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	struct talk_pattern p = expression_of(t, scope, rest, block, true);
	struct span line = span_trim(take_line(t, scope, end, SPAN("BDAT ... LAST")));
	uint64_t size;

	if (!span_starts(line, SPAN("BDAT ")) ||
		!span_number(
			span_first(span_from(line, 5), span_find_char(span_from(line, 5), ' ')),
			UINT32_MAX, &size))
		fail(t, scope, "%s: expected BDAT\n\tbut got  %s", end->name, shown(line));
	buffer_consume(&end->in, await_text(t, end, SPAN("\r\n")));
	if (!await_bytes(t, end, (size_t)size))
		fail(t, scope, "%s: expected %llu bytes\n\tbut got  %s", end->name,
			(unsigned long long)size, what_came(end));
	expect_bytes(t, scope, end, (size_t)size, &p, rest);
	talk_pattern_free(&p);
}

/* NAME bytes "...": so many bytes as the pattern has, whatever they are part of. */
static void end_bytes(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	struct talk_pattern p = expression_of(t, scope, rest, block, true);

	if (!await_bytes(t, end, p.len))
		fail(t, scope, "%s: expected %zu bytes\n\tbut got  %s", end->name, p.len,
			what_came(end));
	expect_bytes(t, scope, end, p.len, &p, rest);
	talk_pattern_free(&p);
}

static void send_pattern(struct talk *t, struct end *end, struct talk_pattern *p, bool cut)
{
	char *bytes = pattern_bytes(p);

	wire_send(&t->wire, end, span_make(bytes, p->len), cut);
	free(bytes);
	talk_pattern_free(p);
}

static void end_say(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	struct talk_pattern p = text_of(t, scope, rest, block, false, true);

	send_pattern(t, end, &p, false);
}

static void end_send(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	struct talk_pattern p = expression_of(t, scope, rest, block, false);

	send_pattern(t, end, &p, false);
}

static void end_send_cut(struct talk *t, const struct scope *scope, struct end *end,
	struct span rest, const struct part *block)
{
	struct talk_pattern p = expression_of(t, scope, rest, block, false);

	send_pattern(t, end, &p, true);
}

/* NAME tls [SNI]; a backend's end accepts. */
static void end_tls(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	char *sni = rest.len ? memory_string(rest.at) : NULL;

	(void)block;
	if (end->in.len)
		fail(t, scope, "%s: plain text came before the handshake: %s", end->name,
			what_came(end));
	if (!wire_tls(&t->wire, end, end->name[0] == 'b', sni))
		fail(t, scope, "%s: the handshake failed: %s", end->name, what_came(end));
	free(sni);
}

static void end_tls_fails(struct talk *t, const struct scope *scope, struct end *end,
	struct span rest, const struct part *block)
{
	(void)block;
	(void)rest;
	if (wire_tls(&t->wire, end, end->name[0] == 'b', NULL))
		fail(t, scope, "%s: the handshake went well", end->name);
}

/* NAME certificate NAME: what the other side showed. */
static void end_certificate(struct talk *t, const struct scope *scope, struct end *end,
	struct span rest, const struct part *block)
{
	X509 *x = end->ssl ? SSL_get0_peer_certificate(end->ssl) : NULL;

	(void)block;
	if (!x || X509_check_host(x, rest.at, rest.len, 0, NULL) != 1)
		fail(t, scope, "%s: the certificate is not for %.*s", end->name, SPAN_ARGS(rest));
}

static void end_sni(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	const char *name =
		end->ssl ? SSL_get_servername(end->ssl, TLSEXT_NAMETYPE_host_name) : NULL;

	(void)block;
	if (!span_equal(span_text(name ? name : "none"), rest))
		fail(t, scope, "%s: SNI is %s", end->name, name ? name : "none");
}

static void end_half_close(struct talk *t, const struct scope *scope, struct end *end,
	struct span rest, const struct part *block)
{
	(void)scope, (void)rest, (void)block;
	wire_half_close(&t->wire, end);
}

static void end_reset(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	(void)scope, (void)rest, (void)block;
	wire_drop(&t->wire, end, true);
}

static void end_close(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	(void)scope, (void)rest, (void)block;
	wire_drop(&t->wire, end, false);
}

static void await_end(struct talk *t, const struct scope *scope, struct end *end)
{
	uint64_t deadline_ms = wire_deadline(&t->wire);

	while (!end->eof && !end->reset && !end->tls_failed)
		if (!wire_turn(&t->wire, deadline_ms))
			fail(t, scope, "%s: expected the end of the connection", end->name);
}

/* NAME closed: an orderly end, and nothing before it. */
static void end_closed(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	(void)rest, (void)block;
	await_end(t, scope, end);
	if (!end->eof || end->in.len)
		fail(t, scope, "%s: expected an orderly close\n\tbut got  %s", end->name,
			what_came(end));
}

/* NAME gone: any end, whatever came before it. */
static void end_gone(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	(void)rest, (void)block;
	await_end(t, scope, end);
	buffer_clear(&end->in);
}

static void end_silent(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	(void)rest, (void)block;
	wire_settle(&t->wire, QUIET_MS);
	if (end->in.len || end->eof || end->reset || end->tls_failed)
		fail(t, scope, "%s: expected nothing\n\tbut got  %s", end->name, what_came(end));
}

static void end_stall(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	(void)t, (void)scope, (void)rest, (void)block;
	end->stalled = true;
}

static void end_resume(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	(void)t, (void)scope, (void)rest, (void)block;
	end->stalled = false;
}

/* NAME forget: what came is of no interest. */
static void end_forget(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
	const struct part *block)
{
	(void)scope, (void)rest, (void)block;
	wire_settle(&t->wire, QUIET_MS);
	buffer_clear(&end->in);
}

static const struct {
	const char *name;
	void (*run)(struct talk *t, const struct scope *scope, struct end *end, struct span rest,
		const struct part *block);
} end_verbs[] = {
	{"<", end_expect},
	{">", end_say},
	{">>", end_send},
	{">>cut", end_send_cut},
	{"reply", end_reply},
	{"data", end_data},
	{"bdat", end_bdat},
	{"bytes", end_bytes},
	{"tls", end_tls},
	{"tls-fails", end_tls_fails},
	{"certificate", end_certificate},
	{"sni", end_sni},
	{"half-close", end_half_close},
	{"reset", end_reset},
	{"close", end_close},
	{"closed", end_closed},
	{"gone", end_gone},
	{"silent", end_silent},
	{"stall", end_stall},
	{"resume", end_resume},
	{"forget", end_forget},
};

/* --- the configuration and the house --- */

static const char default_config[] =
	"hostname \"mx.example.net\"\n"
	"workers 1\n"
	"state \"/var/lib/postern\"\n"
	"${listeners}\n"
	"backend \"main\" { server \"127.0.0.1:${b1}\"\n${backend}\n}\n"
	"relay_domains ${relay}\n"
	"tls { certificate \"mx.pem\" key \"mx.key\"\n"
	"certificate \"other.pem\" key \"other.key\" }\n"
	"limits {\n${limits}\n}\n"
	"timeouts {\n${timeouts}\n}\n"
	"authentication_results ${results}\n"
	"${more}\n";

/* What `with` may set, and what it is when nothing does. */
static const struct {
	const char *name, *value;
} pieces[] = {
	{"listeners", "listen \"127.0.0.1:25\" {\n${listen}\n}"},
	{"listen", "tls starttls"},
	{"backend", "tls never client_info none verify_recipients no"},
	{"relay", "{ \"example.com\" \"example.org\" }"},
	{"limits", ""},
	{"timeouts", ""},
	{"results", "on_demand"},
	{"filters", ""},
	{"store", ""},
	{"more", ""},
	{"rules", ""},
	{"dns", ""},
	{"probe", "yes"},
	{"offers", "250-inner.example.net\n250-PIPELINING\n250-SIZE 100000000\n250-8BITMIME\n"
		   "250-SMTPUTF8\n250-DSN\n250 ENHANCEDSTATUSCODES\n"},
	{"config", default_config},
};

static bool lookup(void *context, struct span name, struct buffer *out)
{
	struct talk *t = context;

	if (name.len == 2 && name.at[0] == 'b' && ascii_is_digit(name.at[1]))
		return buffer_print(
			out, "%u", wire_server_port(&t->wire, (unsigned)(name.at[1] - '0')));
	if (name.len > 5 && span_starts(name, SPAN("port.")) && t->open)
		return buffer_print(out, "%u", t->house.ports[name.at[5] - '0']);
	return false;
}

/* The worker asks each server at its start what it can; the answer is ${offers}. */
static void answer_probe(struct talk *t, const struct scope *scope, unsigned number)
{
	struct end *end = wire_accept(&t->wire, SPAN("b.probe"), number);
	struct talk_pattern offers = {NULL, 0, 0};

	if (!end)
		fail(t, scope, "b%u: the worker does not ask it at its start", number);
	wire_send(&t->wire, end, SPAN("220 inner.example.net ESMTP\r\n"), false);
	buffer_consume(&end->in, await_text(t, end, SPAN("LO mx.example.net\r\n")));
	add_lines(t, scope, SPAN("${offers}"), false, &offers);
	send_pattern(t, end, &offers, false);
	buffer_consume(&end->in, await_text(t, end, SPAN("QUIT\r\n")));
	wire_send(&t->wire, end, SPAN("221 goodbye\r\n"), false);
	await_bytes(t, end, 1);
	wire_drop(&t->wire, end, false);
}

static void open_house(struct talk *t, const struct scope *scope)
{
	char *probe = script_expand(&t->script, scope, SPAN("${probe}"));
	char *rules = script_expand(&t->script, scope, SPAN("${rules}"));
	char *zone = script_expand(&t->script, scope, SPAN("${dns}"));
	struct span text = SPAN("${config}");
	char *filters = script_expand(&t->script, scope, SPAN("${filters}"));
	char *store = script_expand(&t->script, scope, SPAN("${store}"));
	char *expanded = script_expand(&t->script, scope, text);

	/* Pieces hold pieces. */
	while (strstr(expanded, "${")) {
		char *again = script_expand(&t->script, scope, span_text(expanded));

		free(expanded);
		expanded = again;
	}
	house_open(&t->house, &(struct house_setup){.config = span_text(expanded),
				      .rules = span_text(rules),
				      .files = t->files,
				      .zone = zone,
				      .trial = strcmp(filters, "trial") == 0,
				      .store = strcmp(store, "embedded") == 0});
	free(store);
	free(rules);
	free(filters);
	free(zone);
	wire_open(&t->wire, &t->house);
	free(expanded);
	t->open = true;
	for (unsigned i = 0; i < WIRE_SERVERS && strcmp(probe, "yes") == 0; i++)
		if (t->wire.servers[i].port && t->wire.servers[i].fd >= 0)
			answer_probe(t, scope, i);
	free(probe);
}

static void need_house(struct talk *t, const struct scope *scope)
{
	if (!t->open)
		open_house(t, scope);
}

/* --- statements that make ends --- */

/* NAME connect [from ADDRESS] [to N] [room SIZE]: N counts the listen blocks from 0. */
static void do_connect(
	struct talk *t, const struct scope *scope, struct span name, struct span rest)
{
	struct endpoint to;
	struct ip from = {.family = IP_NONE};
	uint64_t index = 0, room = 0;
	struct span word;

	need_house(t, scope);
	while ((word = span_word(&rest)).len) {
		struct span value = span_word(&rest);
		bool ok = span_equal(word, SPAN("from")) ? ip_parse(value, &from)
			  : span_equal(word, SPAN("to"))
				  ? span_number(value, HOUSE_LISTENERS, &index)
				  : number_with_unit(value, &room);

		if (!ok)
			fail(t, scope, "connect [from ADDRESS] [to N] [room SIZE]");
	}
	to = t->house.config->listens[index].endpoint;
	to.port = t->house.ports[index];
	wire_connect(&t->wire, name, &to, &from, (int)room);
}

static void do_accept(struct talk *t, const struct scope *scope, struct span name)
{
	unsigned number = name.len > 1 ? (unsigned)(name.at[1] - '0') : WIRE_SERVERS;

	need_house(t, scope);
	if (number >= WIRE_SERVERS || !wire_accept(&t->wire, name, number))
		fail(t, scope, "no connection came to %.*s", SPAN_ARGS(name));
}

/* bN down, bN up, bN alone (nobody has connected). */
static bool server_verb(
	struct talk *t, const struct scope *scope, struct span name, struct span verb)
{
	unsigned number;

	if (name.len != 2 || name.at[0] != 'b' || !ascii_is_digit(name.at[1]))
		return false;
	number = (unsigned)(name.at[1] - '0');
	if (span_equal(verb, SPAN("down"))) {
		wire_server_port(&t->wire, number);
		wire_server_down(&t->wire, number);
	} else if (span_equal(verb, SPAN("up"))) {
		wire_server_up(&t->wire, number);
	} else if (span_equal(verb, SPAN("alone"))) {
		wire_settle(&t->wire, QUIET_MS);
		if (wire_server_waiting(&t->wire, number))
			fail(t, scope, "b%u: expected no connection", number);
	} else {
		return false;
	}
	return true;
}

/* --- other statements --- */

static void take_name(struct span *rest, char name[NAME_SIZE])
{
	struct span word = span_word(rest);

	snprintf(name, NAME_SIZE, "%.*s", SPAN_ARGS(word));
}

/* with PIECE TEXT, or a block: a part of the default configuration. */
static void do_with(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	char name[NAME_SIZE];
	struct buffer text = BUFFER_INIT(TEXT_MAX);

	if (t->open)
		fail(t, scope, "the configuration is in use already");
	take_name(&rest, name);
	if (!block)
		ENSURE(buffer_add(&text, rest));
	for (size_t i = 0; block && i < block->to - block->from; i++) {
		ENSURE(buffer_add(&text, part_line(block, i)));
		ENSURE(buffer_add_char(&text, '\n'));
	}
	script_set(&t->script, name, buffer_span(&text));
	buffer_free(&text);
}

/* config { ... }: all of it. */
static void do_config(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	(void)rest;
	do_with(t, scope, SPAN("config"), block);
}

/* file NAME { ... }: beside the rule file. */
static void do_file(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	struct house_file *file = memory_zeroed(sizeof(*file));
	struct buffer text = BUFFER_INIT(TEXT_MAX);

	if (t->open || !block)
		fail(t, scope, "file NAME { ... }, before the worker opens");
	for (size_t i = 0; i < block->to - block->from; i++)
		ENSURE(buffer_add(&text, part_line(block, i)) && buffer_add_char(&text, '\n'));
	file->name = memory_string(span_trim(rest).at);
	file->name[span_trim(rest).len] = '\0';
	file->content = memory_string(buffer_string(&text));
	file->next = t->files;
	t->files = file;
	buffer_free(&text);
}

static void do_let(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	char name[NAME_SIZE];

	(void)scope, (void)block;
	take_name(&rest, name);
	script_set(&t->script, name, span_trim(rest));
}

/* clock +5m: s, m, h, ms. */
static void do_clock(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	size_t digits = 1;
	uint64_t amount, factor;
	struct span unit;

	(void)block;
	need_house(t, scope);
	while (digits < rest.len && ascii_is_digit(rest.at[digits]))
		digits++;
	unit = span_from(rest, digits);
	factor = span_equal(unit, SPAN("ms"))  ? 1
		 : span_equal(unit, SPAN("s")) ? 1000
		 : span_equal(unit, SPAN("m")) ? 60000
					       : 3600000;
	if (rest.len < 2 || !span_number(span_make(rest.at + 1, digits - 1), 1000000, &amount))
		fail(t, scope, "clock +NUMBER(ms|s|m|h)");
	wire_settle(&t->wire, QUIET_MS); /* what was sent before was sent before */
	house_settle_store(&t->house);
	wire_note(&t->wire, "clock", "", rest);
	t->house.loop.clock.offset_ms += amount * factor;
	timers_run(&t->house.loop.timers);
}

/* Takes "key=pattern" off the front; the value may be quoted. */
static bool take_condition(struct span *rest, struct span *key, struct talk_pattern *p)
{
	size_t equals = span_find_char(*rest, '=');
	struct span value = span_from(*rest, equals + 1);
	size_t len = span_find_char(value, ' ');

	if (equals >= rest->len)
		return false;
	*key = span_first(*rest, equals);
	if (value.len && value.at[0] == '"') {
		for (len = 1; len < value.len && value.at[len] != '"'; len++)
			len += value.at[len] == '\\';
		pattern_add(p, span_make(value.at + 1, len - 1), true, 1);
		len++;
	} else {
		pattern_add(p, span_first(value, len), true, 1);
	}
	*rest = span_trim(span_from(value, len));
	return true;
}

/* "!key": it has none of that name. */
static bool take_absent(struct span *rest, struct span *key)
{
	if (rest->len == 0 || rest->at[0] != '!')
		return false;
	*key = span_from(span_word(rest), 1);
	*rest = span_trim(*rest);
	return true;
}

static bool line_fits(
	struct talk *t, const struct scope *scope, const char *line, struct span conditions)
{
	struct buffer value = BUFFER_INIT(LOG_LINE_MAX);
	bool fits = true;

	while (fits && conditions.len) {
		struct talk_pattern p = {NULL, 0, 0};
		struct span key;

		if (take_absent(&conditions, &key)) {
			fits = !log_value(line, key, &value);
			continue;
		}
		if (!take_condition(&conditions, &key, &p))
			fail(t, scope, "key=value is expected: %.*s", SPAN_ARGS(conditions));
		fits = log_value(line, key, &value) &&
		       talk_pattern_matches(&p, buffer_span(&value));
		talk_pattern_free(&p);
	}
	buffer_free(&value);
	return fits;
}

/* log KEY=PATTERN ...: a line that no statement has had yet. log none: no record of a transaction
 * is left. */
static void do_log(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	uint64_t deadline_ms = wire_deadline(&t->wire);
	bool none = span_equal(rest, SPAN("none"));

	(void)block;
	need_house(t, scope);
	if (none)
		wire_settle(&t->wire, QUIET_MS);
	do {
		for (size_t i = 0; i < t->house.n_lines; i++) {
			struct log_line *line = &t->house.lines[i];

			if (line->seen || !line_fits(t, scope, line->text,
						  none ? SPAN("event=transaction") : rest))
				continue;
			if (none)
				fail(t, scope, "expected no further record:\n\t%s", line->text);
			line->seen = true;
			return;
		}
		if (none)
			return;
	} while (wire_turn(&t->wire, deadline_ms));
	fail(t, scope, "no such log line: %.*s", SPAN_ARGS(rest));
}

/* status KEY=PATTERN ...: what `postern status` would tell, as key=value. */
static void do_status(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	struct record r;
	char *text;

	(void)block;
	need_house(t, scope);
	wire_settle(&t->wire, QUIET_MS);
	record_init(&r, false, TEXT_MAX);
	worker_status(t->house.worker, &r, 100);
	record_finish(&r);
	text = memory_string(buffer_string(&r.line));
	if (!line_fits(t, scope, text, rest))
		fail(t, scope, "expected the status %.*s\n\tbut got  %s", SPAN_ARGS(rest), text);
	free(text);
	record_free(&r);
}

/* --- the disk --- */

/* Work for libuv's one thread that blocks it: what is to be written waits behind it. */
static void disk_wait(uv_work_t *work)
{
	struct talk *t = work->data;

	uv_sem_wait(&t->disk_released);
}

static void disk_free(uv_work_t *work, int status)
{
	struct talk *t = work->data;

	(void)status;
	uv_sem_destroy(&t->disk_released);
	t->disk_held = false;
}

static void disk_release(struct talk *t)
{
	uv_sem_post(&t->disk_released);
	while (t->disk_held)
		loop_turn(&t->house.loop, true);
}

/* disk hold, disk release: what is written off the loop. */
static void do_disk(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	(void)block;
	need_house(t, scope);
	wire_settle(&t->wire, QUIET_MS);
	if (span_equal(rest, SPAN("release")) && t->disk_held) {
		disk_release(t);
	} else if (span_equal(rest, SPAN("hold")) && !t->disk_held) {
		t->disk_held = true;
		t->disk.data = t;
		ENSURE(uv_sem_init(&t->disk_released, 0) == 0);
		ENSURE(uv_queue_work(&t->house.loop.uv, &t->disk, disk_wait, disk_free) == 0);
	} else {
		fail(t, scope, "disk hold, then disk release");
	}
}

/* --- the DNS server --- */

static void dns_fault(struct talk *t, const struct scope *scope, struct span name, struct span what)
{
	static const struct {
		struct span name;
		enum dns_play_fault fault;
	} faults[] = {{SPAN("answer"), DNS_PLAY_ANSWER}, {SPAN("drop"), DNS_PLAY_DROP},
		{SPAN("hold"), DNS_PLAY_HOLD}, {SPAN("servfail"), DNS_PLAY_SERVFAIL},
		{SPAN("refused"), DNS_PLAY_REFUSED}, {SPAN("garbage"), DNS_PLAY_GARBAGE}};
	char text[256];

	snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(name));
	for (size_t i = 0; i < COUNT_OF(faults); i++) {
		if (!span_equal(what, faults[i].name))
			continue;
		dns_play_fault(t->house.dns, strcmp(text, "*") == 0 ? NULL : text, faults[i].fault);
		return;
	}
	fail(t, scope, "dns fault NAME answer | drop | hold | servfail | refused | garbage");
}

static void dns_asked(
	struct talk *t, const struct scope *scope, struct span name, struct span count)
{
	uint64_t wanted;
	unsigned is;
	char text[256];

	snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(name));
	is = dns_play_count(t->house.dns, strcmp(text, "*") == 0 ? NULL : text);
	if (!span_number(count, UINT32_MAX, &wanted) || wanted != is)
		fail(t, scope, "%s was asked for %u times", text, is);
}

/* store away, store back */
static void do_store(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	(void)block;
	need_house(t, scope);
	wire_settle(&t->wire, QUIET_MS);
	house_settle_store(&t->house);
	if (span_equal(rest, SPAN("away")))
		house_store_ends(&t->house);
	else if (span_equal(rest, SPAN("back")))
		house_store_begins(&t->house);
	else
		fail(t, scope, "store away | back");
	wire_settle(&t->wire, QUIET_MS);
}

/* dns fault NAME WHAT, dns release, dns asked NAME N. */
static void do_dns(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	struct span verb = span_word(&rest), name = span_word(&rest);

	(void)block;
	need_house(t, scope);
	if (!t->house.dns)
		fail(t, scope, "without rules there is no DNS");
	wire_settle(&t->wire, QUIET_MS);
	if (span_equal(verb, SPAN("release")))
		dns_play_release(t->house.dns);
	else if (span_equal(verb, SPAN("fault")))
		dns_fault(t, scope, name, span_trim(rest));
	else if (span_equal(verb, SPAN("asked")))
		dns_asked(t, scope, name, span_trim(rest));
	else
		fail(t, scope, "dns fault | release | asked");
}

/* --- the quarantine --- */

/* A file of the folder, whole; false: there is none. */
static bool quarantined_file(struct talk *t, char path[512], struct buffer *out)
{
	char folder[128], piece[4096];
	struct dirent *entry;
	size_t got;
	DIR *dir;
	FILE *f;

	snprintf(folder, sizeof(folder), "%s/quarantine/new", t->house.folder);
	dir = opendir(folder);
	ENSURE(dir);
	while ((entry = readdir(dir)) && entry->d_name[0] == '.')
		;
	if (entry)
		snprintf(path, 512, "%s/%s", folder, entry->d_name);
	closedir(dir);
	if (!entry)
		return false;
	f = fopen(path, "rb");
	ENSURE(f);
	while ((got = fread(piece, 1, sizeof(piece), f)) > 0)
		ENSURE(buffer_add(out, span_make(piece, got)));
	fclose(f);
	return true;
}

/* Its fields as a log line would have them, To.0 and on for the recipients; *message is what
 * follows them. */
static void read_fields(struct span file, struct buffer *line, struct span *message)
{
	struct span prefix = SPAN("X-Postern-Quarantine-");
	unsigned n_to = 0;

	while (span_starts(file, prefix)) {
		struct span field = span_first(file, span_find(file, SPAN("\r\n")));
		struct span name = span_from(field, prefix.len), value;

		file = span_from(file, field.len + 2);
		value = span_from(name, span_find_char(name, ':') + 2);
		name = span_first(name, span_find_char(name, ':'));
		ENSURE(buffer_print(line, "%.*s", SPAN_ARGS(name)));
		if (span_equal(name, SPAN("To")))
			ENSURE(buffer_print(line, ".%u", n_to++));
		ENSURE(buffer_add_text(line, "=\""));
		for (size_t i = 0; i < value.len; i++)
			ENSURE((value.at[i] != '"' || buffer_add_char(line, '\\')) &&
				buffer_add_char(line, value.at[i]));
		ENSURE(buffer_add_text(line, "\" "));
	}
	*message = file;
}

/* quarantine KEY=PATTERN ... [{ message }]: the message that lies there, which is then taken out.
 * quarantine none: there is none. */
static void do_quarantine(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	struct buffer file = BUFFER_INIT(64 * 1024 * 1024), line = BUFFER_INIT(TEXT_MAX);
	bool none = span_equal(rest, SPAN("none"));
	struct span message;
	char path[512];

	need_house(t, scope);
	wire_settle(&t->wire, QUIET_MS);
	if (quarantined_file(t, path, &file) == none)
		fail(t, scope, none ? "a message is there: %s" : "no message is there", path);
	if (none)
		return;
	read_fields(buffer_span(&file), &line, &message);
	if (!line_fits(t, scope, buffer_string(&line), rest))
		fail(t, scope, "expected the fields %.*s\n\tbut got  %s", SPAN_ARGS(rest),
			buffer_string(&line));
	if (block) {
		struct talk_pattern p = text_of(t, scope, rest, block, true, true);

		if (!talk_pattern_matches(&p, message))
			fail(t, scope, "the message is another: %s", shown(message));
		talk_pattern_free(&p);
	}
	ENSURE(unlink(path) == 0);
	buffer_free(&file);
	buffer_free(&line);
}

static void do_drain(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	static const struct {
		struct span name;
		enum worker_drain drain;
	} drains[] = {{SPAN("sessions"), WORKER_DRAIN_SESSIONS},
		{SPAN("messages"), WORKER_DRAIN_MESSAGES}, {SPAN("term"), WORKER_DRAIN_TERM},
		{SPAN("now"), WORKER_DRAIN_NOW}};

	(void)block;
	need_house(t, scope);
	wire_settle(&t->wire, QUIET_MS);
	for (size_t i = 0; i < COUNT_OF(drains); i++) {
		if (span_equal(rest, drains[i].name)) {
			wire_note(&t->wire, "drain", "", rest);
			worker_drain(t->house.worker, drains[i].drain);
			return;
		}
	}
	fail(t, scope, "drain sessions | messages | term | now");
}

/* drained, drained not */
static void do_drained(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	uint64_t deadline_ms = wire_deadline(&t->wire);

	(void)block;
	if (rest.len) {
		wire_settle(&t->wire, QUIET_MS);
		if (t->house.drained)
			fail(t, scope, "the worker is drained already");
		return;
	}
	while (!t->house.drained)
		if (!wire_turn(&t->wire, deadline_ms))
			fail(t, scope, "the worker is not drained");
}

static void set_limit(int resource, rlim_t value)
{
	struct rlimit limit;

	ENSURE(getrlimit(resource, &limit) == 0);
	limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
	ENSURE(setrlimit(resource, &limit) == 0);
}

/* descriptors N: so many more may be opened. descriptors all: no limit again. */
static void do_descriptors(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	uint64_t more;
	int next;

	(void)block;
	need_house(t, scope);
	if (span_equal(rest, SPAN("all"))) {
		set_limit(RLIMIT_NOFILE, RLIM_INFINITY);
		return;
	}
	next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ENSURE(next >= 0);
	close(next);
	if (!span_number(rest, 100000, &more))
		fail(t, scope, "descriptors N | all");
	set_limit(RLIMIT_NOFILE, (rlim_t)next + more);
}

/* file-size SIZE: no file may grow larger, as on a full disk. */
static void do_file_size(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	uint64_t size;

	(void)block;
	if (!number_with_unit(rest, &size))
		fail(t, scope, "file-size SIZE");
	set_limit(RLIMIT_FSIZE, (rlim_t)size);
}

/* start: opens the house now, where the script needs its variables before the first connection. */
static void do_start(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	(void)rest, (void)block;
	need_house(t, scope);
}

/* The shared counter of that name, or STAGE.VERDICT of what was spoken. false: there is none. */
static bool find_count(const struct shared *shared, struct span name, uint64_t *is)
{
	char spoken[32];

	for (int i = 0; i < SHARED_COUNTER_COUNT; i++) {
		*is = shared_count(shared, (enum shared_counter)i);
		if (span_equal(span_text(shared_counter_name((enum shared_counter)i)), name))
			return true;
	}
	for (int i = 0; i < SHARED_MOMENT_COUNT * SHARED_VERDICT_COUNT; i++) {
		enum shared_moment moment = (enum shared_moment)(i / SHARED_VERDICT_COUNT);
		enum shared_verdict verdict = (enum shared_verdict)(i % SHARED_VERDICT_COUNT);

		snprintf(spoken, sizeof(spoken), "%s.%s", shared_moment_name(moment),
			shared_verdict_name(verdict));
		*is = shared_spoken(shared, moment, verdict);
		if (span_equal(span_text(spoken), name))
			return true;
	}
	return false;
}

/* count NAME NUMBER: one of the shared counters. */
static void do_count(
	struct talk *t, const struct scope *scope, struct span rest, const struct part *block)
{
	struct span name = span_word(&rest);
	uint64_t wanted, is;

	(void)block;
	need_house(t, scope);
	wire_settle(&t->wire, QUIET_MS);
	if (!find_count(t->house.shared, name, &is))
		fail(t, scope, "there is no counter %.*s", SPAN_ARGS(name));
	else if (!span_number(span_trim(rest), UINT32_MAX, &wanted) || wanted != is)
		fail(t, scope, "%.*s is %llu", SPAN_ARGS(name), (unsigned long long)is);
}

static const struct {
	const char *name;
	verb_fn *run;
} statements[] = {
	{"with", do_with},
	{"config", do_config},
	{"file", do_file},
	{"let", do_let},
	{"start", do_start},
	{"clock", do_clock},
	{"log", do_log},
	{"status", do_status},
	{"count", do_count},
	{"disk", do_disk},
	{"dns", do_dns},
	{"store", do_store},
	{"quarantine", do_quarantine},
	{"drain", do_drain},
	{"drained", do_drained},
	{"descriptors", do_descriptors},
	{"file-size", do_file_size},
};

static void run_statement(
	void *context, const struct scope *scope, struct span head, const struct part *block)
{
	struct talk *t = context;
	struct span rest = head, name = span_word(&rest), verb;

	rest = span_trim(rest);
	for (size_t i = 0; i < COUNT_OF(statements); i++) {
		if (span_equal(name, span_text(statements[i].name))) {
			statements[i].run(t, scope, rest, block);
			return;
		}
	}
	verb = span_word(&rest);
	rest = span_trim(rest);
	if (span_equal(verb, SPAN("connect"))) {
		do_connect(t, scope, name, rest);
		return;
	}
	if (span_equal(verb, SPAN("accept"))) {
		do_accept(t, scope, name);
		return;
	}
	if (server_verb(t, scope, name, verb))
		return;
	for (size_t i = 0; i < COUNT_OF(end_verbs); i++) {
		if (span_equal(verb, span_text(end_verbs[i].name))) {
			end_verbs[i].run(t, scope, end_of(t, scope, name), rest, block);
			return;
		}
	}
	fail(t, scope, "what is this: %.*s", SPAN_ARGS(head));
}

/* --- a whole script --- */

/* Whatever came that no statement asked for is an error too. */
static void check_leftovers(struct talk *t)
{
	wire_settle(&t->wire, QUIET_MS);
	for (struct end *end = t->wire.ends; end; end = end->next)
		if (end->in.len)
			fail(t, NULL, "%s: nobody expected %s", end->name, what_came(end));
	for (unsigned i = 0; i < WIRE_SERVERS; i++)
		if (wire_server_waiting(&t->wire, i))
			fail(t, NULL, "b%u: nobody expected a connection", i);
}

/* Macros that all scripts may use stand in the file `macros` in the script's folder or the one
 * above. */
static void load_macros(struct talk *t, const char *path)
{
	static const char *const places[] = {"%.*smacros", "%.*s../macros"};
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash - path + 1) : 0;

	for (size_t i = 0; i < COUNT_OF(places); i++) {
		char name[4096];
		struct source *source;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(name, sizeof(name), places[i], folder, path);
#pragma GCC diagnostic pop
		source = script_load(&t->script, name);
		if (source) {
			script_run(&t->script, source);
			return;
		}
	}
}

static int play(const char *path, bool verbose)
{
	struct talk *t = memory_zeroed(sizeof(*t));
	struct source *source;

	t->verbose = verbose;
	t->wire.guard_ms = GUARD_MS;
	t->wire.transcript = BUFFER_INIT(256 * 1024);
	t->script.lookup = lookup;
	t->script.run = run_statement;
	t->script.fail = script_fail;
	t->script.context = t;
	for (size_t i = 0; i < COUNT_OF(pieces); i++)
		script_set(&t->script, pieces[i].name, span_text(pieces[i].value));
	load_macros(t, path);
	source = script_load(&t->script, path);
	if (!source)
		fail(t, NULL, "%s: %s", path, strerror(errno));
	script_run(&t->script, source);
	if (!t->open)
		fail(t, NULL, "%s: nothing happens in it", path);
	check_leftovers(t);
	if (verbose)
		fputs(buffer_string(&t->wire.transcript), stdout);
	if (t->disk_held)
		disk_release(t);
	house_close(&t->house);
	wire_close(&t->wire);
	script_free(&t->script);
	while (t->files) {
		struct house_file *file = t->files;

		t->files = file->next;
		free(file->name);
		free(file->content);
		free(file);
	}
	free(t);
	return 0;
}

/* Several scripts: each in a process of its own, since they change limits. */
static int play_apart(const char *path)
{
	pid_t child;
	int status = 1;

	fflush(stdout);
	child = fork();
	if (child == 0)
		exit(play(path, false));
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
		printf("FAILED %s\n", path);
		return 1;
	}
	printf("ok     %s\n", path);
	return 0;
}

int main(int argc, char **argv)
{
	bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	int failed = 0;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	setenv("UV_THREADPOOL_SIZE", "1", 1); /* `disk hold` blocks it */
	argv += verbose;
	argc -= verbose;
	if (argc < 2) {
		fprintf(stderr, "usage: talk [-v] FILE.talk...\n");
		return 2;
	}
	if (argc == 2)
		return play(argv[1], verbose);
	for (int i = 1; i < argc; i++)
		failed += play_apart(argv[i]);
	if (failed)
		printf("%d of %d failed\n", failed, argc - 1);
	return failed != 0;
}
