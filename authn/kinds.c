/*
 * The evaluators as kinds of tasks: how each is asked, fed and stepped. What OpenSSL would read
 * from files or fetch at its first use is fetched when the libraries are opened: later the sandbox
 * forbids it.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "authn/arc.h"
#include "authn/dkim.h"
#include "authn/spf.h"
#include "authn/task.h"
#include "lib/base/clock.h"
#include "lib/base/fail.h"

#ifdef POSTERN_SPF
/* --- SPF --- */

struct spf_task {
	struct spf *spf; /* borrowed */
	struct spf_question question;
};

static bool spf_open_library(void **library, struct err *err)
{
	*library = spf_open(err);
	return *library != NULL;
}

static void spf_close_library(void **library)
{
	struct spf *spf = *library;

	spf_close(&spf);
	*library = NULL;
}

static void *spf_begin(void *library, struct span request, const struct task_view *view)
{
	struct spf_task *task = arena_alloc(view->arena, sizeof(*task));

	task->spf = library;
	return spf_question_read(request, &task->question) ? task : NULL;
}

static enum task_status spf_step(
	void *own, const struct task_view *view, struct wants *wants, struct buffer *out)
{
	struct spf_task *task = own;
	struct arena *arena = arena_new(4096); /* each run begins from the start */
	struct spf_result result = {0};
	bool done = spf_run(task->spf, &task->question, view->answers, wants, &result, arena);

	if (done)
		ENSURE(spf_result_write(&result, out));
	arena_free(&arena);
	return done ? TASK_DONE : TASK_WAITS;
}

static const struct kind spf_kind = {.name = "spf",
	.open = spf_open_library,
	.close = spf_close_library,
	.begin = spf_begin,
	.step = spf_step};

#endif
#if defined(POSTERN_DKIM) || defined(POSTERN_ARC)
/* --- what DKIM and ARC share --- */

static uint64_t now_s(void)
{
	const struct clock clock = {0};

	return clock_wall_ms(&clock) / 1000;
}

static bool open_openssl(struct err *err)
{
	unsigned char digest[EVP_MAX_MD_SIZE], byte;

	if (OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS |
					OPENSSL_INIT_ADD_ALL_DIGESTS,
		    NULL) &&
		EVP_Digest("", 0, digest, NULL, EVP_sha256(), NULL) && RAND_bytes(&byte, 1) == 1)
		return true;
	return err_set(err, "OpenSSL does not work");
}

#endif
#ifdef POSTERN_DKIM
/* --- DKIM --- */

static bool dkim_open_library(void **library, struct err *err)
{
	*library = open_openssl(err) ? dkim_library_open(err) : NULL;
	return *library != NULL;
}

static void dkim_close_library(void **library)
{
	struct dkim_library *dkim = *library;

	dkim_library_close(&dkim);
	*library = NULL;
}

static void *dkim_begin_task(void *library, struct span request, const struct task_view *view)
{
	return dkim_check_begin(library, request, now_s(), view->arena);
}

static void dkim_content(void *own, struct span piece)
{
	dkim_check_body(own, piece);
}

static enum task_status dkim_step(
	void *own, const struct task_view *view, struct wants *wants, struct buffer *out)
{
	struct dkim_result result = {0};

	dkim_check_wants(own, view->answers, wants);
	if (wants->n || (!view->whole && dkim_check_needs_body(own)))
		return TASK_WAITS;
	dkim_check_end(own, view->answers, &result);
	ENSURE(dkim_result_write(&result, out));
	return TASK_DONE;
}

static void dkim_free_task(void *own)
{
	struct dkim_check *check = own;

	dkim_check_free(&check);
}

static const struct kind dkim_kind = {.name = "dkim",
	.open = dkim_open_library,
	.close = dkim_close_library,
	.begin = dkim_begin_task,
	.content = dkim_content,
	.step = dkim_step,
	.free = dkim_free_task};

#endif
#ifdef POSTERN_ARC
/* --- ARC --- */

static bool arc_open_library(void **library, struct err *err)
{
	*library = NULL;
	return open_openssl(err);
}

static void *arc_begin_task(void *library, struct span request, const struct task_view *view)
{
	(void)library;
	return arc_begin(request, now_s(), view->arena);
}

static void arc_content(void *own, struct span piece)
{
	arc_body(own, piece);
}

static enum task_status arc_step(
	void *own, const struct task_view *view, struct wants *wants, struct buffer *out)
{
	struct arc_result result = {0};

	arc_wants(own, view->answers, wants);
	if (wants->n || (!view->whole && arc_needs_body(own)))
		return TASK_WAITS;
	arc_end(own, view->answers, &result);
	ENSURE(arc_result_write(&result, out));
	return TASK_DONE;
}

static void arc_free_task(void *own)
{
	struct arc *arc = own;

	arc_free(&arc);
}

static const struct kind arc_kind = {.name = "arc",
	.open = arc_open_library,
	.begin = arc_begin_task,
	.content = arc_content,
	.step = arc_step,
	.free = arc_free_task};

#endif

const struct kinds authn_kinds = {{
#ifdef POSTERN_SPF
	[AUTHN_SPF] = &spf_kind,
#endif
#ifdef POSTERN_DKIM
	[AUTHN_DKIM] = &dkim_kind,
#endif
#ifdef POSTERN_ARC
	[AUTHN_ARC] = &arc_kind,
#endif
}};
