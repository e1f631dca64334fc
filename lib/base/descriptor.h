/* descriptor: what every writer to a file needs of a descriptor. */
#ifndef BASE_DESCRIPTOR_H
#define BASE_DESCRIPTOR_H

#include <stdbool.h>

#include "lib/base/attributes.h"
#include "lib/base/span.h"

/* Writes all of it, however often the system takes a part or is interrupted. For descriptors that
 * block. false: errno says why, and some may have been written. */
bool descriptor_write(int fd, struct span bytes) MUST_CHECK;

#endif
