#include "proxy/message/shared.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/base/span.h"

static const struct {
	const char *name, *help;
} counters[] = {
#define X(name, help) {#name, help},
	SHARED_COUNTERS(X)
#undef X
};

#define X(name) #name,
static const char *const moments[] = {SHARED_MOMENTS(X)};
static const char *const verdicts[] = {SHARED_VERDICTS(X)};
#undef X

int shared_create(struct err *err)
{
	int fd = memfd_create("postern-shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct shared *shared;

	if (fd < 0) {
		err_errno(err, "no shared memory");
		return -1;
	}
	if (ftruncate(fd, sizeof(struct shared)) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		err_errno(err, "can't size the shared memory");
		close(fd);
		return -1;
	}
	shared = shared_map(fd, err);
	if (!shared || getrandom(shared->hash_key, sizeof(shared->hash_key), 0) !=
			       (ssize_t)sizeof(shared->hash_key)) {
		close(fd);
		return -1;
	}
	shared_unmap(&shared);
	return fd;
}

struct shared *shared_map(int fd, struct err *err)
{
	void *at = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED) {
		err_errno(err, "can't map the shared memory");
		return NULL;
	}
	return at;
}

void shared_unmap(struct shared **shared)
{
	if (*shared)
		munmap(*shared, sizeof(**shared));
	*shared = NULL;
}

int shared_row_take(struct shared *shared)
{
	for (int i = 0; i < SHARED_ROWS; i++) {
		if (atomic_load(&shared->rows[i].in_use))
			continue;
		atomic_store(&shared->rows[i].in_use, 1);
		if ((uint32_t)i >= atomic_load(&shared->rows_used))
			atomic_store(&shared->rows_used, (uint32_t)i + 1);
		return i;
	}
	return -1;
}

void shared_row_give(struct shared *shared, int row)
{
	struct shared_row *r = &shared->rows[row];

	for (int i = 0; i < SHARED_COUNTER_COUNT; i++)
		atomic_fetch_add(&shared->retired[i], atomic_load(&r->counters[i]));
	for (int m = 0; m < SHARED_MOMENT_COUNT; m++)
		for (int v = 0; v < SHARED_VERDICT_COUNT; v++)
			atomic_fetch_add(
				&shared->retired_verdicts[m][v], atomic_load(&r->verdicts[m][v]));
	memset((void *)r, 0, sizeof(*r));
}

static uint32_t rows_used(const struct shared *shared)
{
	uint32_t used = atomic_load_explicit(&shared->rows_used, memory_order_relaxed);

	return used < SHARED_ROWS ? used : SHARED_ROWS;
}

uint32_t shared_sessions(const struct shared *shared)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < rows_used(shared); i++)
		sum += atomic_load_explicit(&shared->rows[i].sessions, memory_order_relaxed);
	return sum;
}

uint64_t shared_spool_memory(const struct shared *shared)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < rows_used(shared); i++)
		sum += atomic_load_explicit(&shared->rows[i].spool_memory, memory_order_relaxed);
	return sum;
}

uint64_t shared_spool_disk(const struct shared *shared)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < rows_used(shared); i++)
		sum += atomic_load_explicit(&shared->rows[i].spool_disk, memory_order_relaxed);
	return sum;
}

uint64_t shared_count(const struct shared *shared, enum shared_counter counter)
{
	uint64_t sum = atomic_load_explicit(&shared->retired[counter], memory_order_relaxed);

	for (uint32_t i = 0; i < rows_used(shared); i++)
		sum += atomic_load_explicit(
			&shared->rows[i].counters[counter], memory_order_relaxed);
	return sum;
}

uint64_t shared_spoken(
	const struct shared *shared, enum shared_moment moment, enum shared_verdict verdict)
{
	uint64_t sum = atomic_load_explicit(
		&shared->retired_verdicts[moment][verdict], memory_order_relaxed);

	for (uint32_t i = 0; i < rows_used(shared); i++)
		sum += atomic_load_explicit(
			&shared->rows[i].verdicts[moment][verdict], memory_order_relaxed);
	return sum;
}

void shared_speak(struct shared_row *row, enum shared_moment moment, const char *verdict)
{
	for (int v = 0; v < SHARED_VERDICT_COUNT; v++)
		if (strcmp(verdicts[v], verdict) == 0)
			atomic_fetch_add_explicit(
				&row->verdicts[moment][v], 1, memory_order_relaxed);
}

struct cells {
	uint32_t index[2];
};

static struct cells cells_of(const struct shared *shared, const struct ip *ip)
{
	struct cidr client = cidr_around(ip, ip->family == IP_V6 ? 64 : 32);
	char key[sizeof(client.ip.bytes) + 1];
	uint64_t hash;

	key[0] = (char)client.ip.family;
	memcpy(key + 1, client.ip.bytes, sizeof(client.ip.bytes));
	hash = span_hash(span_make(key, sizeof(key)), shared->hash_key);
	return (struct cells){{(uint32_t)(hash % SHARED_SKETCH_CELLS),
		(uint32_t)((hash >> 32) % SHARED_SKETCH_CELLS)}};
}

uint32_t shared_client_enter(struct shared *shared, struct shared_row *row, const struct ip *ip)
{
	struct cells cells = cells_of(shared, ip);
	uint32_t least = UINT32_MAX;

	for (int way = 0; way < 2; way++) {
		uint32_t sum = 0;

		atomic_fetch_add_explicit(
			&row->clients[way][cells.index[way]], 1, memory_order_relaxed);
		for (uint32_t i = 0; i < rows_used(shared); i++)
			sum += atomic_load_explicit(&shared->rows[i].clients[way][cells.index[way]],
				memory_order_relaxed);
		if (sum < least)
			least = sum;
	}
	return least;
}

void shared_client_leave(struct shared *shared, struct shared_row *row, const struct ip *ip)
{
	struct cells cells = cells_of(shared, ip);

	for (int way = 0; way < 2; way++) {
		uint32_t before = atomic_fetch_sub_explicit(
			&row->clients[way][cells.index[way]], 1, memory_order_relaxed);

		ENSURE(before > 0);
	}
}

const char *shared_counter_name(enum shared_counter counter)
{
	return counters[counter].name;
}

const char *shared_counter_help(enum shared_counter counter)
{
	return counters[counter].help;
}

const char *shared_moment_name(enum shared_moment moment)
{
	return moments[moment];
}

const char *shared_verdict_name(enum shared_verdict verdict)
{
	return verdicts[verdict];
}
