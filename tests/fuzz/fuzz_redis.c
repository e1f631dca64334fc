/* What an admin writes about Redis, or into it: addresses, and what stands beside items of lists.
 */
#include "lib/base/fail.h"
#include "lib/list/image.h"
#include "lib/store/redis_item.h"
#include "lib/store/redis_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_url(struct span text)
{
	static struct redis_url url;
	struct buffer masked = BUFFER_INIT(64 * 1024);
	struct err err = {{0}};
	size_t offset = SIZE_MAX;
	bool ok = redis_url_read(text, &url, &offset, &err);

	ENSURE(ok || (err.text[0] && offset <= text.len));
	ENSURE(!ok || url.form == REDIS_UNIX || url.n_nodes > 0);
	/* What is shown has a password that is none. */
	if (redis_url_mask(text, &masked) && ok && url.with_password)
		ENSURE(span_find(buffer_span(&masked), SPAN(":***@")) < masked.len);
	buffer_free(&masked);
}

static void read_item(struct span text)
{
	struct arena *arena = arena_new(1024);
	struct redis_item item;

	redis_item_read(text, arena, &item);
	ENSURE(item.reason.len <= IMAGE_REASON_MAX && item.item.len <= IMAGE_KEY_MAX + 4);
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 16 * 1024)
		return 0;
	read_url(span_make(data, size));
	read_item(span_make(data, size));
	return 0;
}
