/* api.c - libcurl does HTTP/2 and TLS; this is who is asked, as whom, and whether it still answers.
 *
 * Calls that end without libcurl (the credentials cannot be read, the peer is dead) are finished by
 * a job of the loop, so that done() never comes from inside kube_api_get().
 */
#include "common/kube/api.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/version.h"
#include "common/io/multi.h"
#include "common/kube/curl.h"

#define USER_TIMEOUT_MS 30000 /* bytes sent that nobody acknowledges */
#define KEEPIDLE_S      15
#define KEEPINTVL_S     5
#define ERROR_BODY_MAX  (16u << 10)

TAILQ_HEAD(calls, kube_call);

struct kube_call {
    struct multi_call multi; /* first: CURLOPT_PRIVATE */
    struct kube_api *api;
    TAILQ_ENTRY(kube_call) link;
    CURL *easy; /* NULL: it ends without having begun */
    struct curl_slist *headers, *connect_to;
    struct kube_call_spec spec;
    const char *method; /* NULL: GET */
    struct buf sent;    /* the request's body; wiped */
    struct buf body;    /* what was answered, bounded */
    uint64_t retry_after;
    struct timer deadline; /* libcurl has none for a call that waits for another's connection */
    bool enough;           /* data() wants no more */
    const char *verdict;   /* why it ends, if libcurl does not say; a constant */
    char error[CURL_ERROR_SIZE];
};

struct kube_api {
    struct loop *loop;
    struct kube_access_from from;
    struct kube_access access;
    bool stale; /* load it again before the next request */
    char *agent;
    char load_error[256]; /* the last one told */
    struct multi *multi;
    struct calls open;   /* under way */
    struct calls failed; /* to be finished by the job */
    struct loop_job job;
    uint64_t heard_ms;
    struct timer timer; /* the next look at how long ago that is */
    struct kube_call *ping;
    uint64_t received;
    char clock[160]; /* what is wrong with it, "" = nothing */
};

const char *kube_api_server(const struct kube_api *a)
{
    return a->access.server;
}

const char *kube_api_clock(const struct kube_api *a)
{
    return a->clock[0] ? a->clock : NULL;
}

uint64_t kube_api_received(const struct kube_api *a)
{
    return a->received;
}

/* ---- credentials ---------------------------------------------------------------------------- */

static void warn_insecure(const struct kube_access *a)
{
    if (a->insecure)
        log_warn("kube",
                 "the API server's certificate is not verified: anybody on the way can read and "
                 "change what is said, the credentials included (insecure-skip-tls-verify) "
                 "server=%s",
                 a->server);
}

/* What cannot be read now leaves what was read before. */
static void reload(struct kube_api *a)
{
    struct kube_access now;
    struct err e = {""};
    a->stale = false;
    if (kube_access_load(&a->from, &now, &e) < 0) {
        if (strcmp(a->load_error, e.text) != 0)
            log_warn("kube", "credentials cannot be read again error=\"%s\"", e.text);
        snprintf(a->load_error, sizeof a->load_error, "%.255s", e.text);
        return;
    }
    a->load_error[0] = '\0';
    kube_access_clear(&a->access);
    a->access = now;
}

/* "Authorization: Bearer ...", wiped afterwards by who made it */
static int add_token(struct kube_call *c, struct err *e)
{
    struct buf line = BUF_INIT;
    buf_puts(&line, "Authorization: Bearer ");
    size_t before = line.len;
    int r = kube_access_token(&c->api->access, &line, e);
    if (r == 0 && strpbrk(line.p, "\r\n"))
        r = err_set(e, "the token has several lines");
    if (r == 0 && line.len > before)
        c->headers = curl_slist_append(c->headers, line.p);
    explicit_bzero(line.p, line.cap);
    buf_free(&line);
    return r;
}

static void wipe_headers(struct curl_slist *headers)
{
    for (struct curl_slist *h = headers; h; h = h->next)
        explicit_bzero(h->data, strlen(h->data));
    curl_slist_free_all(headers);
}

/* ---- one call ------------------------------------------------------------------------------- */

static void call_free(struct kube_call *c)
{
    timer_cancel(&c->deadline);
    if (c->easy) {
        multi_remove(c->api->multi, c->easy);
        curl_easy_cleanup(c->easy);
    }
    wipe_headers(c->headers);
    curl_slist_free_all(c->connect_to);
    if (c->sent.p)
        explicit_bzero(c->sent.p, c->sent.cap);
    buf_free(&c->sent);
    buf_free(&c->body);
    free(c);
}

/* TLS was not agreed on: other certificates may help */
static bool is_handshake(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_SSL_ISSUER_ERROR;
}

static const char too_long[] = "it takes too long";

/* What libcurl says in detail holds milliseconds, ports and library calls; an error that stays the
 * same should read the same.  About certificates, names and such the details are what helps. */
static const char *words_of(const struct kube_call *c, CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        return "cannot connect";
    case CURLE_OPERATION_TIMEDOUT:
        return too_long;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return "the connection broke";
    case CURLE_SSL_CONNECT_ERROR:
        if (strstr(c->error, "SYSCALL"))
            return "the connection broke in the TLS handshake";
        return c->error[0] ? c->error : curl_easy_strerror(code);
    default:
        return c->error[0] ? c->error : curl_easy_strerror(code);
    }
}

static void call_end(struct kube_call *c, const struct kube_answer *answer)
{
    void (*done)(const struct kube_answer *, void *) = c->spec.done;
    TAILQ_REMOVE(&c->api->open, c, link);
    if (answer->status == 401 || answer->handshake)
        c->api->stale = true;
    done(answer, c->spec.arg);
    call_free(c);
}

static void on_done(struct multi_call *call, CURLcode code)
{
    struct kube_call *c = (struct kube_call *)call;
    struct kube_answer answer = {.error = "", .retry_after = c->retry_after};
    long status = 0;
    if (code == CURLE_OK)
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    answer.status = (unsigned)status;
    answer.body = buf_slice(&c->body);
    answer.handshake = is_handshake(code);
    if (c->enough)
        answer.error = "enough";
    else if (answer.status == 0)
        answer.error = words_of(c, code);
    call_end(c, &answer);
}

static void heard(struct kube_api *a)
{
    a->heard_ms = loop_now_ms(a->loop);
}

static bool is_good(const struct kube_call *c)
{
    long status = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    return status == 200 || (status == 201 && c->method);
}

static size_t take_body(char *p, size_t size, size_t n, void *user)
{
    struct kube_call *c = user;
    n *= size;
    heard(c->api);
    c->api->received += n;
    if (c->spec.data && is_good(c)) {
        c->enough = c->spec.data(slice_of(p, n), c->spec.arg) < 0;
        return c->enough ? CURL_WRITEFUNC_ERROR : n;
    }
    size_t room = ERROR_BODY_MAX - c->body.len;
    buf_append(&c->body, p, n < room ? n : room);
    return n;
}

/* the head is complete */
static void head_end(struct kube_call *c)
{
    if (c->spec.begun && is_good(c))
        c->spec.begun(c->spec.arg);
}

/* The value of a header line of that name (with its colon), without what surrounds it; .p NULL: it
 * is another line. */
static struct slice header_value(struct slice line, const char *name)
{
    size_t n = strlen(name);

    if (line.n <= n || strncasecmp(line.p, name, n) != 0)
        return slice_of(NULL, 0);
    struct slice text = slice_of(line.p + n, line.n - n);
    return slice_trim(slice_cut(&text, '\r'));
}

/* Date has seconds, and an answer may have been on its way for some. */
static void look_at_clock(struct kube_api *a, struct slice date)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%.*s", SLICE_FMT(date));
    time_t theirs = n < (int)sizeof text ? curl_getdate(text, NULL) : -1;
    if (theirs < 0)
        return;
    long long ahead = (long long)(clock_wall_ms() / 1000) - (long long)theirs;
    bool was = a->clock[0], wrong = llabs(ahead) >= KUBE_API_SKEW_S;
    if (wrong)
        snprintf(a->clock, sizeof a->clock,
                 "this machine's clock is %lld s %s the API server's: set both by NTP, "
                 "certificates and tokens go by the clock",
                 llabs(ahead), ahead > 0 ? "ahead of" : "behind");
    else
        a->clock[0] = '\0';
    if (wrong && !was)
        log_warn("kube", "%s", a->clock);
    else if (was && !wrong)
        log_info("kube", "this machine's clock and the API server's agree again");
}

/* Retry-After in seconds; API servers give no dates there */
static size_t take_header(char *p, size_t size, size_t n, void *user)
{
    struct kube_call *c = user;
    struct slice value;
    unsigned long long s;
    n *= size;
    heard(c->api);
    if (n == 2 && p[0] == '\r')
        head_end(c);
    value = header_value(slice_of(p, n), "retry-after:");
    if (value.p && slice_u64(value, 1u << 20, &s) == 0)
        c->retry_after = s * 1000;
    value = header_value(slice_of(p, n), "date:");
    if (value.p)
        look_at_clock(c->api, value);
    return n;
}

/* Unacknowledged bytes are noticed by TCP_USER_TIMEOUT, a silent network by keep-alive probes. */
static int set_socket(void *user, curl_socket_t fd, curlsocktype purpose)
{
    unsigned ms = USER_TIMEOUT_MS;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    return CURL_SOCKOPT_OK;
}

/* Not copied by libcurl: it lives as long as the handle. */
static void set_body(struct kube_call *c)
{
    if (!c->method)
        return;
    curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, c->method);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->sent.p ? c->sent.p : "");
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->sent.len);
}

static void set_options(struct kube_call *c)
{
    const struct kube_access *a = &c->api->access;
    CURL *h = c->easy;
    c->connect_to = kube_curl_server(h, a, c->spec.path);
    curl_easy_setopt(h, CURLOPT_PRIVATE, &c->multi);
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* Better wait for the connection than open a second one; but whether one without TLS can be
     * shared shows in its first answer only, and that of a watch may take its time. */
    curl_easy_setopt(h, CURLOPT_PIPEWAIT, (long)(strncasecmp(a->server, "https:", 6) == 0));
    if (c->spec.stall_ms) {
        curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, (long)(c->spec.stall_ms / 1000));
    }
    curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPIDLE, (long)KEEPIDLE_S);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPINTVL, (long)KEEPINTVL_S);
    curl_easy_setopt(h, CURLOPT_SOCKOPTFUNCTION, set_socket);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(h, CURLOPT_USERAGENT, c->api->agent);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, c->headers);
    set_body(c);
}

/* ---- calls that end without libcurl ---------------------------------------------------------- */

static void fail(struct kube_call *c, const char *verdict)
{
    c->verdict = verdict;
    if (c->easy) {
        multi_remove(c->api->multi, c->easy);
        curl_easy_cleanup(c->easy);
        c->easy = NULL;
    }
    timer_cancel(&c->deadline);
    TAILQ_REMOVE(&c->api->open, c, link);
    TAILQ_INSERT_TAIL(&c->api->failed, c, link);
    loop_defer(c->api->loop, &c->api->job);
}

static void on_deadline(void *arg)
{
    struct kube_call *c = arg;
    c->error[0] = '\0';
    fail(c, too_long);
}

static void finish_failed(struct loop_job *job)
{
    struct kube_api *a = (struct kube_api *)((char *)job - offsetof(struct kube_api, job));
    struct kube_call *c;
    while ((c = TAILQ_FIRST(&a->failed)) != NULL) {
        TAILQ_REMOVE(&a->failed, c, link);
        TAILQ_INSERT_TAIL(&a->open, c, link);
        call_end(c, &(struct kube_answer){.error = c->error[0] ? c->error : c->verdict});
    }
}

/* ---- does it still live? --------------------------------------------------------------------- */

/* Closes the connection, and with it every call. */
static void give_up_peer(struct kube_api *a)
{
    struct err e = {""};
    log_warn("kube", "the API server does not answer any more, connecting anew server=%s",
             a->access.server);
    heard(a);
    while (!TAILQ_EMPTY(&a->open))
        fail(TAILQ_FIRST(&a->open), "no answer any more");
    struct multi *now = multi_new(a->loop, &e);
    if (!now)
        return;
    multi_free(a->multi);
    a->multi = now;
}

static void give_up_later(void *arg)
{
    give_up_peer(arg);
}

static void on_ping(const struct kube_answer *answer, void *arg)
{
    struct kube_api *a = arg;
    a->ping = NULL;
    bool silent = loop_now_ms(a->loop) - a->heard_ms >= KUBE_API_QUIET_MS;
    /* not from inside libcurl's own doing */
    if (answer->status == 0 && silent && !TAILQ_EMPTY(&a->open)) {
        timer_cancel(&a->timer);
        a->timer.fn = give_up_later;
        timer_set(&a->timer, 0);
    }
}

static void look(void *arg)
{
    struct kube_api *a = arg;
    uint64_t silent = loop_now_ms(a->loop) - a->heard_ms;
    if (TAILQ_EMPTY(&a->open))
        return;
    if (silent < KUBE_API_QUIET_MS) {
        timer_set(&a->timer, KUBE_API_QUIET_MS - silent);
        return;
    }
    timer_set(&a->timer, KUBE_API_QUIET_MS);
    if (!a->ping)
        a->ping = kube_api_get(
            a, &(struct kube_call_spec){
                   .path = "/version", .timeout_ms = KUBE_API_PING_MS, .done = on_ping, .arg = a});
}

static void watch_peer(struct kube_api *a)
{
    if (timer_is_set(&a->timer))
        return;
    heard(a);
    a->timer.fn = look;
    timer_set(&a->timer, KUBE_API_QUIET_MS);
}

/* ---- the interface -------------------------------------------------------------------------- */

static struct kube_call *call_new(struct kube_api *a, const struct kube_call_spec *spec)
{
    struct kube_call *c = xcalloc(1, sizeof *c);
    c->api = a;
    c->multi.done = on_done;
    c->spec = *spec;
    timer_init(&c->deadline, a->loop, on_deadline, c);
    c->headers = curl_slist_append(NULL, "Accept: application/json");
    return c;
}

static struct kube_call *begin(struct kube_call *c)
{
    struct kube_api *a = c->api;
    struct err e = {""};
    TAILQ_INSERT_TAIL(&a->open, c, link);
    if (a->stale)
        reload(a);
    watch_peer(a);
    if (add_token(c, &e) < 0) {
        snprintf(c->error, sizeof c->error, "%.*s", (int)sizeof c->error - 1, e.text);
        fail(c, "the token cannot be read");
        return c;
    }
    c->easy = curl_easy_init();
    set_options(c);
    c->spec.path = NULL;
    if (c->spec.timeout_ms)
        timer_set(&c->deadline, c->spec.timeout_ms);
    multi_add(a->multi, c->easy);
    return c;
}

struct kube_call *kube_api_get(struct kube_api *a, const struct kube_call_spec *spec)
{
    return begin(call_new(a, spec));
}

struct kube_call *kube_api_send(struct kube_api *a, enum kube_change how, struct slice body,
                                const struct kube_call_spec *spec)
{
    static const char *const types[] = {
        [KUBE_CREATE] = "Content-Type: application/json",
        [KUBE_MERGE] = "Content-Type: application/merge-patch+json",
        [KUBE_APPLY] = "Content-Type: application/apply-patch+yaml", /* JSON is YAML */
        [KUBE_DELETE] = "Content-Type: application/json",
    };
    struct kube_call *c = call_new(a, spec);
    c->method = how == KUBE_CREATE ? "POST" : how == KUBE_DELETE ? "DELETE" : "PATCH";
    buf_put_slice(&c->sent, body);
    c->headers = curl_slist_append(c->headers, types[how]);
    c->headers = curl_slist_append(c->headers, "Expect:"); /* nothing to wait for before the body */
    return begin(c);
}

void kube_call_cancel(struct kube_call *c)
{
    if (!c)
        return;
    TAILQ_REMOVE(c->verdict ? &c->api->failed : &c->api->open, c, link);
    call_free(c);
}

struct kube_api *kube_api_new(struct loop *l, const struct kube_access_from *from,
                              const char *agent, struct err *e)
{
    struct kube_api *a = xcalloc(1, sizeof *a);
    a->loop = l;
    a->from = *from;
    TAILQ_INIT(&a->open);
    TAILQ_INIT(&a->failed);
    a->job.fn = finish_failed;
    timer_init(&a->timer, l, look, a);
    if (kube_access_load(from, &a->access, e) < 0 || !(a->multi = multi_new(l, e))) {
        kube_access_clear(&a->access);
        free(a);
        return NULL;
    }
    a->agent = xasprintf("%s/%s", agent, fsm_version);
    warn_insecure(&a->access);
    log_info("kube", "resources come from the API server server=%s access=\"%s\"", a->access.server,
             a->access.told);
    return a;
}

void kube_api_free(struct kube_api *a)
{
    if (!a)
        return;
    kube_call_cancel(a->ping);
    timer_cancel(&a->timer);
    loop_undefer(a->loop, &a->job);
    multi_free(a->multi);
    kube_access_clear(&a->access);
    free(a->agent);
    free(a);
}
