/* sources.c - what must be known of the mesh before a pod can be judged. */
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/notify.h"
#include "common/policy/settings.h"
#include "injector/webhook/wh.h"

#define NATIVE_MINOR  29 /* SidecarContainers is on by default from 1.29, final in 1.33 */
#define VERSION_MS    10000
#define VERSION_PAUSE 1000
#define VERSION_TEXT  65536

/* ---- resources ------------------------------------------------------------------------------- */

static bool is_meshconfig(const struct wh *wh, const struct kube_object *o)
{
    return strcmp(o->kind, "MeshConfig") == 0 && strcmp(o->name, MESH_CONFIG_NAME) == 0 &&
           strcmp(o->ns, wh->conf.base.fsm_namespace) == 0;
}

/* A MeshConfig that goes leaves its settings in force: without them pods would be let in whose
 * exclusions and images are not what the mesh wants. */
static void on_change(const struct kube_object *old, const struct kube_object *now, void *arg)
{
    struct wh *wh = arg;

    if (!is_meshconfig(wh, now ? now : old))
        return;
    if (!now) {
        log_warn("source", "the MeshConfig is gone, the last one stays in force name=%s/%s",
                 old->ns, old->name);
        return;
    }
    kube_object_unref(wh->meshconfig);
    wh->meshconfig = kube_object_ref((struct kube_object *)(uintptr_t)now);
    log_info("source", "the MeshConfig is in force name=%s/%s", now->ns, now->name);
}

static void on_batch(struct kube_source *s, void *arg)
{
    struct wh *wh = arg;

    if (wh->synced || !kube_source_synced(s))
        return;
    wh->synced = true;
    notify_manager("READY=1");
    log_info("source", "resources read namespaces=%zu meshconfig=%s problems=%u",
             kube_store_count(wh->store, "Namespace"), wh->meshconfig ? "yes" : "none",
             kube_source_problems(s)->n);
}

static struct kube_source *source_new(struct wh *wh, struct err *e)
{
    const struct kube_want wants[WH_WANTS] = {
        {.kind = "Namespace"},
        {.kind = "MeshConfig",
         .ns = wh->conf.base.fsm_namespace,
         .fields = "metadata.name=" MESH_CONFIG_NAME},
    };

    if (wh->conf.base.files.n > 0)
        return kube_paths_source_new(wh->loop, wh->conf.base.files.v, wh->conf.base.files.n,
                                     wh->store, e);
    memcpy(wh->wants, wants, sizeof(wants));
    return kube_api_source_new(wh->loop, &wh->conf.base.api, wh->wants, WH_WANTS, wh->store, e);
}

json_t *wh_namespace(const struct wh *wh, const char *name)
{
    return kube_object_at(kube_store_get(wh->store, "Namespace", "", name), "");
}

/* ---- native sidecars ------------------------------------------------------------------------- */

bool wh_version_has_native(const json_t *version, struct err *e)
{
    struct slice minor = slice_str(json_str(version, "minor", ""));
    const char *major = json_str(version, "major", "");
    unsigned long long n;
    size_t digits = 0;

    while (digits < minor.n && minor.p[digits] >= '0' && minor.p[digits] <= '9')
        digits++;
    if (strcmp(major, "1") != 0 || slice_u64(slice_of(minor.p, digits), 100000, &n) < 0) {
        err_set(e,
                "the API server's /version says major \"%.16s\", minor \"%.16s\"; expected 1 and "
                "a number; --native-sidecar true or false needs no answer",
                major, minor.p ? minor.p : "");
        return false;
    }
    return n >= NATIVE_MINOR;
}

static int on_version_data(struct slice bytes, void *arg)
{
    struct wh *wh = arg;

    buf_put_slice(&wh->version_text, bytes);
    return wh->version_text.len <= VERSION_TEXT ? 0 : -1;
}

static void on_version(const struct kube_answer *a, void *arg)
{
    struct wh *wh = arg;
    struct err e = {""};
    json_t *doc = NULL;

    wh->version_call = NULL;
    if (a->status == 200 && (doc = json_parse(buf_slice(&wh->version_text), VERSION_TEXT, &e)))
        wh->native = wh_version_has_native(doc, &e);
    else if (a->status != 200)
        err_set(&e, "/version: %s (status %u)", a->error, a->status);
    json_decref(doc);
    buf_free(&wh->version_text);
    wh->native_known = e.text[0] == '\0';
    if (wh->native_known) {
        log_info("source", "the API server's version is known native_sidecar=%s",
                 wh->native ? "true" : "false");
        return;
    }
    log_warn("source", "whether sidecars can be native is not known error=\"%s\"", e.text);
    timer_set(&wh->version_timer, VERSION_PAUSE);
}

static void ask_version(void *arg)
{
    struct wh *wh = arg;

    wh->version_call = kube_api_get(wh->api, &(struct kube_call_spec){.path = "/version",
                                                                      .timeout_ms = VERSION_MS,
                                                                      .data = on_version_data,
                                                                      .done = on_version,
                                                                      .arg = wh});
}

/* ---- all of it ------------------------------------------------------------------------------- */

bool wh_is_ready(const struct wh *wh)
{
    return wh->synced && wh->native_known && !wh->draining;
}

int wh_sources_start(struct wh *wh, struct err *e)
{
    wh->store = kube_store_new();
    timer_init(&wh->version_timer, wh->loop, ask_version, wh);
    kube_store_on_change(wh->store, on_change, wh);
    wh->source = source_new(wh, e);
    if (!wh->source)
        return -1;
    kube_source_on_batch(wh->source, on_batch, wh);
    wh->native = strcmp(wh->conf.native, "false") != 0;
    wh->native_known = strcmp(wh->conf.native, "auto") != 0 || wh->conf.base.files.n > 0;
    if (wh->conf.base.files.n > 0)
        return 0;
    wh->api = kube_api_new(wh->loop, &wh->conf.base.api, "fsm-injector", e);
    if (!wh->api)
        return -1;
    if (!wh->native_known)
        ask_version(wh);
    return 0;
}

void wh_sources_stop(struct wh *wh)
{
    timer_cancel(&wh->version_timer);
    kube_call_cancel(wh->version_call);
    buf_free(&wh->version_text);
    kube_api_free(wh->api);
    if (wh->source)
        kube_source_free(wh->source);
    if (wh->store)
        kube_store_free(wh->store);
    kube_object_unref(wh->meshconfig);
}
