/* multi.c - libcurl tells which sockets and which time it waits for; the loop tells it back. */
#include "common/io/multi.h"

#include <event2/event.h>
#include <stdlib.h>
#include "common/base/bug.h"
#include "common/base/mem.h"

struct multi {
    struct loop *loop;
    CURLM *curl;
    struct timer timer;
};

static void harvest(struct multi *m)
{
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(m->curl, &left)) != NULL) {
        struct multi_call *call = NULL;
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURLcode code = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &call);
        call->done(call, code);
    }
}

static void on_timer(void *arg)
{
    struct multi *m = arg;
    int running;

    curl_multi_socket_action(m->curl, CURL_SOCKET_TIMEOUT, 0, &running);
    harvest(m);
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct multi *m = arg;
    int running;
    int action = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);

    curl_multi_socket_action(m->curl, fd, action, &running);
    harvest(m);
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_data)
{
    struct multi *m = user;
    struct event *ev = socket_data;
    short events = (short)((what & CURL_POLL_IN ? EV_READ : 0) |
                           (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);

    if (ev)
        event_free(ev);
    ev = what == CURL_POLL_REMOVE ? NULL : event_new(loop_base(m->loop), fd, events, on_socket, m);
    if (ev)
        event_add(ev, NULL);
    curl_multi_assign(m->curl, fd, ev);
    return 0;
}

static int want_timer(CURLM *curl, long ms, void *user)
{
    struct multi *m = user;

    if (ms < 0)
        timer_cancel(&m->timer);
    else
        timer_set(&m->timer, (uint64_t)ms);
    return 0;
}

struct multi *multi_new(struct loop *l, struct err *e)
{
    struct multi *m = xcalloc(1, sizeof(*m));

    curl_global_init(CURL_GLOBAL_DEFAULT);
    m->loop = l;
    m->curl = curl_multi_init();
    if (!m->curl) {
        free(m);
        err_set(e, "libcurl cannot be started");
        return NULL;
    }
    timer_init(&m->timer, l, on_timer, m);
    curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, want_socket);
    curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m);
    curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, want_timer);
    curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m);
    return m;
}

void multi_free(struct multi *m)
{
    if (!m)
        return;
    curl_multi_cleanup(m->curl);
    timer_cancel(&m->timer);
    free(m);
}

void multi_add(struct multi *m, CURL *easy)
{
    BUG_ON(curl_multi_add_handle(m->curl, easy) != CURLM_OK);
}

void multi_remove(struct multi *m, CURL *easy)
{
    curl_multi_remove_handle(m->curl, easy);
}
