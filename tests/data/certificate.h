/*
 * certificate: a key and a self-signed certificate made on the spot, so that none that one day
 * expires lies in the tree. For tests only.
 */
#ifndef TESTS_CERTIFICATE_H
#define TESTS_CERTIFICATE_H

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/fail.h"
#include "lib/base/span.h"

struct certificate {
	BIO *chain, *key; /* owned: PEM */
};

static inline struct span certificate_pem(BIO *bio)
{
	char *at;
	long len = BIO_get_mem_data(bio, &at);

	return span_make(at, (size_t)len);
}

static inline void certificate_extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	ENSURE(extension && X509_add_ext(x, extension, -1) == 1);
	X509_EXTENSION_free(extension);
}

/* names: "DNS:mx.example.net,IP:127.0.0.1"; common_name: its subject. Good for an hour around now.
 */
static inline struct certificate certificate_new(const char *common_name, const char *names)
{
	struct certificate c = {BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem())};
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);

	ENSURE(c.chain && c.key && key && subject);
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(
		subject, "CN", MBSTRING_ASC, (const unsigned char *)common_name, -1, -1, 0);
	X509_set_issuer_name(x, subject);
	X509_set_pubkey(x, key);
	certificate_extend(x, NID_basic_constraints, "critical,CA:TRUE");
	certificate_extend(x, NID_subject_alt_name, names);
	ENSURE(X509_sign(x, key, EVP_sha256()) > 0);
	ENSURE(PEM_write_bio_X509(c.chain, x) == 1);
	ENSURE(PEM_write_bio_PrivateKey(c.key, key, NULL, NULL, 0, NULL, NULL) == 1);
	X509_free(x);
	EVP_PKEY_free(key);
	return c;
}

static inline void certificate_free(struct certificate *c)
{
	BIO_free(c->chain);
	BIO_free(c->key);
	c->chain = c->key = NULL;
}

#endif
