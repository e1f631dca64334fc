/*
 * dkim: what verifying a signature costs, beside what libopendkim alone takes for it: dkim_verify
 * to dkim_eom in a loop, its key handed over from memory. The same messages, in turns, by CPU time;
 * the least of some rounds counts, for what else the machine does only adds.
 *
 * Goals: a message of 4 KB takes no longer than with the library alone, one of 1 MB goes at no less
 * than 0.8 of its speed.
 */
#include <inttypes.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <opendkim/dkim.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "authn/dkim.h"
#include "lib/base/buffer.h"
#include "lib/base/fail.h"

enum { KEY_BITS = 2048, ROUNDS = 12, ARENA_BYTES = 16 * 1024, TEXT_MAX = 4 << 20 };

#define SELECTOR "k"
#define DOMAIN   "example.com"

struct bench {
	struct arena *arena;
	char *private_pem, *record;
	DKIM_LIB *lib;
	struct dkim_library *library;
	struct buffer section, body;
	struct answers *answers;
	uint64_t now_s;
};

static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static unsigned char *bytes(struct span s)
{
	return (unsigned char *)(uintptr_t)s.at;
}

/* --- keys --- */

static void keys_make(struct bench *b)
{
	EVP_PKEY *pkey = EVP_RSA_gen(KEY_BITS);
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char der[1024], *end = der;
	char *pem, text[2048];
	long len;

	ENSURE(pkey &&
		PEM_write_bio_PrivateKey_traditional(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1);
	len = BIO_get_mem_data(bio, &pem);
	b->private_pem = arena_string(b->arena, span_make(pem, (size_t)len));
	EVP_EncodeBlock((unsigned char *)text, der, i2d_PUBKEY(pkey, &end));
	b->record = arena_print(b->arena, "v=DKIM1; k=rsa; p=%s", text);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
}

static DKIM_CBSTAT key_lookup(DKIM *handle, DKIM_SIGINFO *sig, unsigned char *buf, size_t size)
{
	const struct bench *b = dkim_get_user_context(handle);

	(void)sig;
	snprintf((char *)buf, size, "%s", b->record);
	return DKIM_CBSTAT_CONTINUE;
}

/* --- messages --- */

static void write_message(struct bench *b, size_t body_bytes)
{
	buffer_clear(&b->section);
	buffer_clear(&b->body);
	for (int i = 0; i < 4; i++)
		ENSURE(buffer_print(&b->section,
			"Received: from mx%d.example.net (mx%d.example.net [192.0.2.%d])\r\n"
			"\tby mail.example.com (Postfix) with ESMTPS id 4Rz%d;\r\n"
			"\tWed, 25 Nov 2026 16:29:%02d +0000 (UTC)\r\n",
			i, i, i, i, i));
	ENSURE(buffer_add_text(&b->section,
		"Date: Wed, 25 Nov 2026 16:29:54 +0000\r\n"
		"From: Someone <someone@example.com>\r\n"
		"To: Somebody Else <somebody@example.org>\r\n"
		"Cc: a@example.org, b@example.org,\r\n c@example.org\r\n"
		"Message-ID: <20261125162954.4Rz0@example.com>\r\n"
		"In-Reply-To: <20261124162954.4Rz0@example.org>\r\n"
		"References: <20261124162954.4Rz0@example.org>\r\n"
		"Subject: Minutes of the meeting on Tuesday and what we agreed on\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=utf-8\r\n"
		"Content-Transfer-Encoding: 8bit\r\n"
		"List-Id: The list <list.example.org>\r\n"
		"X-Mailer: Mailer 1.0\r\n"));
	while (b->body.len < body_bytes)
		ENSURE(buffer_add_text(&b->body, "A line of text as people write it, with some "
						 "words and  blanks in it.\r\n"));
}

static void feed(DKIM *handle, struct span section)
{
	while (section.len) {
		size_t end = 0;

		do
			end += span_find(span_from(section, end), SPAN("\r\n")) + 2;
		while (end < section.len && (section.at[end] == ' ' || section.at[end] == '\t'));
		ENSURE(dkim_header(handle, bytes(section), end - 2) == DKIM_STAT_OK);
		section = span_from(section, end);
	}
}

/* Puts the signature before the section. */
static void sign(struct bench *b)
{
	struct buffer fields = BUFFER_INIT(TEXT_MAX);
	DKIM_STAT status;
	DKIM *handle =
		dkim_sign(b->lib, (const unsigned char *)"-", NULL, (dkim_sigkey_t)b->private_pem,
			(const unsigned char *)SELECTOR, (const unsigned char *)DOMAIN,
			DKIM_CANON_RELAXED, DKIM_CANON_RELAXED, DKIM_SIGN_RSASHA256, -1, &status);
	unsigned char *text;
	size_t len;

	ENSURE(handle && status == DKIM_STAT_OK);
	feed(handle, buffer_span(&b->section));
	ENSURE(dkim_eoh(handle) == DKIM_STAT_OK);
	ENSURE(dkim_body(handle, bytes(buffer_span(&b->body)), b->body.len) == DKIM_STAT_OK);
	ENSURE(dkim_eom(handle, NULL) == DKIM_STAT_OK);
	ENSURE(dkim_getsighdr_d(handle, strlen(DKIM_SIGNHEADER) + 2, &text, &len) == DKIM_STAT_OK);
	ENSURE(buffer_print(&fields, "%s: ", DKIM_SIGNHEADER));
	for (size_t i = 0; i < len; i++) /* it folds by a line feed alone */
		ENSURE(buffer_print(&fields,
			text[i] == '\n' && (i == 0 || text[i - 1] != '\r') ? "\r%c" : "%c",
			text[i]));
	ENSURE(buffer_add_text(&fields, "\r\n") && buffer_add(&fields, buffer_span(&b->section)));
	buffer_free(&b->section);
	b->section = fields;
	(void)dkim_free(handle);
}

/* --- the two --- */

static void verify_alone(struct bench *b)
{
	DKIM_STAT status;
	DKIM *handle = dkim_verify(b->lib, (const unsigned char *)"-", NULL, &status);

	ENSURE(handle && dkim_set_user_context(handle, b) == DKIM_STAT_OK);
	feed(handle, buffer_span(&b->section));
	ENSURE(dkim_eoh(handle) == DKIM_STAT_OK);
	ENSURE(dkim_body(handle, bytes(buffer_span(&b->body)), b->body.len) == DKIM_STAT_OK);
	ENSURE(dkim_eom(handle, NULL) == DKIM_STAT_OK);
	(void)dkim_free(handle);
}

static void verify_ours(struct bench *b)
{
	struct arena *arena = arena_new(ARENA_BYTES);
	struct dkim_check *check =
		dkim_check_begin(b->library, buffer_span(&b->section), b->now_s, arena);
	struct wants wants = {.arena = arena};
	struct dkim_result result;

	dkim_check_wants(check, b->answers, &wants);
	ENSURE(wants.n == 0);
	dkim_check_body(check, buffer_span(&b->body));
	dkim_check_end(check, b->answers, &result);
	ENSURE(result.n == 1 && result.signatures[0].code == DKIM_IS_PASS);
	dkim_check_free(&check);
	arena_free(&arena);
}

static double measure(struct bench *b, void (*verify)(struct bench *), int times)
{
	double start = cpu_us();

	for (int i = 0; i < times; i++)
		verify(b);
	return (cpu_us() - start) / times;
}

/* The ratio of ours to the library alone. */
static double compare(struct bench *b, const char *what, size_t body_bytes, int times)
{
	double alone = 1e12, ours = 1e12;

	write_message(b, body_bytes);
	sign(b);
	for (int i = 0; i < ROUNDS; i++) {
		double a = measure(b, verify_alone, times), o = measure(b, verify_ours, times);

		alone = a < alone ? a : alone;
		ours = o < ours ? o : ours;
	}
	printf("%-6s %6zu bytes: libopendkim alone %8.1f us, ours %8.1f us: %.2f times\n", what,
		b->section.len + b->body.len, alone, ours, ours / alone);
	return ours / alone;
}

int main(void)
{
	unsigned flags = DKIM_LIBFLAGS_DELAYSIGPROC;
	struct bench b = {.arena = arena_new(ARENA_BYTES),
		.section = BUFFER_INIT(TEXT_MAX),
		.body = BUFFER_INIT(TEXT_MAX),
		.now_s = (uint64_t)time(NULL)};
	struct answer_record record;
	struct answer answer = {
		SPAN(SELECTOR "._domainkey." DOMAIN), ANSWER_TXT, ANSWER_FOUND, &record, 1};
	struct err err;
	double small, large;

	keys_make(&b);
	b.lib = dkim_init(NULL, NULL);
	b.library = dkim_library_open(&err);
	ENSURE(b.lib && b.library);
	ENSURE(dkim_options(b.lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags, sizeof(flags)) ==
		DKIM_STAT_OK);
	ENSURE(dkim_set_key_lookup(b.lib, key_lookup) == DKIM_STAT_OK);
	record = (struct answer_record){.text = span_text(b.record)};
	b.answers = answers_new(b.arena);
	ENSURE(answers_add(b.answers, &answer));
	small = compare(&b, "small", 2500, 300);
	compare(&b, "50 KB", 48000, 60);
	large = compare(&b, "large", 1000000, 5);
	buffer_free(&b.section);
	buffer_free(&b.body);
	dkim_library_close(&b.library);
	dkim_close(b.lib);
	arena_free(&b.arena);
	return small > 1 || large > 1 / 0.8;
}
