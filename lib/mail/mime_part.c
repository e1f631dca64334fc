/*
 * A part's header section: its Content- fields are gathered while it passes, and say at its end
 * what follows. Fields that readers take differently (given twice, odd, forbidden) are flaws.
 */
#include "lib/mail/header.h"
#include "lib/mail/mime_walk.h"

void mime_part_header_bytes(struct mime *m, struct span bytes)
{
	struct span fits = span_first(bytes, m->header.max - m->header.len);

	if (m->keep && (!buffer_add(&m->header, fits) || fits.len < bytes.len))
		mime_add_flaw(m, MIME_HEADER_CUT);
}

/* Of two fields the first counts, as most readers have it; that there is a second is told. */
static void parse_field(struct mime *m, struct part_header *h, struct span body,
	struct mime_field *first, bool *has_first, struct arena *arena)
{
	struct mime_field *out = first;

	if (*has_first) {
		mime_add_flaw(m, MIME_AMBIGUOUS);
		if (h->further_count == FURTHER_MAX)
			return;
		out = &h->further[h->further_count++];
	}
	*has_first = true;
	mime_field_parse(m->charsets, body, arena, out);
	if (out->odd)
		mime_add_flaw(m, MIME_AMBIGUOUS);
}

static void parse_encoding(struct mime *m, struct part_header *h, struct span body)
{
	if (h->has_encoding)
		mime_add_flaw(m, MIME_AMBIGUOUS);
	else if (!mime_encoding_parse(body, &h->encoding))
		mime_add_flaw(m, MIME_BAD_ENCODING);
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
	mime_add_flaw(m, MIME_BAD_TYPE);
	return SPAN("text/plain");
}

bool mime_type_is_message(struct span type)
{
	return mime_type_is(type, "message/rfc822") || mime_type_is(type, "message/global") ||
	       mime_type_is(type, "message/news");
}

/* A multipart opens a level; what stands before its first boundary is of no part. */
static void begin_multipart(struct mime *m, const struct part_header *h, struct span type)
{
	struct span boundary = mime_field_get(&h->type, "boundary");
	struct level *level = &m->levels[m->level_count++];

	*level = (struct level){.depth = m->depth,
		.digest = mime_type_is(type, "multipart/digest"),
		.encrypted = mime_type_is(type, "multipart/encrypted")};
	while (boundary.len && boundary.at[boundary.len - 1] == ' ')
		boundary.len--;
	if (boundary.len == 0 || boundary.len > BOUNDARY_MAX)
		mime_add_flaw(m, MIME_BAD_BOUNDARY);
	else
		level->boundary = arena_span(m->arena, boundary);
}

/* A message inside of this one: its header section comes next. */
static void begin_message(struct mime *m, const struct part_header *h, struct span type)
{
	struct mime_attachment *a;

	if (m->wanted & MIME_ATTACHMENTS) {
		mime_attachment_begin(m, h, type);
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

void mime_part_begin(struct mime *m)
{
	struct arena *arena = arena_new(4096);
	struct part_header h;
	struct span type;
	bool container;

	parse_header(m, arena, &h);
	buffer_clear(&m->header);
	type = part_type(m, &h);
	m->in_header = m->keep_previous = false;
	container = span_starts(type, SPAN("multipart/")) || mime_type_is_message(type);
	if (container && h.encoding != MIME_IDENTITY) {
		/* Forbidden (RFC 2045 6.4), and read by some: an attachment of its type. */
		mime_add_flaw(m, MIME_BAD_ENCODING);
		container = false;
	}
	if (container && m->depth + 1 >= m->limits.depth) {
		mime_add_flaw(m, MIME_TOO_DEEP);
		container = false;
	}
	if (!container) {
		mime_leaf_begin(m, &h, type);
	} else if (m->result.parts >= m->limits.parts) {
		mime_add_flaw(m, MIME_TOO_MANY_PARTS);
		m->state = WALK_OVER;
	} else {
		m->depth++;
		if (mime_type_is_message(type))
			begin_message(m, &h, type);
		else
			begin_multipart(m, &h, type);
	}
	arena_free(&arena);
}
