#include "admin/metrics.h"

static bool write_gauge(struct buffer *out, const char *name, const char *help, uint64_t value)
{
	return buffer_print(out, "# HELP postern_%s %s\n# TYPE postern_%s gauge\npostern_%s %llu\n",
		name, help, name, name, (unsigned long long)value);
}

static bool write_counter(
	const struct shared *shared, struct buffer *out, enum shared_counter counter)
{
	const char *name = shared_counter_name(counter);

	return buffer_print(out,
		"# HELP postern_%s_total %s\n# TYPE postern_%s_total counter\npostern_%s_total "
		"%llu\n",
		name, shared_counter_help(counter), name, name,
		(unsigned long long)shared_count(shared, counter));
}

bool metrics_write(const struct shared *shared, struct buffer *out)
{
	bool ok = write_gauge(out, "sessions", "SMTP sessions open now", shared_sessions(shared)) &&
		  write_gauge(out, "spool_memory_bytes", "memory that holds message content now",
			  shared_spool_memory(shared)) &&
		  write_gauge(out, "spool_disk_bytes", "disk that holds message content now",
			  shared_spool_disk(shared));

	for (int i = 0; i < SHARED_COUNTER_COUNT; i++)
		ok = ok && write_counter(shared, out, (enum shared_counter)i);
	return ok;
}
