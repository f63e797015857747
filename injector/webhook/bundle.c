/* bundle.c - the API server believes the certificate that a webhook's configuration says it should:
 * the CA bundle there is kept to be the mesh's roots.
 *
 *   look     the configuration is read; wrong: it is corrected, and looked at again
 *   watch    right (or not there): its next change leads back to the look
 *
 * Server-side apply, of this one field: whoever applies the manifest anew, without a bundle in it,
 * does not take it away.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "injector/webhook/wh.h"

#define API     "admissionregistration.k8s.io"
#define CALL_MS 10000
#define WATCH_S 300
#define PACE_MS 500 /* between two looks: somebody else may be as sure as we are */

static void look(void *arg);

/* ---- what is wrong --------------------------------------------------------------------------- */

static void set_wrong(struct wh_bundle *b, const char *text)
{
    if (strcmp(b->wrong, text) == 0)
        return;
    snprintf(b->wrong, sizeof(b->wrong), "%s", text);
    if (*text)
        log_warn("bundle", "the webhook's CA bundle is not right webhook=%s error=\"%s\"", b->name,
                 text);
    else
        log_info("bundle", "the webhook's CA bundle is right webhook=%s", b->name);
}

static void again(struct wh_bundle *b)
{
    uint64_t now = loop_now_ms(b->wh->loop), since = now - b->looked_ms;

    timer_set(&b->timer, since < PACE_MS ? PACE_MS - since : 0);
}

/* the API server does not do what was asked of it */
static void fail(struct wh_bundle *b, const char *verb, const struct kube_answer *a)
{
    struct err e = {""};
    json_t *body = json_parse(a->body, a->body.n, NULL);

    if (a->status == 403)
        err_set(&e,
                "may not %s it: the ClusterRole misses {apiGroups: [" API "], resources: [%s], "
                "verbs: [%s]}",
                verb, b->plural, verb);
    else
        err_set(&e, "%s: %s (status %u)", verb,
                a->status ? json_str(body, "message", "no reason given") : a->error, a->status);
    json_decref(body);
    set_wrong(b, e.text);
    timer_set(&b->timer, backoff_next(&b->backoff, a->retry_after));
}

/* ---- calls ----------------------------------------------------------------------------------- */

static char *path_of(const struct wh_bundle *b, const char *query)
{
    return xasprintf("/apis/" API "/v1/%s/%s%s", b->plural, b->name, query);
}

static json_t *find_entry(const struct wh_bundle *b, const json_t *conf)
{
    const json_t *list = json_object_get(conf, "webhooks");
    json_t *v;
    size_t i;

    json_array_foreach (list, i, v)
        if (strcmp(json_str(v, "name", ""), b->entry) == 0)
            return v;
    return NULL;
}

/* returns owned: the roots as the configuration has them */
static char *roots_of(const struct wh *wh)
{
    const char *pem = pki_ca_roots(wh->ca);
    struct buf out = BUF_INIT;

    base64_encode(pem, strlen(pem), &out);
    return buf_take(&out);
}

/* ---- correcting ------------------------------------------------------------------------------ */

static void on_patched(const struct kube_answer *a, void *arg)
{
    struct wh_bundle *b = arg;

    b->call = NULL;
    if (a->status != 200) {
        b->wh->metrics.patches_failed++;
        fail(b, "patch", a);
        return;
    }
    b->wh->metrics.patches++;
    log_info("bundle", "the webhook's CA bundle was set webhook=%s", b->name);
    again(b);
}

static void correct(struct wh_bundle *b, const char *roots)
{
    char *path = path_of(b, "?fieldManager=fsm-injector&force=true");
    struct buf text = BUF_INIT;
    json_t *doc = json_pack("{s:s,s:s,s:{s:s},s:[{s:s,s:{s:s}}]}", "apiVersion", API "/v1", "kind",
                            b->kind, "metadata", "name", b->name, "webhooks", "name", b->entry,
                            "clientConfig", "caBundle", roots);

    json_print(doc, &text);
    b->call = kube_api_send(b->wh->api, KUBE_APPLY, buf_slice(&text),
                            &(struct kube_call_spec){
                                .path = path, .timeout_ms = CALL_MS, .done = on_patched, .arg = b});
    buf_free(&text);
    json_decref(doc);
    free(path);
}

/* ---- watching -------------------------------------------------------------------------------- */

/* whatever it is, the look will see it */
static int on_event(struct slice bytes, void *arg)
{
    struct wh_bundle *b = arg;

    b->version[0] = '\0';
    return -1;
}

static void on_watch_end(const struct kube_answer *a, void *arg)
{
    struct wh_bundle *b = arg;

    b->call = NULL;
    if (a->status == 0 || a->status == 200 || a->status == 410)
        again(b); /* an event, its time was up, or the connection: the look says more */
    else
        fail(b, "watch", a);
}

static void watch(struct wh_bundle *b)
{
    char *from = *b->version ? xasprintf("&resourceVersion=%s", b->version) : xstrdup("");
    char *path = xasprintf("/apis/" API "/v1/%s"
                           "?watch=true&fieldSelector=metadata.name%%3D%s&timeoutSeconds=%d%s",
                           b->plural, b->name, WATCH_S, from);

    b->call = kube_api_get(
        b->wh->api,
        &(struct kube_call_spec){.path = path, .data = on_event, .done = on_watch_end, .arg = b});
    free(path);
    free(from);
}

/* ---- looking --------------------------------------------------------------------------------- */

static void judge(struct wh_bundle *b, const json_t *conf)
{
    const json_t *entry = find_entry(b, conf);
    char *roots = roots_of(b->wh);

    snprintf(b->version, sizeof(b->version), "%s", json_str(conf, "metadata.resourceVersion", ""));
    backoff_reset(&b->backoff);
    if (!entry) {
        struct err e;
        err_set(&e, "it has no webhook of the name %s", b->entry);
        set_wrong(b, e.text);
        watch(b);
    } else if (strcmp(json_str(entry, "clientConfig.caBundle", ""), roots) != 0) {
        correct(b, roots);
    } else {
        set_wrong(b, "");
        watch(b);
    }
    free(roots);
}

static void on_looked(const struct kube_answer *a, void *arg)
{
    struct wh_bundle *b = arg;
    struct err e = {""};
    json_t *conf = NULL;

    b->call = NULL;
    if (a->status == 404) {
        b->version[0] = '\0';
        err_set(&e, "there is no such %s", b->kind);
        set_wrong(b, e.text);
        watch(b);
    } else if (a->status != 200) {
        fail(b, "get", a);
    } else if (!(conf = json_parse(buf_slice(&b->text), WH_ANSWER_MAX, &e))) {
        fail(b, "get", &(struct kube_answer){.error = e.text});
    } else {
        judge(b, conf);
    }
    json_decref(conf);
    buf_free(&b->text);
}

static int on_data(struct slice bytes, void *arg)
{
    struct wh_bundle *b = arg;

    buf_put_slice(&b->text, bytes);
    return b->text.len <= WH_ANSWER_MAX ? 0 : -1;
}

static void look(void *arg)
{
    struct wh_bundle *b = arg;
    char *path = path_of(b, "");

    b->looked_ms = loop_now_ms(b->wh->loop);
    b->call = kube_api_get(
        b->wh->api,
        &(struct kube_call_spec){
            .path = path, .timeout_ms = CALL_MS, .data = on_data, .done = on_looked, .arg = b});
    free(path);
}

/* ---- from outside ---------------------------------------------------------------------------- */

void wh_bundles_start(struct wh *wh)
{
    wh->bundles[WH_MUTATING] = (struct wh_bundle){.kind = "MutatingWebhookConfiguration",
                                                  .plural = "mutatingwebhookconfigurations",
                                                  .entry = "fsm-inject.k8s.io",
                                                  .name = wh->conf.webhook};
    wh->bundles[WH_VALIDATING] = (struct wh_bundle){.kind = "ValidatingWebhookConfiguration",
                                                    .plural = "validatingwebhookconfigurations",
                                                    .entry = "fsm-validator.k8s.io",
                                                    .name = wh->conf.validator};
    for (unsigned i = 0; i < WH_BUNDLES; i++) {
        struct wh_bundle *b = &wh->bundles[i];
        b->wh = wh;
        timer_init(&b->timer, wh->loop, look, b);
        if (wh->api && *b->name)
            look(b);
    }
}

void wh_bundles_changed(struct wh *wh)
{
    for (unsigned i = 0; i < WH_BUNDLES && wh->api; i++) {
        struct wh_bundle *b = &wh->bundles[i];
        if (!*b->name)
            continue;
        kube_call_cancel(b->call);
        b->call = NULL;
        buf_free(&b->text);
        timer_set(&b->timer, 0);
    }
}

void wh_bundles_stop(struct wh *wh)
{
    for (unsigned i = 0; i < WH_BUNDLES; i++) {
        timer_cancel(&wh->bundles[i].timer);
        kube_call_cancel(wh->bundles[i].call);
        wh->bundles[i].call = NULL;
        buf_free(&wh->bundles[i].text);
    }
}
