/* shim.h - fsm-local-shim: what stands between fsm local's daemon and one container.
 *
 * The daemon starts one shim per container run, already in a new PID namespace, with
 *
 *   fd 3  the specification: one JSON object, then end of file
 *   fd 4  the way back: lines "started", "exit N", "failed TEXT" (write end of a pipe)
 *   fd 5  the directory that takes the container's log
 *   fd 6+ the pod's namespaces to join, in the order of the specification's "join"
 *
 * As PID 1 of its namespace the shim joins the pod, builds the container's file system, starts
 * the container's command, forwards signals to it, collects every orphan, writes stdout and
 * stderr to the log, and tells how the command ended.  Everything in the PID namespace dies with
 * it.  It needs the daemon for none of this: a container outlives a crashed daemon and its log
 * goes on.
 *
 * `fsm-local-shim exec [WORD...]` (fd 3 only) runs one more command inside a running container: the
 * specification's, or the words.
 *
 * A process of its own and not a role of fsm: it stays as long as the container, so it should be
 * small, and it shares a PID namespace with foreign code, so it should hold no secret.
 */
#ifndef FSM_CLI_LOCAL_SHIM_H
#define FSM_CLI_LOCAL_SHIM_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "common/base/err.h"

#define SHIM_FD_SPEC   3
#define SHIM_FD_STATUS 4
#define SHIM_FD_LOG    5
#define SHIM_FD_JOIN   6

struct shim_mount {
    char *source; /* absolute path on the machine, or "tmpfs" */
    char *sub;    /* what of source: a path that never leads out of it; "" = all of it */
    char *target; /* absolute path inside the container */
    bool readonly;
    bool replace_link; /* a symbolic link at target is replaced by an empty file first */
    char *options;     /* of a tmpfs: "size=64m,mode=0755"; else NULL */
    int fd;            /* source, opened before the root changes; -1 */
};

struct shim_spec {
    json_t *doc; /* owned; the strings below are its */
    char **argv, **env;
    const char *cwd;
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t n_groups;
    uint64_t caps; /* bounding set, and effective for uid 0 */
    bool no_new_privs;
    bool tty;        /* exec: on a terminal of the container's own */
    bool privileged; /* writable /proc/sys, the machine's /dev */
    bool readonly_root;
    const char *rootfs; /* directory with upper/, work/ and merged/, private to this run */
    const char *log_name;
    uint64_t log_max; /* bytes of one log file; two are kept */
    struct shim_mount *mounts;
    size_t n_mounts;
    size_t n_join; /* namespace descriptors from SHIM_FD_JOIN on */
    pid_t target;  /* exec: PID 1 of the container, as the caller sees it */
};

/* spec.c: reads all of fd.  words: the command, borrowed, where it is not in there; ends with NULL,
 * may be empty.  -1 and e if it is not a specification */
int spec_read(struct shim_spec *s, int fd, char **words, struct err *e);

/* rootfs.c: makes the container's file system the process's root.  In a mount namespace of its
 * own already. */
int rootfs_enter(struct shim_spec *s, struct err *e);

/* identity.c: user, groups, capabilities, no_new_privs; the last thing before exec */
int identity_take(const struct shim_spec *s, struct err *e);
/* then becomes the command; returns only on failure */
int identity_exec(const struct shim_spec *s, struct err *e);

/* pump.c: lines of a container's output into its log */
struct pump {
    int dir_fd, log_fd;
    const char *name;
    uint64_t size, max;
    struct pump_stream {
        int fd;          /* read end; -1 once closed */
        const char *tag; /* "stdout" */
        char line[16384];
        size_t used;
    } streams[2];
};
int pump_open(struct pump *p, int dir_fd, const char *name, uint64_t max, struct err *e);
/* reads what is there; closes the stream at its end */
void pump_read(struct pump *p, unsigned stream);
/* what is still in the pipes and buffers, without waiting */
void pump_finish(struct pump *p);

/* init.c: PID 1.  Returns the process's exit status */
int init_run(struct shim_spec *s);
/* exec.c */
int exec_run(struct shim_spec *s);

#endif
