/*
 * Edits of the header section: exact bytes for each case, then a property over random sections and
 * edits: what no edit names goes on untouched and in order.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "lib/mail/address.h"
#include "lib/mail/header.h"
#include "policy/header_name.h"
#include "proxy/message/edit.h"

enum { TEXT_MAX = 256 * 1024 };

struct play {
	struct arena *arena;
	struct message message;
	struct edits edits;
	struct buffer out;
	bool utf8;
};

static struct message message_of(struct span content)
{
	struct message m = {.prefix = BUFFER_INIT(4096)};

	m.spool.fd = -1;
	m.spool.memory = (char *)(uintptr_t)content.at;
	m.spool.memory_len = content.len;
	return m;
}

static int open_play(void **state)
{
	struct play *p = calloc(1, sizeof(*p));

	p->arena = arena_new(1024);
	p->edits = edits_none(p->arena);
	p->out = BUFFER_INIT(TEXT_MAX);
	*state = p;
	return 0;
}

static int close_play(void **state)
{
	struct play *p = *state;

	buffer_free(&p->out);
	arena_free(&p->arena);
	free(p);
	return 0;
}

static struct span section_of(struct span content)
{
	size_t from = 0, end = header_end(content, &from);

	return end ? span_first(content, end) : content;
}

/* All that goes on; it must be as long as the message says. */
static struct span walk(const struct message *m, struct buffer *out)
{
	struct message_cursor cursor = {0};
	struct message_piece piece;

	buffer_clear(out);
	while (message_next(m, &cursor, &piece)) {
		assert_int_equal(piece.fd, -1);
		assert_true(piece.len > 0);
		assert_true(buffer_add(out, piece.memory));
	}
	assert_int_equal(out->len, message_size(m));
	return buffer_span(out);
}

static void begin(struct play *p, const char *content)
{
	p->message = message_of(span_text(content));
	p->edits = edits_none(p->arena);
}

static const char *applied(struct play *p)
{
	edits_apply(&p->edits, &p->message, p->arena, section_of(spool_memory(&p->message.spool)),
		p->utf8);
	walk(&p->message, &p->out);
	return buffer_string(&p->out);
}

#define ADD(name, value) edits_header_add(&p->edits, SPAN(name), SPAN(value))
#define SET(name, value) edits_header_set(&p->edits, SPAN(name), SPAN(value))
#define REMOVE(name)     edits_header_remove(&p->edits, SPAN(name))
#define PREFIX(text)     edits_subject_prefix(&p->edits, SPAN(text))
/* What EDITS make of content. */
#define GIVES(content, result)                                                                     \
	do {                                                                                       \
		begin(p, content);                                                                 \
		EDITS;                                                                             \
		assert_string_equal(applied(p), result);                                           \
	} while (0)

static void test_none(void **state)
{
	struct play *p = *state;

	begin(p, "A: 1\r\n\r\nbody\r\n");
	assert_true(edits_empty(&p->edits));
	assert_string_equal(applied(p), "A: 1\r\n\r\nbody\r\n");
	assert_int_equal(p->message.n_changes, 0);
	PREFIX("");
	PREFIX(" \t");
	assert_true(edits_empty(&p->edits));
}

static void test_add(void **state)
{
	struct play *p = *state;

#define EDITS (ADD("X-Spam-Score", "7.5"), ADD("X-Why", "rbl"))
	GIVES("A: 1\r\n\r\nbody\r\n", "X-Spam-Score: 7.5\r\nX-Why: rbl\r\nA: 1\r\n\r\nbody\r\n");
	GIVES("\r\nbody\r\n", "X-Spam-Score: 7.5\r\nX-Why: rbl\r\n\r\nbody\r\n");
	GIVES("", "X-Spam-Score: 7.5\r\nX-Why: rbl\r\n");
	GIVES("A: 1\r\n", "X-Spam-Score: 7.5\r\nX-Why: rbl\r\nA: 1\r\n");
	GIVES("no header at all\r\n", "X-Spam-Score: 7.5\r\nX-Why: rbl\r\nno header at all\r\n");
#undef EDITS
	assert_false(p->message.leading_dot);
	assert_false(p->message.eight_bit);
#define EDITS (ADD(".dotted", "1"), ADD("Empty", ""))
	GIVES("A: 1\r\n\r\n", ".dotted: 1\r\nEmpty:\r\nA: 1\r\n\r\n");
#undef EDITS
	assert_true(p->message.leading_dot);
}

/* Our own fields are above what is added, in a buffer of their own. */
static void test_prefix_stays_on_top(void **state)
{
	struct play *p = *state;

	begin(p, "A: 1\r\n\r\n");
	assert_true(buffer_add_text(&p->message.prefix, "Received: x\r\n"));
	ADD("B", "2");
	assert_string_equal(applied(p), "Received: x\r\nB: 2\r\nA: 1\r\n\r\n");
	buffer_free(&p->message.prefix);
}

static void test_set(void **state)
{
	struct play *p = *state;

#define EDITS SET("X-Spam", "yes")
	GIVES("A: 1\r\nB: 2\r\n\r\nbody", "A: 1\r\nB: 2\r\nX-Spam: yes\r\n\r\nbody");
	GIVES("A: 1\r\nx-spam: no\r\nB: 2\r\nX-SPAM: maybe\r\n more\r\n\r\nbody",
		"A: 1\r\nX-Spam: yes\r\nB: 2\r\n\r\nbody");
	GIVES("X-Spam \t: no\r\n\r\n", "X-Spam: yes\r\n\r\n");
	GIVES("A: 1\r\n", "A: 1\r\nX-Spam: yes\r\n");
	GIVES("\r\nbody", "X-Spam: yes\r\n\r\nbody");
	GIVES("", "X-Spam: yes\r\n");
	/* Not below what a server may take for the body. */
	GIVES("A: 1\r\nno field\r\nB: 2\r\n\r\n",
		"A: 1\r\nX-Spam: yes\r\nno field\r\nB: 2\r\n\r\n");
	GIVES("A: 1\r\nno field\r\nX-Spam: no\r\n", "A: 1\r\nno field\r\nX-Spam: yes\r\n");
	/* Not in the body. */
	GIVES("A: 1\r\n\r\nX-Spam: no\r\n", "A: 1\r\nX-Spam: yes\r\n\r\nX-Spam: no\r\n");
#undef EDITS
}

static void test_remove(void **state)
{
	struct play *p = *state;

#define EDITS REMOVE("X-Spam")
	GIVES("X-Spam: 1\r\nA: 1\r\nx-spam : 2\r\n folded\r\n\tagain\r\nB: "
	      "2\r\nX-SPAM:\r\n\r\nbody",
		"A: 1\r\nB: 2\r\n\r\nbody");
	GIVES("X-Spam: 1\r\n", "");
	GIVES("X-Spam: 1\r\n\r\n", "\r\n");
	GIVES("X-Spammer: 1\r\nX-Spa: 2\r\n\r\n", "X-Spammer: 1\r\nX-Spa: 2\r\n\r\n");
	GIVES("\r\nX-Spam: 1\r\n", "\r\nX-Spam: 1\r\n");
#undef EDITS
}

static void test_order(void **state)
{
	struct play *p = *state;

#define EDITS (REMOVE("A"), ADD("A", "new"))
	GIVES("A: 1\r\nB: 2\r\nA: 3\r\n\r\n", "A: new\r\nB: 2\r\n\r\n");
#undef EDITS
#define EDITS (ADD("A", "new"), REMOVE("A"))
	GIVES("A: 1\r\nB: 2\r\nA: 3\r\n\r\n", "B: 2\r\n\r\n");
#undef EDITS
#define EDITS (ADD("A", "x"), SET("A", "y"))
	GIVES("A: 1\r\nB: 2\r\n\r\n", "A: y\r\nB: 2\r\n\r\n");
#undef EDITS
#define EDITS (SET("A", "x"), ADD("B", "y"), SET("C", "z"), SET("A", "last"), ADD("D", "w"))
	GIVES("\r\nbody", "B: y\r\nD: w\r\nA: last\r\nC: z\r\n\r\nbody");
	GIVES("C: 1\r\n\r\nbody", "B: y\r\nD: w\r\nC: z\r\nA: last\r\n\r\nbody");
#undef EDITS
#define EDITS (SET("Subject", "neu"), PREFIX("[A]"), PREFIX("[B]"))
	GIVES("Subject: old\r\n\r\n", "Subject: [B] [A] neu\r\n\r\n");
#undef EDITS
#define EDITS (PREFIX("[A]"), REMOVE("subject"))
	GIVES("Subject: old\r\nX: 1\r\n\r\n", "X: 1\r\n\r\n");
	GIVES("X: 1\r\n\r\n", "X: 1\r\n\r\n");
#undef EDITS
}

static void test_subject(void **state)
{
	struct play *p = *state;

#define EDITS PREFIX("[SPAM] ")
	GIVES("Subject: buy\r\n\r\n", "Subject: [SPAM] buy\r\n\r\n");
	GIVES("subject \t:  buy  \r\n\r\n", "subject \t:  [SPAM] buy  \r\n\r\n");
	GIVES("Subject:buy\r\n\r\n", "Subject: [SPAM] buy\r\n\r\n");
	GIVES("Subject:\r\n\r\n", "Subject: [SPAM]\r\n\r\n");
	GIVES("Subject: \r\n\r\n", "Subject: [SPAM]\r\n\r\n");
	GIVES("Subject: \r\n \r\nA: 1\r\n\r\n", "Subject: \r\n [SPAM]\r\nA: 1\r\n\r\n");
	GIVES("Subject:\r\n =?utf-8?q?=C3=BC?=\r\n =?utf-8?q?=C3=BC?=\r\n\r\n",
		"Subject:\r\n [SPAM] =?utf-8?q?=C3=BC?=\r\n =?utf-8?q?=C3=BC?=\r\n\r\n");
	GIVES("A: 1\r\n\r\nSubject: no\r\n", "A: 1\r\nSubject: [SPAM]\r\n\r\nSubject: no\r\n");
	GIVES("\r\nbody", "Subject: [SPAM]\r\n\r\nbody");
	GIVES("Subject: [SPAM] again\r\n\r\n", "Subject: [SPAM] again\r\n\r\n");
	assert_int_equal(p->message.n_changes, 0);
	GIVES("Subject: a\r\nSubject: b\r\n\r\n", "Subject: [SPAM] a\r\nSubject: [SPAM] b\r\n\r\n");
	/* A line that was no longer than 78 bytes stays so. */
	GIVES("Subject: 6789012345678901234567890123456789012345678901234567890123456789 "
	      "12\r\n\r\n",
		"Subject: [SPAM]\r\n "
		"6789012345678901234567890123456789012345678901234567890123456789 12\r\n\r\n");
#undef EDITS
}

static void test_subject_eight_bit(void **state)
{
	struct play *p = *state;

#define EDITS PREFIX("[MÜLL]")
	GIVES("Subject: buy\r\n\r\n", "Subject: =?utf-8?q?[M=C3=9CLL]?= buy\r\n\r\n");
	assert_false(p->message.eight_bit);
	GIVES("Subject: =?utf-8?q?=C3=BC?=\r\n\r\n",
		"Subject: =?utf-8?q?[M=C3=9CLL]_?= =?utf-8?q?=C3=BC?=\r\n\r\n");
	GIVES("Subject: =?utf-8?q?[M=C3=9CLL]?= buy\r\n\r\n",
		"Subject: =?utf-8?q?[M=C3=9CLL]?= buy\r\n\r\n");
	GIVES("Subject: =?utf-8?q?[M=C3=9CLL]_?= =?utf-8?q?=C3=BC?=\r\n\r\n",
		"Subject: =?utf-8?q?[M=C3=9CLL]_?= =?utf-8?q?=C3=BC?=\r\n\r\n");
	GIVES("A: 1\r\n\r\n", "A: 1\r\nSubject: =?utf-8?q?[M=C3=9CLL]?=\r\n\r\n");
	p->utf8 = true;
	GIVES("Subject: buy\r\n\r\n", "Subject: [MÜLL] buy\r\n\r\n");
	assert_true(p->message.eight_bit);
	GIVES("Subject: [MÜLL] buy\r\n\r\n", "Subject: [MÜLL] buy\r\n\r\n");
#undef EDITS
}

/* A prefix is found again by what writes it, whatever its length. */
static void test_subject_twice(void **state)
{
	struct play *p = *state;
	struct buffer once = BUFFER_INIT(TEXT_MAX);

	for (size_t len = 2; len <= EDIT_PREFIX_MAX; len += 2) {
		char text[EDIT_PREFIX_MAX];

		for (size_t i = 0; i < len; i += 2)
			memcpy(text + i, len % 4 ? "\xc3\xbc" : "xy", 2);
		begin(p, "Subject: =?utf-8?q?=C3=BC?=\r\n\r\n");
		edits_subject_prefix(&p->edits, span_make(text, len));
		buffer_clear(&once);
		assert_true(buffer_add_text(&once, applied(p)));
		begin(p, buffer_string(&once));
		edits_subject_prefix(&p->edits, span_make(text, len));
		assert_string_equal(applied(p), buffer_string(&once));
	}
	buffer_free(&once);
}

static void test_values(void **state)
{
	struct play *p = *state;

	/* Nothing in a value begins a line, ends the section, or forges a field. */
#define EDITS ADD("A", "x\r\nBcc: y\r\n\r\nbody\x01\x7f\xc2\x85z\xff")
	GIVES("B: 1\r\n\r\n", "A: x  Bcc: y    body   z?\r\nB: 1\r\n\r\n");
#undef EDITS
}

static void test_folds(void **state)
{
	struct play *p = *state;

#define EDITS                                                                                      \
	ADD("X-Long", "one two three four five six seven eight nine ten eleven twelve thirteen "   \
		      "fourteen  fifteen sixteen seventeen eighteen nineteen")
	GIVES("", "X-Long: one two three four five six seven eight nine ten eleven twelve\r\n"
		  " thirteen fourteen  fifteen sixteen seventeen eighteen nineteen\r\n");
#undef EDITS
#define EDITS ADD("X-Utf", "Zu viele Empfänger für eine einzige Nachricht, sagt der Verwalter dazu")
	GIVES("", "X-Utf: =?utf-8?q?Zu_viele_Empf=C3=A4nger_f=C3=BCr_eine_einzige_Nachricht,_?=\r\n"
		  " =?utf-8?q?sagt_der_Verwalter_dazu?=\r\n");
	p->utf8 = true;
	GIVES("", "X-Utf: Zu viele Empfänger für eine einzige Nachricht, sagt der Verwalter\r\n"
		  " dazu\r\n");
#undef EDITS
}

/* Whatever the value, no line is longer than 998 bytes, and no character is cut in two. */
static void test_line_lengths(void **state)
{
	struct play *p = *state;
	static const char *const pieces[] = {
		"x", "\xc3\xbc", "\xf0\x9f\x93\xa7", "  ", "ab ", "=?"};

	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		for (size_t len = 1; len < 6000; len = len * 3 / 2 + 1) {
			struct buffer value = BUFFER_INIT(64 * 1024);
			struct span rest;

			while (value.len < len)
				assert_true(buffer_add_text(&value, pieces[i]));
			assert_true(buffer_add_text(&value, "y"));
			begin(p, "");
			edits_header_add(&p->edits, SPAN("X"), buffer_span(&value));
			rest = span_text(applied(p));
			while (rest.len) {
				size_t line = span_find_char(rest, '\n') + 1;
				struct span text = span_first(rest, line);

				assert_true(line <= 1000);
				assert_true(text.at[line - 2] == '\r');
				assert_true(utf8_valid(text));
				rest = span_from(rest, line);
				assert_true(
					rest.len == 0 || rest.at[0] == ' ' || rest.at[0] == '\t');
			}
			buffer_free(&value);
		}
	}
}

/* What was cut before (a forged result) is not there for edits, and stays cut. */
static void test_cut_before(void **state)
{
	struct play *p = *state;
	struct message_change cut[] = {{6, 6, SPAN_NONE}, {18, 6, SPAN_NONE}};

	begin(p, "A: 1\r\nB: 2\r\nA: 3\r\nB: 4\r\n\r\nbody");
	p->message.changes = cut;
	p->message.n_changes = 2;
	SET("B", "5");
	REMOVE("A");
	assert_string_equal(applied(p), "B: 5\r\n\r\nbody");
	assert_ptr_not_equal(p->message.changes, cut);
}

/* Content that begins with a blank has no header section of its own. */
static void test_begins_folded(void **state)
{
	struct play *p = *state;
	struct message_change line[] = {{0, 0, SPAN("\r\n")}, {10, 6, SPAN_NONE}};

	begin(p, " (folded)\r\nA: 1\r\nSubject: x\r\n\r\nbody");
	p->message.changes = line;
	p->message.n_changes = 1;
	ADD("B", "2");
	REMOVE("A");
	PREFIX("[SPAM]");
	assert_string_equal(applied(p),
		"B: 2\r\nSubject: [SPAM]\r\n\r\n (folded)\r\nA: 1\r\nSubject: x\r\n\r\nbody");
}

/* Two groups of recipients, one content. */
static void test_copies(void **state)
{
	struct play *p = *state;
	struct message other;
	struct edits edits = edits_none(p->arena);

	begin(p, "A: 1\r\n\r\n");
	other = p->message;
	ADD("B", "2");
	edits_header_remove(&edits, SPAN("A"));
	edits_apply(&edits, &other, p->arena, section_of(spool_memory(&other.spool)), false);
	assert_string_equal(applied(p), "B: 2\r\nA: 1\r\n\r\n");
	assert_true(span_equal(walk(&other, &p->out), SPAN("\r\n")));
}

static void test_equal(void **state)
{
	struct play *p = *state;
	struct edits a = edits_none(p->arena), b = edits_none(p->arena);

	assert_true(edits_equal(&a, &b));
	edits_header_add(&a, SPAN("A"), SPAN("1"));
	assert_false(edits_equal(&a, &b));
	assert_false(edits_equal(&b, &a));
	edits_header_set(&b, SPAN("A"), SPAN("1"));
	assert_false(edits_equal(&a, &b));
	b = edits_none(p->arena);
	edits_header_add(&b, SPAN("A"), SPAN(" 1\n"));
	assert_true(edits_equal(&a, &b));
	edits_subject_prefix(&a, SPAN("x"));
	edits_subject_prefix(&b, SPAN("y"));
	assert_false(edits_equal(&a, &b));
}

static void test_names(void **state)
{
	char name[HEADER_NAME_MAX + 2];

	memset(name, 'x', sizeof(name));
	assert_null(header_name_problem(HEADER_ADD, SPAN("X-Spam")));
	assert_null(header_name_problem(HEADER_ADD, span_make(name, HEADER_NAME_MAX)));
	assert_non_null(header_name_problem(HEADER_ADD, span_make(name, HEADER_NAME_MAX + 1)));
	assert_non_null(header_name_problem(HEADER_ADD, SPAN("")));
	assert_non_null(header_name_problem(HEADER_ADD, SPAN("a:b")));
	assert_non_null(header_name_problem(HEADER_ADD, SPAN("a b")));
	assert_non_null(header_name_problem(HEADER_ADD, SPAN("a\r\n")));
	assert_non_null(header_name_problem(HEADER_ADD, SPAN("\xc3\xbc")));
	for (int verb = HEADER_ADD; verb <= HEADER_REMOVE; verb++)
		assert_non_null(header_name_problem((enum header_verb)verb, SPAN("received")));
	assert_non_null(header_name_problem(HEADER_SET, SPAN("Return-Path")));
	assert_null(header_name_problem(HEADER_REMOVE, SPAN("Return-Path")));
	(void)state;
}

/* --- the property --- */

static uint64_t random_state = 20261123;

static unsigned roll(unsigned below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(random_state >> 33) % below;
}

static const char *const lines[] = {"A: 1\r\n", "a : 2\r\n", "B: x\r\n folded\r\n",
	"Subject: s\r\n", "Subject:\r\n =?utf-8?q?=C3=BC?=\r\n", "C:\r\n", "D: 8\xc3\xbc\r\n",
	"no field\r\n", "From me\r\n", "E: \xff\xfe\r\n\tx\r\n", "subject: t\r\n"};

static void make_content(struct buffer *out)
{
	unsigned count = roll(12);

	for (unsigned i = 0; i < count; i++)
		assert_true(buffer_add_text(out, lines[roll(COUNT_OF(lines))]));
	if (roll(4))
		assert_true(buffer_add_text(out, "\r\nA: body\r\nSubject: body\r\n\r\n"));
}

/* Edits of A, B, Subject and X at random. */
static void make_edits(struct play *p)
{
	static const char *const names[] = {"A", "b", "X", "Subject"};
	unsigned count = roll(6);

	for (unsigned i = 0; i < count; i++) {
		struct span name = span_text(names[roll(COUNT_OF(names))]);

		switch (roll(4)) {
		case 0:
			edits_header_add(&p->edits, name, SPAN("added"));
			break;
		case 1:
			edits_header_set(&p->edits, name, SPAN("s\xc3\xbct"));
			break;
		case 2:
			edits_header_remove(&p->edits, name);
			break;
		default:
			edits_subject_prefix(&p->edits, SPAN("[P]"));
		}
	}
}

/* The bytes of all that edits never name, one behind the other, and what is behind the section. */
static void unnamed(struct span content, struct buffer *out)
{
	struct span section = section_of(content), rest = span_from(content, section.len);
	struct header_field field;

	buffer_clear(out);
	while (header_next(&section, &field))
		if (!header_is(&field, SPAN("A")) && !header_is(&field, SPAN("B")) &&
			!header_is(&field, SPAN("X")) && !header_is(&field, SPAN("Subject")))
			assert_true(buffer_add(out, field.raw));
	assert_true(buffer_add(out, section));
	assert_true(buffer_add(out, rest));
}

static void test_property(void **state)
{
	struct play *p = *state;
	struct buffer content = BUFFER_INIT(TEXT_MAX), before = BUFFER_INIT(TEXT_MAX),
		      after = BUFFER_INIT(TEXT_MAX);
	unsigned changed = 0;

	for (int i = 0; i < 20000; i++) {
		struct span out;

		buffer_clear(&content);
		make_content(&content);
		p->message = message_of(buffer_span(&content));
		p->edits = edits_none(p->arena);
		make_edits(p);
		out = span_text(applied(p));
		unnamed(buffer_span(&content), &before);
		unnamed(out, &after);
		assert_string_equal(buffer_string(&before), buffer_string(&after));
		if (edits_empty(&p->edits))
			assert_true(span_equal(out, buffer_span(&content)));
		for (size_t c = 0, end = 0; c < p->message.n_changes; c++) {
			assert_true(p->message.changes[c].start >= end);
			end = p->message.changes[c].start + p->message.changes[c].len;
			assert_true(end <= content.len);
		}
		changed += p->message.n_changes > 0;
		arena_free(&p->arena);
		p->arena = arena_new(1024);
	}
	assert_true(changed > 10000);
	buffer_free(&content);
	buffer_free(&before);
	buffer_free(&after);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_play, close_play)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_none),
		CASE(test_add),
		CASE(test_prefix_stays_on_top),
		CASE(test_set),
		CASE(test_remove),
		CASE(test_order),
		CASE(test_subject),
		CASE(test_subject_eight_bit),
		CASE(test_subject_twice),
		CASE(test_values),
		CASE(test_folds),
		CASE(test_line_lengths),
		CASE(test_cut_before),
		CASE(test_begins_folded),
		CASE(test_copies),
		CASE(test_equal),
		CASE(test_names),
		CASE(test_property),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
