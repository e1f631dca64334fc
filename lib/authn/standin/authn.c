/* Until lib/authn/authn.c is there: what filters refer to, never called, since no worker has a
 * struct authn. */
#include "lib/authn/authn.h"

#include "lib/base/fail.h"

void authn_start(struct authn *authn, struct authn_task *task)
{
	ENSURE(!authn || !task);
}

void authn_content(struct authn_task *task, struct span piece, uint64_t size)
{
	ENSURE(!task || piece.len > size);
}

void authn_end(struct authn_task *task)
{
	ENSURE(!task);
}

void authn_answer(struct authn_task *task, const struct answer *answer)
{
	ENSURE(!task || !answer);
}

void authn_cancel(struct authn_task *task)
{
	ENSURE(!task);
}
