#include "tests/unit/dkim_sign.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "lib/base/buffer.h"
#include "lib/base/fail.h"
#include "tests/data/dkim_keys.h"

enum { HASH_MAX = 32, BYTES_MAX = 1024 };

const char *const sign_record_too_long = dkim_record_rsa4104;

static EVP_PKEY *private_key(enum sign_key key)
{
	static const char *const pem[] = {dkim_key_rsa768, dkim_key_rsa1024, dkim_key_rsa2048,
		dkim_key_rsa4096, dkim_key_ed25519};
	BIO *bio = BIO_new_mem_buf(pem[key], -1);
	EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

	ENSURE(pkey);
	BIO_free(bio);
	return pkey;
}

static char *base64(const unsigned char *bytes, size_t len, struct arena *arena)
{
	char *text = arena_alloc(arena, len * 4 / 3 + 5);

	EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
	return text;
}

static size_t sign_rsa(EVP_PKEY *pkey, const EVP_MD *md, const unsigned char *hash, size_t hash_len,
	unsigned char *out)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);
	size_t len = BYTES_MAX;

	ENSURE(context && EVP_PKEY_sign_init(context) == 1 &&
		EVP_PKEY_CTX_set_signature_md(context, md) == 1 &&
		EVP_PKEY_sign(context, out, &len, hash, hash_len) == 1);
	EVP_PKEY_CTX_free(context);
	return len;
}

static size_t sign_ed25519(
	EVP_PKEY *pkey, const unsigned char *hash, size_t hash_len, unsigned char *out)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t len = BYTES_MAX;

	ENSURE(context && EVP_DigestSignInit(context, NULL, NULL, NULL, pkey) == 1 &&
		EVP_DigestSign(context, out, &len, hash, hash_len) == 1);
	EVP_MD_CTX_free(context);
	return len;
}

char *sign_field(const struct signing *how, struct arena *arena)
{
	const EVP_MD *md = EVP_sha256();
	const char *b = how->b ? how->b : "b=";
	const char *behind = how->behind ? how->behind : "";
	EVP_PKEY *pkey = private_key(how->key);
	unsigned char hash[HASH_MAX], signature[BYTES_MAX];
	unsigned hash_len;
	size_t len;
	char *bh, *hashed;

	ENSURE(EVP_Digest(how->body, strlen(how->body), hash, &hash_len, md, NULL) == 1);
	bh = base64(hash, hash_len, arena);
	hashed = arena_print(arena, "%s%s%sbh=%s; %s%s", how->fields,
		how->simple ? "DKIM-Signature: " : "dkim-signature:", how->tags, bh, b, behind);
	ENSURE(EVP_Digest(hashed, strlen(hashed), hash, &hash_len, md, NULL) == 1);
	len = how->key == SIGN_ED25519 ? sign_ed25519(pkey, hash, hash_len, signature)
				       : sign_rsa(pkey, md, hash, hash_len, signature);
	EVP_PKEY_free(pkey);
	return arena_print(arena, "DKIM-Signature: %sbh=%s; %s%s%s\r\n", how->tags, bh, b,
		base64(signature, len, arena), behind);
}

char *sign_public(enum sign_key key, bool bare, struct arena *arena)
{
	EVP_PKEY *pkey = private_key(key);
	unsigned char bytes[BYTES_MAX], *at = bytes;
	size_t len = sizeof(bytes);

	if (key == SIGN_ED25519)
		ENSURE(EVP_PKEY_get_raw_public_key(pkey, bytes, &len) == 1);
	else
		len = (size_t)(bare ? i2d_PublicKey(pkey, &at) : i2d_PUBKEY(pkey, &at));
	EVP_PKEY_free(pkey);
	return base64(bytes, len, arena);
}

char *sign_record(enum sign_key key, struct arena *arena)
{
	return arena_print(arena, "v=DKIM1; k=%s; p=%s", key == SIGN_ED25519 ? "ed25519" : "rsa",
		sign_public(key, false, arena));
}
