/*
 * An automaton of seven states, and a fast way past it. A block of 64 bytes becomes five bit
 * masks; from them follows the first byte that needs the automaton: a NUL, a CR without LF behind
 * it (or at the end of the block: the next one may begin with it), an LF without CR before it, and
 * behind DATA a dot that begins a line. All before it is content as it stands and goes out whole.
 * Ordinary line ends need nothing, so lines cost nothing by themselves.
 *
 * The automaton alone decides what anything means. It holds back a CR until the byte behind it is
 * known, and takes a dot away only behind a real CRLF, as RFC 5321 4.5.2 has it: where a bare LF
 * counted as line end on one side only, a second message could be hidden (SMTP smuggling).
 *
 * Rejected: memchr for each line end. With lines of mail it is as fast, but NUL, CR and 8-bit bytes
 * take a pass each besides, and short lines bring it down to a third. Also rejected: carrying a
 * CR from block to block; it saves a byte in 64, and costs the proof that both ways agree.
 */
#include "lib/mail/dotdata.h"

#include <endian.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "lib/base/fail.h"
#include "lib/mail/dotdata_block.h"

/*
 *            CR        LF          .          other
 * LINE_START CR        (bare)      DOT*       TEXT      * behind DATA only, else TEXT
 * TEXT       CR        (bare)      TEXT       TEXT
 * AFTER_LF   CR        (bare)      TEXT       TEXT      a bare LF was made CRLF: no dot counts here
 * CR         BARE_CR   LINE_START  BARE_CR    BARE_CR
 * DOT        DOT_CR    (bare)      TEXT       TEXT
 * DOT_CR     BARE_CR   ENDED       BARE_CR    BARE_CR
 *
 * (bare): BARE_LF, or AFTER_LF where it is normalized. A NUL is a violation in each.
 */
enum state { LINE_START, TEXT, AFTER_LF, CR, DOT, DOT_CR, ENDED };

/* Where content goes. */
struct sink {
	char *at;
};

void dotdata_init(struct dotdata *d, enum dotdata_mode mode, bool normalize)
{
	*d = (struct dotdata){.mode = mode, .normalize = normalize, .state = LINE_START};
}

static void line_grew(struct dotdata *d, uint64_t count)
{
	d->line += count;
	if (d->line > d->longest_line)
		d->longest_line = d->line;
}

static void put_line_end(struct dotdata *d, struct sink *sink)
{
	*sink->at++ = '\r';
	*sink->at++ = '\n';
	d->line = 0;
}

/* A byte in LINE_START, TEXT, AFTER_LF or behind a dot that was taken away. */
static enum dotdata_status step_content(struct dotdata *d, char c, struct sink *sink)
{
	switch (c) {
	case '\0':
		return DOTDATA_NUL;
	case '\r':
		d->state = CR;
		return DOTDATA_MORE;
	case '\n':
		if (!d->normalize)
			return DOTDATA_BARE_LF;
		put_line_end(d, sink);
		d->state = AFTER_LF;
		return DOTDATA_MORE;
	default:
		if (c == '.' && d->line == 0)
			d->leading_dot = true;
		if ((unsigned char)c > 127)
			d->eight_bit = true;
		*sink->at++ = c;
		line_grew(d, 1);
		d->state = TEXT;
		return DOTDATA_MORE;
	}
}

static enum dotdata_status step(struct dotdata *d, char c, struct sink *sink)
{
	switch ((enum state)d->state) {
	case LINE_START:
		if (c == '.' && d->mode == DOTDATA_DATA) {
			d->state = DOT;
			return DOTDATA_MORE;
		}
		return step_content(d, c, sink);
	case DOT:
		if (c == '\r') {
			d->state = DOT_CR;
			return DOTDATA_MORE;
		}
		return step_content(d, c, sink);
	case TEXT:
	case AFTER_LF:
		return step_content(d, c, sink);
	case CR:
		if (c != '\n')
			return DOTDATA_BARE_CR;
		put_line_end(d, sink);
		d->state = LINE_START;
		return DOTDATA_MORE;
	case DOT_CR:
		if (c != '\n')
			return DOTDATA_BARE_CR;
		d->state = ENDED;
		return DOTDATA_END;
	case ENDED:
		break;
	}
	ENSURE(d->state < ENDED);
	return DOTDATA_MORE;
}

/* --- the fast way --- */

/* One 0x80 in each byte of word that equals the pattern's; exact, no carry between bytes. */
static uint64_t equal_bytes(uint64_t word, uint64_t pattern)
{
	const uint64_t low = 0x7f7f7f7f7f7f7f7f;
	uint64_t x = word ^ pattern;

	return ~(((x & low) + low) | x | low);
}

/* The high bits of eight bytes as eight bits. */
static uint64_t gather(uint64_t high_bits)
{
	return ((high_bits >> 7) & 0x0101010101010101) * 0x0102040810204080 >> 56;
}

static inline void masks_portable(const char *at, struct block_masks *out)
{
	const uint64_t ones = 0x0101010101010101;

	*out = (struct block_masks){.cr = 0};
	for (unsigned i = 0; i < BLOCK_SIZE; i += 8) {
		uint64_t word;

		memcpy(&word, at + i, sizeof(word));
		word = le64toh(word);
		out->cr |= gather(equal_bytes(word, ones * '\r')) << i;
		out->lf |= gather(equal_bytes(word, ones * '\n')) << i;
		out->nul |= gather(equal_bytes(word, 0)) << i;
		out->dot |= gather(equal_bytes(word, ones * '.')) << i;
		out->high |= gather(word) << i;
	}
}

void block_masks_portable(const char *at, struct block_masks *out)
{
	masks_portable(at, out);
}

#ifdef __SSE2__
/* The high bits of 64 bytes. */
static inline uint64_t high_bits(__m128i a, __m128i b, __m128i c, __m128i d)
{
	uint64_t ab = (uint64_t)(unsigned)_mm_movemask_epi8(b) << 16 |
		      (uint64_t)(unsigned)_mm_movemask_epi8(a);
	uint64_t cd = (uint64_t)(unsigned)_mm_movemask_epi8(d) << 16 |
		      (uint64_t)(unsigned)_mm_movemask_epi8(c);

	return cd << 32 | ab;
}

static inline uint64_t equal_bits(const __m128i part[4], char c)
{
	const __m128i pattern = _mm_set1_epi8(c);

	return high_bits(_mm_cmpeq_epi8(part[0], pattern), _mm_cmpeq_epi8(part[1], pattern),
		_mm_cmpeq_epi8(part[2], pattern), _mm_cmpeq_epi8(part[3], pattern));
}

/* NUL and 8-bit bytes are rare, so one question for all 64 bytes goes before each mask. */
static inline void masks_sse2(const char *at, struct block_masks *out)
{
	const __m128i zero = _mm_setzero_si128();
	__m128i part[4], least, any;

	for (unsigned i = 0; i < 4; i++)
		part[i] = _mm_loadu_si128((const __m128i *)(const void *)(at + 16 * i));
	out->cr = equal_bits(part, '\r');
	out->lf = equal_bits(part, '\n');
	out->dot = equal_bits(part, '.');
	least = _mm_min_epu8(_mm_min_epu8(part[0], part[1]), _mm_min_epu8(part[2], part[3]));
	any = _mm_or_si128(_mm_or_si128(part[0], part[1]), _mm_or_si128(part[2], part[3]));
	out->nul = _mm_movemask_epi8(_mm_cmpeq_epi8(least, zero)) ? equal_bits(part, '\0') : 0;
	out->high = _mm_movemask_epi8(any) ? high_bits(part[0], part[1], part[2], part[3]) : 0;
}

void block_masks_sse2(const char *at, struct block_masks *out)
{
	masks_sse2(at, out);
}

/* The same in half the instructions, where the processor has AVX2; asked at each call of
 * dotdata_decode. */
#define AVX2 __attribute__((target("avx2")))

AVX2 static inline uint64_t equal_bits_avx2(__m256i a, __m256i b, char c)
{
	const __m256i pattern = _mm256_set1_epi8(c);

	return (uint64_t)(unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, pattern)) << 32 |
	       (uint64_t)(unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, pattern));
}

AVX2 static inline void masks_avx2(const char *at, struct block_masks *out)
{
	const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)at);
	const __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(at + 32));

	out->cr = equal_bits_avx2(a, b, '\r');
	out->lf = equal_bits_avx2(a, b, '\n');
	out->dot = equal_bits_avx2(a, b, '.');
	out->nul = equal_bits_avx2(a, b, '\0');
	out->high = (uint64_t)(unsigned)_mm256_movemask_epi8(b) << 32 |
		    (uint64_t)(unsigned)_mm256_movemask_epi8(a);
}
#endif

static uint64_t first_bits(size_t count)
{
	return count < BLOCK_SIZE ? ((uint64_t)1 << count) - 1 : ~(uint64_t)0;
}

/* What a run of blocks keeps in registers. Places count from the start of the run. */
struct run {
	int64_t line_start; /* below 0 for a line that began before the run */
	int64_t longest;
	uint64_t dots, high;
	bool at_line_start;
};

/* Lines whose LFs are set, in the block at place; each has its CR before it. */
static inline void run_lines(struct run *run, int64_t place, uint64_t lf)
{
	int64_t length = place + __builtin_ctzll(lf) - 1 - run->line_start;

	run->longest = length > run->longest ? length : run->longest;
	/* Lines inside of one block are shorter than it: seldom the longest. */
	if (run->longest < BLOCK_SIZE - 2) {
		for (uint64_t rest = lf; rest & (rest - 1); rest &= rest - 1) {
			length = __builtin_ctzll(rest & (rest - 1)) - __builtin_ctzll(rest) - 2;
			run->longest = length > run->longest ? length : run->longest;
		}
	}
	run->line_start = place + BLOCK_SIZE - __builtin_clzll(lf);
}

/* How many of the len bytes (up to 64) in the block at place are content as they stand; the run
 * counts them. */
static inline size_t run_block(
	struct run *run, bool dots_count, int64_t place, size_t len, const struct block_masks *m)
{
	uint64_t dots = m->dot & (m->lf << 1 | run->at_line_start);
	uint64_t special = m->nul | (m->lf & ~(m->cr << 1)) | (m->cr & ~(m->lf >> 1));
	uint64_t valid;
	size_t taken;

	special |= dots_count ? dots : 0;
	taken = special ? (size_t)__builtin_ctzll(special) : BLOCK_SIZE;
	taken = taken < len ? taken : len;
	if (taken == 0)
		return 0;
	valid = first_bits(taken);
	run->dots |= dots & valid;
	run->high |= m->high & valid;
	if (m->lf & valid)
		run_lines(run, place, m->lf & valid);
	run->at_line_start = m->lf >> (taken - 1) & 1;
	return taken;
}

static void run_end(const struct run *run, size_t taken, struct dotdata *d)
{
	int64_t line = (int64_t)taken - run->line_start;

	if (taken == 0)
		return;
	d->line = (uint64_t)line;
	d->longest_line = (uint64_t)(line > run->longest ? line : run->longest);
	d->leading_dot |= run->dots != 0;
	d->eight_bit |= run->high != 0;
	d->state = run->at_line_start ? LINE_START : TEXT;
}

/* masks is known where this is inlined, so that no call is left. */
#define INLINED static inline __attribute__((always_inline))

/* Copies what is content as it stands off the front of input; the state is LINE_START or TEXT. */
INLINED size_t take_clean(struct dotdata *d, struct span input, char *out,
	void (*masks)(const char *, struct block_masks *))
{
	struct run run = {
		.line_start = -(int64_t)d->line,
		.longest = (int64_t)d->longest_line,
		.at_line_start = d->state == LINE_START,
	};
	const bool dots_count = d->mode == DOTDATA_DATA;
	size_t place = 0, taken = BLOCK_SIZE;
	struct block_masks m;

	/* 63 bytes: a CR is last, as a rule, and stands first in the next block. */
	while (input.len - place >= BLOCK_SIZE && taken >= BLOCK_SIZE - 1) {
		masks(input.at + place, &m);
		taken = run_block(&run, dots_count, (int64_t)place, BLOCK_SIZE, &m);
		/* All 64: a known size is a few instructions, and out has the room. */
		memcpy(out + place, input.at + place, BLOCK_SIZE);
		place += taken;
	}
	if (taken >= BLOCK_SIZE - 1 && place < input.len) {
		size_t left = input.len - place;
		char padded[BLOCK_SIZE];

		memset(padded, 'x', sizeof(padded));
		memcpy(padded, input.at + place, left);
		masks(padded, &m);
		taken = run_block(&run, dots_count, (int64_t)place, left, &m);
		memcpy(out + place, padded, taken);
		place += taken;
	}
	run_end(&run, place, d);
	return place;
}

INLINED enum dotdata_status decode(struct dotdata *d, struct span *input, char *out,
	size_t *written, void (*masks)(const char *, struct block_masks *))
{
	enum dotdata_status status = DOTDATA_MORE;
	struct sink sink = {out};
	struct span rest = *input;

	while (status == DOTDATA_MORE && rest.len) {
		if (d->state == TEXT || d->state == LINE_START) {
			size_t taken = take_clean(d, rest, sink.at, masks);

			sink.at += taken;
			rest = span_from(rest, taken);
			if (rest.len == 0)
				break;
		}
		status = step(d, rest.at[0], &sink);
		rest = span_from(rest, 1);
	}
	*written = (size_t)(sink.at - out);
	d->size += *written;
	*input = rest;
	return status;
}

enum dotdata_status dotdata_decode_portable(
	struct dotdata *d, struct span *input, char *out, size_t *written)
{
	return decode(d, input, out, written, masks_portable);
}

#ifdef __SSE2__
enum dotdata_status dotdata_decode_sse2(
	struct dotdata *d, struct span *input, char *out, size_t *written)
{
	return decode(d, input, out, written, masks_sse2);
}

AVX2 static enum dotdata_status decode_avx2(
	struct dotdata *d, struct span *input, char *out, size_t *written)
{
	return decode(d, input, out, written, masks_avx2);
}

enum dotdata_status dotdata_decode(
	struct dotdata *d, struct span *input, char *out, size_t *written)
{
	return __builtin_cpu_supports("avx2") ? decode_avx2(d, input, out, written)
					      : dotdata_decode_sse2(d, input, out, written);
}
#else
enum dotdata_status dotdata_decode(
	struct dotdata *d, struct span *input, char *out, size_t *written)
{
	return decode(d, input, out, written, masks_portable);
}
#endif

enum dotdata_status dotdata_finish(struct dotdata *d, char out[2], size_t *written)
{
	struct sink sink = {out};

	ENSURE(d->mode == DOTDATA_BDAT && d->state < DOT);
	*written = 0;
	if (d->state == CR)
		return DOTDATA_BARE_CR;
	if (d->state == TEXT)
		put_line_end(d, &sink);
	*written = (size_t)(sink.at - out);
	d->size += *written;
	d->state = ENDED;
	return DOTDATA_END;
}

/* --- on its way out --- */

static inline void masks_best(const char *at, struct block_masks *out)
{
#ifdef __SSE2__
	masks_sse2(at, out);
#else
	masks_portable(at, out);
#endif
}

/* Index of the first dot at or behind `at` that begins a line; content.len: none. */
static size_t find_leading_dot(struct span content, size_t at, bool at_line_start)
{
	while (content.len - at >= BLOCK_SIZE) {
		struct block_masks m;
		uint64_t dots;

		masks_best(content.at + at, &m);
		dots = m.dot & (m.lf << 1 | at_line_start);
		if (dots)
			return at + (size_t)__builtin_ctzll(dots);
		at_line_start = m.lf >> (BLOCK_SIZE - 1);
		at += BLOCK_SIZE;
	}
	for (; at < content.len; at++) {
		if (at_line_start && content.at[at] == '.')
			break;
		at_line_start = content.at[at] == '\n';
	}
	return at;
}

void dotdata_stuff(
	struct span content, bool *at_line_start, void (*emit)(void *, struct span), void *context)
{
	size_t start = 0, dot;

	if (content.len == 0)
		return;
	for (dot = find_leading_dot(content, 0, *at_line_start); dot < content.len;
		dot = find_leading_dot(content, dot + 1, false)) {
		if (dot > start)
			emit(context, span_make(content.at + start, dot - start));
		emit(context, SPAN("."));
		start = dot;
	}
	emit(context, span_from(content, start));
	*at_line_start = content.at[content.len - 1] == '\n';
}
