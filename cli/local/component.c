/* component.c - the long-running helpers of an instance; see component.h. */
#include "cli/local/component.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define RESTART_FIRST_MS 100
#define RESTART_MAX_MS   5000
#define STABLE_MS        10000 /* a run this long makes the next end a first one */
#define LOG_CHECK_MS     30000
#define LOG_TAIL         400 /* bytes of last words */

struct component {
    TAILQ_ENTRY(component) link;
    struct local *l;
    char *name;
    char **argv;
    struct proc *proc;
    uint64_t started_ms, wait_ms;
    unsigned restarts;
    int last_status;
    struct timer timer;
};

struct components {
    struct local *l;
    TAILQ_HEAD(, component) list;
    struct timer logs;
};

static char *log_path(const struct local *l, const char *name)
{
    return xasprintf("%s/logs/%s.log", l->in->dir, name);
}

/* ---- logs are bounded ------------------------------------------------------------------------ */

/* The writer appends and keeps its descriptor: the file is copied aside and cut. */
static void bound_log(const struct local *l, const char *name)
{
    char *path = log_path(l, name), *old = xasprintf("%s.1", path);
    struct stat st;
    int from = open(path, O_RDWR | O_CLOEXEC);
    int to = -1;

    if (from >= 0 && fstat(from, &st) == 0 && st.st_size > (off_t)l->in->log_max)
        to = open(old, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to >= 0) {
        off_t at = st.st_size - (off_t)l->in->log_max;
        while (sendfile(to, from, &at, 1u << 20) > 0)
            ;
        if (ftruncate(from, 0))
            log_warn("component", "%s: %s", path, strerror(errno));
        close(to);
    }
    if (from >= 0)
        close(from);
    free(path);
    free(old);
}

static void on_logs(void *arg)
{
    struct components *cs = arg;
    struct component *c;

    bound_log(cs->l, "daemon");
    TAILQ_FOREACH (c, &cs->list, link)
        bound_log(cs->l, c->name);
    timer_set(&cs->logs, LOG_CHECK_MS);
}

char *component_last_words(const struct local *l, const char *name)
{
    char *path = log_path(l, name), text[LOG_TAIL + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    ssize_t n = -1;

    if (fd >= 0 && fstat(fd, &st) == 0)
        n = pread(fd, text, LOG_TAIL, st.st_size > LOG_TAIL ? st.st_size - LOG_TAIL : 0);
    if (fd >= 0)
        close(fd);
    free(path);
    text[n > 0 ? n : 0] = '\0';
    return xstrdup(text);
}

/* ---- running --------------------------------------------------------------------------------- */

static int start(struct component *c, struct err *e);

static void on_restart(void *arg)
{
    struct component *c = arg;
    struct err e;

    if (start(c, &e)) {
        log_error("component", "%s", e.text);
        timer_set(&c->timer, RESTART_MAX_MS);
    }
}

static void on_end(struct proc *p, int status, void *arg)
{
    struct component *c = arg;
    uint64_t ran = loop_now_ms(c->l->loop) - c->started_ms;

    c->proc = NULL;
    c->last_status = status;
    c->restarts++;
    if (ran > STABLE_MS)
        c->wait_ms = 0;
    log_error("component", "ended, is started again name=%s status=%#x ran_ms=%llu wait_ms=%llu",
              c->name, (unsigned)status, (unsigned long long)ran, (unsigned long long)c->wait_ms);
    timer_set(&c->timer, c->wait_ms);
    c->wait_ms = c->wait_ms == 0                   ? RESTART_FIRST_MS
                 : c->wait_ms * 2 > RESTART_MAX_MS ? RESTART_MAX_MS
                                                   : c->wait_ms * 2;
}

static int start(struct component *c, struct err *e)
{
    char *path = log_path(c->l, c->name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    struct proc_spec ps = PROC_SPEC_INIT;

    free(path);
    ps.argv = (const char *const *)c->argv;
    ps.stdout_fd = ps.stderr_fd = fd;
    ps.own_session = true;
    c->started_ms = loop_now_ms(c->l->loop);
    c->proc = proc_spawn(c->l->procs, &ps, on_end, c, e);
    if (fd >= 0)
        close(fd);
    return c->proc ? 0 : -1;
}

struct component *component_add(struct local *l, const char *name, const char *const *argv,
                                struct err *e)
{
    struct component *c = xcalloc(1, sizeof(*c));
    size_t n = 0;

    while (argv[n])
        n++;
    c->l = l;
    c->name = xstrdup(name);
    c->argv = xcalloc(n + 1, sizeof(*c->argv));
    for (size_t i = 0; i < n; i++)
        c->argv[i] = xstrdup(argv[i]);
    timer_init(&c->timer, l->loop, on_restart, c);
    TAILQ_INSERT_TAIL(&l->components->list, c, link);
    return start(c, e) ? NULL : c;
}

void component_signal(struct component *c, int sig)
{
    if (c->proc)
        proc_kill(c->proc, sig);
}

struct components *components_new(struct local *l)
{
    struct components *cs = xcalloc(1, sizeof(*cs));

    cs->l = l;
    TAILQ_INIT(&cs->list);
    timer_init(&cs->logs, l->loop, on_logs, cs);
    timer_set(&cs->logs, LOG_CHECK_MS);
    return cs;
}

static void component_free(struct component *c)
{
    if (c->proc) {
        proc_kill(c->proc, SIGTERM);
        proc_forget(c->proc);
    }
    timer_cancel(&c->timer);
    for (char **a = c->argv; *a; a++)
        free(*a);
    free(c->argv);
    free(c->name);
    free(c);
}

void components_free(struct components *cs)
{
    struct component *c;

    if (!cs)
        return;
    timer_cancel(&cs->logs);
    while ((c = TAILQ_FIRST(&cs->list)) != NULL) {
        TAILQ_REMOVE(&cs->list, c, link);
        component_free(c);
    }
    free(cs);
}

json_t *components_status(const struct local *l, bool *healthy)
{
    json_t *out = json_array();
    const struct component *c;
    uint64_t now = loop_now_ms(l->loop);

    json_array_append_new(out,
                          json_pack("{s:s, s:s, s:i, s:s, s:i}", "name", "daemon", "state",
                                    "running", "pid", (int)getpid(), "uptime", "", "restarts", 0));
    TAILQ_FOREACH (c, &l->components->list, link) {
        json_t *row = json_pack("{s:s, s:s, s:i}", "name", c->name, "state",
                                c->proc ? "running" : "restarting", "restarts", (int)c->restarts);
        if (c->proc) {
            char *up = xasprintf("%llus", (unsigned long long)(now - c->started_ms) / 1000);
            json_object_set_new(row, "pid", json_integer(proc_pid(c->proc)));
            json_object_set_new(row, "uptime", json_string(up));
            free(up);
        } else {
            *healthy = false;
        }
        json_array_append_new(out, row);
    }
    return out;
}
