/*
 * Results of DMARC (RFC 9990), added up as they come: for each day and policy domain the record
 * that was last seen, and rows that are alike once, with a count. Domains, addresses and selectors
 * are the senders' to invent, so a day and a domain have room for so many rows; messages that find
 * none are counted as left out.
 */
#include <string.h>

#include "lib/base/fail.h"
#include "lib/store/database_private.h"
#include "lib/store/dmarc_results.h"

struct day {
	char name[DATABASE_DAY_SIZE];
	uint64_t rows, bytes;
};

static bool read_today(struct database *db, struct day *day)
{
	sqlite3_stmt *get;
	bool is_row;

	database_day(clock_wall_ms(db->setup.clock), day->name);
	get = database_statement(db, SQL_DAY_GET);
	if (!get)
		return false;
	database_bind(get, 1, span_text(day->name));
	if (!database_row(db, get, &is_row))
		return false;
	day->rows = is_row ? (uint64_t)sqlite3_column_int64(get, 0) : 0;
	day->bytes = is_row ? (uint64_t)sqlite3_column_int64(get, 1) : 0;
	sqlite3_reset(get);
	if (is_row)
		return true;
	get = database_statement(db, SQL_DAY_ENSURE);
	if (get)
		database_bind(get, 1, span_text(day->name));
	return database_do(db, get);
}

static bool has_room(const struct database *db, const struct day *day, size_t size)
{
	return day->rows < db->setup.dmarc_rows_day &&
	       day->bytes + size <= db->setup.dmarc_bytes_day;
}

static bool grow_day(struct database *db, struct day *day, size_t size)
{
	sqlite3_stmt *grow = database_statement(db, SQL_DAY_GROW);

	if (!grow)
		return false;
	database_bind(grow, 1, span_text(day->name));
	sqlite3_bind_int64(grow, 2, (sqlite3_int64)size);
	day->rows++;
	day->bytes += size;
	return database_do(db, grow);
}

/* Statements with one number, and perhaps a text or a second number. */
static bool with_id(struct database *db, enum database_statement which, int64_t id)
{
	sqlite3_stmt *statement = database_statement(db, which);

	if (statement)
		sqlite3_bind_int64(statement, 1, id);
	return database_do(db, statement);
}

static bool with_id_text(
	struct database *db, enum database_statement which, int64_t id, struct span text)
{
	sqlite3_stmt *statement = database_statement(db, which);

	if (statement) {
		sqlite3_bind_int64(statement, 1, id);
		database_bind(statement, 2, text);
	}
	return database_do(db, statement);
}

static bool with_day(struct database *db, enum database_statement which, const char *day)
{
	sqlite3_stmt *statement = database_statement(db, which);

	if (statement)
		database_bind(statement, 1, span_text(day));
	return database_do(db, statement);
}

struct domain {
	int64_t id; /* 0: it has no room */
	uint64_t rows;
};

static int64_t wall_s(const struct database *db)
{
	return (int64_t)(clock_wall_ms(db->setup.clock) / 1000);
}

static bool new_domain(struct database *db, struct day *day, struct span name, struct span record,
	struct domain *out)
{
	size_t size = name.len + record.len;
	sqlite3_stmt *insert;

	*out = (struct domain){0};
	if (!has_room(db, day, size))
		return with_day(db, SQL_DAY_LEAVE_OUT, day->name);
	insert = database_statement(db, SQL_DOMAIN_NEW);
	if (!insert)
		return false;
	database_bind(insert, 1, span_text(day->name));
	database_bind(insert, 2, name);
	database_bind(insert, 3, record);
	sqlite3_bind_int64(insert, 4, wall_s(db));
	if (!database_do(db, insert))
		return false;
	out->id = sqlite3_last_insert_rowid(db->file);
	return grow_day(db, day, size);
}

/* The one of that day, made if need be, with the record as it is now. */
static bool find_domain(struct database *db, struct day *day, struct span name, struct span record,
	struct domain *out)
{
	sqlite3_stmt *get = database_statement(db, SQL_DOMAIN_GET);
	bool is_row, same;

	if (!get)
		return false;
	database_bind(get, 1, span_text(day->name));
	database_bind(get, 2, name);
	if (!database_row(db, get, &is_row))
		return false;
	if (!is_row)
		return new_domain(db, day, name, record, out);
	*out = (struct domain){
		sqlite3_column_int64(get, 0), (uint64_t)sqlite3_column_int64(get, 1)};
	same = span_equal(database_text(get, 2), record);
	sqlite3_reset(get);
	return same || with_id_text(db, SQL_DOMAIN_RECORD, out->id, record);
}

static bool count_message(struct database *db, const struct domain *domain)
{
	sqlite3_stmt *count = database_statement(db, SQL_DOMAIN_COUNT);

	if (!count)
		return false;
	sqlite3_bind_int64(count, 1, domain->id);
	sqlite3_bind_int64(count, 2, wall_s(db));
	return database_do(db, count);
}

bool database_dmarc_add(struct database *db, struct database_job *job)
{
	struct span name = job->parts[0], record = job->parts[1], row = job->parts[2];
	struct domain domain;
	struct day day;

	if (name.len == 0 || name.len > DMARC_DOMAIN_MAX || record.len > DMARC_RECORD_MAX ||
		row.len == 0 || row.len > DMARC_ROW_MAX)
		return false;
	if (!read_today(db, &day) || !find_domain(db, &day, name, record, &domain))
		return false;
	if (domain.id == 0)
		return true;
	if (!count_message(db, &domain) || !with_id_text(db, SQL_ROW_COUNT, domain.id, row))
		return false;
	if (sqlite3_changes(db->file) > 0)
		return true;
	if (domain.rows >= db->setup.dmarc_rows_domain || !has_room(db, &day, row.len))
		return with_id(db, SQL_DOMAIN_LEAVE_OUT, domain.id);
	return with_id_text(db, SQL_ROW_NEW, domain.id, row) &&
	       with_id(db, SQL_DOMAIN_GROW, domain.id) && grow_day(db, &day, row.len);
}

/* --- what reports are made of --- */

static void answer_begin(struct record *r, struct span day)
{
	record_init(r, true, STORE_ANSWER_MAX);
	record_text(r, "day", day);
}

/* false: it did not fit. */
static bool answer_end(struct record *r, struct database_job *job)
{
	bool whole = !r->cut;

	whole = buffer_add(&job->answer, record_finish(r)) && whole;
	record_free(r);
	return whole;
}

/* A member of the open object: each row of a statement with its values bound. */
static bool add_list(struct database *db, struct record *r, const char *name, sqlite3_stmt *rows,
	void (*add)(struct record *r, sqlite3_stmt *row))
{
	bool is_row = true;

	record_list(r, name);
	while (is_row) {
		if (!database_row(db, rows, &is_row))
			return false;
		if (!is_row)
			break;
		record_open(r, NULL);
		add(r, rows);
		record_close(r);
	}
	record_close(r);
	sqlite3_reset(rows);
	return true;
}

static void add_domain(struct record *r, sqlite3_stmt *row)
{
	record_text(r, "domain", database_text(row, 0));
	record_number(r, "messages", sqlite3_column_int64(row, 1));
	record_number(r, "rows", sqlite3_column_int64(row, 2));
	record_number(r, "left_out", sqlite3_column_int64(row, 3));
}

static bool add_domains(struct database *db, struct record *r, struct span day)
{
	sqlite3_stmt *domains = database_statement(db, SQL_DOMAINS_OF);

	if (domains)
		database_bind(domains, 1, day);
	return add_list(db, r, "domains", domains, add_domain);
}

bool database_dmarc_day(struct database *db, struct database_job *job)
{
	sqlite3_stmt *get = database_statement(db, SQL_DAY_GET);
	struct record r;
	bool is_row, ok;

	if (get)
		database_bind(get, 1, job->parts[0]);
	if (!database_row(db, get, &is_row))
		return false;
	answer_begin(&r, job->parts[0]);
	record_number(&r, "left_out", is_row ? sqlite3_column_int64(get, 2) : 0);
	sqlite3_reset(get);
	ok = add_domains(db, &r, job->parts[0]);
	return answer_end(&r, job) && ok;
}

static void add_row(struct record *r, sqlite3_stmt *row)
{
	record_number(r, "count", sqlite3_column_int64(row, 0));
	/* As text: what a worker told is believed by nobody who reads all of them. */
	record_text(r, "row", database_text(row, 1));
}

static bool add_rows(struct database *db, struct record *r, int64_t domain)
{
	sqlite3_stmt *rows = database_statement(db, SQL_ROWS_OF);

	if (rows)
		sqlite3_bind_int64(rows, 1, domain);
	return add_list(db, r, "rows", rows, add_row);
}

bool database_dmarc_domain(struct database *db, struct database_job *job)
{
	sqlite3_stmt *get = database_statement(db, SQL_DOMAIN_GET);
	struct record r;
	bool is_row, ok;
	int64_t id;

	if (get) {
		database_bind(get, 1, job->parts[0]);
		database_bind(get, 2, job->parts[1]);
	}
	if (!database_row(db, get, &is_row))
		return false;
	if (!is_row)
		return true;
	answer_begin(&r, job->parts[0]);
	id = sqlite3_column_int64(get, 0);
	record_text(&r, "domain", job->parts[1]);
	record_text(&r, "record", database_text(get, 2));
	record_number(&r, "messages", sqlite3_column_int64(get, 3));
	record_number(&r, "left_out", sqlite3_column_int64(get, 4));
	record_number(&r, "first", sqlite3_column_int64(get, 5));
	record_number(&r, "last", sqlite3_column_int64(get, 6));
	sqlite3_reset(get);
	ok = add_rows(db, &r, id);
	return answer_end(&r, job) && ok;
}

/* --- age --- */

bool database_dmarc_expire(struct database *db, const char *before, bool *more)
{
	sqlite3_stmt *old = database_statement(db, SQL_OLD_DOMAIN);
	int64_t id;

	*more = false;
	if (old)
		database_bind(old, 1, span_text(before));
	if (!database_row(db, old, more))
		return false;
	if (!*more)
		return with_day(db, SQL_OLD_DAYS, before);
	id = sqlite3_column_int64(old, 0);
	sqlite3_reset(old);
	if (!with_id(db, SQL_OLD_ROWS, id))
		return false;
	/* Not all of its rows went with that: the domain stays until they have. */
	return sqlite3_changes(db->file) > 0 || with_id(db, SQL_OLD_DOMAIN_END, id);
}
