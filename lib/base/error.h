/*
 * err: why something failed, for a person: what, where and what to do. Functions that can fail
 * are `bool f(..., struct err *)`; false means that the text is set and nothing else has changed.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdbool.h>

#include "lib/base/attributes.h"

struct err {
	char text[512];
};

/* Sets the text (cut to fit) and returns false, so that `return err_set(err, ...)` reads well. */
bool err_set(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* As err_set, with ": " and strerror(errno) behind it. */
bool err_errno(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
