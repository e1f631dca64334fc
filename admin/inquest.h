/*
 * inquest: an admin's question to the store: results of DMARC, greylisting, reputation. The keeper
 * passes it on, and the store's answer back.
 */
#ifndef ADMIN_INQUEST_H
#define ADMIN_INQUEST_H

#include "admin/control.h"
#include "lib/store/store.h"

struct keeper;

/* reception_answer follows under this id. */
void inquest_start(struct keeper *keeper, uint32_t id, const struct control_request *request);

/* For keeper_store_setup; context: the keeper. */
void inquest_on_answer(void *context, uint32_t id, enum store_outcome outcome, struct span answer);

/* Drops all; nobody is answered. */
void inquest_close_all(struct keeper *keeper);

#endif
