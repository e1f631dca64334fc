/*
 * sample: a message with an RSA signature, as a sender of today makes it (2048 bits, relaxed both),
 * and what libopendkim alone takes to verify it: dkim_verify to dkim_eom, its key handed over from
 * memory. That is what the costs of ours are held against.
 */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include <opendkim/dkim.h>

#include "bench/names.h"
#include "lib/base/arena.h"
#include "lib/base/buffer.h"

#define SAMPLE_DOMAIN   "client.example"
#define SAMPLE_KEY_NAME "k._domainkey." SAMPLE_DOMAIN

struct sample {
	struct arena *arena;
	char *private_pem;
	char *record; /* the TXT record at SAMPLE_KEY_NAME */
	DKIM_LIB *lib;
	struct buffer section, body; /* the section without its empty line */
};

/* A key of its own. */
void sample_open(struct sample *sample);
void sample_close(struct sample *sample);

/* A message whose body has at least so many bytes, in lines of text, and whose header so many more
 * than usual, in fields that are not signed. */
void sample_write(struct sample *sample, size_t more_header_bytes, size_t body_bytes);

/* What DNS has of the sender: SPF with an include, which lets 127.0.0.0/8 send, the key, a DMARC
 * record. The texts live as long as the sample. */
enum { SAMPLE_NAMES = 4 };
void sample_names(const struct sample *sample, struct name_text out[SAMPLE_NAMES]);

/* libopendkim alone; aborts when the signature does not hold. */
void sample_verify(const struct sample *sample);

#endif
