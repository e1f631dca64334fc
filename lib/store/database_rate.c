/*
 * Rates: how much there was within a window that slides, by two buckets: time is cut into windows
 * from 1970 on, the present one is counted and the one before is remembered; of the latter so much
 * counts as the sliding window still covers. Exact where events come evenly, two numbers whatever
 * comes.
 */
#include "lib/store/database_private.h"

struct buckets {
	bool there;
	int64_t bucket;
	double current, before;
};

static bool get_buckets(
	struct database *db, struct span key, int64_t window_ms, struct buckets *out)
{
	sqlite3_stmt *get = database_statement(db, SQL_RATE_GET);

	*out = (struct buckets){0};
	if (get) {
		database_bind(get, 1, key);
		sqlite3_bind_int64(get, 2, window_ms);
	}
	if (!database_row(db, get, &out->there))
		return false;
	if (out->there) {
		out->bucket = sqlite3_column_int64(get, 0);
		out->current = sqlite3_column_double(get, 1);
		out->before = sqlite3_column_double(get, 2);
	}
	sqlite3_reset(get);
	return true;
}

/* Moves on to the present bucket. One that lies ahead, since the clock was set back, stays. */
static void slide(struct buckets *b, int64_t bucket)
{
	if (bucket <= b->bucket)
		return;
	b->before = bucket == b->bucket + 1 ? b->current : 0;
	b->current = 0;
	b->bucket = bucket;
}

/* The job's key and window, and what is there now. */
static bool begin(
	struct database *db, const struct database_job *job, int64_t *window_ms, struct buckets *b)
{
	uint64_t window;

	if (!memory_key_fits(job->parts[0]) || !memory_number(job->parts[1], &window))
		return false;
	*window_ms = (int64_t)window;
	if (!get_buckets(db, job->parts[0], *window_ms, b))
		return false;
	slide(b, memory_now_ms(db) / *window_ms);
	return true;
}

bool database_rate_look(struct database *db, struct database_job *job)
{
	int64_t window_ms;
	struct buckets b;
	double left;

	if (!begin(db, job, &window_ms, &b))
		return false;
	left = 1 - (double)(memory_now_ms(db) % window_ms) / (double)window_ms;
	return buffer_print(&job->answer, "%.3f", b.current + b.before * left);
}

bool database_rate_charge(struct database *db, struct database_job *job)
{
	int64_t window_ms;
	sqlite3_stmt *set;
	struct buckets b;
	uint64_t n;

	if (!memory_number(job->parts[2], &n) || !begin(db, job, &window_ms, &b))
		return false;
	if (!b.there && !memory_add_row(db, MEMORY_RATES))
		return false;
	set = database_statement(db, SQL_RATE_SET);
	if (!set)
		return database_do(db, NULL);
	database_bind(set, 1, job->parts[0]);
	sqlite3_bind_int64(set, 2, window_ms);
	sqlite3_bind_int64(set, 3, b.bucket);
	sqlite3_bind_double(set, 4, b.current + (double)n);
	sqlite3_bind_double(set, 5, b.before);
	sqlite3_bind_int64(set, 6, (b.bucket + 2) * window_ms);
	return database_do(db, set);
}
