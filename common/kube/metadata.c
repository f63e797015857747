/* metadata.c - what every object has: apiVersion, kind and metadata. */
#include <limits.h>
#include <string.h>
#include "common/kube/schema.h"

static KUBE_SCHEMA(owner_reference, NULL, KF_STR("apiVersion", .required = true),
                   KF_STR("kind", .required = true), KF_STR("name", .required = true),
                   KF_STR("uid"), KF_BOOL("controller"), KF_BOOL("blockOwnerDeletion"));

/* all annotations of one object together (Kubernetes: 256 KiB) */
#define ANNOTATIONS_MAX (256u << 10)

static void check_annotations(struct kube_checker *c, json_t *meta)
{
    size_t total = 0;
    const char *key;
    json_t *v;
    json_object_foreach (json_object_get(meta, "annotations"), key, v)
        total += strlen(key) + json_string_length(v);
    if (total > ANNOTATIONS_MAX)
        kube_fault_at(c, "annotations", "%zu bytes altogether, at most %u", total, ANNOTATIONS_MAX);
}

/* metadata of an object, and of a template (where the name may be missing) */
KUBE_SCHEMA(kube_schema_metadata, check_annotations, KF_STR("name"), KF_STR("generateName"),
            KF_STR("namespace", .syntax = kube_is_dns_label), KF_STR("selfLink"), KF_STR("uid"),
            KF_STR("resourceVersion"), KF_INT("generation", 0, LLONG_MAX),
            KF_STR("creationTimestamp", .syntax = kube_is_rfc3339),
            KF_STR("deletionTimestamp", .syntax = kube_is_rfc3339),
            KF_INT("deletionGracePeriodSeconds", 0, LLONG_MAX),
            KF_MAP("labels", .syntax = kube_is_label_value, .key_syntax = kube_is_label_key),
            KF_MAP("annotations", .key_syntax = kube_is_annotation_key),
            KF_LIST("ownerReferences", owner_reference), KF_STRS("finalizers"),
            KF_ANY("managedFields"));

static kube_syntax *name_syntax_of(const struct kube_kind *k)
{
    if (strcmp(k->kind, "Namespace") == 0)
        return kube_is_dns_label;
    if (strcmp(k->key, "Service") == 0)
        return kube_is_dns1035_label;
    if (strcmp(k->group, "rbac.authorization.k8s.io") == 0)
        return kube_is_path_segment;
    return kube_is_dns_subdomain;
}

static void check_name(struct kube_checker *c, const struct kube_kind *k, const json_t *meta)
{
    const char *name = json_string_value(json_object_get(meta, "name"));
    const char *want = name ? name_syntax_of(k)(name) : NULL;
    if (want)
        kube_fault_at(c, "name", "got \"%.80s\", expected %s", name, want);
}

void kube_check_kind(struct kube_checker *c, const struct kube_kind *k, json_t *object)
{
    json_t *meta = json_object_get(object, "metadata");
    if (k->schema) {
        kube_check_object(c, k->schema, object);
    } else {
        kube_enter(c, "metadata");
        kube_check_object(c, &kube_schema_metadata, meta);
        kube_leave(c);
    }
    kube_enter(c, "metadata");
    check_name(c, k, meta);
    kube_leave(c);
}
