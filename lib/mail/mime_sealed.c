/*
 * Signatures of encryption.
 *
 * ZIP: bit 0 of the flags in a local or a central header (APPNOTE 4.4.4). Any header counts, since
 * one file left open in front is all it takes to deceive a look at the first. RAR: the header's own
 * flags, walked through as far as the head reaches. 7z: the coder for AES, in the header at its
 * end (where that is itself compressed, this cannot be told). PDF: a trailer with /Encrypt. Office:
 * [MS-OFFCRYPTO] keeps the encrypted document in a stream EncryptedPackage of an OLE file, whose
 * directory may stand anywhere.
 */
#include "lib/mail/mime_sealed.h"

void sealed_init(struct sealed *s)
{
	/* Not the bytes of the head: there are many parts. */
	s->kind = SEALED_UNKNOWN;
	s->encrypted = false;
	s->seen = s->trailer = 0;
	s->head_len = 0;
}

static uint32_t little(struct span s, size_t at, size_t bytes)
{
	uint32_t value = 0;

	for (size_t i = bytes; i > 0; i--)
		value = value << 8 | (uint8_t)s.at[at + i - 1];
	return value;
}

/* --- ZIP --- */

/* Whether a header stands here: signature, a version below 10.0, a method that there is. */
static bool zip_header(struct span s, bool *encrypted)
{
	bool central = span_starts(s, SPAN("PK\x01\x02"));
	size_t at = central ? 6 : 4;
	uint32_t version, flags, method;

	if (!central && !span_starts(s, SPAN("PK\x03\x04")))
		return false;
	if (s.len < at + 6)
		return false;
	version = little(s, at, 2) & 0xFF;
	flags = little(s, at + 2, 2);
	method = little(s, at + 4, 2);
	if (version > 100 || method > 99)
		return false;
	*encrypted = flags & 1;
	return true;
}

static bool zip_encrypted(struct span s)
{
	bool encrypted = false;

	for (;;) {
		s = span_from(s, span_find(s, SPAN("PK")));
		if (s.len == 0)
			return false;
		if (zip_header(s, &encrypted) && encrypted)
			return true;
		s = span_from(s, 2);
	}
}

/* --- RAR --- */

/* Blocks of version 1.5 to 4: CRC, type, flags, size of the header, and of the data behind it. */
static bool rar4_encrypted(struct span s)
{
	enum { MAIN = 0x73, FILE_HEADER = 0x74 };

	s = span_from(s, 7);
	while (s.len >= 11) {
		uint32_t type = little(s, 2, 1), flags = little(s, 3, 2), size = little(s, 5, 2);

		if ((type == MAIN && (flags & 0x80)) || (type == FILE_HEADER && (flags & 4)))
			return true;
		if (size < 7)
			return false;
		/* Of files, and of others that say so, data follows. */
		s = span_from(
			s, (size_t)size +
				   (type == FILE_HEADER || (flags & 0x8000) ? little(s, 7, 4) : 0));
	}
	return false;
}

/* A number of 7 bits a byte, the lowest first; false: it does not end here. */
static bool take_number(struct span *s, uint64_t *out)
{
	*out = 0;
	for (unsigned shift = 0; s->len && shift < 63; shift += 7) {
		uint8_t byte = (uint8_t)s->at[0];

		*s = span_from(*s, 1);
		*out |= (uint64_t)(byte & 127) << shift;
		if (byte < 128)
			return true;
	}
	return false;
}

/* Whether a file header's extra area has a record of encryption (type 1). */
static bool rar5_extra(struct span extra)
{
	uint64_t size, type;

	while (take_number(&extra, &size)) {
		struct span record = span_first(extra, size < extra.len ? (size_t)size : extra.len);

		extra = span_from(extra, record.len);
		if (take_number(&record, &type) && type == 1)
			return true;
	}
	return false;
}

/* Blocks of version 5: CRC, size of the header, type, flags, sizes of extra area and data. */
static bool rar5_encrypted(struct span s)
{
	enum { FILE_BLOCK = 2, ENCRYPTION = 4, HAS_EXTRA = 1, HAS_DATA = 2 };

	s = span_from(s, 8);
	while (s.len > 4) {
		uint64_t size, type, flags, extra = 0, data = 0;
		struct span header;

		s = span_from(s, 4);
		if (!take_number(&s, &size) || size == 0)
			return false;
		header = span_first(s, size < s.len ? (size_t)size : s.len);
		s = span_from(s, header.len);
		if (!take_number(&header, &type) || !take_number(&header, &flags))
			return false;
		if (((flags & HAS_EXTRA) && !take_number(&header, &extra)) ||
			((flags & HAS_DATA) && !take_number(&header, &data)))
			return false;
		if (type == ENCRYPTION)
			return true;
		if (type == FILE_BLOCK && extra <= header.len &&
			rar5_extra(span_from(header, header.len - (size_t)extra)))
			return true;
		s = span_from(s, data < s.len ? (size_t)data : s.len);
	}
	return false;
}

/* --- others --- */

/* /Encrypt as a key: what follows is a reference or a dictionary. */
static bool pdf_encrypted(struct span s)
{
	for (;;) {
		s = span_from(s, span_find(s, SPAN("/Encrypt")));
		if (s.len < 9)
			return false;
		s = span_from(s, 8);
		if (s.at[0] == '<' || (unsigned char)s.at[0] <= ' ' || ascii_is_digit(s.at[0]))
			return true;
	}
}

/* "EncryptedPackage" in UTF-16, as a directory entry begins. */
static bool ole_encrypted(struct span s)
{
	static const char name[] = "E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e";

	return span_find(s, span_make(name, sizeof(name))) < s.len;
}

/* The header's place is known from the start; only from there on AES's number means something. */
static bool sevenzip_encrypted(const struct sealed *s, struct span bytes, uint64_t position)
{
	struct span aes = SPAN("\x06\xF1\x07\x01");

	if (position < s->trailer)
		bytes = span_from(bytes, s->trailer - position < bytes.len
						 ? (size_t)(s->trailer - position)
						 : bytes.len);
	return span_find(bytes, aes) < bytes.len;
}

/* CMS EnvelopedData or AuthEnvelopedData (RFC 5652 6.1, RFC 5083): the object identifier. */
static bool cms_encrypted(struct span head)
{
	struct span start = span_first(head, 32);

	return span_starts(head, SPAN("\x30")) &&
	       (span_find(start, SPAN("\x2A\x86\x48\x86\xF7\x0D\x01\x07\x03")) < start.len ||
		       span_find(start, SPAN("\x2A\x86\x48\x86\xF7\x0D\x01\x09\x10\x01\x17")) <
			       start.len);
}

/* Bytes at `position`, of which those before it were seen as well. */
static bool look(const struct sealed *s, struct span bytes, uint64_t position)
{
	switch (s->kind) {
	case SEALED_ZIP:
		return zip_encrypted(bytes);
	case SEALED_7Z:
		return sevenzip_encrypted(s, bytes, position);
	case SEALED_PDF:
		return pdf_encrypted(bytes);
	case SEALED_OLE:
		return ole_encrypted(bytes);
	case SEALED_UNKNOWN:
	case SEALED_OTHER:
		break;
	}
	return false;
}

/* The head is whole: what it is, and what it tells. */
static void classify(struct sealed *s)
{
	struct span head = span_make(s->head, s->head_len), front = span_first(head, 1024);

	s->kind = SEALED_OTHER;
	if (span_starts(head, SPAN("Rar!\x1A\x07\x01"))) {
		s->encrypted = rar5_encrypted(head);
	} else if (span_starts(head, SPAN("Rar!\x1A\x07"))) {
		s->encrypted = rar4_encrypted(head);
	} else if (span_starts(head, SPAN("7z\xBC\xAF\x27\x1C")) && head.len >= 32) {
		s->kind = SEALED_7Z;
		s->trailer = 32 + ((uint64_t)little(head, 16, 4) << 32 | little(head, 12, 4));
		/* No such place: look everywhere. */
		if (s->trailer > UINT64_C(1) << 40)
			s->trailer = 32;
	} else if (span_starts(head, SPAN("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"))) {
		s->kind = SEALED_OLE;
	} else if (span_find(front, SPAN("%PDF-")) < front.len) {
		s->kind = SEALED_PDF;
	} else if (span_find(head, SPAN("PK\x03\x04")) < head.len) {
		/* Not only at the front: what opens it reads from its end. */
		s->kind = SEALED_ZIP;
	} else if (span_find(front, SPAN("-----BEGIN PGP MESSAGE-----")) < front.len) {
		s->encrypted = true;
	} else {
		s->encrypted = cms_encrypted(head);
	}
	s->encrypted = s->encrypted || look(s, head, 0);
}

/* Keeps the last bytes, so that what lies across two pieces is seen in the next. */
static void carry(struct sealed *s, struct span bytes)
{
	if (bytes.len > SEALED_CARRY)
		bytes = span_from(bytes, bytes.len - SEALED_CARRY);
	memmove(s->head, bytes.at, bytes.len);
	s->head_len = bytes.len;
}

/* Looks at the next piece behind the carry: once across the border, once as it stands. */
static void look_on(struct sealed *s, struct span bytes)
{
	struct span across = span_first(bytes, SEALED_CARRY);
	struct span joined;

	memcpy(s->head + s->head_len, across.at, across.len);
	joined = span_make(s->head, s->head_len + across.len);
	s->encrypted = look(s, joined, s->seen - s->head_len) || look(s, bytes, s->seen);
	carry(s, bytes.len >= SEALED_CARRY ? bytes : joined);
}

bool sealed_feed(struct sealed *s, struct span bytes)
{
	if (s->kind == SEALED_UNKNOWN) {
		struct span fits = span_first(bytes, SEALED_HEAD - s->head_len);

		if (fits.len)
			memcpy(s->head + s->head_len, fits.at, fits.len);
		s->head_len += fits.len;
		s->seen += fits.len;
		bytes = span_from(bytes, fits.len);
		if (s->head_len < SEALED_HEAD)
			return true;
		classify(s);
		carry(s, span_make(s->head, s->head_len));
	}
	if (s->kind != SEALED_OTHER && !s->encrypted && bytes.len) {
		look_on(s, bytes);
		s->seen += bytes.len;
	}
	return s->kind != SEALED_OTHER && !s->encrypted;
}

void sealed_end(struct sealed *s)
{
	if (s->kind == SEALED_UNKNOWN)
		classify(s);
}
