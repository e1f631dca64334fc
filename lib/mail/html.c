/*
 * HTML to text and links.
 *
 * Inline elements and comments join what they separate (vi<b></b>agra is one word to the reader),
 * block elements end a line. Whether text is hidden by its style is not judged.
 *
 * Rejected: a library (gumbo, libxml2). They build trees of a size that the sender chooses.
 */
#include "lib/mail/html.h"

#include <stdlib.h>

#include "lib/mail/mime_decode.h"

/* --- character references --- */

struct entity {
	const char *name;
	uint32_t point;
};

/* clang-format off */
/* Those of HTML 4 and those with which links are disguised; sorted by name. */
static const struct entity entities[] = {
	{"AElig", 198}, {"AMP", 38}, {"Aacute", 193}, {"Acirc", 194}, {"Agrave", 192},
	{"Alpha", 913}, {"Aring", 197}, {"Atilde", 195}, {"Auml", 196}, {"Beta", 914},
	{"COPY", 169}, {"Ccedil", 199}, {"Chi", 935}, {"Dagger", 8225}, {"Delta", 916},
	{"ETH", 208}, {"Eacute", 201}, {"Ecirc", 202}, {"Egrave", 200}, {"Epsilon", 917},
	{"Eta", 919}, {"Euml", 203}, {"GT", 62}, {"Gamma", 915}, {"Iacute", 205}, {"Icirc", 206},
	{"Igrave", 204}, {"Iota", 921}, {"Iuml", 207}, {"Kappa", 922}, {"LT", 60},
	{"Lambda", 923}, {"Mu", 924}, {"NewLine", 10}, {"Ntilde", 209}, {"Nu", 925},
	{"OElig", 338}, {"Oacute", 211}, {"Ocirc", 212}, {"Ograve", 210}, {"Omega", 937},
	{"Omicron", 927}, {"Oslash", 216}, {"Otilde", 213}, {"Ouml", 214}, {"Phi", 934},
	{"Pi", 928}, {"Prime", 8243}, {"Psi", 936}, {"QUOT", 34}, {"REG", 174}, {"Rho", 929},
	{"Scaron", 352}, {"Sigma", 931}, {"THORN", 222}, {"Tab", 9}, {"Tau", 932}, {"Theta", 920},
	{"Uacute", 218}, {"Ucirc", 219}, {"Ugrave", 217}, {"Upsilon", 933}, {"Uuml", 220},
	{"Xi", 926}, {"Yacute", 221}, {"Yuml", 376}, {"ZeroWidthSpace", 8203}, {"Zeta", 918},
	{"aacute", 225}, {"acirc", 226}, {"acute", 180}, {"aelig", 230}, {"agrave", 224},
	{"alpha", 945}, {"amp", 38}, {"apos", 39}, {"aring", 229}, {"ast", 42}, {"atilde", 227},
	{"auml", 228}, {"bdquo", 8222}, {"beta", 946}, {"brvbar", 166}, {"bsol", 92},
	{"bull", 8226}, {"ccedil", 231}, {"cedil", 184}, {"cent", 162}, {"chi", 967},
	{"circ", 710}, {"colon", 58}, {"comma", 44}, {"commat", 64}, {"copy", 169},
	{"curren", 164}, {"dagger", 8224}, {"deg", 176}, {"delta", 948}, {"divide", 247},
	{"dollar", 36}, {"eacute", 233}, {"ecirc", 234}, {"egrave", 232}, {"emsp", 8195},
	{"ensp", 8194}, {"epsilon", 949}, {"equals", 61}, {"eta", 951}, {"eth", 240},
	{"euml", 235}, {"euro", 8364}, {"excl", 33}, {"fnof", 402}, {"frac12", 189},
	{"frac14", 188}, {"frac34", 190}, {"frasl", 8260}, {"gamma", 947}, {"grave", 96},
	{"gt", 62}, {"hellip", 8230}, {"hyphen", 8208}, {"iacute", 237}, {"icirc", 238},
	{"iexcl", 161}, {"igrave", 236}, {"iota", 953}, {"iquest", 191}, {"iuml", 239},
	{"kappa", 954}, {"lambda", 955}, {"laquo", 171}, {"larr", 8592}, {"lcub", 123},
	{"ldquo", 8220}, {"le", 8804}, {"lowbar", 95}, {"lpar", 40}, {"lrm", 8206},
	{"lsaquo", 8249}, {"lsqb", 91}, {"lsquo", 8216}, {"lt", 60}, {"macr", 175},
	{"mdash", 8212}, {"micro", 181}, {"middot", 183}, {"minus", 8722}, {"mu", 956},
	{"nbsp", 160}, {"ndash", 8211}, {"ne", 8800}, {"not", 172}, {"ntilde", 241}, {"nu", 957},
	{"num", 35}, {"oacute", 243}, {"ocirc", 244}, {"oelig", 339}, {"ograve", 242},
	{"omega", 969}, {"omicron", 959}, {"ordf", 170}, {"ordm", 186}, {"oslash", 248},
	{"otilde", 245}, {"ouml", 246}, {"para", 182}, {"percnt", 37}, {"period", 46},
	{"permil", 8240}, {"phi", 966}, {"pi", 960}, {"plus", 43}, {"plusmn", 177},
	{"pound", 163}, {"prime", 8242}, {"psi", 968}, {"quest", 63}, {"quot", 34},
	{"raquo", 187}, {"rarr", 8594}, {"rcub", 125}, {"rdquo", 8221}, {"reg", 174},
	{"rho", 961}, {"rlm", 8207}, {"rpar", 41}, {"rsaquo", 8250}, {"rsqb", 93},
	{"rsquo", 8217}, {"sbquo", 8218}, {"scaron", 353}, {"sect", 167}, {"semi", 59},
	{"shy", 173}, {"sigma", 963}, {"sigmaf", 962}, {"sol", 47}, {"sup1", 185}, {"sup2", 178},
	{"sup3", 179}, {"szlig", 223}, {"tau", 964}, {"theta", 952}, {"thinsp", 8201},
	{"thorn", 254}, {"tilde", 732}, {"times", 215}, {"trade", 8482}, {"uacute", 250},
	{"ucirc", 251}, {"ugrave", 249}, {"uml", 168}, {"upsilon", 965}, {"uuml", 252},
	{"vert", 124}, {"xi", 958}, {"yacute", 253}, {"yen", 165}, {"yuml", 255}, {"zeta", 950},
	{"zwj", 8205}, {"zwnj", 8204},
};
/* clang-format on */

static int compare_entity(const void *key, const void *element)
{
	const struct span *name = key;
	const struct entity *e = element;
	int order = strncmp(name->at, e->name, name->len);

	return order ? order : e->name[name->len] ? -1 : 0;
}

/* What Windows put where Unicode has controls is what &#128; to &#159; mean (HTML 13.2.5.80). */
static uint32_t numbered_point(uint32_t n)
{
	static const uint16_t windows[32] = {0x20AC, 0x81, 0x201A, 0x192, 0x201E, 0x2026, 0x2020,
		0x2021, 0x2C6, 0x2030, 0x160, 0x2039, 0x152, 0x8D, 0x17D, 0x8F, 0x90, 0x2018,
		0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x2DC, 0x2122, 0x161, 0x203A, 0x153,
		0x9D, 0x17E, 0x178};

	if (n >= 0x80 && n < 0xA0)
		return windows[n - 0x80];
	return n ? n : 0xFFFD;
}

/* "#65;", "#x41": behind the '&'. Returns the bytes taken, 0: none of them. */
static size_t numbered(struct span s, uint32_t *point)
{
	size_t at = 1, digits = 0;
	bool hex = s.len > 1 && ascii_lower(s.at[1]) == 'x';
	uint32_t n = 0;

	for (at += hex; at < s.len; at++, digits++) {
		char c = ascii_lower(s.at[at]);
		uint32_t value;

		if (ascii_is_digit(c))
			value = (uint32_t)(c - '0');
		else if (hex && c >= 'a' && c <= 'f')
			value = (uint32_t)(c - 'a') + 10;
		else
			break;
		n = n > 0x10FFFF ? n : n * (hex ? 16 : 10) + value;
	}
	if (digits == 0)
		return 0;
	*point = numbered_point(n);
	return at < s.len && s.at[at] == ';' ? at + 1 : at;
}

/* The character reference behind an '&'; returns the bytes taken, 0: it is just an '&'. In an
 * attribute a name without ';' before '=' is part of a query ("?a=1&copy=2"). */
static size_t reference(struct span s, bool attribute, uint32_t *point)
{
	const struct entity *found;
	struct span name;
	size_t len = 0;

	if (s.len && s.at[0] == '#')
		return numbered(s, point);
	while (len < s.len && len < 16 && (ascii_is_alpha(s.at[len]) || ascii_is_digit(s.at[len])))
		len++;
	if (len == 0)
		return 0;
	name = span_first(s, len);
	found = bsearch(&name, entities, COUNT_OF(entities), sizeof(entities[0]), compare_entity);
	if (!found)
		return 0;
	*point = found->point;
	if (len < s.len && s.at[len] == ';')
		return len + 1;
	return attribute && len < s.len && s.at[len] == '=' ? 0 : len;
}

/* --- text --- */

struct html_walk {
	struct html_reader *reader;
	struct span rest;
	bool blank; /* blanks were passed over: one is owed before the next character */
	bool line;  /* so is a line end */
	char value[HTML_VALUE_MAX];
};

static void put(struct html_walk *w, struct span text)
{
	struct buffer *out = w->reader->text;

	if (!out || text.len == 0)
		return;
	if (out->len && w->line)
		w->reader->cut |= !buffer_add_char(out, '\n');
	else if (out->len && w->blank)
		w->reader->cut |= !buffer_add_char(out, ' ');
	w->line = w->blank = false;
	w->reader->cut |= !text_add(out, text);
}

static void put_point(struct html_walk *w, uint32_t point)
{
	struct buffer one = BUFFER_INIT(4);

	if (point <= ' ' || point == 0xA0) {
		w->blank = true;
		return;
	}
	if (!point_control(point) && utf8_put(&one, point))
		put(w, buffer_span(&one));
	buffer_free(&one);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool is_plain(unsigned char c)
{
	return c > ' ' && c != '<' && c != '&' && c != 0x7F;
}

/* Text up to the next '<', '&' or blank, of which a no-break space is one. */
static void take_run(struct html_walk *w)
{
	struct span s = w->rest;
	size_t len = 0;

	while (len < s.len && is_plain((unsigned char)s.at[len]) &&
		!(s.at[len] == '\xC2' && span_starts(span_from(s, len), SPAN("\xC2\xA0"))))
		len++;
	if (len == 0) {
		w->blank = true;
		len = 2;
	} else {
		put(w, span_first(s, len));
	}
	w->rest = span_from(w->rest, len);
}

static void take_text(struct html_walk *w)
{
	uint32_t point;
	size_t taken;

	if (w->rest.at[0] == '&') {
		taken = reference(span_from(w->rest, 1), false, &point);
		if (taken)
			put_point(w, point);
		else
			put(w, SPAN("&"));
		w->rest = span_from(w->rest, 1 + taken);
	} else if (w->rest.at[0] == '<') { /* begins no tag */
		put(w, SPAN("<"));
		w->rest = span_from(w->rest, 1);
	} else if ((unsigned char)w->rest.at[0] <= ' ' || w->rest.at[0] == 0x7F) {
		w->blank = true;
		w->rest = span_from(w->rest, 1);
	} else {
		take_run(w);
	}
}

/* --- tags --- */

enum tag_kind {
	TAG_INLINE, /* joins what it stands between, as unknown ones do */
	TAG_BLOCK,  /* ends a line */
	TAG_APART,  /* a cell or a thing on the same line: separates words */
	TAG_RAW     /* its content is no text */
};

struct name {
	const char *name;
	enum tag_kind kind;
};

/* clang-format off */
/* Both sorted by name. */
static const struct name tags[] = {
	{"address", TAG_BLOCK}, {"article", TAG_BLOCK}, {"aside", TAG_BLOCK},
	{"blockquote", TAG_BLOCK}, {"body", TAG_BLOCK}, {"br", TAG_BLOCK}, {"button", TAG_APART},
	{"caption", TAG_BLOCK}, {"center", TAG_BLOCK}, {"dd", TAG_BLOCK}, {"div", TAG_BLOCK},
	{"dl", TAG_BLOCK}, {"dt", TAG_BLOCK}, {"fieldset", TAG_BLOCK}, {"figcaption", TAG_BLOCK},
	{"figure", TAG_BLOCK}, {"footer", TAG_BLOCK}, {"form", TAG_BLOCK}, {"h1", TAG_BLOCK},
	{"h2", TAG_BLOCK}, {"h3", TAG_BLOCK}, {"h4", TAG_BLOCK}, {"h5", TAG_BLOCK},
	{"h6", TAG_BLOCK}, {"head", TAG_BLOCK}, {"header", TAG_BLOCK}, {"hr", TAG_BLOCK},
	{"html", TAG_BLOCK}, {"iframe", TAG_RAW}, {"img", TAG_APART}, {"input", TAG_APART},
	{"legend", TAG_BLOCK}, {"li", TAG_BLOCK}, {"main", TAG_BLOCK}, {"nav", TAG_BLOCK},
	{"noembed", TAG_RAW}, {"noframes", TAG_RAW}, {"ol", TAG_BLOCK}, {"option", TAG_BLOCK},
	{"p", TAG_BLOCK}, {"pre", TAG_BLOCK}, {"script", TAG_RAW}, {"section", TAG_BLOCK},
	{"select", TAG_APART}, {"style", TAG_RAW}, {"table", TAG_BLOCK}, {"tbody", TAG_BLOCK},
	{"td", TAG_APART}, {"template", TAG_RAW}, {"textarea", TAG_BLOCK}, {"tfoot", TAG_BLOCK},
	{"th", TAG_APART}, {"thead", TAG_BLOCK}, {"title", TAG_BLOCK}, {"tr", TAG_BLOCK},
	{"ul", TAG_BLOCK}, {"xmp", TAG_RAW},
};

static const struct name address_attributes[] = {
	{"action", TAG_INLINE}, {"background", TAG_INLINE}, {"cite", TAG_INLINE},
	{"classid", TAG_INLINE}, {"codebase", TAG_INLINE}, {"data", TAG_INLINE},
	{"dynsrc", TAG_INLINE}, {"formaction", TAG_INLINE}, {"href", TAG_INLINE},
	{"longdesc", TAG_INLINE}, {"lowsrc", TAG_INLINE}, {"ping", TAG_INLINE},
	{"poster", TAG_INLINE}, {"src", TAG_INLINE}, {"srcset", TAG_INLINE},
	{"usemap", TAG_INLINE}, {"xlink:href", TAG_INLINE},
};
/* clang-format on */

static int compare_name(const void *key, const void *element)
{
	const struct span *text = key;
	const char *name = ((const struct name *)element)->name;

	for (size_t i = 0; i < text->len; i++) {
		int order = (unsigned char)ascii_lower(text->at[i]) - (unsigned char)name[i];

		if (order)
			return order;
	}
	return name[text->len] ? -1 : 0;
}

static const struct name *find_name(struct span text, const struct name *names, size_t count)
{
	return bsearch(&text, names, count, sizeof(*names), compare_name);
}

static enum tag_kind tag_kind(struct span name)
{
	const struct name *found = find_name(name, tags, COUNT_OF(tags));

	return found ? found->kind : TAG_INLINE;
}

static bool holds_address(struct span name)
{
	return find_name(name, address_attributes, COUNT_OF(address_attributes));
}

/* The value's character references decoded into w->value. */
static struct span decoded_value(struct html_walk *w, struct span raw)
{
	struct buffer point_text = BUFFER_INIT(4);
	size_t len = 0;

	while (raw.len && len + 4 <= sizeof(w->value)) {
		uint32_t point;
		size_t taken = raw.at[0] == '&' ? reference(span_from(raw, 1), true, &point) : 0;

		if (taken) {
			buffer_clear(&point_text);
			if (utf8_put(&point_text, point)) {
				memcpy(w->value + len, buffer_span(&point_text).at, point_text.len);
				len += point_text.len;
			}
			raw = span_from(raw, 1 + taken);
		} else {
			w->value[len++] = raw.at[0];
			raw = span_from(raw, 1);
		}
	}
	buffer_free(&point_text);
	return span_make(w->value, len);
}

static bool is_quote(char c)
{
	return c == '"' || c == '\'';
}

/* "0; url='http://...'" of a meta refresh; empty where there is none. */
static struct span refresh_address(struct span content)
{
	size_t end = 0;

	while (content.len && !span_starts_nocase(content, SPAN("url")))
		content = span_from(content, 1);
	content = span_from(content, 3);
	while (content.len &&
		(is_space(content.at[0]) || content.at[0] == '=' || is_quote(content.at[0])))
		content = span_from(content, 1);
	while (end < content.len && !is_quote(content.at[end]))
		end++;
	return span_first(content, end);
}

/* Each url(...) of a style. */
static void style_addresses(struct html_walk *w, struct span style)
{
	while (style.len) {
		size_t at = span_find_char(style, '(');
		bool is_url = at >= 3 && at < style.len &&
			      span_starts_nocase(span_from(style, at - 3), SPAN("url"));
		struct span inner = span_from(style, at + 1);

		style = inner;
		if (!is_url)
			continue;
		inner = span_first(inner, span_find_char(inner, ')'));
		style = span_from(style, inner.len);
		while (inner.len && (is_space(inner.at[0]) || is_quote(inner.at[0])))
			inner = span_from(inner, 1);
		while (inner.len &&
			(is_space(inner.at[inner.len - 1]) || is_quote(inner.at[inner.len - 1])))
			inner.len--;
		w->reader->link(w->reader->context, inner);
	}
}

static void attribute(struct html_walk *w, struct span tag, struct span name, struct span raw)
{
	if (!w->reader->link || raw.len == 0)
		return;
	if (holds_address(name))
		w->reader->link(w->reader->context, decoded_value(w, raw));
	else if (span_equal_nocase(name, SPAN("style")))
		style_addresses(w, decoded_value(w, raw));
	else if (span_equal_nocase(tag, SPAN("meta")) && span_equal_nocase(name, SPAN("content")))
		w->reader->link(w->reader->context, refresh_address(decoded_value(w, raw)));
}

static void skip_space(struct span *s)
{
	while (s->len && is_space(s->at[0]))
		*s = span_from(*s, 1);
}

/* Index of the first byte that ends a name or an unquoted value. */
static size_t word_end(struct span s, const char *ends)
{
	size_t len = 0;

	while (len < s.len && !is_space(s.at[len]) && !strchr(ends, s.at[len] ? s.at[len] : ' '))
		len++;
	return len;
}

/* The value behind an attribute's name; empty without '='. */
static struct span take_value(struct span *s)
{
	struct span value = SPAN("");
	size_t len;

	skip_space(s);
	if (s->len == 0 || s->at[0] != '=')
		return value;
	*s = span_from(*s, 1);
	skip_space(s);
	if (s->len && (s->at[0] == '"' || s->at[0] == '\'')) {
		char quote = s->at[0];

		*s = span_from(*s, 1);
		len = span_find_char(*s, quote);
		value = span_first(*s, len);
		*s = span_from(*s, len + 1);
	} else {
		len = word_end(*s, ">");
		value = span_first(*s, len);
		*s = span_from(*s, len);
	}
	return value;
}

/* Attributes up to the '>', which is taken too. */
static void take_attributes(struct html_walk *w, struct span tag)
{
	struct span *s = &w->rest;

	while (s->len && s->at[0] != '>') {
		struct span name;

		if (is_space(s->at[0]) || s->at[0] == '/') {
			*s = span_from(*s, 1);
			continue;
		}
		/* A '=' that begins a name belongs to it. */
		name = span_first(*s, 1 + word_end(span_from(*s, 1), "/>="));
		*s = span_from(*s, name.len);
		attribute(w, tag, name, take_value(s));
	}
	*s = span_from(*s, 1);
}

/* Behind the end tag of an element whose content is no text; all, where there is none. */
static void skip_raw(struct html_walk *w, struct span name)
{
	struct span *s = &w->rest;

	while (s->len) {
		size_t at = span_find(*s, SPAN("</"));
		struct span end = span_from(*s, at + 2);

		*s = end;
		if (span_starts_nocase(end, name) &&
			(end.len == name.len || is_space(end.at[name.len]) ||
				end.at[name.len] == '/' || end.at[name.len] == '>')) {
			*s = span_from(end, span_find_char(end, '>') + 1);
			return;
		}
	}
}

static void take_tag(struct html_walk *w, bool end)
{
	enum tag_kind kind;
	struct span name;

	w->rest = span_from(w->rest, end ? 2 : 1);
	name = span_first(w->rest, word_end(w->rest, "/>"));
	w->rest = span_from(w->rest, name.len);
	kind = tag_kind(name);
	w->line = w->line || kind == TAG_BLOCK;
	w->blank = w->blank || kind == TAG_APART;
	take_attributes(w, name);
	if (!end && kind == TAG_RAW)
		skip_raw(w, name);
}

/* "<!" or "<?": a comment ends at "-->" or "--!>" (and "<!-->", "<!--->" are whole), anything else
 * at '>'. */
static void skip_comment(struct html_walk *w)
{
	struct span s = w->rest;

	if (!span_starts(s, SPAN("<!--"))) {
		w->rest = span_from(s, span_find_char(s, '>') + 1);
		return;
	}
	/* Two dashes of the opening may be the closing's too. */
	s = span_from(s, 2);
	for (;;) {
		s = span_from(s, span_find(s, SPAN("--")));
		if (s.len == 0)
			break;
		if (span_starts(s, SPAN("-->")) || span_starts(s, SPAN("--!>"))) {
			s = span_from(s, span_find_char(s, '>') + 1);
			break;
		}
		s = span_from(s, 1);
	}
	w->rest = s;
}

void html_read(struct html_reader *reader, struct span html)
{
	struct html_walk w = {.reader = reader, .rest = html, .line = true};

	while (w.rest.len) {
		char next = w.rest.len > 1 && w.rest.at[0] == '<' ? w.rest.at[1] : '\0';

		if (ascii_is_alpha(next))
			take_tag(&w, false);
		else if (next == '/' && w.rest.len > 2 && ascii_is_alpha(w.rest.at[2]))
			take_tag(&w, true);
		else if (next == '!' || next == '?' || next == '/')
			skip_comment(&w);
		else
			take_text(&w);
	}
}

struct span html_charset(struct span html)
{
	const struct span key = SPAN("charset=");

	/* HTML 13.2.3.2: it stands in the first 1024 bytes. */
	html = span_first(html, 1024);
	for (; html.len >= key.len; html = span_from(html, 1)) {
		if (!span_starts_nocase(html, key))
			continue;
		html = span_from(html, key.len);
		while (html.len && (html.at[0] == '"' || html.at[0] == '\'' || html.at[0] == ' '))
			html = span_from(html, 1);
		return span_first(html, word_end(html, "\"'/>;"));
	}
	return SPAN_NONE;
}
