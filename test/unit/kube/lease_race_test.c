/* lease_race_test.c - several processes, one Lease, and a network that loses, delays and reorders:
 * never do two of them write at the same moment, and when the network is sound again one does. */
/* objects: test/fake/clock.c */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/lease.h"
#include "test/fake/clock.h"
#include "test/unit/unit.h"

#define PROCESSES 3
#define ROUNDS    12
#define BAD_MS    (4 * 60 * 1000)
#define STEP_MS   500
#define GOOD_MS   80000 /* what is on its way arrives, and a hold ends */

static struct loop *loop;
static uint64_t seed;
static bool bad;

/* ---- the server: one object, and versions ------------------------------------------------------
 */

static struct {
    bool there;
    unsigned version;
    json_t *spec;
} server;

/* on its way to the server and back; it goes on without its caller */
struct trip {
    struct timer timer;
    struct kube_call *call; /* NULL: nobody waits any more */
    char *path, *body;
    enum kube_change how;
    unsigned status;
    char *answer;
    bool back;
};

struct kube_call {
    struct kube_call_spec spec;
    struct timer deadline;
    struct trip *trip; /* NULL: it was lost */
};

static char *object_text(void)
{
    json_t *doc = json_pack("{s:{s:o},s:O}", "metadata", "resourceVersion",
                            json_sprintf("%u", server.version), "spec", server.spec);
    struct buf out = BUF_INIT;

    json_print(doc, &out);
    json_decref(doc);
    return buf_take(&out);
}

static void store(json_t *spec)
{
    server.spec = spec;
    server.version++;
    server.there = true;
}

static void serve(struct trip *t)
{
    struct err e;
    json_t *doc = t->body ? json_parse(slice_str(t->body), 4096, &e) : NULL;
    char now[16];

    snprintf(now, sizeof now, "%u", server.version);
    if (!doc) {
        t->status = server.there ? 200 : 404;
    } else if (t->how == KUBE_CREATE) {
        t->status = server.there ? 409 : 201;
        if (!server.there)
            store(json_incref(json_object_get(doc, "spec")));
    } else if (!server.there) {
        t->status = 404;
    } else if (strcmp(json_str(doc, "metadata.resourceVersion", ""), now) != 0) {
        t->status = 409;
    } else {
        t->status = 200;
        store(json_merge_patch(server.spec, json_object_get(doc, "spec")));
    }
    t->answer = t->status < 300 ? object_text() : xstrdup("{}");
    json_decref(doc);
}

static void trip_free(struct trip *t)
{
    timer_cancel(&t->timer);
    free(t->path);
    free(t->body);
    free(t->answer);
    free(t);
}

static void call_end(struct kube_call *c, const struct kube_answer *a)
{
    void (*done)(const struct kube_answer *, void *) = c->spec.done;
    void *arg = c->spec.arg;

    timer_cancel(&c->deadline);
    if (c->trip)
        c->trip->call = NULL;
    free(c);
    done(a, arg);
}

static uint64_t delay(void)
{
    unsigned r = (unsigned)(unit_random(&seed) % 100);

    if (!bad || r < 50)
        return 1 + r % 5;
    return r < 80 ? unit_random(&seed) % 3000 : unit_random(&seed) % 40000;
}

static bool is_lost(void)
{
    return bad && unit_random(&seed) % 5 == 0;
}

static void on_travelled(void *arg)
{
    struct trip *t = arg;

    if (!t->back) {
        serve(t);
        t->back = true;
        if (!is_lost()) {
            timer_set(&t->timer, delay());
            return;
        }
    } else if (t->call) {
        struct kube_answer a = {.status = t->status, .error = "", .body = slice_str(t->answer)};
        call_end(t->call, &a);
    }
    if (t->call)
        t->call->trip = NULL;
    trip_free(t);
}

static void on_deadline(void *arg)
{
    call_end(arg, &(struct kube_answer){.error = "it takes too long"});
}

static struct kube_call *begin(enum kube_change how, char *body, const struct kube_call_spec *spec)
{
    struct kube_call *c = xcalloc(1, sizeof *c);

    c->spec = *spec;
    timer_init(&c->deadline, loop, on_deadline, c);
    timer_set(&c->deadline, spec->timeout_ms);
    if (is_lost()) {
        free(body);
        return c;
    }
    c->trip = xcalloc(1, sizeof *c->trip);
    c->trip->call = c;
    c->trip->how = how;
    c->trip->path = xstrdup(spec->path);
    c->trip->body = body;
    timer_init(&c->trip->timer, loop, on_travelled, c->trip);
    timer_set(&c->trip->timer, delay());
    return c;
}

struct kube_call *kube_api_get(struct kube_api *a, const struct kube_call_spec *spec)
{
    return begin(KUBE_CREATE, NULL, spec);
}

struct kube_call *kube_api_send(struct kube_api *a, enum kube_change how, struct slice body,
                                const struct kube_call_spec *spec)
{
    return begin(how, xstrndup(body.p, body.n), spec);
}

void kube_call_cancel(struct kube_call *c)
{
    if (!c)
        return;
    timer_cancel(&c->deadline);
    if (c->trip)
        c->trip->call = NULL;
    free(c);
}

/* ---- the processes -----------------------------------------------------------------------------
 */

static struct kube_lease *processes[PROCESSES];
static unsigned starts, holds;

static unsigned holders(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < PROCESSES; i++)
        n += processes[i] && kube_lease_is_held(processes[i]);
    return n;
}

static void changed(bool held, void *arg)
{
    holds += held;
    ck_assert_msg(holders() <= 1, "%u processes write", holders());
}

static void start(unsigned i)
{
    char *who = xasprintf("process-%u", starts++);
    const struct kube_lease_conf conf = {"ns", "lease", who};

    processes[i] = kube_lease_new(loop, NULL, &conf, changed, NULL);
    free(who);
}

static void run(uint64_t ms)
{
    for (uint64_t t = 0; t < ms; t += STEP_MS) {
        fake_loop_run(loop, STEP_MS);
        ck_assert_msg(holders() <= 1, "%u processes write", holders());
        if (bad && unit_random(&seed) % 100 == 0) { /* one dies, or stops in good order */
            unsigned i = (unsigned)(unit_random(&seed) % PROCESSES);
            if (unit_random(&seed) % 2) {
                kube_lease_release(processes[i]);
                fake_loop_run(loop, 300);
            }
            kube_lease_free(processes[i]);
            start(i);
        }
    }
}

START_TEST(never_two)
{
    struct err e;

    log_set_level(LOG_OFF);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        seed = round * 88172645463325252ull;
        loop = loop_new(&e);
        for (unsigned i = 0; i < PROCESSES; i++)
            start(i);
        bad = true;
        run(BAD_MS);
        bad = false;
        run(GOOD_MS);
        ck_assert_uint_eq(holders(), 1);
        for (unsigned i = 0; i < PROCESSES; i++)
            kube_lease_free(processes[i]);
        fake_loop_run(loop, 100000); /* what is still on its way */
        loop_free(loop);
        json_decref(server.spec);
        memset(&server, 0, sizeof server);
    }
    ck_assert_uint_gt(holds, 50);
}
END_TEST

UNIT_MAIN("lease_race", never_two)
