/*
 * Greylisting: a row for each client's network, sender and recipient that was put off or is known.
 *
 *     (none) --TRIED--> waiting --PASSED--> known --PASSED--> known (renewed)
 *        |                 +--window after the first try--> (none)
 *        +--PASSED, ALLOW--> known --known_ms after the last--> (none)
 *
 * How long one has to wait is the rule's business, so the row says since when, not until when.
 */
#include "lib/base/log.h"
#include "lib/store/database_private.h"

struct row {
	bool there; /* in the table; expired ones too */
	int64_t since_ms, tries, expires_ms;
	bool known;
};

static bool get_row(struct database *db, struct span key, struct row *out)
{
	sqlite3_stmt *get = database_statement(db, SQL_GREY_GET);

	*out = (struct row){0};
	if (get)
		database_bind(get, 1, key);
	if (!database_row(db, get, &out->there))
		return false;
	if (out->there) {
		out->since_ms = sqlite3_column_int64(get, 0);
		out->tries = sqlite3_column_int64(get, 1);
		out->known = sqlite3_column_int64(get, 2) != 0;
		out->expires_ms = sqlite3_column_int64(get, 3);
	}
	sqlite3_reset(get);
	return true;
}

static bool is_alive(const struct database *db, const struct row *row)
{
	return row->there && row->expires_ms > memory_now_ms(db);
}

static bool set_row(struct database *db, struct span key, const struct row *row)
{
	sqlite3_stmt *set;

	if (!row->there && !memory_add_row(db, MEMORY_GREY))
		return false;
	set = database_statement(db, SQL_GREY_SET);
	if (!set)
		return database_do(db, NULL);
	database_bind(set, 1, key);
	sqlite3_bind_int64(set, 2, row->since_ms);
	sqlite3_bind_int64(set, 3, row->tries);
	sqlite3_bind_int64(set, 4, row->known);
	sqlite3_bind_int64(set, 5, row->expires_ms);
	return database_do(db, set);
}

/* The clock may have been set back. */
static int64_t age_ms(const struct database *db, int64_t since_ms)
{
	int64_t now_ms = memory_now_ms(db);

	return now_ms > since_ms ? now_ms - since_ms : 0;
}

bool database_grey_look(struct database *db, struct database_job *job)
{
	struct row row;

	if (!memory_key_fits(job->parts[0]) || !get_row(db, job->parts[0], &row))
		return false;
	if (!is_alive(db, &row))
		return true;
	if (row.known)
		return buffer_print(
			&job->answer, "known %lld", (long long)age_ms(db, row.since_ms));
	return buffer_print(&job->answer, "waiting %lld %lld", (long long)age_ms(db, row.since_ms),
		(long long)row.tries);
}

bool database_grey_tried(struct database *db, struct database_job *job)
{
	int64_t now_ms = memory_now_ms(db);
	uint64_t window_ms;
	struct row row;

	if (!memory_key_fits(job->parts[0]) || !memory_number(job->parts[1], &window_ms) ||
		!get_row(db, job->parts[0], &row))
		return false;
	if (!is_alive(db, &row)) {
		row.since_ms = now_ms;
		row.tries = 0;
		row.known = false;
		row.expires_ms = now_ms + (int64_t)window_ms;
	}
	row.tries++;
	return row.known || set_row(db, job->parts[0], &row);
}

bool database_grey_passed(struct database *db, struct database_job *job)
{
	int64_t now_ms = memory_now_ms(db);
	uint64_t known_ms;
	struct row row;

	if (!memory_key_fits(job->parts[0]) || !memory_number(job->parts[1], &known_ms) ||
		!get_row(db, job->parts[0], &row))
		return false;
	if (!is_alive(db, &row) || !row.known) {
		row.tries = is_alive(db, &row) ? row.tries : 0;
		row.since_ms = now_ms;
	}
	row.known = true;
	row.expires_ms = now_ms + (int64_t)known_ms;
	return set_row(db, job->parts[0], &row);
}

bool database_grey_clear(struct database *db, struct database_job *job)
{
	return memory_drop(db, SQL_GREY_DROP, MEMORY_GREY, job);
}

/* --- for admins --- */

static void write_item(struct record *r, sqlite3_stmt *page)
{
	record_open(r, NULL);
	record_text(r, "key", database_text(page, 0));
	record_string(r, "state", sqlite3_column_int64(page, 3) ? "known" : "waiting");
	record_number(r, "since", sqlite3_column_int64(page, 1) / 1000);
	record_number(r, "until", sqlite3_column_int64(page, 4) / 1000);
	record_number(r, "tries", sqlite3_column_int64(page, 2));
	record_close(r);
}

/* One row more than is wanted tells whether there are more. */
static bool write_page(
	struct database *db, struct record *r, struct span after, uint64_t most, bool *more)
{
	sqlite3_stmt *page = database_statement(db, SQL_GREY_PAGE);
	bool is_row = true;

	*more = false;
	if (page) {
		database_bind(page, 1, after);
		sqlite3_bind_int64(page, 2, memory_now_ms(db));
		sqlite3_bind_int64(page, 3, (sqlite3_int64)most + 1);
	}
	for (uint64_t n = 0; is_row && !*more; n++) {
		if (!database_row(db, page, &is_row))
			return false;
		*more = is_row && n == most;
		if (is_row && !*more)
			write_item(r, page);
	}
	sqlite3_reset(page);
	return true;
}

bool database_grey_list(struct database *db, struct database_job *job)
{
	struct record r;
	uint64_t most;
	bool more, ok;

	if (job->parts[0].len > STORE_KEY_MAX || !memory_number(job->parts[1], &most))
		return false;
	record_init(&r, true, STORE_ANSWER_MAX);
	record_list(&r, "items");
	ok = write_page(
		db, &r, job->parts[0], most > STORE_PAGE_MAX ? STORE_PAGE_MAX : most, &more);
	record_close(&r);
	record_bool(&r, "more", more);
	ok = ok && !r.cut;
	ok = buffer_add(&job->answer, record_finish(&r)) && ok;
	record_free(&r);
	return ok;
}
