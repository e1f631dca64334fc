#include "tests/unit/backend_play.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/fail.h"

enum play_mode { MODE_PROXY, MODE_COMMANDS, MODE_DATA, MODE_BDAT };

struct play_session {
	struct play_server *server;
	struct play_session *next;
	unsigned number, rcpts;
	enum play_mode mode;
	uint64_t bdat_left;
	bool closing, tls, mail;
	struct buffer in, content;
	struct stream stream;
};

/* --- what it says --- */

static void session_close(struct play_session *s)
{
	if (s->closing)
		return;
	s->closing = true;
	stream_close(&s->stream);
}

static void say(struct play_session *s, struct span text)
{
	bool close = text.len && text.at[text.len - 1] == CLOSE[0];

	text.len -= close;
	if (text.len) {
		stream_write(&s->stream, text);
		stream_write(&s->stream, SPAN("\r\n"));
	}
	if (close)
		session_close(s);
}

static bool out_of_order(const struct play_session *s, enum play_step step)
{
	if (!s->server->strict)
		return false;
	return (step == STEP_mail && s->mail) || (step == STEP_rcpt && !s->mail) ||
	       ((step == STEP_data || step == STEP_end) && !s->rcpts);
}

/* Returns the first digit of what was said; 0: nothing. */
static char answer(struct play_session *s, enum play_step step)
{
	static const size_t offsets[] = {
#define X(name) offsetof(struct play_server, name),
		PLAY_STEPS(X)
#undef X
	};
	const char *script = *(const char **)(void *)((char *)s->server + offsets[step]);
	const char *made_up = s->server->improvise ? s->server->improvise(s->server, step) : NULL;
	struct span text = span_text(made_up ? made_up : script);

	if (out_of_order(s, step))
		text = SPAN("503 5.5.1 bad sequence of commands");
	else if (step == STEP_ehlo && s->tls && s->server->ehlo_tls)
		text = span_text(s->server->ehlo_tls);
	for (unsigned n = s->server->times[step]++; n && span_find_char(text, '|') < text.len; n--)
		text = span_from(text, span_find_char(text, '|') + 1);
	text = span_first(text, span_find_char(text, '|'));
	if (step == STEP_mail && text.len && text.at[0] == '2')
		s->mail = true;
	if (step == STEP_rcpt && text.len && text.at[0] == '2')
		s->rcpts++;
	say(s, text);
	return text.len ? text.at[0] : 0;
}

/* --- what it hears --- */

static void data_ended(struct play_session *s)
{
	unsigned n = s->server->lmtp_ends ? s->rcpts : 1;

	buffer_free(&s->server->content);
	s->server->content = s->content;
	s->content = BUFFER_INIT(64 << 20);
	s->server->messages++;
	s->mode = MODE_COMMANDS;
	while (n-- && !s->closing)
		s->server->end_said = answer(s, STEP_end);
	s->rcpts = 0;
	s->mail = false;
	if (s->server->on_message)
		s->server->on_message(s->server);
}

static void begin_data(struct play_session *s)
{
	buffer_clear(&s->content);
	if (s->server->deaf_in_data)
		stream_read(&s->stream, false);
}

static const struct {
	const char *verb;
	enum play_step step;
} verbs[] = {
	{"EHLO", STEP_ehlo},
	{"LHLO", STEP_ehlo},
	{"HELO", STEP_helo},
	{"STARTTLS", STEP_starttls},
	{"XCLIENT", STEP_xclient},
	{"XFORWARD", STEP_xforward},
	{"MAIL", STEP_mail},
	{"RCPT", STEP_rcpt},
	{"DATA", STEP_data},
	{"BDAT", STEP_bdat},
	{"RSET", STEP_rset},
	{"QUIT", STEP_quit},
};

static void hear_command(struct play_session *s, struct span line)
{
	struct play_server *server = s->server;
	enum play_step step = STEP_COUNT;
	char said;

	assert_true(buffer_print(&server->said, "%u: %.*s\n", s->number, SPAN_ARGS(line)));
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (span_starts(line, span_text(verbs[i].verb)))
			step = verbs[i].step;
	assert_int_not_equal(step, STEP_COUNT);
	if (step == STEP_rset) {
		s->rcpts = 0;
		s->mail = false;
	}
	if (step == STEP_bdat) {
		s->bdat_left = strtoull(line.at + 5, NULL, 10);
		s->mode = MODE_BDAT;
		begin_data(s);
		return;
	}
	said = answer(s, step);
	if (s->closing)
		return;
	if (step == STEP_data && said == '3') {
		s->mode = MODE_DATA;
		begin_data(s);
	} else if (step == STEP_starttls && server->tls && said == '2') {
		buffer_clear(&s->in);
		s->tls = true;
		stream_tls(&s->stream, server->tls, true, NULL);
	}
}

/* true: something was taken. */
static bool hear(struct play_session *s)
{
	struct span in = buffer_span(&s->in);
	size_t end;

	if (s->closing || in.len == 0)
		return false;
	if (s->mode == MODE_PROXY) {
		size_t size = in.len < 16 ? 16
					  : 16 + (size_t)(unsigned char)in.at[14] * 256 +
						    (unsigned char)in.at[15];

		if (in.len < size)
			return false;
		assert_true(buffer_add(&s->server->proxy_header, span_first(in, size)));
		buffer_consume(&s->in, size);
		s->mode = MODE_COMMANDS;
		answer(s, STEP_greeting);
		return true;
	}
	if (s->mode == MODE_BDAT) {
		size_t taken = in.len < s->bdat_left ? in.len : s->bdat_left;

		assert_true(buffer_add(&s->content, span_first(in, taken)));
		buffer_consume(&s->in, taken);
		s->bdat_left -= taken;
		if (s->bdat_left == 0)
			data_ended(s);
		return true;
	}
	end = span_find(in, SPAN("\r\n"));
	if (end == in.len)
		return false;
	if (s->mode == MODE_DATA) {
		bool last = end == 1 && in.at[0] == '.';

		if (!last)
			assert_true(buffer_add(&s->content, span_first(in, end + 2)));
		buffer_consume(&s->in, end + 2);
		if (last)
			data_ended(s);
		return true;
	}
	hear_command(s, span_first(in, end));
	if (s->in.len >= end + 2)
		buffer_consume(&s->in, end + 2);
	return true;
}

static void on_data(void *context, struct span bytes)
{
	struct play_session *s = context;

	assert_true(buffer_add(&s->in, bytes));
	while (hear(s))
		;
}

static void on_end(void *context, enum stream_end end, const char *detail)
{
	(void)end;
	(void)detail;
	session_close(context);
}

static void on_tls(void *context)
{
	(void)context;
}

static void on_closed(void *context)
{
	struct play_session *s = context;
	struct play_session **at = &s->server->sessions;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->server->open--;
	buffer_free(&s->in);
	buffer_free(&s->content);
	free(s);
}

static const struct stream_handler handler = {
	.on_data = on_data, .on_end = on_end, .on_tls = on_tls, .on_closed = on_closed};

static void on_accept(uv_poll_t *poll, int status, int events)
{
	struct play_server *server = poll->data;
	int fd = accept4(server->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct play_session *s;
	int one = 1;

	(void)events;
	assert_int_equal(status, 0);
	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s = memory_zeroed(sizeof(*s));
	s->server = server;
	s->in = BUFFER_INIT(64 << 20);
	s->content = BUFFER_INIT(64 << 20);
	s->next = server->sessions;
	server->sessions = s;
	s->number = ++server->connections;
	server->open++;
	stream_open(&s->stream, &server->play->loop, fd, &handler, s);
	stream_read(&s->stream, true);
	if (server->proxy)
		s->mode = MODE_PROXY;
	else {
		s->mode = MODE_COMMANDS;
		answer(s, STEP_greeting);
	}
}

/* --- the servers --- */

static void watch(struct play_server *server)
{
	uv_poll_init(&server->play->loop.uv, &server->poll, server->fd);
	server->poll.data = server;
	uv_poll_start(&server->poll, UV_READABLE, on_accept);
}

static void start_unix(struct play_server *server)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	strcpy(address.sun_path, server->unix_path);
	server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server->fd, 64), 0);
	watch(server);
}

void play_start(struct play_server *server)
{
	struct sockaddr_storage address;
	socklen_t size;
	int one = 1;

	if (server->unix_path[0]) {
		start_unix(server);
		return;
	}
	server->endpoint.ip = (struct ip){.family = IP_V4, .bytes = {127, 0, 0, 1}};
	size = endpoint_sockaddr(&server->endpoint, &address);
	server->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(server->fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(server->fd, 64), 0);
	size = sizeof(address);
	getsockname(server->fd, (struct sockaddr *)&address, &size);
	server->endpoint = endpoint_of((struct sockaddr *)&address);
	watch(server);
}

static void stop_listening(struct play_server *server)
{
	if (server->fd < 0)
		return;
	uv_close((uv_handle_t *)&server->poll, NULL);
	close(server->fd);
	server->fd = -1;
	play_rest(server->play);
}

static bool any_closing(const struct play_server *server)
{
	const struct play_session *s = server->sessions;

	while (s && !s->closing)
		s = s->next;
	return s != NULL;
}

void play_hang_up(struct play_server *server)
{
	for (struct play_session *s = server->sessions; s; s = s->next)
		session_close(s);
	PLAY_UNTIL(server->play, !any_closing(server));
}

void play_stop(struct play_server *server)
{
	stop_listening(server);
	play_hang_up(server);
}

void play_listen(struct play_server *server)
{
	server->deaf_in_data = false;
	for (struct play_session *s = server->sessions; s; s = s->next)
		stream_read(&s->stream, true);
}

void play_speak(struct play_server *server, const char *text)
{
	for (struct play_session *s = server->sessions; s; s = s->next)
		stream_write(&s->stream, span_text(text));
}

static struct span pem_of(BIO *bio)
{
	char *at;
	long len = BIO_get_mem_data(bio, &at);

	return span_make(at, (size_t)len);
}

void play_tls(struct play_server *server)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	BIO *chain_pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_mem());
	struct tls_identity identity = {.name = "test"};
	struct err err;

	X509_NAME_add_entry_by_txt(
		name, "CN", MBSTRING_ASC, (const unsigned char *)"backend.test", -1, -1, 0);
	X509_set_issuer_name(certificate, name);
	X509_set_pubkey(certificate, key);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_sign(certificate, key, EVP_sha256());
	PEM_write_bio_X509(chain_pem, certificate);
	PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL);
	identity.chain = pem_of(chain_pem);
	identity.key = pem_of(key_pem);
	server->tls = tls_context_server(&identity, 1, TLS1_2_VERSION, NULL, &err);
	assert_non_null(server->tls);
	BIO_free(chain_pem);
	BIO_free(key_pem);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

void play_assert_delivery(const struct play *play, enum delivery_outcome outcome, unsigned code,
	const char *part, const char *file, int line)
{
	const struct delivery *d = &play->delivery;
	char said[3000];

	snprintf(said, sizeof(said), "%u %s %.*s", d->reply.code, d->reply.enhanced,
		SPAN_ARGS(d->reply.text));
	if (d->outcome == outcome && d->reply.code == code && strstr(said, part))
		return;
	print_error("%s:%d: outcome %d: %s\n", file, line, (int)d->outcome, said);
	fail();
}

unsigned play_count(const char *text, const char *part)
{
	unsigned n = 0;

	for (text = strstr(text, part); text; text = strstr(text + 1, part))
		n++;
	return n;
}

const char *play_said(struct play_server *server)
{
	return buffer_string(&server->said);
}

/* --- the stage --- */

static void on_beat(uv_timer_t *beat)
{
	(void)beat;
}

static void server_new(struct play *play, struct play_server *server)
{
	*server = (struct play_server){
		.play = play,
		.fd = -1,
		.greeting = "220 backend.test ESMTP",
		.ehlo = "250-backend.test\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250 8BITMIME",
		.helo = "250 backend.test",
		.starttls = "220 go on",
		.xclient = "220 backend.test ESMTP",
		.xforward = "250 ok",
		.mail = "250 2.1.0 sender ok",
		.rcpt = "250 2.1.5 recipient ok",
		.data = "354 go on",
		.bdat = "250 2.6.0 taken",
		.end = "250 2.0.0 queued as 4711",
		.rset = "250 flushed",
		.quit = "221 bye" CLOSE,
		.said = BUFFER_INIT(1 << 20),
		.content = BUFFER_INIT(64 << 20),
		.proxy_header = BUFFER_INIT(1 << 20),
	};
	play_start(server);
}

struct play *play_new(unsigned n)
{
	struct play *play = memory_zeroed(sizeof(*play));

	loop_init(&play->loop);
	uv_timer_init(&play->loop.uv, &play->beat);
	uv_timer_start(&play->beat, on_beat, 20, 20);
	play->log_fd = memfd_create("log", MFD_CLOEXEC);
	log_init(&play->log, play->log_fd, true, &play->loop.clock, "test");
	play->row = aligned_alloc(64, sizeof(*play->row));
	memset(play->row, 0, sizeof(*play->row));
	for (unsigned i = 0; i < n; i++) {
		server_new(play, &play->servers[i]);
		play->server_config[i] =
			(struct server_config){.address = i ? "server-two" : "server-one",
				.host = "127.0.0.1",
				.endpoint = play->servers[i].endpoint,
				.port = play->servers[i].endpoint.port};
	}
	play->backend = (struct backend_config){.name = "main",
		.servers = play->server_config,
		.n_servers = n,
		.tls = BACKEND_TLS_NEVER,
		.connections = 2};
	play->config.hostname = "mx.example.net";
	play->config.workers = 1;
	play->config.backends = &play->backend;
	play->config.n_backends = 1;
	play->config.timeouts.backend_connect = 30 * 1000;
	play->client = (struct client){.remote = {{.family = IP_V4, .bytes = {192, 0, 2, 7}}, 4321},
		.local = {{.family = IP_V4, .bytes = {198, 51, 100, 1}}, 25},
		.name = SPAN("client.example.org"),
		.helo = SPAN("helo.example.org"),
		.esmtp = true};
	play_address(&play->envelope.from, "sender@example.org");
	play->message.prefix = BUFFER_INIT(1 << 20);
	play->message.spool.fd = -1;
	play_recipients(play, "one@example.com", NULL);
	play_content(play, "Subject: hello\r\n\r\nbody\r\n");
	return play;
}

void play_open_unprobed(struct play *play)
{
	struct err err;

	play->backends = backends_open(&play->loop, &play->config, &play->log, play->row, &err);
	assert_non_null(play->backends);
}

void play_open(struct play *play)
{
	play_open_unprobed(play);
	for (unsigned i = 0; i < PLAY_SERVERS; i++) {
		struct play_server *server = &play->servers[i];

		if (!server->play || server->fd < 0)
			continue;
		PLAY_UNTIL(play, server->connections && server->open == 0);
		buffer_clear(&server->said);
		buffer_clear(&server->proxy_header);
		memset(server->times, 0, sizeof(server->times));
		server->connections = 0;
	}
	atomic_store(&play->row->counters[COUNT_backend_connects], 0);
}

static void server_free(struct play_server *server)
{
	if (!server->play)
		return;
	play_stop(server);
	tls_context_free(&server->tls);
	buffer_free(&server->said);
	buffer_free(&server->content);
	buffer_free(&server->proxy_header);
}

void play_free(struct play **address)
{
	struct play *play = *address;

	backend_bond_close(&play->bond);
	backends_close(&play->backends);
	for (unsigned i = 0; i < PLAY_SERVERS; i++)
		server_free(&play->servers[i]);
	play_rest(play);
	uv_close((uv_handle_t *)&play->beat, NULL);
	loop_close(&play->loop);
	log_close(&play->log);
	close(play->log_fd);
	buffer_free(&play->message.prefix);
	if (play->message.spool.fd >= 0)
		close(play->message.spool.fd);
	free(play->row);
	free(play);
	*address = NULL;
}

void play_turn(struct play *play, unsigned turns, const char *file, int line)
{
	static uint64_t began_ms;
	uint64_t now_ms = clock_now_ms(&(struct clock){0});

	if (turns == 0)
		began_ms = now_ms;
	if (now_ms - began_ms > 10000) {
		print_error("%s:%d: what is waited for does not come\nseen:\n%s", file, line,
			play_said(&play->servers[0]));
		fail();
	}
	loop_turn(&play->loop, true);
}

void play_rest(struct play *play)
{
	uint64_t began_ms = clock_now_ms(&(struct clock){0});

	for (int i = 0; i < 20 || clock_now_ms(&(struct clock){0}) - began_ms < 20; i++)
		loop_turn(&play->loop, false);
}

void play_advance(struct play *play, uint64_t ms)
{
	play->loop.clock.offset_ms += ms;
	timers_run(&play->loop.timers);
	play_rest(play);
}

/* --- what is handed over --- */

void play_address(struct address *address, const char *text)
{
	if (!text[0])
		*address = (struct address){.mailbox = SPAN("")};
	else
		assert_int_equal(address_parse(span_text(text), true, address), ADDRESS_OK);
}

void play_recipients(struct play *play, const char *first, ...)
{
	unsigned n = 0;
	va_list more;

	va_start(more, first);
	for (const char *text = first; text; text = va_arg(more, const char *)) {
		struct recipient *r = &play->recipients[n++];

		*r = (struct recipient){.next = NULL};
		play_address(&r->to, text);
		if (n > 1)
			play->recipients[n - 2].next = r;
	}
	va_end(more);
	play->envelope.recipients = play->recipients;
	play->envelope.n_recipients = n;
}

void play_content(struct play *play, const char *content)
{
	play->message.spool.memory = (char *)(uintptr_t)content;
	play->message.spool.memory_len = strlen(content);
}

static void on_delivered(struct delivery *delivery)
{
	struct play *play = delivery->context;

	play->done++;
}

static void on_checked(struct check *check)
{
	struct play *play = check->context;

	play->done++;
}

void play_deliver_start(struct play *play)
{
	play->done = 0;
	play->delivery = (struct delivery){.client = &play->client,
		.bond = &play->bond,
		.envelope = &play->envelope,
		.message = &play->message,
		.sid = SPAN("SID"),
		.timeout_ms = 600 * 1000,
		.done = on_delivered,
		.context = play};
	delivery_start(play->backends, &play->delivery);
	assert_int_equal(play->done, 0);
}

void play_deliver(struct play *play)
{
	play_deliver_start(play);
	PLAY_UNTIL(play, play->done);
	play_rest(play);
	assert_int_equal(play->done, 1);
}

bool play_check_start(struct play *play)
{
	bool now;

	play->done = 0;
	play->check = (struct check){.client = &play->client,
		.bond = &play->bond,
		.envelope = &play->envelope,
		.recipient = &play->recipients[0],
		.sid = SPAN("SID"),
		.done = on_checked,
		.context = play};
	now = check_start(play->backends, &play->check);
	assert_int_equal(play->done, 0);
	return now;
}

void play_check(struct play *play)
{
	if (play_check_start(play)) {
		play_rest(play);
		assert_int_equal(play->done, 0);
		return;
	}
	PLAY_UNTIL(play, play->done);
	play_rest(play);
	assert_int_equal(play->done, 1);
}

const char *play_log(struct play *play)
{
	static char text[64 * 1024];
	ssize_t size = pread(play->log_fd, text, sizeof(text) - 1, 0);

	text[size > 0 ? size : 0] = '\0';
	return text;
}
