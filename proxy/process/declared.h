/*
 * declared: what a configuration says of lists in the store, as the keeper wants to know it
 * (database_declare): which lists its rules read, and which addresses no list may ever hold, since
 * they are our own: loopback, listeners, backends, the relays that tell us clients, resolvers.
 */
#ifndef PROXY_PROCESS_DECLARED_H
#define PROXY_PROCESS_DECLARED_H

#include "lib/base/buffer.h"

struct config;
struct policy;

enum { DECLARED_MAX = 256 * 1024 };

/* policy NULL: no rules. What does not fit into out is left out. */
void declared_write(const struct config *config, const struct policy *policy, struct buffer *out);

#endif
