#include "tests/unit/policy_facts.h"

#define CHOICES(name, ...) static const struct fact_choice name[] = {__VA_ARGS__, {NULL, NULL}}

CHOICES(fcrdns, {"pass", NULL}, {"fail", NULL}, {"none", NULL});
CHOICES(weekdays, {"monday", "mon"}, {"tuesday", "tue"}, {"wednesday", "wed"}, {"thursday", "thu"},
	{"friday", "fri"}, {"saturday", "sat"}, {"sunday", "sun"});
CHOICES(tls_versions, {"none", NULL}, {"1.2", "TLSv1.2"}, {"1.3", "TLSv1.3"});
CHOICES(spf, {"none", NULL}, {"neutral", NULL}, {"pass", NULL}, {"fail", NULL}, {"softfail", NULL},
	{"temperror", NULL}, {"permerror", NULL});
CHOICES(dmarc_policies, {"none", NULL}, {"quarantine", NULL}, {"reject", NULL}, {"absent", NULL});
CHOICES(greylist, {"new", NULL}, {"waiting", NULL}, {"passed", NULL}, {"known", NULL});
CHOICES(dkim, {"none", NULL}, {"pass", NULL}, {"fail", NULL}, {"temperror", NULL},
	{"permerror", NULL}, {"policy", NULL});
CHOICES(dmarc, {"none", NULL}, {"pass", NULL}, {"fail", NULL}, {"temperror", NULL},
	{"permerror", NULL});
CHOICES(arc, {"none", NULL}, {"pass", NULL}, {"fail", NULL});
CHOICES(milter, {"accept", NULL}, {"reject", NULL}, {"tempfail", NULL}, {"discard", NULL});

/* F(NAME, TYPE, STAGE, flags, choices) */
#define F(name, type, stage, flags, choices)                                                       \
	{                                                                                          \
		name, TYPE_##type, STAGE_##stage, flags, choices, "a fact of the tests"            \
	}

static const struct fact of_session[] = {
	F("client.ip", IP, CONNECT, 0, NULL),
	F("client.port", NUMBER, CONNECT, 0, NULL),
	F("client.early_talker", BOOL, CONNECT, 0, NULL),
	F("listener", TEXT, CONNECT, 0, NULL),
	F("time.hour", NUMBER, CONNECT, 0, NULL),
	F("time.weekday", CHOICE, CONNECT, FACT_ORDERED, weekdays),
	F("helo", DOMAIN, HELO, 0, NULL),
	F("helo.literal", BOOL, HELO, 0, NULL),
	F("helo.fqdn", BOOL, HELO, 0, NULL),
	F("helo.esmtp", BOOL, HELO, 0, NULL),
	F("helo.is_me", BOOL, HELO, 0, NULL),
	F("tls", BOOL, HELO, 0, NULL),
	F("tls.version", CHOICE, HELO, FACT_ORDERED, tls_versions),
	F("tls.sni", DOMAIN, HELO, 0, NULL),
	F("tls.client_verified", BOOL, HELO, FACT_ASSURES, NULL),
	F("mail.from", MAIL, MAIL, 0, NULL),
	F("mail.local", TEXT, MAIL, 0, NULL),
	F("mail.domain", DOMAIN, MAIL, 0, NULL),
	F("mail.null", BOOL, MAIL, 0, NULL),
	F("mail.size", SIZE, MAIL, 0, NULL),
	F("mail.smtputf8", BOOL, MAIL, 0, NULL),
	F("rcpt.to", MAIL, RCPT, 0, NULL),
	F("rcpt.local", TEXT, RCPT, 0, NULL),
	F("rcpt.domain", DOMAIN, RCPT, 0, NULL),
	F("rcpt.count", NUMBER, RCPT, 0, NULL),
	F("rcpt.valid", BOOL, RCPT, FACT_OF_BACKEND, NULL),
	F("message.size", SIZE, MESSAGE, 0, NULL),
	{.name = NULL},
};

static const struct fact of_filters[] = {
	F("client.rdns", DOMAIN, CONNECT, 0, NULL),
	F("client.fcrdns", CHOICE, CONNECT, 0, fcrdns),
	F("client.country", TEXT, CONNECT, 0, NULL),
	F("client.asn", NUMBER, CONNECT, 0, NULL),
	F("client.reputation", NUMBER, CONNECT, 0, NULL),
	F("helo.resolves", BOOL, HELO, 0, NULL),
	F("mail.reputation", NUMBER, MAIL, 0, NULL),
	F("mail.mx", BOOL, MAIL, 0, NULL),
	F("spf", CHOICE, MAIL, FACT_ASSURES, spf),
	F("spf.domain", DOMAIN, MAIL, 0, NULL),
	F("spf.helo", CHOICE, HELO, 0, spf),
	F("spf.explanation", TEXT, MAIL, FACT_IN_TEXTS, NULL),
	F("mail.dmarc_policy", CHOICE, MAIL, 0, dmarc_policies),
	F("greylist", CHOICE, RCPT, 0, greylist),
	F("from.address", MAIL, HEADER, 0, NULL),
	F("from.domain", DOMAIN, HEADER, 0, NULL),
	F("from.name", TEXT, HEADER, 0, NULL),
	F("from.count", NUMBER, HEADER, 0, NULL),
	F("subject", TEXT, HEADER, 0, NULL),
	F("header", TEXT, HEADER, FACT_MANY | FACT_FIRST | FACT_OF_TEXT, NULL),
	F("message.id", TEXT, HEADER, 0, NULL),
	F("dkim", CHOICE, MESSAGE, FACT_ASSURES, dkim),
	F("dkim.domains", DOMAIN, MESSAGE, FACT_MANY | FACT_ASSURES, NULL),
	F("dmarc", CHOICE, MESSAGE, FACT_ASSURES, dmarc),
	F("dmarc.policy", CHOICE, HEADER, 0, dmarc_policies),
	F("arc", CHOICE, MESSAGE, FACT_ASSURES, arc),
	F("arc.sealers", DOMAIN, MESSAGE, FACT_MANY | FACT_ASSURES, NULL),
	F("attachment.name", TEXT, MESSAGE, FACT_MANY, NULL),
	F("attachment.extension", TEXT, MESSAGE, FACT_MANY, NULL),
	F("attachment.type", TEXT, MESSAGE, FACT_MANY, NULL),
	F("attachment.size", SIZE, MESSAGE, FACT_MANY, NULL),
	F("attachment.encrypted", BOOL, MESSAGE, FACT_MANY, NULL),
	F("url", TEXT, MESSAGE, FACT_MANY, NULL),
	F("url.domain", DOMAIN, MESSAGE, FACT_MANY, NULL),
	F("body", TEXT, MESSAGE, 0, NULL),
	F("list.id", TEXT, HEADER, 0, NULL),
	F("virus", BOOL, MESSAGE, FACT_ABSENT, NULL),
	F("virus.name", TEXT, MESSAGE, FACT_ABSENT, NULL),
	F("milter.", CHOICE, MESSAGE, FACT_FAMILY | FACT_ABSENT, milter),
	F("rspamd.score", NUMBER, MESSAGE, FACT_ABSENT, NULL),
	F("rspamd.action", TEXT, MESSAGE, FACT_ABSENT, NULL),
	F("rate", NUMBER, CONNECT, FACT_OF_FIELD | FACT_COUNTS, NULL),
	F("dnsbl", IP, CONNECT, FACT_MANY | FACT_ANY | FACT_OF_TEXT | FACT_OF_FIELD, NULL),
	{.name = NULL},
};

static const struct fact_source sources[] = {{"session", of_session}, {"filters", of_filters}};

const struct fact_registry policy_facts = {sources, 2};
