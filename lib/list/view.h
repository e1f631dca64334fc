/*
 * view: a list as lookups see it: its images side by side, and above them one small image with what
 * has changed since. An item there stands for the one of the same key below, also when it is gone;
 * so one more item costs no more than itself.
 *
 *     changes   [ 192.0.2.1 gone | 198.51.100.0/24 new ]
 *     base      [ ... ] [ ... ] [ ... ]   in the order of their keys     [ wide ones ]
 *
 * One thread changes it and looks up. Nothing is copied: images are borrowed until they are taken
 * out or replaced, which `release` tells.
 */
#ifndef LIST_VIEW_H
#define LIST_VIEW_H

#include "lib/list/image.h"

struct list_view;

/* release: an image is no longer looked at; or NULL. */
struct list_view *list_view_new(void (*release)(void *context, struct span bytes), void *context);
void list_view_free(struct list_view **view);

/* Each has what the other had. Both were made with the same `release` and context. */
void list_view_swap(struct list_view *a, struct list_view *b);

/* Takes an image in as a part of the base, or as its changes; in place of the part or the changes
 * with the same id. false: err says what is wrong with it, and nothing has changed. Parts may
 * not overlap, but wide ones. */
bool list_view_put(struct list_view *view, uint64_t id, bool changes, struct span bytes,
	struct err *err) MUST_CHECK;

/* Takes it out; one that is not there is fine. */
void list_view_drop(struct list_view *view, uint64_t id);

/* The longest prefix that covers the address and has not expired. Texts in *hit are borrowed from
 * the images; NULL is fine. */
bool list_view_find_ip(
	const struct list_view *view, const struct ip *ip, uint32_t now_s, struct image_item *hit);

/* The item with this key, unless it has expired. */
bool list_view_find_key(
	const struct list_view *view, struct span key, uint32_t now_s, struct image_item *hit);

/* Items in all parts; expired ones, those that were changed, and those that are gone count as long
 * as they lie there. Bytes of all images. */
size_t list_view_count(const struct list_view *view);
size_t list_view_size(const struct list_view *view);

#endif
