/* metrics: the shared counters as Prometheus text. No label holds an address. */
#ifndef ADMIN_METRICS_H
#define ADMIN_METRICS_H

#include <stdbool.h>

#include "lib/base/buffer.h"
#include "proxy/message/shared.h"

/* false: out is full. */
bool metrics_write(const struct shared *shared, struct buffer *out) MUST_CHECK;

#endif
