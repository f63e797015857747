/* filter.h - one thing done to a request or its response.
 *
 * A filter is a struct of functions; a route holds an array of calls (filter + its configuration
 * for this route, made when the snapshot was built), so that a policy which is not used costs
 * nothing.  Calls run in array order for the request, in reverse for the response and the end.
 *
 *   FILTER_NEXT   go on
 *   FILTER_DONE   the filter has answered (stream_answer); nothing follows
 *   FILTER_WAIT   the filter calls stream_resume(s) later (a delay, a queue, another thread by id)
 *
 * A filter that changes the head does it by stream_set_header / stream_drop_header (stream.h).
 */
#ifndef FSM_PROXY_FILTER_H
#define FSM_PROXY_FILTER_H

#include "common/http/message.h"

struct stream;

enum filter_verdict { FILTER_NEXT, FILTER_DONE, FILTER_WAIT };

struct filter {
    const char *name;
    /* before the cluster is chosen; NULL = nothing to do */
    enum filter_verdict (*request)(struct stream *s, const void *conf);
    /* the final response head, before it is written; may change it, may not wait */
    void (*response)(struct stream *s, const void *conf, struct http_head *h);
    /* once, when the stream is over */
    void (*end)(struct stream *s, const void *conf);
};

struct filter_call {
    const struct filter *filter;
    const void *conf; /* borrowed: lives as long as the snapshot */
};
/* borrowed by routes */
struct filter_list {
    uint32_t n;
    const struct filter_call *calls;
};

#endif
