#include "lib/base/descriptor.h"

#include <errno.h>
#include <unistd.h>

bool descriptor_write(int fd, struct span bytes)
{
	while (bytes.len) {
		ssize_t written = write(fd, bytes.at, bytes.len);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return false;
		bytes = span_from(bytes, (size_t)written);
	}
	return true;
}
