/* dir_scan.c - the walk over directories and its inotify watches. */
#include "common/kube/dir_scan.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/kube/walk.h"

#define WATCHED                                                                                    \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB |            \
     IN_DELETE_SELF | IN_MOVE_SELF)

#define LINKS_MAX 16 /* on one way */

struct root {
    char *path;
    char *only; /* a single file: its name within path's directory; else NULL */
    char *dir;  /* what is watched: path, or the directory that holds the file */
};

struct watch {
    int wd;
    unsigned rank;
    char *path;
    unsigned long walk; /* the last walk that came by */
};

/* A name in some directory on the way that symbolic links lead: the walk must be done again when
 * it changes. */
struct link {
    int wd;
    char *name;
    unsigned long walk;
};

struct dir_scan {
    struct root *roots;
    unsigned n_roots;
    const struct dir_scan_calls *calls;
    void *arg;
    int fd;
    struct watch **v;
    size_t n;
    struct table *by_path; /* "rank path" -> the watch; borrowed */
    struct link *links;
    size_t n_links;
    unsigned long walk;
    unsigned rank;                  /* during a walk: the root under way */
    struct kube_problems *problems; /* during a walk */
    bool complete;
};

static bool wanted(const struct root *r, const char *name)
{
    return r->only ? strcmp(r->only, name) == 0 : walk_is_manifest_name(name);
}

static void watch_free(struct watch *w)
{
    free(w->path);
    free(w);
}

/* ---- making --------------------------------------------------------------------------------- */

static void root_init(struct root *r, const char *path, bool is_dir)
{
    r->path = xstrdup(path);
    size_t n = strlen(r->path);
    while (n > 1 && r->path[n - 1] == '/')
        r->path[--n] = '\0';
    if (is_dir) {
        r->dir = xstrdup(r->path);
        return;
    }
    char *slash = strrchr(r->path, '/');
    r->only = xstrdup(slash ? slash + 1 : r->path);
    r->dir = slash == r->path ? xstrdup("/")
             : slash          ? xstrndup(r->path, (size_t)(slash - r->path))
                              : xstrdup(".");
}

struct dir_scan *dir_scan_new(const char *const *roots, unsigned n,
                              const struct dir_scan_calls *calls, void *arg, struct err *e)
{
    struct dir_scan *s = xcalloc(1, sizeof *s);
    s->calls = calls;
    s->arg = arg;
    s->by_path = table_new(NULL);
    s->roots = xcalloc(n ? n : 1, sizeof *s->roots);
    s->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (s->fd < 0) {
        err_errno(e, "inotify (is fs.inotify.max_user_instances reached?)");
        dir_scan_free(s);
        return NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        struct stat st;
        if (stat(roots[i], &st) < 0 || (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))) {
            err_set(e, "%s: %s", roots[i],
                    errno ? strerror(errno) : "neither a directory nor a file");
            dir_scan_free(s);
            return NULL;
        }
        root_init(&s->roots[s->n_roots++], roots[i], S_ISDIR(st.st_mode));
    }
    return s;
}

void dir_scan_free(struct dir_scan *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < s->n_roots; i++) {
        free(s->roots[i].path);
        free(s->roots[i].only);
        free(s->roots[i].dir);
    }
    for (size_t i = 0; i < s->n; i++)
        watch_free(s->v[i]);
    for (size_t i = 0; i < s->n_links; i++)
        free(s->links[i].name);
    free(s->links);
    free(s->v);
    free(s->roots);
    table_free(s->by_path);
    if (s->fd >= 0)
        close(s->fd);
    free(s);
}

int dir_scan_fd(const struct dir_scan *s)
{
    return s->fd;
}

/* ---- the walk ------------------------------------------------------------------------------- */

static void trouble(struct dir_scan *s, const char *path, const char *what, int why)
{
    kube_problems_add(s->problems, path, 0, "", "", "%s: %s%s", what, strerror(why),
                      why == ENOSPC ? " (raise fs.inotify.max_user_watches)" : "");
    s->complete = false;
}

static struct watch *watch_of(struct dir_scan *s, unsigned rank, const char *path)
{
    char *key = xasprintf("%u %s", rank, path);
    struct watch *w = table_get_str(s->by_path, key);
    if (!w) {
        w = xcalloc(1, sizeof *w);
        w->rank = rank;
        w->path = xstrdup(path);
        s->v = xreallocarray(s->v, s->n + 1, sizeof(struct watch *));
        s->v[s->n++] = w;
        table_put_str(s->by_path, key, w);
    }
    free(key);
    return w;
}

static void set_watch(struct dir_scan *s, unsigned rank, const char *path)
{
    int wd = inotify_add_watch(s->fd, path, WATCHED | IN_ONLYDIR);
    if (wd < 0) {
        trouble(s, path, "cannot watch", errno);
        return;
    }
    struct watch *w = watch_of(s, rank, path);
    w->wd = wd;
    w->walk = s->walk;
}

/* another path, seen in this walk, may lead to the same directory */
static bool is_shared(const struct dir_scan *s, const struct watch *w)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i] != w && s->v[i]->wd == w->wd && s->v[i]->walk == s->walk)
            return true;
    }
    for (size_t i = 0; i < s->n_links; i++) {
        if (s->links[i].wd == w->wd && s->links[i].walk == s->walk)
            return true;
    }
    return false;
}

static void drop_watch(struct dir_scan *s, struct watch *w)
{
    char *key = xasprintf("%u %s", w->rank, w->path);
    if (!is_shared(s, w))
        inotify_rm_watch(s->fd, w->wd); /* it may have gone by itself */
    table_del(s->by_path, slice_str(key));
    free(key);
    watch_free(w);
}

/* forgets directories that this walk did not come to */
static void drop_old_watches(struct dir_scan *s)
{
    struct watch **old = s->v;
    size_t n = s->n;
    s->v = xcalloc(n + 1, sizeof(struct watch *));
    s->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (old[i]->walk == s->walk)
            s->v[s->n++] = old[i];
    }
    for (size_t i = 0; i < n; i++) {
        if (old[i]->walk != s->walk)
            drop_watch(s, old[i]);
    }
    free(old);
}

/* ---- links ---------------------------------------------------------------------------------- */

static void watch_name(struct dir_scan *s, const char *dir, const char *name)
{
    int wd = inotify_add_watch(s->fd, dir, WATCHED | IN_ONLYDIR);
    if (wd < 0) {
        trouble(s, dir, "cannot watch", errno);
        return;
    }
    for (size_t i = 0; i < s->n_links; i++) {
        if (s->links[i].wd == wd && strcmp(s->links[i].name, name) == 0) {
            s->links[i].walk = s->walk;
            return;
        }
    }
    s->links = xreallocarray(s->links, s->n_links + 1, sizeof *s->links);
    s->links[s->n_links++] = (struct link){wd, xstrdup(name), s->walk};
}

/* path's first n bytes are directory and name */
static void watch_place(struct dir_scan *s, const char *path, size_t n)
{
    char *whole = xstrndup(path, n), *slash = strrchr(whole, '/');
    if (slash)
        *slash = '\0';
    watch_name(s, !slash ? "." : slash == whole ? "/" : whole, slash ? slash + 1 : whole);
    free(whole);
}

/* the link's target in place of path's first n bytes; returns owned, NULL if it cannot be read */
static char *instead_of(const char *path, size_t n)
{
    char target[PATH_MAX], *head = xstrndup(path, n), *slash = strrchr(head, '/'), *to = NULL;
    ssize_t len = readlink(head, target, sizeof target - 1);
    if (len > 0) {
        target[len] = '\0';
        if (slash && target[0] != '/')
            slash[1] = '\0';
        to = xasprintf("%s%s%s", target[0] == '/' || !slash ? "" : head, target, path + n);
    }
    free(head);
    return to;
}

/* Watches each symbolic link on path's way, and what stands at its end. */
static void watch_links(struct dir_scan *s, const char *path)
{
    char *now = xstrdup(path);
    for (unsigned links = 0; now && links < LINKS_MAX; links++) {
        size_t n = 0, len = strlen(now);
        char *next = NULL;
        while (n < len && !next) {
            n += strspn(now + n, "/");
            n += strcspn(now + n, "/");
            char *head = xstrndup(now, n);
            struct stat st;
            if (lstat(head, &st) == 0 && S_ISLNK(st.st_mode)) {
                watch_place(s, now, n);
                next = instead_of(now, n);
            }
            free(head);
        }
        if (!next && links > 0)
            watch_place(s, now, len);
        free(now);
        now = next;
    }
    free(now);
}

static void drop_old_links(struct dir_scan *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n_links; i++) {
        struct link old = s->links[i];
        if (old.walk == s->walk) {
            s->links[kept++] = old;
            continue;
        }
        const struct watch alike = {.wd = old.wd};
        if (!is_shared(s, &alike))
            inotify_rm_watch(s->fd, old.wd);
        free(old.name);
    }
    s->n_links = kept;
}

static void on_dir(const char *path, void *arg)
{
    struct dir_scan *s = arg;
    set_watch(s, s->rank, path); /* before it is read: what changes from here on is told */
}

static void on_file(const char *path, const struct stat *st, void *arg)
{
    struct dir_scan *s = arg;
    struct stat self;
    if (lstat(path, &self) == 0 && S_ISLNK(self.st_mode))
        watch_links(s, path);
    s->calls->found(s->rank, path, st, s->arg);
}

static void on_trouble(const char *path, const char *what, int why, void *arg)
{
    trouble(arg, path, what, why);
}

static void walk_single(struct dir_scan *s, const struct root *r)
{
    char *path = walk_join(r->dir, r->only);
    struct stat st;
    set_watch(s, s->rank, r->dir);
    if (stat(path, &st) < 0) {
        if (errno != ENOENT)
            trouble(s, path, "cannot read", errno);
    } else if (S_ISREG(st.st_mode)) {
        on_file(path, &st, s);
    }
    free(path);
}

bool dir_scan_walk(struct dir_scan *s, struct kube_problems *problems)
{
    static const struct walk_calls calls = {on_dir, on_file, on_trouble};
    s->walk++;
    s->complete = true;
    s->problems = problems;
    for (s->rank = 0; s->rank < s->n_roots; s->rank++) {
        const struct root *r = &s->roots[s->rank];
        watch_links(s, r->path);
        if (r->only)
            walk_single(s, r);
        else
            walk_tree(r->dir, &calls, s);
    }
    drop_old_watches(s);
    drop_old_links(s);
    s->problems = NULL;
    return s->complete;
}

/* ---- events --------------------------------------------------------------------------------- */

/* A file that was just created is still being written: its writer's close will tell.  Links have
 * no writer. */
static bool is_link(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && (S_ISLNK(st.st_mode) || st.st_nlink > 1);
}

static void on_name(struct dir_scan *s, const struct watch *w, const struct inotify_event *ev)
{
    const struct root *r = &s->roots[w->rank];
    char *path = walk_join(w->path, ev->name);
    bool appeared = ev->mask & (IN_CREATE | IN_MOVED_TO);
    if (strncmp(ev->name, "..", 2) == 0) {
        s->calls->shape(s->arg); /* a volume's ..data: every link may show another file now */
    } else if (!wanted(r, ev->name)) {
        if (!r->only && *ev->name != '.' && ((appeared && is_link(path)) || (ev->mask & IN_DELETE)))
            s->calls->shape(s->arg); /* perhaps a link to a directory */
    } else if (!(ev->mask & IN_CREATE) || is_link(path)) {
        s->calls->changed(w->rank, path, s->arg);
    }
    free(path);
}

static void on_event(struct dir_scan *s, const struct inotify_event *ev)
{
    bool shape =
        ev->mask & (IN_Q_OVERFLOW | IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT);
    bool known = ev->mask & IN_Q_OVERFLOW;
    size_t n = s->n; /* callbacks do not walk, so s->v stays */
    for (size_t i = 0; i < n; i++) {
        if (s->v[i]->wd != ev->wd)
            continue;
        known = true;
        if (ev->len > 0 && !(ev->mask & IN_ISDIR))
            on_name(s, s->v[i], ev);
        else if (ev->len > 0 && *ev->name != '.')
            shape = true;
    }
    for (size_t i = 0; i < s->n_links; i++) {
        if (s->links[i].wd == ev->wd && ev->len > 0 && strcmp(s->links[i].name, ev->name) == 0)
            known = shape = true;
    }
    if (known && shape)
        s->calls->shape(s->arg);
}

void dir_scan_read(struct dir_scan *s)
{
    char space[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    for (;;) {
        ssize_t n = read(s->fd, space, sizeof space);
        if (n <= 0)
            return; /* EAGAIN: that was all */
        for (char *p = space; p < space + n;) {
            const struct inotify_event *ev = (const struct inotify_event *)p;
            on_event(s, ev);
            p += sizeof *ev + ev->len;
        }
    }
}
