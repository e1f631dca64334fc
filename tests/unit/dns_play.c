/*
 * Not a good server, a predictable one: every answer carries the whole chain of aliases, a root SOA
 * when there is nothing, the signatures that the table has for what it carries, and an OPT record
 * when it was asked with one.
 */
#include "tests/unit/dns_play.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/base/buffer.h"
#include "lib/base/fail.h"

enum {
	NAME_SIZE = 256,
	MESSAGE_MAX = 65535,
	UDP_MAX = 1232,
	ALIASES_MAX = 12,
	NEGATIVE_TTL_S = 60,
	WAIT_MAX_MS = 20000,
	BEAT_MS = 10,
	TYPE_NONE = 0,
	TYPE_CNAME = 5,
	TYPE_SOA = 6,
	TYPE_OPT = 41,
	TYPE_RRSIG = 46,
	FLAG_TC = 0x0200
};

struct line {
	char name[NAME_SIZE]; /* lower case, no dot at the end */
	unsigned type;
	uint32_t ttl_s;
	struct buffer rdata;
};

struct tally {
	char name[NAME_SIZE];
	unsigned count;
	bool faulty;
	enum dns_play_fault fault;
};

struct connection {
	uv_tcp_t tcp;
	struct dns_play *play;
	struct connection *next;
	struct buffer in;
};

/* An answer that waits. */
struct held {
	struct held *next;
	struct connection *connection; /* NULL: UDP */
	struct sockaddr_storage peer;
	struct buffer message;
};

struct dns_play {
	struct loop *loop;
	struct endpoint endpoint;
	uv_udp_t udp;
	uv_tcp_t tcp;
	uv_timer_t beat;
	unsigned open_handles;
	struct line *lines;
	size_t n_lines;
	struct tally *tallies;
	size_t n_tallies;
	unsigned count, count_tcp;
	enum dns_play_fault fault;
	struct connection *connections;
	struct held *held;
	char packet[MESSAGE_MAX];
};

/* --- the table --- */

static const struct {
	const char *name;
	unsigned type;
} types[] = {{"A", 1}, {"NS", 2}, {"CNAME", TYPE_CNAME}, {"SOA", TYPE_SOA}, {"PTR", 12}, {"MX", 15},
	{"TXT", 16}, {"AAAA", 28}, {"DS", 43}, {"RRSIG", TYPE_RRSIG}, {"TLSA", 52}, {"DNSKEY", 48}};

static unsigned type_of(struct span text)
{
	uint64_t number;

	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (span_equal(text, span_text(types[i].name)))
			return types[i].type;
	assert_true(span_starts(text, SPAN("TYPE")));
	assert_true(span_number(span_from(text, 4), 65535, &number));
	return (unsigned)number;
}

static void add(struct buffer *b, struct span bytes)
{
	assert_true(buffer_add(b, bytes));
}

static void add8(struct buffer *b, unsigned value)
{
	assert_true(buffer_add_char(b, (char)value));
}

static void add16(struct buffer *b, unsigned value)
{
	add8(b, value >> 8);
	add8(b, value & 0xff);
}

static void add32(struct buffer *b, uint32_t value)
{
	add16(b, value >> 16);
	add16(b, value & 0xffff);
}

/* One character, or \DDD, taken off the front. */
static char take_char(struct span *text)
{
	uint64_t code = 0;
	char c = text->at[0];

	if (c != '\\') {
		*text = span_from(*text, 1);
		return c;
	}
	assert_true(text->len >= 4 && span_number(span_make(text->at + 1, 3), 255, &code));
	*text = span_from(*text, 4);
	return (char)code;
}

static void add_name(struct buffer *b, struct span name)
{
	while (name.len && !span_equal(name, SPAN("."))) {
		struct buffer label = BUFFER_INIT(63);

		while (name.len && name.at[0] != '.')
			assert_true(buffer_add_char(&label, take_char(&name)));
		name = span_from(name, 1);
		add8(b, (unsigned)label.len);
		add(b, buffer_span(&label));
		buffer_free(&label);
	}
	add8(b, 0);
}

static void add_strings(struct buffer *b, struct span text)
{
	while ((text = span_trim(text)).len) {
		struct buffer string = BUFFER_INIT(255);
		bool quoted = text.at[0] == '"';

		if (quoted)
			text = span_from(text, 1);
		while (text.len && text.at[0] != (quoted ? '"' : ' '))
			assert_true(buffer_add_char(&string, take_char(&text)));
		if (quoted)
			text = span_from(text, 1);
		add8(b, (unsigned)string.len);
		add(b, buffer_span(&string));
		buffer_free(&string);
	}
}

static void add_hex(struct buffer *b, struct span text)
{
	for (; text.len >= 2; text = span_from(text, 2)) {
		char digits[3] = {text.at[0], text.at[1], '\0'}, *end;

		add8(b, (unsigned)strtoul(digits, &end, 16));
		assert_true(*end == '\0');
	}
	assert_int_equal(text.len, 0);
}

static void add_rdata(struct buffer *b, unsigned type, struct span text)
{
	uint64_t preference;
	struct ip ip;

	if (span_starts(text, SPAN("\\#"))) {
		add_hex(b, span_trim(span_from(text, 2)));
		return;
	}
	switch (type) {
	case 1:
	case 28:
		assert_true(ip_parse(text, &ip));
		add(b, span_make(ip.bytes, ip.family == IP_V4 ? 4 : 16));
		break;
	case 16:
		add_strings(b, text);
		break;
	case 15:
		assert_true(span_number(span_word(&text), 65535, &preference));
		add16(b, (unsigned)preference);
		add_name(b, text);
		break;
	case 2:
	case TYPE_CNAME:
	case 12:
		add_name(b, text);
		break;
	default:
		fail_msg("this type wants \\#: %.*s", SPAN_ARGS(text));
	}
}

static void name_copy(char out[NAME_SIZE], struct span name)
{
	if (name.len > 1 && name.at[name.len - 1] == '.')
		name.len--;
	assert_true(name.len < NAME_SIZE);
	for (size_t i = 0; i < name.len; i++)
		out[i] = ascii_lower(name.at[i]);
	out[name.len] = '\0';
}

static void add_line(struct dns_play *play, struct span text)
{
	struct line *line;
	uint64_t ttl_s;

	play->lines = memory_resize(play->lines, (play->n_lines + 1) * sizeof(*play->lines));
	line = &play->lines[play->n_lines++];
	*line = (struct line){.rdata = BUFFER_INIT(MESSAGE_MAX)};
	name_copy(line->name, span_word(&text));
	line->type = type_of(span_word(&text));
	assert_true(span_number(span_word(&text), UINT32_MAX, &ttl_s));
	line->ttl_s = (uint32_t)ttl_s;
	add_rdata(&line->rdata, line->type, span_trim(text));
}

void dns_play_zone(struct dns_play *play, const char *lines)
{
	struct span rest = span_text(lines);

	while (rest.len) {
		size_t end = span_find_char(rest, '\n');
		struct span text = span_trim(span_first(rest, end));

		if (text.len)
			add_line(play, text);
		rest = span_from(rest, end + 1);
	}
}

void dns_play_clear(struct dns_play *play)
{
	for (size_t i = 0; i < play->n_lines; i++)
		buffer_free(&play->lines[i].rdata);
	free(play->lines);
	play->lines = NULL;
	play->n_lines = 0;
}

/* --- who asked for what, and what goes wrong --- */

static struct tally *tally_find(const struct dns_play *play, const char *name)
{
	for (size_t i = 0; i < play->n_tallies; i++)
		if (strcmp(play->tallies[i].name, name) == 0)
			return &play->tallies[i];
	return NULL;
}

static struct tally *tally_of(struct dns_play *play, const char *name)
{
	struct tally *tally = tally_find(play, name);

	if (tally)
		return tally;
	play->tallies =
		memory_resize(play->tallies, (play->n_tallies + 1) * sizeof(*play->tallies));
	tally = &play->tallies[play->n_tallies++];
	*tally = (struct tally){.count = 0};
	name_copy(tally->name, span_text(name));
	return tally;
}

void dns_play_fault(struct dns_play *play, const char *name, enum dns_play_fault fault)
{
	struct tally *tally;

	if (!name) {
		play->fault = fault;
		return;
	}
	tally = tally_of(play, name);
	tally->faulty = true;
	tally->fault = fault;
}

unsigned dns_play_count(const struct dns_play *play, const char *name)
{
	const struct tally *tally;

	if (!name)
		return play->count;
	tally = tally_find(play, name);
	return tally ? tally->count : 0;
}

unsigned dns_play_count_tcp(const struct dns_play *play)
{
	return play->count_tcp;
}

/* --- answers --- */

struct question {
	unsigned id, type;
	char name[NAME_SIZE];
	struct span wire; /* the question section */
	bool edns, dnssec_ok;
};

static unsigned load16(const char *at)
{
	return (unsigned)((uint8_t)at[0] << 8 | (uint8_t)at[1]);
}

/* libunbound's own questions: one name without compression, at most an OPT record. */
static bool question_read(struct span packet, struct question *q)
{
	size_t at = 12, len = 0;

	*q = (struct question){.id = 0};
	if (packet.len < 12 || load16(packet.at + 4) != 1)
		return false;
	q->id = load16(packet.at);
	while (at < packet.len && packet.at[at]) {
		size_t label = (uint8_t)packet.at[at++];

		if (label > 63 || at + label >= packet.len || len + label + 2 > NAME_SIZE)
			return false;
		if (len)
			q->name[len++] = '.';
		for (; label; label--)
			q->name[len++] = ascii_lower(packet.at[at++]);
	}
	if (len == 0)
		q->name[0] = '.';
	if (at + 5 > packet.len)
		return false;
	q->type = load16(packet.at + at + 1);
	q->wire = span_make(packet.at + 12, at + 5 - 12);
	q->edns = load16(packet.at + 10) == 1 && at + 5 + 11 <= packet.len;
	q->dnssec_ok = q->edns && (packet.at[at + 5 + 7] & 0x80);
	return true;
}

static bool is_below(const char *name, const char *above)
{
	size_t len = strlen(name), above_len = strlen(above);

	return len > above_len && name[len - above_len - 1] == '.' &&
	       strcmp(name + len - above_len, above) == 0;
}

static bool name_exists(const struct dns_play *play, const char *name)
{
	for (size_t i = 0; i < play->n_lines; i++)
		if (strcmp(play->lines[i].name, name) == 0 || is_below(play->lines[i].name, name))
			return true;
	return false;
}

static void add_record(struct buffer *b, const struct line *line)
{
	add_name(b, span_text(line->name));
	add16(b, line->type);
	add16(b, 1);
	add32(b, line->ttl_s);
	add16(b, (unsigned)line->rdata.len);
	add(b, buffer_span(&line->rdata));
}

/* All records of the name and type, and the signatures that cover them; how many. */
static unsigned add_records(const struct dns_play *play, struct buffer *b, const struct question *q,
	const char *name, unsigned type)
{
	unsigned count = 0;

	for (size_t i = 0; i < play->n_lines; i++) {
		const struct line *line = &play->lines[i];
		bool signature = line->type == TYPE_RRSIG && line->rdata.len > 2 &&
				 load16(buffer_span(&line->rdata).at) == type;

		if (strcmp(line->name, name) != 0 ||
			!(line->type == type || (signature && q->dnssec_ok)))
			continue;
		add_record(b, line);
		count++;
	}
	return count;
}

static const char *alias_of(const struct dns_play *play, const char *name, char target[NAME_SIZE])
{
	for (size_t i = 0; i < play->n_lines; i++) {
		const struct line *line = &play->lines[i];
		struct span wire = buffer_span(&line->rdata);
		size_t len = 0;

		if (line->type != TYPE_CNAME || strcmp(line->name, name) != 0)
			continue;
		for (size_t at = 0; at < wire.len && wire.at[at];) {
			size_t label = (uint8_t)wire.at[at++];

			if (len)
				target[len++] = '.';
			for (; label; label--)
				target[len++] = ascii_lower(wire.at[at++]);
		}
		target[len] = '\0';
		return target;
	}
	return NULL;
}

static void add_soa(struct buffer *b)
{
	add_name(b, SPAN("."));
	add16(b, TYPE_SOA);
	add16(b, 1);
	add32(b, NEGATIVE_TTL_S);
	add16(b, 22);
	add_name(b, SPAN("."));
	add_name(b, SPAN("."));
	for (unsigned i = 0; i < 4; i++)
		add32(b, 1);
	add32(b, NEGATIVE_TTL_S);
}

static void add_opt(struct buffer *b, const struct question *q)
{
	add8(b, 0);
	add16(b, TYPE_OPT);
	add16(b, UDP_MAX);
	add32(b, q->dnssec_ok ? 0x8000 : 0);
	add16(b, 0);
}

static void message_begin(struct buffer *b, const struct question *q, unsigned flags,
	unsigned rcode, unsigned answers, unsigned authority)
{
	buffer_clear(b);
	add16(b, q->id);
	add16(b, 0x8180 | flags | rcode); /* QR, RD, RA */
	add16(b, 1);
	add16(b, answers);
	add16(b, authority);
	add16(b, q->edns);
	add(b, q->wire);
}

static void message_answer(const struct dns_play *play, const struct question *q, struct buffer *b)
{
	struct buffer records = BUFFER_INIT(MESSAGE_MAX);
	const char *name = q->name, *next;
	char target[2][NAME_SIZE];
	unsigned count = 0, found;
	bool exists;

	for (unsigned i = 0; i < ALIASES_MAX; i++) {
		if (q->type == TYPE_CNAME || !(next = alias_of(play, name, target[i % 2])))
			break;
		count += add_records(play, &records, q, name, TYPE_CNAME);
		name = next;
	}
	exists = name_exists(play, name);
	found = add_records(play, &records, q, name, q->type);
	message_begin(b, q, 0, exists ? 0 : 3, count + found, found == 0);
	add(b, buffer_span(&records));
	if (!found)
		add_soa(b);
	if (q->edns)
		add_opt(b, q);
	buffer_free(&records);
}

static void message_empty(
	struct buffer *b, const struct question *q, unsigned flags, unsigned rcode)
{
	message_begin(b, q, flags, rcode, 0, 0);
	if (q->edns)
		add_opt(b, q);
}

static void message_garbage(struct buffer *b, const struct question *q)
{
	message_begin(b, q, 0, 0, 7, 7);
	for (unsigned i = 0; i < 50; i++)
		add8(b, (i * 37 + 0xc5) & 0xff);
}

/* --- sending --- */

struct write {
	uv_write_t request;
	struct buffer bytes;
};

static void on_written(uv_write_t *request, int status)
{
	struct write *w = (struct write *)request;

	(void)status;
	buffer_free(&w->bytes);
	free(w);
}

static void send_message(struct dns_play *play, struct connection *connection,
	const struct sockaddr *peer, struct span message)
{
	uv_buf_t out = uv_buf_init((char *)message.at, (unsigned)message.len);
	struct write *w;

	if (!connection) {
		uv_udp_try_send(&play->udp, &out, 1, peer);
		return;
	}
	w = memory_zeroed(sizeof(*w));
	w->bytes = BUFFER_INIT(MESSAGE_MAX + 2);
	add16(&w->bytes, (unsigned)message.len);
	add(&w->bytes, message);
	out = uv_buf_init(w->bytes.data, (unsigned)w->bytes.len);
	if (uv_write(&w->request, (uv_stream_t *)&connection->tcp, &out, 1, on_written) != 0)
		on_written(&w->request, 0);
}

static void hold(struct dns_play *play, struct connection *connection, const struct sockaddr *peer,
	struct span message)
{
	struct held *held = memory_zeroed(sizeof(*held));

	held->connection = connection;
	if (peer)
		memcpy(&held->peer, peer,
			peer->sa_family == AF_INET ? sizeof(struct sockaddr_in)
						   : sizeof(struct sockaddr_in6));
	held->message = BUFFER_INIT(MESSAGE_MAX);
	add(&held->message, message);
	held->next = play->held;
	play->held = held;
}

static void held_free(struct held *held)
{
	buffer_free(&held->message);
	free(held);
}

void dns_play_release(struct dns_play *play)
{
	while (play->held) {
		struct held *held = play->held;

		play->held = held->next;
		send_message(play, held->connection, (struct sockaddr *)&held->peer,
			buffer_span(&held->message));
		held_free(held);
	}
}

static enum dns_play_fault count_question(
	struct dns_play *play, const struct question *q, const struct connection *connection)
{
	struct tally *tally = tally_of(play, q->name);

	tally->count++;
	play->count++;
	play->count_tcp += connection != NULL;
	return tally->faulty ? tally->fault : play->fault;
}

static void respond(struct dns_play *play, struct connection *connection,
	const struct sockaddr *peer, struct span packet)
{
	struct buffer message = BUFFER_INIT(MESSAGE_MAX);
	enum dns_play_fault fault;
	struct question q;

	if (!question_read(packet, &q))
		return;
	fault = count_question(play, &q, connection);
	if (fault == DNS_PLAY_SERVFAIL)
		message_empty(&message, &q, 0, 2);
	else if (fault == DNS_PLAY_REFUSED)
		message_empty(&message, &q, 0, 5);
	else if (fault == DNS_PLAY_GARBAGE)
		message_garbage(&message, &q);
	else
		message_answer(play, &q, &message);
	if (!connection && (fault == DNS_PLAY_TRUNCATE || message.len > UDP_MAX))
		message_empty(&message, &q, FLAG_TC, 0);
	if (fault == DNS_PLAY_HOLD)
		hold(play, connection, peer, buffer_span(&message));
	else if (fault != DNS_PLAY_DROP)
		send_message(play, connection, peer, buffer_span(&message));
	buffer_free(&message);
}

/* --- sockets --- */

static void on_buffer(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
	struct dns_play *play = handle->data;

	(void)size;
	*out = uv_buf_init(play->packet, sizeof(play->packet));
}

static void on_udp(uv_udp_t *udp, ssize_t size, const uv_buf_t *in, const struct sockaddr *peer,
	unsigned flags)
{
	(void)flags;
	if (size > 0 && peer)
		respond(udp->data, NULL, peer, span_make(in->base, (size_t)size));
}

static void on_connection_buffer(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
	struct connection *connection = handle->data;

	(void)size;
	*out = uv_buf_init(connection->play->packet, sizeof(connection->play->packet));
}

static void on_connection_closed(uv_handle_t *handle)
{
	struct connection *connection = handle->data;

	buffer_free(&connection->in);
	free(connection);
}

static void connection_close(struct connection *connection)
{
	struct dns_play *play = connection->play;
	struct connection **at = &play->connections;
	struct held **held = &play->held;

	while (*at != connection)
		at = &(*at)->next;
	*at = connection->next;
	while (*held) {
		struct held *one = *held;

		if (one->connection != connection) {
			held = &one->next;
			continue;
		}
		*held = one->next;
		held_free(one);
	}
	uv_close((uv_handle_t *)&connection->tcp, on_connection_closed);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *in)
{
	struct connection *connection = stream->data;
	struct span bytes;

	if (size < 0) {
		connection_close(connection);
		return;
	}
	add(&connection->in, span_make(in->base, (size_t)size));
	for (;;) {
		bytes = buffer_span(&connection->in);
		if (bytes.len < 2 || bytes.len - 2 < load16(bytes.at))
			return;
		bytes = span_make(bytes.at + 2, load16(bytes.at));
		respond(connection->play, connection, NULL, bytes);
		buffer_consume(&connection->in, bytes.len + 2);
	}
}

static void on_connect(uv_stream_t *stream, int status)
{
	struct dns_play *play = stream->data;
	struct connection *connection;

	if (status < 0)
		return;
	connection = memory_zeroed(sizeof(*connection));
	connection->play = play;
	connection->in = BUFFER_INIT(4 * MESSAGE_MAX);
	uv_tcp_init(&play->loop->uv, &connection->tcp);
	connection->tcp.data = connection;
	connection->next = play->connections;
	play->connections = connection;
	assert_int_equal(uv_accept(stream, (uv_stream_t *)&connection->tcp), 0);
	uv_read_start((uv_stream_t *)&connection->tcp, on_connection_buffer, on_read);
}

/* TCP takes a free port, and UDP the same, unless somebody has that one. */
static bool listen_at(struct dns_play *play, struct endpoint *endpoint)
{
	struct sockaddr_storage address;
	int len = sizeof(address);

	endpoint->port = 0;
	endpoint_sockaddr(endpoint, &address);
	uv_tcp_init(&play->loop->uv, &play->tcp);
	uv_udp_init(&play->loop->uv, &play->udp);
	play->tcp.data = play->udp.data = play;
	assert_int_equal(uv_tcp_bind(&play->tcp, (struct sockaddr *)&address, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&play->tcp, 64, on_connect), 0);
	assert_int_equal(uv_tcp_getsockname(&play->tcp, (struct sockaddr *)&address, &len), 0);
	*endpoint = endpoint_of((struct sockaddr *)&address);
	return uv_udp_bind(&play->udp, (struct sockaddr *)&address, 0) == 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct dns_play *play = handle->data;

	if (--play->open_handles)
		return;
	free(play->tallies);
	free(play);
}

static void close_sockets(struct dns_play *play, uv_close_cb closed)
{
	uv_close((uv_handle_t *)&play->tcp, closed);
	uv_close((uv_handle_t *)&play->udp, closed);
}

struct dns_play *dns_play_new(struct loop *loop, const char *host)
{
	struct dns_play *play = memory_zeroed(sizeof(*play));
	unsigned tries = 20;

	play->loop = loop;
	assert_true(ip_parse(span_text(host), &play->endpoint.ip));
	while (!listen_at(play, &play->endpoint)) {
		assert_true(--tries > 0);
		close_sockets(play, NULL);
		loop_turn(loop, false);
	}
	uv_timer_init(&loop->uv, &play->beat);
	play->beat.data = play;
	play->open_handles = 3;
	uv_udp_recv_start(&play->udp, on_buffer, on_udp);
	return play;
}

void dns_play_free(struct dns_play **owned)
{
	struct dns_play *play = *owned;

	*owned = NULL;
	if (!play)
		return;
	while (play->connections)
		connection_close(play->connections);
	while (play->held) {
		struct held *held = play->held;

		play->held = held->next;
		held_free(held);
	}
	dns_play_clear(play);
	close_sockets(play, on_closed);
	uv_close((uv_handle_t *)&play->beat, on_closed);
}

struct endpoint dns_play_endpoint(const struct dns_play *play)
{
	return play->endpoint;
}

/* --- waiting --- */

static void on_beat(uv_timer_t *beat)
{
	(void)beat; /* it has woken the loop */
}

void dns_play_turn(struct dns_play *play, uint64_t *since_ms, const char *file, int line)
{
	static const struct clock real;
	uint64_t now_ms = clock_now_ms(&real);

	if (*since_ms == 0)
		*since_ms = now_ms;
	if (now_ms - *since_ms > WAIT_MAX_MS)
		_fail(file, line);
	uv_timer_start(&play->beat, on_beat, BEAT_MS, 0);
	loop_turn(play->loop, true);
}

void dns_play_pass(struct dns_play *play, uint64_t ms)
{
	static const struct clock real;
	uint64_t until_ms = clock_now_ms(&real) + ms;

	DNS_PLAY_UNTIL(play, clock_now_ms(&real) >= until_ms);
}
