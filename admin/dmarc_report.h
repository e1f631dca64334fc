/*
 * dmarc_report: a DMARC aggregate report (RFC 9990) as XML, from what the store has kept of one
 * policy domain on one day. No I/O.
 */
#ifndef ADMIN_DMARC_REPORT_H
#define ADMIN_DMARC_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/json.h"
#include "lib/base/arena.h"
#include "lib/base/attributes.h"
#include "lib/base/buffer.h"

enum {
	DMARC_REPORT_MAX = 256 * 1024 * 1024, /* bytes of XML */
	DMARC_REPORT_ID_SIZE = 33
};

/* All borrowed. */
struct dmarc_report_source {
	const struct json *answer; /* STORE_DMARC_DOMAIN's */
	const char *domain;        /* as the store has it; no `/` in it */
	const char *receiver;      /* our host name */
	const char *org_name, *email;
	uint64_t begin_s, end_s; /* of the time that it covers, both included */
	struct arena *arena;
};

struct dmarc_report {
	/* The same for the same receiver, domain and time: a report that is made again takes the
	 * place of the first (RFC 9990, "Email"). Letters and digits. */
	char id[DMARC_REPORT_ID_SIZE];
	const char *domain;
	const char *file;    /* "receiver!domain!begin!end!id.xml.gz" (RFC 9990, "Email") */
	const char *subject; /* of the mail that carries it (RFC 9990, "Email") */
	uint64_t messages, rows;
	uint64_t left_out; /* messages that the store had no room for */
	uint64_t unfit;    /* rows that make no sense, and are left out */
};

/* Adds the XML to out. Texts lie in the arena. false: out is full, or there is no row. */
bool dmarc_report_write(const struct dmarc_report_source *source, struct dmarc_report *report,
	struct buffer *out) MUST_CHECK;

/* A day in UTC ("2026-11-24"), as seconds since 1970; false: there is no such day. */
bool dmarc_day_read(const char *text, uint64_t *begin_s) MUST_CHECK;

#endif
