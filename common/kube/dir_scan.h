/* dir_scan.h - inside common/kube: finds the files under some paths, and says when to look again.
 *
 * Every directory is watched by inotify.  A file's own change names that file; whatever changes
 * the shape (directories, symbolic links, lost events) asks for a whole new walk: stat() of ten
 * thousand files is tens of milliseconds, and a walk cannot be wrong about what it missed.
 */
#ifndef FSM_KUBE_DIR_SCAN_H
#define FSM_KUBE_DIR_SCAN_H

#include <stdbool.h>
#include <sys/stat.h>
#include "common/base/err.h"
#include "common/kube/object.h"

struct dir_scan;

struct dir_scan_calls {
    /* the walk came to a resource file; rank = index of the root it was found under */
    void (*found)(unsigned rank, const char *path, const struct stat *st, void *arg);
    /* a file may have changed, appeared or gone; path is borrowed */
    void (*changed)(unsigned rank, const char *path, void *arg);
    /* walk again */
    void (*shape)(void *arg);
};

/* borrows calls; -1 roots that do not exist: NULL and e */
struct dir_scan *dir_scan_new(const char *const *roots, unsigned n,
                              const struct dir_scan_calls *calls, void *arg, struct err *e);
void dir_scan_free(struct dir_scan *s);
/* the descriptor to wait for */
int dir_scan_fd(const struct dir_scan *s);
/* reads what inotify has to say, calling changed() and shape() */
void dir_scan_read(struct dir_scan *s);
/* Walks all roots, calling found() for every file in name order, and sets the watches anew.
 * What could not be read goes to problems.  False if a root could not be read or something could
 * not be watched: what was not found says nothing then, and the caller should walk again soon. */
bool dir_scan_walk(struct dir_scan *s, struct kube_problems *problems);

#endif
