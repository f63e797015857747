/* projected.c - a directory of files that changes as one (ConfigMap, Secret, token volumes).
 *
 *   dir/..2026_000001/token     the files of one version
 *   dir/..data -> ..2026_000001 renamed into place: the moment of the change
 *   dir/token -> ..data/token
 *
 * The layout is Kubernetes' own, which programs that watch such volumes rely on.
 */
#include "cli/local/pod.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/file.h"
#include "common/base/mem.h"

void projected_file_free(void *f)
{
    struct projected_file *pf = f;

    if (pf->data)
        explicit_bzero(pf->data, pf->len);
    free(pf->data);
    free(pf);
}

/* one file of the new version; name may have directories in it */
static int write_one(const char *version_dir, const char *name, const struct projected_file *f,
                     gid_t gid, struct err *e)
{
    char *path = xasprintf("%s/%s", version_dir, name);
    char *slash = strrchr(path, '/');
    int rc = -1;

    *slash = '\0';
    rc = file_mkdirs(path, 0755, e);
    *slash = '/';
    int fd = rc ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        /* the mode asked for, whatever the umask; the owner last, it may not be root */
        rc = write(fd, f->data, f->len) == (ssize_t)f->len && fchmod(fd, f->mode) == 0 &&
                     fchown(fd, f->uid, gid) == 0
                 ? 0
                 : err_errno(e, "%s", path);
        close(fd);
    } else if (rc == 0) {
        rc = err_errno(e, "%s", path);
    }
    free(path);
    return rc;
}

/* "a" of "a/b": what is to be linked at the top */
static char *first_part(struct slice name)
{
    struct slice rest = name;
    struct slice first = slice_cut(&rest, '/');
    return xstrndup(first.p, first.n);
}

static int link_top(const char *dir, const struct table *files, struct err *e)
{
    struct slice name;

    table_foreach (files, it, &name, NULL) {
        char *top = first_part(name);
        char *at = xasprintf("%s/%s", dir, top), *to = xasprintf("..data/%s", top);
        int rc = symlink(to, at) && errno != EEXIST ? err_errno(e, "%s", at) : 0;
        free(top);
        free(at);
        free(to);
        if (rc)
            return -1;
    }
    return 0;
}

static bool is_top(const struct table *files, const char *entry)
{
    struct slice name;

    table_foreach (files, it, &name, NULL) {
        char *top = first_part(name);
        bool same = strcmp(top, entry) == 0;
        free(top);
        if (same)
            return true;
    }
    return false;
}

/* links to what is no longer there, and old versions */
static void remove_stale(const char *dir, const struct table *files, const char *current)
{
    DIR *d = opendir(dir);
    struct dirent *de;
    struct err e;

    while (d && (de = readdir(d)) != NULL) {
        const char *n = de->d_name;
        char *path = xasprintf("%s/%s", dir, n);
        if (strncmp(n, "..", 2) == 0) {
            if (n[2] && strcmp(n, "..data") && strcmp(n, current))
                file_remove_tree(path, &e);
        } else if (strcmp(n, ".") && !is_top(files, n)) {
            unlink(path);
        }
        free(path);
    }
    if (d)
        closedir(d);
}

static int swap_data(const char *dir, const char *version, struct err *e)
{
    char *tmp = xasprintf("%s/..data_tmp", dir), *data = xasprintf("%s/..data", dir);
    int rc = 0;

    unlink(tmp);
    if (symlink(version, tmp) || rename(tmp, data))
        rc = err_errno(e, "%s", data);
    free(tmp);
    free(data);
    return rc;
}

int projected_write(const char *dir, const struct table *files, gid_t gid, struct err *e)
{
    char version[64];
    uint32_t random;
    struct slice name;
    struct projected_file *f;
    int rc = 0;

    random_bytes(&random, sizeof(random));
    snprintf(version, sizeof(version), "..%lld_%08x", (long long)(clock_wall_ms() / 1000), random);
    char *version_dir = xasprintf("%s/%s", dir, version);
    if (mkdir(version_dir, 0755))
        rc = err_errno(e, "%s", version_dir);
    table_foreach (files, it, &name, &f) {
        char *n = xstrndup(name.p, name.n);
        if (rc == 0)
            rc = write_one(version_dir, n, f, gid, e);
        free(n);
    }
    if (rc == 0)
        rc = swap_data(dir, version, e);
    if (rc == 0)
        rc = link_top(dir, files, e);
    if (rc == 0)
        remove_stale(dir, files, version);
    free(version_dir);
    return rc;
}
