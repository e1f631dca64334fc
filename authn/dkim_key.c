/*
 * An RSA key is taken apart here and handed to OpenSSL as two numbers. Its decoder tries one format
 * after the other and needs 110 us and more for 2048 bits; this needs 5, and to verify takes 25.
 *
 * Both forms of RSA keys are read that are found in DNS: SubjectPublicKeyInfo, which all publish,
 * and RSAPublicKey, which the text of RFC 6376 speaks of.
 */
#include "authn/dkim_key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "authn/base64.h"
#include "lib/base/fail.h"
#include "lib/mail/tag_list.h"

/* --- DER (X.690), as far as a key needs it --- */

enum { DER_INTEGER = 0x02, DER_BIT_STRING = 0x03, DER_SEQUENCE = 0x30 };

/* Takes the element at the front, which has this tag, off *in. */
static bool der_take(struct span *in, unsigned char tag, struct span *content)
{
	const unsigned char *at = (const unsigned char *)in->at;
	size_t head = 2, len;

	if (in->len < 2 || at[0] != tag)
		return false;
	len = at[1];
	if (len >= 0x80) {
		head += len - 0x80;
		if (len < 0x81 || len > 0x82 || in->len < head)
			return false;
		len = len == 0x81 ? at[2] : (size_t)at[2] << 8 | at[3];
	}
	if (in->len - head < len)
		return false;
	*content = span_first(span_from(*in, head), len);
	*in = span_from(*in, head + len);
	return true;
}

/* A number above zero, without zeros before it. */
static bool der_take_number(struct span *in, struct span *number)
{
	if (!der_take(in, DER_INTEGER, number) || number->len == 0 || number->at[0] & 0x80)
		return false;
	while (number->len && number->at[0] == 0)
		*number = span_from(*number, 1);
	return number->len > 0;
}

/* RFC 8017 A.1.1 */
static bool rsa_take_apart(struct span der, struct span *modulus, struct span *exponent)
{
	struct span numbers;

	return der_take(&der, DER_SEQUENCE, &numbers) && der_take_number(&numbers, modulus) &&
	       der_take_number(&numbers, exponent);
}

/* RFC 5280 4.1, RFC 3279 2.3.1: what is inside of a SubjectPublicKeyInfo; the key itself if it is
 * none. */
static struct span rsa_unwrap(struct span der)
{
	static const char rsa[] = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
	struct span info, algorithm, key, outer = der;

	if (der_take(&outer, DER_SEQUENCE, &info) && der_take(&info, DER_SEQUENCE, &algorithm) &&
		span_starts(algorithm, span_make(rsa, sizeof(rsa) - 1)) &&
		der_take(&info, DER_BIT_STRING, &key) && key.len > 1 && key.at[0] == 0)
		return span_from(key, 1);
	return der;
}

/* --- keys --- */

/* NULL: OpenSSL does not want these numbers. */
static EVP_PKEY *rsa_new(const BIGNUM *modulus, const BIGNUM *exponent)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM *parameters;
	EVP_PKEY *pkey = NULL;

	ENSURE(builder && context && EVP_PKEY_fromdata_init(context) == 1);
	ENSURE(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1);
	ENSURE(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1);
	parameters = OSSL_PARAM_BLD_to_param(builder);
	ENSURE(parameters);
	if (EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		pkey = NULL;
	OSSL_PARAM_free(parameters);
	OSSL_PARAM_BLD_free(builder);
	EVP_PKEY_CTX_free(context);
	return pkey;
}

static const char *rsa_read(struct span der, struct dkim_key *out)
{
	struct span n, e;
	BIGNUM *modulus, *exponent;

	if (!rsa_take_apart(rsa_unwrap(der), &n, &e))
		return "the key can't be read";
	modulus = BN_bin2bn((const unsigned char *)n.at, (int)n.len, NULL);
	exponent = BN_bin2bn((const unsigned char *)e.at, (int)e.len, NULL);
	ENSURE(modulus && exponent);
	out->bits = (uint32_t)BN_num_bits(modulus);
	/* Verifying takes time with the length of both; 17 bits of exponent are usual. */
	if (out->bits >= DKIM_KEY_BITS_MIN && out->bits <= DKIM_KEY_BITS_MAX &&
		BN_num_bits(exponent) <= 64)
		out->pkey = rsa_new(modulus, exponent);
	BN_free(modulus);
	BN_free(exponent);
	if (out->pkey)
		return NULL;
	return out->bits < DKIM_KEY_BITS_MIN   ? "the key is shorter than 1024 bits"
	       : out->bits > DKIM_KEY_BITS_MAX ? "the key is longer than 4096 bits"
					       : "the key can't be read";
}

/* RFC 8463 4.2: the 32 bytes alone. */
static const char *ed25519_read(struct span bytes, struct dkim_key *out)
{
	if (bytes.len == 32)
		out->pkey = EVP_PKEY_new_raw_public_key(
			EVP_PKEY_ED25519, NULL, (const unsigned char *)bytes.at, bytes.len);
	if (!out->pkey)
		return "the key can't be read";
	out->bits = 256;
	return NULL;
}

/* --- records --- */

static bool record_read(struct span record, struct tag_list *tags)
{
	struct span version;

	if (record.len > DKIM_KEY_RECORD_MAX || !tag_list_read(record, tags))
		return false;
	version = tag_list_find(tags, SPAN("v"));
	return (!version.at || span_equal(version, SPAN("DKIM1"))) &&
	       tag_list_find(tags, SPAN("p")).at;
}

bool dkim_key_is(struct span record)
{
	struct tag_list tags;

	return record_read(record, &tags);
}

/* RFC 6376 3.6.1: what the key may be used for. NULL: for this. */
static const char *tags_forbid(const struct tag_list *tags, enum dkim_algorithm algorithm)
{
	struct span kind = tag_list_find(tags, SPAN("k"));
	struct span hashes = tag_list_find(tags, SPAN("h"));
	struct span services = tag_list_find(tags, SPAN("s"));

	if (!span_equal(kind.at ? kind : SPAN("rsa"),
		    algorithm == DKIM_RSA_SHA256 ? SPAN("rsa") : SPAN("ed25519")))
		return "the key is for another algorithm";
	if (hashes.at && !tag_words_have(hashes, SPAN("sha256")))
		return "the key is not for SHA-256";
	if (services.at && !tag_words_have(services, SPAN("*")) &&
		!tag_words_have(services, SPAN("email")))
		return "the key is not for mail";
	return NULL;
}

bool dkim_key_read(struct span record, enum dkim_algorithm algorithm, struct dkim_key *out,
	const char **problem)
{
	struct tag_list tags;
	struct span value, flags;
	uint8_t bytes[DKIM_KEY_RECORD_MAX];
	size_t len;

	*out = (struct dkim_key){.algorithm = algorithm};
	*problem = "the key record can't be read";
	if (!record_read(record, &tags))
		return false;
	flags = tag_list_find(&tags, SPAN("t"));
	out->testing = tag_words_have(flags, SPAN("y"));
	out->domain_itself = tag_words_have(flags, SPAN("s"));
	value = tag_list_find(&tags, SPAN("p"));
	*problem = "the key is revoked";
	if (value.len == 0)
		return false;
	*problem = tags_forbid(&tags, algorithm);
	if (*problem)
		return false;
	*problem = "the key can't be read";
	if (!base64_read(value, bytes, sizeof(bytes), &len))
		return false;
	*problem = algorithm == DKIM_RSA_SHA256 ? rsa_read(span_make(bytes, len), out)
						: ed25519_read(span_make(bytes, len), out);
	ERR_clear_error();
	return *problem == NULL;
}

void dkim_key_free(struct dkim_key *key)
{
	EVP_PKEY_free(key->pkey);
	key->pkey = NULL;
}

/* --- signatures --- */

/* RFC 8017 8.2.2 */
static bool rsa_verifies(EVP_PKEY *pkey, const uint8_t *hash, struct span signature)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
	bool good;

	ENSURE(context && EVP_PKEY_verify_init(context) == 1 &&
		EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
		EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1);
	good = EVP_PKEY_verify(context, (const unsigned char *)signature.at, signature.len, hash,
		       DKIM_HASH_SIZE) == 1;
	EVP_PKEY_CTX_free(context);
	return good;
}

/* RFC 8463 3: the hash is the message. */
static bool ed25519_verifies(EVP_PKEY *pkey, const uint8_t *hash, struct span signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good;

	ENSURE(context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey) == 1);
	good = EVP_DigestVerify(context, (const unsigned char *)signature.at, signature.len, hash,
		       DKIM_HASH_SIZE) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

bool dkim_key_verifies(
	const struct dkim_key *key, const uint8_t hash[DKIM_HASH_SIZE], struct span signature)
{
	bool good = key->algorithm == DKIM_RSA_SHA256
			    ? rsa_verifies(key->pkey, hash, signature)
			    : ed25519_verifies(key->pkey, hash, signature);

	ERR_clear_error();
	return good;
}
