/*
 * Paths and mailboxes from any bytes: what is taken is made of the bytes given, reads the same
 * again, and holds nothing that could end the line that it is sent on in.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/fail.h"
#include "lib/mail/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct span inner, struct span outer)
{
	return inner.at >= outer.at && inner.at + inner.len <= outer.at + outer.len;
}

static bool has_high(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] > 127)
			return true;
	return false;
}

static void check_address(const struct address *a, struct span text)
{
	struct address again;

	ENSURE(lies_in(a->mailbox, text) && lies_in(a->local, text) && lies_in(a->domain, text));
	ENSURE(text_printable(a->mailbox) && utf8_valid(a->mailbox));
	ENSURE(a->utf8 == has_high(a->mailbox));
	ENSURE(a->local.len <= ADDRESS_LOCAL_MAX && a->domain.len <= ADDRESS_DOMAIN_MAX);
	(void)address_local_routes(a);
	if (a->domain.len == 0)
		return;
	ENSURE(a->mailbox.len == a->local.len + 1 + a->domain.len);
	ENSURE(a->literal ? literal_valid(a->domain, NULL) : domain_valid(a->domain, true));
	ENSURE(address_parse(a->mailbox, true, &again) == ADDRESS_OK);
	ENSURE(span_equal(again.local, a->local) && span_equal(again.domain, a->domain));
	ENSURE(again.quoted == a->quoted && again.literal == a->literal);
}

static void try_path(struct span text, bool null_allowed, bool utf8_allowed)
{
	struct span rest = text;
	struct address a;

	if (address_parse_path(&rest, null_allowed, utf8_allowed, &a) != ADDRESS_OK) {
		ENSURE(rest.at == text.at && rest.len == text.len);
		return;
	}
	ENSURE(rest.at + rest.len == text.at + text.len && rest.at[-1] == '>');
	ENSURE(utf8_allowed || !a.utf8);
	ENSURE(null_allowed || a.mailbox.len);
	check_address(&a, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_make(data, size);
	struct address a;

	for (int way = 0; way < 4; way++)
		try_path(text, way & 1, way & 2);
	if (address_parse(text, true, &a) == ADDRESS_OK)
		check_address(&a, text);
	return 0;
}
