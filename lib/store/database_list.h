/* database_list: what the files of lists share. Private to database_list.c and
 * database_list_show.c.
 */
#ifndef STORE_DATABASE_LIST_H
#define STORE_DATABASE_LIST_H

#include "lib/store/database_private.h"

enum { LIST_TYPE_MAX = 16 /* bytes of a type's name, with a NUL */ };

struct database_list {
	int64_t id; /* 0: there is none */
	uint64_t items;
	struct span name; /* borrowed from who asked */
	char type[LIST_TYPE_MAX];
};

/* false: the database failed, which is noted. */
bool database_list_find(
	struct database *db, struct span name, struct database_list *out) MUST_CHECK;

/* The first three values of a statement: list, kind, key (borrowed until it is reset). */
bool database_list_bind(sqlite3_stmt *statement, const struct database_list *list,
	enum image_kind kind, struct span key) MUST_CHECK;

/* Seconds since 1970. */
uint64_t database_now_s(const struct database *db);

#endif
