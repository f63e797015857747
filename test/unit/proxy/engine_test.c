/* the end of an engine in the middle of something: what its workers posted meanwhile comes late */
#include "common/proxy/engine.h"

#include <unistd.h>
#include "common/io/loop.h"
#include "test/unit/unit.h"

#define A_MOMENT_US 20000 /* a worker has done what it was told */

static struct loop *control;
static struct engine *engine;

static void begin(unsigned workers)
{
    struct engine_opts o = {.workers = workers, .access_fd = -1};
    struct err e = {""};

    control = loop_new(&e);
    ck_assert_msg(control != NULL, "%s", e.text);
    engine = engine_new(control, &o, &e);
    ck_assert_msg(engine != NULL, "%s", e.text);
}

/* the loop must have no timer left */
static void end(void)
{
    usleep(A_MOMENT_US);
    engine_free(engine);
    loop_free(control);
}

static void turns(unsigned ms)
{
    uint64_t until = loop_now_ms(control) + ms;

    while (loop_now_ms(control) < until) {
        usleep(1000);
        loop_turn(control, false);
    }
}

static void drained(void *arg)
{
    ck_abort_msg("nobody waits for it any more");
}

/* told to leave at once while it drains, after the workers were asked and before they were heard */
START_TEST(ends_in_a_drain)
{
    begin(2);
    engine_drain(engine, 60000, 60000, drained, NULL);
    usleep(60000);             /* the poll is due */
    loop_turn(control, false); /* asks */
    end();
}
END_TEST

START_TEST(ends_when_a_worker_is_about_to_leave)
{
    struct err e = {""};

    begin(3);
    turns(10);
    ck_assert_int_eq(engine_set_workers(engine, 1, &e), 0);
    usleep(220000);            /* the poll is due */
    loop_turn(control, false); /* asks those that have nothing to do */
    end();
}
END_TEST

UNIT_MAIN("engine", ends_in_a_drain, ends_when_a_worker_is_about_to_leave)
