/* tls_pool.h - threads for the steps of handshakes that would stall a loop; private to common/tls
 * but for tls_pool_new and tls_pool_free, which tls.h declares.
 *
 *   pool_give(p, &step)      the step is the pool's now; false: it has enough, do it yourself
 *   step->run(step)          on a thread of the pool
 *   step->note.fn            on the loop's thread: first pool_took_back(), then go on
 *   pool_cancel(p, &step)    the loop's thread, at any time: takes it out of the queue, or waits
 *                            for the end of run; note.fn is not called any more
 *
 * While a step is the pool's nobody else touches what it works on.
 */
#ifndef FSM_TLS_POOL_H
#define FSM_TLS_POOL_H

#include <stdbool.h>
#include <sys/queue.h>
#include "common/io/loop.h"
#include "common/tls/tls.h"

enum step_state { STEP_HOME, STEP_QUEUED, STEP_RUNNING, STEP_DONE };

/* embed it, zeroed but for the first three */
struct tls_step {
    void (*run)(struct tls_step *s);
    struct loop *loop; /* borrowed: who is told */
    struct loop_note note;
    TAILQ_ENTRY(tls_step) link;
    enum step_state state; /* the pool's lock holds it */
};

bool pool_give(struct tls_pool *p, struct tls_step *s);
void pool_took_back(struct tls_pool *p, struct tls_step *s);
void pool_cancel(struct tls_pool *p, struct tls_step *s);

#endif
