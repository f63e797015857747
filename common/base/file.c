/* file.c - bounded reads, atomic writes, trees made and removed. */
#include "common/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/mem.h"

#define READ_STEP 65536 /* bytes asked for at a time when the size is not known */

static int read_all(int fd, const char *path, size_t max, struct buf *out, struct err *e)
{
    size_t start = out->len;

    for (;;) {
        char *at = buf_reserve(out, READ_STEP);
        ssize_t n = read(fd, at, READ_STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(e, "reading %s", path);
        out->len += (size_t)n;
        out->p[out->len] = 0;
        if (out->len - start > max)
            return err_set(e, "%s: larger than the %zu bytes that are accepted", path, max);
        if (n == 0)
            return 0;
    }
}

int file_read(const char *path, size_t max, struct buf *out, struct err *e)
{
    size_t start = out->len;
    int fd, rc;

    if (strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, "standard input", max, out, e);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "opening %s", path);
    rc = read_all(fd, path, max, out, e);
    close(fd);
    if (rc < 0) {
        out->len = start;
        if (out->p)
            out->p[start] = 0;
    }
    return rc;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        p += put;
        n -= (size_t)put;
    }
    return 0;
}

/* the directory that holds path; returns owned */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return xstrdup(".");
    return xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* the rename itself must survive a crash too */
static int sync_parent(const char *path)
{
    char *dir = parent_of(path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    free(dir);
    if (fd < 0)
        return -1;
    rc = fsync(fd);
    close(fd);
    return rc < 0 && errno != EINVAL ? -1 : 0; /* EINVAL: a file system without it */
}

static int fill_temp(int fd, const void *p, size_t n, mode_t mode)
{
    int rc = fchmod(fd, mode) < 0 || write_all(fd, p, n) < 0 || fsync(fd) < 0 ? -1 : 0;

    if (close(fd) < 0)
        rc = -1;
    return rc;
}

int file_write(const char *path, const void *p, size_t n, mode_t mode, struct err *e)
{
    char *temp = xasprintf("%s.tmp-XXXXXX", path);
    int fd = mkostemp(temp, O_CLOEXEC), rc;

    if (fd < 0) {
        rc = err_errno(e, "writing beside %s", path);
        free(temp);
        return rc;
    }
    rc = fill_temp(fd, p, n, mode);
    if (rc < 0 || rename(temp, path) < 0) {
        rc = err_errno(e, "writing %s", path);
        unlink(temp);
    } else if (sync_parent(path) < 0) {
        rc = err_errno(e, "syncing the directory of %s", path);
    }
    free(temp);
    return rc;
}

int file_mkdirs(const char *path, mode_t mode, struct err *e)
{
    char *copy = xstrdup(path);
    struct stat st;
    int rc = 0;

    for (char *at = copy + 1; rc == 0 && copy[0]; at++) {
        char was = *at;
        if (was != '/' && was != 0)
            continue;
        *at = 0;
        if (mkdir(copy, mode) < 0 && errno != EEXIST)
            rc = err_errno(e, "making the directory %s", copy);
        *at = was;
        if (was == 0)
            break;
    }
    if (rc == 0 && (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
        rc = err_set(e, "%s is there and is no directory", path);
    free(copy);
    return rc;
}

/* The root of a mount is somebody else's tree, also where a bind mount has the same device */
static int is_mount_root(int dirfd, const char *name)
{
    struct statx sx;

    if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &sx) < 0)
        return -1;
    return (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

static int remove_at(int dirfd, const char *name, const char *path, struct err *e);

/* takes fd, a directory */
static int empty_dir(int fd, const char *path, struct err *e)
{
    DIR *dir = fdopendir(fd);
    struct dirent *de;
    int rc = 0;

    if (!dir) {
        rc = err_errno(e, "reading the directory %s", path);
        close(fd);
        return rc;
    }
    while (rc == 0 && (de = readdir(dir))) {
        char *sub;
        if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
            continue;
        sub = xasprintf("%s/%s", path, de->d_name);
        rc = remove_at(dirfd(dir), de->d_name, sub, e);
        free(sub);
    }
    closedir(dir);
    return rc;
}

static int remove_at(int dirfd, const char *name, const char *path, struct err *e)
{
    int fd, mount;

    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM && errno != EBUSY)
        return err_errno(e, "removing %s", path);
    mount = is_mount_root(dirfd, name);
    if (mount < 0)
        return errno == ENOENT ? 0 : err_errno(e, "looking at %s", path);
    if (mount)
        return err_set(e, "%s is a mount point: not removed; unmount it first", path);
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, "removing %s", path);
    if (empty_dir(fd, path, e) < 0)
        return -1;
    if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return err_errno(e, "removing the directory %s", path);
    return 0;
}

int file_remove_tree(const char *path, struct err *e)
{
    size_t n = strlen(path);
    char *clean;
    int rc;

    while (n > 1 && path[n - 1] == '/') /* "link/" would follow the link */
        n--;
    clean = xstrndup(path, n);
    rc = remove_at(AT_FDCWD, clean, clean, e);
    free(clean);
    return rc;
}
