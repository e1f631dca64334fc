/* dkim_keys: what is kept is what would have been read, whichever keys came in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "authn/dkim_keys.h"

enum { SIGNERS = 300 }; /* more than are kept */

struct signer {
	char record[200];
	uint8_t hash[DKIM_HASH_SIZE], signature[64];
};

static struct signer signers[SIGNERS];

static void make(struct signer *signer, uint8_t number)
{
	EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t raw[32], text[64];
	size_t len = sizeof(raw), signature_len = sizeof(signer->signature);

	assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, raw, &len), 1);
	EVP_EncodeBlock(text, raw, (int)len);
	snprintf(signer->record, sizeof(signer->record), "v=DKIM1; k=ed25519; t=%s; p=%s",
		number % 2 ? "y" : "s", (const char *)text);
	for (size_t i = 0; i < sizeof(signer->hash); i++)
		signer->hash[i] = (uint8_t)(number + i);
	assert_int_equal(EVP_DigestSignInit(context, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(context, signer->signature, &signature_len, signer->hash,
				 sizeof(signer->hash)),
		1);
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(pkey);
}

static bool verifies(struct dkim_keys *keys, const struct signer *by, const struct signer *of)
{
	const char *problem;
	const struct dkim_key *key =
		dkim_keys_read(keys, span_text(by->record), DKIM_ED25519_SHA256, &problem);

	assert_null(problem);
	assert_int_equal(key->testing, (by - signers) % 2);
	assert_int_equal(key->domain_itself, !key->testing);
	return dkim_key_verifies(
		key, of->hash, span_make((const char *)of->signature, sizeof(of->signature)));
}

static void test_each_its_own(void **state)
{
	struct dkim_keys *keys = dkim_keys_new();

	(void)state;
	for (int i = 0; i < SIGNERS; i++)
		make(&signers[i], (uint8_t)i);
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < SIGNERS; i++) {
			assert_true(verifies(keys, &signers[i], &signers[i]));
			assert_true(verifies(keys, &signers[i], &signers[i]));
			assert_false(verifies(keys, &signers[i], &signers[(i + 1) % SIGNERS]));
		}
	dkim_keys_free(&keys);
	dkim_keys_free(&keys);
}

/* The same record for another algorithm is another key; what is wrong stays wrong. */
static void test_bad_ones(void **state)
{
	static const char *const records[] = {
		"v=DKIM1; k=ed25519; p=AAAA", "v=DKIM1; p=", "", "p", "v=DKIM1; k=rsa; p=MIGf"};
	struct dkim_keys *keys = dkim_keys_new();
	const char *problem, *expected;
	struct dkim_key key;

	(void)state;
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < sizeof(records) / sizeof(*records); i++)
			for (int algorithm = DKIM_RSA_SHA256; algorithm <= DKIM_ED25519_SHA256;
				algorithm++) {
				assert_false(dkim_key_read(span_text(records[i]),
					(enum dkim_algorithm)algorithm, &key, &expected));
				dkim_keys_read(keys, span_text(records[i]),
					(enum dkim_algorithm)algorithm, &problem);
				assert_string_equal(problem, expected);
			}
	make(&signers[0], 0);
	assert_true(verifies(keys, &signers[0], &signers[0]));
	dkim_keys_read(keys, span_text(signers[0].record), DKIM_RSA_SHA256, &problem);
	assert_non_null(problem);
	assert_true(verifies(keys, &signers[0], &signers[0]));
	dkim_keys_free(&keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_its_own),
		cmocka_unit_test(test_bad_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
