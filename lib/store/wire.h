/*
 * wire: the parts of a request as bytes, and the frames between a worker's store and the keeper
 * (lib/net/ipc.h carries them). Both ends run the same binary, so numbers travel as they lie in
 * memory; a worker may have been taken over, so the keeper believes no length.
 */
#ifndef STORE_WIRE_H
#define STORE_WIRE_H

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "lib/store/list_request.h"
#include "lib/store/store.h"

enum store_frame {
	STORE_FRAME_ASK = 1, /* uint32_t: enum store_kind; then the parts. id: the asker's */
	STORE_FRAME_ANSWER,  /* uint32_t: enum store_outcome; then the answer */
	/* From the keeper, unasked (shown.h, lists.h): */
	STORE_FRAME_LIST_PUT,   /* struct store_list_frame; the image's sealed memfd */
	STORE_FRAME_LIST_DROP,  /* struct store_list_frame */
	STORE_FRAME_LISTS_SHOWN /* nothing: what was put is all */
};

struct store_list_frame {
	uint64_t id, size;            /* of the image; bytes */
	uint32_t changes;             /* 1: it stands above the others (lib/list/view.h) */
	char list[LIST_NAME_MAX + 4]; /* ends with NUL */
};

/* Adds each part with its length before it. false: out is full. */
bool store_parts_write(const struct span *parts, size_t n, struct buffer *out) MUST_CHECK;

/* Borrowed from the bytes. false: they are not `n` parts and nothing else. */
bool store_parts_read(struct span bytes, struct span *parts, size_t n) MUST_CHECK;

/* How many parts a kind has. */
size_t store_kind_parts(enum store_kind kind);

/* A number from the front, for frames; false: too short. */
bool store_number_take(struct span *payload, uint32_t *out) MUST_CHECK;

#endif
