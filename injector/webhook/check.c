/* check.c - one object, judged for the API server; see check.h. */
#include "injector/webhook/check.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/kind.h"
#include "common/kube/object.h"
#include "common/kube/utf8.h"
#include "common/policy/settings.h"

#define MONITORED_BY "flomesh.io/monitored-by"
#define RESYNC_MIN   30000 /* ms; a shorter configResyncInterval is ignored */
#define KEY_BITS_MIN 2048
#define KEY_BITS_MAX 4096

struct check {
    const struct review *rv;
    const struct check_world *w;
    const struct kube_kind *kind; /* NULL: not known */
    const json_t *body;           /* checked, with its defaults */
    struct check_result *out;
};

static void __attribute__((format(printf, 2, 3))) warn(struct check *c, const char *fmt, ...)
{
    struct buf text = BUF_INIT;
    va_list ap;

    if (json_array_size(c->out->warnings) >= CHECK_WARNINGS_MAX)
        return;
    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    char *clean = utf8_clean(text.p);
    json_array_append_new(c->out->warnings, json_string(clean));
    free(clean);
    buf_free(&text);
}

/* ---- what is legal and surely not meant --------------------------------------------------------
 */

/* kinds that a switch of the MeshConfig has to turn on */
static const struct {
    const char *kind, *flag;
} switches[] = {
    {"AccessCert", "enableAccessCertPolicy"}, {"AccessControl", "enableAccessControlPolicy"},
    {"Egress", "enableEgressPolicy"},         {"IngressBackend", "enableIngressBackendPolicy"},
    {"Plugin", "enablePluginPolicy"},         {"PluginChain", "enablePluginPolicy"},
    {"PluginConfig", "enablePluginPolicy"},   {"Retry", "enableRetryPolicy"},
};

static void warn_switched_off(struct check *c)
{
    for (size_t i = 0; i < sizeof(switches) / sizeof(*switches); i++) {
        if (strcmp(switches[i].kind, c->kind->key) != 0)
            continue;
        char *path = xasprintf("spec.featureFlags.%s", switches[i].flag);
        if (c->w->meshconfig && !json_bool(c->w->meshconfig, path, false))
            warn(c, "this %s has no effect while %s of the MeshConfig is not true", c->kind->kind,
                 path);
        free(path);
    }
}

static void warn_permissive(struct check *c)
{
    static const char path[] = "spec.traffic.enablePermissiveTrafficPolicyMode";

    if (strcmp(c->kind->key, "TrafficTarget") == 0 && json_bool(c->w->meshconfig, path, false))
        warn(c, "this TrafficTarget restricts nothing while %s of the MeshConfig is true", path);
}

/* policies count only where pods of the mesh are */
static void warn_outside(struct check *c)
{
    const json_t *labels = json_at(c->w->ns, "metadata.labels");
    const char *mesh = json_string_value(json_object_get(labels, MONITORED_BY));
    bool policy = strcmp(c->kind->group, "policy.flomesh.io") == 0 ||
                  strstr(c->kind->group, ".smi-spec.io") != NULL;

    if (policy && c->w->ns && (!mesh || strcmp(mesh, c->w->mesh_name) != 0))
        warn(c,
             "namespace %s is not in the mesh (label " MONITORED_BY "=%s), so that this %s has no "
             "effect",
             c->rv->ns ? c->rv->ns : "", c->w->mesh_name, c->kind->kind);
}

static void warn_of_config(struct check *c)
{
    const char *name = json_str(c->body, "metadata.name", "");
    const char *ns = json_str(c->body, "metadata.namespace", "");
    const char *resync = json_str(c->body, "spec.sidecar.configResyncInterval", NULL);
    int64_t bits = json_int(c->body, "spec.certificate.certKeyBitSize", KEY_BITS_MIN), ms;

    if (strcmp(name, MESH_CONFIG_NAME) != 0 || strcmp(ns, c->w->fsm_namespace) != 0)
        warn(c, "the mesh reads the MeshConfig %s/" MESH_CONFIG_NAME " only: %s/%s has no effect",
             c->w->fsm_namespace, ns, name);
    if (resync && clock_parse_duration(resync, &ms) == 0 && ms != 0 && ms < RESYNC_MIN)
        warn(c, "spec.sidecar.configResyncInterval: less than 30s has no effect");
    if (bits < KEY_BITS_MIN || bits > KEY_BITS_MAX)
        warn(c, "spec.certificate.certKeyBitSize: outside of 2048..4096 it counts as 2048");
    if (json_bool(c->body, "spec.sidecar.sidecarDisabledMTLS", false))
        warn(c, "spec.sidecar.sidecarDisabledMTLS: sidecars speak plaintext to each other, and "
                "identities are not checked");
    if (json_bool(c->body, "spec.ingress.enabled", false) &&
        json_bool(c->body, "spec.gatewayAPI.enabled", false))
        warn(c, "spec.ingress.enabled and spec.gatewayAPI.enabled exclude each other: neither has "
                "an effect while both are true");
}

/* What the strict reading of files would refuse: fields that nobody knows, mostly misspelt. */
static void warn_unknown_fields(struct check *c, const json_t *object)
{
    struct kube_problems problems = {NULL, 0};

    kube_object_unref(kube_object_from_json(json_deep_copy(object), "", 0, c->rv->ns, &problems));
    for (unsigned i = 0; i < problems.n; i++)
        if (strncmp(problems.v[i].field, "spec", 4) == 0)
            warn(c, "%s: %s", problems.v[i].field, problems.v[i].message);
    kube_problems_free(&problems);
}

/* ---- what is wrong -----------------------------------------------------------------------------
 */

/* of what was sent, as the store will have it: where the server is still to give a name, one is
 * made up */
static json_t *complete(const struct review *rv)
{
    json_t *copy = json_deep_copy(rv->object), *meta = json_object_get(copy, "metadata");
    const char *prefix = json_str(meta, "generateName", NULL);

    if (prefix && !*json_str(meta, "name", ""))
        json_object_set_new(meta, "name", json_sprintf("%s00000", prefix));
    if (rv->ns && *rv->ns && !*json_str(meta, "namespace", ""))
        json_object_set_new(meta, "namespace", json_string(rv->ns));
    return copy;
}

/* but for metadata and status, which are not ours to judge */
static bool is_unchanged(const struct review *rv)
{
    json_t *now = json_copy((json_t *)(uintptr_t)rv->object);
    json_t *old = json_copy((json_t *)(uintptr_t)rv->old);
    bool same;

    for (unsigned i = 0; i < 2; i++) {
        json_object_del(i ? old : now, "metadata");
        json_object_del(i ? old : now, "status");
    }
    same = json_is_object(rv->old) && json_equal(now, old);
    json_decref(now);
    json_decref(old);
    return same;
}

static void refuse(struct check *c, const struct kube_problems *problems)
{
    char *why = kube_problems_words(problems, CHECK_PROBLEMS_MAX);

    if (is_unchanged(c->rv)) {
        warn(c, "not in force: %s", why);
        free(why);
        return;
    }
    c->out->verdict = CHECK_refused;
    c->out->why = why;
}

static void judge(struct check *c)
{
    struct kube_problems problems = {NULL, 0};
    json_t *object = complete(c->rv);
    struct kube_object *o = kube_object_from_server(json_deep_copy(object), &problems);

    if (o) {
        c->body = o->body;
        warn_unknown_fields(c, object);
        warn_switched_off(c);
        warn_permissive(c);
        warn_outside(c);
        if (strcmp(c->kind->key, "MeshConfig") == 0)
            warn_of_config(c);
    } else {
        refuse(c, &problems);
    }
    kube_object_unref(o);
    kube_problems_free(&problems);
    json_decref(object);
}

/* ---- from outside ------------------------------------------------------------------------------
 */

/* "apps/v1" -> "apps"; the core group is "" */
static const struct kube_kind *kind_of(const json_t *object)
{
    const char *version = json_str(object, "apiVersion", "");
    const char *slash = strchr(version, '/');
    char *group = xstrndup(version, slash ? (size_t)(slash - version) : 0);
    const struct kube_kind *k = kube_kind_find(group, json_str(object, "kind", ""));

    free(group);
    return k;
}

int check_object(const struct review *rv, const struct check_world *w, struct check_result *out,
                 struct err *e)
{
    struct check c = {.rv = rv, .w = w, .out = out};

    *out = (struct check_result){.verdict = CHECK_good};
    if (!json_is_object(rv->object) || !json_is_object(json_object_get(rv->object, "metadata")))
        return err_set(e, "request.object: expected an object with apiVersion, kind and metadata");
    out->warnings = json_array();
    c.kind = kind_of(rv->object);
    if (!c.kind)
        warn(
            &c,
            "fsm-injector does not know kind %.64s of %.128s: the webhook's rules ask it too often",
            json_str(rv->object, "kind", ""), json_str(rv->object, "apiVersion", ""));
    else if (!json_at(rv->object, "metadata.deletionTimestamp"))
        judge(&c); /* what is about to go only waits for its finalizers */
    if (out->verdict == CHECK_good && json_array_size(out->warnings) > 0)
        out->verdict = CHECK_warned;
    return 0;
}

void check_clear(struct check_result *r)
{
    free(r->why);
    json_decref(r->warnings);
    *r = (struct check_result){.verdict = CHECK_good};
}
