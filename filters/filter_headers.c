/*
 * headers: the header section, once it is there. from.* is the first mailbox of the first From, as
 * mail programs show it; from.count tells of further ones, in however many From fields they stand
 * (RFC 5322 3.6 allows one; a second is a forger's way to be shown by some and judged by others).
 */
#include "filters/filter.h"
#include "lib/mail/header.h"
#include "lib/mail/mime_words.h"

enum { FROM_ADDRESS, FROM_DOMAIN, FROM_NAME, FROM_COUNT, SUBJECT, HEADER, LIST_ID, MESSAGE_ID };

/* There is one (RFC 5322 3.6). What is beyond these is counted without a look into it. */
enum { FROM_FIELDS_MAX = 8 };

static const struct fact facts[] = {
	[FROM_ADDRESS] = {"from.address", TYPE_MAIL, STAGE_HEADER, 0, NULL,
		"the address in the header From; of several the first"},
	[FROM_DOMAIN] = {"from.domain", TYPE_DOMAIN, STAGE_HEADER, 0, NULL,
		"the domain of from.address"},
	[FROM_NAME] = {"from.name", TYPE_TEXT, STAGE_HEADER, 0, NULL,
		"the name beside from.address, as mail programs show it"},
	[FROM_COUNT] = {"from.count", TYPE_NUMBER, STAGE_HEADER, 0, NULL,
		"how many addresses the headers From hold"},
	[SUBJECT] = {"subject", TYPE_TEXT, STAGE_HEADER, 0, NULL,
		"the subject as mail programs show it"},
	[HEADER] = {"header", TYPE_TEXT, STAGE_HEADER,
		FACT_MANY | FACT_FIRST | FACT_OF_TEXT | FACT_TOGETHER, NULL,
		"the header fields of this name as they stand, unfolded"},
	[LIST_ID] = {"list.id", TYPE_TEXT, STAGE_HEADER, 0, NULL,
		"the mailing list that List-Id names"},
	[MESSAGE_ID] = {"message.id", TYPE_TEXT, STAGE_HEADER, 0, NULL,
		"what the header Message-ID says, without < and >"},
	{.name = NULL},
};

static bool open_filter(struct filter_home *home, struct err *err)
{
	(void)err;
	home->state = filter_charsets(home);
	return true;
}

/* One From; whether it is the first with a mailbox. */
static size_t add_from(struct call *call, struct span body, size_t before)
{
	struct mime_mailboxes mailboxes = {NULL, 0, 0};

	mailboxes_parse(call_home(call)->state, body, call_arena(call), &mailboxes);
	if (before == 0 && mailboxes.kept) {
		if (mailboxes.items[0].address.len)
			call_add_text(call, FROM_ADDRESS, mailboxes.items[0].address);
		call_add_text(call, FROM_DOMAIN, mailboxes.items[0].domain);
		call_add_text(call, FROM_NAME, mailboxes.items[0].name);
	}
	return before + mailboxes.count;
}

/* Invisible characters and controls out; encoded words stay as they are. */
static struct span unfolded(struct call *call, struct span body)
{
	struct buffer text = BUFFER_INIT(MIME_FIELD_MAX);
	struct span out = SPAN_NONE;

	if (header_unfold(span_first(body, MIME_FIELD_MAX), &text))
		out = text_harmless(buffer_span(&text), call_arena(call));
	buffer_free(&text);
	return out;
}

/* header("NAME"): every field that a rule asks for, by one look at the section. */
static void add_fields(struct call *call)
{
	struct span section = call_view(call)->headers;
	struct header_field field;

	while (header_next(&section, &field))
		if (call_wants_of(call, HEADER, field.name))
			call_add_text_of(call, HEADER, field.name, unfolded(call, field.body));
}

static void add_named(struct call *call, const struct header_field *field)
{
	const struct charsets *charsets = call_home(call)->state;

	if (call_wants(call, SUBJECT) && header_is(field, SPAN("subject")))
		call_add_text(
			call, SUBJECT, header_decode_text(charsets, field->body, call_arena(call)));
	else if (call_wants(call, LIST_ID) && header_is(field, SPAN("list-id")))
		call_add_text(call, LIST_ID, header_angle(field->body, call_arena(call)));
	else if (call_wants(call, MESSAGE_ID) && header_is(field, SPAN("message-id")))
		call_add_text(call, MESSAGE_ID, header_angle(field->body, call_arena(call)));
}

static void add_others(struct call *call)
{
	bool from = call_wants(call, FROM_ADDRESS) || call_wants(call, FROM_DOMAIN) ||
		    call_wants(call, FROM_NAME) || call_wants(call, FROM_COUNT);
	struct span section = call_view(call)->headers;
	struct header_field field;
	size_t count = 0, n = 0;

	while (header_next(&section, &field)) {
		add_named(call, &field);
		if (!from || !header_is(&field, SPAN("from")))
			continue;
		if (++n <= FROM_FIELDS_MAX)
			count = add_from(call, field.body, count);
		else
			count++;
	}
	call_add_number(call, FROM_COUNT, (double)count);
}

/* The fields that rules name are a call of their own. */
static enum call_status run(struct call *call)
{
	if (call_wants(call, HEADER))
		add_fields(call);
	else
		add_others(call);
	return CALL_DONE;
}

const struct filter filter_headers = {.version = FILTER_VERSION,
	.name = "headers",
	.facts = facts,
	.open = open_filter,
	.run = run};
