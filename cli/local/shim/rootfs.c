/* rootfs.c - a container's view of the machine's file system.
 *
 * The machine's root is the lower layer of an overlay: everything is there to be read and run,
 * what a container writes stays its own and goes with it.  /run, /dev, /proc and /sys are fresh
 * (so the runtime's own state, which lives in /run, is not there at all); other file systems of
 * the machine get an overlay of their own, or, where that cannot be done, appear read-only.
 * Volumes are mounted over that, from mounts detached before the root changes and when nothing of
 * the machine's is left above ours, so that links and ".." in a target stay inside the container.
 */
#include "cli/local/shim/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "common/base/mem.h"

#define OVERLAY_OPTIONS "redirect_dir=off,index=off,metacopy=off,xino=off"

static int overlay(const char *lower, const char *upper, const char *work, const char *target)
{
    char *data =
        xasprintf("lowerdir=%s,upperdir=%s,workdir=%s," OVERLAY_OPTIONS, lower, upper, work);
    int rc = mount("fsm-local", target, "overlay", 0, data);

    free(data);
    return rc;
}

static int make_dirs(const char *rootfs, const char *suffix)
{
    static const char *const kinds[] = {"upper", "work", "merged"};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        char *p = xasprintf("%s/%s%s", rootfs, kinds[i], suffix);
        int rc = mkdir(p, 0755);
        free(p);
        if (rc && errno != EEXIST)
            return -1;
    }
    return 0;
}

static int overlay_root(const char *rootfs, char **merged, struct err *e)
{
    if ((mkdir(rootfs, 0755) && errno != EEXIST) || make_dirs(rootfs, ""))
        return err_errno(e, "%s", rootfs);
    char *upper = xasprintf("%s/upper", rootfs);
    char *work = xasprintf("%s/work", rootfs);
    *merged = xasprintf("%s/merged", rootfs);
    int rc = overlay("/", upper, work, *merged);
    if (rc)
        err_errno(e, "overlay mount on %s (the kernel needs overlayfs)", *merged);
    free(upper);
    free(work);
    return rc;
}

/* ---- the machine's other file systems ------------------------------------------------------ */

static bool under(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool is_pseudo(const char *fstype)
{
    static const char *const pseudo[] = {
        "proc",    "sysfs",    "devtmpfs",  "devpts",      "cgroup",  "cgroup2",    "debugfs",
        "tracefs", "bpf",      "mqueue",    "autofs",      "pstore",  "securityfs", "configfs",
        "nsfs",    "efivarfs", "hugetlbfs", "binfmt_misc", "fusectl", "rpc_pipefs"};

    for (size_t i = 0; i < sizeof(pseudo) / sizeof(*pseudo); i++)
        if (strcmp(fstype, pseudo[i]) == 0)
            return true;
    return false;
}

static bool is_wanted(const char *path, const char *fstype, const char *rootfs)
{
    static const char *const fresh[] = {"/proc", "/sys", "/dev", "/run", "/var/run"};

    if (strcmp(path, "/") == 0 || is_pseudo(fstype) || under(rootfs, path) || under(path, rootfs))
        return false;
    for (size_t i = 0; i < sizeof(fresh) / sizeof(*fresh); i++)
        if (under(path, fresh[i]))
            return false;
    return true;
}

/* "\040" and friends of /proc/self/mountinfo, in place */
static void unescape(char *s)
{
    char *w = s;

    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
            *w++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *w++ = *s;
        }
    }
    *w = '\0';
}

static void bind_readonly(const char *source, const char *target)
{
    if (mount(source, target, NULL, MS_BIND, NULL) == 0)
        mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
}

/* best effort: what cannot be shown is an empty directory in the container, as it would be in an
 * image that has never heard of this machine's file systems */
static void show_mount(const char *rootfs, const char *merged, const char *path, unsigned index)
{
    struct stat st;
    char *target = xasprintf("%s%s", merged, path);

    if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && !strpbrk(path, ",:\\")) {
        char *suffix = xasprintf(".%u", index);
        char *upper = xasprintf("%s/upper%s", rootfs, suffix);
        char *work = xasprintf("%s/work%s", rootfs, suffix);
        if (make_dirs(rootfs, suffix) || chmod(upper, st.st_mode & 07777) ||
            overlay(path, upper, work, target))
            bind_readonly(path, target);
        free(suffix);
        free(upper);
        free(work);
    } else {
        bind_readonly(path, target);
    }
    free(target);
}

static void show_other_mounts(const char *rootfs, const char *merged)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL, path[4096], fstype[256];
    size_t cap = 0;
    unsigned index = 0;

    if (!f)
        return;
    while (getline(&line, &cap, f) > 0) {
        const char *sep = strstr(line, " - ");
        if (!sep || sscanf(line, "%*s %*s %*s %*s %4095s", path) != 1 ||
            sscanf(sep, " - %255s", fstype) != 1)
            continue;
        unescape(path);
        if (is_wanted(path, fstype, rootfs))
            show_mount(rootfs, merged, path, index++);
    }
    free(line);
    fclose(f);
}

/* ---- changing root ------------------------------------------------------------------------- */

/* -1: m->sub leads out of the source (a container may have put a link there), or is gone */
static int narrow(struct shim_mount *m)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, m->fd, m->sub, &how, sizeof(how));

    close(m->fd);
    m->fd = fd;
    return fd < 0 ? -1 : 0;
}

/* a mount of its own of what m->fd names: it can be placed when the machine's root is gone */
static int detach(struct shim_mount *m)
{
    int fd = (int)syscall(SYS_open_tree, m->fd, "",
                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);

    close(m->fd);
    m->fd = fd;
    return fd < 0 ? -1 : 0;
}

static int open_sources(struct shim_spec *s, struct err *e)
{
    for (size_t i = 0; i < s->n_mounts; i++) {
        struct shim_mount *m = &s->mounts[i];
        if (strcmp(m->source, "tmpfs") == 0)
            continue;
        m->fd = open(m->source, O_PATH | O_CLOEXEC);
        if (m->fd < 0)
            return err_errno(e, "volume for %s: %s", m->target, m->source);
        if (m->sub && *m->sub && narrow(m))
            return err_errno(e, "volume for %s: subPath %s", m->target, m->sub);
        if (detach(m))
            return err_errno(e, "volume for %s: %s cannot be mounted", m->target, m->source);
    }
    return 0;
}

/* pivot_root, or, where the machine's root is itself no mount point (in a chroot), chroot */
static int change_root(const char *merged, bool *pivoted, struct err *e)
{
    if (chdir(merged))
        return err_errno(e, "chdir %s", merged);
    *pivoted = syscall(SYS_pivot_root, ".", ".") == 0;
    if (!*pivoted && chroot("."))
        return err_errno(e, "chroot %s", merged);
    if (chdir("/"))
        return err_errno(e, "chdir /");
    return 0;
}

/* after pivot_root(".", ".") the old root lies over the new one: the topmost mount of "/" */
static void drop_old_root(void)
{
    umount2("/", MNT_DETACH);
}

static int mount_or(const char *source, const char *target, const char *type, unsigned long flags,
                    const char *data, struct err *e)
{
    if ((mkdir(target, 0755) && errno != EEXIST) || mount(source, target, type, flags, data))
        return err_errno(e, "mounting %s", target);
    return 0;
}

static int make_node(const char *path, unsigned major_nr, unsigned minor_nr)
{
    if (mknod(path, S_IFCHR | 0666, makedev(major_nr, minor_nr)) && errno != EEXIST)
        return -1;
    return chmod(path, 0666);
}

static int fill_dev(struct err *e)
{
    static const struct {
        const char *path;
        unsigned major_nr, minor_nr;
    } nodes[] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
                 {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"},
                                           {"pts/ptmx", "/dev/ptmx"}};

    for (size_t i = 0; i < sizeof(nodes) / sizeof(*nodes); i++)
        if (make_node(nodes[i].path, nodes[i].major_nr, nodes[i].minor_nr))
            return err_errno(e, "%s", nodes[i].path);
    for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++)
        if (symlink(links[i][0], links[i][1]) && errno != EEXIST)
            return err_errno(e, "%s", links[i][1]);
    if (mount_or("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                 "newinstance,ptmxmode=0666,mode=0620", e))
        return -1;
    return mount_or("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m", e);
}

/* what a container with root's uid but few capabilities must not write to */
static void protect_proc(void)
{
    static const char *const paths[] = {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq",
                                        "/proc/bus"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        bind_readonly(paths[i], paths[i]);
}

static int mount_system(const struct shim_spec *s, struct err *e)
{
    if (mount_or("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, e) ||
        mount_or("sysfs", "/sys", "sysfs",
                 MS_NOSUID | MS_NODEV | MS_NOEXEC | (s->privileged ? 0 : MS_RDONLY), NULL, e) ||
        mount_or("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=256m", e) ||
        mount_or("dev", "/dev", "tmpfs", MS_NOSUID, "mode=0755,size=64k", e) || fill_dev(e))
        return -1;
    if (mkdir("/run/lock", 01777) == 0)
        chmod("/run/lock", 01777);
    if (!s->privileged)
        protect_proc();
    return 0;
}

/* ---- volumes ------------------------------------------------------------------------------- */

static int make_parents(const char *path)
{
    char *copy = xstrdup(path);
    int rc = 0;

    for (char *p = copy + 1; rc == 0 && (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        if (mkdir(copy, 0755) && errno != EEXIST)
            rc = -1;
        *p = '/';
    }
    free(copy);
    return rc;
}

static int make_target(const struct shim_mount *m, bool is_dir, struct err *e)
{
    struct stat st;

    if (make_parents(m->target))
        return err_errno(e, "making the directories above %s", m->target);
    if (m->replace_link && lstat(m->target, &st) == 0 && S_ISLNK(st.st_mode))
        unlink(m->target);
    if (is_dir) {
        if (mkdir(m->target, 0755) && errno != EEXIST)
            return err_errno(e, "making mount point %s", m->target);
        return 0;
    }
    int fd = open(m->target, O_CREAT | O_RDONLY | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        return err_errno(e, "making mount point %s", m->target);
    close(fd);
    return 0;
}

static int mount_one(const struct shim_mount *m, struct err *e)
{
    struct stat st = {.st_mode = S_IFDIR};

    if (m->fd >= 0 && fstat(m->fd, &st))
        return err_errno(e, "volume for %s", m->target);
    if (make_target(m, S_ISDIR(st.st_mode), e))
        return -1;
    if (m->fd < 0) {
        if (mount("tmpfs", m->target, "tmpfs", MS_NOSUID | MS_NODEV, m->options))
            return err_errno(e, "tmpfs on %s", m->target);
    } else {
        if (syscall(SYS_move_mount, m->fd, "", AT_FDCWD, m->target,
                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS))
            return err_errno(e, "mounting %s on %s", m->source, m->target);
    }
    if (m->readonly && mount(NULL, m->target, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL))
        return err_errno(e, "making %s read-only", m->target);
    return 0;
}

int rootfs_enter(struct shim_spec *s, struct err *e)
{
    char *merged = NULL;
    bool pivoted = false;
    int rc = -1;

    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) && errno != EINVAL)
        return err_errno(e, "making mounts private");
    if (open_sources(s, e) || overlay_root(s->rootfs, &merged, e))
        goto out;
    show_other_mounts(s->rootfs, merged);
    if (change_root(merged, &pivoted, e) || mount_system(s, e))
        goto out;
    /* before any path of the manifest's is walked: ".." at "/" would lead onto the machine's root,
     * which lies over ours */
    if (pivoted)
        drop_old_root();
    for (size_t i = 0; i < s->n_mounts; i++)
        if (mount_one(&s->mounts[i], e))
            goto out;
    if (s->readonly_root && mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL)) {
        err_errno(e, "making the root file system read-only");
        goto out;
    }
    rc = 0;
out:
    free(merged);
    return rc;
}
