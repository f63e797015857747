/* fetch.c - requests by libcurl; see fetch.h. */
#include "cli/local/fetch.h"

#include <curl/curl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/io/multi.h"

struct fetcher {
    struct multi *multi;
};

struct fetch {
    struct multi_call call; /* first: CURLOPT_PRIVATE */
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
    multi_remove(ft->owner->multi, ft->easy);
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

static void finish(struct multi_call *call, CURLcode code)
{
    struct fetch *ft = (struct fetch *)call;
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

struct fetcher *fetcher_new(struct loop *l, struct err *e)
{
    struct multi *m = multi_new(l, e);
    struct fetcher *f = m ? xcalloc(1, sizeof(*f)) : NULL;

    if (f)
        f->multi = m;
    return f;
}

void fetcher_free(struct fetcher *f)
{
    if (!f)
        return;
    multi_free(f->multi);
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
    curl_easy_setopt(c, CURLOPT_PRIVATE, &ft->call);
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

    ft->call.done = finish;
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
    multi_add(f->multi, ft->easy);
    return ft;
}
