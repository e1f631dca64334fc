/*
 * sandbox: what the authn process and its runners can still do once they are set up. The kernel
 * kills who tries anything else (seccomp). A runner can read, write and wait on the one socket that
 * it has, get memory, look at the clock, and end; the parent can fork besides, make socket pairs,
 * hand them over, wait for its children and kill them.
 */
#ifndef AUTHN_SANDBOX_H
#define AUTHN_SANDBOX_H

#include <stdbool.h>

#include "lib/base/attributes.h"
#include "lib/base/error.h"

struct sandbox;

/* Prepares both: a runner's is put in force in a few microseconds. NULL: err says why. */
struct sandbox *sandbox_new(struct err *err) MUST_CHECK;
void sandbox_free(struct sandbox **sandbox);

/* For good; with no_new_privs. */
bool sandbox_enter_parent(struct sandbox *sandbox, struct err *err) MUST_CHECK;

/* In a runner: limits on memory and time, too. false: errno. */
bool sandbox_enter_runner(const struct sandbox *sandbox) MUST_CHECK;

/* This program is built with sanitizers, whose reports must be seen. */
bool sandbox_has_reports(void);

#endif
