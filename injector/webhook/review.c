/* review.c - AdmissionReview v1: read strictly, answered exactly. */
#include "injector/webhook/review.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/kube/utf8.h"

#define VERSION "admission.k8s.io/v1"
#define KIND    "AdmissionReview"

/* NULL: another type, or not there */
static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static bool is_text(const json_t *o, const char *key, const char *expected)
{
    const char *s = text_of(o, key);

    return s && strcmp(s, expected) == 0;
}

/* an absent one counts as empty */
static bool is_empty(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return !v || json_is_null(v) || is_text(o, key, "");
}

static int check_head(const json_t *doc, struct err *e)
{
    const char *version = text_of(doc, "apiVersion"), *kind = text_of(doc, "kind");

    if (version && kind && strcmp(version, VERSION) == 0 && strcmp(kind, KIND) == 0)
        return 0;
    return err_set(e, "expected " KIND " of " VERSION ", got kind \"%.64s\" of \"%.64s\"",
                   kind ? kind : "", version ? version : "");
}

static bool creates_a_pod(const json_t *request)
{
    const json_t *resource = json_object_get(request, "resource");

    return is_text(request, "operation", "CREATE") && is_empty(resource, "group") &&
           is_text(resource, "version", "v1") && is_text(resource, "resource", "pods") &&
           is_empty(request, "subResource");
}

static void take_name(struct review *rv, const json_t *request)
{
    const json_t *meta = json_object_get(rv->pod, "metadata");
    const char *name = text_of(request, "name"), *prefix = text_of(meta, "generateName");

    if (!name || !*name)
        name = text_of(meta, "name");
    if (name && *name)
        snprintf(rv->name, sizeof(rv->name), "%.253s", name);
    else
        snprintf(rv->name, sizeof(rv->name), "%.253s*", prefix ? prefix : "");
}

static int take_pod(struct review *rv, const json_t *request, struct err *e)
{
    rv->pod = rv->object;
    if (!json_is_object(rv->pod))
        return err_set(e, "request.object: expected the pod that is created");
    if (!is_text(rv->pod, "kind", "Pod") || !is_text(rv->pod, "apiVersion", "v1"))
        return err_set(e, "request.object: expected kind Pod of v1");
    if (!rv->ns || !*rv->ns)
        return err_set(e, "request.namespace: expected the pod's namespace");
    take_name(rv, request);
    return 0;
}

static int read_request(struct review *rv, struct err *e)
{
    const json_t *request = json_object_get(rv->doc, "request");

    if (check_head(rv->doc, e) < 0)
        return -1;
    if (!json_is_object(request))
        return err_set(e, "request: expected an object");
    rv->uid = text_of(request, "uid");
    if (!rv->uid || !*rv->uid || strlen(rv->uid) > REVIEW_UID_MAX)
        return err_set(e, "request.uid: expected a text of 1 to %d bytes", REVIEW_UID_MAX);
    rv->operation = text_of(request, "operation");
    if (!rv->operation)
        return err_set(e, "request.operation: expected CREATE, UPDATE, DELETE or CONNECT");
    if (!json_is_object(json_object_get(request, "resource")))
        return err_set(e, "request.resource: expected group, version and resource");
    rv->ns = text_of(request, "namespace");
    rv->object = json_object_get(request, "object");
    rv->old = json_object_get(request, "oldObject");
    rv->subresource = !is_empty(request, "subResource");
    rv->dry_run = json_is_true(json_object_get(request, "dryRun"));
    return creates_a_pod(request) ? take_pod(rv, request, e) : 0;
}

int review_read(struct slice body, struct review *rv, struct err *e)
{
    *rv = (struct review){.doc = json_parse(body, REVIEW_MAX, e)};
    if (!rv->doc)
        return err_prefix(e, "no JSON");
    if (read_request(rv, e) == 0)
        return 0;
    review_clear(rv);
    return -1;
}

void review_clear(struct review *rv)
{
    json_decref(rv->doc);
    rv->doc = NULL;
}

/* takes response, adds the uid */
static json_t *answer(const struct review *rv, json_t *response)
{
    json_object_set_new(response, "uid", json_string(rv->uid));
    return json_pack("{s:s,s:s,s:o}", "apiVersion", VERSION, "kind", KIND, "response", response);
}

static void add_patch(json_t *response, const json_t *patch)
{
    struct buf text = BUF_INIT, code = BUF_INIT;

    json_print(patch, &text);
    base64_encode(text.p, text.len, &code);
    json_object_set_new(response, "patchType", json_string("JSONPatch"));
    json_object_set_new(response, "patch", json_stringn(code.p, code.len));
    buf_free(&text);
    buf_free(&code);
}

json_t *review_allow(const struct review *rv, const json_t *patch, const char *warning)
{
    json_t *response = json_pack("{s:b}", "allowed", 1);

    if (json_array_size(patch) > 0)
        add_patch(response, patch);
    if (warning)
        json_object_set_new(response, "warnings", json_pack("[s]", warning));
    return answer(rv, response);
}

void review_warn(json_t *doc, const json_t *warnings)
{
    if (json_array_size(warnings) > 0)
        json_object_set_new(json_object_get(doc, "response"), "warnings", json_deep_copy(warnings));
}

/* words that quote a pod may have been cut in the middle of a character */
json_t *review_deny(const struct review *rv, unsigned code, const char *reason, const char *text)
{
    char *clean = utf8_clean(text);
    json_t *response = json_pack("{s:b,s:{s:s,s:i,s:s,s:s}}", "allowed", 0, "status", "status",
                                 "Failure", "code", (int)code, "reason", reason, "message", clean);

    free(clean);
    return answer(rv, response);
}
