/*
 * mime_name: what an attachment is called, by each reader that would call it otherwise.
 */
#ifndef MAIL_MIME_NAME_H
#define MAIL_MIME_NAME_H

#include "lib/base/arena.h"
#include "lib/mail/mime.h"

/* Adds the names that a Content-Disposition or Content-Type gives, the preferred form first, copied
 * into the arena and cut to max bytes (the extension is that of the whole). false: they differ from
 * each other or from those it has, or there is no room for all. */
bool mime_name_add(struct mime_attachment *a, const struct mime_field *field, size_t max_bytes,
	struct arena *arena);

#endif
