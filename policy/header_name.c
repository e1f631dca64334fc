#include "policy/header_name.h"

/* RFC 5322 3.6.8 ftext. */
static bool is_ftext(char c)
{
	return c > 32 && c < 127 && c != ':';
}

const char *header_name_problem(enum header_verb verb, struct span name)
{
	if (name.len == 0)
		return "has no name";
	if (name.len > HEADER_NAME_MAX)
		return "has a name of more than 77 characters";
	for (size_t i = 0; i < name.len; i++)
		if (!is_ftext(name.at[i]))
			return "has a name with characters other than printable ASCII without "
			       "blanks "
			       "and colon (RFC 5322 3.6.8)";
	/* Mail loops are found by counting them (RFC 5321 6.3), and a forged one misleads people.
	 */
	if (span_equal_nocase(name, SPAN("Received")))
		return "is the trace that mail loops are found by, and stays as it is";
	/* RFC 5321 4.4. */
	if (verb != HEADER_REMOVE && span_equal_nocase(name, SPAN("Return-Path")))
		return "is for the server to write that delivers the message";
	return NULL;
}
