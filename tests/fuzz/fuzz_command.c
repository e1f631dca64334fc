/*
 * Command lines from any bytes: each is refused with a reply that can be sent, or its parts can be
 * sent on without ending the line they stand in.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/mail/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refusal(const struct reply *why)
{
	ENSURE(why->code == 501 || why->code == 553 || why->code == 555);
	ENSURE(why->enhanced[0] == '5' && why->text.len && text_printable(why->text));
}

/* One word of what we may write behind MAIL or RCPT. */
static void check_word(struct span word)
{
	ENSURE(text_printable(word) && span_find_char(word, ' ') == word.len);
}

static void try_mail(struct span argument)
{
	struct mail_command mail;
	struct reply why;

	if (!mail_command_parse(argument, &mail, &why)) {
		check_refusal(&why);
		return;
	}
	ENSURE(mail.smtputf8 || !mail.from.utf8);
	ENSURE(text_printable(mail.from.mailbox));
	check_word(mail.envid);
}

static void try_rcpt(struct span argument, bool smtputf8)
{
	struct rcpt_command rcpt;
	struct reply why;

	if (!rcpt_command_parse(argument, smtputf8, &rcpt, &why)) {
		check_refusal(&why);
		return;
	}
	ENSURE(smtputf8 || !rcpt.to.utf8);
	ENSURE(rcpt.to.mailbox.len && text_printable(rcpt.to.mailbox));
	check_word(rcpt.notify);
	check_word(rcpt.orcpt);
}

static void try_xclient(struct span argument)
{
	struct xclient_command x;
	struct reply why;

	if (!xclient_command_parse(argument, &x, &why)) {
		check_refusal(&why);
		return;
	}
	ENSURE(text_printable(x.name) && text_printable(x.helo) && text_printable(x.login));
	ENSURE(x.name.len + x.helo.len + x.login.len <= sizeof(x.decoded));
	ENSURE(x.has_addr || x.addr.family == IP_NONE);
}

static void try_xtext(struct span text)
{
	struct buffer encoded = BUFFER_INIT(3 * text.len);
	char *decoded = malloc(encoded.max + 1);
	size_t len;

	ENSURE(xtext_encode(text, &encoded));
	ENSURE(xtext_decode(buffer_span(&encoded), decoded, &len));
	ENSURE(span_equal(span_make(decoded, len), text));
	if (xtext_decode(text, decoded, &len))
		ENSURE(len <= text.len);
	buffer_free(&encoded);
	free(decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span line = span_make(data, size);
	struct command command = command_parse(line);
	struct reply why;
	uint64_t bytes;
	bool last;

	ENSURE(command.argument.at >= line.at);
	ENSURE(command.argument.at + command.argument.len <= line.at + line.len);
	ENSURE(verb_name(command.verb) != NULL);
	(void)!command_line_clean(line);
	try_mail(command.argument);
	try_rcpt(command.argument, false);
	try_rcpt(command.argument, true);
	try_xclient(command.argument);
	try_xtext(line);
	if (bdat_command_parse(command.argument, &bytes, &last, &why))
		ENSURE(bytes <= (uint64_t)1 << 62);
	else
		check_refusal(&why);
	return 0;
}
