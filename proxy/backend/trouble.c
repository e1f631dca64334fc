#include "proxy/backend/trouble.h"

#define OURS(code, enhanced, text)                                                                 \
	{                                                                                          \
		code, enhanced,                                                                    \
		{                                                                                  \
			text, sizeof(text) - 1                                                     \
		}                                                                                  \
	}

const struct reply *backend_trouble_reply(enum backend_trouble trouble)
{
	static const struct reply replies[] = {
		[TROUBLE_NO_SERVER] =
			OURS(451, "4.4.1", "The mail server cannot be reached at present"),
		[TROUBLE_UNFIT] =
			OURS(451, "4.3.5", "The mail server is not set up to take mail from here"),
		[TROUBLE_BUSY] = OURS(451, "4.4.5", "The mail server is busy"),
		[TROUBLE_LOST] = OURS(451, "4.4.2", "The connection to the mail server was lost"),
		[TROUBLE_SLOW] = OURS(451, "4.4.2", "The mail server did not answer in time"),
		[TROUBLE_GARBAGE] = OURS(451, "4.5.0", "The mail server's answer makes no sense"),
		[TROUBLE_IN_DOUBT] = OURS(451, "4.4.2",
			"The mail server was lost at the end of the message, which may have "
			"arrived"),
		[TROUBLE_NO_SMTPUTF8] = OURS(
			550, "5.6.7", "The mail server does not take internationalized addresses"),
		[TROUBLE_SOME_REFUSED] = OURS(451, "4.3.0",
			"The mail server refused some recipients; each has its answer on your next "
			"try"),
		[TROUBLE_SOME_DELIVERED] = OURS(451, "4.3.0",
			"The mail server took the message for some recipients only; please try "
			"again"),
		[TROUBLE_SPOOL] = OURS(451, "4.3.0", "The message could not be read back"),
	};

	return &replies[trouble];
}
