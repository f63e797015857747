/* mask.c - the members that are kept, kind by kind. */
#include "common/kube/mask.h"

#include <string.h>

#define KEEP(n)                                                                                    \
    {                                                                                              \
        (n), NULL                                                                                  \
    }
#define INTO(n, of)                                                                                \
    {                                                                                              \
        (n), (of)                                                                                  \
    }
#define DROP(n)                                                                                    \
    {                                                                                              \
        (n), JSON_DROP                                                                             \
    }
#define REST                                                                                       \
    {                                                                                              \
        "*", NULL                                                                                  \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, NULL                                                                                 \
    }
/* of the Status that an event ERROR carries in place of an object */
#define STATUS KEEP("code"), KEEP("reason"), KEEP("message")
/* what every object begins with */
#define OBJECT(meta) KEEP("apiVersion"), KEEP("kind"), INTO("metadata", meta), STATUS

/* what writers note down for themselves */
static const struct json_mask notes[] = {DROP("kubectl.kubernetes.io/last-applied-configuration"),
                                         REST, END};
static const struct json_mask any_metadata[] = {DROP("managedFields"), DROP("selfLink"),
                                                INTO("annotations", notes), REST, END};
static const struct json_mask any_object[] = {INTO("metadata", any_metadata), DROP("status"), REST,
                                              END};

/* ---- the many ------------------------------------------------------------------------------- */

static const struct json_mask our_notes[] = {KEEP("flomesh.io/*"), END};
static const struct json_mask owner[] = {KEEP("apiVersion"), KEEP("kind"), KEEP("name"),
                                         KEEP("controller"), END};
static const struct json_mask metadata[] = {KEEP("name"),
                                            KEEP("namespace"),
                                            KEEP("uid"),
                                            KEEP("resourceVersion"),
                                            KEEP("labels"),
                                            INTO("annotations", our_notes),
                                            INTO("ownerReferences", owner),
                                            KEEP("creationTimestamp"),
                                            KEEP("deletionTimestamp"),
                                            END};

static const struct json_mask namespace[] = {OBJECT(metadata), END};

static const struct json_mask service_port[] = {
    KEEP("name"), KEEP("protocol"), KEEP("appProtocol"), KEEP("port"), KEEP("targetPort"), END};
static const struct json_mask service_spec[] = {INTO("ports", service_port),
                                                KEEP("selector"),
                                                KEEP("clusterIP"),
                                                KEEP("clusterIPs"),
                                                KEEP("type"),
                                                KEEP("externalName"),
                                                KEEP("publishNotReadyAddresses"),
                                                END};
static const struct json_mask service[] = {OBJECT(metadata), INTO("spec", service_spec), END};

/* of a slice's labels one counts; its owner and its trigger time are the endpoint controller's */
static const struct json_mask slice_labels[] = {KEEP("kubernetes.io/service-name"), END};
static const struct json_mask slice_metadata[] = {
    KEEP("name"), KEEP("namespace"), KEEP("resourceVersion"), INTO("labels", slice_labels), END};
static const struct json_mask endpoint[] = {KEEP("addresses"), KEEP("conditions"), KEEP("hostname"),
                                            END};
static const struct json_mask slice[] = {OBJECT(slice_metadata), KEEP("addressType"),
                                         INTO("endpoints", endpoint), KEEP("ports"), END};

/* the image only because a container without one is refused */
static const struct json_mask container[] = {KEEP("name"),           KEEP("image"),
                                             KEEP("args"),           KEEP("ports"),
                                             KEEP("restartPolicy"),  KEEP("livenessProbe"),
                                             KEEP("readinessProbe"), KEEP("startupProbe"),
                                             KEEP("lifecycle"),      END};
static const struct json_mask pod_spec[] = {
    INTO("containers", container), INTO("initContainers", container),
    KEEP("serviceAccountName"),    KEEP("serviceAccount"),
    KEEP("hostNetwork"),           END};
static const struct json_mask pod_status[] = {KEEP("phase"), KEEP("podIP"), KEEP("podIPs"), END};
static const struct json_mask pod[] = {OBJECT(metadata), INTO("spec", pod_spec),
                                       INTO("status", pod_status), END};

/* ---- the table ------------------------------------------------------------------------------ */

/* a list and an event of objects with this mask */
#define AROUND(mask)                                                                               \
    {KEEP("kind"), KEEP("apiVersion"), KEEP("metadata"), INTO("items", mask), END},                \
    {                                                                                              \
        KEEP("type"), INTO("object", mask), END                                                    \
    }

/* the last row is for every other kind */
static const struct row {
    const char *key; /* of the kind */
    const struct json_mask *object;
    struct json_mask list[5], event[3];
} rows[] = {
    {"Namespace", namespace, AROUND(namespace)}, {"Service", service, AROUND(service)},
    {"EndpointSlice", slice, AROUND(slice)},     {"Pod", pod, AROUND(pod)},
    {NULL, any_object, AROUND(any_object)},
};

static const struct row *row_of(const struct kube_kind *k)
{
    const struct row *r = rows;
    while (r->key && strcmp(r->key, k->key) != 0)
        r++;
    return r;
}

const struct json_mask *kube_mask_of(const struct kube_kind *k)
{
    return row_of(k)->object;
}

const struct json_mask *kube_mask_of_list(const struct kube_kind *k)
{
    return row_of(k)->list;
}

const struct json_mask *kube_mask_of_event(const struct kube_kind *k)
{
    return row_of(k)->event;
}

bool kube_mask_is_narrow(const struct kube_kind *k)
{
    return row_of(k)->key != NULL;
}
