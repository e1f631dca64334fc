/* tls: how the session is encrypted, judged at MAIL, when it can't change any more. */
#include "filters/filter.h"

enum { TLS, TLS_VERSION, TLS_SNI, TLS_CLIENT_VERIFIED };

static const struct fact_choice versions[] = {
	{"1.0", "TLSv1 TLSv1.0"},
	{"1.1", "TLSv1.1"},
	{"1.2", "TLSv1.2"},
	{"1.3", "TLSv1.3"},
	{NULL, NULL},
};

static const struct fact facts[] = {
	[TLS] = {"tls", TYPE_BOOL, STAGE_MAIL, 0, NULL, "the session is encrypted"},
	[TLS_VERSION] = {"tls.version", TYPE_CHOICE, STAGE_MAIL, FACT_ORDERED, versions,
		"the version of TLS, 1.0 to 1.3"},
	[TLS_SNI] = {"tls.sni", TYPE_DOMAIN, STAGE_MAIL, 0, NULL,
		"the server name that the client asked for in TLS"},
	[TLS_CLIENT_VERIFIED] = {"tls.client_verified", TYPE_BOOL, STAGE_MAIL, FACT_ASSURES, NULL,
		"the client showed a certificate, and it is valid"},
	{.name = NULL},
};

static void add_version(struct call *call, const char *version)
{
	for (unsigned i = 0; versions[i].word; i++) {
		struct span also = span_text(versions[i].also);

		while (also.len)
			if (span_equal(span_word(&also), span_text(version)))
				call_add_choice(call, TLS_VERSION, i);
	}
}

static enum call_status run(struct call *call)
{
	const struct filter_view *view = call_view(call);

	call_add_bool(call, TLS, view->tls_version);
	call_add_bool(call, TLS_CLIENT_VERIFIED, view->tls_version && view->tls_client_verified);
	if (!view->tls_version)
		return CALL_DONE;
	add_version(call, view->tls_version);
	call_add_text(call, TLS_SNI, span_text(view->tls_sni));
	return CALL_DONE;
}

const struct filter filter_tls = {
	.version = FILTER_VERSION, .name = "tls", .facts = facts, .run = run};
