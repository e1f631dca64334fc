#include "lib/store/shown.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/store/list_request.h"
#include "lib/store/wire.h"

struct exhibit {
	struct store_list_frame frame;
	int fd; /* owned */
};

struct shown {
	struct exhibit *exhibits; /* owned; in the order in which they were put */
	size_t n, room;
	bool complete;
	/* the frame at hand */
	struct ipc_frame frame;
	struct store_list_frame payload;
	int fd;
};

struct shown *shown_new(void)
{
	return memory_zeroed(sizeof(struct shown));
}

void shown_free(struct shown **shown)
{
	if (!*shown)
		return;
	for (size_t i = 0; i < (*shown)->n; i++)
		close((*shown)->exhibits[i].fd);
	free((*shown)->exhibits);
	free(*shown);
	*shown = NULL;
}

static const struct ipc_frame *frame_of(
	struct shown *shown, enum store_frame type, const struct exhibit *exhibit)
{
	shown->payload = exhibit->frame;
	shown->fd = exhibit->fd;
	shown->frame = (struct ipc_frame){.type = type,
		.payload = span_make(&shown->payload, sizeof(shown->payload)),
		.fds = &shown->fd,
		.n_fds = exhibit->fd >= 0};
	return &shown->frame;
}

static struct exhibit exhibit_of(struct span list, uint64_t id)
{
	struct exhibit exhibit = {.frame = {.id = id}, .fd = -1};

	ENSURE(list.len < sizeof(exhibit.frame.list));
	memcpy(exhibit.frame.list, list.at, list.len);
	return exhibit;
}

const struct ipc_frame *shown_put(
	struct shown *shown, struct span list, const struct shelf_image *image)
{
	struct exhibit exhibit = exhibit_of(list, image->id);

	exhibit.frame.size = image->size;
	exhibit.frame.changes = image->changes;
	exhibit.fd = image->fd;
	if (shown->n == shown->room) {
		shown->room = shown->room ? shown->room * 2 : 16;
		shown->exhibits =
			memory_resize(shown->exhibits, shown->room * sizeof(*shown->exhibits));
	}
	shown->exhibits[shown->n++] = exhibit;
	return frame_of(shown, STORE_FRAME_LIST_PUT, &exhibit);
}

const struct ipc_frame *shown_drop(struct shown *shown, struct span list, uint64_t id)
{
	struct exhibit exhibit = exhibit_of(list, id);

	for (size_t i = 0; i < shown->n; i++) {
		if (shown->exhibits[i].frame.id != id)
			continue;
		close(shown->exhibits[i].fd);
		shown->n--;
		memmove(&shown->exhibits[i], &shown->exhibits[i + 1],
			(shown->n - i) * sizeof(*shown->exhibits));
		break;
	}
	return frame_of(shown, STORE_FRAME_LIST_DROP, &exhibit);
}

const struct ipc_frame *shown_all(struct shown *shown)
{
	if (shown->complete)
		return NULL;
	shown->complete = true;
	shown->frame = (struct ipc_frame){.type = STORE_FRAME_LISTS_SHOWN};
	return &shown->frame;
}

bool shown_to(struct shown *shown, struct ipc *ipc)
{
	for (size_t i = 0; i < shown->n; i++)
		if (!ipc_send(ipc, frame_of(shown, STORE_FRAME_LIST_PUT, &shown->exhibits[i])))
			return false;
	return !shown->complete ||
	       ipc_send(ipc, &(struct ipc_frame){.type = STORE_FRAME_LISTS_SHOWN});
}
