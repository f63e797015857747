/* cleanup.c - everything an instance made goes; see cleanup.h. */
#include "cli/local/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "cli/local/firewall.h"
#include "cli/local/network.h"
#include "cli/local/proc.h"
#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/slice.h"

#define KILL_ROUNDS 500 /* of 10 ms: what does not die in 5 s hangs in the kernel */
#define ENVIRON_MAX (1u << 20)

/* ---- processes ------------------------------------------------------------------------------- */

/* NAME=VALUE stands in the environment the process was started with */
static bool has_mark(pid_t pid, const char *mark)
{
    char path[64];
    struct buf text = BUF_INIT;
    struct err e;
    bool found = false;
    size_t n = strlen(mark);

    snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
    if (file_read(path, ENVIRON_MAX, &text, &e) == 0)
        for (const char *p = text.p, *end = text.p + text.len; !found && p && p + n < end;) {
            found = memcmp(p, mark, n + 1) == 0;
            p = memchr(p, '\0', (size_t)(end - p));
            p = p ? p + 1 : NULL;
        }
    buf_free(&text);
    return found;
}

/* 0 = the line is no process id */
static pid_t pid_of(struct slice text)
{
    unsigned long long n;

    return slice_u64(slice_cut(&text, '\n'), INT_MAX, &n) == 0 ? (pid_t)n : 0;
}

/* sig 0 only counts */
static unsigned signal_marked(const char *mark, int sig)
{
    DIR *d = opendir("/proc");
    struct dirent *de;
    unsigned n = 0;

    while (d && (de = readdir(d)) != NULL) {
        pid_t pid = pid_of(slice_str(de->d_name));
        if (pid <= 1 || pid == getpid() || !has_mark(pid, mark))
            continue;
        kill(pid, sig);
        n++;
    }
    if (d)
        closedir(d);
    return n;
}

static char *mark_of(const struct instance *in)
{
    return xasprintf(INSTANCE_MARK "=%s", in->name);
}

unsigned cleanup_count_processes(const struct instance *in)
{
    char *mark = mark_of(in);
    unsigned n = signal_marked(mark, 0);

    free(mark);
    return n;
}

pid_t cleanup_daemon_pid(const struct instance *in)
{
    char *path = instance_path(in, "pid"), *mark = mark_of(in);
    struct buf text = BUF_INIT;
    struct err e;
    pid_t pid = 0;

    if (file_read(path, 64, &text, &e) == 0)
        pid = pid_of(slice_of(text.p, text.len));
    if (pid <= 1 || !has_mark(pid, mark))
        pid = 0;
    buf_free(&text);
    free(path);
    free(mark);
    return pid;
}

/* The daemon first, or it would restart what we end; a container's processes all die with its
 * first one, which carries the mark. */
static int kill_processes(const struct instance *in, struct err *e)
{
    char *mark = mark_of(in);
    pid_t pid = cleanup_daemon_pid(in);
    unsigned left = 1;

    if (pid)
        kill(pid, SIGKILL);
    for (int i = 0; left && i < KILL_ROUNDS; i++) {
        left = signal_marked(mark, SIGKILL);
        if (left)
            nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    free(mark);
    return left ? err_set(e, "%u processes of the instance do not end", left) : 0;
}

int cleanup_other_netns(const struct instance *in)
{
    char *mark = mark_of(in), path[64];
    struct stat mine, theirs;
    DIR *d = opendir("/proc");
    struct dirent *de;
    pid_t pid = cleanup_daemon_pid(in);
    int fd;

    while (!pid && d && (de = readdir(d)) != NULL) {
        pid = pid_of(slice_str(de->d_name));
        if (pid <= 1 || pid == getpid() || !has_mark(pid, mark))
            pid = 0;
    }
    if (d)
        closedir(d);
    free(mark);
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
    fd = pid ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0 && (fstat(fd, &theirs) || stat("/proc/self/ns/net", &mine) ||
                    theirs.st_ino != in->netns || theirs.st_ino == mine.st_ino)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static int delete_table(const struct instance *in, struct err *e)
{
    static const char *const argv[] = {"nft", "-f", "-", NULL};
    /* adding it first makes deleting it succeed whether it was there or not */
    char *text = xasprintf("table inet %s {}\ndelete table inet %s\n", in->table, in->table);
    int rc = proc_run(argv, text, -1, NULL, e);

    free(text);
    return rc;
}

static int remove_files(const struct instance *in, struct err *e)
{
    char *pods = instance_path(in, "pods");

    /* only in a chroot: else the daemon's mounts were its own and are gone with it */
    umount2(pods, MNT_DETACH);
    umount2(pods, MNT_DETACH);
    free(pods);
    if (file_remove_tree(in->dir, e))
        return -1;
    return 0;
}

/* of settings of network namespaces that are gone: nobody is left who would put them back */
static void remove_records(void)
{
    DIR *d = opendir(INSTANCE_ROOT);
    struct dirent *de;

    while (d && (de = readdir(d)) != NULL)
        if (strncmp(de->d_name, ".sysctl-", 8) == 0)
            unlinkat(dirfd(d), de->d_name, 0);
    if (d)
        closedir(d);
}

void cleanup_common(void)
{
    char **names = instance_list();
    bool none = !names[0];

    for (char **n = names; *n; n++)
        free(*n);
    free(names);
    if (!none)
        return;
    remove_records();
    unlink(INSTANCE_ROOT "/.lock"); /* whoever waits for it notices (instance_lock) */
    rmdir(INSTANCE_ROOT);
    rmdir("/run/fsm");
}

/* links, rules, settings: those of the network namespace that we are in */
static int clean_network(const struct instance *in, struct err *first)
{
    int rc = 0;

    firewall_close(in);
    if (network_down(in, first))
        rc = -1;
    if (delete_table(in, rc ? NULL : first))
        rc = -1;
    return rc;
}

/* ... and of the one that the instance was started in, if that is another one */
static int clean_elsewhere(const struct instance *in, int there, struct err *first)
{
    int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), rc;

    if (here < 0 || setns(there, CLONE_NEWNET)) {
        err_errno(first, "the network namespace of instance \"%s\"", in->name);
        rc = -1;
    } else {
        rc = clean_network(in, first);
        if (setns(here, CLONE_NEWNET))
            rc = err_errno(first, "going back from the instance's network namespace");
    }
    if (here >= 0)
        close(here);
    return rc;
}

int cleanup_instance(const struct instance *in, int there, struct err *e)
{
    struct err first = {""};
    int rc = kill_processes(in, &first) ? -1 : 0;

    if (there >= 0 ? clean_elsewhere(in, there, rc ? NULL : &first)
                   : clean_network(in, rc ? NULL : &first))
        rc = -1;
    if (rc == 0 && remove_files(in, &first))
        rc = -1;
    if (rc)
        *e = first;
    return rc;
}
