#include "lib/store/keeper_store.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/fail.h"
#include "lib/net/ipc.h"
#include "lib/store/shelver.h"
#include "lib/store/shown.h"
#include "lib/store/wire.h"

enum {
	KEEPER_STORE_MAGIC = 0x4ee5704e,
	EXPIRE_MS = 3600 * 1000,
	NOTICE_MAX = 256,
	WAIT_MAX_MS = 60 * 1000
};

/* Which kinds workers may ask: others tell what is other senders' business. */
static const bool of_workers[STORE_KIND_COUNT] = {[STORE_PING] = true,
	[STORE_DMARC_ADD] = true,
	[STORE_LIST_ADD] = true,
	[STORE_GREY_LOOK] = true,
	[STORE_GREY_TRIED] = true,
	[STORE_GREY_PASSED] = true,
	[STORE_RATE_LOOK] = true,
	[STORE_RATE_CHARGE] = true,
	[STORE_REP_LOOK] = true,
	[STORE_REP_ADD] = true};

/* Those that nobody waits for: they may wait for others, so that a commit and a wake serve many.
 * What is asked takes them along, for the order stays. */
static const bool is_patient[STORE_KIND_COUNT] = {[STORE_DMARC_ADD] = true,
	[STORE_GREY_TRIED] = true,
	[STORE_GREY_PASSED] = true,
	[STORE_RATE_CHARGE] = true,
	[STORE_REP_ADD] = true};

enum { GATHER_MS = 200, GATHER_MAX = 256 };

/* A request on its way through. */
struct job {
	struct job *next;
	uint64_t link; /* whose it is; 0: the keeper's own */
	uint32_t id;
	size_t size;
	struct database_job work; /* its parts lie in body */
	char body[];
};

struct jobs {
	struct job *first, **last;
	size_t n, bytes;
};

/* Something the thread wants to be logged; or, without an event, somebody who is known to be good.
 */
struct notice {
	struct notice *next;
	enum log_level level;
	const char *event; /* literal; NULL: text is a key */
	char text[NOTICE_MAX];
};

/* Something that the thread has to tell of the images of lists. */
struct showing {
	struct showing *next;
	enum { SHOWING_PUT, SHOWING_DROP, SHOWING_ALL } what;
	struct shelf_image image; /* its descriptor is ours */
	char list[LIST_NAME_MAX + 1];
};

/* A worker. */
struct store_link {
	struct store_link *next;
	struct keeper_store *ks;
	uint64_t number;
	struct ipc *ipc; /* owned */
};

struct keeper_store {
	uint32_t magic;
	struct keeper_store_setup setup;
	struct store_link *links; /* owned list */
	uint64_t last_link;
	uv_async_t async;
	struct timer expire;
	pthread_t thread;
	uint64_t asked, refused;   /* of the loop */
	struct shown *shown;       /* owned; of the loop */
	struct database *database; /* owned; of the thread */
	struct shelver *shelver;   /* owned */
	bool loaded;               /* of the thread: all lists that there are have been read */
	uint64_t load_tried_ms;    /* of the thread */

	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t news;
	struct jobs queue; /* to be done */
	struct jobs done;  /* to be answered */
	struct notice *notices, **last_notice;
	struct showing *showings, **last_showing;
	struct buffer declared; /* not taken by the thread yet */
	bool is_declared, expiry_due, ending;
	bool hurry; /* the queue holds something that somebody waits for, or a lot */
	uint64_t batches, worked, size_bytes;
};

/* --- jobs --- */

static void jobs_init(struct jobs *jobs)
{
	*jobs = (struct jobs){.last = &jobs->first};
}

static void jobs_add(struct jobs *jobs, struct job *job)
{
	job->next = NULL;
	*jobs->last = job;
	jobs->last = &job->next;
	jobs->n++;
	jobs->bytes += job->size;
}

static struct job *jobs_take(struct jobs *jobs)
{
	struct job *job = jobs->first;

	if (!job)
		return NULL;
	jobs->first = job->next;
	if (!jobs->first)
		jobs->last = &jobs->first;
	jobs->n--;
	jobs->bytes -= job->size;
	return job;
}

static void job_free(struct job *job)
{
	buffer_free(&job->work.answer);
	free(job);
}

/* NULL: these are no parts of that kind. */
static struct job *job_new(uint64_t link, uint32_t id, uint32_t kind, struct span body)
{
	struct job *job;

	if (kind >= STORE_KIND_COUNT || body.len > STORE_BODY_MAX)
		return NULL;
	job = memory_zeroed(sizeof(*job) + body.len);
	job->link = link;
	job->id = id;
	job->size = sizeof(*job) + body.len;
	job->work.kind = (enum store_kind)kind;
	job->work.of_worker = link != 0;
	job->work.answer = BUFFER_INIT(STORE_ANSWER_MAX);
	if (body.len)
		memcpy(job->body, body.at, body.len);
	if (store_parts_read(span_make(job->body, body.len), job->work.parts,
		    store_kind_parts(job->work.kind)))
		return job;
	free(job);
	return NULL;
}

/* --- the thread --- */

static void add_notice(
	struct keeper_store *ks, enum log_level level, const char *event, struct span text)
{
	struct notice *notice = memory_zeroed(sizeof(*notice));

	notice->level = level;
	notice->event = event;
	text = span_first(text, sizeof(notice->text) - 1);
	memcpy(notice->text, text.at, text.len);
	pthread_mutex_lock(&ks->lock);
	*ks->last_notice = notice;
	ks->last_notice = &notice->next;
	pthread_mutex_unlock(&ks->lock);
	uv_async_send(&ks->async);
}

static void on_notice(void *context, enum log_level level, const char *event, const char *text)
{
	add_notice(context, level, event, span_text(text));
}

/* A key that does not fit is nobody's: domains and networks are shorter. */
static void on_known_good(void *context, struct span key)
{
	if (key.len < NOTICE_MAX)
		add_notice(context, LOG_INFO, NULL, key);
}

/* --- lists: from the threads --- */

static void show(struct keeper_store *ks, const struct showing *what)
{
	struct showing *showing = memory_zeroed(sizeof(*showing));

	*showing = *what;
	pthread_mutex_lock(&ks->lock);
	*ks->last_showing = showing;
	ks->last_showing = &showing->next;
	pthread_mutex_unlock(&ks->lock);
	uv_async_send(&ks->async);
}

static struct showing showing_of(struct span list)
{
	struct showing showing = {.next = NULL};

	memcpy(showing.list, list.at, list.len < LIST_NAME_MAX ? list.len : LIST_NAME_MAX);
	return showing;
}

/* The shelf keeps its descriptor for itself. */
static void on_put(void *context, struct span list, const struct shelf_image *image)
{
	struct showing showing = showing_of(list);

	showing.what = SHOWING_PUT;
	showing.image = *image;
	showing.image.fd = fcntl(image->fd, F_DUPFD_CLOEXEC, 3);
	if (showing.image.fd >= 0)
		show(context, &showing);
	else
		on_notice(context, LOG_ERROR, "list_failed",
			"no descriptor is left for an image of a list: workers see it without");
}

static void on_drop(void *context, struct span list, uint64_t id)
{
	struct showing showing = showing_of(list);

	showing.what = SHOWING_DROP;
	showing.image.id = id;
	show(context, &showing);
}

static void on_shelf_failed(void *context, struct span list, const char *why)
{
	struct err err = {{0}};

	err_set(&err, "the list %.*s stays as it was: %s", SPAN_ARGS(list), why);
	on_notice(context, LOG_ERROR, "list_failed", err.text);
}

static void on_all(void *context)
{
	struct showing showing = {.what = SHOWING_ALL};

	show(context, &showing);
}

static void on_list_change(
	void *context, struct span list, enum image_kind kind, const struct image_item *item)
{
	struct keeper_store *ks = context;

	shelver_change(ks->shelver, list, kind, item);
}

static void on_list_reread(void *context, struct span list)
{
	struct keeper_store *ks = context;

	shelver_reread(ks->shelver, list);
}

static void on_list_import(void *context, struct span list, bool is_last)
{
	struct keeper_store *ks = context;

	shelver_import(ks->shelver, list, is_last);
}

/* --- the thread --- */

/* Some of what waits, with the lock held. */
static size_t take_batch(struct keeper_store *ks, struct job **batch)
{
	size_t n = 0;

	while (n < KEEPER_STORE_BATCH_MAX && ks->queue.n)
		batch[n++] = jobs_take(&ks->queue);
	ks->hurry = ks->queue.n > 0;
	return n;
}

static void run_batch(struct database *db, struct job *const *batch, size_t n)
{
	struct database_job *work[KEEPER_STORE_BATCH_MAX];

	for (size_t i = 0; i < n; i++)
		work[i] = &batch[i]->work;
	if (n)
		database_run(db, work, n);
}

static void hand_back(
	struct keeper_store *ks, struct database *db, struct job *const *batch, size_t n)
{
	uint64_t size = database_size(db);

	if (size)
		shelver_begin(ks->shelver); /* the file is there */
	pthread_mutex_lock(&ks->lock);
	for (size_t i = 0; i < n; i++)
		jobs_add(&ks->done, batch[i]);
	ks->batches += n > 0;
	ks->worked += n;
	ks->size_bytes = size;
	pthread_mutex_unlock(&ks->lock);
	if (n)
		uv_async_send(&ks->async);
}

/* With the lock held: until somebody wants an answer, or there has been time for more to come. */
static void gather(struct keeper_store *ks)
{
	struct timespec until;

	ENSURE(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
	until.tv_sec += (time_t)(ks->setup.gather_ms / 1000);
	until.tv_nsec += (long)(ks->setup.gather_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (!ks->hurry && !ks->expiry_due && !ks->ending && !ks->is_declared &&
		pthread_cond_timedwait(&ks->news, &ks->lock, &until) == 0) {
	}
}

/* With the lock held. false: it is time to end, and nothing is left to do. */
static bool wait_for_work(struct keeper_store *ks)
{
	while (!ks->queue.n && !ks->expiry_due && !ks->ending && !ks->is_declared)
		pthread_cond_wait(&ks->news, &ks->lock);
	if (ks->queue.n)
		gather(ks);
	return ks->queue.n || !ks->ending;
}

/* With the lock held. */
static void take_declared(struct keeper_store *ks)
{
	if (!ks->is_declared)
		return;
	ks->is_declared = false;
	database_declare(ks->database, buffer_span(&ks->declared));
	buffer_free(&ks->declared);
}

static void *work(void *context)
{
	struct keeper_store *ks = context;
	struct database *db = ks->database = database_new(&ks->setup.database);
	struct job *batch[KEEPER_STORE_BATCH_MAX];

	pthread_mutex_lock(&ks->lock);
	while (wait_for_work(ks)) {
		size_t n = take_batch(ks, batch);
		bool expire = ks->expiry_due;

		take_declared(ks);
		pthread_mutex_unlock(&ks->lock);
		run_batch(db, batch, n);
		/* A piece of it between two batches. */
		expire = expire && database_expire(db);
		hand_back(ks, db, batch, n);
		pthread_mutex_lock(&ks->lock);
		ks->expiry_due = expire && !ks->ending;
	}
	pthread_mutex_unlock(&ks->lock);
	database_free(&ks->database);
	return NULL;
}

/* Signals are the loop's. */
static void start_thread(struct keeper_store *ks)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	ENSURE(pthread_create(&ks->thread, NULL, work, ks) == 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* --- links --- */

static void link_end(struct store_link *link)
{
	struct store_link **at = &link->ks->links;

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	ipc_close(&link->ipc);
	free(link);
}

static void on_link_end(void *context)
{
	link_end(context);
}

static void send_answer(
	struct store_link *link, uint32_t id, enum store_outcome outcome, struct span answer)
{
	struct buffer payload = BUFFER_INIT(STORE_ANSWER_MAX + sizeof(uint32_t));
	uint32_t number = outcome;

	/* One that takes no answers has no use for us: its socket will end. */
	if (buffer_add(&payload, span_make(&number, sizeof(number))) &&
		buffer_add(&payload, answer))
		(void)ipc_send(link->ipc, &(struct ipc_frame){.type = STORE_FRAME_ANSWER,
						  .id = id,
						  .payload = buffer_span(&payload)});
	buffer_free(&payload);
}

/* false: too much waits already. */
static bool enqueue(struct keeper_store *ks, struct job *job)
{
	bool room, patient = is_patient[job->work.kind];

	pthread_mutex_lock(&ks->lock);
	/* Answers that are not fetched count too: they are the same jobs. */
	room = ks->queue.n + ks->done.n < KEEPER_STORE_QUEUE_MAX &&
	       ks->queue.bytes + ks->done.bytes + job->size <= KEEPER_STORE_QUEUE_BYTES_MAX;
	if (room)
		jobs_add(&ks->queue, job);
	if (!patient || ks->queue.n >= GATHER_MAX)
		ks->hurry = true;
	if (ks->hurry || ks->queue.n == 1)
		pthread_cond_signal(&ks->news);
	pthread_mutex_unlock(&ks->lock);
	ks->asked++;
	ks->refused += !room;
	return room;
}

static void on_link_frame(void *context, const struct ipc_frame *frame)
{
	struct store_link *link = context;
	struct span body = frame->payload;
	struct job *job = NULL;
	uint32_t kind;

	for (size_t i = 0; i < frame->n_fds; i++)
		close(frame->fds[i]);
	if (frame->type == STORE_FRAME_ASK && frame->n_fds == 0 && frame->id &&
		store_number_take(&body, &kind) && kind < STORE_KIND_COUNT && of_workers[kind])
		job = job_new(link->number, frame->id, kind, body);
	if (!job) {
		link_end(link); /* nonsense */
		return;
	}
	if (!enqueue(link->ks, job)) {
		send_answer(link, job->id, STORE_AWAY, SPAN_NONE);
		job_free(job);
	}
}

static const struct ipc_handler link_handler = {on_link_frame, on_link_end};

void keeper_store_link(struct keeper_store *ks, int fd)
{
	struct store_link *link = memory_zeroed(sizeof(*link));

	MAGIC_ENSURE(ks, KEEPER_STORE_MAGIC);
	link->ks = ks;
	link->number = ++ks->last_link;
	link->ipc = ipc_open(ks->setup.loop, fd, &link_handler, link);
	link->next = ks->links;
	ks->links = link;
	if (!shown_to(ks->shown, link->ipc))
		return; /* it is gone: its socket will say so */
}

void keeper_store_declare(struct keeper_store *ks, struct span text)
{
	MAGIC_ENSURE(ks, KEEPER_STORE_MAGIC);
	pthread_mutex_lock(&ks->lock);
	buffer_clear(&ks->declared);
	ks->is_declared = buffer_add(&ks->declared, text);
	pthread_cond_signal(&ks->news);
	pthread_mutex_unlock(&ks->lock);
}

/* --- answers --- */

static void answer(struct keeper_store *ks, struct job *job)
{
	struct store_link *link = ks->links;

	if (job->link == 0) {
		ks->setup.on_answer(ks->setup.context, job->id, job->work.outcome,
			buffer_span(&job->work.answer));
		return;
	}
	while (link && link->number != job->link)
		link = link->next;
	if (link)
		send_answer(link, job->id, job->work.outcome, buffer_span(&job->work.answer));
}

static void pass_notices_on(struct keeper_store *ks, struct notice *notice)
{
	while (notice) {
		struct notice *next = notice->next;

		if (notice->event)
			log_event(ks->setup.log, notice->level, notice->event, SPAN_NONE, "%s",
				notice->text);
		else if (ks->setup.on_known_good)
			ks->setup.on_known_good(ks->setup.context, span_text(notice->text));
		free(notice);
		notice = next;
	}
}

static struct notice *take_notices(struct keeper_store *ks)
{
	struct notice *notices = ks->notices;

	ks->notices = NULL;
	ks->last_notice = &ks->notices;
	return notices;
}

static const struct ipc_frame *frame_of(struct keeper_store *ks, const struct showing *showing)
{
	struct span list = span_text(showing->list);

	switch (showing->what) {
	case SHOWING_PUT:
		return shown_put(ks->shown, list, &showing->image);
	case SHOWING_DROP:
		return shown_drop(ks->shown, list, showing->image.id);
	case SHOWING_ALL:
		break;
	}
	return shown_all(ks->shown);
}

static void show_all(struct keeper_store *ks, struct showing *showing)
{
	while (showing) {
		struct showing *next = showing->next;
		const struct ipc_frame *frame = frame_of(ks, showing);

		/* One that takes no frames is gone: its socket will say so. */
		for (struct store_link *link = ks->links; frame && link; link = link->next)
			(void)ipc_send(link->ipc, frame);
		free(showing);
		showing = next;
	}
}

static struct showing *take_showings(struct keeper_store *ks)
{
	struct showing *showings = ks->showings;

	ks->showings = NULL;
	ks->last_showing = &ks->showings;
	return showings;
}

static void on_async(uv_async_t *async)
{
	struct keeper_store *ks = async->data;
	struct showing *showings;
	struct notice *notices;
	struct jobs done;

	MAGIC_ENSURE(ks, KEEPER_STORE_MAGIC);
	pthread_mutex_lock(&ks->lock);
	done = ks->done;
	if (!done.first)
		done.last = &done.first;
	jobs_init(&ks->done);
	notices = take_notices(ks);
	showings = take_showings(ks);
	pthread_mutex_unlock(&ks->lock);
	pass_notices_on(ks, notices);
	show_all(ks, showings);
	for (struct job *job; (job = jobs_take(&done));) {
		answer(ks, job);
		job_free(job);
	}
}

void keeper_store_ask(struct keeper_store *ks, uint32_t id, enum store_kind kind,
	const struct span *parts, size_t n_parts)
{
	struct buffer body = BUFFER_INIT(STORE_BODY_MAX);
	struct job *job = NULL;

	MAGIC_ENSURE(ks, KEEPER_STORE_MAGIC);
	ENSURE(n_parts == store_kind_parts(kind));
	if (store_parts_write(parts, n_parts, &body))
		job = job_new(0, id, kind, buffer_span(&body));
	buffer_free(&body);
	if (!job) {
		ks->setup.on_answer(ks->setup.context, id, STORE_FAILED, SPAN_NONE);
	} else if (!enqueue(ks, job)) {
		job_free(job);
		ks->setup.on_answer(ks->setup.context, id, STORE_AWAY, SPAN_NONE);
	}
}

/* --- life --- */

static void on_expire(struct timer *timer)
{
	struct keeper_store *ks = CONTAINER_OF(timer, struct keeper_store, expire);

	MAGIC_ENSURE(ks, KEEPER_STORE_MAGIC);
	pthread_mutex_lock(&ks->lock);
	ks->expiry_due = true;
	pthread_cond_signal(&ks->news);
	pthread_mutex_unlock(&ks->lock);
	timer_set(&ks->setup.loop->timers, &ks->expire, EXPIRE_MS);
}

/* On the clock that gather waits by. */
static void init_news(pthread_cond_t *news)
{
	pthread_condattr_t attributes;

	ENSURE(pthread_condattr_init(&attributes) == 0);
	ENSURE(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	ENSURE(pthread_cond_init(news, &attributes) == 0);
	pthread_condattr_destroy(&attributes);
}

struct keeper_store *keeper_store_open(const struct keeper_store_setup *setup)
{
	struct keeper_store *ks = memory_zeroed(sizeof(*ks));

	ks->magic = KEEPER_STORE_MAGIC;
	ks->setup = *setup;
	if (!setup->gather_ms)
		ks->setup.gather_ms = GATHER_MS;
	ks->setup.database.clock = &setup->loop->clock;
	ks->setup.database.notice = on_notice;
	ks->setup.database.list_change = on_list_change;
	ks->setup.database.list_reread = on_list_reread;
	ks->setup.database.known_good = on_known_good;
	ks->setup.database.list_import = on_list_import;
	ks->setup.database.context = ks;
	ks->shown = shown_new();
	ks->last_showing = &ks->showings;
	ks->declared = BUFFER_INIT(STORE_BODY_MAX);
	ks->expire.fire = on_expire;
	ks->async.data = ks;
	ks->expiry_due = true; /* and with it the file is opened */
	ks->last_notice = &ks->notices;
	jobs_init(&ks->queue);
	jobs_init(&ks->done);
	ENSURE(pthread_mutex_init(&ks->lock, NULL) == 0);
	init_news(&ks->news);
	ENSURE(uv_async_init(&setup->loop->uv, &ks->async, on_async) == 0);
	timer_set(&setup->loop->timers, &ks->expire, EXPIRE_MS);
	ks->shelver = shelver_open(&(struct shelver_setup){.dir = setup->database.dir,
		.clock = &setup->loop->clock,
		.put = on_put,
		.drop = on_drop,
		.failed = on_shelf_failed,
		.all = on_all,
		.context = ks});
	start_thread(ks);
	return ks;
}

bool keeper_store_is_linked(const struct keeper_store *ks)
{
	return ks->links != NULL;
}

void keeper_store_status(struct keeper_store *ks, struct record *r)
{
	size_t queued;
	uint64_t batches, worked, size;
	size_t image_bytes, n_lists;

	MAGIC_ENSURE(ks, KEEPER_STORE_MAGIC);
	pthread_mutex_lock(&ks->lock);
	queued = ks->queue.n;
	batches = ks->batches;
	worked = ks->worked;
	size = ks->size_bytes;
	pthread_mutex_unlock(&ks->lock);
	image_bytes = shelver_size(ks->shelver, &n_lists);
	record_number(r, "file_bytes", (int64_t)size);
	record_number(r, "queued", (int64_t)queued);
	record_number(r, "requests", (int64_t)ks->asked);
	record_number(r, "refused", (int64_t)ks->refused);
	record_number(r, "done", (int64_t)worked);
	record_number(r, "transactions", (int64_t)batches);
	record_number(r, "lists", (int64_t)n_lists);
	record_number(r, "list_bytes", (int64_t)image_bytes);
}

static void on_closed(uv_handle_t *handle)
{
	struct keeper_store *ks = handle->data;

	MAGIC_ENSURE(ks, KEEPER_STORE_MAGIC);
	ks->magic = 0;
	free(ks);
}

void keeper_store_close(struct keeper_store **owner)
{
	struct keeper_store *ks = *owner;

	if (!ks)
		return;
	MAGIC_ENSURE(ks, KEEPER_STORE_MAGIC);
	*owner = NULL;
	pthread_mutex_lock(&ks->lock);
	ks->ending = true;
	pthread_cond_signal(&ks->news);
	pthread_mutex_unlock(&ks->lock);
	ENSURE(pthread_join(ks->thread, NULL) == 0);
	shelver_close(&ks->shelver);
	while (ks->links)
		link_end(ks->links);
	for (struct job *job; (job = jobs_take(&ks->done));)
		job_free(job);
	pass_notices_on(ks, take_notices(ks));
	show_all(ks, take_showings(ks)); /* to nobody: they own descriptors */
	shown_free(&ks->shown);
	buffer_free(&ks->declared);
	timer_clear(&ks->setup.loop->timers, &ks->expire);
	pthread_cond_destroy(&ks->news);
	pthread_mutex_destroy(&ks->lock);
	close(ks->setup.database.dir);
	uv_close((uv_handle_t *)&ks->async, on_closed);
}
