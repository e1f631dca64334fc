/*
 * dkim_keys: keys that were read are kept for the next message of the same signer. They are found
 * by the record that they were read from, all of it, so none can be out of date.
 */
#ifndef AUTHN_DKIM_KEYS_H
#define AUTHN_DKIM_KEYS_H

#include "authn/dkim_key.h"

struct dkim_keys;

struct dkim_keys *dkim_keys_new(void);
void dkim_keys_free(struct dkim_keys **keys);

/* As dkim_key_read; *problem is NULL when it is good. Borrowed until the next call. */
const struct dkim_key *dkim_keys_read(struct dkim_keys *keys, struct span record,
	enum dkim_algorithm algorithm, const char **problem);

#endif
