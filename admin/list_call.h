/*
 * list_call: what `postern list` asks the daemon: requests to the store over the control socket,
 * and what it knows of lists.
 */
#ifndef ADMIN_LIST_CALL_H
#define ADMIN_LIST_CALL_H

#include "admin/command.h"
#include "admin/json.h"
#include "lib/store/list_request.h"
#include "lib/store/store.h"
#include "policy/list.h"

struct list_call {
	const struct invocation *invocation;
	struct arena *arena;
	struct admin_config admin;
	struct buffer answer; /* of the last request */
};

/* CLI_OK, or says what is wrong with the configuration. */
int list_call_open(struct list_call *call, const struct invocation *invocation);
void list_call_close(struct list_call *call);

/* The answer is in call->answer. CLI_OK, or it is said why not. */
int list_ask(
	struct list_call *call, enum store_kind kind, const struct span *parts, size_t n_parts);

/* Likewise as JSON, in the arena; NULL: *status says why, and so does standard error. */
const struct json *list_ask_json(struct list_call *call, enum store_kind kind,
	const struct span *parts, size_t n_parts, struct arena *arena, int *status);

/* The type of a list: as the rules read it, as it is in the store, or --type. CLI_OK, or it is said
 * what is missing. */
int list_type_of(struct list_call *call, const char *name, enum list_type *type);

/* Who asks: --by, or the account. */
struct span list_by(const struct list_call *call);

/* What an item of `protected` is. */
enum list_type list_type_guess(struct span item);

/* "192.0.2.1 lies in 192.0.2.0/24, which is protected (backend main)", on standard error, for each
 * that was told. */
void list_print_protected(struct list_call *call, const struct json *answer);

#endif
