/* one provider against itself: handshakes, identity, ALPN, SNI, data, ends, refusals */
#include "test/unit/tls/tls_test.h"

static const char *const mesh_alpn[] = {"fsm-h2", "fsm-http/1.1", "fsm-tcp", NULL};
static const char *const tcp_alpn[] = {"fsm-tcp", NULL};
static const char *const web_alpn[] = {"h2", "http/1.1", NULL};

#define WEB_ID "spiffe://cluster.local/ns/shop/sa/web"
#define API_ID "spiffe://cluster.local/ns/shop/sa/api"

static bool all_read(void)
{
    return (srv.n_got == cli.out_n && cli.n_got == srv.out_n && cli.out_at == cli.out_n &&
            srv.out_at == srv.out_n) ||
           cli.error || srv.error;
}

START_TEST(mutual_tls_tells_both_who_the_other_is)
{
    struct tls_conf c = client_conf(), s = server_conf();
    struct tls_start p = {.sni = "web.shop.cluster.local", .verify_identity = WEB_ID};
    const struct tls_info *ci, *si;

    c.alpn = mesh_alpn;
    s.alpn = tcp_alpn;
    ck_assert_msg(shake(c, &p, s), "client: %s; server: %s", cli.why, srv.why);
    ci = tls_conn_info(cli.c);
    si = tls_conn_info(srv.c);
    ck_assert(ci->peer.present && si->peer.present);
    ck_assert_str_eq(ci->peer.spiffe, WEB_ID);
    ck_assert_str_eq(si->peer.spiffe, API_ID);
    ck_assert_str_eq(ci->peer.principal, "web.shop.cluster.local");
    ck_assert_str_eq(si->peer.sans, "api.shop.cluster.local\n*.example.com\n" API_ID);
    ck_assert_str_eq(ci->alpn, "fsm-tcp");
    ck_assert_str_eq(si->alpn, "fsm-tcp");
    ck_assert_str_eq(si->sni, "web.shop.cluster.local");
    ck_assert_str_eq(ci->sni, "");
    ck_assert_str_eq(ci->version, si->version);
    ck_assert_str_eq(ci->cipher, si->cipher);
    ck_assert_ptr_nonnull(strstr(ci->cipher, "TLS_"));
    ck_assert(!ci->resumed && !si->resumed);
    ck_assert_int_gt(si->peer.not_after, clock_wall_ms() / 1000 + 3000);
    ends_close();
}
END_TEST

START_TEST(info_and_error_of_a_plain_conn)
{
    ends_open(0);
    ck_assert_ptr_null(tls_conn_info(cli.c));
    ck_assert_str_eq(tls_conn_error(cli.c), "");
    ends_close();
}
END_TEST

/* ---- who may be reached
 * ---------------------------------------------------------------------------- */

static void refused(const char *says_client, const char *says_server)
{
    ck_assert(!cli.open || cli.error || srv.failed);
    if (says_client)
        ck_assert_msg(strstr(cli.why, says_client) != NULL, "client says \"%s\", expected \"%s\"",
                      cli.why, says_client);
    if (says_server)
        ck_assert_msg(strstr(srv.why, says_server) != NULL, "server says \"%s\", expected \"%s\"",
                      srv.why, says_server);
    ends_close();
}

START_TEST(the_identity_must_be_exact)
{
    static const char *const good[] = {WEB_ID, "web.shop.cluster.local", "web.example.com"};
    static const char *const bad[] = {API_ID,
                                      "spiffe://cluster.local/ns/shop/sa/we",
                                      "spiffe://cluster.local/ns/shop/sa/web2",
                                      "spiffe://cluster.local/ns/shop/sa/WEB",
                                      "example.com",
                                      "",
                                      "127.0.0.1"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct tls_start p = {.verify_identity = good[i]};
        ck_assert_msg(shake(client_conf(), &p, server_conf()), "%s: %s", good[i], cli.why);
        ends_close();
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tls_start p = {.verify_identity = bad[i]};
        ck_assert_msg(!shake(client_conf(), &p, server_conf()), "%s", bad[i]);
        refused("not who was expected", "alert");
    }
}
END_TEST

START_TEST(a_host_is_matched_by_the_rules)
{
    static const char *const good[] = {"web.example.com", "WEB.Example.COM", "web.example.com.",
                                       "127.0.0.1"};
    static const char *const bad[] = {"example.com", "a.web.example.com", "127.0.0.2",
                                      "::1",         "web.example.org",   "shop.cluster.local"};
    struct tls_conf s = server_conf();

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct tls_start p = {.sni = "x", .verify_host = good[i]};
        ck_assert_msg(shake(client_conf(), &p, s), "%s: %s", good[i], cli.why);
        ends_close();
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct tls_start p = {.verify_host = bad[i]};
        ck_assert_msg(!shake(client_conf(), &p, s), "%s", bad[i]);
        refused("does not cover the host name", "alert");
    }
    s.cert_pem = api.chain; /* *.example.com */
    s.key_pem = api.key;
    struct tls_start wild = {.verify_host = "anything.example.com"};
    ck_assert_msg(shake(client_conf(), &wild, s), "%s", cli.why);
    ends_close();
    wild.verify_host = "a.b.example.com";
    ck_assert(!shake(client_conf(), &wild, s));
    refused("does not cover", NULL);
}
END_TEST

START_TEST(a_foreign_root_is_refused_by_both)
{
    struct tls_conf c = client_conf(), s = server_conf();

    s.cert_pem = stranger.chain;
    s.key_pem = stranger.key;
    ck_assert(!shake(c, NULL, s));
    refused("not signed by a trusted root", "does not know the authority");
    s = server_conf();
    c.cert_pem = stranger.chain;
    c.key_pem = stranger.key;
    ck_assert(!shake(c, NULL, s));
    refused("does not know the authority", "not signed by a trusted root");
}
END_TEST

START_TEST(a_client_without_a_certificate)
{
    struct tls_conf c = client_conf(), s = server_conf();

    c.cert_pem = c.key_pem = NULL;
    ck_assert(!shake(c, NULL, s));
    refused("certificate", "showed no certificate");
    s.verify = TLS_VERIFY_OPTIONAL;
    ck_assert(shake(c, NULL, s));
    ck_assert(!tls_conn_info(srv.c)->peer.present);
    ck_assert_str_eq(tls_conn_info(srv.c)->peer.spiffe, "");
    ends_close();
    c = client_conf();
    ck_assert(shake(c, NULL, s));
    ck_assert(tls_conn_info(srv.c)->peer.present);
    ends_close();
    /* optional is no excuse for a bad one */
    c.cert_pem = stranger.chain;
    c.key_pem = stranger.key;
    ck_assert(!shake(c, NULL, s));
    refused("peer", "not signed by a trusted root");
    s.verify = TLS_VERIFY_NONE;
    ck_assert(shake(c, NULL, s));
    ck_assert(!tls_conn_info(srv.c)->peer.present);
    ends_close();
}
END_TEST

START_TEST(a_client_that_verifies_nothing)
{
    struct tls_conf c = client_conf(), s = server_conf();
    struct tls_start p = {.verify_identity = API_ID};

    s.cert_pem = stranger.chain;
    s.key_pem = stranger.key;
    c.verify = TLS_VERIFY_NONE;
    ck_assert_msg(shake(c, &p, s), "%s", cli.why);
    ck_assert(!tls_conn_info(cli.c)->peer.present);
    ends_close();
}
END_TEST

/* ---- ALPN
 * ------------------------------------------------------------------------------------------- */

START_TEST(the_servers_order_decides_alpn)
{
    static const char *const back[] = {"http/1.1", "h2", NULL};
    struct tls_conf c = client_conf(), s = server_conf();

    c.alpn = web_alpn;
    s.alpn = back;
    ck_assert(shake(c, NULL, s));
    ck_assert_str_eq(tls_conn_info(cli.c)->alpn, "http/1.1");
    ends_close();
}
END_TEST

START_TEST(no_common_alpn_is_refused)
{
    struct tls_conf c = client_conf(), s = server_conf();

    c.alpn = tcp_alpn;
    s.alpn = web_alpn;
    ck_assert(!shake(c, NULL, s));
    refused("application protocols", "ALPN");
}
END_TEST

START_TEST(a_side_without_alpn_is_served)
{
    struct tls_conf c = client_conf(), s = server_conf();

    s.alpn = web_alpn;
    ck_assert(shake(c, NULL, s));
    ck_assert_str_eq(tls_conn_info(srv.c)->alpn, "");
    ends_close();
    c.alpn = web_alpn;
    s.alpn = NULL;
    ck_assert(shake(c, NULL, s));
    ck_assert_str_eq(tls_conn_info(cli.c)->alpn, "");
    ends_close();
}
END_TEST

/* ---- data
 * --------------------------------------------------------------------------------------------- */

static void open_pair(int sndbuf)
{
    struct tls_ctx *c = ctx_of(client_conf()), *s = ctx_of(server_conf());

    ends_open(sndbuf);
    tls_both(c, NULL, s);
    tls_ctx_unref(c);
    tls_ctx_unref(s);
}

START_TEST(bytes_pass_both_ways)
{
    open_pair(0);
    cli.out = "hello";
    cli.out_n = 5;
    srv.out = "welcome";
    srv.out_n = 7;
    ck_assert(run_until(all_read));
    ck_assert_str_eq(srv.got.p, "hello");
    ck_assert_str_eq(cli.got.p, "welcome");
    ends_close();
}
END_TEST

START_TEST(a_hundred_megabytes_through_small_buffers)
{
    static const int sndbufs[] = {0, 4608, 65536};

    for (size_t i = 0; i < 3; i++) {
        open_pair(sndbufs[i]);
        cli.out_n = srv.out_n = sndbufs[i] == 4608 ? 4 << 20 : 50 << 20;
        cli.count_only = srv.count_only = true;
        ck_assert(run_until(all_read));
        ck_assert_msg(!cli.error && !srv.error, "%s / %s", cli.why, srv.why);
        ck_assert_uint_eq(srv.n_got, cli.out_n);
        ck_assert_uint_eq(cli.n_got, srv.out_n);
        ends_close();
    }
}
END_TEST

START_TEST(pieces_of_every_size)
{
    static const unsigned sizes[] = {1, 2, 15, 16, 1000, 2047, 2048, 2049, 8191, 8192};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        open_pair(4608);
        cli.piece = sizes[i];
        cli.out_n = 300 * (uint64_t)sizes[i] + 1;
        cli.count_only = srv.count_only = true;
        ck_assert(run_until(all_read));
        ck_assert_uint_eq(srv.n_got, cli.out_n);
        ends_close();
    }
}
END_TEST

START_TEST(an_empty_write_is_nothing)
{
    struct iovec iov[2] = {{(void *)"", 0}, {NULL, 0}};

    open_pair(0);
    ck_assert(run_until(both_settled));
    ck_assert_int_eq(conn_writev(cli.c, iov, 2), 0);
    ck_assert_int_eq(conn_writev(cli.c, iov, 0), 0);
    ends_close();
}
END_TEST

/* small pieces leave as one record: one send, and the peer reads them in one go */
START_TEST(a_gathered_write_is_one_record)
{
    char raw[4096];
    struct iovec iov[40];
    struct tls_ctx *c = ctx_of(client_conf()), *s = ctx_of(server_conf());
    int tap[2];
    ssize_t n;

    ends_open(0);
    tls_both(c, NULL, s);
    tls_ctx_unref(c);
    tls_ctx_unref(s);
    ck_assert(run_until(both_settled));
    nothing();
    for (int i = 0; i < 40; i++)
        iov[i] = (struct iovec){(void *)"twenty-five bytes of text", 25};
    /* what the client sends from now on goes to us */
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, tap), 0);
    int fd = cli.c->fd;
    cli.c->fd = tap[0];
    ck_assert_int_eq(conn_writev(cli.c, iov, 40), 1000);
    cli.c->fd = fd;
    n = recv(tap[1], raw, sizeof(raw), 0);
    ck_assert_int_gt(n, 1000);
    ck_assert_int_eq(raw[0], 23);
    ck_assert_int_eq((unsigned char)raw[3] << 8 | (unsigned char)raw[4], n - 5);
    close(tap[0]);
    close(tap[1]);
    ends_close();
}
END_TEST

/* n bytes by the client; the lengths of the records they went in */
static unsigned records_of(size_t n, unsigned *len, unsigned max)
{
    static unsigned char raw[200000];
    static char data[100000];
    int tap[2], big = 1 << 20, fd = cli.c->fd;
    unsigned count = 0;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, tap), 0);
    setsockopt(tap[0], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
    cli.c->fd = tap[0];
    ck_assert_int_eq(conn_write(cli.c, data, n), (ssize_t)n);
    cli.c->fd = fd;
    ssize_t got = recv(tap[1], raw, sizeof(raw), 0);
    for (ssize_t at = 0; at < got && count < max; at += 5 + (ssize_t)len[count++])
        len[count] = (unsigned)raw[at + 3] << 8 | raw[at + 4];
    close(tap[0]);
    close(tap[1]);
    return count;
}

START_TEST(records_are_small_at_first_and_after_a_pause)
{
    unsigned len[64], n;

    open_pair(0);
    ck_assert(run_until(both_settled));
    nothing();
    n = records_of(65536, len, 64);
    ck_assert_uint_eq(n, 4 + 3);
    for (unsigned i = 0; i < n; i++)
        ck_assert_uint_eq((len[i] - 1) / 1024, i < 4 ? 4 : 16); /* and what sealing adds */
    n = records_of(32768, len, 64);
    ck_assert_uint_eq(n, 2);
    usleep(1100000);
    nothing();
    n = records_of(8192, len, 64);
    ck_assert_uint_eq(n, 2);
    ends_close();
}
END_TEST

static bool client_blocked(void)
{
    return !cli.c->can_write;
}

START_TEST(a_short_write_keeps_one_byte_back)
{
    static char big[300000];
    struct iovec iov = {big, sizeof(big)};
    ssize_t first, again;
    uint64_t total;

    open_pair(4608);
    ck_assert(run_until(both_settled));
    nothing();
    srv.hold = true;
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = pattern(i);
    first = conn_writev(cli.c, &iov, 1);
    ck_assert_int_gt(first, 0);
    ck_assert_int_lt(first, (ssize_t)sizeof(big));
    ck_assert(client_blocked());
    iov = (struct iovec){big + first, sizeof(big) - (size_t)first};
    ck_assert_int_eq(conn_writev(cli.c, &iov, 1), CONN_AGAIN);
    /* the other end reads: what was taken comes, and what is offered next continues it */
    srv.hold = false;
    srv.count_only = true;
    total = (uint64_t)first;
    conn_wake(srv.c, CONN_EV_READ);
    while (total < sizeof(big)) {
        iov = (struct iovec){big + total, sizeof(big) - total};
        again = conn_writev(cli.c, &iov, 1);
        if (again > 0)
            total += (uint64_t)again;
        nothing();
    }
    nothing();
    ck_assert_uint_eq(srv.n_got, sizeof(big));
    ends_close();
}
END_TEST

static bool server_eof(void)
{
    return srv.eof || srv.error;
}

START_TEST(half_a_close_leaves_the_other_half)
{
    open_pair(0);
    cli.out = "ask";
    cli.out_n = 3;
    cli.shut_after = true;
    ck_assert(run_until(server_eof));
    ck_assert(srv.eof && !srv.error);
    ck_assert_str_eq(srv.got.p, "ask");
    srv.out_n = 1 << 20;
    srv.shut_after = true;
    cli.count_only = true;
    end_write(&srv);
    run_until_ms(never, 1);
    for (int i = 0; i < 200 && !cli.eof && !cli.error; i++)
        nothing();
    ck_assert_msg(cli.eof, "%s", cli.why);
    ck_assert_uint_eq(cli.n_got, 1 << 20);
    ck_assert_int_eq(conn_read(cli.c, srv.why, 1), 0); /* and stays so */
    ends_close();
}
END_TEST

START_TEST(the_end_of_a_full_socket_still_comes)
{
    for (int n = 0; n < 40; n++) {
        open_pair(4608);
        srv.hold = true;
        cli.out_n = 20000 + (uint64_t)n * 997;
        cli.shut_after = true;
        srv.count_only = true;
        ck_assert(run_until(both_settled));
        run_until_ms(never, 2);
        srv.hold = false;
        conn_wake(srv.c, CONN_EV_READ);
        ck_assert(run_until(server_eof));
        ck_assert_msg(srv.eof, "n=%d: %s", n, srv.why);
        ck_assert_uint_eq(srv.n_got, cli.out_n);
        ends_close();
    }
}
END_TEST

START_TEST(an_end_without_close_notify_is_an_error)
{
    open_pair(0);
    cli.out = "part";
    cli.out_n = 4;
    ck_assert(run_until(all_read));
    shutdown(cli.c->fd, SHUT_WR);
    ck_assert(run_until(server_eof));
    ck_assert(srv.error && !srv.eof);
    ck_assert_ptr_nonnull(strstr(srv.why, "cut short"));
    ends_close();
}
END_TEST

START_TEST(a_changed_record_is_an_error)
{
    open_pair(0);
    ck_assert(run_until(both_settled));
    nothing();
    ck_assert_int_eq(send(cli.c->fd,
                          "\x17\x03\x03\x00\x20"
                          "0123456789abcdef0123456789abcdef",
                          37, 0),
                     37);
    ck_assert(run_until(server_eof));
    ck_assert(srv.error);
    ck_assert_int_eq(srv.c->fail, CONN_FAIL_TLS);
    ends_close();
}
END_TEST

START_TEST(a_peer_that_speaks_no_tls)
{
    struct tls_ctx *s = ctx_of(server_conf()), *c = ctx_of(client_conf());
    struct err e = {""};

    ends_open(0);
    ck_assert_int_eq(tls_conn_start(srv.c, s, NULL, &e), 0);
    ck_assert_int_eq(send(cli.c->fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, 0), 27);
    cli.open = true;
    ck_assert(run_until(both_settled));
    ck_assert(srv.failed);
    ck_assert_msg(strstr(srv.why, "does not speak TLS") != NULL, "%s", srv.why);
    ends_close();
    ends_open(0);
    ck_assert_int_eq(tls_conn_start(cli.c, c, NULL, &e), 0);
    ck_assert_int_eq(send(srv.c->fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, 0), 28);
    srv.open = true;
    ck_assert(run_until(both_settled));
    ck_assert(cli.failed);
    ck_assert_msg(strstr(cli.why, "does not speak TLS") != NULL, "%s", cli.why);
    ends_close();
    tls_ctx_unref(c);
    tls_ctx_unref(s);
}
END_TEST

START_TEST(a_peer_that_leaves_during_the_handshake)
{
    struct tls_ctx *s = ctx_of(server_conf());
    struct err e = {""};

    ends_open(0);
    ck_assert_int_eq(tls_conn_start(srv.c, s, NULL, &e), 0);
    cli.open = true;
    conn_close(cli.c);
    cli.c = NULL;
    ck_assert(run_until(both_settled));
    ck_assert(srv.failed);
    ck_assert_msg(strstr(srv.why, "closed the connection") != NULL, "%s", srv.why);
    ends_close();
    tls_ctx_unref(s);
}
END_TEST

/* ---- contexts
 * ------------------------------------------------------------------------------------------ */

START_TEST(contexts_that_are_refused)
{
    struct tls_conf bad[8];
    static const char *const says[] = {"cert_pem, key_pem", "key_pem", "key_pem: the key does not",
                                       "ca_pem: missing",   "ca_pem",  "cert_pem",
                                       "min, max",          "key_pem"};

    for (int i = 0; i < 8; i++)
        bad[i] = server_conf();
    bad[0].cert_pem = bad[0].key_pem = NULL;
    bad[1] = client_conf();
    bad[1].key_pem = NULL;
    bad[2].key_pem = api.key;
    bad[3].ca_pem = NULL;
    bad[4].ca_pem = "nonsense";
    bad[5].cert_pem = "nonsense";
    bad[6].min = TLS_V_1_3;
    bad[6].max = TLS_V_1_2;
    bad[7].key_pem = "nonsense";
    for (int i = 0; i < 8; i++) {
        struct err e = {""};
        ck_assert_ptr_null(tls_ctx_new(&bad[i], &e));
        ck_assert_msg(strstr(e.text, says[i]) != NULL, "%d: %s", i, e.text);
    }
}
END_TEST

START_TEST(a_version_the_library_lacks_is_said)
{
    struct tls_conf s = server_conf();
    struct err e = {""};
    struct tls_ctx *c;

    s.min = TLS_V_1_3;
    c = tls_ctx_new(&s, &e);
    if (strstr(tls_provider(), "mbedTLS") != NULL)
        ck_assert_msg(c == NULL && strstr(e.text, "TLS 1.3 is not available") != NULL, "%s",
                      e.text);
    else
        ck_assert_ptr_nonnull(c);
    tls_ctx_unref(c);
}
END_TEST

START_TEST(a_new_context_leaves_old_connections_alone)
{
    struct tls_ctx *c1 = ctx_of(client_conf()), *s1 = ctx_of(server_conf());

    ends_open(0);
    tls_both(c1, NULL, s1);
    ck_assert(run_until(both_settled));
    tls_ctx_unref(c1); /* the last of ours: the sessions hold theirs */
    tls_ctx_unref(s1);
    cli.out_n = srv.out_n = 100000;
    cli.count_only = srv.count_only = true;
    end_write(&cli);
    end_write(&srv);
    ck_assert(run_until(all_read));
    ck_assert_uint_eq(srv.n_got, 100000);
    ends_close();
}
END_TEST

static void add_all(TCase *t)
{
    tcase_set_timeout(t, 120);
    tcase_add_test(t, mutual_tls_tells_both_who_the_other_is);
    tcase_add_test(t, info_and_error_of_a_plain_conn);
    tcase_add_test(t, the_identity_must_be_exact);
    tcase_add_test(t, a_host_is_matched_by_the_rules);
    tcase_add_test(t, a_foreign_root_is_refused_by_both);
    tcase_add_test(t, a_client_without_a_certificate);
    tcase_add_test(t, a_client_that_verifies_nothing);
    tcase_add_test(t, the_servers_order_decides_alpn);
    tcase_add_test(t, no_common_alpn_is_refused);
    tcase_add_test(t, a_side_without_alpn_is_served);
    tcase_add_test(t, bytes_pass_both_ways);
    tcase_add_test(t, pieces_of_every_size);
    tcase_add_test(t, an_empty_write_is_nothing);
    tcase_add_test(t, a_gathered_write_is_one_record);
    tcase_add_test(t, records_are_small_at_first_and_after_a_pause);
    tcase_add_test(t, a_short_write_keeps_one_byte_back);
    tcase_add_test(t, half_a_close_leaves_the_other_half);
    tcase_add_test(t, the_end_of_a_full_socket_still_comes);
    tcase_add_test(t, an_end_without_close_notify_is_an_error);
    tcase_add_test(t, a_changed_record_is_an_error);
    tcase_add_test(t, a_peer_that_speaks_no_tls);
    tcase_add_test(t, a_peer_that_leaves_during_the_handshake);
    tcase_add_test(t, contexts_that_are_refused);
    tcase_add_test(t, a_version_the_library_lacks_is_said);
    tcase_add_test(t, a_new_context_leaves_old_connections_alone);
}

int main(void)
{
    Suite *s = suite_create("tls");
    TCase *here = tcase_create("in the loop"), *away = tcase_create("by the pool");
    SRunner *r;
    int failed;

    idents_make();
    add_all(here);
    tcase_add_test(here, a_hundred_megabytes_through_small_buffers);
    suite_add_tcase(s, here);
    tcase_add_checked_fixture(away, pool_begin, pool_end);
    add_all(away);
    suite_add_tcase(s, away);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    idents_remove();
    return failed != 0;
}
