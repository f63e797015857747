/* walk.c - see walk.h. */
#include "common/kube/walk.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"

#define DEPTH_MAX 32 /* levels of directories */

/* a directory on the way down to the present one */
struct level {
    const struct level *up;
    dev_t dev;
    ino_t ino;
    unsigned depth;
};

struct walk {
    const struct walk_calls *calls;
    void *arg;
};

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), k = strlen(suffix);
    return n > k && strcmp(name + n - k, suffix) == 0;
}

bool walk_is_manifest_name(const char *name)
{
    return *name != '.' &&
           (has_suffix(name, ".yaml") || has_suffix(name, ".yml") || has_suffix(name, ".json"));
}

char *walk_join(const char *dir, const char *name)
{
    if (strcmp(dir, ".") == 0)
        return xstrdup(name);
    return xasprintf("%s%s%s", dir, strcmp(dir, "/") == 0 ? "" : "/", name);
}

static int visible(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static void walk_dir(const struct walk *w, const char *dir, const struct stat *st,
                     const struct level *up);

static void walk_entry(const struct walk *w, const char *dir, const char *name,
                       const struct level *here)
{
    struct stat st;
    char *path = walk_join(dir, name);
    if (stat(path, &st) < 0) {
        if (errno != ENOENT && walk_is_manifest_name(name))
            w->calls->trouble(path, "cannot read", errno, w->arg);
    } else if (S_ISDIR(st.st_mode)) {
        walk_dir(w, path, &st, here);
    } else if (S_ISREG(st.st_mode) && walk_is_manifest_name(name)) {
        w->calls->file(path, &st, w->arg);
    }
    free(path);
}

static bool is_circle(const struct stat *st, const struct level *up)
{
    for (; up; up = up->up) {
        if (up->dev == st->st_dev && up->ino == st->st_ino)
            return true;
    }
    return false;
}

static void walk_dir(const struct walk *w, const char *dir, const struct stat *st,
                     const struct level *up)
{
    const struct level here = {up, st->st_dev, st->st_ino, up ? up->depth + 1 : 0};
    struct dirent **names;
    if (is_circle(st, up))
        return; /* all of it is found on the way that leads here */
    if (here.depth > DEPTH_MAX) {
        w->calls->trouble(dir, "too deep", ELOOP, w->arg);
        return;
    }
    if (w->calls->dir)
        w->calls->dir(dir, w->arg);
    int n = scandir(dir, &names, visible, alphasort);
    if (n < 0) {
        w->calls->trouble(dir, "cannot read", errno, w->arg);
        return;
    }
    for (int i = 0; i < n; i++) {
        walk_entry(w, dir, names[i]->d_name, &here);
        free(names[i]);
    }
    free(names);
}

void walk_tree(const char *dir, const struct walk_calls *calls, void *arg)
{
    const struct walk w = {calls, arg};
    struct stat st;
    if (stat(dir, &st) < 0)
        calls->trouble(dir, "cannot read", errno, arg);
    else
        walk_dir(&w, dir, &st, NULL);
}
