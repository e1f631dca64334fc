/*
 * The walk through a message's parts.
 *
 *                      empty line                 boundary of an open multipart
 *     HEADER (fields of a part) ----> BODY (its bytes) ----> HEADER of the next, or
 *                                                            nothing, behind the last (preamble,
 *                                                            epilogue: bytes of no part)
 *
 * Open multiparts are a stack of `levels`; a line that is a boundary of any of them ends what is
 * inside (RFC 2046 5.1.2), in a header section too. A message/rfc822 is no level: its header
 * section follows at once, and it ends with the multipart around it.
 *
 * A line is taken together only where it begins like a boundary; for all else the walk looks for
 * "-" behind a line end and passes what stands between on as it came. The line end before a
 * boundary belongs to the boundary, so the last one is held back (`tail`).
 *
 * A boundary line is one whose text is exactly that, but for blanks at its end. One that merely
 * begins so (which RFC 2046 allows a reader to take) is a flaw that is told: no mail program writes
 * it, and taking it would let "--a" hide what lies between two "--ab".
 *
 * Rejected: GMime's parser. It wants the whole message as a stream to pull from, builds objects
 * without bound, and follows each sender's charset (see mime_words.c, mime_decode.c).
 */
#include "lib/mail/mime.h"

#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/mail/mime_walk.h"

enum { NAME_BYTES_MAX = 1024 };

/* "content-": so much of a header line tells whether it is kept. */
enum { START_MAX = 8 };

struct mime *mime_new(
	const struct charsets *charsets, const struct mime_limits *limits, unsigned wanted)
{
	struct mime *m = memory_zeroed(sizeof(*m));

	m->charsets = charsets;
	m->limits = *limits;
	ENSURE(limits->name_bytes <= NAME_BYTES_MAX);
	m->wanted = wanted;
	m->arena = arena_new(2048);
	url_set_init(&m->urls, m->arena, limits->urls);
	m->in_header = true;
	m->header = BUFFER_INIT(limits->header_bytes);
	m->leaf.raw = BUFFER_INIT(limits->part_bytes);
	m->body = BUFFER_INIT(limits->body_bytes);
	m->text_left = limits->text_bytes;
	m->levels = memory_zeroed((limits->depth + 1) * sizeof(*m->levels));
	m->result.parts = 1;
	return m;
}

void mime_free(struct mime **mime)
{
	struct mime *m = *mime;

	if (!m)
		return;
	url_set_free(&m->urls);
	arena_free(&m->arena);
	buffer_free(&m->header);
	buffer_free(&m->leaf.raw);
	buffer_free(&m->body);
	free(m->levels);
	free(m->attachments);
	free(m);
	*mime = NULL;
}

void mime_add_flaw(struct mime *m, enum mime_flaw what)
{
	m->result.flaws |= (unsigned)what;
}

const char *mime_flaw_name(enum mime_flaw what)
{
	switch (what) {
	case MIME_TOO_MANY_PARTS:
		return "too-many-parts";
	case MIME_TOO_DEEP:
		return "too-deep";
	case MIME_HEADER_CUT:
		return "header-cut";
	case MIME_TEXT_CUT:
		return "text-cut";
	case MIME_TOO_MANY_URLS:
		return "too-many-urls";
	case MIME_BAD_BOUNDARY:
		return "bad-boundary";
	case MIME_UNCLOSED:
		return "unclosed";
	case MIME_BAD_ENCODING:
		return "bad-encoding";
	case MIME_AMBIGUOUS:
		return "ambiguous";
	case MIME_BAD_TYPE:
		return "bad-type";
	}
	return NULL;
}

/* --- boundaries --- */

static struct span without_blanks(struct span line)
{
	while (line.len && (unsigned char)line.at[line.len - 1] <= ' ')
		line.len--;
	return line;
}

/* Whether a line (without "--" in front) is the boundary, and which one; `nearly`: it begins so. */
static bool is_boundary(const struct level *level, struct span line, bool *last, bool *nearly)
{
	struct span rest;

	if (!span_starts(line, level->boundary))
		return false;
	rest = span_from(line, level->boundary.len);
	*last = span_equal(rest, SPAN("--"));
	*nearly = *nearly || (rest.len && !*last);
	return rest.len == 0 || *last;
}

/* Behind a boundary of levels[i]: all inside is over. */
static void at_boundary(struct mime *m, size_t i, bool last)
{
	struct level *level = &m->levels[i];

	mime_leaf_end(m, true);
	/* A part that is a header section alone. */
	if (m->in_header && m->header.len) {
		mime_part_begin(m);
		mime_leaf_end(m, true);
		if (m->state == WALK_OVER)
			return;
	}
	buffer_clear(&m->header);
	for (size_t k = i + 1; k < m->level_count; k++)
		if (!m->levels[k].closed)
			mime_add_flaw(m, MIME_UNCLOSED);
	m->level_count = i + 1;
	m->depth = level->depth;
	m->in_header = false;
	if (last) {
		level->closed = true;
		return;
	}
	if (level->closed)
		mime_add_flaw(m, MIME_UNCLOSED);
	if (m->result.parts >= m->limits.parts) {
		mime_add_flaw(m, MIME_TOO_MANY_PARTS);
		m->state = WALK_OVER;
		return;
	}
	m->result.parts++;
	m->in_header = true;
	m->keep_previous = false;
	m->default_message = level->digest;
}

/* The gathered line, "--..." with or without its end: a boundary, or bytes like all others. The
 * innermost counts first. */
static bool take_boundary(struct mime *m)
{
	struct span line = span_from(without_blanks(span_make(m->line, m->line_len)), 2);
	struct level *inner = &m->levels[m->level_count - 1];
	bool last, nearly = false;

	/* None was given: readers take the first line that looks like one. */
	if (!inner->boundary.at && !m->in_header && !m->leaf.open)
		inner->boundary = arena_span(m->arena, span_first(line, BOUNDARY_MAX));
	for (size_t i = m->level_count; i > 0; i--) {
		if (m->levels[i - 1].boundary.at &&
			is_boundary(&m->levels[i - 1], line, &last, &nearly)) {
			at_boundary(m, i - 1, last);
			return true;
		}
	}
	if (nearly)
		mime_add_flaw(m, MIME_BAD_BOUNDARY);
	return false;
}

/* --- lines --- */

/* The line began otherwise than a boundary, and enough of it is there to say what it is. */
static void begin_line(struct mime *m)
{
	struct span line = span_make(m->line, m->line_len);

	m->state = WALK_REST;
	if (m->in_header) {
		if (line.at[0] == ' ' || line.at[0] == '\t')
			m->keep = m->keep_previous;
		else
			m->keep = span_starts_nocase(line, SPAN("content-"));
		m->keep_previous = m->keep;
	}
}

/* Passes on what was gathered of a line. */
static void flush_line(struct mime *m)
{
	struct span line = span_make(m->line, m->line_len);

	if (m->in_header)
		mime_part_header_bytes(m, line);
	else
		mime_leaf_feed(m, line);
	m->line_len = 0;
}

static bool ends_line(const struct mime *m)
{
	return m->line_len && m->line[m->line_len - 1] == '\n';
}

/* An empty line: CRLF or LF alone. */
static bool is_empty_line(const struct mime *m)
{
	return m->line[0] == '\n' || (m->line_len == 2 && m->line[0] == '\r' && ends_line(m));
}

/* A line begins: byte by byte until it is known what it is. */
static void take_start(struct mime *m, struct span *bytes)
{
	while (bytes->len && m->state == WALK_LINE) {
		m->line[m->line_len++] = bytes->at[0];
		*bytes = span_from(*bytes, 1);
		if (m->level_count && m->line_len == 2 && m->line[0] == '-' && m->line[1] == '-') {
			m->state = WALK_CANDIDATE;
		} else if (m->in_header && is_empty_line(m)) {
			m->line_len = 0;
			mime_part_begin(m);
		} else if (ends_line(m) || m->line_len == START_MAX ||
			   (!m->in_header && m->line[m->line_len - 1] != '-')) {
			bool whole = ends_line(m);

			begin_line(m);
			flush_line(m);
			if (whole)
				m->state = WALK_LINE;
		}
	}
}

static void end_candidate(struct mime *m)
{
	m->state = WALK_LINE;
	if (take_boundary(m)) {
		m->line_len = 0;
		return;
	}
	m->keep = m->keep_previous = false;
	flush_line(m);
}

/* A line that begins with "--", gathered to its end. */
static void take_candidate(struct mime *m, struct span *bytes)
{
	size_t len = span_find_char(*bytes, '\n');
	struct span piece = span_first(*bytes, len < bytes->len ? len + 1 : len);

	piece = span_first(piece, LINE_MAX - m->line_len);
	memcpy(m->line + m->line_len, piece.at, piece.len);
	m->line_len += piece.len;
	*bytes = span_from(*bytes, piece.len);
	if (ends_line(m)) {
		end_candidate(m);
	} else if (m->line_len == LINE_MAX) {
		/* Too long: but a boundary and so many blanks would be one to some. */
		struct span line = span_make(m->line, BOUNDARY_MAX);
		bool last, nearly = false;

		for (size_t i = 0; i < m->level_count; i++)
			if (m->levels[i].boundary.at)
				(void)is_boundary(
					&m->levels[i], span_from(line, 2), &last, &nearly);
		if (nearly)
			mime_add_flaw(m, MIME_BAD_BOUNDARY);
		m->keep = m->keep_previous = false;
		m->state = WALK_REST;
		flush_line(m);
	}
}

/* Bytes up to a line that begins with '-', or all; *at_line: whether a line begins behind them. */
static size_t body_run(struct span s, bool *at_line)
{
	size_t from = 0;

	for (;;) {
		const char *dash = memchr(s.at + from, '-', s.len - from);
		size_t i;

		if (!dash)
			break;
		i = (size_t)(dash - s.at);
		if (i && s.at[i - 1] == '\n' && (i + 1 == s.len || s.at[i + 1] == '-')) {
			*at_line = true;
			return i;
		}
		from = i + 1;
	}
	*at_line = s.at[s.len - 1] == '\n';
	return s.len;
}

/* The rest of a line; in a body also all lines behind it that are no boundaries. */
static void take_rest(struct mime *m, struct span *bytes)
{
	struct span piece;
	bool at_line = false;

	if (m->in_header) {
		size_t len = span_find_char(*bytes, '\n');

		at_line = len < bytes->len;
		piece = span_first(*bytes, at_line ? len + 1 : len);
		mime_part_header_bytes(m, piece);
	} else {
		piece = *bytes;
		if (m->level_count)
			piece.len = body_run(piece, &at_line);
		mime_leaf_feed(m, piece);
	}
	*bytes = span_from(*bytes, piece.len);
	if (at_line)
		m->state = WALK_LINE;
}

void mime_feed(struct mime *m, struct span bytes)
{
	while (bytes.len) {
		switch (m->state) {
		case WALK_LINE:
			take_start(m, &bytes);
			break;
		case WALK_CANDIDATE:
			take_candidate(m, &bytes);
			break;
		case WALK_REST:
			take_rest(m, &bytes);
			break;
		case WALK_OVER:
			return;
		}
	}
}

void mime_end(struct mime *m)
{
	if (m->state == WALK_CANDIDATE) {
		end_candidate(m);
	} else if (m->state == WALK_LINE && m->line_len) {
		begin_line(m);
		flush_line(m);
	}
	/* A message that is a header section alone. */
	if (m->state != WALK_OVER && m->in_header && m->header.len)
		mime_part_begin(m);
	mime_leaf_end(m, false);
	for (size_t i = 0; i < m->level_count; i++)
		if (!m->levels[i].closed)
			mime_add_flaw(m, MIME_UNCLOSED);
	m->state = WALK_OVER;
}

const struct mime_result *mime_result(struct mime *m)
{
	m->result.attachments = m->attachments;
	m->result.urls = m->urls.urls;
	m->result.url_count = m->urls.url_count;
	m->result.domains = m->urls.domains;
	m->result.domain_count = m->urls.domain_count;
	m->result.body = buffer_span(&m->body);
	return &m->result;
}

size_t mime_memory(const struct mime *m)
{
	return sizeof(*m) + arena_size(m->arena) + m->header.capacity + m->leaf.raw.capacity +
	       m->body.capacity + (m->limits.depth + 1) * sizeof(*m->levels) +
	       m->attachment_room * sizeof(*m->attachments) + url_set_memory(&m->urls);
}
