/* container.c - one container of a pod: started through the shim, watched, stopped. */
#include "cli/local/pod.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cli/local/probe.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/utf8.h"

#define EXIT_NO_START 128 /* exit code of a container whose command could not be started */
#define SHIM_FAILED   125

void container_set_reason(struct container *c, const char *reason, const char *message)
{
    free(c->reason);
    free(c->message);
    c->reason = reason ? xstrdup(reason) : NULL;
    c->message = message && *message ? utf8_clean(message) : NULL;
}

bool container_is_active(const struct container *c)
{
    return c->state == CTR_STARTING || c->state == CTR_RUNNING;
}

static void backoff_over(void *arg)
{
    pod_wake(((struct container *)arg)->pod);
}

static void kill_now(void *arg)
{
    struct container *c = arg;

    if (c->proc)
        proc_kill(c->proc, SIGKILL);
}

void container_init(struct container *c, struct pod *p, const json_t *spec, enum ctr_kind kind)
{
    *c = (struct container){.pod = p, .spec = spec, .kind = kind, .status_fd = -1};
    c->name = json_str(spec, "name", "");
    c->exit_code = -1;
    timer_init(&c->backoff, p->l->loop, backoff_over, c);
    timer_init(&c->kill, p->l->loop, kill_now, c);
    container_set_reason(c, kind == CTR_MAIN ? "ContainerCreating" : "PodInitializing", NULL);
}

static void close_status(struct container *c)
{
    if (c->status_ev)
        event_free(c->status_ev);
    if (c->status_fd >= 0)
        close(c->status_fd);
    c->status_ev = NULL;
    c->status_fd = -1;
    c->line_len = 0;
}

void container_clear(struct container *c)
{
    probes_stop(c);
    hook_cancel(c);
    timer_cancel(&c->backoff);
    timer_cancel(&c->kill);
    if (c->proc)
        proc_forget(c->proc);
    c->proc = NULL;
    close_status(c);
    json_decref(c->last);
    c->last = NULL;
    container_set_reason(c, NULL, NULL);
}

/* ---- what the shim says ---------------------------------------------------------------------- */

static void started(struct container *c)
{
    c->state = CTR_RUNNING;
    c->started_ms = clock_wall_ms();
    container_set_reason(c, NULL, NULL);
    log_debug("pod", "container started pod=%s/%s container=%s", c->pod->ns, c->pod->name, c->name);
    probes_start(c);
    pod_wake(c->pod);
}

static void shim_line(struct container *c, const char *line)
{
    if (strcmp(line, "started") == 0 && c->state == CTR_STARTING) {
        started(c);
    } else if (strncmp(line, "failed ", 7) == 0) {
        c->never_ran = true;
        container_set_reason(c, "StartError", line + 7);
    }
}

/* false at the end */
static bool read_status(struct container *c)
{
    ssize_t n = read(c->status_fd, c->line + c->line_len, sizeof(c->line) - 1 - c->line_len);
    char *nl;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (n <= 0)
        return false;
    c->line_len += (size_t)n;
    while ((nl = memchr(c->line, '\n', c->line_len)) != NULL) {
        *nl = '\0';
        shim_line(c, c->line);
        size_t used = (size_t)(nl + 1 - c->line);
        memmove(c->line, nl + 1, c->line_len -= used);
    }
    if (c->line_len == sizeof(c->line) - 1)
        c->line_len = 0;
    return true;
}

static void on_status(evutil_socket_t fd, short what, void *arg)
{
    struct container *c = arg;

    if (!read_status(c)) {
        /* its process ends now; the words end first */
        event_del(c->status_ev);
    }
}

/* ---- how it ends ----------------------------------------------------------------------------- */

static int exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void remove_rootfs(const struct container *c)
{
    char *dir = xasprintf("%s/rootfs/%s.%u", c->pod->dir, c->name, c->runs);
    struct err e;

    if (file_remove_tree(dir, &e))
        log_warn("pod", "%s", e.text);
    free(dir);
}

static void on_exit_status(struct proc *proc, int status, void *arg)
{
    struct container *c = arg;

    while (c->status_fd >= 0 && read_status(c))
        ;
    close_status(c);
    c->proc = NULL;
    timer_cancel(&c->kill);
    probes_stop(c);
    hook_cancel(c);
    remove_rootfs(c);
    c->ended_ms = clock_wall_ms();
    if (!c->started_ms)
        c->started_ms = c->ended_ms;
    c->exit_code = c->never_ran ? EXIT_NO_START : exit_code(status);
    if (!c->never_ran)
        container_set_reason(c, c->exit_code == 0 ? "Completed" : "Error", NULL);
    c->state = CTR_ENDED;
    c->stopping = c->stop_sent = false;
    if (c->never_ran)
        log_warn("pod", "container did not start pod=%s/%s container=%s: %s", c->pod->ns,
                 c->pod->name, c->name, c->message ? c->message : "");
    else
        log_debug("pod", "container ended pod=%s/%s container=%s exit=%d", c->pod->ns, c->pod->name,
                  c->name, c->exit_code);
    pod_wake(c->pod);
}

/* ---- starting -------------------------------------------------------------------------------- */

static int spec_file(const json_t *spec, struct err *e)
{
    int fd = memfd_create("fsm-local-spec", MFD_CLOEXEC);

    if (fd < 0)
        return err_errno(e, "memory file");
    if (json_dumpfd(spec, fd, JSON_COMPACT) || lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return err_set(e, "cannot write the container's specification");
    }
    return fd;
}

static int log_directory(const struct pod *p, struct err *e)
{
    if (file_mkdirs(p->log_dir, 0700, e))
        return -1;
    int fd = open(p->log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? err_errno(e, "%s", p->log_dir) : fd;
}

static int spawn(struct container *c, int spec_fd, int status_fd, int log_fd, struct err *e)
{
    const struct sandbox *sb = &c->pod->sb;
    char *shim = xasprintf("%s/fsm-local-shim", c->pod->l->in->bin_dir);
    char *label = xasprintf("%s/%s/%s", c->pod->ns, c->pod->name, c->name);
    const char *argv[] = {shim, "run", label, NULL};
    int fds[] = {spec_fd, status_fd, log_fd, sb->uts_fd, sb->ipc_fd, sb->net_fd};
    struct proc_spec ps = PROC_SPEC_INIT;

    ps.argv = argv;
    ps.fds = fds;
    ps.n_fds = sb->host ? 5 : 6;
    ps.clone_flags = CLONE_NEWPID;
    ps.own_session = true;
    c->proc = proc_spawn(c->pod->l->procs, &ps, on_exit_status, c, e);
    free(shim);
    free(label);
    return c->proc ? 0 : -1;
}

static int launch(struct container *c, const json_t *spec, struct err *e)
{
    int pipe_fds[2] = {-1, -1}, rc = -1;
    int spec_fd = spec_file(spec, e), log_fd = spec_fd < 0 ? -1 : log_directory(c->pod, e);

    if (spec_fd < 0 || log_fd < 0)
        goto out;
    if (pipe2(pipe_fds, O_CLOEXEC)) {
        err_errno(e, "pipe");
        goto out;
    }
    if (spawn(c, spec_fd, pipe_fds[1], log_fd, e))
        goto out;
    c->status_fd = pipe_fds[0];
    pipe_fds[0] = -1;
    evutil_make_socket_nonblocking(c->status_fd);
    c->status_ev =
        event_new(loop_base(c->pod->l->loop), c->status_fd, EV_READ | EV_PERSIST, on_status, c);
    event_add(c->status_ev, NULL);
    rc = 0;
out:
    for (int i = 0; i < 2; i++)
        if (pipe_fds[i] >= 0)
            close(pipe_fds[i]);
    if (spec_fd >= 0)
        close(spec_fd);
    if (log_fd >= 0)
        close(log_fd);
    return rc;
}

static void begin_run(struct container *c)
{
    c->runs++;
    c->never_ran = c->started = c->ready = c->stopping = c->stop_sent = false;
    c->started_ms = 0;
    c->state = CTR_STARTING;
    container_set_reason(c, "ContainerCreating", NULL);
}

void container_start(struct container *c)
{
    struct err e;

    begin_run(c);
    json_t *spec = spec_build(c, &e);
    if (spec) {
        json_object_set_new(spec, "join", json_integer(c->pod->sb.host ? 2 : 3));
        if (launch(c, spec, &e) == 0) {
            json_decref(spec);
            return;
        }
        json_decref(spec);
    }
    c->never_ran = true;
    c->state = CTR_ENDED;
    c->exit_code = EXIT_NO_START;
    c->ended_ms = c->started_ms = clock_wall_ms();
    container_set_reason(c, "CreateContainerConfigError", e.text);
    pod_wake(c->pod);
}

/* ---- stopping -------------------------------------------------------------------------------- */

static void send_term(struct container *c)
{
    if (c->proc && !c->stop_sent) {
        c->stop_sent = true;
        proc_kill(c->proc, SIGTERM);
    }
}

static void pre_stop_done(struct container *c, bool ok, const char *why)
{
    if (!ok)
        local_event(c->pod->l, c->pod->object, "Warning", "FailedPreStopHook", "container %s: %s",
                    c->name, why);
    send_term(c);
}

void container_stop(struct container *c, uint64_t grace_ms)
{
    if (!container_is_active(c)) {
        timer_cancel(&c->backoff);
        if (c->state == CTR_WAITING)
            c->state = CTR_ENDED;
        return;
    }
    if (grace_ms == 0 || c->state == CTR_STARTING) {
        c->stopping = true;
        kill_now(c);
        return;
    }
    if (timer_is_set(&c->kill) && c->kill.due_ms <= loop_now_ms(c->pod->l->loop) + grace_ms)
        return;
    timer_set(&c->kill, grace_ms);
    if (c->stopping)
        return;
    c->stopping = true;
    c->ready = false;
    probes_stop(c);
    if (!hook_start(c, "preStop", ms_unsigned(grace_ms), pre_stop_done))
        send_term(c);
}
