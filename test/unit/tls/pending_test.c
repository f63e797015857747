/* what a session holds without the kernel knowing: nothing of it may be waited for in vain */
#include "test/unit/tls/tls_test.h"

static bool no_more(void)
{
    return false;
}

/* everything that was sent has arrived, and nobody has read it */
static void arrive(void)
{
    run_until_ms(no_more, 20);
}

static void open_pair(void)
{
    struct tls_ctx *c = ctx_of(client_conf()), *s = ctx_of(server_conf());

    ends_open(0);
    tls_both(c, NULL, s);
    tls_ctx_unref(c);
    tls_ctx_unref(s);
    ck_assert(run_until(both_settled));
    arrive(); /* tickets too */
    cli.hold = true;
}

static void server_says(const char *text)
{
    ck_assert_int_eq(conn_write(srv.c, text, strlen(text)), (ssize_t)strlen(text));
}

/* Who stops when conn_may_read() says so hears of the end, although the connection itself goes on:
 * no event follows. */
START_TEST(an_end_behind_the_bytes_of_a_read)
{
    char buf[100];

    open_pair();
    server_says("bye");
    srv.c->xport->shut(srv.c); /* close_notify alone */
    arrive();
    ck_assert_int_eq(conn_read(cli.c, buf, sizeof(buf)), 3);
    ck_assert(conn_may_read(cli.c));
    ck_assert_int_eq(conn_read(cli.c, buf, sizeof(buf)), 0);
    ck_assert(!conn_may_read(cli.c));
    ck_assert_int_eq(conn_read(cli.c, buf, sizeof(buf)), 0);
    ends_close();
}
END_TEST

START_TEST(a_broken_record_behind_the_bytes_of_a_read)
{
    static const char junk[] = "\x17\x03\x03\x00\x20this is no record of this session";
    char buf[100];

    open_pair();
    server_says("bye");
    ck_assert_int_eq(send(srv.c->fd, junk, 37, 0), 37);
    arrive();
    ck_assert_int_eq(conn_read(cli.c, buf, sizeof(buf)), 3);
    ck_assert(conn_may_read(cli.c));
    ck_assert_int_eq(conn_read(cli.c, buf, sizeof(buf)), CONN_ERROR);
    ck_assert(!conn_may_read(cli.c));
    ends_close();
}
END_TEST

/* a read that was filled leaves the rest of the record inside */
START_TEST(the_rest_of_a_record)
{
    char buf[5];

    open_pair();
    server_says("0123456789");
    arrive();
    ck_assert_int_eq(conn_read(cli.c, buf, 5), 5);
    ck_assert(conn_may_read(cli.c));
    ck_assert_int_eq(conn_read(cli.c, buf, 5), 5);
    ck_assert_int_eq(conn_read(cli.c, buf, 5), CONN_AGAIN);
    ck_assert(!conn_may_read(cli.c));
    ends_close();
}
END_TEST

/* several records that came at once, each larger than what is asked for */
START_TEST(the_rest_of_many_records)
{
    char buf[1000];
    size_t n = 0;

    open_pair();
    for (int i = 0; i < 50; i++)
        server_says("a record of its own, and not a long one");
    arrive();
    do {
        ssize_t r = conn_read(cli.c, buf, 7);
        ck_assert_int_gt(r, 0);
        n += (size_t)r;
    } while (conn_may_read(cli.c) && n < 39 * 50);
    ck_assert_uint_eq(n, 39 * 50);
    ends_close();
}
END_TEST

#ifdef FSM_TLS_OPENSSL
#include <openssl/pem.h>
#include <openssl/ssl.h>

/* a server of the library's own on the other end of the socket, whose bytes pass by our hand */
struct raw {
    SSL_CTX *ctx;
    SSL *ssl;
    BIO *in, *out;
    int fd;
};

static void raw_open(struct raw *x, int fd)
{
    BIO *b = BIO_new_mem_buf(web.chain, -1), *k = BIO_new_mem_buf(web.key, -1);
    X509 *cert = PEM_read_bio_X509(b, NULL, NULL, NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(k, NULL, NULL, NULL);

    x->fd = fd;
    x->ctx = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_certificate(x->ctx, cert), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(x->ctx, key), 1);
    SSL_CTX_set_num_tickets(x->ctx, 1);
    ck_assert_int_eq(SSL_CTX_set_max_send_fragment(x->ctx, 512), 1);
    x->ssl = SSL_new(x->ctx);
    x->in = BIO_new(BIO_s_mem());
    x->out = BIO_new(BIO_s_mem());
    SSL_set_bio(x->ssl, x->in, x->out);
    SSL_set_accept_state(x->ssl);
    /* a ticket that needs more than one record */
    ck_assert_int_eq(SSL_set_session_id_context(x->ssl, (const unsigned char *)"x", 1), 1);
    SSL_set_verify(x->ssl, SSL_VERIFY_PEER, NULL);
    BIO *r = BIO_new_mem_buf(pki_ca_roots(ca), -1);
    X509 *root = PEM_read_bio_X509(r, NULL, NULL, NULL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(x->ctx), root);
    X509_free(root);
    X509_free(cert);
    EVP_PKEY_free(key);
    BIO_free(r);
    BIO_free(b);
    BIO_free(k);
}

static void raw_close(struct raw *x)
{
    SSL_free(x->ssl);
    SSL_CTX_free(x->ctx);
    close(x->fd);
}

static void raw_take(struct raw *x)
{
    char buf[20000];
    ssize_t n;

    while ((n = recv(x->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
        ck_assert_int_eq(BIO_write(x->in, buf, (int)n), (int)n);
}

/* at most n bytes of what it has to say; how many */
static int raw_give(struct raw *x, int n)
{
    char buf[20000];

    n = BIO_read(x->out, buf, n < (int)sizeof(buf) ? n : (int)sizeof(buf));
    if (n > 0)
        ck_assert_int_eq(send(x->fd, buf, (size_t)n, 0), n);
    return n;
}

static struct raw raw;
static char heard[16];

static bool raw_heard(void)
{
    raw_take(&raw);
    return SSL_read(raw.ssl, heard, sizeof(heard)) > 0;
}

/* The client has read the first record of a message that needs several: it can neither send nor is
 * anything wrong; when the rest has come it goes on by itself. */
START_TEST(a_write_that_has_to_read_first)
{
    struct tls_ctx *ctx = ctx_of(client_conf());
    struct err e = {""};
    int fd[2];

    memset(&cli, 0, sizeof(cli));
    loop = loop_new(&e);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    raw_open(&raw, fd[1]);
    cli.c = conn_adopt(loop, fd[0], on_event, &cli, &e);
    ck_assert_int_eq(tls_conn_start(cli.c, ctx, NULL, &e), 0);
    tls_ctx_unref(ctx);
    while (SSL_do_handshake(raw.ssl) != 1) {
        while (raw_give(&raw, 20000) > 0)
            ;
        arrive();
        raw_take(&raw);
    }
    ck_assert(cli.open);
    ck_assert_int_gt((int)BIO_ctrl_pending(raw.out), 512 + 100); /* the ticket */
    raw_give(&raw, 512 + 22);                                    /* one record of it */
    arrive();
    cli.out = "ping";
    cli.out_n = 4;
    end_write(&cli);
    ck_assert(!cli.error);
    ck_assert_uint_eq(cli.out_at, 0);
    while (raw_give(&raw, 20000) > 0)
        ;
    arrive();
    ck_assert_uint_eq(cli.out_at, 4);
    ck_assert(raw_heard());
    ck_assert_str_eq(heard, "ping");
    conn_close(cli.c);
    nothing();
    raw_close(&raw);
}
END_TEST
#endif

int main(void)
{
    Suite *s = suite_create("pending");
    TCase *t = tcase_create("pending");
    SRunner *r;
    int failed;

    idents_make();
    tcase_set_timeout(t, 60);
    tcase_add_test(t, an_end_behind_the_bytes_of_a_read);
    tcase_add_test(t, a_broken_record_behind_the_bytes_of_a_read);
    tcase_add_test(t, the_rest_of_a_record);
    tcase_add_test(t, the_rest_of_many_records);
#ifdef FSM_TLS_OPENSSL
    tcase_add_test(t, a_write_that_has_to_read_first);
#endif
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    idents_remove();
    return failed != 0;
}
