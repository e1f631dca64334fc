/* Deferred work: in order, once, never nested, also when it makes more of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/base/attributes.h"
#include "lib/net/loop.h"

struct work {
	struct deferred deferred;
	struct loop *loop;
	struct work *then; /* deferred from within */
	struct work *out;  /* taken out from within */
	unsigned *order, *running;
	unsigned ran, place;
	unsigned again; /* so many more times */
};

static void run(struct deferred *deferred)
{
	struct work *w = CONTAINER_OF(deferred, struct work, deferred);

	assert_int_equal((*w->running)++, 0);
	w->ran++;
	w->place = ++*w->order;
	if (w->then)
		loop_defer(w->loop, &w->then->deferred);
	if (w->out)
		loop_undefer(w->loop, &w->out->deferred);
	if (w->again && w->again--)
		loop_defer(w->loop, &w->deferred);
	(*w->running)--;
}

struct fixture {
	struct loop loop;
	unsigned order, running;
	struct work work[4];
};

static struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	loop_init(&f->loop);
	for (size_t i = 0; i < COUNT_OF(f->work); i++)
		f->work[i] = (struct work){.deferred.run = run,
			.loop = &f->loop,
			.order = &f->order,
			.running = &f->running};
	return f;
}

static void fixture_free(struct fixture *f)
{
	assert_null(f->loop.first);
	loop_close(&f->loop);
	free(f);
}

static void test_in_order_and_once(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	for (int i = 3; i >= 0; i--) {
		loop_defer(&f->loop, &f->work[i].deferred);
		loop_defer(&f->loop, &f->work[3].deferred);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(f->work[i].ran, 0); /* never from within */
	loop_turn(&f->loop, true);                   /* and the loop does not sleep on it */
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(f->work[i].ran, 1);
		assert_int_equal(f->work[i].place, 4 - i);
	}
	assert_false(loop_turn(&f->loop, false));
	fixture_free(f);
}

static void test_chain(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->work[0].then = &f->work[1];
	f->work[1].then = &f->work[2];
	loop_defer(&f->loop, &f->work[0].deferred);
	loop_turn(&f->loop, true);
	assert_int_equal(f->work[2].ran, 1);
	assert_int_equal(f->work[2].place, 3);
	fixture_free(f);
}

static void test_taken_out(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->work[0].out = &f->work[2];
	for (int i = 0; i < 3; i++)
		loop_defer(&f->loop, &f->work[i].deferred);
	loop_undefer(&f->loop, &f->work[3].deferred); /* not there: nothing */
	loop_turn(&f->loop, true);
	assert_int_equal(f->work[1].ran, 1);
	assert_int_equal(f->work[2].ran, 0);
	/* The tail was taken: the list goes on. */
	loop_defer(&f->loop, &f->work[2].deferred);
	loop_defer(&f->loop, &f->work[3].deferred);
	loop_turn(&f->loop, true);
	assert_int_equal(f->work[2].ran, 1);
	assert_int_equal(f->work[3].ran, 1);
	fixture_free(f);
}

/* One that goes on and on must not keep the loop from its sockets. */
static void test_endless(void **state)
{
	struct fixture *f = fixture_new();

	(void)state;
	f->work[0].again = 100000;
	loop_defer(&f->loop, &f->work[0].deferred);
	loop_turn(&f->loop, false);
	assert_true(f->work[0].ran > 0 && f->work[0].ran < 50000);
	while (f->work[0].ran < 100001)
		loop_turn(&f->loop, false);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_in_order_and_once),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_taken_out),
		cmocka_unit_test(test_endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
