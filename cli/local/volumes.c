/* volumes.c - a pod's volumes: made once per pod, mounted into each container that names them.
 *
 * emptyDir, configMap, secret, downwardAPI, projected (also service-account tokens), hostPath, and
 * persistentVolumeClaim, which is a directory of the instance that outlives the pod.
 * Anything else is refused with its name: a volume that silently is not there would be worse.
 */
#include "cli/local/pod.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cli/local/resources.h"
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/pki/pki.h"

#define MODE_DEFAULT  0644
#define TOKEN_SECONDS 3600 /* expirationSeconds when not given, as Kubernetes */

/* where a volume's content is; returns owned */
static char *volume_dir(const struct pod *p, const json_t *volume)
{
    const char *host = json_str(volume, "hostPath.path", NULL);
    const char *claim = json_str(volume, "persistentVolumeClaim.claimName", NULL);

    if (host)
        return xstrdup(host);
    if (claim)
        return xasprintf("%s/claims/%s/%s", p->l->in->dir, p->ns, claim);
    return xasprintf("%s/volumes/%s", p->dir, json_str(volume, "name", ""));
}

static gid_t fs_group(const struct pod *p)
{
    return (gid_t)json_int(p->spec, "securityContext.fsGroup", 0);
}

/* ---- sources of files ----------------------------------------------------------------------- */

struct filling {
    struct pod *p;
    struct table *files;
    mode_t mode;
    uid_t token_uid;
};

static int check_path(const char *path, struct err *e)
{
    const char *at = path;

    if (!*path || path[0] == '/' || strlen(path) > 1024)
        return err_set(e, "path: got \"%s\", expected a relative path", path);
    while (at) {
        size_t n = strcspn(at, "/");
        if (n >= 2 && at[0] == '.' && at[1] == '.')
            return err_set(e, "path: got \"%s\", expected one without parts that begin with ..",
                           path);
        at = at[n] ? at + n + 1 : NULL;
    }
    return 0;
}

/* takes data */
static int add_file(struct filling *f, const char *path, char *data, size_t len, int64_t mode,
                    uid_t uid, struct err *e)
{
    if (check_path(path, e)) {
        free(data);
        return -1;
    }
    struct projected_file *pf = xcalloc(1, sizeof(*pf));
    pf->data = data;
    pf->len = len;
    pf->uid = uid;
    pf->mode = (mode_t)(mode >= 0 ? mode : f->mode) & 0777;
    /* what the owner may read, fsGroup may */
    if (fs_group(f->p))
        pf->mode |= (pf->mode & 0400) >> 3;
    table_put_str(f->files, path, pf);
    return 0;
}

/* the bytes of one key; -1 if it is not there */
static int object_bytes(const struct kube_object *o, const char *key, char **data, size_t *len)
{
    const char *text = json_string_value(json_object_get(json_object_get(o->body, "data"), key));
    const char *coded =
        json_string_value(json_object_get(json_object_get(o->body, "binaryData"), key));
    struct buf b = BUF_INIT;

    if (strcmp(o->kind, "Secret") == 0) {
        coded = text;
        text = json_string_value(json_object_get(json_object_get(o->body, "stringData"), key));
    }
    if (text)
        buf_puts(&b, text);
    else if (!coded || base64_decode(slice_str(coded), &b))
        return -1;
    *len = b.len;
    *data = buf_take(&b);
    return 0;
}

static int add_key(struct filling *f, const struct kube_object *o, const char *key,
                   const char *path, int64_t mode, struct err *e)
{
    char *data;
    size_t len;

    if (object_bytes(o, key, &data, &len))
        return err_set(e, "%s \"%s\" has no key \"%s\"", o->kind, o->name, key);
    return add_file(f, path, data, len, mode, 0, e);
}

static int add_all_keys(struct filling *f, const struct kube_object *o, struct err *e)
{
    static const char *const members[] = {"data", "binaryData", "stringData"};
    const char *key;
    json_t *v;

    for (size_t i = 0; i < 3; i++)
        json_object_foreach (json_object_get(o->body, members[i]), key, v) {
            if (add_key(f, o, key, key, -1, e))
                return -1;
        }
    return 0;
}

static int add_object(struct filling *f, const char *kind, const char *name, const json_t *source,
                      struct err *e)
{
    const struct kube_object *o = res_get(f->p->l, kind, f->p->ns, name);
    const json_t *items = json_object_get(source, "items");
    bool optional = json_bool(source, "optional", false);

    if (!o)
        return optional ? 0 : err_set(e, "%s \"%s\" not found", kind, name);
    if (!json_is_array(items))
        return add_all_keys(f, o, e);
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *it = json_array_get(items, i);
        if (add_key(f, o, json_str(it, "key", ""), json_str(it, "path", ""),
                    json_int(it, "mode", -1), e) &&
            !optional)
            return -1;
    }
    return 0;
}

/* all labels or annotations as the downward API writes them: key="escaped value" */
static char *whole_map(const struct pod *p, const char *path)
{
    struct buf b = BUF_INIT;
    const char *key;
    json_t *v;

    json_object_foreach (json_at(p->object->body, path), key, v) {
        char *quoted = json_dumps(v, JSON_ENCODE_ANY);
        buf_printf(&b, "%s%s=%s", b.len ? "\n" : "", key, quoted);
        free(quoted);
    }
    return buf_take(&b);
}

static int add_downward(struct filling *f, const json_t *source, struct err *e)
{
    const json_t *items = json_object_get(source, "items");

    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *it = json_array_get(items, i);
        const char *field = json_str(it, "fieldRef.fieldPath", "");
        char *v;
        if (strcmp(field, "metadata.labels") == 0 || strcmp(field, "metadata.annotations") == 0)
            v = whole_map(f->p, field);
        else
            v = json_object_get(it, "resourceFieldRef") ? xstrdup("0") : env_field(f->p, field, e);
        if (!v ||
            add_file(f, json_str(it, "path", ""), v, strlen(v), json_int(it, "mode", -1), 0, e))
            return -1;
    }
    return 0;
}

static int add_token(struct filling *f, const json_t *source, struct err *e)
{
    const struct pod *p = f->p;
    int64_t seconds = json_int(source, "expirationSeconds", TOKEN_SECONDS);
    struct pki_token t = {.not_after = clock_wall_ms() / 1000 + seconds};

    snprintf(t.ns, sizeof(t.ns), "%s", p->ns);
    snprintf(t.sa, sizeof(t.sa), "%s", json_str(p->spec, "serviceAccountName", "default"));
    snprintf(t.pod, sizeof(t.pod), "%s", p->name);
    snprintf(t.pod_uid, sizeof(t.pod_uid), "%s", p->uid);
    snprintf(t.audience, sizeof(t.audience), "%s", json_str(source, "audience", "api"));
    char *token = pki_token_sign(p->l->token_key, &t, e);
    if (!token)
        return -1;
    /* readable for its owner only, who is the container's user (as kubelet does) */
    return add_file(f, json_str(source, "path", "token"), token, strlen(token),
                    fs_group(p) ? 0640 : 0600, f->token_uid, e);
}

static int add_projection(struct filling *f, const json_t *source, struct err *e)
{
    const json_t *s;

    if ((s = json_object_get(source, "serviceAccountToken")) != NULL)
        return add_token(f, s, e);
    if ((s = json_object_get(source, "configMap")) != NULL)
        return add_object(f, "ConfigMap", json_str(s, "name", ""), s, e);
    if ((s = json_object_get(source, "secret")) != NULL)
        return add_object(f, "Secret", json_str(s, "name", ""), s, e);
    if ((s = json_object_get(source, "downwardAPI")) != NULL)
        return add_downward(f, s, e);
    return err_set(e, "projected: expected serviceAccountToken, configMap, secret or downwardAPI");
}

static int add_projections(struct filling *f, const json_t *source, struct err *e)
{
    const json_t *list = json_object_get(source, "sources");

    for (size_t i = 0; i < json_array_size(list); i++)
        if (add_projection(f, json_array_get(list, i), e))
            return -1;
    return 0;
}

/* The user that a token's file belongs to: that of the containers which mount the volume, if it
 * is one and the same. */
static uid_t volume_user(const struct pod *p, const char *volume)
{
    int64_t pod_uid = json_int(p->spec, "securityContext.runAsUser", 0), uid = -1;

    for (unsigned i = 0; i < p->n_ctrs; i++) {
        const json_t *spec = p->ctrs[i].spec, *mounts = json_object_get(spec, "volumeMounts");
        for (size_t m = 0; m < json_array_size(mounts); m++) {
            if (strcmp(json_str(json_array_get(mounts, m), "name", ""), volume) != 0)
                continue;
            int64_t own = json_int(spec, "securityContext.runAsUser", pod_uid);
            if (uid >= 0 && uid != own)
                return 0;
            uid = own;
        }
    }
    return uid < 0 ? 0 : (uid_t)uid;
}

/* ---- kinds of volumes ----------------------------------------------------------------------- */

struct volume_kind {
    const char *key;
    /* fills the table of files; NULL = not a directory of files */
    int (*fill)(struct filling *f, const json_t *source, struct err *e);
};

static int fill_config_map(struct filling *f, const json_t *source, struct err *e)
{
    return add_object(f, "ConfigMap", json_str(source, "name", ""), source, e);
}

static int fill_secret(struct filling *f, const json_t *source, struct err *e)
{
    return add_object(f, "Secret", json_str(source, "secretName", ""), source, e);
}

static const struct volume_kind kinds[] = {{"emptyDir", NULL},
                                           {"hostPath", NULL},
                                           {"persistentVolumeClaim", NULL},
                                           {"configMap", fill_config_map},
                                           {"secret", fill_secret},
                                           {"projected", add_projections},
                                           {"downwardAPI", add_downward}};

static const struct volume_kind *kind_of(const json_t *volume, const json_t **source)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if ((*source = json_object_get(volume, kinds[i].key)) != NULL)
            return &kinds[i];
    return NULL;
}

static int fill(struct pod *p, const json_t *volume, const struct volume_kind *kind,
                const json_t *source, struct err *e)
{
    const char *name = json_str(volume, "name", "");
    struct filling f = {.p = p,
                        .files = table_new(projected_file_free),
                        .mode = (mode_t)json_int(source, "defaultMode", MODE_DEFAULT),
                        .token_uid = volume_user(p, name)};
    char *dir = volume_dir(p, volume);
    int rc = kind->fill(&f, source, e);

    if (rc == 0)
        rc = projected_write(dir, f.files, fs_group(p), e);
    free(dir);
    table_free(f.files);
    return rc;
}

static int make_empty_dir(const struct pod *p, const char *dir, const json_t *source, struct err *e)
{
    gid_t group = fs_group(p);

    if (strcmp(json_str(source, "medium", ""), "Memory") == 0 &&
        mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0777"))
        return err_errno(e, "tmpfs on %s", dir);
    if (chown(dir, 0, group) || chmod(dir, group ? 02777 : 0777))
        return err_errno(e, "%s", dir);
    return 0;
}

static int check_host_path(const json_t *source, struct err *e)
{
    const char *path = json_str(source, "path", ""), *type = json_str(source, "type", "");
    struct stat st;

    if (path[0] != '/')
        return err_set(e, "hostPath.path: got \"%s\", expected an absolute path", path);
    if (strcmp(type, "DirectoryOrCreate") == 0)
        return file_mkdirs(path, 0755, e);
    if (strcmp(type, "FileOrCreate") == 0) {
        int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            return err_errno(e, "hostPath %s", path);
        close(fd);
        return 0;
    }
    if (stat(path, &st))
        return err_errno(e, "hostPath %s", path);
    if ((strcmp(type, "Directory") == 0 && !S_ISDIR(st.st_mode)) ||
        (strcmp(type, "File") == 0 && !S_ISREG(st.st_mode)) ||
        (strcmp(type, "Socket") == 0 && !S_ISSOCK(st.st_mode)))
        return err_set(e, "hostPath %s is not of type %s", path, type);
    return 0;
}

static int prepare_one(struct pod *p, const json_t *volume, struct err *e)
{
    const json_t *source = NULL;
    const struct volume_kind *kind = kind_of(volume, &source);

    if (!kind)
        return err_set(e, "this kind of volume does not exist in fsm local: use emptyDir, "
                          "hostPath, configMap, secret, downwardAPI, projected or "
                          "persistentVolumeClaim");
    if (strcmp(kind->key, "hostPath") == 0)
        return check_host_path(source, e);
    if (strchr(json_str(source, "claimName", "x"), '/') ||
        *json_str(source, "claimName", "x") == '.')
        return err_set(e, "claimName: got \"%s\", expected a name",
                       json_str(source, "claimName", ""));
    char *dir = volume_dir(p, volume);
    int rc = file_mkdirs(dir, 0755, e);
    if (rc == 0)
        rc = kind->fill ? fill(p, volume, kind, source, e) : make_empty_dir(p, dir, source, e);
    free(dir);
    return rc;
}

int volumes_prepare(struct pod *p, struct err *e)
{
    const json_t *list = json_object_get(p->spec, "volumes");
    char *dir = xasprintf("%s/volumes", p->dir);
    int rc = file_mkdirs(dir, 0755, e);

    free(dir);
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        rc = prepare_one(p, v, e);
        if (rc)
            err_prefix(e, "volume \"%s\"", json_str(v, "name", ""));
    }
    return rc;
}

void volumes_refresh(struct pod *p)
{
    const json_t *list = json_object_get(p->spec, "volumes");
    struct err e;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i), *source = NULL;
        const struct volume_kind *kind = kind_of(v, &source);
        /* the last good content stays */
        if (kind && kind->fill && fill(p, v, kind, source, &e))
            log_warn("pod", "volume not refreshed pod=%s/%s volume=%s: %s", p->ns, p->name,
                     json_str(v, "name", ""), e.text);
    }
}

static bool source_uses(const json_t *source, const char *kind, const char *name)
{
    const char *found =
        strcmp(kind, "ConfigMap") == 0
            ? json_str(source, "configMap.name", "")
            : json_str(source, "secret.secretName", json_str(source, "secret.name", ""));
    return strcmp(found, name) == 0;
}

bool volumes_uses(const struct pod *p, const char *kind, const char *name)
{
    const json_t *list = json_object_get(p->spec, "volumes");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i), *sources = json_at(v, "projected.sources");
        if (source_uses(v, kind, name))
            return true;
        for (size_t k = 0; k < json_array_size(sources); k++)
            if (source_uses(json_array_get(sources, k), kind, name))
                return true;
    }
    return false;
}

/* ---- mounts of one container ---------------------------------------------------------------- */

static const json_t *find_volume(const struct pod *p, const char *name)
{
    const json_t *list = json_object_get(p->spec, "volumes");

    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_str(json_array_get(list, i), "name", ""), name) == 0)
            return json_array_get(list, i);
    return NULL;
}

static int open_beneath(int root, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* One more directory of a subPath that is not there yet, with the volume's own mode (as kubelet).
 * path ends with part, which is to be made in dir.  Returns it open, or -1. */
static int make_part(int root, int dir, const char *path, const char *part, mode_t mode)
{
    if (mkdirat(dir, part, 0700) && errno != EEXIST)
        return -1;
    int fd = open_beneath(root, path);
    if (fd >= 0 && fchmodat(dir, part, mode, 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Makes what is missing of sub.  A container may have made links there, and may change them while
 * we look: each step goes through the kernel, which follows none out of root. */
static int make_beneath(int root, const char *sub)
{
    char *path = xstrdup(sub);
    struct stat st;
    int dir = dup(root), fd = dir < 0 || fstat(root, &st) ? -1 : dir;

    for (char *part = path, *end; fd >= 0 && *part; part = end) {
        end = part + strcspn(part, "/");
        char sep = *end;
        *end = '\0';
        fd = open_beneath(root, path);
        if (fd < 0 && errno == ENOENT)
            fd = make_part(root, dir, path, part, st.st_mode & 07777);
        close(dir);
        dir = fd;
        *end = sep;
        end += strspn(end, "/");
    }
    free(path);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

/* the shim opens it the same way once more */
static int sub_path(const char *root, const char *sub, struct err *e)
{
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC), rc = fd < 0 ? -1 : make_beneath(fd, sub);

    if (rc && errno == EXDEV)
        err_set(e, "subPath \"%s\" leads out of the volume", sub);
    else if (rc)
        err_errno(e, "subPath \"%s\"", sub);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* subPath or subPathExpr, with its variables filled in; returns owned: "" when there is none */
static char *wanted_sub(const json_t *mount, const json_t *env)
{
    const char *sub = json_str(mount, "subPath", "");
    const char *expr = json_str(mount, "subPathExpr", "");

    if (*sub || !*expr)
        return xstrdup(sub);
    json_t *words = json_pack("[s]", expr), *expanded = env_expand_all(words, env);
    char *out = xstrdup(json_string_value(json_array_get(expanded, 0)) ?: "");
    json_decref(words);
    json_decref(expanded);
    return out;
}

static int append_mount(const struct container *c, const json_t *volume, const json_t *mount,
                        const char *sub, json_t *mounts, struct err *e)
{
    const json_t *unused = NULL;
    const struct volume_kind *kind = kind_of(volume, &unused);
    bool readonly = json_bool(mount, "readOnly", false) || (kind && kind->fill);
    char *root = volume_dir(c->pod, volume);
    int rc = *sub ? (check_path(sub, e) || sub_path(root, sub, e) ? -1 : 0) : 0;

    if (rc == 0)
        json_array_append_new(mounts, json_pack("{s:s, s:s, s:s, s:b}", "source", root, "sub", sub,
                                                "target", json_str(mount, "mountPath", ""),
                                                "readonly", readonly));
    free(root);
    return rc;
}

static int add_mount(const struct container *c, const json_t *mount, const json_t *env,
                     json_t *mounts, struct err *e)
{
    const char *name = json_str(mount, "name", ""), *target = json_str(mount, "mountPath", "");
    const json_t *volume = find_volume(c->pod, name);

    if (!volume)
        return err_set(e, "volumeMounts: no volume \"%s\" in the pod", name);
    if (target[0] != '/')
        return err_set(e, "volumeMounts \"%s\": mountPath: got \"%s\", expected an absolute path",
                       name, target);
    char *sub = wanted_sub(mount, env);
    int rc = append_mount(c, volume, mount, sub, mounts, e);
    free(sub);
    return rc ? err_prefix(e, "volumeMounts \"%s\"", name) : 0;
}

int volumes_mounts(const struct container *c, const json_t *env, json_t *mounts, struct err *e)
{
    const json_t *list = json_object_get(c->spec, "volumeMounts");

    for (size_t i = 0; i < json_array_size(list); i++)
        if (add_mount(c, json_array_get(list, i), env, mounts, e))
            return -1;
    return 0;
}
