/* sessions resumed, and sessions that must not be */
/* wrap: clock_wall_ms */
#include <pthread.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include "common/tls/tls_int.h"
#include "test/unit/tls/tls_test.h"

#define WEB_ID "spiffe://cluster.local/ns/shop/sa/web"
#define API_ID "spiffe://cluster.local/ns/shop/sa/api"

/* the wall clock, as far ahead as a test likes */
int64_t __real_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void);
static int64_t ahead_ms;
int64_t __wrap_clock_wall_ms(void)
{
    return __real_clock_wall_ms() + ahead_ms;
}

static struct tls_tickets *tickets;
static struct tls_sessions *sessions;
static struct tls_conf c_conf, s_conf;

static void setup(void)
{
    struct err e = {""};

    tickets = tls_tickets_new(3600, &e);
    sessions = tls_sessions_new(16);
    c_conf = client_conf();
    s_conf = server_conf();
    s_conf.tickets = tickets;
}

static void teardown(void)
{
    tls_sessions_free(sessions);
    tls_tickets_free(tickets);
}

static bool heard_server(void)
{
    return cli.n_got >= 4 || cli.error || cli.eof || srv.error || srv.eof;
}

/* a connection that carries a few bytes (TLS 1.3 brings the ticket with them).  1 resumed, 0 full
 * handshake, -1 refused */
static int connect_as(const char *key, const char *identity)
{
    struct tls_start p = {
        .sni = "web", .sessions = sessions, .session_key = key, .verify_identity = identity};
    struct tls_ctx *cctx = ctx_of(c_conf), *sctx = ctx_of(s_conf);
    int r = -1;

    ends_open(0);
    srv.out = "pong";
    srv.out_n = 4;
    tls_both(cctx, &p, sctx);
    tls_ctx_unref(cctx);
    tls_ctx_unref(sctx);
    ck_assert(run_until(both_settled));
    if (cli.open && srv.open && run_until(heard_server) && !cli.error && !srv.error && !srv.eof) {
        const struct tls_info *ci = tls_conn_info(cli.c), *si = tls_conn_info(srv.c);
        ck_assert_int_eq(ci->resumed, si->resumed);
        if (c_conf.verify == TLS_VERIFY_REQUIRED)
            ck_assert_str_eq(ci->peer.spiffe, WEB_ID);
        if (s_conf.verify == TLS_VERIFY_REQUIRED)
            ck_assert_str_eq(si->peer.spiffe, API_ID);
        ck_assert_str_eq(si->sni, "web");
        r = ci->resumed;
    }
    ends_close();
    return r;
}

START_TEST(the_second_connection_is_resumed_and_knows_its_peer)
{
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    ck_assert_int_eq(connect_as("b", WEB_ID), 0);
}
END_TEST

START_TEST(without_tickets_nothing_is_resumed)
{
    s_conf.tickets = NULL;
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
}
END_TEST

START_TEST(a_resumed_peer_is_judged_again)
{
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", API_ID), -1);
    /* and that session is gone */
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
}
END_TEST

START_TEST(other_roots_end_sessions)
{
    char *both = xasprintf("%s%s", pki_ca_roots(ca), pki_ca_roots(other_ca));

    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    s_conf.ca_pem = both;
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    c_conf.ca_pem = both;
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    c_conf.ca_pem = pki_ca_roots(other_ca);
    ck_assert_int_eq(connect_as("a", WEB_ID), -1);
    free(both);
}
END_TEST

START_TEST(the_order_of_roots_does_not_matter)
{
    char *ab = xasprintf("%s%s", pki_ca_roots(ca), pki_ca_roots(other_ca));
    char *ba = xasprintf("%s%s", pki_ca_roots(other_ca), pki_ca_roots(ca));

    s_conf.ca_pem = c_conf.ca_pem = ab;
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    s_conf.ca_pem = c_conf.ca_pem = ba;
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    free(ab);
    free(ba);
}
END_TEST

START_TEST(a_renewed_certificate_keeps_sessions)
{
    struct ident again = issue(ca, "web", "web.example.com"),
                 mine = issue(ca, "api", "*.example.com");

    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    s_conf.cert_pem = again.chain;
    s_conf.key_pem = again.key;
    c_conf.cert_pem = mine.chain;
    c_conf.key_pem = mine.key;
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    ident_free(&again);
    ident_free(&mine);
}
END_TEST

START_TEST(a_client_with_another_name_does_not_inherit)
{
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    c_conf.cert_pem = web.chain;
    c_conf.key_pem = web.key;
    s_conf.verify = TLS_VERIFY_OPTIONAL;
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
}
END_TEST

START_TEST(a_session_without_certificate_does_not_pass_where_one_is_due)
{
    c_conf.cert_pem = c_conf.key_pem = NULL;
    s_conf.verify = TLS_VERIFY_OPTIONAL;
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    s_conf.verify = TLS_VERIFY_REQUIRED;
    ck_assert_int_eq(connect_as("a", WEB_ID), -1);
    s_conf.verify = TLS_VERIFY_NONE;
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    s_conf.verify = TLS_VERIFY_REQUIRED;
    ck_assert_int_eq(connect_as("a", WEB_ID), -1);
}
END_TEST

START_TEST(tickets_of_another_process_mean_a_full_handshake)
{
    struct tls_tickets *others;
    struct err e = {""};

    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    others = tls_tickets_new(3600, &e);
    s_conf.tickets = others;
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    tls_tickets_free(others);
}
END_TEST

START_TEST(a_successor_that_has_the_keys_resumes)
{
    struct tls_tickets *heir;
    struct ticket_key before, after;
    struct err e = {""};
    char *text;

    heir = tls_tickets_new(3600, &e);
    text = tls_tickets_save(heir);
    ck_assert_int_eq(tls_tickets_resume(heir, text), 0); /* none yet */
    free(text);
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    text = tls_tickets_save(tickets);
    ck_assert_int_eq(tls_tickets_resume(heir, text), 0);
    s_conf.tickets = heir;
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    tickets_current(tickets, &before);
    tickets_current(heir, &after);
    ck_assert_mem_eq(&before, &after, sizeof(before)); /* its age too */

    /* what is none changes nothing */
    ck_assert_int_eq(tls_tickets_resume(heir, "AAAA"), -1);
    ck_assert_int_eq(tls_tickets_resume(heir, "no base64"), -1);
    memset(text + 4 * (offsetof(struct ticket_key, made_ms) / 3 + 1), '/', 8); /* to come */
    ck_assert_int_eq(tls_tickets_resume(heir, text), -1);
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    free(text);
    tls_tickets_free(heir);
}
END_TEST

/* ---- the saved session, damaged: by provider ---- */
#ifdef FSM_TLS_OPENSSL
#include <openssl/ssl.h>

static void flip(void *saved, bool from_end, size_t at)
{
    unsigned char *der = NULL;
    const unsigned char *p;
    SSL_SESSION *copy, *s = saved;
    size_t n, len;

    if (!from_end) {
        /* the secret the next handshake is to begin with */
        unsigned char secret[64];
        len = SSL_SESSION_get_master_key(s, secret, sizeof(secret));
        secret[at % len] ^= 0x55;
        ck_assert_int_eq(SSL_SESSION_set1_master_key(s, secret, len), 1);
        return;
    }
    /* its ticket cannot be written to: swap in what a changed text gives */
    n = (size_t)i2d_SSL_SESSION(s, &der);
    der[n - at] ^= 1;
    p = der;
    copy = d2i_SSL_SESSION(NULL, &p, (long)n);
    ck_assert_ptr_nonnull(copy);
    SSL_SESSION_get0_ticket(copy, &p, &len);
    const unsigned char *old;
    size_t old_len;
    SSL_SESSION_get0_ticket(s, &old, &old_len);
    ck_assert_uint_eq(old_len, len);
    ck_assert_int_ne(memcmp(old, p, len), 0);
    memcpy((void *)(uintptr_t)old, p, len);
    SSL_SESSION_free(copy);
    OPENSSL_free(der);
}
#else
static void flip(void *saved, bool from_end, size_t at)
{
    struct {
        size_t n;
        unsigned char p[];
    } *s = saved; /* as tls_mbedtls.c has it */

    s->p[from_end ? s->n - at : at] ^= from_end ? 1 : 0x55;
}
#endif

START_TEST(a_tampered_ticket_means_a_full_handshake)
{
    struct tls_ctx *ctx = ctx_of(c_conf);

    for (size_t back = 60; back < 260; back += 20) {
        void *saved;
        ck_assert_int_ge(connect_as("a", WEB_ID), 0);
        saved = session_find(sessions, "a", ctx);
        ck_assert_ptr_nonnull(saved);
        flip(saved, true, back); /* inside the ticket, which is last but little */
        ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    }
    tls_ctx_unref(ctx);
}
END_TEST

START_TEST(a_damaged_saved_session_does_no_harm)
{
    struct tls_ctx *ctx = ctx_of(c_conf);

    for (size_t at = 0; at < 200; at += 7) {
        void *saved;
        ck_assert_int_ge(connect_as("a", WEB_ID), 0);
        saved = session_find(sessions, "a", ctx);
        ck_assert_ptr_nonnull(saved);
        flip(saved, false, at);
        connect_as("a", WEB_ID); /* refused, or a full handshake */
        session_drop(sessions, "a");
    }
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    tls_ctx_unref(ctx);
}
END_TEST

START_TEST(tickets_have_a_lifetime)
{
    struct tls_tickets *brief;
    struct err e = {""};

    /* long enough for a slow machine's handshake, which must come within it */
    brief = tls_tickets_new(3, &e);
    s_conf.tickets = brief;
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    usleep(6100000);
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    tls_tickets_free(brief);
    ck_assert_ptr_null(tls_tickets_new(0, &e));
    ck_assert_ptr_null(tls_tickets_new(8 * 86400, &e));
}
END_TEST

START_TEST(keys_rotate_and_the_one_before_still_opens)
{
    struct tls_tickets *brief;
    struct ticket_key first, now, found;
    struct err e = {""};
    bool fresh = false;

    brief = tls_tickets_new(2, &e);
    tickets_current(brief, &first);
    tickets_current(brief, &now);
    ck_assert_mem_eq(first.name, now.name, sizeof(now.name));
    ck_assert(tickets_find(brief, first.name, &found, &fresh) && fresh);
    usleep(2100000);
    tickets_current(brief, &now);
    ck_assert_mem_ne(first.name, now.name, sizeof(now.name));
    ck_assert_mem_ne(first.aes, now.aes, sizeof(now.aes));
    ck_assert(tickets_find(brief, first.name, &found, &fresh) && !fresh);
    ck_assert_mem_eq(found.aes, first.aes, sizeof(first.aes));
    usleep(2100000);
    ck_assert(!tickets_find(brief, first.name, &found, &fresh));
    tls_tickets_free(brief);
}
END_TEST

/* names as usual, but valid for seconds */
static struct ident issue_for(const char *sa, int64_t seconds)
{
    char *spiffe = xasprintf("spiffe://cluster.local/ns/shop/sa/%s", sa);
    const char *uri[] = {spiffe, NULL};
    struct pki_names n = {.cn = sa, .uri = uri};
    struct ident c;
    struct err e = {""};

    c.chain = pki_ca_issue(ca, &n, seconds, &c.key, &e);
    ck_assert_msg(c.chain != NULL, "%s", e.text);
    free(spiffe);
    return c;
}

START_TEST(no_session_outlives_the_clients_certificate)
{
    struct ident brief = issue_for("api", 2);

    c_conf.cert_pem = brief.chain;
    c_conf.key_pem = brief.key;
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    usleep(3100000);                               /* the last second counts as a whole */
    ck_assert_int_eq(connect_as("a", WEB_ID), -1); /* a full handshake, with what has expired */
    ident_free(&brief);
}
END_TEST

static bool server_has_answered(void)
{
    int n = 0;
    return ioctl(cli.c->fd, FIONREAD, &n) == 0 && n > 0;
}

/* the client has its part done and may have sent what it has to say: too late to refuse it */
START_TEST(a_certificate_may_expire_during_a_resumed_handshake)
{
    struct ident brief = issue_for("api", 60);
    struct tls_start p = {.sni = "web", .sessions = sessions, .session_key = "a"};

    c_conf.cert_pem = brief.chain;
    c_conf.key_pem = brief.key;
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    struct tls_ctx *cctx = ctx_of(c_conf), *sctx = ctx_of(s_conf);
    ends_open(0);
    tls_both(cctx, &p, sctx);
    while (!server_has_answered() && !both_settled())
        loop_turn(loop, true);
    ck_assert(!cli.open);
    ahead_ms = 120000;
    ck_assert(run_until(both_settled));
    ck_assert(cli.open && srv.open && tls_conn_info(srv.c)->resumed);
    ends_close();
    ck_assert_int_eq(connect_as("a", WEB_ID), 0); /* the next one begins too late for that */
    tls_ctx_unref(cctx);
    tls_ctx_unref(sctx);
    ident_free(&brief);
    ahead_ms = 0;
}
END_TEST

START_TEST(no_session_outlives_the_servers_certificate)
{
    struct ident brief = issue_for("web", 2);

    s_conf.cert_pem = brief.chain;
    s_conf.key_pem = brief.key;
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    usleep(3100000); /* the last second counts as a whole */
    ck_assert_int_eq(connect_as("a", WEB_ID), -1);
    ident_free(&brief);
}
END_TEST

START_TEST(sessions_are_bounded)
{
    tls_sessions_free(sessions);
    sessions = tls_sessions_new(2);
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    ck_assert_int_eq(connect_as("b", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 1); /* b is now the oldest */
    ck_assert_int_eq(connect_as("c", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 1);
    ck_assert_int_eq(connect_as("b", WEB_ID), 0);
    tls_sessions_free(sessions);
    sessions = tls_sessions_new(0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
    ck_assert_int_eq(connect_as("a", WEB_ID), 0);
}
END_TEST

/* ---- threads: contexts and tickets are shared, sessions are each one's own
 * ------------------------- */

static struct tls_ctx *shared_c, *shared_s;

static void *worker(void *arg)
{
    struct tls_sessions *mine = tls_sessions_new(4);
    long resumed = 0;

    for (int i = 0; i < 20; i++) {
        struct tls_start p = {
            .sessions = mine, .session_key = i % 2 ? "a" : "b", .verify_identity = WEB_ID};
        ends_open(0);
        srv.out = "pong";
        srv.out_n = 4;
        tls_both(shared_c, &p, shared_s);
        if (run_until(both_settled) && run_until(heard_server) && tls_conn_info(cli.c) != NULL)
            resumed += tls_conn_info(cli.c)->resumed;
        ends_close();
    }
    tls_sessions_free(mine);
    loop_free(loop);
    return (void *)resumed;
}

START_TEST(threads_share_contexts_and_tickets)
{
    pthread_t t[4];

    shared_c = ctx_of(c_conf);
    shared_s = ctx_of(s_conf);
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, worker, NULL);
    for (int i = 0; i < 4; i++) {
        void *resumed;
        pthread_join(t[i], &resumed);
        ck_assert_int_eq((long)resumed, 18);
    }
    tls_ctx_unref(shared_c);
    tls_ctx_unref(shared_s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resume");
    TCase *t = tcase_create("resume");
    SRunner *r;
    int failed;

    idents_make();
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_second_connection_is_resumed_and_knows_its_peer);
    tcase_add_test(t, without_tickets_nothing_is_resumed);
    tcase_add_test(t, a_resumed_peer_is_judged_again);
    tcase_add_test(t, other_roots_end_sessions);
    tcase_add_test(t, the_order_of_roots_does_not_matter);
    tcase_add_test(t, a_renewed_certificate_keeps_sessions);
    tcase_add_test(t, a_client_with_another_name_does_not_inherit);
    tcase_add_test(t, a_session_without_certificate_does_not_pass_where_one_is_due);
    tcase_add_test(t, tickets_of_another_process_mean_a_full_handshake);
    tcase_add_test(t, a_successor_that_has_the_keys_resumes);
    tcase_add_test(t, a_tampered_ticket_means_a_full_handshake);
    tcase_add_test(t, a_damaged_saved_session_does_no_harm);
    tcase_add_test(t, tickets_have_a_lifetime);
    tcase_add_test(t, keys_rotate_and_the_one_before_still_opens);
    tcase_add_test(t, no_session_outlives_the_clients_certificate);
    tcase_add_test(t, a_certificate_may_expire_during_a_resumed_handshake);
    tcase_add_test(t, no_session_outlives_the_servers_certificate);
    tcase_add_test(t, sessions_are_bounded);
    tcase_add_test(t, threads_share_contexts_and_tickets);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    idents_remove();
    return failed != 0;
}
