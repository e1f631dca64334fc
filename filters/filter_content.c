/* content: what the message's body holds, read while it streams past; only what rules read is
 * looked for, since decoding text costs the most. Flaws are told of the whole, whatever else is
 * read: what they hide must not depend on it. */
#include "filters/filter.h"
#include "lib/mail/mime.h"

enum {
	ATTACHMENT_NAME,
	ATTACHMENT_EXTENSION,
	ATTACHMENT_TYPE,
	ATTACHMENT_SIZE,
	ATTACHMENT_ENCRYPTED,
	URL,
	URL_DOMAIN,
	BODY,
	FLAW,
	FACTS
};

static const struct fact facts[] = {
	[ATTACHMENT_NAME] = {"attachment.name", TYPE_TEXT, STAGE_MESSAGE, FACT_MANY, NULL,
		"the names of attachments"},
	[ATTACHMENT_EXTENSION] = {"attachment.extension", TYPE_TEXT, STAGE_MESSAGE, FACT_MANY, NULL,
		"what stands behind the last dot of their names"},
	[ATTACHMENT_TYPE] = {"attachment.type", TYPE_TEXT, STAGE_MESSAGE, FACT_MANY, NULL,
		"their types as the message tells them, such as application/pdf"},
	[ATTACHMENT_SIZE] = {"attachment.size", TYPE_SIZE, STAGE_MESSAGE, FACT_MANY, NULL,
		"their sizes, decoded"},
	[ATTACHMENT_ENCRYPTED] = {"attachment.encrypted", TYPE_BOOL, STAGE_MESSAGE, FACT_MANY, NULL,
		"for each, whether it is encrypted: no scanner can look into it"},
	[URL] = {"url", TYPE_TEXT, STAGE_MESSAGE, FACT_MANY, NULL,
		"web addresses in the text and in HTML"},
	[URL_DOMAIN] = {"url.domain", TYPE_DOMAIN, STAGE_MESSAGE, FACT_MANY, NULL,
		"the hosts of the web addresses"},
	[BODY] = {"body", TYPE_TEXT, STAGE_MESSAGE, 0, NULL,
		"the text of the message, without tags, as UTF-8"},
	[FLAW] = {"message.flaw", TYPE_TEXT, STAGE_MESSAGE, FACT_MANY, NULL,
		"what in it is odd or too much, and may hide from other facts: too-many-parts, "
		"too-deep, header-cut, text-cut, too-many-urls, bad-boundary, unclosed, "
		"bad-encoding, ambiguous, bad-type"},
	{.name = NULL},
};

/* What finds a fact, by its index. */
static const unsigned finds[FACTS] = {
	[ATTACHMENT_NAME] = MIME_ATTACHMENTS,
	[ATTACHMENT_EXTENSION] = MIME_ATTACHMENTS,
	[ATTACHMENT_TYPE] = MIME_ATTACHMENTS,
	[ATTACHMENT_SIZE] = MIME_ATTACHMENTS,
	[ATTACHMENT_ENCRYPTED] = MIME_ATTACHMENTS,
	[URL] = MIME_URLS,
	[URL_DOMAIN] = MIME_URLS,
	[BODY] = MIME_TEXT,
	[FLAW] = MIME_ATTACHMENTS | MIME_URLS | MIME_TEXT,
};

static bool open_filter(struct filter_home *home, struct err *err)
{
	(void)err;
	home->state = filter_charsets(home);
	return true;
}

static void add_attachment(struct call *call, const struct mime_attachment *attachment)
{
	for (size_t i = 0; i < attachment->name_count; i++) {
		call_add_text(call, ATTACHMENT_NAME, attachment->names[i].text);
		call_add_text(call, ATTACHMENT_EXTENSION, attachment->names[i].extension);
	}
	call_add_text(call, ATTACHMENT_TYPE, attachment->type);
	call_add_number(call, ATTACHMENT_SIZE, (double)attachment->size);
	call_add_bool(call, ATTACHMENT_ENCRYPTED, attachment->encrypted);
}

static void add_all(struct call *call, const struct mime_result *result)
{
	for (size_t i = 0; i < result->attachment_count; i++)
		add_attachment(call, &result->attachments[i]);
	for (size_t i = 0; i < result->url_count; i++)
		call_add_text(call, URL, result->urls[i].text);
	for (size_t i = 0; i < result->domain_count; i++)
		call_add_text(call, URL_DOMAIN, result->domains[i]);
	call_add_text(call, BODY, result->body);
	for (unsigned flaw = 1; mime_flaw_name((enum mime_flaw)flaw); flaw *= 2)
		if (result->flaws & flaw)
			call_add_text(call, FLAW, span_text(mime_flaw_name((enum mime_flaw)flaw)));
}

static enum call_status run(struct call *call)
{
	unsigned wanted = 0;

	for (unsigned fact = 0; fact < FACTS; fact++)
		if (call_wants(call, fact))
			wanted |= finds[fact];
	call_keep(call, mime_new(call_home(call)->state, &MIME_LIMITS_DEFAULT, wanted));
	return CALL_WAIT;
}

static void finish(struct call *call)
{
	struct mime *mime = call_own(call);

	mime_free(&mime);
	call_done(call);
}

static void feed(struct call *call, struct span content)
{
	struct mime *mime = call_own(call);

	if (content.len) {
		mime_feed(mime, content);
		return;
	}
	mime_end(mime);
	add_all(call, mime_result(mime));
	finish(call);
}

const struct filter filter_content = {.version = FILTER_VERSION,
	.name = "content",
	.facts = facts,
	.open = open_filter,
	.run = run,
	.feed = feed,
	.cancel = finish};
