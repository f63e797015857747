/* programs.c - copies of fsm's programs for containers; see programs.h. */
#include "cli/local/programs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/mem.h"

char *programs_source(const struct local *l)
{
    return instance_path(l->in, "pods/programs");
}

static bool is_ours(const char *name)
{
    return strcmp(name, "fsm") == 0 || strncmp(name, "fsm-", 4) == 0;
}

/* a copy carries the time of what it was made of */
static bool is_current(int dir, const char *name, const struct stat *of)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size == of->st_size &&
           st.st_mtim.tv_sec == of->st_mtim.tv_sec && st.st_mtim.tv_nsec == of->st_mtim.tv_nsec;
}

static int copy_bytes(int from, int to, off_t size)
{
    for (off_t at = 0; at < size;) {
        ssize_t n = sendfile(to, from, &at, (size_t)(size - at));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
    }
    return 0;
}

/* a container that runs the old one keeps it */
static int copy_program(int from, const struct stat *st, int dir, const char *name, struct err *e)
{
    static const char fresh[] = ".new";
    const struct timespec times[2] = {st->st_mtim, st->st_mtim};
    int to = openat(dir, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
    int rc = to < 0 || copy_bytes(from, to, st->st_size) || futimens(to, times) || fchmod(to, 0755)
                 ? -1
                 : 0;

    if (to >= 0)
        close(to);
    if (rc == 0)
        rc = renameat(dir, fresh, dir, name);
    if (rc)
        err_errno(e, "copying %s for containers", name);
    return rc;
}

static int refresh_one(int bin, int dir, const char *name, struct err *e)
{
    struct stat st;
    int from = openat(bin, name, O_RDONLY | O_CLOEXEC), rc = 0;

    if (from < 0)
        return errno == ENOENT ? 0 : err_errno(e, "%s", name);
    if (fstat(from, &st))
        rc = err_errno(e, "%s", name);
    else if (S_ISREG(st.st_mode) && (st.st_mode & 0111) && !is_current(dir, name, &st))
        rc = copy_program(from, &st, dir, name, e);
    close(from);
    return rc;
}

static int refresh_all(DIR *bin, int dir, struct err *e)
{
    const struct dirent *d;
    int rc = 0;

    while (rc == 0 && (d = readdir(bin)) != NULL)
        if (is_ours(d->d_name))
            rc = refresh_one(dirfd(bin), dir, d->d_name, e);
    return rc;
}

int programs_refresh(const struct local *l, struct err *e)
{
    char *path = programs_source(l);
    DIR *bin = opendir(l->in->bin_dir);
    int rc = bin ? file_mkdirs(path, 0755, e) : err_errno(e, "%s", l->in->bin_dir);
    int dir = rc ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (rc == 0)
        rc = dir < 0 ? err_errno(e, "%s", path) : refresh_all(bin, dir, e);
    if (dir >= 0)
        close(dir);
    if (bin)
        closedir(bin);
    free(path);
    return rc;
}
