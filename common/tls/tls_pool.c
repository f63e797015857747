/* tls_pool.c - see tls_pool.h.
 *
 * Threads start when there is work for them and nobody idle, so that a process without full
 * handshakes has none.  A result is told with the lock held: who holds it afterwards knows that the
 * pool is done with the step, and with the loop that was told.
 */
#include "common/tls/tls_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define THREADS_MAX 4
#define QUEUE_MAX   128          /* steps; some ms each: what comes then is better done at once */
#define STACK_SIZE  (256 * 1024) /* bytes; verifying a chain takes a tenth of it */

struct tls_pool {
    pthread_mutex_t mu;
    pthread_cond_t work, done;
    TAILQ_HEAD(, tls_step) queue;
    unsigned queued, idle, started, max;
    bool stop, failed;
    pthread_t threads[THREADS_MAX];
};

static unsigned cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

struct tls_pool *tls_pool_new(void)
{
    struct tls_pool *p = xcalloc(1, sizeof(*p));
    unsigned n = cpus();

    pthread_mutex_init(&p->mu, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    TAILQ_INIT(&p->queue);
    p->max = n < THREADS_MAX ? n : THREADS_MAX;
    return p;
}

void tls_pool_free(struct tls_pool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->mu);
    BUG_ON(p->queued > 0);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mu);
    for (unsigned i = 0; i < p->started; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->mu);
    free(p);
}

/* with the lock, but not while the step runs */
static void run_first(struct tls_pool *p)
{
    struct tls_step *s = TAILQ_FIRST(&p->queue);

    TAILQ_REMOVE(&p->queue, s, link);
    p->queued--;
    s->state = STEP_RUNNING;
    pthread_mutex_unlock(&p->mu);
    s->run(s);
    pthread_mutex_lock(&p->mu);
    s->state = STEP_DONE;
    pthread_cond_broadcast(&p->done);
    loop_tell(s->loop, &s->note);
}

static void *thread_main(void *arg)
{
    struct tls_pool *p = arg;

    pthread_mutex_lock(&p->mu);
    while (!p->stop) {
        if (p->queued > 0) {
            run_first(p);
            continue;
        }
        p->idle++;
        pthread_cond_wait(&p->work, &p->mu);
        p->idle--;
    }
    pthread_mutex_unlock(&p->mu);
    return NULL;
}

/* with the lock */
static void start_thread(struct tls_pool *p)
{
    sigset_t all, old;
    pthread_attr_t attr;
    int rc;

    sigfillset(&all); /* signals are the control thread's */
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    rc = pthread_create(&p->threads[p->started], &attr, thread_main, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (rc == 0) {
        pthread_setname_np(p->threads[p->started], "handshake");
        p->started++;
    } else if (!p->failed) {
        p->failed = true;
        log_warn("tls", "no thread for handshakes, going on without: %s", strerror(rc));
    }
}

bool pool_give(struct tls_pool *p, struct tls_step *s)
{
    bool taken;

    pthread_mutex_lock(&p->mu);
    BUG_ON(s->state != STEP_HOME);
    if (p->idle <= p->queued && p->started < p->max && !p->failed)
        start_thread(p);
    taken = p->started > 0 && p->queued < QUEUE_MAX;
    if (taken) {
        s->state = STEP_QUEUED;
        TAILQ_INSERT_TAIL(&p->queue, s, link);
        p->queued++;
        pthread_cond_signal(&p->work);
    }
    pthread_mutex_unlock(&p->mu);
    return taken;
}

void pool_took_back(struct tls_pool *p, struct tls_step *s)
{
    pthread_mutex_lock(&p->mu);
    BUG_ON(s->state != STEP_DONE);
    s->state = STEP_HOME;
    pthread_mutex_unlock(&p->mu);
}

void pool_cancel(struct tls_pool *p, struct tls_step *s)
{
    pthread_mutex_lock(&p->mu);
    if (s->state == STEP_QUEUED) {
        TAILQ_REMOVE(&p->queue, s, link);
        p->queued--;
        s->state = STEP_HOME;
    }
    while (s->state == STEP_RUNNING)
        pthread_cond_wait(&p->done, &p->mu);
    if (s->state == STEP_DONE)
        loop_untell(s->loop, &s->note);
    s->state = STEP_HOME;
    pthread_mutex_unlock(&p->mu);
}
