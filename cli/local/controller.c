/* controller.c - fsm-controller as a component of the instance; see controller.h. */
#include "cli/local/controller.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/local/component.h"
#include "cli/local/fetch.h"
#include "cli/local/presets.h"
#include "cli/local/probe.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define LISTEN_PORT 6060
#define ASK_MS      2000
#define ROOTS_MS    1000 /* how often the CA's files are looked at */

struct question {
    LIST_ENTRY(question) link;
    struct fetch *fetch;
    void (*ready)(bool up, void *arg);
    void (*answer)(const json_t *answer, void *arg);
    void *arg;
};

static LIST_HEAD(, question) questions = LIST_HEAD_INITIALIZER(questions);

static struct {
    struct local *l;
    struct timer timer;
    struct timespec changed[2]; /* of ca.crt and next.crt */
} roots;

/* ---- a new root reaches every namespace --------------------------------------------------------
 */

static struct timespec file_time(const struct local *l, const char *name)
{
    char *path = instance_path(l->in, name);
    struct stat st = {0};

    if (stat(path, &st))
        st.st_mtim = (struct timespec){0};
    free(path);
    return st.st_mtim;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static void watch_roots(void *arg)
{
    struct local *l = roots.l;
    struct timespec now[2] = {file_time(l, "ca/ca.crt"), file_time(l, "ca/next.crt")};

    if (!same_time(&now[0], &roots.changed[0]) || !same_time(&now[1], &roots.changed[1])) {
        roots.changed[0] = now[0];
        roots.changed[1] = now[1];
        presets_sync(l);
    }
    timer_set(&roots.timer, ROOTS_MS);
}

/* ---- running --------------------------------------------------------------------------------- */

int controller_open(struct local *l, struct err *e)
{
    char *bin = xasprintf("%s/fsm-controller", l->in->bin_dir);
    char *resources = instance_path(l->in, "resources"), *ca = instance_path(l->in, "ca");
    char *key = instance_path(l->in, "token.pub");
    char *admin = xasprintf("unix:%s/controller.sock", l->in->dir);
    char listen[IP_TEXT_MAX];
    struct ip_port at = {l->in->gw4, LISTEN_PORT};
    const char *argv[] = {bin,
                          "-f",
                          resources,
                          "--ca-dir",
                          ca,
                          "--token-key",
                          key,
                          "--listen",
                          ip_port_format(&at, listen),
                          "--admin",
                          admin,
                          "--mesh-name",
                          MESH_NAME,
                          "--fsm-namespace",
                          MESH_NAMESPACE,
                          "--trust-domain",
                          TRUST_DOMAIN,
                          NULL};
    int rc = -1;

    if (access(bin, X_OK))
        err_set(e, "%s is not there: build it with 'make', or use --without-controller", bin);
    else
        rc = component_add(l, "controller", argv, e) ? 0 : -1;
    roots.l = l;
    timer_init(&roots.timer, l->loop, watch_roots, NULL);
    if (rc == 0)
        watch_roots(NULL);
    free(bin);
    free(resources);
    free(ca);
    free(key);
    free(admin);
    return rc;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void on_answer(const struct fetch_result *r, void *arg)
{
    struct question *q = arg;
    json_t *j = NULL;

    LIST_REMOVE(q, link);
    if (q->ready) {
        q->ready(r->status == 200, q->arg);
    } else {
        if (r->status == 200)
            j = json_loadb(r->body->p ? r->body->p : "", r->body->len, 0, NULL);
        q->answer(j, q->arg);
        json_decref(j);
    }
    free(q);
}

static void ask(struct local *l, const char *path, struct question *q)
{
    char *sock = instance_path(l->in, "controller.sock");
    char *url = xasprintf("http://localhost%s", path);
    struct fetch_spec s = {.url = url, .unix_path = sock, .timeout_ms = ASK_MS};

    LIST_INSERT_HEAD(&questions, q, link);
    q->fetch = fetch_start(probes_fetcher(l), &s, on_answer, q);
    free(url);
    free(sock);
}

void controller_ask_ready(struct local *l, void (*cb)(bool up, void *arg), void *arg)
{
    struct question *q = xcalloc(1, sizeof(*q));

    q->ready = cb;
    q->arg = arg;
    ask(l, "/health/ready", q);
}

void controller_ask(struct local *l, const char *path, void (*cb)(const json_t *answer, void *arg),
                    void *arg)
{
    struct question *q = xcalloc(1, sizeof(*q));

    q->answer = cb;
    q->arg = arg;
    ask(l, path, q);
}

void controller_close(struct local *l)
{
    struct question *q;

    if (roots.l)
        timer_cancel(&roots.timer);
    while ((q = LIST_FIRST(&questions)) != NULL) {
        LIST_REMOVE(q, link);
        fetch_cancel(q->fetch);
        free(q);
    }
}
