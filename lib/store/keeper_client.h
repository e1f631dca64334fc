/* keeper_client: a worker's store when it is the embedded one: the keeper has it, at the other end
 * of a socket pair that the supervisor makes anew whenever the keeper is started. */
#ifndef STORE_KEEPER_CLIENT_H
#define STORE_KEEPER_CLIENT_H

#include "lib/store/lists.h"
#include "lib/store/store.h"

/* It is away until store_link. */
struct store *store_open_keeper(struct loop *loop, struct log *log);

/* Who is told of the lists that the keeper shows; borrowed until the store is closed. */
void store_keeper_lists(struct store *store, struct lists *lists);

/* The keeper is at the other end of fd, which is taken over; a link before it is forgotten. Only
 * for a store of store_open_keeper. */
void store_link(struct store *store, int fd);

#endif
