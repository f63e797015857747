/* forward.c - see forward.h.  RFC 6455 (WebSocket) as far as the API server uses it: binary frames,
 * the first byte of each is the channel (0 data, 1 errors), the first two bytes of each channel the
 * port.
 */
#include "common/kube/forward.h"

#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/curl.h"

#define PROTOCOL "v4.channel.k8s.io"
#define HEAD_MAX (32u << 10)
/* what a container runtime says of a refused connection is long */
#define ERROR_MAX     700
#define OP_BINARY     2
#define OP_CLOSE      8
#define OP_PING       9
#define OP_PONG       10
#define CHANNEL_DATA  0
#define CHANNEL_ERROR 1

struct tunnel {
    const struct kube_access *access;
    CURL *easy;
    struct curl_slist *connect_to;
    curl_socket_t fd;
    uint64_t until_ms;
    struct buf in; /* bytes that were read and not yet taken */
    char error[CURL_ERROR_SIZE];
};

/* ---- frames ---------------------------------------------------------------------------------- */

int kube_forward_frame(struct slice in, struct slice *payload, size_t *used)
{
    const uint8_t *p = (const uint8_t *)in.p;
    uint64_t n;
    size_t head = 2;

    if (in.n < 2)
        return 0;
    n = p[1] & 0x7f;
    if ((p[1] & 0x80) || (p[0] & 0x70))
        return -1; /* masked, or an extension that nobody asked for */
    if (n >= 126) {
        size_t bytes = n == 126 ? 2 : 8;
        head += bytes;
        if (in.n < head)
            return 0;
        n = 0;
        for (size_t i = 2; i < head; i++)
            n = n << 8 | p[i];
    }
    if (n > FORWARD_ANSWER_MAX)
        return -1;
    if (in.n - head < n)
        return 0;
    *payload = slice_of(in.p + head, n);
    *used = head + n;
    /* a continuation is more of the same stream of bytes only if it began with a channel: the API
     * server sends none */
    return (p[0] & 0x0f) == 0 || !(p[0] & 0x80) ? -1 : p[0] & 0x0f;
}

void kube_forward_put(struct buf *out, unsigned opcode, struct slice payload)
{
    uint8_t mask[4];

    random_bytes(mask, sizeof(mask));
    buf_putc(out, (char)(0x80 | opcode));
    if (payload.n < 126) {
        buf_putc(out, (char)(0x80 | payload.n));
    } else {
        buf_putc(out, (char)(0x80 | 127));
        for (int shift = 56; shift >= 0; shift -= 8)
            buf_putc(out, (char)(uint8_t)((uint64_t)payload.n >> shift));
    }
    buf_append(out, mask, sizeof(mask));
    for (size_t i = 0; i < payload.n; i++)
        buf_putc(out, (char)(payload.p[i] ^ mask[i % 4]));
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static int wait_for(struct tunnel *t, short events, struct err *e)
{
    uint64_t now = clock_mono_ms();
    struct pollfd p = {.fd = t->fd, .events = events};

    if (now >= t->until_ms || poll(&p, 1, (int)(t->until_ms - now)) == 0)
        return err_set(e, "the pod does not answer in time");
    return 0;
}

static int send_all(struct tunnel *t, const struct buf *b, struct err *e)
{
    size_t done = 0, n;

    while (done < b->len) {
        CURLcode code = curl_easy_send(t->easy, b->p + done, b->len - done, &n);
        if (code == CURLE_OK)
            done += n;
        else if (code != CURLE_AGAIN)
            return err_set(e, "the connection broke: %s", curl_easy_strerror(code));
        else if (wait_for(t, POLLOUT, e))
            return -1;
    }
    return 0;
}

/* 1 more bytes, 0 the end, -1 and e */
static int read_more(struct tunnel *t, struct err *e)
{
    for (;;) {
        size_t n = 0;
        CURLcode code = curl_easy_recv(t->easy, buf_reserve(&t->in, 16384), 16384, &n);
        if (code == CURLE_OK) {
            t->in.len += n;
            return n > 0;
        }
        if (code != CURLE_AGAIN)
            return err_set(e, "the connection broke: %s", curl_easy_strerror(code));
        if (wait_for(t, POLLIN, e))
            return -1;
    }
}

/* ---- the way to the pod ---------------------------------------------------------------------- */

static int tunnel_connect(struct tunnel *t, const char *path, struct err *e)
{
    CURLcode code;

    t->easy = curl_easy_init();
    t->connect_to = kube_curl_server(t->easy, t->access, path);
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(t->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->error);
    if ((code = curl_easy_perform(t->easy)) != CURLE_OK ||
        (code = curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &t->fd)) != CURLE_OK)
        return err_set(e, "the API server %s: %s", t->access->server,
                       *t->error ? t->error : curl_easy_strerror(code));
    return 0;
}

/* "GET /prefix/api/v1/... HTTP/1.1" with what makes it a WebSocket */
static int put_request(const struct tunnel *t, const char *path, struct buf *b, struct err *e)
{
    const char *rest = strstr(t->access->server, "://");
    const char *host = rest ? rest + 3 : t->access->server, *slash = strchr(host, '/');
    uint8_t key[16];

    random_bytes(key, sizeof(key));
    buf_printf(b, "GET %s%s HTTP/1.1\r\nHost: ", slash ? slash : "", path);
    if (t->access->tls_name)
        buf_puts(b, t->access->tls_name);
    else
        buf_append(b, host, slash ? (size_t)(slash - host) : strlen(host));
    buf_puts(b, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Protocol: " PROTOCOL "\r\nSec-WebSocket-Key: ");
    base64_encode(key, sizeof(key), b);
    buf_puts(b, "\r\nAuthorization: Bearer ");
    size_t before = b->len;
    if (kube_access_token(t->access, b, e))
        return -1;
    if (b->len == before)
        b->len -= strlen("\r\nAuthorization: Bearer ");
    else if (memchr(b->p + before, '\n', b->len - before))
        return err_set(e, "the token has several lines");
    buf_puts(b, "\r\n\r\n");
    return 0;
}

/* where the head ends, or 0 */
static size_t head_end(const struct buf *b)
{
    const char *end = b->len ? memmem(b->p, b->len, "\r\n\r\n", 4) : NULL;

    return end ? (size_t)(end + 4 - b->p) : 0;
}

/* the words of a Status, or the status alone */
static int refused(struct tunnel *t, unsigned status, size_t head, struct err *e)
{
    struct err ignored;

    while (t->in.len < HEAD_MAX && !memchr(t->in.p + head, '\n', t->in.len - head) &&
           read_more(t, &ignored) > 0)
        continue;
    struct slice body = slice_of(t->in.p + head, t->in.len - head);
    json_t *words = json_parse(body, HEAD_MAX, &ignored);
    if (json_str(words, "message", NULL))
        err_set(e, "port-forward: %.300s (%u)", json_str(words, "message", ""), status);
    else if (status == 401)
        err_set(e, "port-forward: the API server does not take our credentials (401)");
    else
        err_set(e, "port-forward: %.*s (%u)", (int)(body.n < 300 ? body.n : 300), body.p, status);
    json_decref(words);
    return -1;
}

static int upgrade(struct tunnel *t, const char *path, struct err *e)
{
    struct buf head = BUF_INIT;
    unsigned long long status;
    size_t end;
    int rc = put_request(t, path, &head, e) || send_all(t, &head, e) ? -1 : 0;

    explicit_bzero(head.p, head.cap);
    buf_free(&head);
    while (rc == 0 && (end = head_end(&t->in)) == 0) {
        int n = t->in.len < HEAD_MAX ? read_more(t, e) : 0;
        if (n <= 0)
            return n < 0 ? -1 : err_set(e, "port-forward: the API server's answer broke off");
    }
    if (rc)
        return rc;
    if (t->in.len < 12 || memcmp(t->in.p, "HTTP/1.1 ", 9) != 0 ||
        slice_u64(slice_of(t->in.p + 9, 3), 999, &status))
        return err_set(e, "port-forward: the API server's answer is no HTTP/1.1");
    if (status != 101)
        return refused(t, (unsigned)status, end, e);
    buf_consume(&t->in, end);
    return 0;
}

/* ---- what the pod says ------------------------------------------------------------------------
 */

/* what came of the answer so far */
struct answer {
    struct buf data, error;
    size_t seen[2]; /* bytes of the two channels; the first two of each are the port */
};

static void take_payload(struct answer *a, struct slice payload)
{
    unsigned channel = payload.n ? (uint8_t)payload.p[0] : CHANNEL_ERROR + 1;

    if (channel > CHANNEL_ERROR)
        return;
    payload = slice_of(payload.p + 1, payload.n - 1);
    size_t skip = a->seen[channel] < 2 ? 2 - a->seen[channel] : 0;
    if (skip > payload.n)
        skip = payload.n;
    a->seen[channel] += payload.n;
    buf_append(channel == CHANNEL_DATA ? &a->data : &a->error, payload.p + skip, payload.n - skip);
}

/* A Content-Length that has come, or the answer's connection that has ended: the API server tells
 * of that end late or never. */
static bool is_complete(const struct answer *a)
{
    static const char name[] = "\r\ncontent-length:";
    size_t head = head_end(&a->data);
    unsigned long long n;

    for (size_t i = 0; head && i + sizeof(name) < head; i++) {
        if (strncasecmp(a->data.p + i, name, sizeof(name) - 1) != 0)
            continue;
        struct slice rest = slice_of(a->data.p + i + sizeof(name) - 1, head - i);
        return slice_u64(slice_trim(slice_cut(&rest, '\r')), FORWARD_ANSWER_MAX, &n) == 0 &&
               a->data.len - head >= n;
    }
    return false;
}

static int take_frames(struct tunnel *t, struct answer *a, struct err *e)
{
    struct slice payload;
    size_t used;
    int op;

    while ((op = kube_forward_frame(buf_slice(&t->in), &payload, &used)) > 0) {
        struct buf pong = BUF_INIT;
        if (op == OP_CLOSE)
            return 1;
        if (op == OP_PING)
            kube_forward_put(&pong, OP_PONG, payload);
        else
            take_payload(a, payload);
        int rc = pong.len ? send_all(t, &pong, e) : 0;
        buf_free(&pong);
        buf_consume(&t->in, used);
        if (rc)
            return -1;
    }
    return op;
}

/* until the answer ends */
static int converse(struct tunnel *t, struct answer *a, struct err *e)
{
    int rc;

    while ((rc = take_frames(t, a, e)) == 0 && !a->error.len && !is_complete(a)) {
        if (a->data.len > FORWARD_ANSWER_MAX)
            return err_set(e, "the pod's answer is longer than %u bytes", FORWARD_ANSWER_MAX);
        int n = read_more(t, e);
        if (n <= 0)
            return n;
    }
    if (a->error.len && !a->data.len)
        return err_set(e, "port-forward: %.*s",
                       (int)(a->error.len < ERROR_MAX ? a->error.len : ERROR_MAX), a->error.p);
    return rc < 0 ? err_set(e, "port-forward: the API server sent no frame of a WebSocket") : 0;
}

int kube_forward_answer(struct slice bytes, struct slice *body)
{
    struct buf b = {.p = (char *)(uintptr_t)bytes.p, .len = bytes.n};
    size_t end = head_end(&b);
    unsigned long long status;

    if (!end || memcmp(bytes.p, "HTTP/1.", 7) != 0 || end < 16 || bytes.p[8] != ' ' ||
        slice_u64(slice_of(bytes.p + 9, 3), 999, &status))
        return -1;
    *body = slice_of(bytes.p + end, bytes.n - end);
    return (int)status;
}

static int ask(struct tunnel *t, const char *path, struct buf *out, struct err *e)
{
    struct answer a = {BUF_INIT, BUF_INIT, {0, 0}};
    struct buf request = BUF_INIT, frame = BUF_INIT;
    struct slice body;

    buf_putc(&request, CHANNEL_DATA);
    buf_printf(&request, "GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n", path);
    kube_forward_put(&frame, OP_BINARY, buf_slice(&request));
    int status = send_all(t, &frame, e) || converse(t, &a, e) ? -1 : 0;
    if (status == 0 && (status = kube_forward_answer(buf_slice(&a.data), &body)) < 0)
        err_set(e, "the pod's port gave no HTTP answer");
    else if (status > 0)
        buf_put_slice(out, body);
    buf_free(&request);
    buf_free(&frame);
    buf_free(&a.data);
    buf_free(&a.error);
    return status;
}

int kube_forward_get(const struct kube_access *a, const char *ns, const char *pod, unsigned port,
                     const char *path, unsigned timeout_ms, struct buf *out, struct err *e)
{
    struct tunnel t = {
        .access = a, .fd = -1, .until_ms = clock_mono_ms() + timeout_ms, .in = BUF_INIT};
    char *to = xasprintf("/api/v1/namespaces/%s/pods/%s/portforward?ports=%u", ns, pod, port);
    int status = -1;

    if (tunnel_connect(&t, to, e) == 0 && upgrade(&t, to, e) == 0)
        status = ask(&t, path, out, e);
    free(to);
    curl_easy_cleanup(t.easy);
    curl_slist_free_all(t.connect_to);
    buf_free(&t.in);
    return status;
}
