/* spec.c - the specification of one container run, from JSON. */
#include "cli/local/shim/shim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/mem.h"

#define SPEC_MAX (16u * 1024 * 1024)

static char *read_all(int fd, size_t *len, struct err *e)
{
    size_t cap = 65536;
    char *p = xmalloc(cap);

    *len = 0;
    for (;;) {
        ssize_t n = read(fd, p + *len, cap - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            free(p);
            err_errno(e, "reading the specification");
            return NULL;
        }
        if (n == 0)
            return p;
        *len += (size_t)n;
        if (*len == cap) {
            cap *= 2;
            if (cap > SPEC_MAX) {
                free(p);
                err_set(e, "the specification is larger than %u bytes", SPEC_MAX);
                return NULL;
            }
            p = xrealloc(p, cap);
        }
    }
}

/* borrows the strings of the array; NULL-terminated */
static char **strings(const json_t *array)
{
    size_t n = json_array_size(array);
    char **v = xcalloc(n + 1, sizeof(*v));

    for (size_t i = 0; i < n; i++)
        v[i] = xstrdup(json_string_value(json_array_get(array, i)) ?: "");
    return v;
}

static char *dup_member(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? xstrdup(s) : NULL;
}

static void read_mounts(struct shim_spec *s, const json_t *list)
{
    s->n_mounts = json_array_size(list);
    s->mounts = xcalloc(s->n_mounts + 1, sizeof(*s->mounts));
    for (size_t i = 0; i < s->n_mounts; i++) {
        const json_t *m = json_array_get(list, i);
        s->mounts[i] = (struct shim_mount){
            .source = dup_member(m, "source"),
            .sub = dup_member(m, "sub"),
            .target = dup_member(m, "target"),
            .options = dup_member(m, "options"),
            .readonly = json_is_true(json_object_get(m, "readonly")),
            .replace_link = json_is_true(json_object_get(m, "replaceLink")),
            .fd = -1,
        };
    }
}

static void read_groups(struct shim_spec *s, const json_t *list)
{
    s->n_groups = json_array_size(list);
    s->groups = xcalloc(s->n_groups + 1, sizeof(*s->groups));
    for (size_t i = 0; i < s->n_groups; i++)
        s->groups[i] = (gid_t)json_integer_value(json_array_get(list, i));
}

static int check(const struct shim_spec *s, struct err *e)
{
    if (!s->argv[0])
        return err_set(e, "specification: argv is empty");
    for (size_t i = 0; i < s->n_mounts; i++)
        if (!s->mounts[i].source || !s->mounts[i].target || s->mounts[i].target[0] != '/')
            return err_set(e, "specification: mounts[%zu] needs a source and an absolute target",
                           i);
    return 0;
}

int spec_read(struct shim_spec *s, int fd, char **words, struct err *e)
{
    size_t len;
    json_error_t je;
    char *text = read_all(fd, &len, e);

    if (!text)
        return -1;
    s->doc = json_loadb(text, len, 0, &je);
    free(text);
    if (!json_is_object(s->doc))
        return err_set(e, "the specification is no JSON object: line %d: %s", je.line, je.text);
    json_t *d = s->doc;
    s->argv = words[0] ? words : strings(json_object_get(d, "argv"));
    s->env = strings(json_object_get(d, "env"));
    s->cwd = json_string_value(json_object_get(d, "cwd"));
    s->uid = (uid_t)json_integer_value(json_object_get(d, "uid"));
    s->gid = (gid_t)json_integer_value(json_object_get(d, "gid"));
    s->caps = (uint64_t)json_integer_value(json_object_get(d, "caps"));
    s->no_new_privs = json_is_true(json_object_get(d, "noNewPrivileges"));
    s->tty = json_is_true(json_object_get(d, "tty"));
    s->privileged = json_is_true(json_object_get(d, "privileged"));
    s->readonly_root = json_is_true(json_object_get(d, "readonlyRoot"));
    s->rootfs = json_string_value(json_object_get(d, "rootfs"));
    s->log_name = json_string_value(json_object_get(d, "log"));
    s->log_max = (uint64_t)json_integer_value(json_object_get(d, "logMax"));
    s->n_join = (size_t)json_integer_value(json_object_get(d, "join"));
    s->target = (pid_t)json_integer_value(json_object_get(d, "target"));
    read_groups(s, json_object_get(d, "groups"));
    read_mounts(s, json_object_get(d, "mounts"));
    return check(s, e);
}
