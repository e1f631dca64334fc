/*
 * RSA keys are taken apart here and handed to OpenSSL as two numbers. Its own decoder tries one
 * format after the other and takes 110 us for a key of 2048 bits; this takes 5, and verifying 25.
 * So no parsed keys are kept from message to message: a cache was planned, and has nothing to save.
 *
 * The reader takes what DER allows in such a key and nothing else.
 */
#include "authn/public_key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "authn/base64.h"
#include "lib/base/fail.h"
#include "lib/mail/tag_list.h"

/* --- DER --- */

enum { DER_INTEGER = 0x02, DER_BITS = 0x03, DER_SEQUENCE = 0x30 };

/* Takes an element with this tag off *in. */
static bool der_next(struct span *in, unsigned char tag, struct span *out)
{
	const unsigned char *at = (const unsigned char *)in->at;
	size_t n_length = 0, len;

	if (in->len < 2 || at[0] != tag)
		return false;
	len = at[1];
	if (len & 0x80) {
		n_length = len & 0x7f;
		if (n_length < 1 || n_length > 2 || in->len < 2 + n_length)
			return false;
		len = n_length == 1 ? at[2] : (size_t)at[2] << 8 | at[3];
	}
	if (len > in->len - 2 - n_length)
		return false;
	*out = span_first(span_from(*in, 2 + n_length), len);
	*in = span_from(*in, 2 + n_length + len);
	return true;
}

/* A number above zero, without its leading zeros. */
static bool der_number(struct span *in, struct span *out)
{
	if (!der_next(in, DER_INTEGER, out) || out->len == 0 || (out->at[0] & 0x80))
		return false;
	while (out->len && out->at[0] == 0)
		*out = span_from(*out, 1);
	return out->len > 0;
}

/* RFC 8017 A.1.1 */
static bool rsa_numbers(struct span der, struct span *modulus, struct span *exponent)
{
	struct span body;

	return der_next(&der, DER_SEQUENCE, &body) && der.len == 0 && der_number(&body, modulus) &&
	       der_number(&body, exponent) && body.len == 0;
}

/* RFC 3279 2.3.1: the bare key inside of a SubjectPublicKeyInfo. */
static bool rsa_inner(struct span der, struct span *inner)
{
	static const char oid[] = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
	struct span body, algorithm;

	if (!der_next(&der, DER_SEQUENCE, &body) || der.len ||
		!der_next(&body, DER_SEQUENCE, &algorithm) ||
		!span_starts(algorithm, span_make(oid, sizeof(oid) - 1)) ||
		!der_next(&body, DER_BITS, inner) || body.len || inner->len == 0 || inner->at[0])
		return false;
	*inner = span_from(*inner, 1);
	return true;
}

/* --- to OpenSSL --- */

static EVP_PKEY *rsa_from(const BIGNUM *modulus, const BIGNUM *exponent)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM *parameters;
	EVP_PKEY *key = NULL;

	ENSURE(builder && context && EVP_PKEY_fromdata_init(context) == 1 &&
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1);
	parameters = OSSL_PARAM_BLD_to_param(builder);
	ENSURE(parameters);
	if (EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		key = NULL;
	OSSL_PARAM_free(parameters);
	OSSL_PARAM_BLD_free(builder);
	EVP_PKEY_CTX_free(context);
	return key;
}

static EVP_PKEY *rsa_key(struct span der, const char **problem)
{
	struct span inner = der, n, e;
	BIGNUM *modulus, *exponent;
	EVP_PKEY *key = NULL;

	*problem = "the key can't be read";
	if (rsa_inner(der, &inner))
		der = inner;
	if (!rsa_numbers(der, &n, &e))
		return NULL;
	/* A verification takes as long as the exponent is; 17 bits are usual. */
	if (e.len > 8 || n.len > PUBLIC_KEY_BITS_MAX / 8) {
		*problem = "the key is too long";
		return NULL;
	}
	modulus = BN_bin2bn((const unsigned char *)n.at, (int)n.len, NULL);
	exponent = BN_bin2bn((const unsigned char *)e.at, (int)e.len, NULL);
	ENSURE(modulus && exponent);
	if (BN_num_bits(modulus) < PUBLIC_KEY_BITS_MIN)
		*problem = "the key is shorter than 1024 bits";
	else
		key = rsa_from(modulus, exponent);
	BN_free(modulus);
	BN_free(exponent);
	return key;
}

static EVP_PKEY *key_of(enum key_type type, struct span value, const char **problem)
{
	uint8_t bytes[PUBLIC_KEY_RECORD_MAX];
	size_t len;

	*problem = "the key is revoked";
	if (value.len == 0)
		return NULL;
	*problem = "the key can't be read";
	if (!base64_read(value, bytes, sizeof(bytes), &len))
		return NULL;
	if (type == KEY_RSA)
		return rsa_key(span_make(bytes, len), problem);
	/* RFC 8463 4.2: the 32 bytes alone. */
	return len == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, len) : NULL;
}

/* --- records --- */

/* Whether a list of words with colons between them holds one. */
static bool list_holds(struct span list, struct span word)
{
	while (list.len) {
		size_t end = span_find_char(list, ':');

		if (span_equal(span_trim(span_first(list, end)), word))
			return true;
		list = span_from(list, end + 1);
	}
	return false;
}

/* RFC 6376 3.6.1 */
static EVP_PKEY *record_read(struct span record, enum key_type type, const char **problem)
{
	struct span name = type == KEY_RSA ? SPAN("rsa") : SPAN("ed25519");
	struct tag_list tags;
	struct span version, kind, hashes, services, value;

	*problem = "the key record can't be read";
	if (record.len > PUBLIC_KEY_RECORD_MAX || !tag_list_read(record, &tags))
		return NULL;
	version = tag_list_find(&tags, SPAN("v"));
	value = tag_list_find(&tags, SPAN("p"));
	if (!value.at || (version.at && (!span_equal(version, SPAN("DKIM1")) ||
						!span_equal(tags.items[0].name, SPAN("v")))))
		return NULL;
	kind = tag_list_find(&tags, SPAN("k"));
	hashes = tag_list_find(&tags, SPAN("h"));
	services = tag_list_find(&tags, SPAN("s"));
	*problem = "the key is not for this algorithm";
	if (!span_equal(kind.at ? kind : SPAN("rsa"), name) ||
		(hashes.at && !list_holds(hashes, SPAN("sha256"))))
		return NULL;
	*problem = "the key is not for mail";
	if (services.at && !list_holds(services, SPAN("*")) && !list_holds(services, SPAN("email")))
		return NULL;
	return key_of(type, value, problem);
}

/* --- signatures --- */

/* RFC 8017 8.2.2 */
static bool rsa_verifies(EVP_PKEY *key, const struct signature *signature)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
	bool good;

	ENSURE(context);
	good = EVP_PKEY_verify_init(context) == 1 &&
	       EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
	       EVP_PKEY_verify(context, signature->bytes, signature->len, signature->hash,
		       SHA256_SIZE) == 1;
	EVP_PKEY_CTX_free(context);
	return good;
}

/* RFC 8463 3: the hash is the message. */
static bool ed25519_verifies(EVP_PKEY *key, const struct signature *signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good;

	ENSURE(context);
	good = EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
	       EVP_DigestVerify(context, signature->bytes, signature->len, signature->hash,
		       SHA256_SIZE) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

bool public_key_verifies(
	struct span record, const struct signature *signature, const char **problem)
{
	EVP_PKEY *key = record_read(record, signature->type, problem);
	bool good;

	if (!key) {
		ERR_clear_error();
		return false;
	}
	good = signature->type == KEY_RSA ? rsa_verifies(key, signature)
					  : ed25519_verifies(key, signature);
	EVP_PKEY_free(key);
	ERR_clear_error();
	if (!good)
		*problem = "the signature is not by this key or for other content";
	return good;
}
