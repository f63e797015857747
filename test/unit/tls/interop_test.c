/* our two roles against openssl s_server and s_client, as real processes over TCP */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "common/io/listener.h"
#include "test/unit/tls/tls_test.h"

#define WEB_ID "spiffe://cluster.local/ns/shop/sa/web"
#define API_ID "spiffe://cluster.local/ns/shop/sa/api"

static const char *const mesh_alpn[] = {"fsm-h2", "fsm-tcp", NULL};

static bool has_13(void)
{
    return strstr(tls_provider(), "OpenSSL") != NULL;
}

static void spit(const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", dir, name);
    struct err e = {""};

    ck_assert_msg(file_write(path, text, strlen(text), 0600, &e) == 0, "%s", e.text);
    free(path);
}

static char *slurp(const char *name)
{
    char *path = xasprintf("%s/%s", dir, name);
    struct buf b = BUF_INIT;
    struct err e = {""};

    ck_assert_msg(file_read(path, 16 << 20, &b, &e) == 0, "%s", e.text);
    free(path);
    return buf_take(&b);
}

/* a shell in the directory; its output goes to the file */
static pid_t spawn(const char *out, const char *fmt, ...)
{
    char cmd[2048];
    va_list ap;
    pid_t pid;

    va_start(ap, fmt);
    vsnprintf(cmd, sizeof(cmd), fmt, ap);
    va_end(ap);
    spit(out, "");
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a check that fails leaves nothing behind */
        if (chdir(dir) != 0)
            _exit(99);
        int fd = open(out, O_WRONLY | O_APPEND);
        dup2(fd, 1);
        dup2(fd, 2);
        setpgid(0, 0);
        execl("/bin/sh", "sh", "-c", cmd, (char *)NULL);
        _exit(98);
    }
    setpgid(pid, pid);
    return pid;
}

static void stop(pid_t pid)
{
    kill(-pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void setup(void)
{
    spit("web.crt", web.chain);
    spit("web.key", web.key);
    spit("api.crt", api.chain);
    spit("api.key", api.key);
    spit("roots.crt", pki_ca_roots(ca));
}

/* ---- our client
 * ---------------------------------------------------------------------------------- */

static struct ip_port server_at;

static pid_t s_server(const char *args)
{
    pid_t pid = spawn("server.out",
                      "exec openssl s_server -accept 127.0.0.1:0 -rev -CAfile roots.crt %s", args);

    for (int i = 0; i < 500; i++) {
        char *text = slurp("server.out"), *at = strstr(text, "ACCEPT 127.0.0.1:");
        if (at != NULL) {
            server_at.port = (uint16_t)strtoul(at + 17, NULL, 10);
            ip_parse("127.0.0.1", &server_at.ip);
            free(text);
            return pid;
        }
        free(text);
        usleep(10000);
    }
    ck_abort_msg("s_server %s does not start: %s", args, slurp("server.out"));
    return -1;
}

struct dial {
    struct conn *c;
    struct tls_ctx *ctx;
    struct tls_start start;
    bool secured, open, done;
    char got[256], why[512];
};

static void on_dial(struct conn *c, unsigned events, void *arg)
{
    struct dial *d = arg;
    struct err e = {""};
    ssize_t r;

    if (events & CONN_EV_FAIL) {
        snprintf(d->why, sizeof(d->why), "%s", tls_conn_error(c));
        d->done = true;
    } else if (events & CONN_EV_OPEN && !d->secured) {
        d->secured = true;
        ck_assert_int_eq(tls_conn_start(c, d->ctx, &d->start, &e), 0);
        return;
    } else if (events & CONN_EV_OPEN) {
        d->open = true;
        ck_assert_int_eq(conn_write(c, "hello\n", 6), 6);
    }
    while (d->open && !d->done) {
        size_t used = strlen(d->got);
        r = conn_read(c, d->got + used, sizeof(d->got) - 1 - used);
        if (r == CONN_AGAIN)
            break;
        if (r <= 0)
            snprintf(d->why, sizeof(d->why), "end: %s", tls_conn_error(c));
        if (r <= 0 || strchr(d->got, '\n') != NULL)
            d->done = true;
    }
    if (d->done)
        loop_stop(loop);
}

static void dial_end(struct dial *d)
{
    conn_close(d->c);
    tls_ctx_unref(d->ctx);
    nothing();
}

/* true: the line came back, reversed.  The conn stays open: dial_end() */
static bool dial(struct dial *d, struct tls_conf conf)
{
    struct timer late;
    struct err e = {""};

    if (loop == NULL)
        loop = loop_new(&e);
    d->ctx = ctx_of(conf);
    d->c = conn_dial(loop, &server_at, NULL, on_dial, d, &e);
    ck_assert_msg(d->c != NULL, "%s", e.text);
    timer_init(&late, loop, on_late, NULL);
    timer_set(&late, 10000);
    timed_out = false;
    loop_run(loop);
    timer_cancel(&late);
    ck_assert_msg(!timed_out, "no answer; why \"%s\"", d->why);
    return strcmp(d->got, "olleh\n") == 0;
}

#define MUTUAL "-cert web.crt -key web.key -Verify 1 -verify_return_error "

START_TEST(a_server_of_openssls)
{
    static const char *const args[] = {MUTUAL "-tls1_2 -alpn fsm-tcp", MUTUAL "-alpn fsm-tcp"};

    for (size_t i = 0; i < 2; i++) {
        struct tls_sessions *sessions = tls_sessions_new(4);
        struct tls_conf c = client_conf();
        pid_t pid = s_server(args[i]);
        c.alpn = mesh_alpn;
        for (int n = 0; n < 3; n++) {
            struct dial d = {.start = {.sni = "web",
                                       .verify_identity = WEB_ID,
                                       .sessions = sessions,
                                       .session_key = "k"}};
            ck_assert_msg(dial(&d, c), "%s: \"%s\"", args[i], d.why);
            const struct tls_info *info = tls_conn_info(d.c);
            ck_assert_str_eq(info->version, i == 1 && has_13() ? "TLSv1.3" : "TLSv1.2");
            ck_assert_str_eq(info->alpn, "fsm-tcp");
            ck_assert_str_eq(info->peer.spiffe, WEB_ID);
            ck_assert_int_eq(info->resumed, n > 0);
            if (!has_13())
                ck_assert_ptr_nonnull(strstr(info->cipher, "CHACHA20"));
            dial_end(&d);
        }
        stop(pid);
        tls_sessions_free(sessions);
    }
}
END_TEST

START_TEST(every_cipher_and_group_with_a_server)
{
    static const char *const suites[] = {"ECDHE-ECDSA-AES128-GCM-SHA256",
                                         "ECDHE-ECDSA-CHACHA20-POLY1305",
                                         "ECDHE-ECDSA-AES256-GCM-SHA384"};
    static const char *const names[] = {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                                        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
                                        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"};
    /* P-256 for the certificates at any rate */
    static const char *const groups[] = {"X25519:P-256", "P-256", "P-384:P-256"};

    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 3; k++) {
            struct dial d = {.start = {.verify_host = "web.example.com"}};
            struct tls_conf c = client_conf();
            char args[256];
            snprintf(args, sizeof(args), MUTUAL "-tls1_2 -cipher %s -serverpref -groups %s",
                     suites[i], groups[k]);
            pid_t pid = s_server(args);
            c.mesh = false;
            ck_assert_msg(dial(&d, c), "%s: \"%s\"", args, d.why);
            ck_assert_str_eq(tls_conn_info(d.c)->cipher, names[i]);
            dial_end(&d);
            stop(pid);
        }
}
END_TEST

static void dial_refused(const char *args, struct tls_conf c, const char *says)
{
    struct dial d = {.start = {.verify_host = "web.example.com"}};
    pid_t pid = s_server(args);

    ck_assert_msg(!dial(&d, c), "%s", args);
    ck_assert_msg(strstr(d.why, says) != NULL, "%s: \"%s\", expected \"%s\"", args, d.why, says);
    dial_end(&d);
    stop(pid);
}

START_TEST(servers_that_are_refused)
{
    struct tls_conf c = client_conf();
    char cmd[1024];

    snprintf(
        cmd, sizeof(cmd),
        "cd %s && exec >/dev/null 2>&1; "
        "printf 'extendedKeyUsage=clientAuth\\nsubjectAltName=DNS:web.example.com\\n' > c.ext; "
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout c.key -subj "
        "/CN=c -out c.csr && openssl x509 -req -in c.csr -CA ca/ca.crt -CAkey ca/ca.key -days 1 "
        "-CAcreateserial -CAserial c.srl -extfile c.ext -out c.crt",
        dir);
    ck_assert_int_eq(system(cmd), 0);
    dial_refused("-cert c.crt -key c.key", c, "may not be used by a TLS server");
    dial_refused("-cert web.crt -key web.key -tls1_1 -cipher DEFAULT@SECLEVEL=0", c,
                 "refused the handshake");
    dial_refused("-cert web.crt -key web.key -tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256", c,
                 "no common parameters");
    c.alpn = mesh_alpn;
    dial_refused("-cert web.crt -key web.key -alpn h2", c, "application protocols");
    c.cert_pem = c.key_pem = NULL;
    dial_refused(MUTUAL "-tls1_2", c, "certificate");
    dial_refused(MUTUAL, c, "certificate");
}
END_TEST

/* ---- our server
 * ------------------------------------------------------------------------------------ */

/* one accepted connection: sends back what comes, or only counts it until `until` bytes */
struct echo {
    struct conn *c;
    struct tls_ctx *ctx;
    struct buf pending;
    uint64_t until, n;
    bool open, eof, failed;
    struct tls_info info;
    char why[512];
};

static struct echo echo;

static void echo_flush(struct echo *x)
{
    while (x->pending.len > 0) {
        ssize_t r = conn_write(x->c, x->pending.p, x->pending.len);
        if (r <= 0)
            return;
        buf_consume(&x->pending, (size_t)r);
    }
}

static void echo_read(struct echo *x)
{
    char buf[30000];
    ssize_t r;

    while (!x->eof && !x->failed && (r = conn_read(x->c, buf, sizeof(buf))) != CONN_AGAIN) {
        if (r <= 0) {
            x->eof = r == 0;
            x->failed = r != 0;
            snprintf(x->why, sizeof(x->why), "%s", tls_conn_error(x->c));
            break;
        }
        x->n += (uint64_t)r;
        if (x->until == 0)
            buf_append(&x->pending, buf, (size_t)r);
    }
    echo_flush(x);
    if (x->eof || x->failed || (x->until > 0 && x->n >= x->until)) {
        x->eof = true;
        conn_shut_write(x->c);
    }
}

static void on_echo(struct conn *c, unsigned events, void *arg)
{
    struct echo *x = arg;

    if (events & CONN_EV_FAIL) {
        snprintf(x->why, sizeof(x->why), "%s", tls_conn_error(c));
        x->failed = true;
        conn_close(c);
        x->c = NULL;
        return;
    }
    if (events & CONN_EV_OPEN) {
        x->open = true;
        x->info = *tls_conn_info(c);
    }
    if (x->open && events & CONN_EV_READ)
        echo_read(x);
    else if (x->open)
        echo_flush(x);
}

static void on_accept(struct listener *l, int fd, const struct ip_port *peer, void *arg)
{
    struct echo *x = arg;
    struct err e = {""};

    conn_close(x->c); /* the one before */
    x->c = conn_accepted(loop, fd, peer, on_echo, x, &e);
    ck_assert_ptr_nonnull(x->c);
    ck_assert_int_eq(tls_conn_start(x->c, x->ctx, NULL, &e), 0);
}

static pid_t child;
static int child_status;

static void on_tick(void *arg)
{
    if (waitpid(child, &child_status, WNOHANG) == child) {
        child = 0;
        loop_stop(loop);
    } else {
        timer_set(arg, 10);
    }
}

/* runs the command against a server of ours; what it printed is returned, owned */
static char *serve(struct tls_conf conf, uint64_t until, const char *fmt, ...)
{
    struct ip_port at = {.port = 0};
    struct listener *l;
    struct timer tick;
    struct err e = {""};
    char cmd[1024], full[1200];
    va_list ap;

    if (loop == NULL)
        loop = loop_new(&e);
    memset(&echo, 0, sizeof(echo));
    echo.until = until;
    echo.ctx = ctx_of(conf);
    ip_parse("127.0.0.1", &at.ip);
    l = listener_new(loop, listener_bind(&at, 0, 10, &e), on_accept, &echo, &e);
    ck_assert_msg(l != NULL, "%s", e.text);
    listener_address(l, &at);
    va_start(ap, fmt);
    vsnprintf(cmd, sizeof(cmd), fmt, ap);
    va_end(ap);
    snprintf(full, sizeof(full),
             "P=%u; C='timeout 10 openssl s_client -connect 127.0.0.1:%u -CAfile "
             "roots.crt'; %s",
             at.port, at.port, cmd);
    child = spawn("client.out", "%s", full);
    timer_init(&tick, loop, on_tick, &tick);
    timer_set(&tick, 10);
    loop_run(loop);
    timer_cancel(&tick);
    listener_free(l);
    conn_close(echo.c);
    nothing();
    buf_free(&echo.pending);
    tls_ctx_unref(echo.ctx);
    return slurp("client.out");
}

#define CERT "-cert api.crt -key api.key "
#define has(text, what)                                                                            \
    ck_assert_msg(strstr(text, what) != NULL, "\"%s\" is not in: ...%s", what,                     \
                  strlen(text) > 1500 ? text + strlen(text) - 1500 : text)

START_TEST(a_client_of_openssls)
{
    static const char *const versions[] = {"-tls1_2", "-tls1_3"};

    for (int i = 0; i <= has_13(); i++) {
        struct err e = {""};
        struct tls_tickets *tickets = tls_tickets_new(60, &e);
        struct tls_conf s = server_conf();
        s.alpn = mesh_alpn;
        s.tickets = tickets;
        char *out =
            serve(s, 0,
                  "(echo hello; sleep 0.5) | $C " CERT "%s -servername Web.Shop -alpn "
                  "fsm-tcp,x -verify_return_error -verify_hostname web.example.com -sess_out s",
                  versions[i]);
        has(out, "Verification: OK");
        has(out, "Verified peername: web.example.com");
        has(out, "ALPN protocol: fsm-tcp");
        has(out, "hello\n");
        has(out, "New, TLSv1.");
        ck_assert_str_eq(echo.info.peer.spiffe, API_ID);
        ck_assert_str_eq(echo.info.sni, "Web.Shop");
        ck_assert(!echo.info.resumed && echo.eof);
        ck_assert_str_eq(echo.why, "");
        free(out);
        out = serve(s, 0, "(echo hello; sleep 0.5) | $C %s -servername other -sess_in s",
                    versions[i]);
        has(out, "Reused, TLSv1.");
        has(out, "hello\n");
        ck_assert(echo.info.resumed);
        ck_assert_str_eq(echo.info.peer.spiffe, API_ID); /* though it showed none this time */
        ck_assert_str_eq(echo.info.sni, "other");
        free(out);
        tls_tickets_free(tickets);
    }
}
END_TEST

/* TLS 1.3: a ticket is used once, so a resumed connection has to bring the next */
START_TEST(a_chain_of_resumed_connections)
{
    struct tls_conf s = server_conf();
    struct err e = {""};

    if (!has_13())
        return;
    struct tls_tickets *tickets = tls_tickets_new(60, &e);
    s.tickets = tickets;
    s.mesh = false;
    for (int mutual = 0; mutual < 2; mutual++) {
        s.verify = mutual ? TLS_VERIFY_REQUIRED : TLS_VERIFY_NONE;
        char *out =
            serve(s, 0,
                  "go() { (echo hello; sleep 0.3) | $C -tls1_3 %s \"$@\"; }; rm -f t1 t2 t3;"
                  "go -sess_out t1; go -sess_in t1 -sess_out t2;"
                  "go -sess_in t2 -sess_out t3; go -sess_in t3",
                  mutual ? CERT : "");
        ck_assert(echo.info.resumed);
        ck_assert_int_eq(echo.info.peer.present, mutual);
        free(out);
    }
    tls_tickets_free(tickets);
}
END_TEST

static void client_refused(struct tls_conf s, const char *args, const char *says)
{
    char *out = serve(s, 0, "(echo hello; sleep 0.3) | $C %s", args);

    ck_assert_msg(strstr(out, "hello\n") == NULL, "%s: %s", args, out);
    ck_assert_msg(echo.failed, "%s", args);
    ck_assert_msg(strstr(echo.why, says) != NULL, "%s: \"%s\", expected \"%s\"", args, echo.why,
                  says);
    free(out);
}

START_TEST(clients_that_are_refused)
{
    struct tls_conf s = server_conf();

    client_refused(s, "", "showed no certificate");
    client_refused(s, "-tls1_2", "showed no certificate");
    client_refused(s, CERT "-tls1_1 -cipher DEFAULT@SECLEVEL=0", "no common protocol version");
    client_refused(s, CERT "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256", "no common cipher suite");
    client_refused(s, CERT "-tls1_2 -cipher AES128-GCM-SHA256", "no common cipher suite");
    s.alpn = mesh_alpn;
    client_refused(s, CERT "-alpn h2", "ALPN");
}
END_TEST

START_TEST(renegotiation_is_refused)
{
    struct tls_conf s = server_conf();
    char *out = serve(s, 0,
                      "(echo hello; sleep 0.3; echo R; sleep 0.3; echo again; sleep 0.3) | $C " CERT
                      "-tls1_2");

    has(out, "RENEGOTIATING");
    has(out, "hello\n");
    ck_assert_ptr_null(strstr(out, "again\n"));
    ck_assert(echo.open && (echo.eof || echo.failed));
    free(out);
}
END_TEST

START_TEST(keys_are_updated)
{
    struct tls_conf s = server_conf();
    char *out;

    if (!has_13())
        return; /* TLS 1.2 has none */
    out =
        serve(s, 0, "(echo hello; sleep 0.3; echo K; sleep 0.3; echo again; sleep 0.3) | $C " CERT);
    has(out, "KEYUPDATE");
    has(out, "hello\n");
    has(out, "again\n");
    ck_assert_str_eq(echo.why, "");
    free(out);
}
END_TEST

/* mbedTLS 2.28 does not put together handshake messages of several records, so that a client
 * certificate must not be cut there */
START_TEST(fragments_of_all_sizes)
{
    static const char *const args[] = {"-max_send_frag 512", "-maxfraglen 1024", "-maxfraglen 4096",
                                       "-split_send_frag 512 -max_send_frag 1024", "-no_etm"};
    struct tls_conf s = server_conf();

    s.verify = TLS_VERIFY_NONE;
    for (size_t i = 0; i < sizeof(args) / sizeof(args[0]); i++) {
        char *out = serve(s, 0,
                          "(seq 1 20000; sleep 1) | $C -tls1_2 -quiet -no_ign_eof %s 2>/dev/null | "
                          "md5sum; seq 1 20000 | md5sum",
                          args[i]);
        ck_assert_uint_eq(strlen(out), 2 * 36);
        ck_assert_msg(strncmp(out, out + 36, 36) == 0, "%s: %s %s", args[i], out, echo.why);
        free(out);
    }
}
END_TEST

START_TEST(a_long_upload)
{
    struct tls_conf s = server_conf();
    char *out = serve(s, 20 << 20, "head -c 20971520 /dev/zero | $C " CERT "-quiet");

    ck_assert_uint_eq(echo.n, 20 << 20);
    free(out);
}
END_TEST

/* what a scanner sends must leave us standing */
START_TEST(garbage)
{
#define TO_US " | timeout 5 bash -c 'cat > /dev/tcp/127.0.0.1/$0' $P"
    static const char *const cmds[] = {
        ("head -c 100000 /dev/urandom" TO_US),
        ("printf '\\026\\003\\001\\000\\005\\001\\000\\000\\001\\003'" TO_US),
        ("printf '\\200\\056\\001\\000\\002'" TO_US),
        ("printf '\\026\\003\\001\\377\\377'" TO_US),
        "timeout 5 bash -c ': > /dev/tcp/127.0.0.1/$0' $P; sleep 0.1",
    };

    for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
        char *out = serve(server_conf(), 0, "%s; sleep 0.1", cmds[i]);
        ck_assert_msg(echo.failed && !echo.open, "%zu", i);
        ck_assert_str_ne(echo.why, "");
        free(out);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("interop");
    TCase *t = tcase_create("interop");
    SRunner *r;
    int failed;

    idents_make();
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, NULL);
    tcase_add_test(t, a_server_of_openssls);
    tcase_add_test(t, every_cipher_and_group_with_a_server);
    tcase_add_test(t, servers_that_are_refused);
    tcase_add_test(t, a_client_of_openssls);
    tcase_add_test(t, a_chain_of_resumed_connections);
    tcase_add_test(t, clients_that_are_refused);
    tcase_add_test(t, renegotiation_is_refused);
    tcase_add_test(t, keys_are_updated);
    tcase_add_test(t, fragments_of_all_sizes);
    tcase_add_test(t, a_long_upload);
    tcase_add_test(t, garbage);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    idents_remove();
    return failed != 0;
}
