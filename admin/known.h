/*
 * known: the lists that grow by themselves: @known_clients (networks) and @known_senders (domains)
 * hold who has shown to be good (lib/store/reputation.h), for as long as that is renewed.
 */
#ifndef ADMIN_KNOWN_H
#define ADMIN_KNOWN_H

#include "lib/base/span.h"

struct keeper;

/* For keeper_store_setup.on_known_good; context: the keeper. An AS stands in no list. */
void known_add(void *context, struct span key);

#endif
