/* walk.h - inside common/kube: the manifests under a directory, in name order.
 *
 * Hidden names are left out; of the others *.yaml, *.yml and *.json are manifests.  Symbolic links
 * are followed (volumes are made of them), but never in a circle.
 */
#ifndef FSM_KUBE_WALK_H
#define FSM_KUBE_WALK_H

#include <stdbool.h>
#include <sys/stat.h>

struct walk_calls {
    /* before the directory is read; may be NULL */
    void (*dir)(const char *path, void *arg);
    void (*file)(const char *path, const struct stat *st, void *arg);
    /* why: an errno; what was found there, if anything, is not told */
    void (*trouble)(const char *path, const char *what, int why, void *arg);
};
void walk_tree(const char *dir, const struct walk_calls *calls, void *arg);
bool walk_is_manifest_name(const char *name);
/* returns owned: dir/name, as short as it can be */
char *walk_join(const char *dir, const char *name);

#endif
