/* frame.h - messages between processes of one machine: 4-byte big-endian length, then one JSON
 * object, on a Unix stream socket.
 *
 * A frame above the bound, or one that is not a JSON object, breaks the connection.
 * Blocking calls are for CLIs; struct frame_conn is for daemons.
 */
#ifndef FSM_IO_FRAME_H
#define FSM_IO_FRAME_H

#include <jansson.h>
#include "common/base/err.h"
#include "common/io/loop.h"

#define FRAME_MAX (64u * 1024 * 1024) /* bytes of JSON in one frame */

/* blocking; timeout_ms < 0 = none.  returns owned; NULL and e on error, NULL and e->text[0]==0
 * at an orderly end */
json_t *frame_recv(int fd, int timeout_ms, struct err *e);
/* borrows msg */
int frame_send(int fd, const json_t *msg, int timeout_ms, struct err *e);
/* blocking connect; -1 and e that says which daemon should be listening there */
int frame_connect(const char *path, struct err *e);

struct frame_conn;
/* msg is borrowed; NULL when the peer is gone (err says why, "" for orderly): then call
 * frame_conn_free, which is legal inside the callback */
typedef void frame_cb(struct frame_conn *fc, json_t *msg, const char *err, void *arg);
/* takes fd */
struct frame_conn *frame_conn_new(struct loop *l, int fd, frame_cb *cb, void *arg, struct err *e);
/* Queues, and sends at the end of the turn; borrows msg.  -1 when more than FRAME_MAX bytes wait
 * already, msg is larger than that, or the peer is gone */
int frame_conn_send(struct frame_conn *fc, const json_t *msg);
/* takes fc: no more callbacks; closes and frees once everything queued was sent and the peer has
 * ended too, or after 10 s.  Instead of frame_conn_free, not before it. */
void frame_conn_finish(struct frame_conn *fc);
void frame_conn_free(struct frame_conn *fc);

#endif
