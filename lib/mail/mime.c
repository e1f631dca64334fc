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

#include "lib/base/arena.h"
#include "lib/base/buffer.h"
#include "lib/base/fail.h"
#include "lib/mail/header.h"
#include "lib/mail/html.h"
#include "lib/mail/mime_name.h"
#include "lib/mail/mime_sealed.h"
#include "lib/mail/url_set.h"

enum {
	BOUNDARY_MAX = 1000, /* RFC 2046 allows 70 */
	LINE_MAX = 2048,     /* a boundary line with its blanks */
	NAME_BYTES_MAX = 1024,
	TYPE_MAX = 255,
	STAGE = 16 * 1024 /* bytes decoded at a time */
};

enum walk_state {
	WALK_LINE,      /* a line begins; up to START_MAX bytes of it may be in `line` */
	WALK_CANDIDATE, /* it begins with "--": gathered in `line` */
	WALK_REST,      /* the rest of a line that is none */
	WALK_OVER       /* too many parts: nothing more is looked at */
};

/* "content-": so much of a header line tells whether it is kept. */
enum { START_MAX = 8 };

enum text_kind { TEXT_NONE, TEXT_PLAIN, TEXT_HTML };

/* An open multipart. */
struct level {
	struct span boundary; /* in the arena; at NULL: none given, the first candidate is taken */
	unsigned depth;
	bool digest;    /* RFC 2046 5.1.5: parts are messages by default */
	bool encrypted; /* multipart/encrypted */
	bool closed;    /* the last boundary was there */
};

/* The part whose bytes are passing. */
struct leaf {
	bool open;
	struct mime_decoder decoder;
	enum text_kind text;
	bool in_body;        /* its text belongs to the body */
	size_t attachment;   /* index behind the one that it is; 0: it is none */
	bool sealed_open;    /* `sealed` still wants bytes */
	struct span charset; /* in the arena */
	struct buffer raw;   /* the text's bytes, decoded from transfer, up to part_bytes */
};

struct mime {
	const struct charsets *charsets; /* borrowed */
	struct mime_limits limits;
	unsigned wanted;
	struct arena *arena; /* owned: names, urls */

	enum walk_state state;
	bool in_header;     /* else in a body */
	bool keep;          /* the header line under way is of a Content- field */
	bool keep_previous; /* so was the one before, which a blank continues */
	char line[LINE_MAX];
	size_t line_len;
	char tail[2]; /* line end held back */
	size_t tail_len;

	struct buffer header; /* Content- fields of the part */
	bool default_message; /* a part without Content-Type is a message */
	struct level *levels; /* owned; limits.depth of them */
	size_t level_count;
	unsigned depth; /* of the part under way */
	struct leaf leaf;
	struct sealed sealed;

	struct mime_attachment *attachments; /* owned */
	size_t attachment_room;
	struct url_set urls;
	struct buffer body;
	size_t text_left; /* of text_bytes */
	struct mime_result result;
};

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

static void flaw(struct mime *m, enum mime_flaw what)
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

/* --- addresses --- */

static void found_url(void *context, struct span address)
{
	struct mime *m = context;
	struct arena *scratch = arena_new(1024);
	struct url url;

	if (url_read(address, scratch, &url) && !url_set_add(&m->urls, &url))
		flaw(m, MIME_TOO_MANY_URLS);
	arena_free(&scratch);
}

/* --- text --- */

/* Controls but line ends become blanks, CRs go: in place. */
static void tidy(struct buffer *text, size_t from)
{
	char *data = text->data + text->start;
	size_t len = from;

	for (size_t i = from; i < text->len; i++) {
		unsigned char c = (unsigned char)data[i];

		if (c != '\r')
			data[len++] = c < ' ' && c != '\n' && c != '\t' ? ' ' : (char)c;
	}
	text->len = len;
}

static void add_plain(struct mime *m, struct buffer *text)
{
	if (m->wanted & MIME_URLS)
		url_find(buffer_span(text), found_url, m);
	if (!(m->wanted & MIME_TEXT) || !m->leaf.in_body)
		return;
	if (m->body.len && text->len)
		text_add(&m->body, SPAN("\n"));
	if (!text_add(&m->body, buffer_span(text)))
		flaw(m, MIME_TEXT_CUT);
}

/* An HTML part: its links, and its text as if it were a plain one. */
static void add_html(struct mime *m, struct span html)
{
	struct buffer text = BUFFER_INIT(html.len + 1);
	struct html_reader reader = {
		.text = &text, .link = m->wanted & MIME_URLS ? found_url : NULL, .context = m};

	html_read(&reader, html);
	if (reader.cut)
		flaw(m, MIME_TEXT_CUT);
	add_plain(m, &text);
	buffer_free(&text);
}

static void end_text(struct mime *m)
{
	struct span raw = buffer_span(&m->leaf.raw), charset = m->leaf.charset;
	struct buffer text = BUFFER_INIT(4 * raw.len + 4);

	if (m->leaf.decoder.size > raw.len)
		flaw(m, MIME_TEXT_CUT);
	if (charset.len == 0 && m->leaf.text == TEXT_HTML)
		charset = html_charset(raw);
	charset_decode(m->charsets, charset, raw, &text);
	if (text.len)
		tidy(&text, 0);
	if (m->leaf.text == TEXT_HTML)
		add_html(m, buffer_span(&text));
	else
		add_plain(m, &text);
	buffer_free(&text);
	buffer_free(&m->leaf.raw);
}

/* Keeps a text part's bytes as far as they are read. */
static void keep_text(struct mime *m, struct span bytes)
{
	struct buffer *raw = &m->leaf.raw;
	size_t room = raw->max - raw->len < m->text_left ? raw->max - raw->len : m->text_left;
	struct span fits = span_first(bytes, room);

	if (buffer_add(raw, fits))
		m->text_left -= fits.len;
}

/* --- the bytes of a part --- */

static bool text_is_open(const struct mime *m)
{
	return m->leaf.text != TEXT_NONE && m->text_left && m->leaf.raw.len < m->leaf.raw.max;
}

/* Bytes of the part under way, as transferred; decoded only as far as someone reads them. */
static void leaf_bytes(struct mime *m, struct span bytes)
{
	struct leaf *leaf = &m->leaf;
	char stage[STAGE];

	if (!leaf->open)
		return;
	while (bytes.len && (leaf->sealed_open || text_is_open(m))) {
		struct span decoded =
			span_make(stage, mime_decode(&leaf->decoder, &bytes, stage, sizeof(stage)));

		if (leaf->text != TEXT_NONE)
			keep_text(m, decoded);
		if (leaf->sealed_open)
			leaf->sealed_open = sealed_feed(&m->sealed, decoded);
	}
	mime_decode_count(&leaf->decoder, bytes);
}

/* Bytes of a body, of which a line end at the end is held back. */
static void body_bytes(struct mime *m, struct span bytes)
{
	size_t hold = 0;

	if (!m->leaf.open || bytes.len == 0)
		return;
	if (m->tail_len == 1 && m->tail[0] == '\r' && bytes.at[0] == '\n') {
		m->tail[m->tail_len++] = '\n';
		bytes = span_from(bytes, 1);
		if (bytes.len == 0)
			return;
	}
	leaf_bytes(m, span_make(m->tail, m->tail_len));
	if (bytes.at[bytes.len - 1] == '\n')
		hold = bytes.len > 1 && bytes.at[bytes.len - 2] == '\r' ? 2 : 1;
	else if (bytes.at[bytes.len - 1] == '\r')
		hold = 1;
	leaf_bytes(m, span_first(bytes, bytes.len - hold));
	memcpy(m->tail, bytes.at + bytes.len - hold, hold);
	m->tail_len = hold;
}

/* The part is over; at a boundary the line end before it was not its own. */
static void end_leaf(struct mime *m, bool at_boundary)
{
	struct leaf *leaf = &m->leaf;

	if (!at_boundary || (m->tail_len && m->tail[m->tail_len - 1] == '\r'))
		leaf_bytes(m, span_make(m->tail, m->tail_len));
	m->tail_len = 0;
	if (!leaf->open)
		return;
	if (leaf->attachment) {
		struct mime_attachment *a = &m->attachments[leaf->attachment - 1];

		a->size = leaf->decoder.size;
		sealed_end(&m->sealed);
		a->encrypted = a->encrypted || m->sealed.encrypted;
	}
	if (leaf->text != TEXT_NONE)
		end_text(m);
	leaf->open = false;
}

/* --- a part's header section --- */

enum { FURTHER_MAX = 4 };

/* The fields that say what a part is, as far as they are there. */
struct part_header {
	struct mime_field type, disposition;
	struct mime_field further[FURTHER_MAX]; /* seconds of these: asked for names only */
	size_t further_count;
	enum mime_encoding encoding;
	bool has_type, has_disposition, has_encoding;
};

/* Of two fields the first counts, as most readers have it; that there is a second is told. */
static void parse_field(struct mime *m, struct part_header *h, struct span body,
	struct mime_field *first, bool *has_first, struct arena *arena)
{
	struct mime_field *out = first;

	if (*has_first) {
		flaw(m, MIME_AMBIGUOUS);
		if (h->further_count == FURTHER_MAX)
			return;
		out = &h->further[h->further_count++];
	}
	*has_first = true;
	mime_field_parse(m->charsets, body, arena, out);
	if (out->odd)
		flaw(m, MIME_AMBIGUOUS);
}

static void parse_encoding(struct mime *m, struct part_header *h, struct span body)
{
	if (h->has_encoding)
		flaw(m, MIME_AMBIGUOUS);
	else if (!mime_encoding_parse(body, &h->encoding))
		flaw(m, MIME_BAD_ENCODING);
	h->has_encoding = true;
}

static void parse_header(struct mime *m, struct arena *arena, struct part_header *h)
{
	struct span section = buffer_span(&m->header);
	struct header_field field;

	*h = (struct part_header){0};
	while (header_next(&section, &field)) {
		if (header_is(&field, SPAN("Content-Type")))
			parse_field(m, h, field.body, &h->type, &h->has_type, arena);
		else if (header_is(&field, SPAN("Content-Disposition")))
			parse_field(m, h, field.body, &h->disposition, &h->has_disposition, arena);
		else if (header_is(&field, SPAN("Content-Transfer-Encoding")))
			parse_encoding(m, h, field.body);
	}
}

/* type/subtype; text/plain where there is none that can be read (RFC 2045 5.2). */
static struct span part_type(struct mime *m, const struct part_header *h)
{
	struct span type = span_first(h->type.value, TYPE_MAX);
	size_t slash = span_find_char(type, '/');

	if (!h->has_type)
		return m->default_message ? SPAN("message/rfc822") : SPAN("text/plain");
	if (slash && slash + 1 < type.len)
		return type;
	flaw(m, MIME_BAD_TYPE);
	return SPAN("text/plain");
}

/* --- attachments --- */

static void add_names(struct mime *m, struct mime_attachment *a, const struct mime_field *field)
{
	if (!mime_name_add(a, field, m->limits.name_bytes, m->arena))
		flaw(m, MIME_AMBIGUOUS);
}

static bool type_is(struct span type, const char *whole)
{
	return span_equal(type, span_text(whole));
}

/* Reports of mail programs, which are shown and not saved. */
static bool is_notice(struct span type)
{
	return type_is(type, "message/delivery-status") ||
	       type_is(type, "message/global-delivery-status") ||
	       type_is(type, "message/disposition-notification") ||
	       type_is(type, "message/feedback-report") || type_is(type, "message/global-headers");
}

static bool is_message(struct span type)
{
	return type_is(type, "message/rfc822") || type_is(type, "message/global") ||
	       type_is(type, "message/news");
}

static bool says_encrypted(struct span type, const struct mime_field *field)
{
	struct span kind = mime_field_get(field, "smime-type");

	return (type_is(type, "application/pkcs7-mime") ||
		       type_is(type, "application/x-pkcs7-mime")) &&
	       (span_equal_nocase(kind, SPAN("enveloped-data")) ||
		       span_equal_nocase(kind, SPAN("authenveloped-data")));
}

/* Room for one more; limits.parts bounds them. */
static struct mime_attachment *next_attachment(struct mime *m)
{
	if (m->result.attachment_count == m->attachment_room) {
		m->attachment_room = m->attachment_room ? 2 * m->attachment_room : 4;
		m->attachments =
			memory_resize(m->attachments, m->attachment_room * sizeof(*m->attachments));
	}
	m->attachments[m->result.attachment_count] = (struct mime_attachment){0};
	return &m->attachments[m->result.attachment_count];
}

/* Begins an attachment if the part is one: it has a name, or says so, or is of a type that is not
 * shown in the message. */
static void begin_attachment(struct mime *m, const struct part_header *h, struct span type)
{
	struct mime_attachment *a = next_attachment(m);
	bool shown = span_starts(type, SPAN("text/")) || is_message(type) || is_notice(type);

	add_names(m, a, &h->disposition);
	add_names(m, a, &h->type);
	for (size_t i = 0; i < h->further_count; i++)
		add_names(m, a, &h->further[i]);
	if (shown && a->name_count == 0 && !type_is(h->disposition.value, "attachment"))
		return;
	a->type = arena_span(m->arena, type);
	a->encrypted = says_encrypted(type, &h->type);
	for (size_t i = 0; i < m->level_count; i++)
		a->encrypted = a->encrypted || m->levels[i].encrypted;
	m->leaf.attachment = ++m->result.attachment_count;
	m->leaf.sealed_open = true;
	sealed_init(&m->sealed);
}

/* --- parts --- */

static enum text_kind text_kind(struct span type)
{
	if (type_is(type, "text/html") || type_is(type, "text/x-amp-html") ||
		type_is(type, "application/xhtml+xml"))
		return TEXT_HTML;
	return span_starts(type, SPAN("text/")) ? TEXT_PLAIN : TEXT_NONE;
}

static void begin_leaf(struct mime *m, const struct part_header *h, struct span type)
{
	struct leaf *leaf = &m->leaf;

	leaf->open = true;
	leaf->attachment = 0;
	leaf->sealed_open = false;
	mime_decoder_init(&leaf->decoder, h->encoding);
	leaf->text = m->wanted & (MIME_TEXT | MIME_URLS) ? text_kind(type) : TEXT_NONE;
	leaf->in_body = !type_is(h->disposition.value, "attachment");
	if (!leaf->in_body && !(m->wanted & MIME_URLS))
		leaf->text = TEXT_NONE;
	leaf->charset =
		arena_span(m->arena, span_first(mime_field_get(&h->type, "charset"), TYPE_MAX));
	if (m->wanted & MIME_ATTACHMENTS)
		begin_attachment(m, h, type);
	leaf->open = leaf->attachment || leaf->text != TEXT_NONE;
}

/* A multipart opens a level; what stands before its first boundary is of no part. */
static void begin_multipart(struct mime *m, const struct part_header *h, struct span type)
{
	struct span boundary = mime_field_get(&h->type, "boundary");
	struct level *level = &m->levels[m->level_count++];

	*level = (struct level){.depth = m->depth,
		.digest = type_is(type, "multipart/digest"),
		.encrypted = type_is(type, "multipart/encrypted")};
	while (boundary.len && boundary.at[boundary.len - 1] == ' ')
		boundary.len--;
	if (boundary.len == 0 || boundary.len > BOUNDARY_MAX)
		flaw(m, MIME_BAD_BOUNDARY);
	else
		level->boundary = arena_span(m->arena, boundary);
}

/* A message inside of this one: its header section comes next. */
static void begin_message(struct mime *m, const struct part_header *h, struct span type)
{
	struct mime_attachment *a;

	if (m->wanted & MIME_ATTACHMENTS) {
		begin_attachment(m, h, type);
		/* Its bytes are read as a message; its own size is not counted. */
		a = m->leaf.attachment ? &m->attachments[m->leaf.attachment - 1] : NULL;
		if (a)
			a->size = 0;
		m->leaf.attachment = 0;
		m->leaf.sealed_open = false;
	}
	m->in_header = true;
	m->default_message = false;
	m->result.parts++;
}

/* The header section is over: what follows? */
static void begin_part(struct mime *m)
{
	struct arena *arena = arena_new(4096);
	struct part_header h;
	struct span type;
	bool container;

	parse_header(m, arena, &h);
	buffer_clear(&m->header);
	type = part_type(m, &h);
	m->in_header = m->keep_previous = false;
	container = span_starts(type, SPAN("multipart/")) || is_message(type);
	if (container && h.encoding != MIME_IDENTITY) {
		/* Forbidden (RFC 2045 6.4), and read by some: an attachment of its type. */
		flaw(m, MIME_BAD_ENCODING);
		container = false;
	}
	if (container && m->depth + 1 >= m->limits.depth) {
		flaw(m, MIME_TOO_DEEP);
		container = false;
	}
	if (!container) {
		begin_leaf(m, &h, type);
	} else if (m->result.parts >= m->limits.parts) {
		flaw(m, MIME_TOO_MANY_PARTS);
		m->state = WALK_OVER;
	} else {
		m->depth++;
		if (is_message(type))
			begin_message(m, &h, type);
		else
			begin_multipart(m, &h, type);
	}
	arena_free(&arena);
}

/* Takes a piece of a header line: kept if it is a Content- field's, as far as there is room. */
static void header_bytes(struct mime *m, struct span bytes)
{
	struct span fits = span_first(bytes, m->header.max - m->header.len);

	if (m->keep && (!buffer_add(&m->header, fits) || fits.len < bytes.len))
		flaw(m, MIME_HEADER_CUT);
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

	end_leaf(m, true);
	/* A part that is a header section alone. */
	if (m->in_header && m->header.len) {
		begin_part(m);
		end_leaf(m, true);
		if (m->state == WALK_OVER)
			return;
	}
	buffer_clear(&m->header);
	for (size_t k = i + 1; k < m->level_count; k++)
		if (!m->levels[k].closed)
			flaw(m, MIME_UNCLOSED);
	m->level_count = i + 1;
	m->depth = level->depth;
	m->in_header = false;
	if (last) {
		level->closed = true;
		return;
	}
	if (level->closed)
		flaw(m, MIME_UNCLOSED);
	if (m->result.parts >= m->limits.parts) {
		flaw(m, MIME_TOO_MANY_PARTS);
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
		flaw(m, MIME_BAD_BOUNDARY);
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
		header_bytes(m, line);
	else
		body_bytes(m, line);
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
			begin_part(m);
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
			flaw(m, MIME_BAD_BOUNDARY);
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
		header_bytes(m, piece);
	} else {
		piece = *bytes;
		if (m->level_count)
			piece.len = body_run(piece, &at_line);
		body_bytes(m, piece);
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
		begin_part(m);
	end_leaf(m, false);
	for (size_t i = 0; i < m->level_count; i++)
		if (!m->levels[i].closed)
			flaw(m, MIME_UNCLOSED);
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
