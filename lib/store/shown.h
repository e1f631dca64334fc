/*
 * shown: what has been told of the images of lists, on the keeper's loop: it keeps each image that
 * is in force, so that a worker that comes later is shown all of them, and hands on what changes to
 * those that are there.
 *
 *     shelves (a thread) --put, drop--> shown --frames with descriptors--> lists.h of each worker
 */
#ifndef STORE_SHOWN_H
#define STORE_SHOWN_H

#include "lib/base/attributes.h"
#include "lib/list/shelf.h"
#include "lib/net/ipc.h"

struct shown;

struct shown *shown_new(void);
void shown_free(struct shown **shown);

/* The frame is valid until the next call; it is to be sent to all workers that are linked.
 * The descriptor is taken over; the list's name is copied. */
const struct ipc_frame *shown_put(
	struct shown *shown, struct span list, const struct shelf_image *image);
const struct ipc_frame *shown_drop(struct shown *shown, struct span list, uint64_t id);

/* All lists have been read once. NULL: they had been before. */
const struct ipc_frame *shown_all(struct shown *shown);

/* To a worker that has just been linked: each image, and that this is all, if it is. false: it is
 * gone. */
bool shown_to(struct shown *shown, struct ipc *ipc) MUST_CHECK;

#endif
