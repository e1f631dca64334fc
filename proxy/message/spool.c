/*
 * Memory and file are counted in the worker's own row of the shared counters before they are
 * used; two workers that ask at the same moment may both be refused at the limit, but never both be
 * let past it.
 */
#include "proxy/message/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/mail/dotdata.h"
#include "lib/net/loop.h"

enum { SPOOL_FIRST = 8 * 1024 };

struct spools *spools_new(struct shared *shared, struct shared_row *row, int dir,
	uint64_t total_max, uint64_t headers_max, unsigned files_max)
{
	struct spools *spools = memory_zeroed(sizeof(*spools));
	uint64_t machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	spools->shared = shared;
	spools->row = row;
	spools->dir = dir;
	spools->memory_max = machine / 4 < total_max ? machine / 4 : total_max;
	spools->total_max = total_max;
	spools->files_max = files_max;
	/* One byte more than a header section may have, so that one that is too long is seen to be.
	 */
	spools->message_memory_max =
		headers_max >= SPOOL_MEMORY_MAX ? headers_max + 1 : SPOOL_MEMORY_MAX;
	spools->scratch_size = dotdata_room(LOOP_READ_SIZE);
	spools->scratch = memory_new(spools->scratch_size);
	return spools;
}

void spools_free(struct spools **spools)
{
	if (!*spools)
		return;
	free((*spools)->scratch);
	free(*spools);
	*spools = NULL;
}

void spool_init(struct spool *spool, struct spools *owner)
{
	*spool = (struct spool){.owner = owner, .fd = -1};
}

void spool_free(struct spool *spool)
{
	if (!spool->owner)
		return;
	atomic_fetch_sub_explicit(
		&spool->owner->row->spool_memory, spool->memory_capacity, memory_order_relaxed);
	atomic_fetch_sub_explicit(
		&spool->owner->row->spool_disk, spool->file_reserved, memory_order_relaxed);
	free(spool->memory);
	if (spool->fd >= 0) {
		close(spool->fd);
		spool->owner->files--;
	}
	*spool = (struct spool){.owner = NULL, .fd = -1};
}

static bool within_total(const struct spools *spools)
{
	return shared_spool_memory(spools->shared) + shared_spool_disk(spools->shared) <=
	       spools->total_max;
}

/* Counts the bytes in, or refuses and counts nothing. */
static bool take_memory(struct spools *spools, size_t size)
{
	atomic_fetch_add_explicit(&spools->row->spool_memory, size, memory_order_relaxed);
	if (shared_spool_memory(spools->shared) <= spools->memory_max && within_total(spools))
		return true;
	atomic_fetch_sub_explicit(&spools->row->spool_memory, size, memory_order_relaxed);
	return false;
}

static bool grow(struct spool *spool, size_t size)
{
	size_t capacity = spool->memory_capacity ? spool->memory_capacity : SPOOL_FIRST;
	size_t needed = spool->memory_len + size;
	size_t most = spool->owner->message_memory_max + spool->owner->scratch_size;

	if (needed <= spool->memory_capacity)
		return true;
	while (capacity < needed)
		capacity *= 2;
	if (capacity > most)
		capacity = most;
	if (!take_memory(spool->owner, capacity - spool->memory_capacity))
		return false;
	spool->memory = memory_resize(spool->memory, capacity);
	spool->memory_capacity = capacity;
	return true;
}

/* The file has no name from the start (O_TMPFILE), or loses it at once where the file system has no
 * such files. */
static bool make_file(struct spool *spool)
{
	struct spools *spools = spool->owner;
	char name[48];

	if (spools->dir < 0)
		return false;
	spool->fd = openat(spools->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (spool->fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return spool->fd >= 0;
	snprintf(name, sizeof(name), "spool.%ld.%p", (long)getpid(), (void *)spool);
	spool->fd = openat(spools->dir, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (spool->fd >= 0)
		unlinkat(spools->dir, name, 0);
	return spool->fd >= 0;
}

/* Messages on disk never take the descriptors that backends and sessions count on. */
static bool open_file(struct spool *spool)
{
	if (spool->owner->files >= spool->owner->files_max || !make_file(spool))
		return false;
	spool->owner->files++;
	return true;
}

char *spool_reserve(struct spool *spool, size_t size)
{
	struct spools *spools = spool->owner;

	ENSURE(size <= spools->scratch_size);
	if (spool->fd < 0 && spool->memory_len < spools->message_memory_max && grow(spool, size))
		return spool->memory + spool->memory_len;
	if (spool->fd < 0 && !open_file(spool))
		return NULL;
	atomic_fetch_add_explicit(&spools->row->spool_disk, size, memory_order_relaxed);
	if (!within_total(spools)) {
		atomic_fetch_sub_explicit(&spools->row->spool_disk, size, memory_order_relaxed);
		return NULL;
	}
	spool->file_reserved += size;
	return spools->scratch;
}

static bool write_all(int fd, struct span bytes, uint64_t at)
{
	while (bytes.len) {
		ssize_t written = pwrite(fd, bytes.at, bytes.len, (off_t)at);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return false;
		bytes = span_from(bytes, (size_t)written);
		at += (uint64_t)written;
	}
	return true;
}

bool spool_added(struct spool *spool, size_t size)
{
	struct spools *spools = spool->owner;
	uint64_t used, unused;

	if (spool->fd < 0) {
		spool->memory_len += size;
		ENSURE(spool->memory_len <= spool->memory_capacity);
		return true;
	}
	if (!write_all(spool->fd, span_make(spools->scratch, size), spool->file_len))
		return false;
	spool->file_len += size;
	/* What was reserved beyond what came is given back. */
	used = spool->file_len;
	unused = spool->file_reserved - used;
	atomic_fetch_sub_explicit(&spools->row->spool_disk, unused, memory_order_relaxed);
	spool->file_reserved = used;
	return true;
}
