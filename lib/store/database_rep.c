/*
 * Reputation: what is kept is three numbers as they were when something was added last; how far
 * they have faded since is worked out when they are read (reputation.h).
 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/store/database_private.h"
#include "lib/store/reputation.h"

/* After ten half-lives next to nothing is left. */
static const int64_t FORGET_MS = 10 * REPUTATION_HALF_LIFE_MS;

struct row {
	bool there;
	struct reputation counts; /* as they are now */
	int64_t first_ms, last_ms;
};

static bool get_row(struct database *db, struct span key, struct row *out)
{
	sqlite3_stmt *get = database_statement(db, SQL_REP_GET);
	int64_t age_ms;

	*out = (struct row){0};
	if (get)
		database_bind(get, 1, key);
	if (!database_row(db, get, &out->there))
		return false;
	if (out->there) {
		out->counts = (struct reputation){sqlite3_column_double(get, 0),
			sqlite3_column_double(get, 1), sqlite3_column_double(get, 2)};
		out->first_ms = sqlite3_column_int64(get, 3);
		out->last_ms = sqlite3_column_int64(get, 4);
		age_ms = memory_now_ms(db) - out->last_ms;
		reputation_fade(&out->counts, age_ms > 0 ? (uint64_t)age_ms : 0);
	}
	sqlite3_reset(get);
	return true;
}

static bool set_row(struct database *db, struct span key, const struct row *row)
{
	sqlite3_stmt *set;

	if (!row->there && !memory_add_row(db, MEMORY_REPUTATION))
		return false;
	set = database_statement(db, SQL_REP_SET);
	if (!set)
		return database_do(db, NULL);
	database_bind(set, 1, key);
	sqlite3_bind_double(set, 2, row->counts.good);
	sqlite3_bind_double(set, 3, row->counts.bad);
	sqlite3_bind_double(set, 4, row->counts.traps);
	sqlite3_bind_int64(set, 5, row->first_ms);
	sqlite3_bind_int64(set, 6, row->last_ms);
	sqlite3_bind_int64(set, 7, row->last_ms + FORGET_MS);
	return database_do(db, set);
}

bool database_rep_look(struct database *db, struct database_job *job)
{
	struct span rest = job->parts[0];
	size_t n = 0;

	do {
		size_t end = span_find_char(rest, '\n');
		struct span key = span_first(rest, end);
		struct row row;

		if (!memory_key_fits(key) || n++ == REPUTATION_KEYS_MAX ||
			!get_row(db, key, &row) || !reputation_write(&row.counts, &job->answer))
			return false;
		rest = span_from(rest, end + 1);
	} while (rest.len);
	return true;
}

bool database_rep_add(struct database *db, struct database_job *job)
{
	struct reputation added;
	struct row row;
	int64_t week_ms = REPUTATION_HALF_LIFE_MS;
	bool told;

	if (!memory_key_fits(job->parts[0]) || !reputation_read_part(job->parts[1], &added.good) ||
		!reputation_read_part(job->parts[2], &added.bad) ||
		!reputation_read_part(job->parts[3], &added.traps) ||
		!get_row(db, job->parts[0], &row))
		return false;
	/* Who stays good is told of once a week, so that whoever keeps a list of them can forget
	 * those that are not. */
	told = known_good(&row.counts) && row.last_ms / week_ms == memory_now_ms(db) / week_ms;
	row.counts.good += added.good;
	row.counts.bad += added.bad;
	row.counts.traps += added.traps;
	row.last_ms = memory_now_ms(db);
	if (!row.there)
		row.first_ms = row.last_ms;
	if (!set_row(db, job->parts[0], &row))
		return false;
	if (!told && known_good(&row.counts) && db->setup.known_good)
		db->setup.known_good(db->setup.context, job->parts[0]);
	return true;
}

bool database_rep_show(struct database *db, struct database_job *job)
{
	struct record r;
	struct row row;
	bool ok;

	if (!memory_key_fits(job->parts[0]) || !get_row(db, job->parts[0], &row))
		return false;
	if (!row.there)
		return true;
	record_init(&r, true, STORE_ANSWER_MAX);
	record_text(&r, "key", job->parts[0]);
	record_real(&r, "good", row.counts.good);
	record_real(&r, "bad", row.counts.bad);
	record_real(&r, "traps", row.counts.traps);
	record_number(&r, "first", row.first_ms / 1000);
	record_number(&r, "last", row.last_ms / 1000);
	ok = buffer_add(&job->answer, record_finish(&r)) && !r.cut;
	record_free(&r);
	return ok;
}

bool database_rep_reset(struct database *db, struct database_job *job)
{
	return memory_drop(db, SQL_REP_DROP, MEMORY_REPUTATION, job);
}
