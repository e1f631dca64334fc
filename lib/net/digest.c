#include "lib/net/digest.h"

#include <openssl/evp.h>

static const EVP_MD *digest_of(unsigned digits)
{
	switch (digits) {
	case 32:
		return EVP_md5();
	case 40:
		return EVP_sha1();
	case 64:
		return EVP_sha256();
	default:
		return NULL;
	}
}

bool digest_hex(unsigned digits, struct span text, char *hex)
{
	static const char digit[] = "0123456789abcdef";
	const EVP_MD *md = digest_of(digits);
	unsigned char bytes[EVP_MAX_MD_SIZE];
	unsigned size;

	if (!md || !EVP_Digest(text.at ? text.at : "", text.len, bytes, &size, md, NULL) ||
		2 * size != digits)
		return false;
	for (unsigned i = 0; i < size; i++) {
		hex[2 * i] = digit[bytes[i] >> 4];
		hex[2 * i + 1] = digit[bytes[i] & 15];
	}
	return true;
}
