/* checks.c - see checks.h. */
#include "cli/cluster/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "cli/cluster/cluster.h"
#include "cli/cluster/progress.h"
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/object.h"
#include "common/pki/pki.h"

#define NAMES_MAX    6
#define SKEW_WARN_S  30
#define SKEW_FAIL_S  300 /* tokens and certificates of the mesh are not taken any more */
#define CA_WARN_S    (30 * 86400)
#define LAG_WARN_MS  30000
#define MONITORED_BY "flomesh.io/monitored-by"
#define INJECTION    "flomesh.io/sidecar-injection"
#define IGNORE       "flomesh.io/ignore"
#define PROXY_LABEL  "fsm-proxy-uuid"
#define SIDECAR      "sidecar"

void checks_begin(struct checks *c, const char *category)
{
    c->category = category;
}

void checks_add(struct checks *c, const char *name, enum check_status s, const char *message,
                const char *hint)
{
    static const char *const words[] = {"ok", "skipped", "warning", "FAILED"};

    c->failed += s == CHECK_FAILED;
    c->warnings += s == CHECK_WARNING;
    json_array_append_new(c->rows,
                          json_pack("{s:s, s:s, s:s, s:s, s:s}", "category", c->category, "name",
                                    name, "status", words[s], "message", message, "hint", hint));
}

/* One row about the things named: fine if there are none.  takes names. */
static void add_named(struct checks *c, const char *name, enum check_status s, json_t *names,
                      const char *what, const char *hint)
{
    char *text = progress_names(names, NAMES_MAX), *message = xasprintf("%s: %s", what, text);

    if (json_array_size(names))
        checks_add(c, name, s, message, hint);
    else
        checks_add(c, name, CHECK_OK, "", "");
    free(text);
    free(message);
    json_decref(names);
}

static const char *name_of(const json_t *object)
{
    return json_str(object, "metadata.name", "");
}

static const char *label(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(json_at(o, "metadata.labels"), key));
}

static const char *annotation(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(json_at(o, "metadata.annotations"), key));
}

static json_t *pod_name(const json_t *pod)
{
    return json_sprintf("%s/%s", json_str(pod, "metadata.namespace", ""), name_of(pod));
}

/* ---- the cluster ----------------------------------------------------------------------------- */

void check_clock(struct checks *c, int64_t ours, int64_t servers)
{
    int64_t skew = ours > servers ? ours - servers : servers - ours;
    char *message = xasprintf("this machine and the API server differ by %lld s", (long long)skew);
    enum check_status s = skew >= SKEW_FAIL_S   ? CHECK_FAILED
                          : skew >= SKEW_WARN_S ? CHECK_WARNING
                                                : CHECK_OK;

    checks_add(c, "clocks agree", s, s == CHECK_OK ? "" : message,
               s == CHECK_OK ? "" : "set both by NTP: certificates and tokens go by the clock");
    free(message);
}

/* what a definition lacks, or NULL; owned */
static json_t *definition_fault(const json_t *wanted, const json_t *found)
{
    const json_t *now = list_find(found, "metadata.name", name_of(wanted));
    const json_t *versions = json_at(wanted, "spec.versions");

    if (!now)
        return json_sprintf("%s is missing", name_of(wanted));
    if (!object_has_condition(now, "Established"))
        return json_sprintf("%s is not established", name_of(wanted));
    for (size_t i = 0; i < json_array_size(versions); i++) {
        const json_t *v = json_array_get(versions, i);
        const char *name = json_str(v, "name", "");
        if (json_bool(v, "served", false) &&
            !json_bool(list_find(json_at(now, "spec.versions"), "name", name), "served", false))
            return json_sprintf("%s does not serve %s", name_of(wanted), name);
    }
    return NULL;
}

void check_definitions(struct checks *c, const json_t *wanted, const json_t *found)
{
    json_t *faults = json_array();

    for (size_t i = 0; i < json_array_size(wanted); i++) {
        json_t *fault = definition_fault(json_array_get(wanted, i), found);
        if (fault)
            json_array_append_new(faults, fault);
    }
    add_named(c, "definitions (CRDs) are there", CHECK_FAILED, faults, "definitions",
              "'fsm upgrade' brings them; what the cluster has of these kinds stays");
}

/* ---- the control plane ----------------------------------------------------------------------- */

/* why a pod is not ready, as its containers and conditions say; NULL if they do not */
static char *pod_trouble(const json_t *pod)
{
    const json_t *all = json_at(pod, "status.containerStatuses");
    const json_t *scheduled = list_find(json_at(pod, "status.conditions"), "type", "PodScheduled");

    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *s = json_array_get(all, i);
        const char *reason = json_str(s, "state.waiting.reason", NULL);
        if (reason)
            return xasprintf("%s: %s %s", name_of(pod), reason,
                             json_str(s, "state.waiting.message", ""));
        if (json_int(s, "restartCount", 0) > 0 && !json_bool(s, "ready", false))
            return xasprintf("%s: restarted %lld times, last for %s", name_of(pod),
                             (long long)json_int(s, "restartCount", 0),
                             json_str(s, "lastState.terminated.reason", "an unknown reason"));
    }
    if (scheduled && strcmp(json_str(scheduled, "status", ""), "True") != 0)
        return xasprintf("%s: %s", name_of(pod), json_str(scheduled, "message", "not scheduled"));
    return NULL;
}

static char *first_trouble(const char *app, const json_t *pods)
{
    char *trouble = NULL;

    for (size_t i = 0; i < json_array_size(pods) && !trouble; i++) {
        const json_t *pod = json_array_get(pods, i);
        const char *of = label(pod, "app");
        if (of && strcmp(of, app) == 0)
            trouble = pod_trouble(pod);
    }
    return trouble;
}

void check_deployment(struct checks *c, const char *name, const json_t *d, const json_t *pods)
{
    int64_t want = json_int(d, "spec.replicas", 1),
            have = json_int(d, "status.availableReplicas", 0);
    char *title = xasprintf("%s is ready", name), *trouble = first_trouble(name, pods);
    char *message = xasprintf("%lld of %lld replicas are available%s%s", (long long)have,
                              (long long)want, trouble ? ": " : "", trouble ? trouble : "");

    if (!d)
        checks_add(c, title, CHECK_FAILED, "there is no such Deployment", "'fsm install' makes it");
    else if (have >= want && want > 0)
        checks_add(c, title, CHECK_OK, "", "");
    else
        checks_add(c, title, have > 0 ? CHECK_WARNING : CHECK_FAILED, message,
                   want ? "'kubectl describe pods' and 'kubectl logs' of them say more"
                        : "scale it up: without it nothing is configured");
    free(title);
    free(trouble);
    free(message);
}

void check_versions(struct checks *c, const char *ours, const json_t *deployments)
{
    json_t *others = json_array();

    for (size_t i = 0; i < json_array_size(deployments); i++) {
        const json_t *d = json_array_get(deployments, i);
        const json_t *first = json_array_get(json_at(d, "spec.template.spec.containers"), 0);
        const char *tag = image_tag(json_str(first, "image", ""));
        if (strcmp(tag, ours) != 0)
            json_array_append_new(others, json_sprintf("%s %s", name_of(d), tag));
    }
    char *what = xasprintf("this command is %s, not", ours);
    add_named(c, "versions agree", CHECK_WARNING, others, what,
              "'fsm upgrade', or the fsm of that version, so that both know the same");
    free(what);
}

void check_account(struct checks *c, const char *name, const char *role, const json_t *missing)
{
    json_t *acts = json_array(), *lines = json_array();

    for (size_t i = 0; i < json_array_size(missing); i++) {
        const json_t *one = json_array_get(missing, i);
        const char *line = json_str(one, "line", "");
        json_array_append_new(
            acts, json_sprintf("%s %s", json_str(one, "verb", ""), json_str(one, "resource", "")));
        size_t n = json_array_size(lines);
        if (n == 0 || strcmp(json_string_value(json_array_get(lines, n - 1)), line) != 0)
            json_array_append_new(lines, json_string(line));
    }
    char *text = progress_names(lines, NAMES_MAX);
    char *hint =
        xasprintf("the %s misses %s; 'fsm upgrade --force-conflicts' brings it back", role, text);
    add_named(c, name, CHECK_FAILED, acts, "it may not", hint);
    free(hint);
    free(text);
    json_decref(lines);
}

/* ---- the webhook ----------------------------------------------------------------------------- */

/* whether the bundle of an entry holds the roots; both may have blanks at the end */
static bool bundle_holds(const char *base64, const char *roots)
{
    struct buf pem = BUF_INIT;
    size_t n = strlen(roots);

    while (n > 0 && strchr("\r\n", roots[n - 1]))
        n--;
    bool holds = base64_decode(slice_str(base64), &pem) == 0 && pem.len &&
                 memmem(pem.p, pem.len, roots, n) != NULL;
    buf_free(&pem);
    return holds;
}

/* what is said of each of the two */
struct hook_words {
    const char *subject, *kind, *plural, *missing;
};
static const struct hook_words hook_words[] = {
    [CHECK_INJECTION] = {"the webhook", "MutatingWebhookConfiguration",
                         "mutatingwebhookconfigurations", "pods get no sidecar"},
    [CHECK_VALIDATION] = {"the validating webhook", "ValidatingWebhookConfiguration",
                          "validatingwebhookconfigurations",
                          "what the mesh will not take is stored all the same"},
};

static void check_bundle(struct checks *c, const struct hook_words *w, const char *bundle,
                         const char *roots)
{
    char *name = xasprintf("%s's CA bundle is right", w->subject);
    char *absent =
        xasprintf("fsm-injector writes it: is it ready, and may it patch %s?", w->plural);

    if (!*bundle)
        checks_add(c, name, CHECK_FAILED, "there is none", absent);
    else if (roots && !bundle_holds(bundle, roots))
        checks_add(
            c, name, CHECK_FAILED, "it does not hold the mesh's root",
            "fsm-injector writes it from the Secret of the CA: its log says why it does not");
    else if (!roots)
        checks_add(c, name, CHECK_SKIPPED,
                   "there is one; the Secret to compare it with cannot be read", "");
    else
        checks_add(c, name, CHECK_OK, "", "");
    free(name);
    free(absent);
}

bool check_webhook(struct checks *c, enum check_hook which, const json_t *hook, const char *ns,
                   const char *roots)
{
    const struct hook_words *w = &hook_words[which];
    const json_t *entry = json_array_get(json_object_get(hook, "webhooks"), 0);
    const char *at = json_str(entry, "clientConfig.service.namespace", ns);
    char *configured = xasprintf("%s is configured", w->subject);
    char *missing = xasprintf("the %s is missing: %s", w->kind, w->missing);
    char *leads = xasprintf("%s leads to this mesh", w->subject);

    checks_add(c, configured, entry ? CHECK_OK : CHECK_FAILED, entry ? "" : missing,
               entry ? "" : "'fsm upgrade' brings it back");
    if (entry && strcmp(at, ns) != 0)
        checks_add(c, leads, CHECK_FAILED, "it names a Service of another namespace",
                   "'fsm upgrade --force-conflicts'");
    if (entry)
        check_bundle(c, w, json_str(entry, "clientConfig.caBundle", ""), roots);
    free(configured);
    free(missing);
    free(leads);
    return entry;
}

static const char authority_valid[] = "the mesh's CA is valid";

void check_no_authority(struct checks *c, const char *secret)
{
    char *message = xasprintf("the Secret %s is missing: daemons that run keep the CA that they "
                              "have, and no other pod of them can start",
                              secret);

    checks_add(c, authority_valid, CHECK_FAILED, message,
               "bring it back from a backup; where there is none, 'fsm upgrade' makes a new CA");
    free(message);
}

void check_authority(struct checks *c, const char *pem, int64_t now)
{
    static const char *const name = authority_valid;
    static const char hint[] = "rotate it (fsm-controller's /ca/prepare, promote, retire)";
    struct pki_cert_info info;
    struct err e = {""};
    char until[32];

    if (!pem || pki_cert_read(pem, &info, &e)) {
        checks_add(c, name, pem ? CHECK_FAILED : CHECK_SKIPPED,
                   pem ? e.text : "its certificate cannot be read", pem ? hint : "");
        return;
    }
    clock_rfc3339(info.not_after * 1000, until);
    char *message =
        xasprintf("it is valid %s %s", info.not_before > now ? "later, until" : "until", until);
    bool bad = info.not_after <= now || info.not_before > now;
    bool soon = info.not_after - now < CA_WARN_S;
    checks_add(c, name,
               bad    ? CHECK_FAILED
               : soon ? CHECK_WARNING
                      : CHECK_OK,
               bad || soon ? message : "", bad || soon ? hint : "");
    free(message);
}

void check_config(struct checks *c, const json_t *config)
{
    struct kube_problems problems = {NULL, 0};
    json_t *faults = json_array();

    if (!config) {
        json_decref(faults);
        checks_add(c, "the MeshConfig is valid", CHECK_FAILED,
                   "there is no MeshConfig fsm-mesh-config: defaults hold, and no user's setting",
                   "'fsm upgrade' makes it");
        return;
    }
    json_t *body = json_deep_copy(config);
    json_object_del(body, "status");
    kube_object_unref(kube_object_from_server(body, &problems));
    for (unsigned i = 0; i < problems.n; i++)
        json_array_append_new(faults,
                              json_sprintf("%s: %s", problems.v[i].field, problems.v[i].message));
    add_named(c, "the MeshConfig is valid", CHECK_FAILED, faults, "its last good version holds",
              "kubectl edit meshconfig fsm-mesh-config");
    kube_problems_free(&problems);
}

/* ---- members of the mesh --------------------------------------------------------------------- */

static bool names_mesh(const json_t *meshes, const char *mesh)
{
    for (size_t i = 0; i < json_array_size(meshes); i++)
        if (strcmp(json_string_value(json_array_get(meshes, i)), mesh) == 0)
            return true;
    return false;
}

void check_namespaces(struct checks *c, const json_t *namespaces, const json_t *meshes,
                      const char *mesh)
{
    json_t *lost = json_array(), *torn = json_array();

    for (size_t i = 0; i < json_array_size(namespaces); i++) {
        const json_t *ns = json_array_get(namespaces, i);
        const char *of = label(ns, MONITORED_BY);
        if (of && !names_mesh(meshes, of))
            json_array_append_new(lost, json_sprintf("%s (%s)", name_of(ns), of));
        if (of && strcmp(of, mesh) == 0 && label(ns, IGNORE))
            json_array_append_new(torn, json_string(name_of(ns)));
    }
    add_named(c, "namespaces belong to a mesh that is there", CHECK_WARNING, lost,
              "their mesh is not there", "'fsm namespace remove', or install that mesh");
    add_named(c, "no namespace is in the mesh and ignored", CHECK_WARNING, torn,
              "ignored, so their pods get no sidecar",
              "'fsm namespace remove', then 'fsm namespace add'");
}

/* yes, no, or what stands there: -1 */
static int switch_of(const char *text)
{
    if (!text)
        return -1;
    if (strcasecmp(text, "enabled") == 0 || strcasecmp(text, "yes") == 0 ||
        strcasecmp(text, "true") == 0)
        return 1;
    return 0;
}

/* what should happen to a pod when it is made: 1 a sidecar */
static bool wants_sidecar(const json_t *pod, const json_t *ns)
{
    int own = switch_of(annotation(pod, INJECTION));

    return own >= 0 ? own == 1 : switch_of(annotation(ns, INJECTION)) == 1;
}

static bool is_over(const json_t *pod)
{
    const char *phase = json_str(pod, "status.phase", "");

    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0 ||
           json_at(pod, "metadata.deletionTimestamp");
}

void check_injected(struct checks *c, const json_t *namespaces, const json_t *pods,
                    const char *mesh)
{
    json_t *bare = json_array();

    for (size_t i = 0; i < json_array_size(pods); i++) {
        const json_t *pod = json_array_get(pods, i);
        const json_t *ns =
            list_find(namespaces, "metadata.name", json_str(pod, "metadata.namespace", ""));
        const char *of = label(ns, MONITORED_BY);
        if (of && strcmp(of, mesh) == 0 && !label(ns, IGNORE) && !label(pod, PROXY_LABEL) &&
            !json_bool(pod, "spec.hostNetwork", false) && !is_over(pod) && wants_sidecar(pod, ns))
            json_array_append_new(bare, pod_name(pod));
    }
    add_named(c, "pods of the mesh have a sidecar", CHECK_WARNING, bare, "without one",
              "they were made before their namespace joined: 'kubectl rollout restart' their "
              "workloads");
}

/* native ones are init containers */
static const json_t *sidecar_of(const json_t *pod, const char *list, const char *init_list)
{
    const json_t *one = list_find(json_at(pod, list), "name", SIDECAR);

    return one ? one : list_find(json_at(pod, init_list), "name", SIDECAR);
}

void check_sidecars_ready(struct checks *c, const json_t *pods)
{
    json_t *bad = json_array();

    for (size_t i = 0; i < json_array_size(pods); i++) {
        const json_t *pod = json_array_get(pods, i);
        const json_t *status =
            sidecar_of(pod, "status.containerStatuses", "status.initContainerStatuses");
        if (label(pod, PROXY_LABEL) && !is_over(pod) && !json_bool(status, "ready", false))
            json_array_append_new(bad, pod_name(pod));
    }
    add_named(c, "sidecars are ready", CHECK_FAILED, bad, "not ready",
              "'fsm proxy get ready POD', and 'kubectl logs POD -c sidecar'");
}

void check_sidecars_versions(struct checks *c, const json_t *pods, const char *tag)
{
    json_t *old = json_array();

    for (size_t i = 0; i < json_array_size(pods); i++) {
        const json_t *pod = json_array_get(pods, i);
        const json_t *own = sidecar_of(pod, "spec.containers", "spec.initContainers");
        if (own && label(pod, PROXY_LABEL) && !is_over(pod) &&
            strcmp(image_tag(json_str(own, "image", "")), tag) != 0)
            json_array_append_new(old, pod_name(pod));
    }
    char *what = xasprintf("not of version %s, which new pods get", tag);
    add_named(c, "sidecars are of the mesh's version", CHECK_WARNING, old, what,
              "'kubectl rollout restart' their workloads");
    free(what);
}

void check_proxies(struct checks *c, const json_t *proxies, int64_t now)
{
    json_t *away = json_array(), *behind = json_array(), *expired = json_array(),
           *refused = json_array();

    for (size_t i = 0; i < json_array_size(proxies); i++) {
        const json_t *p = json_array_get(proxies, i);
        const char *pod = json_str(p, "pod", "");
        int64_t until = json_int(p, "certNotAfter", 0);
        if (!json_bool(p, "connected", false))
            json_array_append_new(away, json_string(pod));
        if (json_int(p, "lagMs", 0) > LAG_WARN_MS)
            json_array_append_new(behind, json_string(pod));
        if (until && until <= now)
            json_array_append_new(expired, json_string(pod));
        if (json_str(p, "rejected", NULL))
            json_array_append_new(refused, json_sprintf("%s (%s)", pod, json_str(p, "reason", "")));
    }
    add_named(c, "sidecars are connected to the controller", CHECK_WARNING, away, "not connected",
              "they go on with what they know: can their pods reach fsm-controller:6060?");
    add_named(c, "sidecars have the latest configuration", CHECK_WARNING, behind, "behind",
              "'fsm proxy get config_dump POD' shows what it has");
    add_named(c, "sidecars take their configuration", CHECK_FAILED, refused, "refused",
              "the reason stands behind each; it is what the mesh has to change");
    add_named(c, "sidecars' certificates are valid", CHECK_FAILED, expired, "expired",
              "sidecars renew them at fsm-controller: its log and theirs say why not");
}

void check_problems(struct checks *c, const json_t *problems)
{
    json_t *texts = json_array();

    for (size_t i = 0; i < json_array_size(problems); i++) {
        const json_t *p = json_array_get(problems, i);
        const char *whole = json_str(p, "text", NULL);
        char *text =
            whole ? xstrdup(whole)
                  : xasprintf("%s: %s", json_str(p, "object", "?"), json_str(p, "message", ""));
        json_array_append_new(texts, json_string(text));
        free(text);
    }
    add_named(c, "the controller finds nothing wrong with the resources", CHECK_WARNING, texts,
              "it says", "'fsm validate -f' checks manifests beforehand");
}
