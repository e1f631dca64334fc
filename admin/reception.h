/*
 * reception: the control socket's daemon side: who may speak, one request line, one answer.
 *
 *     READING --a line--> ASKING --reception_answer--> ANSWERED --sent, peer closes--> (freed)
 *        |                   |                             |
 *        +-------------------+---- peer gone, time over ---+
 */
#ifndef ADMIN_RECEPTION_H
#define ADMIN_RECEPTION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "admin/control.h"
#include "lib/base/span.h"
#include "lib/net/loop.h"

struct reception;

/* Call reception_answer for each request, now or later; id is never 0. */
typedef void reception_on_request(
	void *context, uint32_t id, const struct control_request *request);

/* fd: the listening socket, taken over. group: whose members may speak, besides root and our own
 * account. */
struct reception *reception_open(
	struct loop *loop, int fd, gid_t group, reception_on_request *on_request, void *context);

/* Answers and ends the connection; one that is gone already is fine. */
void reception_answer(struct reception *reception, uint32_t id, int status, struct span text);

/* Takes no more connections. */
void reception_deafen(struct reception *reception);

/* No answer is on its way any more. */
bool reception_idle(const struct reception *reception);

/* Ends all; the loop must run until the handles are closed, then reception_free. */
void reception_close(struct reception *reception);
void reception_free(struct reception **reception);

#endif
