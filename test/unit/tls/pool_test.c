/* handshakes whose slow steps other threads do: many at once, given up at any moment */
#include <dirent.h>
#include "common/tls/tls_pool.h"
#include "test/unit/tls/tls_test.h"

#define WEB_ID "spiffe://cluster.local/ns/shop/sa/web"
#define PAIRS  200 /* more than the pool's queue takes */

static unsigned threads(void)
{
    DIR *d = opendir("/proc/self/task");
    unsigned n = 0;

    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* ---- many pairs ------------------------------------------------------------------------------ */

static struct side {
    struct conn *c;
    bool open, failed;
} sides[2 * PAIRS];
static unsigned settled, target;

static bool all_settled(void)
{
    return settled == target;
}

static void on_side(struct conn *c, unsigned events, void *arg)
{
    struct side *x = arg;

    if (events & CONN_EV_OPEN)
        x->open = true;
    if (events & CONN_EV_FAIL)
        x->failed = true;
    if (events & (CONN_EV_OPEN | CONN_EV_FAIL))
        settled++;
    if (wanted())
        loop_stop(loop);
}

static void pair_up(unsigned i, struct tls_ctx *cctx, struct tls_ctx *sctx)
{
    struct tls_start p = {.verify_identity = WEB_ID};
    struct err e = {""};
    int fd[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    for (int k = 0; k < 2; k++) {
        struct side *x = &sides[2 * i + (unsigned)k];
        *x = (struct side){.c = conn_adopt(loop, fd[k], on_side, x, &e)};
        ck_assert_ptr_nonnull(x->c);
        ck_assert_int_eq(tls_conn_start(x->c, k ? sctx : cctx, k ? NULL : &p, &e), 0);
    }
}

static void begin(unsigned n)
{
    struct tls_ctx *cctx = ctx_of(client_conf()), *sctx = ctx_of(server_conf());
    struct err e = {""};

    loop = loop_new(&e);
    wanted = never;
    settled = 0;
    target = 2 * n;
    for (unsigned i = 0; i < n; i++)
        pair_up(i, cctx, sctx);
    tls_ctx_unref(cctx);
    tls_ctx_unref(sctx);
}

static void end(void)
{
    for (unsigned i = 0; i < target; i++) {
        conn_close(sides[i].c);
        sides[i].c = NULL;
    }
    loop_free(loop);
    loop = NULL;
}

START_TEST(many_at_once)
{
    unsigned before = threads();

    begin(PAIRS);
    ck_assert(run_until_ms(all_settled, 60000));
    for (unsigned i = 0; i < target; i++)
        ck_assert(sides[i].open);
    for (unsigned i = 0; i < target; i += 2)
        ck_assert_str_eq(tls_conn_info(sides[i].c)->peer.spiffe, WEB_ID);
#ifdef FSM_TLS_MBEDTLS
    ck_assert_uint_gt(threads(), before);
#else
    ck_assert_uint_eq(threads(), before); /* nothing is slow enough */
#endif
    end();
}
END_TEST

/* connections, and the loop, go while their handshakes are queued, run, or are on their way back */
START_TEST(given_up_at_any_moment)
{
    for (unsigned round = 0; round < 40; round++) {
        begin(8);
        for (unsigned i = 0; i < round; i++) {
            loop_turn(loop, false);
            usleep(round % 5 * 100);
        }
        for (unsigned i = round % 3; i < target; i += 3) {
            conn_close(sides[i].c);
            sides[i].c = NULL;
            loop_turn(loop, false);
        }
        end();
    }
}
END_TEST

/* what is cheap stays: the loop needs nobody for a resumed connection */
START_TEST(resumed_ones_stay_in_the_loop)
{
    struct err e = {""};
    struct tls_tickets *tickets = tls_tickets_new(60, &e);
    struct tls_sessions *sessions = tls_sessions_new(4);
    struct tls_start p = {.sessions = sessions, .session_key = "a", .verify_identity = WEB_ID};
    struct tls_conf s = server_conf(), c = client_conf();
    struct tls_pool *used = pool;
    unsigned before = 0;

    s.tickets = tickets;
    for (int i = 0; i < 2; i++) {
        ck_assert(shake(c, &p, s));
        ck_assert_int_eq(tls_conn_info(cli.c)->resumed, i == 1);
        ends_close();
        if (i == 0) { /* a pool of its own for the second, which must not start a thread */
            s.pool = c.pool = tls_pool_new();
            tls_pool_free(used);
            pool = s.pool;
            usleep(100000); /* what was joined is still in the list for a moment */
            before = threads();
        }
    }
    ck_assert_uint_le(threads(), before);
    tls_sessions_free(sessions);
    tls_tickets_free(tickets);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pool");
    TCase *t = tcase_create("pool");
    SRunner *r;
    int failed;

    idents_make();
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, pool_begin, pool_end);
    tcase_add_test(t, many_at_once);
    tcase_add_test(t, given_up_at_any_moment);
    tcase_add_test(t, resumed_ones_stay_in_the_loop);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    idents_remove();
    return failed != 0;
}
