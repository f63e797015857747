/* fetch.c - libcurl's multi interface on our loop; see fetch.h. */
#include "cli/local/fetch.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/base/mem.h"
#include "common/base/slice.h"

struct fetcher {
    struct loop *loop;
    CURLM *multi;
    struct timer timer;
};

struct fetch {
    struct fetcher *owner;
    CURL *easy;
    struct curl_slist *headers;
    struct buf body, request;
    char error[CURL_ERROR_SIZE];
    int grpc_status;
    fetch_cb *cb;
    void *arg;
};

static void fetch_free(struct fetch *ft)
{
    curl_multi_remove_handle(ft->owner->multi, ft->easy);
    curl_easy_cleanup(ft->easy);
    curl_slist_free_all(ft->headers);
    buf_free(&ft->body);
    buf_free(&ft->request);
    free(ft);
}

void fetch_cancel(struct fetch *ft)
{
    if (ft)
        fetch_free(ft);
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static void finish(struct fetch *ft, CURLcode code)
{
    struct fetch_result r = {.body = &ft->body, .grpc_status = ft->grpc_status, .error = ""};
    long status = 0;

    curl_easy_getinfo(ft->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK)
        r.status = (unsigned)status;
    else
        r.error = ft->error[0] ? ft->error : curl_easy_strerror(code);
    ft->cb(&r, ft->arg);
    fetch_free(ft);
}

static void harvest(struct fetcher *f)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(f->multi, &left)) != NULL) {
        struct fetch *ft = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &ft);
        finish(ft, m->data.result);
    }
}

static void on_timer(void *arg)
{
    struct fetcher *f = arg;
    int running;

    curl_multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    harvest(f);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct fetcher *f = arg;
    int running,
        action = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);

    curl_multi_socket_action(f->multi, fd, action, &running);
    harvest(f);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_data)
{
    struct fetcher *f = user;
    struct event *ev = socket_data;
    short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) |
                           (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);

    if (ev)
        event_free(ev);
    ev = what == CURL_POLL_REMOVE ? NULL : event_new(loop_base(f->loop), fd, events, on_socket, f);
    if (ev)
        event_add(ev, NULL);
    curl_multi_assign(f->multi, fd, ev);
    return 0;
}

static int want_timer(CURLM *multi, long ms, void *user)
{
    struct fetcher *f = user;

    if (ms < 0)
        timer_cancel(&f->timer);
    else
        timer_set(&f->timer, (uint64_t)ms);
    return 0;
}

struct fetcher *fetcher_new(struct loop *l, struct err *e)
{
    struct fetcher *f = xcalloc(1, sizeof(*f));

    curl_global_init(CURL_GLOBAL_DEFAULT);
    f->loop = l;
    f->multi = curl_multi_init();
    if (!f->multi) {
        free(f);
        err_set(e, "libcurl cannot be started");
        return NULL;
    }
    timer_init(&f->timer, l, on_timer, f);
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
    return f;
}

void fetcher_free(struct fetcher *f)
{
    if (!f)
        return;
    curl_multi_cleanup(f->multi);
    timer_cancel(&f->timer);
    free(f);
}

/* ---- one request ----------------------------------------------------------------------------- */

static size_t take_body(char *p, size_t size, size_t n, void *user)
{
    struct fetch *ft = user;
    size_t room = FETCH_BODY_MAX - ft->body.len;

    buf_append(&ft->body, p, n * size < room ? n * size : room);
    return n * size;
}

/* headers and trailers */
static size_t take_header(char *p, size_t size, size_t n, void *user)
{
    static const char name[] = "grpc-status:";
    struct fetch *ft = user;

    n *= size;
    if (n > sizeof(name) && strncasecmp(p, name, sizeof(name) - 1) == 0) {
        struct slice text = slice_of(p + sizeof(name) - 1, n - sizeof(name) + 1);
        text = slice_trim(slice_cut(&text, '\r'));
        unsigned long long status;
        if (slice_u64(text, INT_MAX, &status) == 0)
            ft->grpc_status = (int)status;
    }
    return n;
}

static void set_body(struct fetch *ft, struct slice body)
{
    if (!body.p)
        return;
    buf_put_slice(&ft->request, body);
    curl_easy_setopt(ft->easy, CURLOPT_POSTFIELDSIZE, (long)ft->request.len);
    curl_easy_setopt(ft->easy, CURLOPT_POSTFIELDS, ft->request.p);
}

static void set_options(struct fetch *ft, const struct fetch_spec *s)
{
    CURL *c = ft->easy;

    curl_easy_setopt(c, CURLOPT_URL, s->url);
    curl_easy_setopt(c, CURLOPT_PRIVATE, ft);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)s->timeout_ms);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, ft->error);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, ft);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, ft);
    /* a probe asks whether the port answers, not who does (as kubelet) */
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
    /* each probe is a connection of its own: one that is open already proves little */
    curl_easy_setopt(c, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION,
                     s->http2 ? (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
                              : (long)CURL_HTTP_VERSION_1_1);
    if (s->unix_path)
        curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, s->unix_path);
}

struct fetch *fetch_start(struct fetcher *f, const struct fetch_spec *spec, fetch_cb *cb, void *arg)
{
    struct fetch *ft = xcalloc(1, sizeof(*ft));

    ft->owner = f;
    ft->cb = cb;
    ft->arg = arg;
    ft->grpc_status = -1;
    ft->easy = curl_easy_init();
    set_options(ft, spec);
    set_body(ft, spec->body);
    for (const char *const *h = spec->headers; h && *h; h++)
        ft->headers = curl_slist_append(ft->headers, *h);
    curl_easy_setopt(ft->easy, CURLOPT_HTTPHEADER, ft->headers);
    curl_multi_add_handle(f->multi, ft->easy);
    return ft;
}
