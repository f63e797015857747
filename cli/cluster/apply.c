/* apply.c - see apply.h.  What is to be made is remembered before it is made, so that an
 * installation that broke off can be uninstalled. */
#include "cli/cluster/apply.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/cluster/progress.h"
#include "cli/cluster/values.h"
#include "cli/mesh.h"
#include "common/base/codec.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/version.h"
#include "common/pki/pki.h"

#define KEY_MAX (64u << 10)

static const char *kind_name(const json_t *object)
{
    return json_str(object, "kind", "");
}

/* ---- other meshes ---------------------------------------------------------------------------- */

static int check_other(const struct apply *a, const char *mesh, const char *ns, struct err *e)
{
    bool here = strcmp(ns, a->now->ns) == 0, same = strcmp(mesh, a->now->mesh) == 0;

    if (here && same)
        return 0;
    if (here)
        return err_set(e,
                       "namespace [%s] has the mesh [%s]: install [%s] into another one "
                       "(--fsm-namespace), or say --mesh-name %s",
                       ns, mesh, a->now->mesh, mesh);
    if (same)
        return err_set(
            e,
            "the mesh [%s] is in namespace [%s]: say --fsm-namespace %s to change it, or "
            "--mesh-name for another name",
            mesh, ns, ns);
    if (values_bool(a->values, "fsm.enforceSingleMesh", true))
        return err_set(e,
                       "there is a mesh [%s] in namespace [%s]: --set fsm.enforceSingleMesh=false "
                       "lets several be in one cluster",
                       mesh, ns);
    return 0;
}

int apply_check_others(const struct apply *a, struct err *e)
{
    int status, rc = 0;
    json_t *configs =
        cluster_list(a->cluster, kube_kind_by_key("MeshConfig"), NULL, NULL, &status, e);

    if (!configs)
        return status == 404 ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < json_array_size(configs); i++) {
        const json_t *one = json_array_get(configs, i);
        if (strcmp(json_str(one, "metadata.name", ""), MESH_CONFIG) == 0)
            rc = check_other(a, mesh_name_of(one), json_str(one, "metadata.namespace", ""), e);
    }
    json_decref(configs);
    return rc;
}

/* ---- one object ------------------------------------------------------------------------------ */

/* 0, 1 if it is there, -1 and e */
static int is_there(struct cluster *c, const json_t *object, struct err *e)
{
    char *path = cluster_path_of(object, false);
    int status = cluster_get(c, path, NULL, e);

    free(path);
    return cluster_is_good(status) ? 1 : status == 404 ? 0 : -1;
}

static int apply_one(const struct apply *a, const json_t *object, struct err *e)
{
    char *path = cluster_path_of(object, false);
    char *to =
        xasprintf("%s?fieldManager=" FIELD_MANAGER "&force=%s", path, a->force ? "true" : "false");
    int status = cluster_send(a->cluster, KUBE_APPLY, to, object, NULL, e);

    free(path);
    free(to);
    if (status == 409)
        err_prefix(e,
                   "somebody else has set fields of %s %s: --force-conflicts takes them over, the "
                   "values may hold the same",
                   kind_name(object), json_str(object, "metadata.name", ""));
    else if (status == 403)
        err_prefix(e, "'fsm check --pre' lists the rights that are needed");
    return cluster_is_good(status) ? 0 : -1;
}

static int remove_one(struct cluster *c, const json_t *object, struct err *e)
{
    char *path = cluster_path_of(object, false);
    json_t *options = json_pack("{s:s}", "propagationPolicy", "Background");
    int status = path ? cluster_send(c, KUBE_DELETE, path, options, NULL, e) : -1;

    free(path);
    json_decref(options);
    return cluster_is_good(status) || status == 404 ? 0 : -1;
}

/* ---- namespace and definitions --------------------------------------------------------------- */

static int apply_namespace(const struct apply *a, struct stored *s, struct err *e)
{
    const json_t *ns = list_find(a->now->objects, "kind", "Namespace");
    int there = is_there(a->cluster, ns, e);

    if (there < 0 || apply_one(a, ns, e))
        return -1;
    if (!there)
        s->made_namespace = true;
    progress("namespace %s: %s", a->now->ns, there ? "there" : "made");
    return 0;
}

static int wait_established(struct cluster *c, const json_t *definition, struct err *e)
{
    char *path = cluster_path_of(definition, false);
    bool done = false, timely = true;

    while (!done && timely) {
        json_t *now;
        if (!cluster_is_good(cluster_get(c, path, &now, e)))
            break;
        done = object_has_condition(now, "Established");
        json_decref(now);
        timely = done || progress_wait();
    }
    if (!done && !timely)
        err_set(e, "CustomResourceDefinition %s: not established in time",
                json_str(definition, "metadata.name", ""));
    free(path);
    return done ? 0 : -1;
}

static int apply_definitions(const struct apply *a, struct err *e)
{
    const json_t *all = a->now->definitions;

    for (size_t i = 0; i < json_array_size(all); i++)
        if (apply_one(a, json_array_get(all, i), e))
            return -1;
    for (size_t i = 0; i < json_array_size(all); i++)
        if (wait_established(a->cluster, json_array_get(all, i), e))
            return -1;
    progress("%zu definitions (CRDs) are established", json_array_size(all));
    return 0;
}

/* ---- certificate authority ------------------------------------------------------------------- */

static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->cap);
    buf_free(b);
}

/* a fresh one, base64, made in a directory of this process; certificate and key */
static int make_ca(struct buf *crt, struct buf *key, struct err *e)
{
    char dir[] = "/tmp/fsm-ca-XXXXXX";
    struct buf pem[2] = {BUF_INIT, BUF_INIT};

    if (!mkdtemp(dir))
        return err_errno(e, "%s", dir);
    char *crt_path = xasprintf("%s/ca.crt", dir), *key_path = xasprintf("%s/ca.key", dir);
    struct pki_ca *ca = pki_ca_open(dir, "cluster.local", e);
    int rc = ca && file_read(crt_path, KEY_MAX, &pem[0], e) == 0 &&
                     file_read(key_path, KEY_MAX, &pem[1], e) == 0
                 ? 0
                 : -1;
    if (rc == 0) {
        base64_encode(pem[0].p, pem[0].len, crt);
        base64_encode(pem[1].p, pem[1].len, key);
    }
    pki_ca_free(ca);
    wipe(&pem[0]);
    wipe(&pem[1]);
    file_remove_tree(dir, NULL);
    free(crt_path);
    free(key_path);
    return rc;
}

static json_t *secret_of(const struct apply *a)
{
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:{s:s, s:s}}, s:s}", "apiVersion", "v1", "kind",
                     "Secret", "metadata", "name", a->now->ca_secret, "namespace", a->now->ns,
                     "labels", LABEL_NAME, LABEL_VALUE, LABEL_INSTANCE, a->now->mesh, "type",
                     "Opaque");
}

/* Made once: a mesh keeps its roots. */
static int apply_ca(const struct apply *a, struct stored *s, struct err *e)
{
    json_t *secret = secret_of(a);
    struct buf crt = BUF_INIT, key = BUF_INIT;
    int there = is_there(a->cluster, secret, e), rc = there < 0 ? -1 : 0;

    json_wipe(true);
    if (there == 0 && (rc = make_ca(&crt, &key, e)) == 0) {
        stored_add(s, secret);
        json_object_set_new(secret, "data",
                            json_pack("{s:s, s:s}", "ca.crt", crt.p, "ca.key", key.p));
        char *path = cluster_path_of(secret, true);
        rc = cluster_is_good(cluster_send(a->cluster, KUBE_CREATE, path, secret, NULL, e)) ? 0 : -1;
        free(path);
    }
    json_decref(secret);
    json_wipe(false);
    wipe(&crt);
    wipe(&key);
    if (rc == 0)
        progress("certificate authority: Secret %s %s", a->now->ca_secret,
                 there ? "there" : "made");
    return rc;
}

/* ---- the MeshConfig -------------------------------------------------------------------------- */

static json_t *merge_tag(json_t *patch, const char *tag)
{
    json_t *one = json_pack("{s:{s:{s:s}}}", "spec", "image", "tag", tag);
    json_t *merged = json_merge_patch(patch, one);

    json_decref(one);
    return merged;
}

/* What changed between the values of then and of now, and what was named this time: the rest of the
 * MeshConfig is its users'. */
static json_t *config_change(const struct apply *a, const struct stored *before,
                             const json_t *current, struct err *e)
{
    struct rendered then;
    json_t *patch;

    if (render(before->values, a->now->mesh, a->now->ns, &then, e))
        return NULL;
    patch = json_merge_diff(then.config, a->now->config);
    if (!patch)
        patch = json_object();
    json_t *given = render_config_patch(a->given);
    patch = json_merge_patch(patch, given);
    json_object_set_new(patch, "metadata",
                        json_pack("{s:O}", "labels", json_at(a->now->config, "metadata.labels")));
    json_decref(given);
    rendered_free(&then);
    /* sidecars go with the control plane, unless somebody wants others */
    if (strcmp(json_str(current, "spec.image.tag", ""), before->version) == 0)
        patch = merge_tag(patch, json_str(a->now->config, "spec.image.tag", fsm_version));
    return patch;
}

static int apply_config(const struct apply *a, const struct stored *before, struct stored *s,
                        struct err *e)
{
    char *path = cluster_path_of(a->now->config, false);
    json_t *current, *body = NULL;
    int status = cluster_get(a->cluster, path, &current, e);
    bool there = cluster_is_good(status);

    if (there || status == 404)
        body = there ? config_change(a, before, current, e) : json_incref(a->now->config);
    free(path);
    path = cluster_path_of(a->now->config, !there);
    char *to = xasprintf("%s?fieldManager=" FIELD_MANAGER, path);
    if (body)
        status = cluster_send(a->cluster, there ? KUBE_MERGE : KUBE_CREATE, to, body, NULL, e);
    free(path);
    free(to);
    json_decref(current);
    if (!body || !cluster_is_good(status)) {
        json_decref(body);
        return -1;
    }
    json_decref(body);
    if (!there)
        stored_add(s, a->now->config);
    progress("MeshConfig %s: %s", MESH_CONFIG, there ? "there, what was set is in it" : "made");
    return 0;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static int apply_objects(const struct apply *a, struct err *e)
{
    const json_t *all = a->now->objects;

    for (size_t i = 0; i < json_array_size(all); i++)
        if (apply_one(a, json_array_get(all, i), e))
            return -1;
    progress("%zu objects are applied", json_array_size(all));
    return 0;
}

/* what only an earlier version or other values had */
static int prune(const struct apply *a, struct stored *s, struct err *e)
{
    for (size_t i = json_array_size(s->objects); i > 0; i--) {
        json_t *one = json_incref(json_array_get(s->objects, i - 1));
        const char *kind = kind_name(one);
        bool kept = stored_has(a->now->objects, one) || strcmp(kind, "Secret") == 0 ||
                    strcmp(kind, "MeshConfig") == 0;
        int rc = kept ? 0 : remove_one(a->cluster, one, e);
        if (!kept && rc == 0) {
            progress("%s %s is not needed any more: deleted", kind,
                     json_str(one, "metadata.name", ""));
            json_array_remove(s->objects, i - 1);
        }
        json_decref(one);
        if (rc)
            return rc;
    }
    return 0;
}

int apply_all(const struct apply *a, struct stored *s, struct err *e)
{
    struct stored before = {.values = json_incref(s->values),
                            .version = xstrdup(s->version ? s->version : "")};
    int rc = apply_namespace(a, s, e);

    free(s->mesh);
    s->mesh = xstrdup(a->now->mesh);
    for (size_t i = 0; i < json_array_size(a->now->objects); i++)
        if (strcmp(kind_name(json_array_get(a->now->objects, i)), "Namespace") != 0)
            stored_add(s, json_array_get(a->now->objects, i));
    rc = rc || stored_save(a->cluster, a->now->ns, s, e) || apply_definitions(a, e) ||
                 apply_ca(a, s, e) || stored_save(a->cluster, a->now->ns, s, e) ||
                 apply_objects(a, e) || prune(a, s, e) || apply_config(a, &before, s, e)
             ? -1
             : 0;
    if (rc == 0) {
        json_decref(s->values);
        s->values = json_deep_copy(a->values);
        rc = stored_save(a->cluster, a->now->ns, s, e);
    }
    stored_clear(&before);
    return rc;
}
