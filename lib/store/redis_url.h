/*
 * redis_url: where Redis is, as the key `store` says it.
 *
 *     redis://[user:password@]host[:6379][/db]
 *     redis+unix://[user:password@]/path/of/socket[?db=N]
 *     redis+sentinel://[user:password@]host[:26379],host.../name[/db]
 *     redis+cluster://[user:password@]host[:6379],host...
 *
 * With `rediss` in place of `redis` all connections are TLS, and names are verified. `%40` stands
 * for a byte in a user or password; `:password@` goes without a user.
 */
#ifndef STORE_REDIS_URL_H
#define STORE_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attributes.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"
#include "lib/base/span.h"

enum redis_form { REDIS_ONE, REDIS_UNIX, REDIS_SENTINEL, REDIS_CLUSTER };

enum {
	REDIS_HOST_MAX = 256, /* bytes of each, with the NUL */
	REDIS_USER_MAX = 128,
	REDIS_PASSWORD_MAX = 512,
	REDIS_NAME_MAX = 128,
	REDIS_PATH_MAX = 108,
	REDIS_NODES_MAX = 32,
	REDIS_DB_MAX = 65535
};

struct redis_node {
	char host[REDIS_HOST_MAX]; /* a name or an address, without brackets */
	uint16_t port;
};

struct redis_url {
	enum redis_form form;
	bool tls;
	char user[REDIS_USER_MAX]; /* "": the default one */
	char password[REDIS_PASSWORD_MAX];
	bool with_password;
	struct redis_node nodes[REDIS_NODES_MAX]; /* the server; sentinels; some of a cluster */
	size_t n_nodes;
	char path[REDIS_PATH_MAX]; /* REDIS_UNIX */
	char name[REDIS_NAME_MAX]; /* REDIS_SENTINEL: of the primary */
	unsigned db;
};

/* false: err says what is wrong, *offset where in the text. */
bool redis_url_read(
	struct span text, struct redis_url *out, size_t *offset, struct err *err) MUST_CHECK;

/* The text with its password as `***`, for people; any text. false: out is full. */
bool redis_url_mask(struct span text, struct buffer *out) MUST_CHECK;

#endif
