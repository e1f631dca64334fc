#include "bench/sample.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>

#include "lib/base/fail.h"

enum { KEY_BITS = 2048, ARENA_BYTES = 16 * 1024, TEXT_MAX = 4 << 20 };

static unsigned char *bytes(struct span s)
{
	return (unsigned char *)(uintptr_t)s.at;
}

/* --- keys --- */

static void keys_make(struct sample *sample)
{
	EVP_PKEY *pkey = EVP_RSA_gen(KEY_BITS);
	BIO *bio = BIO_new(BIO_s_mem());
	unsigned char der[1024], *end = der;
	char *pem, text[2048];
	long len;

	ENSURE(pkey &&
		PEM_write_bio_PrivateKey_traditional(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1);
	len = BIO_get_mem_data(bio, &pem);
	sample->private_pem = arena_string(sample->arena, span_make(pem, (size_t)len));
	EVP_EncodeBlock((unsigned char *)text, der, i2d_PUBKEY(pkey, &end));
	sample->record = arena_print(sample->arena, "v=DKIM1; k=rsa; p=%s", text);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
}

static DKIM_CBSTAT key_lookup(DKIM *handle, DKIM_SIGINFO *sig, unsigned char *buf, size_t size)
{
	const struct sample *sample = dkim_get_user_context(handle);

	(void)sig;
	snprintf((char *)buf, size, "%s", sample->record);
	return DKIM_CBSTAT_CONTINUE;
}

void sample_open(struct sample *sample)
{
	unsigned flags = DKIM_LIBFLAGS_DELAYSIGPROC;

	*sample = (struct sample){.arena = arena_new(ARENA_BYTES),
		.lib = dkim_init(NULL, NULL),
		.section = BUFFER_INIT(TEXT_MAX),
		.body = BUFFER_INIT(TEXT_MAX)};
	keys_make(sample);
	ENSURE(sample->lib && dkim_options(sample->lib, DKIM_OP_SETOPT, DKIM_OPTS_FLAGS, &flags,
				      sizeof(flags)) == DKIM_STAT_OK);
	ENSURE(dkim_set_key_lookup(sample->lib, key_lookup) == DKIM_STAT_OK);
}

void sample_close(struct sample *sample)
{
	buffer_free(&sample->section);
	buffer_free(&sample->body);
	dkim_close(sample->lib);
	arena_free(&sample->arena);
}

/* --- the message --- */

static void text_write(struct sample *sample, size_t body_bytes)
{
	buffer_clear(&sample->section);
	buffer_clear(&sample->body);
	for (int i = 0; i < 4; i++)
		ENSURE(buffer_print(&sample->section,
			"Received: from mx%d.example.net (mx%d.example.net [192.0.2.%d])\r\n"
			"\tby mail." SAMPLE_DOMAIN " (Postfix) with ESMTPS id 4Rz%d;\r\n"
			"\tWed, 25 Nov 2026 16:29:%02d +0000 (UTC)\r\n",
			i, i, i, i, i));
	ENSURE(buffer_add_text(&sample->section,
		"Date: Wed, 25 Nov 2026 16:29:54 +0000\r\n"
		"From: Someone <someone@" SAMPLE_DOMAIN ">\r\n"
		"To: Somebody Else <somebody@example.org>\r\n"
		"Cc: a@example.org, b@example.org,\r\n c@example.org\r\n"
		"Message-ID: <20261125162954.4Rz0@" SAMPLE_DOMAIN ">\r\n"
		"In-Reply-To: <20261124162954.4Rz0@example.org>\r\n"
		"References: <20261124162954.4Rz0@example.org>\r\n"
		"Subject: Minutes of the meeting on Tuesday and what we agreed on\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: text/plain; charset=utf-8\r\n"
		"Content-Transfer-Encoding: 8bit\r\n"
		"List-Id: The list <list.example.org>\r\n"
		"X-Mailer: Mailer 1.0\r\n"));
	while (sample->body.len < body_bytes)
		ENSURE(buffer_add_text(&sample->body, "A line of text as people write it, with "
						      "some words and  blanks in it.\r\n"));
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
static void sign(struct sample *sample)
{
	struct buffer fields = BUFFER_INIT(TEXT_MAX);
	DKIM_STAT status;
	DKIM *handle = dkim_sign(sample->lib, (const unsigned char *)"-", NULL,
		(dkim_sigkey_t)sample->private_pem, (const unsigned char *)"k",
		(const unsigned char *)SAMPLE_DOMAIN, DKIM_CANON_RELAXED, DKIM_CANON_RELAXED,
		DKIM_SIGN_RSASHA256, -1, &status);
	unsigned char *text;
	size_t len;

	ENSURE(handle && status == DKIM_STAT_OK);
	feed(handle, buffer_span(&sample->section));
	ENSURE(dkim_eoh(handle) == DKIM_STAT_OK);
	ENSURE(dkim_body(handle, bytes(buffer_span(&sample->body)), sample->body.len) ==
		DKIM_STAT_OK);
	ENSURE(dkim_eom(handle, NULL) == DKIM_STAT_OK);
	ENSURE(dkim_getsighdr_d(handle, strlen(DKIM_SIGNHEADER) + 2, &text, &len) == DKIM_STAT_OK);
	ENSURE(buffer_print(&fields, "%s: ", DKIM_SIGNHEADER));
	for (size_t i = 0; i < len; i++) /* it folds by a line feed alone */
		ENSURE(buffer_print(&fields,
			text[i] == '\n' && (i == 0 || text[i - 1] != '\r') ? "\r%c" : "%c",
			text[i]));
	ENSURE(buffer_add_text(&fields, "\r\n") &&
		buffer_add(&fields, buffer_span(&sample->section)));
	buffer_free(&sample->section);
	sample->section = fields;
	(void)dkim_free(handle);
}

void sample_write(struct sample *sample, size_t more_header_bytes, size_t body_bytes)
{
	size_t usual;

	text_write(sample, body_bytes);
	sign(sample);
	for (usual = sample->section.len; sample->section.len < usual + more_header_bytes;)
		ENSURE(buffer_add_text(&sample->section, "X-Trace: something that machines on the "
							 "way had to say of the message\r\n"));
}

void sample_names(const struct sample *sample, struct name_text out[SAMPLE_NAMES])
{
	out[0] = (struct name_text){
		SAMPLE_DOMAIN, "v=spf1 ip4:192.0.2.0/24 include:_spf." SAMPLE_DOMAIN " -all"};
	out[1] = (struct name_text){"_spf." SAMPLE_DOMAIN, "v=spf1 ip4:127.0.0.0/8 -all"};
	out[2] = (struct name_text){"_dmarc." SAMPLE_DOMAIN, "v=DMARC1; p=reject"};
	out[3] = (struct name_text){SAMPLE_KEY_NAME, sample->record};
}

void sample_verify(const struct sample *sample)
{
	DKIM_STAT status;
	DKIM *handle = dkim_verify(sample->lib, (const unsigned char *)"-", NULL, &status);

	ENSURE(handle && dkim_set_user_context(handle, (void *)(uintptr_t)sample) == DKIM_STAT_OK);
	feed(handle, buffer_span(&sample->section));
	ENSURE(dkim_eoh(handle) == DKIM_STAT_OK);
	ENSURE(dkim_body(handle, bytes(buffer_span(&sample->body)), sample->body.len) ==
		DKIM_STAT_OK);
	ENSURE(dkim_eom(handle, NULL) == DKIM_STAT_OK);
	(void)dkim_free(handle);
}
