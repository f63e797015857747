/* Records that carry nothing, and tiny ones, from a peer that may say as much as it likes.  The
 * peer is a client of the library's own, whose records are made first and then given to our server
 * at once: warnings with mbedTLS, KeyUpdates with OpenSSL. */
#include "common/tls/tls_int.h"
#include "test/unit/tls/tls_test.h"

static struct buf sealed; /* what the peer has to say */
static int peer_fd;

#ifdef FSM_TLS_OPENSSL
#include <openssl/ssl.h>

static SSL_CTX *peer_ctx;
static SSL *peer;
static BIO *peer_in, *peer_out;

static void peer_open(void)
{
    peer_ctx = SSL_CTX_new(TLS_client_method());
    peer = SSL_new(peer_ctx);
    peer_in = BIO_new(BIO_s_mem());
    peer_out = BIO_new(BIO_s_mem());
    SSL_set_bio(peer, peer_in, peer_out);
    SSL_set_connect_state(peer);
}

static void peer_close(void)
{
    SSL_free(peer);
    SSL_CTX_free(peer_ctx);
}

static void peer_seal(void)
{
    char *p;
    long n = BIO_get_mem_data(peer_out, &p);

    buf_append(&sealed, p, (size_t)n);
    (void)BIO_reset(peer_out);
}

static bool peer_shake(void)
{
    char in[20000];
    ssize_t n = recv(peer_fd, in, sizeof(in), MSG_DONTWAIT);
    bool done;

    if (n > 0)
        ck_assert_int_eq(BIO_write(peer_in, in, (int)n), (int)n);
    done = SSL_do_handshake(peer) == 1;
    peer_seal();
    return done;
}

static void peer_says(const char *p, size_t n)
{
    ck_assert_int_eq(SSL_write(peer, p, (int)n), (int)n);
    peer_seal();
}

static void peer_says_nothing(void)
{
    ck_assert_int_eq(SSL_key_update(peer, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    ck_assert_int_eq(SSL_do_handshake(peer), 1);
    peer_seal();
}
#else
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ssl.h>

static mbedtls_ssl_context peer;
static mbedtls_ssl_config peer_conf;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context rng;

static int peer_send(void *arg, const unsigned char *p, size_t n)
{
    buf_append(&sealed, p, n);
    return (int)n;
}

static int peer_recv(void *arg, unsigned char *p, size_t n)
{
    ssize_t r = recv(peer_fd, p, n, MSG_DONTWAIT);

    return r >= 0 ? (int)r : MBEDTLS_ERR_SSL_WANT_READ;
}

static void peer_open(void)
{
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&rng);
    ck_assert_int_eq(mbedtls_ctr_drbg_seed(&rng, mbedtls_entropy_func, &entropy, NULL, 0), 0);
    mbedtls_ssl_config_init(&peer_conf);
    mbedtls_ssl_config_defaults(&peer_conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                MBEDTLS_SSL_PRESET_DEFAULT);
    mbedtls_ssl_conf_authmode(&peer_conf, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_rng(&peer_conf, mbedtls_ctr_drbg_random, &rng);
    mbedtls_ssl_init(&peer);
    ck_assert_int_eq(mbedtls_ssl_setup(&peer, &peer_conf), 0);
    mbedtls_ssl_set_bio(&peer, NULL, peer_send, peer_recv, NULL);
}

static void peer_close(void)
{
    mbedtls_ssl_free(&peer);
    mbedtls_ssl_config_free(&peer_conf);
    mbedtls_ctr_drbg_free(&rng);
    mbedtls_entropy_free(&entropy);
}

static bool peer_shake(void)
{
    return mbedtls_ssl_handshake(&peer) == 0;
}

static void peer_says(const char *p, size_t n)
{
    ck_assert_int_eq(mbedtls_ssl_write(&peer, (const unsigned char *)p, n), (int)n);
}

static void peer_says_nothing(void)
{
    ck_assert_int_eq(mbedtls_ssl_send_alert_message(&peer, MBEDTLS_SSL_ALERT_LEVEL_WARNING, 90), 0);
}
#endif

/* what was sealed goes to our server, as fast as it reads */
static void deliver(void)
{
    size_t at = 0;

    for (int idle = 0; at < sealed.len && idle < 2000 && !srv.failed && !srv.error; idle++) {
        ssize_t n = send(peer_fd, sealed.p + at, sealed.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            at += (size_t)n;
            idle = 0;
        }
        nothing();
    }
    sealed.len = 0;
}

/* anybody may come */
static struct tls_ctx *server_ctx(void)
{
    struct tls_conf conf = server_conf();

    conf.verify = TLS_VERIFY_NONE;
    conf.mesh = false;
    return ctx_of(conf);
}

static void server_begin(void)
{
    struct tls_ctx *ctx = server_ctx();
    struct err e = {""};
    int fd[2];

    memset(&srv, 0, sizeof(srv));
    if (loop == NULL)
        loop = loop_new(&e);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    peer_fd = fd[0];
    srv.c = conn_adopt(loop, fd[1], on_event, &srv, &e);
    ck_assert_int_eq(tls_conn_start(srv.c, ctx, NULL, &e), 0);
    tls_ctx_unref(ctx);
    peer_open();
}

static void connect_peer(void)
{
    server_begin();
    for (int i = 0; i < 500 && !(peer_shake() && srv.open); i++)
        deliver();
    ck_assert(srv.open);
    deliver();
}

static void end_peer(void)
{
    conn_close(srv.c);
    nothing();
    peer_close();
    close(peer_fd);
    buf_free(&sealed);
    buf_free(&srv.got);
}

START_TEST(no_data_and_no_end)
{
    connect_peer();
    for (int i = 0; i < 2000; i++)
        peer_says_nothing();
    deliver();
    ck_assert(srv.error);
    ck_assert_str_eq(srv.why, "the peer sends records that carry no data, and no end of them");
    end_peer();
}
END_TEST

START_TEST(a_few_before_the_data)
{
    connect_peer();
    for (unsigned i = 0; i < TLS_BARREN_MAX - 1; i++)
        peer_says_nothing();
    peer_says("data", 4);
    deliver();
    ck_assert_msg(!srv.error, "%s", srv.why);
    ck_assert_uint_eq(srv.n_got, 4);
    end_peer();
}
END_TEST

/* each record of data pays for one without */
START_TEST(one_for_each_record_of_data)
{
    connect_peer();
    for (int i = 0; i < 500; i++) {
        peer_says_nothing();
        peer_says("data", 4);
    }
    deliver();
    ck_assert_msg(!srv.error, "%s", srv.why);
    ck_assert_uint_eq(srv.n_got, 500 * 4);
    end_peer();
}
END_TEST

START_TEST(two_for_each_record_of_data)
{
    connect_peer();
    for (int i = 0; i < 500; i++) {
        peer_says_nothing();
        peer_says_nothing();
        peer_says("data", 4);
    }
    deliver();
    ck_assert(srv.error);
    ck_assert_uint_le(srv.n_got, (TLS_BARREN_MAX + 1) * 4);
    end_peer();
}
END_TEST

/* A read of tiny records is short, the next one gives way, and nothing is lost or late. */
START_TEST(tiny_records_share_the_turn)
{
    char buf[50000];

    connect_peer();
    srv.hold = true;
    for (int i = 0; i < 1000; i++)
        peer_says("x", 1);
    deliver();
    ck_assert_int_eq(conn_read(srv.c, buf, sizeof(buf)), TLS_TURN_RECORDS);
    ck_assert(conn_may_read(srv.c));
    ck_assert_int_eq(conn_read(srv.c, buf, sizeof(buf)), CONN_AGAIN);
    srv.hold = false;
    nothing();
    nothing();
    ck_assert_uint_eq(srv.n_got, 1000 - TLS_TURN_RECORDS);
    end_peer();
}
END_TEST

static bool server_failed(void)
{
    return srv.failed;
}

/* plaintext warnings where the ClientHello, or what follows it, is expected */
static void warn_in_handshake(bool hello_first)
{
    server_begin();
    if (hello_first)
        peer_shake();
    for (int i = 0; i < 5000; i++)
        buf_append(&sealed, "\x15\x03\x03\x00\x02\x01\x5a", 7);
    deliver();
    ck_assert(run_until(server_failed));
    end_peer();
}

START_TEST(warnings_instead_of_a_handshake)
{
    warn_in_handshake(false);
}
END_TEST

START_TEST(warnings_in_a_handshake)
{
    warn_in_handshake(true);
}
END_TEST

START_TEST(warnings_in_a_handshake_of_the_pool)
{
    pool_begin();
    warn_in_handshake(true);
    pool_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("barren");
    TCase *t = tcase_create("barren");
    SRunner *r;
    int failed;

    idents_make();
    tcase_set_timeout(t, 60);
    tcase_add_test(t, no_data_and_no_end);
    tcase_add_test(t, a_few_before_the_data);
    tcase_add_test(t, one_for_each_record_of_data);
    tcase_add_test(t, two_for_each_record_of_data);
    tcase_add_test(t, tiny_records_share_the_turn);
    tcase_add_test(t, warnings_instead_of_a_handshake);
    tcase_add_test(t, warnings_in_a_handshake);
    tcase_add_test(t, warnings_in_a_handshake_of_the_pool);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    idents_remove();
    return failed != 0;
}
