/* proc.h - child processes of the daemon: started without blocking, collected in one place.
 *
 * SIGCHLD is one signal for all children; procs_init takes it.  One thread.
 */
#ifndef FSM_CLI_LOCAL_PROC_H
#define FSM_CLI_LOCAL_PROC_H

#include <stdbool.h>
#include <sys/types.h>
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/io/loop.h"

struct procs;
struct proc;

struct proc_spec {
    const char *const *argv;
    const char *const *env;             /* NULL = the daemon's own */
    int stdin_fd, stdout_fd, stderr_fd; /* borrowed; -1 = /dev/null */
    const int *fds;                     /* borrowed: become 3, 4, ... in the child */
    unsigned n_fds;
    int netns;            /* network namespace to start in; -1 = ours */
    unsigned clone_flags; /* CLONE_NEWPID or 0 */
    bool own_session;     /* setsid: a signal to the daemon's terminal does not reach it */
};
#define PROC_SPEC_INIT                                                                             \
    {                                                                                              \
        .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1, .netns = -1                              \
    }

/* status: as of waitpid */
typedef void proc_exit_cb(struct proc *p, int status, void *arg);

struct procs *procs_new(struct loop *l, struct err *e);
void procs_free(struct procs *ps);
/* NULL and e; the callback comes once, from the loop, unless proc_forget is called before */
struct proc *proc_spawn(struct procs *ps, const struct proc_spec *spec, proc_exit_cb *cb, void *arg,
                        struct err *e);
pid_t proc_pid(const struct proc *p);
void proc_kill(const struct proc *p, int sig);
/* it goes on (or not), and nobody is told; p must not be used any more */
void proc_forget(struct proc *p);

/* Runs a short command to its end; input may be NULL; both outputs are appended to out (may be
 * NULL).  -1 and e (with the end of what it printed) unless it exits with 0. */
int proc_run(const char *const *argv, const char *input, int netns, struct buf *out, struct err *e);

#endif
