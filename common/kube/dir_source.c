/* dir_source.c - files to objects, kept up to date.
 *
 *   events -> (a moment) -> dirty files -> read in slices -> claims -> store, all at once
 *
 * One change is let in almost at once.  Where an object would go it may only have moved, to a file
 * that is still being written: that batch waits for quiet.  So do directories that come and go.
 *
 * What is broken keeps its last good version: an object that is refused keeps the one it had; a
 * document that cannot even be named, or a file that cannot be read, keeps all that the file had.
 */
#include "common/kube/source.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/kube/claims.h"
#include "common/kube/dir_scan.h"
#include "common/kube/load.h"
#include "common/kube/problem.h"
#include "common/kube/yaml.h"

#define FIRST_MS    2    /* of quiet: what was written together has come */
#define SPACE_MS    10   /* and at the latest after that; also between two batches */
#define QUIET_MS    20   /* the same, where an object may only have moved */
#define BURST_MS    200  /* and at the latest after that */
#define SLICE_MS    50   /* of reading; then the loop turns */
#define AGAIN_MS    2000 /* the next walk where something could not be read or watched */
#define REREADS_MAX 10   /* of a file that changes while it is read */

/* enough to tell that a file is not the one that was read */
struct stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec mtime;
};

struct file {
    char *path;
    unsigned rank;
    struct stamp stamp;
    struct kube_object **v; /* refs: what the file holds, or held when it was last sound */
    unsigned n;
    struct kube_problems problems;
    unsigned long walk; /* the last walk that found it */
    unsigned rereads;
    bool dirty; /* stands in the queue */
};

struct dir_source {
    struct kube_source base;
    struct loop *loop;
    struct claims *claims;
    struct dir_scan *scan;
    struct event *event;
    struct timer timer;  /* the burst, the next slice, or the next walk */
    struct table *files; /* "rank path" -> owned struct file */
    struct file **queue; /* dirty files, borrowed */
    size_t n_queue, cap_queue, next;
    struct kube_problems walk_problems;
    struct kube_problems problems; /* all, in order of file and line */
    uint64_t burst_ms;             /* when the present burst began; 0 = none */
    uint64_t batch_ms;             /* when the last batch ended */
    bool waited;                   /* this batch: for what seems to go */
    unsigned long walk;
    bool shape;   /* a walk is due */
    bool again;   /* ... because the last one was not complete */
    bool changed; /* since the last batch: something was read or has gone */
    bool synced;
};

/* ---- files ---------------------------------------------------------------------------------- */

static void file_free(void *p)
{
    struct file *f = p;
    kube_objects_free(f->v, f->n);
    kube_problems_free(&f->problems);
    free(f->path);
    free(f);
}

static struct file *file_of(struct dir_source *s, unsigned rank, const char *path, bool make)
{
    char *key = xasprintf("%u %s", rank, path);
    struct file *f = table_get_str(s->files, key);
    if (!f && make) {
        f = xcalloc(1, sizeof *f);
        f->path = xstrdup(path);
        f->rank = rank;
        table_put_str(s->files, key, f);
    }
    free(key);
    return f;
}

static struct stamp stamp_of(const struct stat *st)
{
    return (struct stamp){st->st_dev, st->st_ino, st->st_size, st->st_mtim};
}

static bool is_stamp_of(const struct stamp *a, const struct stat *st)
{
    return a->dev == st->st_dev && a->ino == st->st_ino && a->size == st->st_size &&
           a->mtime.tv_sec == st->st_mtim.tv_sec && a->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

static void enqueue(struct dir_source *s, struct file *f)
{
    if (f->dirty)
        return;
    f->dirty = true;
    if (s->n_queue == s->cap_queue) {
        s->cap_queue = s->cap_queue ? 2 * s->cap_queue : 64;
        s->queue = xreallocarray(s->queue, s->cap_queue, sizeof(struct file *));
    }
    s->queue[s->n_queue++] = f;
}

/* takes v; what the file says from now on */
static void file_set_objects(struct dir_source *s, struct file *f, struct kube_object **v,
                             unsigned n)
{
    for (unsigned i = 0; i < f->n; i++)
        claims_drop(s->claims, f->rank, f->v[i]);
    for (unsigned i = 0; i < n; i++)
        claims_add(s->claims, f->rank, v[i]);
    kube_objects_free(f->v, f->n);
    f->v = v;
    f->n = n;
}

/* refused objects by key; the values say only "there" */
static struct table *refused_set(const struct kube_loaded *l)
{
    struct table *t = table_new(NULL);
    struct buf key = BUF_INIT;
    for (unsigned i = 0; i < l->n_refused; i++) {
        const struct kube_refused *r = &l->refused[i];
        buf_clear(&key);
        claims_key(r->kind->key, r->ns, r->name, &key);
        table_put(t, buf_slice(&key), &l->refused[i]);
    }
    buf_free(&key);
    return t;
}

static struct table *loaded_set(const struct kube_loaded *l)
{
    struct table *t = table_new(NULL);
    struct buf key = BUF_INIT;
    for (unsigned i = 0; i < l->n; i++) {
        buf_clear(&key);
        claims_key_of(l->v[i], &key);
        table_put(t, buf_slice(&key), l->v[i]);
    }
    buf_free(&key);
    return t;
}

/* adds to what was loaded the objects whose new version is broken, as they were */
static void keep_last_good(const struct file *f, struct kube_loaded *l)
{
    if (!l->unknown && l->n_refused == 0)
        return;
    struct table *refused = refused_set(l), *loaded = loaded_set(l);
    struct buf key = BUF_INIT;
    for (unsigned i = 0; i < f->n; i++) {
        buf_clear(&key);
        claims_key_of(f->v[i], &key);
        if (table_get(loaded, buf_slice(&key)) ||
            (!l->unknown && !table_get(refused, buf_slice(&key))))
            continue;
        l->v = xreallocarray(l->v, l->n + 1, sizeof *l->v);
        l->v[l->n++] = kube_object_ref(f->v[i]);
    }
    buf_free(&key);
    table_free(refused);
    table_free(loaded);
}

static void file_load(struct dir_source *s, struct file *f, struct slice text)
{
    struct kube_loaded l;
    kube_problems_free(&f->problems);
    kube_load_text(text, f->path, NULL, true, &l, &f->problems);
    keep_last_good(f, &l);
    file_set_objects(s, f, l.v, l.n);
    l.v = NULL;
    l.n = 0;
    kube_loaded_free(&l);
}

static void file_unreadable(struct file *f, const char *why)
{
    kube_problems_free(&f->problems);
    kube_problems_add(&f->problems, f->path, 0, "", "", "%s; what it held before is kept", why);
}

static void file_gone(struct dir_source *s, struct file *f)
{
    file_set_objects(s, f, NULL, 0);
    kube_problems_free(&f->problems);
    char *key = xasprintf("%u %s", f->rank, f->path);
    table_del(s->files, slice_str(key)); /* frees f */
    free(key);
}

/* Reads a dirty file.  One that changes meanwhile is read again with the next burst. */
static void file_read_again(struct dir_source *s, struct file *f)
{
    struct stat before, after;
    struct buf text = BUF_INIT;
    struct err e = {""};
    f->dirty = false;
    s->changed = true;
    if (stat(f->path, &before) < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            file_gone(s, f);
        else
            file_unreadable(f, strerror(errno));
        return;
    }
    if (!S_ISREG(before.st_mode)) {
        file_gone(s, f);
        return;
    }
    struct stamp stamp = stamp_of(&before);
    if (is_stamp_of(&f->stamp, &before))
        return;
    f->stamp = (struct stamp){0};
    if (file_read(f->path, YAML_TEXT_MAX, &text, &e) < 0) {
        file_unreadable(f, e.text);
    } else if (stat(f->path, &after) < 0 || !is_stamp_of(&stamp, &after)) {
        if (++f->rereads < REREADS_MAX) {
            s->shape = true;
        } else {
            s->again = true;
            file_unreadable(f, "the file changes all the time");
        }
    } else {
        f->rereads = 0;
        f->stamp = stamp;
        file_load(s, f, buf_slice(&text));
    }
    buf_free(&text);
}

/* ---- problems ------------------------------------------------------------------------------- */

static struct kube_problems collect_problems(const struct dir_source *s)
{
    struct kube_problems all = {NULL, 0};
    struct file *f;
    kube_problems_append(&all, &s->walk_problems);
    table_foreach (s->files, it, NULL, &f)
        kube_problems_append(&all, &f->problems);
    claims_problems(s->claims, &all);
    return all;
}

/* ---- the batch ------------------------------------------------------------------------------ */

static void on_found(unsigned rank, const char *path, const struct stat *st, void *arg)
{
    struct dir_source *s = arg;
    struct file *f = file_of(s, rank, path, true);
    f->walk = s->walk;
    if (!is_stamp_of(&f->stamp, st))
        enqueue(s, f);
}

/* files that a complete walk did not find are gone: let the reader see for itself */
static void queue_vanished(struct dir_source *s)
{
    struct file *f;
    table_foreach (s->files, it, NULL, &f) {
        if (f->walk != s->walk) {
            f->stamp = (struct stamp){0};
            enqueue(s, f);
        }
    }
}

static void walk(struct dir_source *s)
{
    s->shape = false;
    s->walk++;
    s->changed = true;
    kube_problems_free(&s->walk_problems);
    s->again = !dir_scan_walk(s->scan, &s->walk_problems);
    if (!s->again)
        queue_vanished(s);
}

/* Reads queued files for a slice of time; true when none is left. */
static bool read_slice(struct dir_source *s)
{
    uint64_t start = clock_mono_ms();
    while (s->next < s->n_queue) {
        file_read_again(s, s->queue[s->next++]);
        if (clock_mono_ms() - start >= SLICE_MS && s->next < s->n_queue)
            return false;
    }
    s->next = s->n_queue = 0;
    return true;
}

static void end_batch(struct dir_source *s)
{
    bool first = !s->synced;
    claims_apply(s->claims);
    bool news = kube_problems_renew(&s->problems, collect_problems(s));
    s->synced = true;
    s->batch_ms = loop_now_ms(s->loop);
    s->burst_ms = 0;
    s->waited = false;
    if (s->base.on_batch && (first || s->changed || news))
        s->base.on_batch(&s->base, s->base.on_batch_arg);
    s->changed = false;
}

static void on_timer(void *arg)
{
    struct dir_source *s = arg;
    if (s->next == 0 && (s->shape || s->again))
        walk(s);
    if (!read_slice(s)) {
        timer_set(&s->timer, 1);
        return;
    }
    if (s->synced && !s->waited && claims_lose(s->claims)) {
        s->waited = true;
        timer_set(&s->timer, QUIET_MS);
        return;
    }
    end_batch(s);
    if (s->shape)
        timer_set(&s->timer, QUIET_MS);
    else if (s->again)
        timer_set(&s->timer, AGAIN_MS);
}

/* something happened */
static void stir(struct dir_source *s)
{
    uint64_t now = loop_now_ms(s->loop);
    if (s->next > 0)
        return; /* in the middle of a batch: its end looks at the queue */
    if (s->burst_ms == 0)
        s->burst_ms = now;
    bool patient = s->shape || s->waited;
    uint64_t at = now + (patient ? QUIET_MS : FIRST_MS),
             end = s->burst_ms + (patient ? BURST_MS : SPACE_MS), next = s->batch_ms + SPACE_MS;
    if (at > end)
        at = end;
    if (at < next)
        at = next;
    timer_set(&s->timer, at > now ? at - now : 0);
}

static void on_changed(unsigned rank, const char *path, void *arg)
{
    struct dir_source *s = arg;
    struct file *f = file_of(s, rank, path, true);
    f->walk = s->walk;
    enqueue(s, f);
    stir(s);
}

static void on_shape(void *arg)
{
    struct dir_source *s = arg;
    s->shape = true;
    stir(s);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct dir_source *s = arg;
    dir_scan_read(s->scan);
}

/* ---- the interface -------------------------------------------------------------------------- */

static const struct dir_scan_calls scan_calls = {
    .found = on_found,
    .changed = on_changed,
    .shape = on_shape,
};

static const struct kube_problems *dir_problems(const struct kube_source *base)
{
    return &((const struct dir_source *)base)->problems;
}

static bool dir_synced(const struct kube_source *base)
{
    return ((const struct dir_source *)base)->synced;
}

static void dir_refresh(struct kube_source *base)
{
    on_shape(base);
}

static void dir_free(struct kube_source *base)
{
    struct dir_source *s = (struct dir_source *)base;
    if (s->event)
        event_free(s->event);
    timer_cancel(&s->timer);
    dir_scan_free(s->scan);
    claims_free(s->claims);
    table_free(s->files);
    free(s->queue);
    kube_problems_free(&s->walk_problems);
    kube_problems_free(&s->problems);
    free(s);
}

static const struct kube_source_ops dir_ops = {
    .name = "directory",
    .free = dir_free,
    .problems = dir_problems,
    .synced = dir_synced,
    .refresh = dir_refresh,
};

struct kube_source *kube_paths_source_new(struct loop *l, const char *const *paths, unsigned n,
                                          struct kube_store *st, struct err *e)
{
    struct dir_source *s = xcalloc(1, sizeof *s);
    s->base.ops = &dir_ops;
    s->loop = l;
    timer_init(&s->timer, l, on_timer, s);
    s->claims = claims_new(st);
    s->files = table_new(file_free);
    s->scan = dir_scan_new(paths, n, &scan_calls, s, e);
    if (!s->scan) {
        dir_free(&s->base);
        return NULL;
    }
    s->event = event_new(loop_base(l), dir_scan_fd(s->scan), EV_READ | EV_PERSIST, on_readable, s);
    BUG_ON(!s->event || event_add(s->event, NULL) < 0);
    s->shape = true;
    timer_set(&s->timer, 0);
    return &s->base;
}

struct kube_source *kube_dir_source_new(struct loop *l, const char *path, struct kube_store *st,
                                        struct err *e)
{
    return kube_paths_source_new(l, &path, 1, st, e);
}
