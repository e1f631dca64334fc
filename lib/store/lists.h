/*
 * lists: a worker's lists from the store, by name: views of the images that the keeper has made
 * (lib/list/view.h), mapped read-only.
 *
 *     UNKNOWN --a keeper has shown all--> KNOWN --its link ends--> KNOWN, as they were last
 *                                           ^                              |
 *                                           +------- another has shown all ----+
 *
 * Until the next keeper has shown all of its lists the old ones are in force; then each is replaced
 * at once. A list that nobody has filled is empty.
 */
#ifndef STORE_LISTS_H
#define STORE_LISTS_H

#include "lib/base/attributes.h"
#include "lib/base/log.h"
#include "lib/list/view.h"
#include "lib/net/ipc.h"

struct lists; /* of a worker */

struct lists *lists_new(struct log *log);

/* What looks something up in its views must be gone. */
void lists_free(struct lists **lists);

/* Calls `known` when they are known, once: at once if they are. One listener. */
void lists_on_known(struct lists *lists, void (*known)(void *context), void *context);

/* By its name, made if need be; borrowed until lists_free, and always the same. */
const struct list_view *lists_view(struct lists *lists, struct span name);

/* A keeper is there: what it shows is new. */
void lists_linked(struct lists *lists);

/* A frame of its: descriptors are taken over. false: it is none of ours (nothing is taken), or
 * nonsense (err says what). */
enum lists_frame { LISTS_TAKEN, LISTS_OTHER, LISTS_NONSENSE };
enum lists_frame lists_take(struct lists *lists, const struct ipc_frame *frame, struct err *err);

/* Each list with its items and bytes, as members of the open object. */
void lists_status(const struct lists *lists, struct record *r);

#endif
