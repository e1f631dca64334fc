/*
 * dns_event: libunbound's event base (unbound-event.h) on our loop: its sockets and its timers.
 */
#ifndef NET_DNS_EVENT_H
#define NET_DNS_EVENT_H

#include <unbound.h>
#include <unbound-event.h>

#include "lib/base/attributes.h"
#include "lib/base/error.h"
#include "lib/net/loop.h"

struct dns_events;

struct dns_events *dns_events_open(struct loop *loop, struct err *err) MUST_CHECK;

/* After libunbound's context is gone; frees later, from the loop. NULL is fine. */
void dns_events_close(struct dns_events **events);

struct ub_event_base *dns_events_base(struct dns_events *events);

#endif
