/*
 * The mailboxes of a From (RFC 5322 3.4, with what 4.4 still allows), as a reader shows them and as
 * DMARC counts them: an address that is passed over here would be one that a forger can hide.
 * So a comma may be missing, brackets and quotes may be left open, and each thing with an '@' where
 * an address stands is one.
 */
#include "lib/mail/mime_words.h"

/* Words of the mailbox under way; further ones are only seen as text. */
enum { WORDS_MAX = 64 };

struct mailbox_word {
	struct span text; /* quoted strings with their quotes */
	bool quoted;      /* it begins with one */
};

struct mailbox_parse {
	const struct charsets *charsets; /* borrowed, as the next two */
	struct arena *arena;
	struct mime_mailboxes *out;
	struct mailbox_word words[WORDS_MAX]; /* of the phrase, or an address without brackets */
	size_t word_count;
	struct span comment; /* the last one; at NULL: none */
	bool given;          /* an address in brackets was */
	size_t open_quote;   /* index of the first quote that nothing closes, once one is met */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Index behind the comment that begins at `at`; the end, where it is not closed. */
static size_t comment_end(struct span s, size_t at)
{
	size_t depth = 0;

	for (; at < s.len; at++) {
		if (s.at[at] == '\\')
			at++;
		else if (s.at[at] == '(')
			depth++;
		else if (s.at[at] == ')' && --depth == 0)
			return at + 1;
	}
	return s.len;
}

/* Index behind the quoted string that begins at `at`; an open one is only its quote. */
static size_t quote_end(struct span s, size_t at)
{
	for (size_t i = at + 1; i < s.len; i++) {
		if (s.at[i] == '\\')
			i++;
		else if (s.at[i] == '"')
			return i + 1;
	}
	return at + 1;
}

/* The same for a text in which quotes are looked for again and again: behind an open one all are
 * open (a look from there passes over the others, escaped, in the same step), and none is looked
 * for to the end once more. *open: SIZE_MAX to begin with. */
static size_t next_quote_end(struct span s, size_t at, size_t *open)
{
	size_t end = at < *open ? quote_end(s, at) : at + 1;

	if (end == at + 1 && at < *open)
		*open = at;
	return end;
}

/* Without comments, and without blanks outside of quotes. */
static struct span compact(struct span s, struct arena *arena)
{
	char *text = arena_alloc(arena, s.len + 1);
	size_t len = 0, open = SIZE_MAX;

	for (size_t i = 0, end; i < s.len; i = end) {
		end = i + 1;
		if (s.at[i] == '(') {
			end = comment_end(s, i);
		} else if (s.at[i] == '"') {
			end = next_quote_end(s, i, &open);
			memcpy(text + len, s.at + i, end - i);
			len += end - i;
		} else if (!is_blank(s.at[i])) {
			text[len++] = s.at[i];
		}
	}
	return span_make(text, len);
}

/* The '@' before the domain; its length where there is none. */
static size_t last_at(struct span address)
{
	size_t at = address.len;

	while (at && address.at[at - 1] != '@')
		at--;
	return at ? at - 1 : address.len;
}

/* "<@a,@b:local@domain>": the route goes (RFC 5321 C). */
static struct span without_route(struct span address)
{
	size_t colon = span_find_char(address, ':');

	if (address.len && address.at[0] == '@' && colon < address.len)
		return span_from(address, colon + 1);
	return address;
}

static struct span unquoted(struct span word, struct arena *arena)
{
	char *text = arena_alloc(arena, word.len + 1);
	size_t len = 0;

	for (size_t i = 0; i < word.len; i++) {
		if (word.at[i] == '\\' && i + 1 < word.len)
			text[len++] = word.at[++i];
		else if (word.at[i] != '"')
			text[len++] = word.at[i];
	}
	return span_make(text, len);
}

/* The words up to `count` with blanks between, but for the one at `without`. */
static struct span phrase(struct mailbox_parse *p, size_t count, size_t without)
{
	struct buffer text = BUFFER_INIT(2 * MIME_FIELD_MAX);
	struct span result;

	for (size_t i = 0; i < count; i++) {
		if (i == without)
			continue;
		if (text.len)
			text_add(&text, SPAN(" "));
		text_add(&text, p->words[i].quoted ? unquoted(p->words[i].text, p->arena)
						   : p->words[i].text);
	}
	result = header_decode_text(p->charsets, buffer_span(&text), p->arena);
	buffer_free(&text);
	return result;
}

static struct span comment_name(struct mailbox_parse *p)
{
	return header_decode_text(p->charsets, unquoted(p->comment, p->arena), p->arena);
}

/* Room for one more of those that are kept: few fields hold more than one, and a message may have
 * thousands of fields. */
static struct mime_mailbox *next_item(struct mailbox_parse *p)
{
	struct mime_mailboxes *out = p->out;
	size_t room = out->kept ? 2 * out->kept : 1;
	struct mime_mailbox *items;

	if (out->kept & (out->kept - 1)) /* it has grown to the next power of two */
		return &out->items[out->kept];
	items = arena_alloc(p->arena, room * sizeof(*items));
	if (out->kept)
		memcpy(items, out->items, out->kept * sizeof(*items));
	out->items = items;
	return &items[out->kept];
}

/* Counts the mailbox, and keeps it while there is room. `name_words`: how many words are its name
 * (but the one at `without`). */
static void add(struct mailbox_parse *p, struct span address, size_t name_words, size_t without)
{
	struct mime_mailbox *m;
	struct span text = text_harmless(address, p->arena);
	size_t at = last_at(text);
	char *copy;

	if (text.len == 0)
		return;
	p->out->count++;
	if (p->out->kept == MIME_MAILBOXES_MAX)
		return;
	m = next_item(p);
	p->out->kept++;
	/* "a@example.com." names the same domain. */
	while (text.len > at + 1 && text.at[text.len - 1] == '.')
		text.len--;
	copy = arena_string(p->arena, text);
	for (size_t i = at; i < text.len; i++)
		copy[i] = ascii_lower(copy[i]);
	m->address = span_make(copy, text.len);
	m->domain = span_from(m->address, at + 1);
	m->name = phrase(p, name_words, without);
	if (m->name.len == 0 && p->comment.at)
		m->name = comment_name(p);
}

static bool has_at(const struct mailbox_word *word)
{
	struct span s = word->text;

	if (word->quoted) /* "a@b" is a name; "a"@b is not */
		s = span_from(s, quote_end(s, 0));
	return span_find_char(s, '@') < s.len;
}

/* At a comma, a semicolon or the end: what stands without brackets is an address where it has an
 * '@', or where it is all there is. */
static void end_mailbox(struct mailbox_parse *p)
{
	size_t found = 0;

	for (size_t i = 0; i < p->word_count; i++) {
		if (!has_at(&p->words[i]))
			continue;
		found++;
		add(p, compact(p->words[i].text, p->arena), p->word_count, i);
	}
	if (!found && !p->given && p->word_count)
		add(p, compact(p->words[p->word_count - 1].text, p->arena), p->word_count - 1,
			p->word_count);
	p->word_count = 0;
	p->comment = SPAN_NONE;
	p->given = false;
}

/* Index behind the address in brackets that begins at `at`. */
static size_t take_brackets(struct mailbox_parse *p, struct span s, size_t at)
{
	size_t end = at + 1;

	while (end < s.len && s.at[end] != '>' && s.at[end] != '<')
		end = s.at[end] == '"' ? next_quote_end(s, end, &p->open_quote) : end + 1;
	add(p, without_route(compact(span_make(s.at + at + 1, end - at - 1), p->arena)),
		p->word_count, p->word_count);
	p->given = true;
	p->word_count = 0;
	return end < s.len && s.at[end] == '>' ? end + 1 : end;
}

/* Index behind the blanks and comments at `at`. */
static size_t gap_end(struct span s, size_t at)
{
	while (at < s.len && (is_blank(s.at[at]) || s.at[at] == '('))
		at = s.at[at] == '(' ? comment_end(s, at) : at + 1;
	return at;
}

/* Whether the word that ends at `end` goes on behind the gap there, at `next`: "a @ example . com"
 * and "a@example(no).com" are one (RFC 5322 4.4). */
static bool joins(struct span s, size_t end, size_t next)
{
	return next < s.len && (s.at[next] == '@' || s.at[next] == '.' || s.at[end - 1] == '@' ||
				       s.at[end - 1] == '.');
}

/* Nothing of an address or of an encoded word yet. */
static bool is_plain(struct span word)
{
	return span_find_char(word, '@') == word.len && span_find_char(word, '=') == word.len;
}

/* Index behind the word that begins at `at`; a ':' that may begin a group ends one. */
static size_t take_word(struct mailbox_parse *p, struct span s, size_t at)
{
	static const char ends[] = "<,;";
	size_t end = at, next;
	struct span text;

	while (end < s.len && !memchr(ends, s.at[end], sizeof(ends) - 1)) {
		struct span word = span_make(s.at + at, end - at);

		if (s.at[end] == '"') {
			end = next_quote_end(s, end, &p->open_quote);
		} else if (s.at[end] == ':' && is_plain(word)) {
			end++;
			break;
		} else if (!is_blank(s.at[end]) && s.at[end] != '(') {
			end++;
		} else {
			next = gap_end(s, end);
			if (span_find_char(word, '=') < word.len || !joins(s, end, next))
				break;
			end = next;
		}
	}
	text = span_make(s.at + at, end - at);
	if (p->word_count < WORDS_MAX && end > at)
		p->words[p->word_count++] =
			(struct mailbox_word){.text = text, .quoted = text.at[0] == '"'};
	return end > at ? end : at + 1;
}

/* A phrase and ':' begin a group (RFC 5322 3.4): its name is no mailbox. */
static bool begins_group(const struct mailbox_parse *p)
{
	const struct mailbox_word *last;

	if (p->word_count == 0 || p->given)
		return false;
	last = &p->words[p->word_count - 1];
	return !last->quoted && last->text.at[last->text.len - 1] == ':' && !has_at(last);
}

void mailboxes_parse(const struct charsets *charsets, struct span body, struct arena *arena,
	struct mime_mailboxes *out)
{
	struct mailbox_parse p = {
		.charsets = charsets, .arena = arena, .out = out, .open_quote = SIZE_MAX};
	struct span s = header_text(body, arena);

	*out = (struct mime_mailboxes){.items = NULL};
	for (size_t i = 0; i < s.len;) {
		if (is_blank(s.at[i])) {
			i++;
		} else if (s.at[i] == ',' || s.at[i] == ';') {
			end_mailbox(&p);
			i++;
		} else if (s.at[i] == '(') {
			size_t end = comment_end(s, i);

			p.comment = span_make(s.at + i + 1, end - i - 1);
			if (p.comment.len && p.comment.at[p.comment.len - 1] == ')')
				p.comment.len--;
			i = end;
		} else if (s.at[i] == '<') {
			i = take_brackets(&p, s, i);
		} else {
			i = take_word(&p, s, i);
			if (begins_group(&p))
				p.word_count = 0;
		}
	}
	end_mailbox(&p);
}
