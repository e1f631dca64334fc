/*
 * keeper: `postern keeper`, the process that writes the log, answers the control socket and owns
 * the embedded store; later also the history and the console. It is started by the supervisor and
 * linked to each worker. Mail flows on without it.
 *
 *     AWAITING --START--> SERVING --told to end--> (writes the last lines, exits)
 *                            |                          ^
 *                            +--supervisor gone--> ORPHANED --last worker gone, or 10 s--
 */
#ifndef ADMIN_KEEPER_H
#define ADMIN_KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/ledger.h"
#include "lib/base/log.h"
#include "lib/net/ipc.h"
#include "lib/net/loop.h"
#include "lib/store/keeper_store.h"
#include "proxy/process/protocol.h"
#include "proxy/message/shared.h"
#include "proxy/process/title.h"

enum keeper_state { KEEPER_AWAITING, KEEPER_SERVING, KEEPER_ORPHANED };

struct enquiry;
struct inquest;
struct logwriter;
struct reception;

/* A worker that we can ask. */
struct link {
	struct link *next;
	struct keeper *keeper;
	struct link_frame worker;
	struct ipc *ipc;      /* owned */
	struct ledger ledger; /* as it last said */
};

struct keeper {
	uint32_t magic;
	enum keeper_state state;
	const struct title *title; /* borrowed */
	struct loop loop;
	struct log log;
	struct ipc *supervisor;      /* owned; NULL: it is gone */
	struct shared *shared;       /* owned */
	struct logwriter *writer;    /* owned */
	struct reception *reception; /* owned: the control socket */
	struct keeper_store *store;  /* owned */
	struct store *redis;         /* owned; NULL: the embedded store has all */
	struct asker *asker;         /* owned: of redis */
	struct link *links;          /* owned list */
	struct ledger ended;         /* of workers that have ended */
	struct enquiry *enquiries;   /* owned list: requests to all workers under way */
	struct inquest *inquests;    /* owned list: questions to the store under way */
	int log_fd;                  /* owned */
	uv_signal_t term;
	struct timer orphaned;
	int exit_status;
};

/* The exit status of the process. */
int keeper_run(const struct title *title);

/* The id of what is told to the store: nobody wants to know the answer. */
#define KEEPER_TOLD UINT32_MAX

/* Asks the store that has this kind; its answer is as keeper_store_setup.on_answer has it. */
void keeper_ask_store(struct keeper *keeper, uint32_t id, enum store_kind kind,
	const struct span *parts, size_t n_parts);

/* False: the supervisor is gone. */
bool keeper_ask_supervisor(
	struct keeper *keeper, enum frame_type type, uint32_t id, struct span payload);

#endif
