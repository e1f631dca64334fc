/*
 * The bytes of a part that holds no others: decoded from transfer, but only as far as someone reads
 * them; its text, when it is over, from its charset and without tags, and the links in it.
 */
#include "lib/mail/html.h"
#include "lib/mail/mime_walk.h"

enum { STAGE = 16 * 1024 }; /* bytes decoded at a time */

/* --- text and its links --- */

static void found_url(void *context, struct span address)
{
	struct mime *m = context;
	struct arena *scratch = arena_new(1024);
	struct url url;

	if (url_read(address, scratch, &url) && !url_set_add(&m->urls, &url))
		mime_add_flaw(m, MIME_TOO_MANY_URLS);
	arena_free(&scratch);
}

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
		mime_add_flaw(m, MIME_TEXT_CUT);
}

/* An HTML part: its links, and its text as if it were a plain one. */
static void add_html(struct mime *m, struct span html)
{
	struct buffer text = BUFFER_INIT(html.len + 1);
	struct html_reader reader = {
		.text = &text, .link = m->wanted & MIME_URLS ? found_url : NULL, .context = m};

	html_read(&reader, html);
	if (reader.cut)
		mime_add_flaw(m, MIME_TEXT_CUT);
	add_plain(m, &text);
	buffer_free(&text);
}

static void end_text(struct mime *m)
{
	struct span raw = buffer_span(&m->leaf.raw), charset = m->leaf.charset;
	struct buffer text = BUFFER_INIT(4 * raw.len + 4);

	if (m->leaf.decoder.size > raw.len)
		mime_add_flaw(m, MIME_TEXT_CUT);
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

void mime_leaf_feed(struct mime *m, struct span bytes)
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

void mime_leaf_end(struct mime *m, bool at_boundary)
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

/* --- what it is --- */

static enum text_kind text_kind(struct span type)
{
	if (mime_type_is(type, "text/html") || mime_type_is(type, "text/x-amp-html") ||
		mime_type_is(type, "application/xhtml+xml"))
		return TEXT_HTML;
	return span_starts(type, SPAN("text/")) ? TEXT_PLAIN : TEXT_NONE;
}

void mime_leaf_begin(struct mime *m, const struct part_header *h, struct span type)
{
	struct leaf *leaf = &m->leaf;

	leaf->open = true;
	leaf->attachment = 0;
	leaf->sealed_open = false;
	mime_decoder_init(&leaf->decoder, h->encoding);
	leaf->text = m->wanted & (MIME_TEXT | MIME_URLS) ? text_kind(type) : TEXT_NONE;
	leaf->in_body = !mime_type_is(h->disposition.value, "attachment");
	if (!leaf->in_body && !(m->wanted & MIME_URLS))
		leaf->text = TEXT_NONE;
	leaf->charset =
		arena_span(m->arena, span_first(mime_field_get(&h->type, "charset"), TYPE_MAX));
	if (m->wanted & MIME_ATTACHMENTS)
		mime_attachment_begin(m, h, type);
	leaf->open = leaf->attachment || leaf->text != TEXT_NONE;
}
