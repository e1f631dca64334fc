/*
 * The data decoder: against a reference that reads byte by byte, over random bytes and cuts, in
 * both modes and both implementations; and each known way to smuggle a second message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/mail/dotdata.h"
#include "lib/mail/dotdata_block.h"
#include "tests/unit/dotdata_reference.h"

enum { INPUT_MAX = REFERENCE_INPUT_MAX, ROUNDS = 6000 };

typedef enum dotdata_status decode_fn(struct dotdata *, struct span *, char *, size_t *);

static decode_fn *const implementations[] = {
	dotdata_decode,
	dotdata_decode_portable,
#ifdef __SSE2__
	dotdata_decode_sse2,
#endif
};

/* The same dice in each run. */
static uint32_t dice(uint32_t *seed, uint32_t sides)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed % sides;
}

/* --- the decoder, fed in pieces --- */

/* Each piece stands in memory of its own size, so that a sanitizer sees a byte too many. */
static enum dotdata_status feed(
	decode_fn *decode, struct dotdata *d, struct span piece, struct outcome *o)
{
	char *copy = malloc(piece.len ? piece.len : 1), *out = malloc(dotdata_room(piece.len));
	struct span input = span_make(copy, piece.len);
	enum dotdata_status status;
	size_t written;

	memcpy(copy, piece.at, piece.len);
	status = decode(d, &input, out, &written);
	assert_true(written <= dotdata_room(piece.len));
	assert_true(o->len + written <= sizeof(o->content));
	memcpy(o->content + o->len, out, written);
	o->len += written;
	o->consumed += piece.len - input.len;
	if (status == DOTDATA_MORE)
		assert_int_equal(input.len, 0);
	free(copy);
	free(out);
	return status;
}

static void decode_cut(decode_fn *decode, struct span in, enum dotdata_mode mode, bool normalize,
	uint32_t *seed, uint32_t piece_max, struct outcome *o)
{
	struct dotdata d;

	*o = (struct outcome){.status = DOTDATA_MORE};
	dotdata_init(&d, mode, normalize);
	while (o->status == DOTDATA_MORE && o->consumed < in.len) {
		struct span rest = span_from(in, o->consumed);

		o->status = feed(decode, &d, span_first(rest, 1 + dice(seed, piece_max)), o);
	}
	assert_int_equal(d.size, o->len);
	o->longest_line = d.longest_line;
	o->line = d.line;
	o->leading_dot = d.leading_dot;
	o->eight_bit = d.eight_bit;
}

static void assert_same(const struct outcome *expected, const struct outcome *got)
{
	assert_int_equal(expected->status, got->status);
	assert_int_equal(expected->consumed, got->consumed);
	assert_int_equal(expected->len, got->len);
	assert_memory_equal(expected->content, got->content, expected->len);
	assert_int_equal(expected->longest_line, got->longest_line);
	assert_int_equal(expected->line, got->line);
	assert_int_equal(expected->leading_dot, got->leading_dot);
	assert_int_equal(expected->eight_bit, got->eight_bit);
}

/* Letters in runs, so that whole blocks are clean, between the bytes that matter. */
static size_t random_input(char *in, uint32_t *seed)
{
	static const char *const pieces[] = {"\r\n", "\r\n.", "\r\n..", "\n", "\r", ".", "\r\n.\r",
		"\n.\r\n", "\xe4", "\r\r\n", "\r\n\r\n"};
	uint32_t clean = dice(seed, 90), wildness = 2 + dice(seed, 40);
	size_t len = 0, max = 1 + dice(seed, INPUT_MAX - 1);

	while (len < max) {
		uint32_t count = dice(seed, clean + 1);

		while (count-- && len < max)
			in[len++] = (char)('a' + dice(seed, 26));
		if (dice(seed, wildness) == 0) {
			const char *piece = pieces[dice(seed, COUNT_OF(pieces))];

			while (*piece && len < max)
				in[len++] = *piece++;
			if (dice(seed, 20) == 0 && len < max)
				in[len++] = '\0';
		} else if (len + 2 < max) {
			in[len++] = '\r';
			in[len++] = '\n';
		}
	}
	return len;
}

static void test_agrees_with_reference(void **state)
{
	struct outcome expected, got;
	uint32_t seed = 20260131;
	char in[INPUT_MAX];

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct span input = span_make(in, random_input(in, &seed));
		enum dotdata_mode mode = dice(&seed, 2) ? DOTDATA_DATA : DOTDATA_BDAT;
		bool normalize = dice(&seed, 2);

		reference_decode(input, mode, normalize, &expected);
		for (size_t i = 0; i < COUNT_OF(implementations); i++) {
			decode_fn *decode = implementations[i];

			decode_cut(decode, input, mode, normalize, &seed, 1, &got);
			assert_same(&expected, &got);
			decode_cut(decode, input, mode, normalize, &seed, 100, &got);
			assert_same(&expected, &got);
			decode_cut(decode, input, mode, normalize, &seed, 1000000, &got);
			assert_same(&expected, &got);
		}
	}
}

/* Only the bytes that matter, all words of up to seven of them. */
static void test_agrees_on_all_short_inputs(void **state)
{
	static const char alphabet[] = {'\r', '\n', '.', '\0', 'x'};
	struct outcome expected, got;
	uint32_t seed = 7;

	(void)state;
	for (size_t len = 1; len <= 7; len++) {
		size_t words = 1;

		for (size_t i = 0; i < len; i++)
			words *= sizeof(alphabet);
		for (size_t word = 0; word < words; word++) {
			char in[7];
			size_t number = word;

			for (size_t i = 0; i < len; i++, number /= sizeof(alphabet))
				in[i] = alphabet[number % sizeof(alphabet)];
			for (int way = 0; way < 4; way++) {
				enum dotdata_mode mode = way & 1 ? DOTDATA_DATA : DOTDATA_BDAT;
				bool normalize = way & 2;

				reference_decode(span_make(in, len), mode, normalize, &expected);
				decode_cut(dotdata_decode, span_make(in, len), mode, normalize,
					&seed, 4, &got);
				assert_same(&expected, &got);
			}
		}
	}
}

#ifdef __SSE2__
static void test_masks_agree(void **state)
{
	uint32_t seed = 99;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct block_masks a, b;
		char block[BLOCK_SIZE];

		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = dice(&seed, 3) ? "\r\n.\0\x80\xff/\x0b\x0c\x0e"[dice(&seed, 10)]
						  : (char)dice(&seed, 256);
		block_masks_sse2(block, &a);
		block_masks_portable(block, &b);
		assert_memory_equal(&a, &b, sizeof(a));
	}
}
#endif

/* --- smuggling --- */

struct smuggle {
	struct span ending; /* between two parts of what has to stay one message */
	enum dotdata_status strict;
	bool normalized; /* content in normalize mode; else a violation there too */
};

static const struct smuggle endings[] = {
	{SPAN("\n.\n"), DOTDATA_BARE_LF, true},
	{SPAN("\n.\r\n"), DOTDATA_BARE_LF, true},
	{SPAN("\r\n.\n"), DOTDATA_BARE_LF, true},
	{SPAN("\n\n.\n\n"), DOTDATA_BARE_LF, true},
	{SPAN("\n\r\n.\n"), DOTDATA_BARE_LF, true},
	{SPAN("\r\n\n.\r\n"), DOTDATA_BARE_LF, true},
	{SPAN("\r.\r"), DOTDATA_BARE_CR, false},
	{SPAN("\r.\r\n"), DOTDATA_BARE_CR, false},
	{SPAN("\r\n.\r"), DOTDATA_BARE_CR, false},
	{SPAN("\r.\n"), DOTDATA_BARE_CR, false},
	{SPAN("\n.\r"), DOTDATA_BARE_LF, false},
	{SPAN("\r\r\n.\r\r\n"), DOTDATA_BARE_CR, false},
	{SPAN("\r\n.\r\r\n"), DOTDATA_BARE_CR, false},
	{SPAN("\r\r\n.\r\n"), DOTDATA_BARE_CR, false},
	{SPAN("\r\n\0.\r\n"), DOTDATA_NUL, false},
	{SPAN("\r\n.\0\r\n"), DOTDATA_NUL, false},
	{SPAN("\r\0\n.\r\n"), DOTDATA_BARE_CR, false},
	{SPAN("\0\r\n.\r\n"), DOTDATA_NUL, false},
	{SPAN("\r\n.\r\0\n"), DOTDATA_BARE_CR, false},
	{SPAN("\n.\n\r\n"), DOTDATA_BARE_LF, true},
};

/* A message with the ending behind so many letters, and commands behind it. */
static struct span smuggled(const struct smuggle *ending, size_t letters, char *out, size_t size)
{
	static const struct span rest =
		SPAN("MAIL FROM:<evil@example.com>\r\nDATA\r\nsecond\r\n.\r\n");
	size_t len = letters + ending->ending.len + rest.len;

	assert_true(len <= size);
	memset(out, 'x', letters);
	memcpy(out + letters, ending->ending.at, ending->ending.len);
	memcpy(out + letters + ending->ending.len, rest.at, rest.len);
	return span_make(out, len);
}

static void try_smuggling(const struct smuggle *ending, struct span input, uint32_t pieces)
{
	struct outcome o;
	uint32_t seed = 5;

	decode_cut(dotdata_decode, input, DOTDATA_DATA, false, &seed, pieces, &o);
	assert_int_equal(o.status, ending->strict);
	decode_cut(dotdata_decode, input, DOTDATA_DATA, true, &seed, pieces, &o);
	if (ending->normalized) {
		assert_int_equal(o.status, DOTDATA_END);
		assert_int_equal(o.consumed, input.len);
	} else {
		assert_int_not_equal(o.status, DOTDATA_END);
		assert_int_not_equal(o.status, DOTDATA_MORE);
	}
}

/* At each place in a block, in pieces of one byte, of a few, and whole. */
static void test_smuggling(void **state)
{
	char in[256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(endings); i++) {
		for (size_t letters = 1; letters <= 2 * BLOCK_SIZE; letters++) {
			struct span input = smuggled(&endings[i], letters, in, sizeof(in));

			try_smuggling(&endings[i], input, 1);
			try_smuggling(&endings[i], input, 9);
			try_smuggling(&endings[i], input, 1000000);
		}
	}
}

/* --- single conversations --- */

struct talk {
	enum dotdata_mode mode;
	bool normalize;
	const char *in, *content, *rest; /* rest: not taken */
	enum dotdata_status status;
};

static const struct talk talks[] = {
	{DOTDATA_DATA, false, ".\r\n", "", "", DOTDATA_END},
	{DOTDATA_DATA, false, ".\r\nQUIT\r\n", "", "QUIT\r\n", DOTDATA_END},
	{DOTDATA_DATA, false, "a\r\n.\r\nRSET\r\n", "a\r\n", "RSET\r\n", DOTDATA_END},
	{DOTDATA_DATA, false, "..\r\n.\r\n", ".\r\n", "", DOTDATA_END},
	{DOTDATA_DATA, false, ".a\r\n...b\r\n.\r\n", "a\r\n..b\r\n", "", DOTDATA_END},
	{DOTDATA_DATA, false, "a.\r\nb.b\r\n.\r\n", "a.\r\nb.b\r\n", "", DOTDATA_END},
	{DOTDATA_DATA, false, "\r\n.\r\n", "\r\n", "", DOTDATA_END},
	{DOTDATA_DATA, false, "a\r\n.\r", "a\r\n", "", DOTDATA_MORE},
	{DOTDATA_DATA, false, "a\r", "a", "", DOTDATA_MORE},
	{DOTDATA_DATA, false, "", "", "", DOTDATA_MORE},
	{DOTDATA_DATA, true, "a\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", "", DOTDATA_END},
	{DOTDATA_DATA, true, "a\n..b\r\n.\r\n", "a\r\n..b\r\n", "", DOTDATA_END},
	{DOTDATA_DATA, true, "a\r\n.\nb\r\n.\r\n", "a\r\n\r\nb\r\n", "", DOTDATA_END},
	{DOTDATA_BDAT, false, ".\r\n..\r\n", ".\r\n..\r\n", "", DOTDATA_MORE},
	{DOTDATA_BDAT, true, "a\n.\n", "a\r\n.\r\n", "", DOTDATA_MORE},
	{DOTDATA_BDAT, false, "a\nb", "a", "b", DOTDATA_BARE_LF},
	{DOTDATA_BDAT, true, "a\rb", "a", "", DOTDATA_BARE_CR},
};

static void test_talks(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(talks); i++) {
		const struct talk *talk = &talks[i];
		struct span input = span_text(talk->in);
		struct dotdata d;
		size_t written;
		char out[256];

		dotdata_init(&d, talk->mode, talk->normalize);
		assert_int_equal(dotdata_decode(&d, &input, out, &written), talk->status);
		assert_int_equal(written, strlen(talk->content));
		assert_memory_equal(out, talk->content, written);
		assert_int_equal(input.len, strlen(talk->rest));
	}
}

static void test_facts(void **state)
{
	struct span input = SPAN("longest line\r\n..dot\r\nsh\xc3\xb6rt\r\n.\r\n");
	struct dotdata d;
	size_t written;
	char out[256];

	(void)state;
	dotdata_init(&d, DOTDATA_DATA, false);
	assert_int_equal(dotdata_decode(&d, &input, out, &written), DOTDATA_END);
	assert_int_equal(d.longest_line, 12);
	assert_int_equal(d.size, written);
	assert_true(d.leading_dot);
	assert_true(d.eight_bit);
}

/* A line longer than any piece, ended in the middle of a block. */
static void test_long_line(void **state)
{
	enum { LONG = 100003 };
	char *line = malloc(LONG), *out = malloc(dotdata_room(LONG));
	struct dotdata d;
	size_t written;

	(void)state;
	memset(line, 'x', LONG);
	memcpy(line + LONG - 5, "\r\n.\r\n", 5);
	dotdata_init(&d, DOTDATA_DATA, false);
	for (size_t at = 0; at < LONG; at += 1000) {
		struct span piece = span_first(span_make(line + at, LONG - at), 1000);
		enum dotdata_status status = dotdata_decode(&d, &piece, out, &written);

		assert_int_equal(status, at + 1000 < LONG ? DOTDATA_MORE : DOTDATA_END);
	}
	assert_int_equal(d.longest_line, LONG - 5);
	assert_int_equal(d.size, LONG - 3);
	free(line);
	free(out);
}

static void test_finish(void **state)
{
	static const struct {
		const char *in;
		enum dotdata_status status;
		size_t added;
	} cases[] = {
		{"", DOTDATA_END, 0},
		{"a\r\n", DOTDATA_END, 0},
		{"a", DOTDATA_END, 2},
		{"a\r\n.", DOTDATA_END, 2},
		{"a\n", DOTDATA_END, 0},
		{"a\r", DOTDATA_BARE_CR, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct span input = span_text(cases[i].in);
		char out[64], end[2];
		struct dotdata d;
		size_t written, added;

		dotdata_init(&d, DOTDATA_BDAT, true);
		assert_int_equal(dotdata_decode(&d, &input, out, &written), DOTDATA_MORE);
		assert_int_equal(dotdata_finish(&d, end, &added), cases[i].status);
		assert_int_equal(added, cases[i].added);
		assert_memory_equal(end, "\r\n", added);
		assert_int_equal(d.size, written + added);
	}
}

/* --- stuffing --- */

static void collect(void *context, struct span piece)
{
	struct outcome *o = context;

	assert_true(o->len + piece.len <= sizeof(o->content));
	memcpy(o->content + o->len, piece.at, piece.len);
	o->len += piece.len;
}

/* What is stuffed, sent and decoded again is what it was, however it was cut. */
static void test_stuff_round_trip(void **state)
{
	uint32_t seed = 4711;
	char in[INPUT_MAX];

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct outcome content, stuffed = {.len = 0}, again;
		struct span input = span_make(in, random_input(in, &seed)), rest;
		bool at_line_start = true;

		reference_decode(input, DOTDATA_BDAT, true, &content);
		if (content.len + 2 > INPUT_MAX || content.line)
			continue;
		rest = span_make(content.content, content.len);
		while (rest.len) {
			struct span piece = span_first(rest, 1 + dice(&seed, 200));

			dotdata_stuff(piece, &at_line_start, collect, &stuffed);
			rest = span_from(rest, piece.len);
		}
		assert_true(at_line_start);
		collect(&stuffed, SPAN(".\r\n"));
		if (stuffed.len > INPUT_MAX)
			continue;
		reference_decode(
			span_make(stuffed.content, stuffed.len), DOTDATA_DATA, false, &again);
		assert_int_equal(again.status, DOTDATA_END);
		assert_int_equal(again.consumed, stuffed.len);
		assert_int_equal(again.len, content.len);
		assert_memory_equal(again.content, content.content, content.len);
		if (!content.leading_dot)
			assert_int_equal(stuffed.len, content.len + 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agrees_with_reference),
		cmocka_unit_test(test_agrees_on_all_short_inputs),
#ifdef __SSE2__
		cmocka_unit_test(test_masks_agree),
#endif
		cmocka_unit_test(test_smuggling),
		cmocka_unit_test(test_talks),
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_finish),
		cmocka_unit_test(test_stuff_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
