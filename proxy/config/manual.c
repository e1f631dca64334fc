/* The manual page postern.conf(5), in troff: its frame is here, what it says about keys is the
 * table's. */
#include <string.h>

#include "proxy/config/read.h"

static const char head[] =
	".TH POSTERN.CONF 5 \"\" postern \"File formats\"\n"
	".SH NAME\n"
	"postern.conf \\- configuration of the anti-spam SMTP proxy postern\n"
	".SH SYNOPSIS\n"
	".I /etc/postern/postern.conf\n"
	".SH DESCRIPTION\n"
	"postern stands on port 25 in front of a mail server.\n"
	"This file says where it listens, which server it hands mail to, and what a client may "
	"take.\n"
	"What happens to a message is decided in rule files.\n"
	".PP\n"
	"Only\n"
	".BR hostname ,\n"
	".BR listen ,\n"
	".B backend\n"
	"and\n"
	".B relay_domains\n"
	"must be given.\n"
	"\\fBpostern check\\fR reads the file and tells every mistake in it;\n"
	"\\fBpostern config show\\fR prints what is in force, with \\fB\\-\\-changed\\fR only what "
	"is "
	"not a default;\n"
	"\\fBpostern config doc\\fR \\fIKEY\\fR explains one key.\n"
	".PP\n"
	"\\fBpostern reload\\fR applies a change without dropping a session.\n"
	"A file with a mistake changes nothing then: what was in force stays.\n"
	".SH SYNTAX\n"
	"A key is followed by its value or values.\n"
	"White space and line ends only separate, so that several keys may share a line.\n"
	"Braces hold a block of keys or a set of values, and\n"
	".B #\n"
	"begins a comment that ends with the line.\n"
	"A key given twice is a mistake unless it may be repeated.\n"
	".TP\n"
	".I TEXT\n"
	"Stands in double quotes, or is a single word without them.\n"
	"Inside of quotes \\fB\\e\\(dq\\fR is a quote and \\fB\\e\\e\\fR a backslash.\n"
	".TP\n"
	".I SIZE\n"
	"A number and one of B, KB, MB, GB and TB, each 1024 times the one before; without a unit "
	"it "
	"is bytes.\n"
	".TP\n"
	".I DURATION\n"
	"A number and one of ms, s, m, h, d and w.\n"
	".TP\n"
	".I NETWORK\n"
	"An IPv4 or IPv6 address, or a network such as 10.0.0.0/8.\n"
	".TP\n"
	".I PATH\n"
	"A relative one starts at the folder of this file.\n";

static const char tail[] = ".SH EXAMPLE\n"
			   "Mail for two domains, taken on all addresses with STARTTLS, for a "
			   "Postfix on another host:\n"
			   ".PP\n"
			   ".nf\n"
			   ".RS 4\n"
			   "hostname \\(dqmx.example.net\\(dq\n"
			   "listen \\(dq0.0.0.0:25\\(dq\n"
			   "listen \\(dq[::]:25\\(dq\n"
			   "tls { certificate \\(dqmx.pem\\(dq key \\(dqmx.key\\(dq }\n"
			   "backend \\(dqmain\\(dq {\n"
			   "    server \\(dq10.0.0.5:2525\\(dq\n"
			   "    client_info xclient\n"
			   "}\n"
			   "relay_domains { \\(dqexample.com\\(dq \\(dq.example.org\\(dq }\n"
			   "limits { message 25MB  per_client 20 }\n"
			   ".RE\n"
			   ".fi\n"
			   ".SH FILES\n"
			   ".TP\n"
			   ".I /etc/postern/postern.conf\n"
			   "The configuration, unless \\fB\\-c\\fR names another file.\n"
			   ".TP\n"
			   ".I /var/lib/postern\n"
			   "The state folder.\n"
			   ".TP\n"
			   ".I /run/postern/control.sock\n"
			   "The control socket.\n"
			   ".SH SEE ALSO\n"
			   ".BR postern (1)\n";

static const char *escape_of(char c)
{
	switch (c) {
	case '\\':
		return "\\e";
	case '-':
		return "\\-";
	case '"':
		return "\\(dq";
	default:
		return NULL;
	}
}

/* Text as troff takes it: no character of it is a request, and each sentence has a line of its own,
 * so that troff knows where it ends. */
static void put_escaped(struct text *t, const char *string)
{
	bool start = true;

	for (const char *at = string; *at; at++) {
		bool ends = at > string + 1 && at[-1] == '.' && at[-2] != '.' && at[-2] != ' ' &&
			    *at == ' ';

		if (ends)
			text_put(t, "\n");
		else if (start && (*at == '.' || *at == '\''))
			text_put(t, "\\&%c", *at);
		else if (escape_of(*at))
			text_put(t, "%s", escape_of(*at));
		else
			text_put(t, "%c", *at);
		start = ends;
	}
}

/* Output of one of the text_* functions, escaped. */
static void put_about(struct text *t, const struct option *o,
	void (*about)(struct text *t, const struct option *o))
{
	struct buffer plain = BUFFER_INIT(4096);
	struct text inner = {&plain, false};

	about(&inner, o);
	put_escaped(t, buffer_string(&plain));
	buffer_free(&plain);
}

static void put_paragraph(struct text *t, const char *paragraph)
{
	if (!paragraph)
		return;
	put_escaped(t, paragraph);
	text_put(t, "\n");
}

static void put_facts(struct text *t, const struct option *o)
{
	bool valued = o->name[0] && o->kind != &kind_block && !(o->flags & OPTION_REQUIRED);

	if (o->flags & OPTION_REQUIRED)
		text_put(t, "It is required.\n");
	if (o->flags & OPTION_REPEAT)
		text_put(t, "It may be repeated.\n");
	if (valued && !(o->flags & OPTION_REPEAT && !o->fallback_help)) {
		text_put(t, "Default: ");
		put_about(t, o, text_default);
		text_put(t, ".\n");
	}
	if (o->kind->limit) {
		text_put(t, "Range: ");
		put_about(t, o, text_range);
		text_put(t, ".\n");
	}
	if (o->flags & OPTION_RESTART)
		text_put(t, "A change needs a restart.\n");
	if (o->flags & OPTION_LATER)
		text_put(t, "It is checked, but has no effect in this release.\n");
}

static void put_key(struct text *t, const struct option *o)
{
	text_put(t, ".TP\n\\fB");
	put_escaped(t, o->name[0] ? o->name : o->block);
	text_put(t, "\\fR \\fI");
	put_about(t, o, text_syntax);
	text_put(t, "\\fR\n");
	put_paragraph(t, o->help);
	put_paragraph(t, o->more);
	put_facts(t, o);
}

static void put_block(struct text *t, const struct option *block)
{
	size_t count;
	const struct option *rows = option_block(block->name, &count);

	text_put(t, ".SS ");
	put_escaped(t, block->name);
	text_put(t, " ");
	if (option_find(block->name, SPAN("")))
		put_about(t, option_find(block->name, SPAN("")), text_syntax);
	text_put(t, " { ... }\n");
	put_paragraph(t, block->help);
	put_paragraph(t, block->more);
	put_facts(t, block);
	for (size_t i = 0; i < count; i++)
		put_key(t, &rows[i]);
}

bool config_manual(struct buffer *out)
{
	struct text t = {out, false};
	size_t count;
	const struct option *rows = option_block("", &count);

	text_put(&t, "%s.SH KEYS\n", head);
	for (size_t i = 0; i < count; i++)
		if (rows[i].kind != &kind_block)
			put_key(&t, &rows[i]);
	text_put(&t, ".SH BLOCKS\n");
	for (size_t i = 0; i < count; i++)
		if (rows[i].kind == &kind_block)
			put_block(&t, &rows[i]);
	text_put(&t, "%s", tail);
	return !t.full;
}
