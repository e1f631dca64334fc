#include "lib/store/lists.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/store/list_request.h"
#include "lib/store/wire.h"

/* So many bytes of images are mapped at most, by all lists: beyond is nonsense. */
static const uint64_t MAPPED_MAX = (uint64_t)16 << 30;

enum { LISTS_MAX = 2000 };

struct store_list {
	struct store_list *next;
	char name[LIST_NAME_MAX + 1];
	struct list_view *view;   /* owned; in force */
	struct list_view *coming; /* owned; of a keeper that has not shown all yet; NULL: none */
};

struct lists {
	struct log *log;
	struct store_list *first; /* owned */
	size_t n;
	bool known;
	bool showing; /* the keeper that is linked has not shown all yet */
	uint64_t mapped;
	void (*on_known)(void *context);
	void *context;
};

static void unmap(void *context, struct span bytes)
{
	struct lists *lists = context;

	lists->mapped -= bytes.len;
	munmap((void *)(uintptr_t)bytes.at, bytes.len);
}

struct lists *lists_new(struct log *log)
{
	struct lists *lists = memory_zeroed(sizeof(*lists));

	lists->log = log;
	lists->showing = true;
	return lists;
}

void lists_free(struct lists **lists)
{
	if (!*lists)
		return;
	while ((*lists)->first) {
		struct store_list *list = (*lists)->first;

		(*lists)->first = list->next;
		list_view_free(&list->view);
		list_view_free(&list->coming);
		free(list);
	}
	free(*lists);
	*lists = NULL;
}

static struct store_list *find(struct lists *lists, struct span name)
{
	struct store_list *list = lists->first;

	while (list && !span_equal(span_text(list->name), name))
		list = list->next;
	if (list)
		return list;
	list = memory_zeroed(sizeof(*list));
	ENSURE(name.len <= LIST_NAME_MAX);
	memcpy(list->name, name.at, name.len);
	list->view = list_view_new(unmap, lists);
	list->next = lists->first;
	lists->first = list;
	lists->n++;
	return list;
}

const struct list_view *lists_view(struct lists *lists, struct span name)
{
	return find(lists, name)->view;
}

void lists_on_known(struct lists *lists, void (*known)(void *context), void *context)
{
	lists->on_known = known;
	lists->context = context;
	if (lists->known && known)
		known(context);
}

/* --- from the keeper --- */

static void forget_coming(struct lists *lists)
{
	for (struct store_list *list = lists->first; list; list = list->next)
		list_view_free(&list->coming);
}

void lists_linked(struct lists *lists)
{
	forget_coming(lists);
	lists->showing = true;
}

/* Sealed, so that nobody changes or cuts it while we look something up. */
static bool is_sealed(int fd, uint64_t size, struct err *err)
{
	const int wanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & wanted) != wanted)
		return err_set(err, "an image of a list is not sealed");
	if (fstat(fd, &st) < 0 || st.st_size < 0 || (uint64_t)st.st_size != size || size == 0)
		return err_set(err, "an image of a list has not the size that was told");
	return true;
}

static bool put(struct lists *lists, const struct store_list_frame *frame, int fd, struct err *err)
{
	struct store_list *list = find(lists, span_text(frame->list));
	struct list_view *view = list->view;
	void *at;

	if (!is_sealed(fd, frame->size, err))
		return false;
	if (lists->mapped + frame->size > MAPPED_MAX)
		return err_set(err, "the images of lists are too many");
	at = mmap(NULL, frame->size, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return err_errno(err, "an image of a list can't be mapped");
	lists->mapped += frame->size;
	if (lists->showing && !list->coming)
		list->coming = list_view_new(unmap, lists);
	if (lists->showing)
		view = list->coming;
	if (list_view_put(view, frame->id, frame->changes, span_make(at, frame->size), err))
		return true;
	unmap(lists, span_make(at, frame->size));
	return false;
}

static void drop(struct lists *lists, const struct store_list_frame *frame)
{
	struct store_list *list = find(lists, span_text(frame->list));
	struct list_view *view = lists->showing ? list->coming : list->view;

	if (view)
		list_view_drop(view, frame->id);
}

/* What was in force of a keeper before goes, also of lists that this one has not. */
static void shown(struct lists *lists)
{
	bool first = !lists->known;

	lists->showing = false;
	for (struct store_list *list = lists->first; list; list = list->next) {
		if (!list->coming)
			list->coming = list_view_new(unmap, lists);
		list_view_swap(list->view, list->coming);
		list_view_free(&list->coming);
	}
	lists->known = true;
	if (first && lists->on_known)
		lists->on_known(lists->context);
}

static bool read_frame(const struct lists *lists, const struct ipc_frame *frame,
	struct store_list_frame *out, struct err *err)
{
	size_t fds = frame->type == STORE_FRAME_LIST_PUT;

	if (frame->n_fds != fds || frame->payload.len != sizeof(*out))
		return err_set(err, "a frame about a list is none");
	memcpy(out, frame->payload.at, sizeof(*out));
	if (!memchr(out->list, 0, sizeof(out->list)) || !list_name_is_good(span_text(out->list)) ||
		lists->n >= LISTS_MAX)
		return err_set(err, "a frame about a list names none");
	return true;
}

enum lists_frame lists_take(struct lists *lists, const struct ipc_frame *frame, struct err *err)
{
	struct store_list_frame about;
	bool ok;

	if (frame->type == STORE_FRAME_LISTS_SHOWN && frame->n_fds == 0) {
		shown(lists);
		return LISTS_TAKEN;
	}
	if (frame->type != STORE_FRAME_LIST_PUT && frame->type != STORE_FRAME_LIST_DROP)
		return LISTS_OTHER;
	ok = read_frame(lists, frame, &about, err);
	if (ok && frame->type == STORE_FRAME_LIST_PUT)
		ok = put(lists, &about, frame->fds[0], err);
	else if (ok)
		drop(lists, &about);
	for (size_t i = 0; i < frame->n_fds; i++)
		close(frame->fds[i]);
	return ok ? LISTS_TAKEN : LISTS_NONSENSE;
}

void lists_status(const struct lists *lists, struct record *r)
{
	record_bool(r, "known", lists->known);
	record_number(r, "mapped_bytes", (int64_t)lists->mapped);
	record_list(r, "lists");
	for (const struct store_list *list = lists->first; list; list = list->next) {
		record_open(r, NULL);
		record_string(r, "list", list->name);
		record_number(r, "items", (int64_t)list_view_count(list->view));
		record_number(r, "bytes", (int64_t)list_view_size(list->view));
		record_close(r);
	}
	record_close(r);
}
