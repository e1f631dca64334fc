#include "lib/store/shelver.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/fail.h"
#include "lib/store/database.h"

enum { WAIT_MAX_MS = 60 * 1000 };

enum word { WORD_CHANGE, WORD_REREAD, WORD_IMPORT, WORD_IMPORTED };

/* Something that it was told. */
struct told {
	struct told *next;
	enum word word;
	char list[LIST_NAME_MAX + 1];
	size_t size;
	char item[]; /* CHANGE: packed */
};

struct shelver {
	struct shelver_setup setup;
	pthread_t thread;
	struct shelves *shelves; /* owned; of the thread */
	bool loaded;             /* of the thread */
	atomic_bool stop;        /* so that nobody waits for a walk of seconds */

	pthread_mutex_t lock; /* for what follows */
	pthread_cond_t news;
	struct told *first, **last; /* owned */
	bool begun, ending;
	size_t size, n;
};

static uint64_t now_ms(void)
{
	const struct clock real = {0};

	return clock_now_ms(&real);
}

/* --- what it is told --- */

static void tell(struct shelver *s, enum word word, struct span list, struct span item)
{
	struct told *told = memory_zeroed(sizeof(*told) + item.len);

	told->word = word;
	memcpy(told->list, list.at, list.len < LIST_NAME_MAX ? list.len : LIST_NAME_MAX);
	told->size = item.len;
	if (item.len)
		memcpy(told->item, item.at, item.len);
	pthread_mutex_lock(&s->lock);
	*s->last = told;
	s->last = &told->next;
	pthread_cond_signal(&s->news);
	pthread_mutex_unlock(&s->lock);
}

void shelver_begin(struct shelver *s)
{
	pthread_mutex_lock(&s->lock);
	s->begun = true;
	pthread_cond_signal(&s->news);
	pthread_mutex_unlock(&s->lock);
}

void shelver_change(
	struct shelver *s, struct span list, enum image_kind kind, const struct image_item *item)
{
	struct buffer packed = BUFFER_INIT(8 * 1024);

	ENSURE(list_pack(kind, item, &packed));
	tell(s, WORD_CHANGE, list, buffer_span(&packed));
	buffer_free(&packed);
}

void shelver_reread(struct shelver *s, struct span list)
{
	tell(s, WORD_REREAD, list, SPAN_NONE);
}

void shelver_import(struct shelver *s, struct span list, bool is_last)
{
	tell(s, is_last ? WORD_IMPORTED : WORD_IMPORT, list, SPAN_NONE);
}

size_t shelver_size(struct shelver *s, size_t *n)
{
	size_t size;

	pthread_mutex_lock(&s->lock);
	size = s->size;
	*n = s->n;
	pthread_mutex_unlock(&s->lock);
	return size;
}

/* --- the thread --- */

/* A walk, which ends early when all does. */
struct walking {
	const struct shelver *shelver;
	bool (*take)(void *taker, const struct image_item *item);
	void *taker;
};

static bool take_item(void *context, const struct image_item *item)
{
	const struct walking *w = context;

	return !atomic_load(&w->shelver->stop) && w->take(w->taker, item);
}

static bool walk(void *context, struct span list, enum image_kind kind,
	const struct image_item *from, const struct image_item *until,
	bool (*take)(void *, const struct image_item *), void *taker, struct err *err)
{
	const struct shelver *s = context;
	struct walking w = {s, take, taker};

	if (!database_list_walk(s->setup.dir, clock_wall_ms(s->setup.clock) / 1000, list, kind,
		    from, until, take_item, &w, err))
		return false;
	return !atomic_load(&s->stop) || err_set(err, "the keeper ends");
}

static void put(void *context, struct span list, const struct shelf_image *image)
{
	const struct shelver *s = context;

	s->setup.put(s->setup.context, list, image);
}

static void drop(void *context, struct span list, uint64_t id)
{
	const struct shelver *s = context;

	s->setup.drop(s->setup.context, list, id);
}

static void failed(void *context, struct span list, const char *why)
{
	const struct shelver *s = context;

	if (!atomic_load(&s->stop))
		s->setup.failed(s->setup.context, list, why);
}

static void hear(struct shelver *s, const struct told *told)
{
	struct span list = span_text(told->list), packed = span_make(told->item, told->size);
	struct image_item item;
	enum image_kind kind;

	switch (told->word) {
	case WORD_CHANGE:
		ENSURE(list_unpack(&packed, &kind, &item));
		shelves_change(s->shelves, list, kind, &item, now_ms());
		break;
	case WORD_REREAD:
		shelves_reread(s->shelves, list, now_ms());
		break;
	case WORD_IMPORT:
	case WORD_IMPORTED:
		shelves_import(s->shelves, list, told->word == WORD_IMPORTED, now_ms());
		break;
	}
}

static void on_list(void *context, struct span name)
{
	struct shelver *s = context;

	shelves_reread(s->shelves, name, 0);
}

/* Until it has succeeded workers go by what they had. */
static void load(struct shelver *s)
{
	struct err err = {{0}};

	if (!database_lists_each(s->setup.dir, on_list, s, &err))
		return;
	shelves_run(s->shelves, now_ms());
	/* One that could not be read is to be tried again: it must not be taken for empty. */
	if (atomic_load(&s->stop) || shelves_due_ms(s->shelves) != UINT64_MAX)
		return;
	s->loaded = true;
	s->setup.all(s->setup.context);
}

static void run(struct shelver *s, struct told *told, bool begun)
{
	while (told) {
		struct told *next = told->next;

		hear(s, told);
		free(told);
		told = next;
	}
	if (begun && !s->loaded)
		load(s);
	if (s->loaded)
		shelves_run(s->shelves, now_ms());
}

/* When there is something to do unasked. */
static uint64_t due_ms(const struct shelver *s)
{
	uint64_t latest_ms = now_ms() + WAIT_MAX_MS, shelves_ms;

	if (!s->loaded)
		return s->begun ? now_ms() + SHELVES_RETRY_MS : latest_ms;
	shelves_ms = shelves_due_ms(s->shelves);
	return shelves_ms < latest_ms ? shelves_ms : latest_ms;
}

/* With the lock held. */
static void wait_for_news(struct shelver *s, bool begun)
{
	uint64_t until_ms = due_ms(s);
	struct timespec until = {.tv_sec = (time_t)(until_ms / 1000),
		.tv_nsec = (long)(until_ms % 1000) * 1000 * 1000};

	while (!s->first && !s->ending && s->begun == begun && now_ms() < until_ms)
		pthread_cond_timedwait(&s->news, &s->lock, &until);
}

static void *work(void *context)
{
	struct shelver *s = context;
	bool begun = false;

	pthread_mutex_lock(&s->lock);
	while (!s->ending) {
		struct told *told = s->first;
		size_t size, n;

		s->first = NULL;
		s->last = &s->first;
		begun = s->begun;
		pthread_mutex_unlock(&s->lock);
		run(s, told, begun);
		size = shelves_size(s->shelves, &n);
		pthread_mutex_lock(&s->lock);
		s->size = size;
		s->n = n;
		wait_for_news(s, begun);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* --- life --- */

/* Its time is clock_now_ms's. */
static void init_news(pthread_cond_t *news)
{
	pthread_condattr_t attributes;

	ENSURE(pthread_condattr_init(&attributes) == 0);
	ENSURE(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
	ENSURE(pthread_cond_init(news, &attributes) == 0);
	pthread_condattr_destroy(&attributes);
}

struct shelver *shelver_open(const struct shelver_setup *setup)
{
	struct shelver *s = memory_zeroed(sizeof(*s));
	sigset_t every, before;

	s->setup = *setup;
	s->last = &s->first;
	s->shelves = shelves_new(&(struct shelves_setup){
		.walk = walk, .put = put, .drop = drop, .failed = failed, .context = s});
	ENSURE(pthread_mutex_init(&s->lock, NULL) == 0);
	init_news(&s->news);
	/* Signals are the loop's. */
	sigfillset(&every);
	pthread_sigmask(SIG_BLOCK, &every, &before);
	ENSURE(pthread_create(&s->thread, NULL, work, s) == 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return s;
}

void shelver_close(struct shelver **owner)
{
	struct shelver *s = *owner;

	if (!s)
		return;
	*owner = NULL;
	atomic_store(&s->stop, true);
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_cond_signal(&s->news);
	pthread_mutex_unlock(&s->lock);
	ENSURE(pthread_join(s->thread, NULL) == 0);
	while (s->first) {
		struct told *told = s->first;

		s->first = told->next;
		free(told);
	}
	shelves_free(&s->shelves);
	pthread_cond_destroy(&s->news);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
