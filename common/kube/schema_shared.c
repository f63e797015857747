/* schema_shared.c - pieces that several kinds have: selectors, references, resources. */
#include <limits.h>
#include <string.h>
#include "common/kube/quantity.h"
#include "common/kube/schemas.h"
#include "common/kube/selector.h"

unsigned kube_count_members(const json_t *object, const char *const *names, const char **which)
{
    unsigned n = 0;
    for (; *names; names++) {
        if (!json_object_get(object, *names))
            continue;
        if (n++ == 0 && which)
            *which = *names;
    }
    return n;
}

void kube_check_exactly_one(struct kube_checker *c, const json_t *object, const char *const *names)
{
    struct buf all = BUF_INIT, got = BUF_INIT;
    unsigned n = 0;
    for (unsigned i = 0; names[i]; i++) {
        buf_printf(&all, "%s%s", i ? ", " : "", names[i]);
        if (json_object_get(object, names[i]))
            buf_printf(&got, "%s%s", n++ ? " and " : "", names[i]);
    }
    if (n != 1)
        kube_fault(c, "got %s, expected exactly one of %s", n ? got.p : "none", all.p);
    buf_free(&all);
    buf_free(&got);
}

/* ---- selectors ------------------------------------------------------------------------------ */

static void check_expression(struct kube_checker *c, json_t *x)
{
    const char *op = json_string_value(json_object_get(x, "operator"));
    size_t n = json_array_size(json_object_get(x, "values"));
    bool takes = strcmp(op, "In") == 0 || strcmp(op, "NotIn") == 0;
    if (takes && n == 0)
        kube_fault_at(c, "values", "required with operator %s", op);
    else if (!takes && n > 0)
        kube_fault_at(c, "values", "must be absent with operator %s", op);
}

static KUBE_SCHEMA(expression, check_expression,
                   KF_STR("key", .required = true, .syntax = kube_is_label_key),
                   KF_STR("operator", .required = true, .oneof = "In NotIn Exists DoesNotExist"),
                   KF_STRS("values", .syntax = kube_is_label_value));

KUBE_SCHEMA(kube_schema_selector, NULL,
            KF_MAP("matchLabels", .syntax = kube_is_label_value, .key_syntax = kube_is_label_key),
            KF_LIST("matchExpressions", expression));

void kube_check_workload(struct kube_checker *c, json_t *spec)
{
    const json_t *selector = json_object_get(spec, "selector");
    const json_t *meta = json_object_get(json_object_get(spec, "template"), "metadata");
    const json_t *labels = json_object_get(meta, "labels");
    if (json_object_size(json_object_get(selector, "matchLabels")) == 0 &&
        json_array_size(json_object_get(selector, "matchExpressions")) == 0) {
        kube_fault_at(c, "selector", "must not be empty: it would match every pod");
        return;
    }
    if (kube_selector_match(selector, labels))
        return;
    kube_enter(c, "template");
    kube_enter(c, "metadata");
    kube_fault_at(c, "labels", "spec.selector does not match these labels");
    kube_leave(c);
    kube_leave(c);
}

/* ---- references ----------------------------------------------------------------------------- */

KUBE_SCHEMA(kube_schema_reference, NULL, KF_STR("apiVersion"), KF_STR("kind"), KF_STR("name"),
            KF_STR("namespace"), KF_STR("uid"), KF_STR("resourceVersion"), KF_STR("fieldPath"));

KUBE_SCHEMA(kube_schema_local_ref, NULL, KF_STR("name"));

KUBE_SCHEMA(kube_schema_typed_ref, NULL, KF_STR("apiGroup"), KF_STR("kind", .required = true),
            KF_STR("name", .required = true));

/* ---- resources ------------------------------------------------------------------------------ */

static void check_resources(struct kube_checker *c, json_t *resources)
{
    const json_t *limits = json_object_get(resources, "limits");
    const char *name;
    json_t *request;
    json_object_foreach (json_object_get(resources, "requests"), name, request) {
        const json_t *limit = json_object_get(limits, name);
        char a[32], b[32];
        const char *want = kube_quantity_text(request, a);
        const char *most = limit ? kube_quantity_text(limit, b) : NULL;
        int64_t want_milli, most_milli;
        if (!most || kube_quantity_milli(want, &want_milli) < 0 ||
            kube_quantity_milli(most, &most_milli) < 0 || want_milli <= most_milli)
            continue;
        kube_enter(c, "requests");
        kube_enter_map(c, name);
        kube_fault(c, "got %s, more than the limit of %s", want, most);
        kube_leave(c);
        kube_leave(c);
    }
}

static KUBE_SCHEMA(resource_claim, NULL, KF_STR("name", .required = true), KF_STR("request"));

KUBE_SCHEMA(kube_schema_resources, check_resources, KF_QTYS("limits"), KF_QTYS("requests"),
            KF_LIST("claims", resource_claim, .key = "name request"));
