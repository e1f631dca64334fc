/*
 * A whole session, from greeting to close, with a backend behind it. The input decides what the
 * client says in which pieces, and where the backend fails; the backend never lies (it says 250
 * only to what it has), so that these must hold whatever comes:
 *
 * - the session ends when its time is up, and gives everything back;
 * - a message that the client saw acknowledged was wholly received by the backend, once;
 * - behind a violation (550 5.6.11) and behind a 421 nothing is said and so nothing is run;
 * - the backend sees well-formed commands only, recipients of ours only, and content of whole CRLF
 * lines;
 * - each line that the client sees is a reply.
 *
 * One of three rule sets, which between them read every kind of fact and take every action, may be
 * in force; the questions that they ask are answered by a small DNS server, by the name that is
 * asked for.
 *
 * Input: byte 0 what the backend offers, byte 1 how the worker is set up (bits 0 and 1 the
 * configuration, 2 whether the client may say XCLIENT, 3 and 4 the rules, 0 none, 5 whether each
 * message that goes on has its results above it), byte 2 n, then n bytes of faults, one for each
 * reply of the backend's; then pieces: a length (1 to 255) and so many bytes of the client's, or 0
 * and an event.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "filters/pipeline.h"
#include "lib/base/fail.h"
#include "lib/mail/header.h"
#include "policy/read.h"
#include "proxy/session/session.h"
#include "tests/unit/trial.h"

enum {
	CONNECTIONS_MAX = 64,
	MESSAGES_MAX = 4096,
	CLIENT_MAX = 1024 * 1024,
	TURNS_MAX = 20000,
	RULE_SETS = 4,
	DNS_HEADER = 12,
	POLLED_OTHERS = 4
};

static const char *const rule_texts[RULE_SETS] = {"",
	/* The client and the envelope, decided early. */
	"list bad : cidr { 198.51.100.0/24, 2001:db8::/32 }\n"
	"list words : text { \"x\", \"y\" }\n"
	"list held : cidr from store \"held\"\n"
	"list zen : ip from dnsbl \"zen.example\" { 127.0.0.2-127.0.0.11 }\n"
	"rule a { when client.ip in @bad then reject now 554 5.7.1 \"{list.item} {sid}\" }\n"
	"rule b { when client.ip in @held or any dnsbl(\"x.example\", mail.domain) in 127.0.0.0/8 "
	"then defer }\n"
	"rule c { when helo in @words or helo.is_me then reject now \"{helo}\" }\n"
	"rule d { when mail.local == \"now\" and not helo.resolves then reject now \"{mail.from}\" "
	"}\n"
	"rule e { when client.fcrdns == none and helo.esmtp then score 2, delay 1s }\n"
	"rule f { when mail.mx == no on error defer then score 3 }\n"
	"rule g { when client.ip in @zen then score 4, tag \"zen\" }\n"
	"rule h { when not rcpt.valid and rcpt.local == \"b\" then reject 550 5.1.1 \"{rcpt.to}\" "
	"}\n"
	"rule i { when rcpt.count > 2 or mail.size > 1KB then delay 2s, header add \"X-I\" "
	"\"{rcpt.to}\" }\n"
	"rule j { when mail.null then quarantine \"{client.rdns}\" }\n"
	"rule k monitor { when rcpt.local ~ /./ then discard \"k\" }\n"
	"rule l { when score >= 6 then reject \"{score} {tags}\" }\n"
	"rule m { when rcpt.local == \"c\" then accept }\n"
	"rule n { when any tags == \"zen\" then discard \"n\" }\n",
	/* The message, decided late. */
	"list exe : text { \"exe\", \"scr\" }\n"
	"rule a { when subject contains \"s\" then subject prefix \"[S \u00e4]\", tag \"s\" }\n"
	"rule b { when any attachment.extension in @exe then reject \"{attachment.name}\" }\n"
	"rule c { when any url.domain under \"example\" then score 3 }\n"
	"rule d { when from.count != 1 or from.domain != mail.domain then score 2, header set "
	"\"X-D\" "
	"\"{from.name} {from.address}\" }\n"
	"rule e { when any header(\"X-A\") ~ /(a+)+$/ then header remove \"X-A\", header add "
	"\"X-A\" "
	"\"{subject}\" }\n"
	"rule f { when any dnsbl(\"u.example\", url.domain) in 127.0.0.2 then discard \"f\" }\n"
	"rule g { when body contains \"keep\" then quarantine \"{body}\" }\n"
	"rule h { when mail.mx == no and message.size > 20 then delay 3s }\n"
	"rule i { when (virus or rspamd.score > 5) and rcpt.local == \"e\" on error defer unless "
	"subject contains \"x\" "
	"then "
	"reject }\n"
	"rule j { when rcpt.local == \"c\" and any attachment.encrypted then reject \"{rcpt.to}\" "
	"}\n"
	"rule k { when score > 4 then defer \"{score}\" }\n"
	"rule l { when list.id is not none and message.id is none then discard \"l\" }\n",
	/* Recipients that differ; with `conflict strictest`. */
	"rule a { when client.early_talker and helo == \"early\" then reject now }\n"
	"rule b { when rcpt.local == \"b\" and subject contains \"b\" then reject }\n"
	"rule c { when rcpt.local == \"c\" and subject contains \"c\" then discard \"c\" }\n"
	"rule d { when rcpt.local == \"d\" and mail.mx == no then defer }\n"
	"rule e { when rcpt.domain is none then header add \"X-E\" \"{rcpt.to}\" }\n"
	"rule f { when rcpt.local contains \"a\" then header add \"X-F\" \"{subject} {body}\" }\n"
	"rule g { when rcpt.valid and subject == \"g\" then delay 4s }\n"};

enum fault {
	FAULT_OK,
	FAULT_4XX,
	FAULT_5XX,
	FAULT_421,
	FAULT_CLOSE,
	FAULT_RESET,
	FAULT_GARBAGE,
	FAULT_SILENCE,
	FAULT_CUT,   /* the right reply, in two pieces */
	FAULT_LINES, /* the right reply, in three lines */
	FAULT_COUNT
};

enum event {
	EVENT_HALF_CLOSE,
	EVENT_RESET,
	EVENT_MINUTE,
	EVENT_TEN_MINUTES,
	EVENT_DRAIN_MESSAGES,
	EVENT_DRAIN_NOW,
	EVENT_TURN, /* one turn of the loop only, behind the next piece */
	EVENT_COUNT
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* A connection of the backend's, which is honest. */
struct server {
	int fd; /* -1: free */
	struct buffer in;
	struct buffer content;
	bool in_data;
	uint64_t bdat_left;
	bool bdat, bdat_last, has_rcpt;
};

struct run {
	const uint8_t *data;
	size_t size;
	const uint8_t *faults;
	size_t n_faults;
	uint8_t offers;
	struct server servers[CONNECTIONS_MAX];
	size_t n_servers;          /* at and above which none was in use */
	int client;                /* -1: closed by us */
	struct buffer said, heard; /* by the client */
	unsigned received;         /* messages that the backend has, and said so */
	bool acknowledged[MESSAGES_MAX];
	bool one_turn;
	bool prdr;  /* 353 was heard: what is said of a message is said for each recipient */
	bool rules; /* some are in force: what the client hears and the backend gets is theirs */
	struct worker *worker;
};

static struct loop loop;
static struct shared *shared;
static struct log log_nowhere;
static struct config *configs[4];
static struct filter_set *filters;
static struct policy *policies[RULE_SETS]; /* [0]: without rules */
static int listener, dns_server;
static char folder[64];

#define PROPERTY(condition)                                                                        \
	do {                                                                                       \
		if (!(condition))                                                                  \
			broken(#condition, __LINE__);                                              \
	} while (0)

static struct run *current;

static _Noreturn void broken(const char *property, int line)
{
	fprintf(stderr, "line %d: broken: %s\nthe client said:\n%s\nand heard:\n%s\n", line,
		property, buffer_string(&current->said), buffer_string(&current->heard));
	abort();
}

/* --- once --- */

static void remove_folder(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/b", folder);
	unlink(path);
	rmdir(folder);
}

static void open_listener(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(folder, sizeof(folder), "/tmp/fuzz_session.XXXXXX");
	ENSURE(mkdtemp(folder));
	atexit(remove_folder);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/b", folder);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ENSURE(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	ENSURE(listen(listener, CONNECTIONS_MAX) == 0);
}

static struct config *read_config(bool verify, bool normalize)
{
	struct buffer text = BUFFER_INIT(4096), report = BUFFER_INIT(65536);
	struct bundle *bundle;
	struct config *config;

	ENSURE(buffer_print(&text,
		"hostname \"mx.example.net\" workers 1 state \"/nowhere\" relay_domains { "
		"\"example.com\" }\n"
		"listen \"127.0.0.1:25\" { tls none bare_newline %s xclient from { 127.0.0.1 } }\n"
		"backend \"b\" { server \"unix:%s/b\" tls never client_info none verify_recipients "
		"%s }\n"
		"limits { message 64KB headers 4KB line 1KB received 5 recipients 3 spool 1MB }\n",
		normalize ? "normalize" : "reject", folder, verify ? "yes" : "no"));
	bundle = bundle_of_text("/etc/postern.conf", buffer_span(&text));
	config = config_parse(bundle, &report, NULL, NULL);
	if (!config) {
		fprintf(stderr, "%s", buffer_string(&report));
		abort();
	}
	bundle_free(&bundle);
	buffer_free(&text);
	buffer_free(&report);
	return config;
}

static void open_dns(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	static struct endpoint endpoint;

	dns_server = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	ENSURE(dns_server >= 0 && bind(dns_server, (struct sockaddr *)&address, size) == 0);
	ENSURE(getsockname(dns_server, (struct sockaddr *)&address, &size) == 0);
	endpoint = endpoint_of((struct sockaddr *)&address);
	for (int i = 0; i < 4; i++) {
		configs[i]->dns_servers = &endpoint;
		configs[i]->n_dns_servers = 1;
	}
}

static bool read_rules(void *context, const char *path, struct span *content, const char **problem)
{
	(void)path, (void)problem;
	*content = span_text(context);
	return true;
}

static void open_rules(void)
{
	static const char *const paths[] = {"fuzz.rules"};
	struct err err;

	filters = trial_filter_set(NULL, 0, &err);
	ENSURE(filters);
	for (int i = 0; i < RULE_SETS; i++) {
		char *text = memory_string(rule_texts[i]);
		struct rule_source source = {read_rules, text};
		struct rule_setup setup = {
			.registry = filter_set_registry(filters), .keeps = results_keep};
		struct buffer report = BUFFER_INIT(65536);
		struct rules *rules = rules_read(&setup, paths, 1, &source, &report, NULL, NULL);

		if (!rules) {
			fprintf(stderr, "%s", buffer_string(&report));
			abort();
		}
		policies[i] = policy_new(rules);
		buffer_free(&report);
		free(text);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct err err;
	int fd = shared_create(&err);

	(void)argc;
	(void)argv;
	loop_init(&loop);
	shared = shared_map(fd, &err);
	ENSURE(shared);
	close(fd);
	ENSURE(shared_row_take(shared) == 0);
	log_init(&log_nowhere, -1, true, &loop.clock, "fuzz");
	open_listener();
	for (int i = 0; i < 4; i++)
		configs[i] = read_config(i & 1, i & 2);
	open_dns();
	open_rules();
	return 0;
}

/* --- the backend --- */

static enum fault next_fault(struct run *r)
{
	if (r->n_faults == 0)
		return FAULT_OK;
	r->n_faults--;
	return (enum fault)(*r->faults++ % FAULT_COUNT);
}

static void server_free(struct server *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	buffer_free(&s->in);
	buffer_free(&s->content);
}

static void server_send(struct server *s, const char *text)
{
	ssize_t sent = send(s->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)sent; /* postern may have closed it */
}

static void server_reset(struct server *s)
{
	struct linger linger = {1, 0};

	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	server_free(s);
}

/* The right reply, or what the plan of faults has instead. true: the right one was said. */
static bool reply(struct run *r, struct server *s, const char *code, const char *text)
{
	char line[600];

	switch (next_fault(r)) {
	case FAULT_4XX:
		server_send(s, "450 4.2.1 not now \x80\r\n");
		return false;
	case FAULT_5XX:
		server_send(s, "550-5.1.1 never\r\n550 5.1.1 ever\r\n");
		return false;
	case FAULT_421:
		server_send(s, "421 4.3.2 going down\r\n");
		server_free(s);
		return false;
	case FAULT_CLOSE:
		server_free(s);
		return false;
	case FAULT_RESET:
		server_reset(s);
		return false;
	case FAULT_GARBAGE:
		server_send(s, "garbage \x01\r\n");
		return false;
	case FAULT_SILENCE:
		return false;
	case FAULT_CUT:
		snprintf(line, sizeof(line), "%.2s", code);
		server_send(s, line);
		loop_turn(&loop, false);
		snprintf(line, sizeof(line), "%s %s\r\n", code + 2, text);
		break;
	case FAULT_LINES:
		snprintf(line, sizeof(line), "%s-%s\r\n%s-\r\n%s %s\r\n", code, text, code, code,
			text);
		break;
	case FAULT_OK:
	case FAULT_COUNT:
		snprintf(line, sizeof(line), "%s %s\r\n", code, text);
		break;
	}
	server_send(s, line);
	return true;
}

static void server_hello(struct run *r, struct server *s)
{
	static const char *const offers[] = {"PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES",
		"SMTPUTF8", "8BITMIME", "DSN", "SIZE 60000", "XCLIENT ADDR"};

	if (next_fault(r) > FAULT_RESET) {
		server_send(s, "502 5.5.1 what\r\n");
		return;
	}
	server_send(s, "250-inner.example.net\r\n");
	for (size_t i = 0; i < COUNT_OF(offers); i++) {
		char line[64];

		if (!(r->offers >> i & 1))
			continue;
		snprintf(line, sizeof(line), "250-%s\r\n", offers[i]);
		server_send(s, line);
	}
	server_send(s, "250 HELP\r\n");
}

/* Our own Received first, then the results where they were asked for, and never two. */
static void check_prefix(struct span content)
{
	const bool always = current->worker->config->authentication_results == AUTHRES_ALWAYS;
	struct header_field field;
	struct span body;
	unsigned n = 0;

	PROPERTY(span_starts(content, SPAN("Received: from ")));
	PROPERTY(header_next(&content, &field));
	for (bool second = true; header_next(&content, &field); second = false) {
		bool ours = authres_find(&field, &body) &&
			    authres_is_from(body, SPAN("mx.example.net"));

		PROPERTY(!always || !second || ours);
		n += ours;
	}
	PROPERTY(n <= 1);
}

/* Whole CRLF lines, our fields first. */
static void check_content(struct span content)
{
	check_prefix(content);
	PROPERTY(content.len >= 2 && memcmp(content.at + content.len - 2, "\r\n", 2) == 0);
	for (size_t i = 0; i < content.len; i++) {
		PROPERTY(content.at[i] != '\0');
		if (content.at[i] == '\r')
			PROPERTY(i + 1 < content.len && content.at[i + 1] == '\n');
		if (content.at[i] == '\n')
			PROPERTY(i > 0 && content.at[i - 1] == '\r');
	}
}

/* Where nothing is stuffed, counted, cut or mended, the client's bytes stand in the message as they
 * were. */
static void check_faithful(struct run *r, struct span content)
{
	struct span said = buffer_span(&r->said);
	size_t from = 0;

	for (size_t i = 0; i + 1 < said.len; i++) {
		struct span here = span_from(said, i);

		if (span_starts(here, SPAN("\n.")) && !span_starts(here, SPAN("\n.\r\n")))
			return;
		if (span_starts_nocase(here, SPAN("BDAT")) ||
			span_starts_nocase(here, SPAN("Authentication")) ||
			(here.at[1] == '\n' && here.at[0] != '\r'))
			return;
	}
	do {
		from += span_find(span_from(content, from), SPAN("\r\n")) + 2;
	} while (from < content.len && (content.at[from] == '\t' || content.at[from] == ' '));
	content = span_from(content, from);
	PROPERTY(content.len == 0 || span_find(said, content) < said.len);
}

static void server_takes(struct run *r, struct server *s)
{
	struct span content = buffer_span(&s->content);
	char text[64];

	check_content(content);
	if (!r->rules)
		check_faithful(r, content);
	buffer_clear(&s->content);
	s->in_data = s->bdat = s->has_rcpt = false;
	ENSURE(r->received < MESSAGES_MAX);
	snprintf(text, sizeof(text), "2.6.0 queued-%u.", r->received);
	/* Counted first: the client may hear it in the same turn. */
	r->received++;
	if (!reply(r, s, "250", text))
		r->acknowledged[r->received - 1] = true; /* it never said so: nobody may hear it */
}

static void check_command(struct span line)
{
	for (size_t i = 0; i < line.len; i++)
		PROPERTY((unsigned char)line.at[i] >= 32 && line.at[i] != 127);
	PROPERTY(line.len < 4096);
	if (span_starts(line, SPAN("RCPT TO:<"))) {
		size_t end = span_find(line, SPAN(">"));
		struct span path = span_first(line, end);

		PROPERTY(span_ends_nocase(path, SPAN("@example.com")) ||
			 span_equal_nocase(path, SPAN("RCPT TO:<postmaster")));
	}
}

static void server_command(struct run *r, struct server *s, struct span line)
{
	struct span verb = span_first(line, span_find_char(line, ' '));
	uint64_t size;

	check_command(line);
	if (span_equal(verb, SPAN("EHLO")) || span_equal(verb, SPAN("HELO"))) {
		server_hello(r, s);
	} else if (span_equal(verb, SPAN("MAIL"))) {
		PROPERTY(!s->has_rcpt);
		reply(r, s, "250", "2.1.0 sender");
	} else if (span_equal(verb, SPAN("RCPT"))) {
		s->has_rcpt |= reply(r, s, "250", "2.1.5 recipient");
	} else if (span_equal(verb, SPAN("DATA"))) {
		/* Without a recipient that was accepted an honest server refuses. */
		if (!s->has_rcpt)
			server_send(s, "554 5.5.1 no recipients\r\n");
		else
			s->in_data = reply(r, s, "354", "go on");
	} else if (span_equal(verb, SPAN("BDAT"))) {
		struct span rest = span_from(line, 5);
		struct span number = span_first(rest, span_find_char(rest, ' '));

		PROPERTY(span_number(number, UINT32_MAX, &size));
		PROPERTY(span_ends_nocase(line, SPAN(" LAST")));
		s->bdat = true;
		s->bdat_left = size;
	} else if (span_equal(verb, SPAN("RSET"))) {
		s->has_rcpt = false;
		reply(r, s, "250", "2.0.0 forgotten");
	} else {
		PROPERTY(span_equal(line, SPAN("QUIT")) || span_starts(line, SPAN("XCLIENT ")));
		reply(r, s, "221", "2.0.0 bye");
	}
}

static bool server_bdat(struct run *r, struct server *s)
{
	struct span piece = span_first(buffer_span(&s->in), (size_t)s->bdat_left);

	ENSURE(buffer_add(&s->content, piece));
	s->bdat_left -= piece.len;
	buffer_consume(&s->in, piece.len);
	if (s->bdat_left)
		return false;
	if (s->has_rcpt) {
		server_takes(r, s);
	} else {
		buffer_clear(&s->content);
		s->bdat = false;
		server_send(s, "554 5.5.1 no recipients\r\n");
	}
	return true;
}

/* A line of the content, its stuffing taken off. */
static void server_data_line(struct run *r, struct server *s, struct span line)
{
	if (span_equal(line, SPAN("."))) {
		server_takes(r, s);
		return;
	}
	if (line.len && line.at[0] == '.')
		line = span_from(line, 1);
	ENSURE(buffer_add(&s->content, line) && buffer_add(&s->content, SPAN("\r\n")));
}

static void server_look(struct run *r, struct server *s)
{
	while (s->fd >= 0) {
		struct span in = buffer_span(&s->in);
		size_t end = span_find(in, SPAN("\r\n"));
		char *line;

		if (s->bdat) {
			if (!server_bdat(r, s))
				return;
			continue;
		}
		if (end == in.len)
			return;
		line = memory_new(end + 1);
		memcpy(line, in.at, end);
		buffer_consume(&s->in, end + 2);
		if (s->in_data)
			server_data_line(r, s, span_make(line, end));
		else
			server_command(r, s, span_make(line, end));
		free(line);
	}
}

/* true: something came. */
static bool server_read(struct run *r, struct server *s)
{
	static char bytes[65536];
	ssize_t len = s->fd >= 0 ? recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT) : -1;

	if (len == 0) {
		server_free(s);
		return true;
	}
	if (len < 0)
		return false;
	ENSURE(buffer_add(&s->in, span_make(bytes, (size_t)len)));
	server_look(r, s);
	return true;
}

static bool server_accept(struct run *r)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return false;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct server *s = &r->servers[i];

		if (s->fd >= 0)
			continue;
		if (i >= r->n_servers)
			r->n_servers = i + 1;
		*s = (struct server){.fd = fd,
			.in = BUFFER_INIT(CLIENT_MAX),
			.content = BUFFER_INIT(CLIENT_MAX)};
		reply(r, s, "220", "inner.example.net ESMTP");
		return true;
	}
	close(fd);
	return true;
}

/* --- DNS --- */

/* The first letter of the name, or of the domain whose trial.h is asked for. */
static char first_letter(const char *packet)
{
	const char *name = packet + DNS_HEADER;

	return name[1] == '_' ? name[name[0] + 2] : name[1];
}

/* By the first letter of the name: h is held for ever, s fails, a and 2 have the address 127.0.0.2,
 * b a result for the header, others do not exist. */
static void dns_answer(char *packet, size_t *len)
{
	static const char address[] = "\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\x7f\0\0\2";
	static const char text[] = "\xc0\x0c\0\x10\0\1\0\0\1\x2c\0\x0d\x0c"
				   "A:trial=pass";
	char first = first_letter(packet);
	size_t end = DNS_HEADER;

	while (end < *len && packet[end])
		end += (size_t)(unsigned char)packet[end] + 1;
	end += 5;
	PROPERTY(end <= *len);
	packet[2] = (char)0x81;
	packet[3] = (char)0x80;
	memset(packet + 6, 0, 6);
	if (first == 's') {
		packet[3] |= 2;
	} else if ((first == 'a' || first == '2') && packet[end - 3] == 1) {
		packet[7] = 1;
		memcpy(packet + end, address, sizeof(address) - 1);
		end += sizeof(address) - 1;
	} else if (first == 'b' && packet[end - 3] == 16) {
		packet[7] = 1;
		memcpy(packet + end, text, sizeof(text) - 1);
		end += sizeof(text) - 1;
	} else if (first != 'a' && first != '2') {
		packet[3] |= 3;
	}
	*len = end;
}

static bool dns_read(void)
{
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);
	char packet[2048];
	ssize_t got = recvfrom(dns_server, packet, sizeof(packet) / 2, MSG_DONTWAIT,
		(struct sockaddr *)&peer, &size);
	size_t len = (size_t)got;

	if (got <= DNS_HEADER)
		return got >= 0;
	if (first_letter(packet) == 'h')
		return true;
	dns_answer(packet, &len);
	got = sendto(dns_server, packet, len, MSG_DONTWAIT, (struct sockaddr *)&peer, size);
	return true;
}

/* --- the client --- */

static bool client_read(struct run *r)
{
	char bytes[4096];
	ssize_t len = r->client >= 0 ? recv(r->client, bytes, sizeof(bytes), MSG_DONTWAIT) : -1;

	if (len <= 0)
		return false;
	ENSURE(buffer_add(&r->heard, span_make(bytes, (size_t)len)));
	return true;
}

/* A loop without any handle also says 0. */
static bool loop_has_work(void)
{
	return uv_loop_alive(&loop.uv) && uv_backend_timeout(&loop.uv) == 0;
}

/* One look at who has something, and what that leads to. true: somebody had. */
static bool turn(struct run *r)
{
	struct pollfd polled[POLLED_OTHERS + CONNECTIONS_MAX] = {
		{.fd = uv_backend_fd(&loop.uv), .events = POLLIN},
		{.fd = r->client, .events = POLLIN},
		{.fd = listener, .events = POLLIN},
		{.fd = dns_server, .events = POLLIN},
	};
	bool work = loop_has_work(), some;

	for (size_t i = 0; i < r->n_servers; i++)
		polled[POLLED_OTHERS + i] =
			(struct pollfd){.fd = r->servers[i].fd, .events = POLLIN};
	if (poll(polled, POLLED_OTHERS + (nfds_t)r->n_servers, 0) <= 0 && !work)
		return false;
	if (work || polled[0].revents)
		loop_turn(&loop, false);
	some = work || polled[0].revents || polled[2].revents;
	if (polled[1].revents)
		some |= client_read(r);
	for (size_t i = 0, n = r->n_servers; i < n; i++)
		if (polled[POLLED_OTHERS + i].revents &&
			r->servers[i].fd == polled[POLLED_OTHERS + i].fd)
			some |= server_read(r, &r->servers[i]);
	if (polled[2].revents)
		server_accept(r);
	if (polled[3].revents)
		some |= dns_read();
	return some;
}

/* Until nothing more happens by itself. */
static void settle(struct run *r)
{
	for (unsigned turns = 0; turn(r); turns++)
		PROPERTY(turns < TURNS_MAX);
}

static void advance(struct run *r, uint64_t minutes)
{
	loop.clock.offset_ms += minutes * 60000 + 1000;
	timers_run(&loop.timers);
	settle(r);
}

static void client_say(struct run *r, const uint8_t *bytes, size_t len)
{
	ENSURE(buffer_add(&r->said, span_make(bytes, len)));
	while (len && r->client >= 0) {
		ssize_t sent = send(r->client, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno != EAGAIN)
			return;
		if (sent > 0) {
			bytes += sent;
			len -= (size_t)sent;
		} else if (!turn(r)) {
			return; /* it takes no more */
		}
	}
	if (!r->one_turn)
		settle(r);
	else
		turn(r);
	r->one_turn = false;
}

static void client_close(struct run *r, bool reset)
{
	struct linger linger = {1, 0};

	if (r->client < 0)
		return;
	if (reset)
		setsockopt(r->client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(r->client);
	r->client = -1;
	settle(r);
}

static void do_event(struct run *r, enum event event)
{
	switch (event) {
	case EVENT_HALF_CLOSE:
		if (r->client >= 0)
			shutdown(r->client, SHUT_WR);
		settle(r);
		break;
	case EVENT_RESET:
		client_close(r, true);
		break;
	case EVENT_MINUTE:
		advance(r, 1);
		break;
	case EVENT_TEN_MINUTES:
		advance(r, 10);
		break;
	case EVENT_DRAIN_MESSAGES:
		worker_drain(r->worker, WORKER_DRAIN_MESSAGES);
		settle(r);
		break;
	case EVENT_DRAIN_NOW:
		worker_drain(r->worker, WORKER_DRAIN_NOW);
		settle(r);
		break;
	case EVENT_TURN:
	case EVENT_COUNT:
		r->one_turn = true;
		break;
	}
}

/* --- what the client heard --- */

static void check_acknowledged(struct run *r, struct span line)
{
	struct span mark = SPAN("queued-");
	size_t at = span_find(line, mark);
	struct span rest = span_from(line, at + mark.len);
	uint64_t number;

	if (r->rules && at == line.len) {
		PROPERTY(
			span_ends_nocase(line, SPAN(" Message accepted"))); /* discarded, or kept */
		return;
	}
	PROPERTY(at < line.len);
	PROPERTY(span_number(span_first(rest, span_find_char(rest, '.')), MESSAGES_MAX, &number));
	PROPERTY(number < r->received);
	PROPERTY(!r->acknowledged[number] || r->prdr);
	r->acknowledged[number] = true;
}

static void check_reply_line(struct span line)
{
	PROPERTY(line.len >= 4 && line.len <= 510);
	PROPERTY(line.at[0] >= '2' && line.at[0] <= '5' && ascii_is_digit(line.at[1]) &&
		 ascii_is_digit(line.at[2]));
	PROPERTY(line.at[3] == ' ' || line.at[3] == '-');
	for (size_t i = 0; i < line.len; i++)
		PROPERTY((unsigned char)line.at[i] >= 32 && line.at[i] != 127);
}

/* A reply behind 354 is to the message; so is one that names a queued message (BDAT). */
static void check_heard(struct run *r)
{
	struct span heard = buffer_span(&r->heard);
	bool after_354 = false, last = false;

	while (heard.len) {
		size_t end = span_find(heard, SPAN("\r\n"));
		struct span line = span_first(heard, end);
		bool named = line.at[0] == '2' && span_find(line, SPAN("queued-")) < line.len;

		/* A client that went before it had read all may have half a line. */
		if (end == heard.len && r->client < 0)
			return;
		PROPERTY(end < heard.len);
		PROPERTY(!last);
		check_reply_line(line);
		heard = span_from(heard, end + 2);
		if (line.at[3] == '-') {
			/* FAULT_LINES: only the last line counts. */
			continue;
		}
		r->prdr |= span_starts(line, SPAN("353 "));
		if (named || (after_354 && line.at[0] == '2' && !span_starts(line, SPAN("221"))))
			check_acknowledged(r, line);
		after_354 = span_starts(line, SPAN("354"));
		last = span_starts(line, SPAN("550 5.6.11 A message must not hold")) ||
		       span_starts(line, SPAN("421 ")) || span_starts(line, SPAN("221 "));
	}
}

/* --- one run --- */

static void start(struct run *r, uint8_t setup)
{
	static const struct endpoint local = {{IP_V4, {127, 0, 0, 1}}, 25};
	struct endpoint remote = {{IP_V4, {127, 0, 0, (uint8_t)(setup & 4 ? 1 : 2)}}, 4711};
	struct worker_setup worker = {.loop = &loop,
		.config = configs[setup & 3],
		.log = &log_nowhere,
		.shared = shared,
		.row = 0,
		.spool_dir = -1,
		.quarantine_dir = -1,
		.policy = policies[setup >> 3 & 3],
		.filters = filters};
	struct err err;
	int pair[2];

	r->rules = worker.policy;
	configs[setup & 3]->authentication_results =
		setup >> 5 & 1 ? AUTHRES_ALWAYS : AUTHRES_ON_DEMAND;
	configs[setup & 3]->conflict = (setup >> 3 & 3) == 3 ? CONFLICT_STRICTEST : CONFLICT_SPLIT;
	r->worker = worker_open(&worker, &err);
	ENSURE(r->worker);
	settle(r);
	ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
	r->client = pair[0];
	session_start(r->worker, &configs[setup & 3]->listens[0], pair[1], &remote, &local);
	settle(r);
}

static void play(struct run *r)
{
	while (r->size >= 2) {
		size_t len = r->data[0];

		r->data++;
		r->size--;
		if (len == 0) {
			do_event(r, (enum event)(r->data[0] % EVENT_COUNT));
			len = 1;
		} else {
			len = len < r->size ? len : r->size;
			client_say(r, r->data, len);
		}
		r->data += len;
		r->size -= len;
	}
}

static bool nobody_counted(void)
{
	static const _Atomic uint16_t none[SHARED_SKETCH_CELLS];
	const struct shared_row *row = &shared->rows[0];

	return memcmp((const void *)row->clients[0], (const void *)none, sizeof(none)) == 0 &&
	       memcmp((const void *)row->clients[1], (const void *)none, sizeof(none)) == 0;
}

/* What is written to the quarantine is written in a thread. */
static void await_writing(struct run *r)
{
	struct session *s = r->worker->sessions;

	while (s && s->state == SESSION_KEEP) {
		loop_turn(&loop, true);
		s = r->worker->sessions;
	}
	settle(r);
}

/* Whatever it waits for, its time comes: no session outlives that. */
static void finish(struct run *r)
{
	settle(r);
	for (int i = 0; i < 12 && r->worker->n_sessions; i++) {
		await_writing(r);
		advance(r, 11);
	}
	PROPERTY(r->worker->n_sessions == 0);
	client_read(r);
	check_heard(r);
	if (r->client >= 0)
		close(r->client);
	worker_close(&r->worker);
	for (int i = 0; i < 3; i++)
		loop_turn(&loop, false);
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		server_free(&r->servers[i]);
	while (server_accept(r))
		;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		server_free(&r->servers[i]);
	PROPERTY(shared_sessions(shared) == 0);
	PROPERTY(shared_spool_memory(shared) == 0 && shared_spool_disk(shared) == 0);
	PROPERTY(loop.timers.count == 0);
	PROPERTY(nobody_counted());
	buffer_free(&r->said);
	buffer_free(&r->heard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run r;
	uint8_t setup;

	if (size < 3)
		return 0;
	r = (struct run){.offers = data[0],
		.client = -1,
		.said = BUFFER_INIT(CLIENT_MAX),
		.heard = BUFFER_INIT(CLIENT_MAX)};
	current = &r;
	setup = data[1];
	r.n_faults = data[2] < size - 3 ? data[2] : size - 3;
	r.faults = data + 3;
	r.data = data + 3 + r.n_faults;
	r.size = size - 3 - r.n_faults;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		r.servers[i].fd = -1;
	start(&r, setup);
	play(&r);
	finish(&r);
	return 0;
}
