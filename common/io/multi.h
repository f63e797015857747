/* multi.h - libcurl's multi interface on the loop: what every user of libcurl here shares.
 *
 *   m = multi_new(loop, &e);
 *   call.done = on_done;  curl_easy_setopt(easy, CURLOPT_PRIVATE, &call);
 *   multi_add(m, easy);                            on_done(&call, code) comes once, later
 *
 * The easy handles are the caller's: it makes them, sets their callbacks and cleans them up, after
 * multi_remove().  One thread: the loop's.
 */
#ifndef FSM_IO_MULTI_H
#define FSM_IO_MULTI_H

#include <curl/curl.h>
#include "common/base/err.h"
#include "common/io/loop.h"

struct multi;

/* what CURLOPT_PRIVATE of an added handle points to; embed it */
struct multi_call {
    /* the transfer is over; may remove the handle, add others, but not free the multi */
    void (*done)(struct multi_call *call, CURLcode code);
};

struct multi *multi_new(struct loop *l, struct err *e);
/* closes its connections; all handles must be removed.  NULL is fine. */
void multi_free(struct multi *m);
void multi_add(struct multi *m, CURL *easy);
/* a transfer under way ends there; done is not called */
void multi_remove(struct multi *m, CURL *easy);

#endif
