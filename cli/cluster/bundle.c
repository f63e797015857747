/* bundle.c - fsm support bundle: what somebody who helps from afar wants to see, in one archive,
 * and no secret in it (redact.h; Secrets are not even read). */
#include "cli/cluster/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "cli/cluster/check.h"
#include "cli/cluster/cluster.h"
#include "cli/cluster/plane.h"
#include "cli/cluster/progress.h"
#include "cli/cluster/redact.h"
#include "cli/cluster/render.h"
#include "cli/cluster/tar.h"
#include "cli/transport.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/version.h"
#include "common/kube/forward.h"
#include "common/kube/object.h"

#define LOG_MAX     (8u << 20) /* of one container */
#define LOG_LINES   5000
#define SIDECARS    20
#define FORWARD_MS  10000
#define PATIENCE_MS 20000
#define SIDECAR     "sidecar"

static struct {
    const char *ns, *file;
    unsigned sidecars;
} flags = {.sidecars = SIDECARS};

static const struct opt bundle_opts[] = {
    CLUSTER_OPTS,
    {0, "fsm-namespace", "NAMESPACE", "namespace of the control plane (default fsm-system)",
     OPT_STR(&flags.ns)},
    {'o', "out-file", "FILE", "the archive (default fsm-support-TIME.tar; must not be there)",
     OPT_STR(&flags.file)},
    {0, "sidecars", "N", "ask and read the logs of N sidecars at most (default 20)",
     OPT_UINT(&flags.sidecars, 0, 100000)},
    OPT_END};

/* kinds outside of fsm's groups, and whether only those of the control plane's namespace */
static const struct {
    const char *kind;
    bool own;
} kinds[] = {{"Namespace", false},
             {"Node", false},
             {"Pod", false},
             {"Service", false},
             {"ServiceAccount", true},
             {"EndpointSlice", false},
             {"Deployment", false},
             {"ReplicaSet", true},
             {"DaemonSet", false},
             {"StatefulSet", false},
             {"ConfigMap", true},
             {"Lease", true},
             {"Event", false},
             {"Role", true},
             {"RoleBinding", true},
             {"NetworkPolicy", false},
             {"PodDisruptionBudget", true},
             {"MutatingWebhookConfiguration", false},
             {"ValidatingWebhookConfiguration", false},
             {"CustomResourceDefinition", false}};

struct run {
    struct cluster *c;
    struct tar *tar;
    const char *ns;
    struct buf errors; /* what could not be had */
};

static void missed(struct run *r, const char *what, const char *why)
{
    buf_printf(&r->errors, "%s: %s\n", what, why);
}

/* takes data */
static void add_yaml(struct run *r, const char *name, json_t *data)
{
    struct buf b = BUF_INIT;

    redact(data);
    kube_to_yaml(data, &b);
    tar_add(r->tar, name, buf_slice(&b));
    buf_free(&b);
    json_decref(data);
}

/* ---- objects --------------------------------------------------------------------------------- */

/* a definition's schema is known from its version */
static void shorten(json_t *definitions)
{
    for (size_t i = 0; i < json_array_size(definitions); i++) {
        json_t *versions = json_at(json_array_get(definitions, i), "spec.versions");
        for (size_t v = 0; v < json_array_size(versions); v++)
            json_object_del(json_array_get(versions, v), "schema");
    }
}

static void add_kind(struct run *r, const struct kube_kind *k, const char *ns)
{
    struct err e;
    int status;
    json_t *all = cluster_list(r->c, k, ns, NULL, &status, &e);
    char *name = xasprintf("objects/%s%s%s.yaml", k->plural, *k->group ? "." : "", k->group);

    if (all && strcmp(k->kind, "CustomResourceDefinition") == 0)
        shorten(all);
    if (all && json_array_size(all))
        add_yaml(r, name,
                 json_pack("{s:s, s:s, s:O}", "apiVersion", "v1", "kind", "List", "items", all));
    else if (!all && status != 404)
        missed(r, name, e.text);
    json_decref(all);
    free(name);
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

static void add_objects(struct run *r)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        add_kind(r, kube_kind_by_key(kinds[i].kind), kinds[i].own ? r->ns : NULL);
    for (unsigned i = 0; i < kube_kinds_count(); i++) {
        const struct kube_kind *k = kube_kind_at(i);
        if (ends_with(k->group, "flomesh.io") || ends_with(k->group, "smi-spec.io") ||
            strcmp(k->group, "gateway.networking.k8s.io") == 0)
            add_kind(r, k, NULL);
    }
    progress("objects: %u files", tar_count(r->tar));
}

/* ---- logs ------------------------------------------------------------------------------------ */

static void add_log(struct run *r, const char *ns, const char *pod, const char *container,
                    bool previous)
{
    struct buf text = BUF_INIT;
    struct err e;
    char *path =
        xasprintf("/api/v1/namespaces/%s/pods/%s/log?container=%s&tailLines=%d&"
                  "timestamps=true&limitBytes=%u%s",
                  ns, pod, container, LOG_LINES, LOG_MAX, previous ? "&previous=true" : "");
    char *name = xasprintf("logs/%s/%s/%s%s.log", ns, pod, container, previous ? ".previous" : "");
    int status = cluster_text(r->c, path, LOG_MAX + 1, &text, &e);

    if (cluster_is_good(status) && text.len)
        tar_add(r->tar, name, buf_slice(&text));
    else if (!cluster_is_good(status) && !previous)
        missed(r, name, e.text);
    free(path);
    free(name);
    buf_free(&text);
}

/* of all containers of the list, or of the one that is named */
static void add_logs(struct run *r, const json_t *pod, const char *list, const char *only)
{
    const json_t *all = json_at(pod, list);
    const char *ns = json_str(pod, "metadata.namespace", ""),
               *name = json_str(pod, "metadata.name", "");

    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *s = json_array_get(all, i);
        const char *container = json_str(s, "name", "");
        if (only && strcmp(only, container) != 0)
            continue;
        add_log(r, ns, name, container, false);
        if (json_int(s, "restartCount", 0) > 0)
            add_log(r, ns, name, container, true);
    }
}

/* ---- what daemons say of themselves ---------------------------------------------------------- */

static void add_page(struct run *r, const struct kube_access *access, const json_t *pod,
                     unsigned port, const char *page)
{
    const char *ns = json_str(pod, "metadata.namespace", ""),
               *name = json_str(pod, "metadata.name", "");
    char *file = xasprintf("admin/%s/%s%s", ns, name, page);
    struct buf b = BUF_INIT;
    struct err e;

    if (kube_forward_get(access, ns, name, port, page, FORWARD_MS, &b, &e) < 0)
        missed(r, file, e.text);
    else
        tar_add(r->tar, file, buf_slice(&b));
    buf_free(&b);
    free(file);
}

static void add_plane(struct run *r, const struct kube_access *access)
{
    static const char *const pages[] = {"/version", "/health/ready", "/problems", "/proxies",
                                        "/metrics"};
    struct err e;
    json_t *pods = plane_pods(r->c, r->ns, &e);

    if (!pods)
        missed(r, "pods of the control plane", e.text);
    for (size_t i = 0; i < json_array_size(pods); i++) {
        const json_t *pod = json_array_get(pods, i);
        add_logs(r, pod, "status.containerStatuses", NULL);
        if (strcmp(json_str(pod, "status.phase", ""), "Running") != 0)
            continue;
        bool controller = strcmp(json_str(pod, "metadata.labels.app", ""), "fsm-controller") == 0;
        for (size_t p = 0; p < sizeof(pages) / sizeof(*pages); p++)
            if (controller || strcmp(pages[p], "/proxies") != 0)
                add_page(r, access, pod, PLANE_ADMIN_PORT, pages[p]);
    }
    progress("control plane: %zu pods", json_array_size(pods));
    json_decref(pods);
}

static void add_sidecar(struct run *r, const struct kube_access *access, const json_t *pod)
{
    static const char *const pages[] = {"/config_dump", "/clusters", "/listeners",
                                        "/certs",       "/ready",    "/stats"};

    add_logs(r, pod, "status.initContainerStatuses", "fsm-init");
    add_logs(r, pod, "status.initContainerStatuses", SIDECAR);
    add_logs(r, pod, "status.containerStatuses", SIDECAR);
    if (strcmp(json_str(pod, "status.phase", ""), "Running") != 0)
        return;
    for (size_t p = 0; p < sizeof(pages) / sizeof(*pages); p++)
        add_page(r, access, pod, 15000, pages[p]);
}

static void add_sidecars(struct run *r, const struct kube_access *access)
{
    struct err e;
    json_t *pods =
        cluster_list(r->c, kube_kind_by_key("Pod"), NULL, "labelSelector=fsm-proxy-uuid", NULL, &e);
    size_t n = json_array_size(pods), asked = n < flags.sidecars ? n : flags.sidecars;

    if (!pods)
        missed(r, "pods with a sidecar", e.text);
    for (size_t i = 0; i < asked; i++)
        add_sidecar(r, access, json_array_get(pods, i));
    if (asked < n)
        missed(r, "sidecars", "more than were asked for: --sidecars N takes more of them");
    progress("sidecars: %zu of %zu", asked, n);
    json_decref(pods);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void add_versions(struct run *r)
{
    struct err e;
    json_t *server = NULL;

    if (!cluster_is_good(cluster_get(r->c, "/version", &server, &e)))
        missed(r, "version", e.text);
    add_yaml(r, "version.yaml",
             json_pack("{s:{s:s, s:s, s:s}, s:o}", "client", "version", fsm_version, "commit",
                       fsm_commit, "tls", fsm_tls, "server", server ? server : json_null()));
}

static void add_checks(struct run *r)
{
    struct err e;
    json_t *rows = check_collect(r->c, r->ns, &e);

    if (rows)
        add_yaml(r, "check.yaml", rows);
    else
        missed(r, "check", e.text);
}

static int collect(struct run *r, struct err *e)
{
    struct kube_access access;

    if (kube_access_load(&transport_from, &access, e))
        return -1;
    cluster_patience(r->c, PATIENCE_MS);
    add_versions(r);
    add_checks(r);
    add_objects(r);
    add_plane(r, &access);
    add_sidecars(r, &access);
    if (r->errors.len)
        tar_add(r->tar, "errors.txt", buf_slice(&r->errors));
    kube_access_clear(&access);
    return 0;
}

static char *file_name(void)
{
    time_t now = time(NULL);
    struct tm tm;
    char text[64];

    if (flags.file)
        return xstrdup(flags.file);
    strftime(text, sizeof(text), "fsm-support-%Y%m%dT%H%M%SZ.tar", gmtime_r(&now, &tm));
    return xstrdup(text);
}

static int cmd_bundle(int argc, char **argv)
{
    struct run r = {.ns = flags.ns ? flags.ns : NAMESPACE_DEFAULT, .errors = BUF_INIT};
    struct err e;
    int rc = -1;
    json_t *v = NULL;

    if (argc)
        return cli_usage("fsm support bundle takes no operands");
    char *file = file_name();
    progress_begin(0);
    if ((r.c = transport_cluster(&e)) != NULL &&
        cluster_is_good(cluster_get(r.c, "/version", &v, &e)) &&
        (r.tar = tar_create(file, clock_wall_ms() / 1000, &e)) != NULL)
        rc = collect(&r, &e);
    json_decref(v);
    unsigned n = r.tar ? tar_count(r.tar) : 0;
    if (r.tar && tar_close(r.tar, &e))
        rc = -1;
    if (rc == 0)
        printf(
            "%s: %u files%s. Secrets are not in it, nor what containers are started with; look at "
            "it before you give it away\n",
            file, n, r.errors.len ? ", and what could not be had in errors.txt" : "");
    cluster_close(r.c);
    buf_free(&r.errors);
    free(file);
    return rc ? cli_fail("%s", e.text) : 0;
}

const struct cli_command cli_support_commands[] = {
    {.name = "bundle",
     .args = "[-o FILE] [flags]",
     .summary = "collect what helps to find a fault into one archive",
     .description =
         "A tar archive with versions, the result of 'fsm check', objects, events, logs and "
         "admin pages of the control plane and of sidecars. Secrets are not read; values of "
         "environment variables, headers, commands of applications and kubeconfigs are left out.",
     .examples = "  fsm support bundle\n"
                 "  fsm support bundle -o /tmp/mesh.tar --sidecars 100",
     .opts = bundle_opts,
     .run = cmd_bundle},
    {.name = NULL},
};
