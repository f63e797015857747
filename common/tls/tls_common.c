/* The TLS transport of a conn: see tls_int.h for how it and the provider divide the work.
 *
 * Per thread there is one scratch area.  Between two calls from outside it is empty: ciphertext
 * that was received but not consumed moves to t->in, records that the kernel did not take move
 * to t->out.  An idle session holds neither.
 */
#include "common/tls/tls_int.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/buf.h"
#include "common/base/cidr.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/tls/cert.h"
#include "common/tls/tls_pool.h"

#define SCRATCH_IN  (TLS_BATCH_MAX)
#define SCRATCH_OUT (TLS_BATCH_MAX)

struct scratch {
    size_t in_off, in_len, out_len;
    unsigned char gather[TLS_RECORD_MAX];
    unsigned char in[SCRATCH_IN];
    unsigned char out[SCRATCH_OUT];
};

static __thread struct scratch *scratch;
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_end(void *p)
{
    free(p);
    scratch = NULL;
    tls_engine_keep(0);
}

static void scratch_key_make(void)
{
    BUG_ON(pthread_key_create(&scratch_key, scratch_end) != 0);
}

bool tls_thread_trim(bool all)
{
    unsigned kept = tls_engine_kept();

    tls_engine_keep(all ? 0 : kept / 2);
    return kept > 0;
}

/* made on a thread's first session: a thread without TLS pays nothing; -1: no memory */
static int scratch_need(void)
{
    if (scratch != NULL)
        return 0;
    pthread_once(&scratch_once, scratch_key_make);
    scratch = malloc(sizeof(*scratch));
    if (scratch == NULL)
        return -1;
    scratch->in_off = scratch->in_len = scratch->out_len = 0;
    pthread_setspecific(scratch_key, scratch);
    return 0;
}

/* ---- ciphertext that waits ------------------------------------------------------------------ */

static size_t bytes_take(struct tls_bytes *b, void *p, size_t n)
{
    if (n > b->len)
        n = b->len;
    if (p != NULL)
        memcpy(p, b->p + b->off, n);
    b->off += n;
    b->len -= n;
    if (b->len == 0) {
        free(b->p);
        b->p = NULL;
        b->off = 0;
    }
    return n;
}

/* -1: no memory */
static int bytes_add(struct tls_bytes *b, const void *p, size_t n)
{
    unsigned char *q = malloc(b->len + n);

    if (q == NULL)
        return -1;
    if (b->len > 0)
        memcpy(q, b->p + b->off, b->len);
    memcpy(q + b->len, p, n);
    free(b->p);
    b->p = q;
    b->off = 0;
    b->len += n;
    return 0;
}

/* ---- failing in words ----------------------------------------------------------------------- */

int tls_fail(struct tls *t, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    if (t->error != NULL)
        return -1;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    t->error = strdup(text);
    return -1;
}

/* RFC 8446 6.2: what an alert that the peer sent means for the user */
static const char *alert_words(int d)
{
    switch (d) {
    case 0:
        return "it closed the connection";
    case 10:
    case 47:
    case 50:
        return "it found our handshake malformed";
    case 20:
    case 51:
        return "a record or handshake did not decrypt: wrong keys or a damaged connection";
    case 40:
        return "no common parameters, or it demands a client certificate that we did not send";
    case 42:
        return "it finds our certificate bad (names it does not accept, or a broken chain)";
    case 43:
        return "it does not support our certificate's kind of key or usage";
    case 44:
        return "our certificate is revoked";
    case 45:
        return "our certificate has expired (check both clocks)";
    case 46:
        return "it does not accept our certificate";
    case 48:
        return "it does not know the authority that signed our certificate";
    case 49:
        return "access denied: our certificate is valid but not allowed";
    case 70:
        return "no common protocol version";
    case 71:
        return "it demands stronger ciphers than we offer";
    case 80:
        return "internal error on its side";
    case 86:
        return "inappropriate fallback to an older protocol version";
    case 109:
    case 116:
        return "it demands a client certificate";
    case 112:
        return "it serves no such server name";
    case 120:
        return "it speaks none of the application protocols we offered (ALPN)";
    default:
        return "unexpected alert";
    }
}

static int fail_date(struct tls *t, const void *cert, const char *what, const char *word,
                     int64_t at)
{
    char cn[256], date[32];

    cert_subject_cn(cert, cn, sizeof(cn));
    clock_rfc3339(at * 1000, date);
    return tls_fail(t, "the peer's certificate %s: \"%s\" is valid %s %s (check both clocks)", what,
                    cn, word, date);
}

int tls_fail_expired(struct tls *t, const void *cert)
{
    return fail_date(t, cert, "has expired", "until", cert_not_after(cert));
}

int tls_fail_future(struct tls *t, const void *cert)
{
    return fail_date(t, cert, "is not valid yet", "from", cert_not_before(cert));
}

int tls_fail_untrusted(struct tls *t, const void *cert)
{
    char cn[256], issuer[256];

    cert_subject_cn(cert, cn, sizeof(cn));
    cert_issuer_cn(cert, issuer, sizeof(issuer));
    return tls_fail(t,
                    "the peer's certificate is not signed by a trusted root: \"%s\" is signed by "
                    "\"%s\"",
                    cn, issuer);
}

int tls_fail_usage(struct tls *t)
{
    return tls_fail(t, "the peer's certificate may not be used by a TLS %s (its key usage)",
                    t->ctx->server ? "client" : "server");
}

int tls_fail_weak(struct tls *t)
{
    return tls_fail(t, "the peer's certificate has a key or signature that is too weak or unknown "
                       "(expected P-256, P-384, P-521 or RSA of 2048 bits or more, with SHA-2)");
}

int tls_fail_refused(struct tls *t, int alert)
{
    return tls_fail(t, "the peer refused%s: %s (alert %d)", t->open ? "" : " the handshake",
                    alert_words(alert), alert);
}

bool tls_fail_no_tls(struct tls *t)
{
    if (t->open || !t->heard || (t->first_byte >= 20 && t->first_byte <= 23))
        return false;
    tls_fail(t, "the peer does not speak TLS (its first byte is 0x%02x)", t->first_byte);
    return true;
}

int tls_fail_cut_short(struct tls *t)
{
    if (!t->open)
        return tls_fail(t, "the peer closed the connection during the handshake");
    return tls_fail(t, "the peer closed the connection without ending the TLS stream first: what "
                       "was received may be cut short");
}

/* ---- how long a session lives --------------------------------------------------------------- */

int64_t tls_wall_s(void)
{
    return clock_wall_ms() / 1000;
}

int64_t tls_session_end(int64_t made, int64_t lifetime, const void *peer_cert)
{
    int64_t end = made + lifetime;

    return peer_cert != NULL && cert_not_after(peer_cert) < end ? cert_not_after(peer_cert) : end;
}

bool tls_session_usable(const struct tls_ctx *ctx, const void *peer_cert)
{
    if (ctx->verify == TLS_VERIFY_NONE)
        return true;
    if (peer_cert == NULL)
        return ctx->server && ctx->verify == TLS_VERIFY_OPTIONAL;
    return cert_not_after(peer_cert) > tls_wall_s();
}

/* ---- the socket ------------------------------------------------------------------------------ */

/* one read of the socket into the scratch: > 0; 0 end; TLS_IN_* */
static ssize_t scratch_fill(struct tls *t)
{
    size_t want = t->recv_hint < SCRATCH_IN ? t->recv_hint : SCRATCH_IN;
    ssize_t r = conn_plain.read(t->c, scratch->in, want);

    if (r == CONN_AGAIN)
        return TLS_IN_AGAIN;
    if (r < 0) {
        tls_fail(t, "reading the socket: %s", strerror(errno));
        return TLS_IN_ERROR;
    }
    t->eof = r == 0;
    if (!t->heard && r > 0) {
        t->heard = true;
        t->first_byte = scratch->in[0];
    }
    scratch->in_off = 0;
    scratch->in_len = (size_t)r;
    return r;
}

/* A handshake with the pool.  Meanwhile its engine has only the bytes in t->in and t->out, and the
 * loop keeps its hands off the session. */
struct away {
    struct tls_step step; /* first */
    struct tls *t;
    bool out; /* now */
    int result;
};

static bool is_away(const struct tls *t)
{
    return t->away != NULL && t->away->out;
}

bool tls_in_waits(const struct tls *t)
{
    return t->in.len > 0 || scratch->in_len > 0;
}

static size_t scratch_take(void *p, size_t n)
{
    if (n > scratch->in_len)
        n = scratch->in_len;
    memcpy(p, scratch->in + scratch->in_off, n);
    scratch->in_off += n;
    scratch->in_len -= n;
    return n;
}

static ssize_t take_waiting(struct tls *t, void *p, size_t n)
{
    ssize_t r;

    if (t->in.len > 0)
        return (ssize_t)bytes_take(&t->in, p, n);
    if (is_away(t))
        return TLS_IN_AGAIN;
    if (scratch->in_len == 0) {
        if (t->eof)
            return 0;
        r = scratch_fill(t);
        if (r <= 0)
            return r;
    }
    return (ssize_t)scratch_take(p, n);
}

/* may the engine begin on another half record?  1, TLS_IN_* */
static int may_take(struct tls *t)
{
    if (t->barren >= 2 * (t->open ? TLS_BARREN_MAX : TLS_HANDSHAKE_MAX)) {
        tls_fail(t, t->open ? "the peer sends records that carry no data, and no end of them"
                            : "the peer's handshake has no end");
        return TLS_IN_ERROR;
    }
    if (t->open && t->taken >= 2 * TLS_TURN_RECORDS) {
        t->enough = true;
        return TLS_IN_AGAIN;
    }
    return 1;
}

/* Both libraries ask for a record's head and then for its body, each to the byte: what fills the
 * request is half a record. */
ssize_t tls_in(struct tls *t, void *p, size_t n)
{
    ssize_t r = may_take(t);

    if (r == 1)
        r = take_waiting(t, p, n);
    if (r > 0 && (size_t)r == n) {
        t->barren++;
        t->taken++;
    }
    return r;
}

/* The last record had data: it does not count, and pays for one that had none. */
static void was_fertile(struct tls *t)
{
    t->barren = t->barren > 4 ? t->barren - 4 : 0;
}

/* bytes the kernel took; fewer than n: it is full, or broken (t->tx_broken) */
static size_t socket_send(struct tls *t, const unsigned char *p, size_t n)
{
    const struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
    ssize_t r = n > 0 && !t->tx_broken ? conn_plain.writev(t->c, &iov, 1) : 0;

    if (r == CONN_ERROR) {
        t->tx_broken = true;
        tls_fail(t, "writing to the socket: %s", strerror(errno));
    }
    return r > 0 ? (size_t)r : 0;
}

/* gives the kernel what there is: 1 all, CONN_AGAIN, CONN_ERROR */
static int tls_push(struct tls *t)
{
    size_t sent = 0;

    if (t->out.len > 0)
        bytes_take(&t->out, NULL, socket_send(t, t->out.p + t->out.off, t->out.len));
    if (t->out.len == 0)
        sent = socket_send(t, scratch->out, scratch->out_len);
    if (t->tx_broken) {
        scratch->out_len = 0;
        return CONN_ERROR;
    }
    if (sent < scratch->out_len &&
        bytes_add(&t->out, scratch->out + sent, scratch->out_len - sent) != 0) {
        t->tx_broken = true;
        t->c->fail = CONN_FAIL_IO;
        tls_fail(t, "no memory for unsent records");
    }
    scratch->out_len = 0;
    if (t->tx_broken)
        return CONN_ERROR;
    return t->out.len == 0 ? 1 : CONN_AGAIN;
}

static int out_is_full(struct tls *t)
{
    t->tx_broken = true;
    return tls_fail(t, "the peer demands answers but does not read them");
}

int tls_out(struct tls *t, const void *p, size_t n)
{
    BUG_ON(n > SCRATCH_OUT);
    if (is_away(t))
        return t->out.len + n > TLS_OUT_MAX ? out_is_full(t) : bytes_add(&t->out, p, n);
    if (scratch->out_len + n > SCRATCH_OUT)
        tls_push(t);
    if (t->out.len + scratch->out_len + n > TLS_OUT_MAX)
        return out_is_full(t);
    memcpy(scratch->out + scratch->out_len, p, n);
    scratch->out_len += n;
    return 0;
}

/* -1: no memory; the session is of no more use */
static int op_begin(struct tls *t, size_t want)
{
    /* ciphertext for `want` bytes of plaintext in ordinary records, and not much more */
    t->recv_hint = (uint32_t)(want > SCRATCH_IN ? SCRATCH_IN : want + want / 64 + 1024);
    scratch->in_len = scratch->out_len = 0;
    t->taken = 0;
    t->enough = false;
    if (tls_engine_begin(t->eng) == 0)
        return 0;
    t->failed = t->tx_broken = true;
    t->c->fail = CONN_FAIL_IO;
    return tls_fail(t, "no memory for a TLS record");
}

static int op_end(struct tls *t)
{
    int r = tls_push(t);

    if (scratch->in_len > 0 &&
        bytes_add(&t->in, scratch->in + scratch->in_off, scratch->in_len) != 0) {
        t->failed = true;
        t->c->fail = CONN_FAIL_IO;
        tls_fail(t, "no memory for received records");
    }
    scratch->in_len = 0;
    tls_engine_end(t->eng);
    return r;
}

/* ---- the transport's functions ----------------------------------------------------------------
 */

static void tls_forget_start(struct tls *t)
{
    free(t->verify_host);
    free(t->verify_identity);
    t->verify_host = t->verify_identity = NULL;
}

int tls_check_names(struct tls *t, const void *cert)
{
    char sans[256];

    if (t->verify_identity == NULL && t->verify_host == NULL)
        return 0;
    if (cert == NULL)
        return tls_fail(t, "the peer showed no certificate, expected one for \"%s\"",
                        t->verify_identity ? t->verify_identity : t->verify_host);
    cert_sans_text(cert, sans, sizeof(sans));
    if (t->verify_identity != NULL && !cert_has_identity(cert, t->verify_identity))
        return tls_fail(t,
                        "the peer is not who was expected: its certificate is for %s, "
                        "expected exactly \"%s\"",
                        sans[0] ? sans : "no name", t->verify_identity);
    if (t->verify_host != NULL && !cert_has_host(cert, t->verify_host))
        return tls_fail(t,
                        "the peer's certificate does not cover the host name: it is for %s, "
                        "expected \"%s\"",
                        sans[0] ? sans : "no name", t->verify_host);
    return 0;
}

/* ---- a handshake's slow steps ---- */

static void away_run(struct tls_step *step)
{
    struct away *a = (struct away *)step;

    a->result = tls_engine_slow_steps(a->t->eng);
}

static void away_back(struct loop_note *note)
{
    struct away *a = (struct away *)((char *)note - offsetof(struct away, step.note));

    pool_took_back(a->t->ctx->pool, &a->step);
    a->out = false;
    conn_wake(a->t->c, 0); /* drives the handshake */
}

static struct away *away_new(struct tls *t)
{
    struct away *a = calloc(1, sizeof(*a));

    if (a == NULL)
        return NULL;
    a->step.run = away_run;
    a->step.loop = t->c->loop;
    a->step.note.fn = away_back;
    a->t = t;
    return a;
}

static void away_end(struct tls *t)
{
    if (t->away == NULL)
        return;
    if (t->away->out)
        pool_cancel(t->ctx->pool, &t->away->step);
    free(t->away);
    t->away = NULL;
}

/* Leaves what was received and what is to be sent with the session, and the session with the pool.
 * false: not now, and nothing has changed. */
static bool send_away(struct tls *t)
{
    if (t->away == NULL && (t->away = away_new(t)) == NULL)
        return false;
    if ((scratch->in_len > 0 &&
         bytes_add(&t->in, scratch->in + scratch->in_off, scratch->in_len) != 0))
        return false;
    scratch->in_len = 0;
    if (scratch->out_len > 0 && bytes_add(&t->out, scratch->out, scratch->out_len) != 0)
        return false;
    scratch->out_len = 0;
    t->away->result = ENGINE_AGAIN;
    t->away->out = true;
    if (!pool_give(t->ctx->pool, &t->away->step))
        t->away->out = false;
    return t->away->out;
}

/* as tls_engine_handshake(); *away: it goes on elsewhere */
static int handshake_steps(struct tls *t, bool *away)
{
    int r;

    if (t->away != NULL && t->away->result == ENGINE_ERROR)
        return ENGINE_ERROR;
    /* what has come decides whether a step takes long or only waits */
    if (t->ctx->pool != NULL && !tls_in_waits(t) && !t->eof)
        (void)scratch_fill(t);
    r = tls_engine_handshake(t->eng, t->ctx->pool == NULL);
    if (r != ENGINE_SLOW)
        return r;
    *away = send_away(t);
    return *away ? ENGINE_AGAIN : tls_engine_handshake(t->eng, true);
}

static int tls_handshake(struct conn *c)
{
    struct tls *t = c->xport_data;
    bool away = false;
    int r;

    if (t->failed)
        return CONN_ERROR;
    if (is_away(t))
        return CONN_AGAIN;
    if (op_begin(t, TLS_RECORD_MAX) != 0)
        return CONN_ERROR;
    r = handshake_steps(t, &away);
    if (away)
        return CONN_AGAIN;
    if (op_end(t) == CONN_ERROR && r == ENGINE_AGAIN)
        r = ENGINE_ERROR;
    if (r == ENGINE_AGAIN)
        return CONN_AGAIN;
    away_end(t);
    if (r == 1 && !t->failed) {
        t->open = t->full = true;
        t->barren = 0;
        tls_forget_start(t);
        return 1;
    }
    t->failed = true;
    if (t->resuming)
        session_drop(t->sessions, t->session_key);
    tls_fail(t, "the handshake failed");
    if (c->fail == CONN_FAIL_NONE)
        c->fail = CONN_FAIL_TLS;
    return CONN_ERROR;
}

static ssize_t read_failed(struct tls *t)
{
    t->failed = true;
    if (t->c->fail == CONN_FAIL_NONE)
        t->c->fail = t->eof ? CONN_FAIL_RESET : CONN_FAIL_TLS;
    return CONN_ERROR;
}

/* as tls_engine_read(), for as many records as it takes; *got: bytes */
static ssize_t read_records(struct tls *t, char *p, size_t n, size_t *got)
{
    ssize_t r = ENGINE_AGAIN;

    while (*got < n) {
        unsigned before = t->taken;
        r = tls_engine_read(t->eng, p + *got, n - *got);
        if (r <= 0)
            break;
        *got += (size_t)r;
        if (t->taken != before)
            was_fertile(t);
    }
    return r;
}

/* Who reads goes on until CONN_AGAIN: so that is what it hears, and READ once others were let in.
 */
static ssize_t rest(struct tls *t)
{
    t->rest = false;
    conn_wake(t->c, CONN_EV_READ);
    return CONN_AGAIN;
}

static ssize_t tls_read(struct conn *c, void *p, size_t n)
{
    struct tls *t = c->xport_data;
    size_t got = 0;
    ssize_t r;

    if (t->failed)
        return CONN_ERROR;
    if (t->rx_closed) {
        t->end_told = true;
        return 0;
    }
    if (t->rest)
        return rest(t);
    if (op_begin(t, n) != 0)
        return CONN_ERROR;
    r = read_records(t, p, n, &got);
    op_end(t);
    if (t->tx_waits) { /* no event says that the engine may write now */
        t->tx_waits = false;
        conn_wake(c, CONN_EV_WRITE);
    }
    t->full = got == n || t->enough;
    t->rest = t->enough && got > 0;
    t->rx_closed = r == 0;
    if (r == ENGINE_ERROR)
        read_failed(t); /* what was read before is still delivered */
    if (got > 0)
        return (ssize_t)got;
    if (t->enough && !t->failed)
        return rest(t);
    t->end_told = t->rx_closed;
    return r == 0 ? 0 : r == ENGINE_AGAIN && !t->failed ? CONN_AGAIN : CONN_ERROR;
}

/* where the caller's data is read from */
struct cursor {
    const struct iovec *iov;
    int n;
    size_t off;
};

static void cursor_skip(struct cursor *k, size_t n)
{
    k->off += n;
    while (k->n > 0 && k->off >= k->iov->iov_len) {
        k->off -= k->iov->iov_len;
        k->iov++;
        k->n--;
    }
}

/* what makes the next record: as much as it may hold, in one piece, copied only if it is not */
static struct slice cursor_piece(const struct cursor *k, size_t max)
{
    const struct iovec *v = k->iov;
    size_t off = k->off, n = 0;

    if (v->iov_len - off >= max || k->n == 1) {
        n = v->iov_len - off;
        return slice_of((const char *)v->iov_base + off, n > max ? max : n);
    }
    for (int left = k->n; left > 0 && n < max; left--, v++, off = 0) {
        size_t m = v->iov_len - off;
        if (m > max - n)
            m = max - n;
        memcpy(scratch->gather + n, (const char *)v->iov_base + off, m);
        n += m;
    }
    return slice_of((const char *)scratch->gather, n);
}

static void note_pause(struct tls *t)
{
    uint64_t now = loop_now_ms(t->c->loop);

    if (now - t->sent_ms >= TLS_PAUSE_MS)
        t->burst = 0;
    t->sent_ms = now;
}

/* seals until the data, the patience of the socket or of the engine ends; returns bytes sealed or
 * ENGINE_ERROR */
static ssize_t write_records(struct tls *t, struct cursor *k)
{
    ssize_t total = 0;

    while (k->n > 0) {
        struct slice s;
        ssize_t r;

        if (SCRATCH_OUT - scratch->out_len < TLS_RECORD_MAX + TLS_RECORD_SLACK && tls_push(t) != 1)
            break;
        s = cursor_piece(k, t->burst < TLS_SMALL_BYTES ? TLS_RECORD_SMALL : TLS_RECORD_MAX);
        r = tls_engine_write(t->eng, s.p, s.n);
        if (r == ENGINE_AGAIN) {
            t->tx_waits = true;
            break;
        }
        if (r <= 0)
            return ENGINE_ERROR;
        cursor_skip(k, (size_t)r);
        total += r;
        if (t->burst < TLS_SMALL_BYTES)
            t->burst += (uint32_t)r;
    }
    return total;
}

/* The byte at `at` of the caller's data */
static uint8_t cursor_byte(const struct iovec *iov, int n, size_t at)
{
    struct cursor k = {iov, n, 0};

    cursor_skip(&k, at);
    return ((const uint8_t *)k.iov->iov_base)[k.off];
}

/* A record that is sealed must go out whole, whatever the caller wants later, and a caller that
 * was told "all is written" may close.  So when the kernel does not take a record to its end,
 * the bytes of the call count as written but for the last one: it is held back, the caller comes
 * again with it when the socket opens, and it counts when the record is out.  (It is already in
 * that record: the caller has to offer the same byte, which any stream does.) */
static ssize_t tls_writev(struct conn *c, const struct iovec *iov, int n)
{
    struct tls *t = c->xport_data;
    struct cursor k = {iov, n, 0};
    size_t done;
    ssize_t r;

    if (t->tx_broken || t->tx_closed || !t->open)
        return CONN_ERROR;
    cursor_skip(&k, 0);
    if (k.n == 0)
        return 0;
    if (t->out.len > 0 && tls_push(t) != 1)
        return t->tx_broken ? CONN_ERROR : CONN_AGAIN;
    if (t->held) {
        BUG_ON(cursor_byte(k.iov, k.n, k.off) != t->held_byte);
        cursor_skip(&k, 1);
    }
    done = t->held;
    t->held = false;
    note_pause(t);
    if (op_begin(t, 0) != 0)
        return CONN_ERROR;
    r = write_records(t, &k);
    op_end(t);
    if (r == ENGINE_ERROR || t->tx_broken) {
        t->tx_broken = true;
        if (c->fail == CONN_FAIL_NONE)
            c->fail = CONN_FAIL_TLS;
        return CONN_ERROR;
    }
    done += (size_t)r;
    if (t->out.len > 0 && r > 0) {
        t->held = true;
        t->held_byte = cursor_byte(iov, n, --done);
    }
    return done > 0 ? (ssize_t)done : CONN_AGAIN;
}

static void tls_shut(struct conn *c)
{
    struct tls *t = c->xport_data;

    if (t->tx_closed || t->tx_broken || !t->open)
        return;
    t->tx_closed = true;
    if (op_begin(t, 0) != 0)
        return;
    tls_engine_close_notify(t->eng);
    op_end(t);
}

static int tls_flush(struct conn *c)
{
    struct tls *t = c->xport_data;

    if (is_away(t))
        return CONN_AGAIN;
    if (t->out.len == 0)
        return 1;
    return t->tx_broken ? CONN_ERROR : tls_push(t);
}

/* An end or failure that was found behind the bytes of a read counts as pending: no event comes
 * for it any more. */
static size_t tls_pending(struct conn *c)
{
    const struct tls *t = c->xport_data;

    if (is_away(t))
        return 0;
    if (t->failed || t->rx_closed)
        return t->failed || !t->end_told;
    return t->full ? tls_engine_pending(t->eng) + t->in.len : 0;
}

static void tls_drop(struct tls *t)
{
    away_end(t);
    tls_engine_free(t->eng);
    tls_ctx_unref(t->ctx);
    tls_forget_start(t);
    free(t->in.p);
    free(t->out.p);
    free(t->session_key);
    free(t->info);
    free(t->error);
    free(t);
}

static void tls_free(struct conn *c)
{
    tls_drop(c->xport_data);
}

static const struct conn_xport tls_xport = {
    .name = "tls",
    .read = tls_read,
    .writev = tls_writev,
    .handshake = tls_handshake,
    .shut = tls_shut,
    .flush = tls_flush,
    .pending = tls_pending,
    .free = tls_free,
};

/* ---- the interface -----------------------------------------------------------------------------
 */

/* false: no memory */
static bool copy(char **to, const char *s)
{
    *to = s != NULL ? strdup(s) : NULL;
    return *to != NULL || s == NULL;
}

/* RFC 6066 3: an address is no server name */
static const char *sni_of(const char *name)
{
    struct ip ip;

    return name != NULL && name[0] != '\0' && ip_parse(name, &ip) != 0 ? name : NULL;
}

static int tls_begin(struct tls *t, const struct tls_start *p, struct err *e)
{
    void *saved = NULL;

    if (!copy(&t->verify_host, p->verify_host) || !copy(&t->verify_identity, p->verify_identity))
        return err_set(e, "TLS session: no memory");
    if (!t->ctx->server && p->sessions != NULL && p->session_key != NULL) {
        if (!copy(&t->session_key, p->session_key))
            return err_set(e, "TLS session: no memory");
        t->sessions = p->sessions;
        saved = session_find(p->sessions, p->session_key, t->ctx);
    }
    t->eng = tls_engine_new(t, sni_of(p->sni), saved, e);
    return t->eng != NULL ? 0 : -1;
}

int tls_conn_start(struct conn *c, struct tls_ctx *ctx, const struct tls_start *p, struct err *e)
{
    static const struct tls_start none;
    struct tls *t = calloc(1, sizeof(*t));

    if (t == NULL || scratch_need() < 0) {
        free(t);
        return err_set(e, "TLS session: no memory");
    }
    t->c = c;
    t->ctx = tls_ctx_ref(ctx);
    if (tls_begin(t, p != NULL ? p : &none, e) != 0) {
        tls_drop(t);
        return -1;
    }
    conn_secure(c, &tls_xport, t);
    return 0;
}

static struct tls *tls_of(const struct conn *c)
{
    return c->xport == &tls_xport ? c->xport_data : NULL;
}

const struct tls_info *tls_conn_info(const struct conn *c)
{
    /* without memory the peer is nobody */
    static const struct tls_info nothing = {.version = "unknown", .cipher = "unknown"};
    struct tls *t = tls_of(c);

    if (t == NULL || !t->open)
        return NULL;
    if (t->info == NULL) {
        t->info = calloc(1, sizeof(*t->info));
        if (t->info == NULL)
            return &nothing;
        tls_engine_info(t->eng, t->info);
    }
    return t->info;
}

void tls_conn_forget_info(const struct conn *c)
{
    struct tls *t = tls_of(c);

    if (t == NULL)
        return;
    free(t->info);
    t->info = NULL;
}

const char *tls_conn_error(const struct conn *c)
{
    const struct tls *t = tls_of(c);

    return t != NULL && !is_away(t) && t->error != NULL ? t->error : "";
}

static void ctx_bind(struct tls_ctx *ctx)
{
    const void *leaf = creds_leaf(ctx->creds);
    struct tls_peer self;
    struct buf b = BUF_INIT;

    buf_append(&b, ctx->creds->roots, ctx->creds->n_roots * CREDS_DIGEST);
    buf_printf(&b, "/%d/%d/", ctx->server, ctx->verify);
    if (leaf != NULL) {
        cert_peer(leaf, &self);
        buf_puts(&b, self.principal);
        buf_puts(&b, "\n");
        buf_puts(&b, self.sans);
    }
    tls_sha256(b.p, b.len, ctx->id);
    buf_free(&b);
}

struct tls_ctx *tls_ctx_new(const struct tls_conf *conf, struct err *e)
{
    struct tls_ctx *ctx;

    if (conf->server && (conf->cert_pem == NULL || conf->key_pem == NULL)) {
        err_set(e, "cert_pem, key_pem: a TLS server needs a certificate and its key");
        return NULL;
    }
    if ((conf->cert_pem == NULL) != (conf->key_pem == NULL)) {
        err_set(e, "%s: missing; a certificate and its key go together",
                conf->cert_pem == NULL ? "cert_pem" : "key_pem");
        return NULL;
    }
    if (conf->server && conf->verify != TLS_VERIFY_NONE && conf->ca_pem == NULL) {
        err_set(e, "ca_pem: missing; a server that verifies clients needs the roots to trust");
        return NULL;
    }
    if (conf->min != TLS_V_AUTO && conf->max != TLS_V_AUTO && conf->min > conf->max) {
        err_set(e, "min, max: the lowest TLS version allowed is above the highest");
        return NULL;
    }
    ctx = xcalloc(1, sizeof(*ctx));
    atomic_init(&ctx->refs, 1);
    ctx->server = conf->server;
    ctx->verify = conf->verify;
    ctx->pool = conf->pool;
    ctx->tickets = (struct tls_tickets *)(uintptr_t)conf->tickets; /* synchronised inside */
    ctx->creds = creds_get(conf, e);
    if (ctx->creds != NULL) {
        ctx_bind(ctx);
        if (prov_ctx_init(ctx, conf, e) == 0)
            return ctx;
    }
    tls_ctx_unref(ctx);
    return NULL;
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *c)
{
    BUG_ON(atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed) == 0);
    return c;
}

void tls_ctx_unref(struct tls_ctx *c)
{
    unsigned before;

    if (c == NULL)
        return;
    before = atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel);
    BUG_ON(before == 0);
    if (before > 1)
        return;
    prov_ctx_free(c);
    creds_put(c->creds);
    free(c);
}

int tls_ctx_bad_usage(struct err *e)
{
    return err_set(e,
                   "cert_pem: the certificate may not be used by a TLS server; its key usage must "
                   "have digitalSignature, its extended key usage serverAuth");
}
