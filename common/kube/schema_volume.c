/* schema_volume.c - volumes of a pod (core/v1 Volume).
 *
 * Sources of retired in-tree drivers are known by name and kept unchecked: no node of fsm's kind
 * mounts them.
 */
#include <limits.h>
#include <string.h>
#include "common/kube/schemas.h"

static const char *is_relative_path(const char *s)
{
    bool up = strcmp(s, "..") == 0 || strncmp(s, "../", 3) == 0 || strstr(s, "/../") ||
              (strlen(s) > 2 && strcmp(s + strlen(s) - 3, "/..") == 0);
    return *s != '/' && !up ? NULL : "a relative path without \"..\"";
}

static KUBE_SCHEMA(key_to_path, NULL, KF_STR("key", .required = true, .syntax = kube_is_config_key),
                   KF_STR("path", .required = true, .syntax = is_relative_path),
                   KF_INT("mode", 0, 0777), KF_INT("user", 0, INT_MAX));

static KUBE_SCHEMA(field_ref, NULL, KF_STR("apiVersion"), KF_STR("fieldPath", .required = true));

static KUBE_SCHEMA(resource_ref, NULL, KF_STR("containerName"),
                   KF_STR("resource", .required = true), KF_QTY("divisor"));

static void check_downward_file(struct kube_checker *c, json_t *file)
{
    static const char *const sources[] = {"fieldRef", "resourceFieldRef", NULL};
    kube_check_exactly_one(c, file, sources);
}

static KUBE_SCHEMA(downward_file, check_downward_file,
                   KF_STR("path", .required = true, .syntax = is_relative_path),
                   KF_OBJ("fieldRef", field_ref), KF_OBJ("resourceFieldRef", resource_ref),
                   KF_INT("mode", 0, 0777), KF_INT("user", 0, INT_MAX));

static KUBE_SCHEMA(secret_source, NULL, KF_STR("secretName", .required = true),
                   KF_LIST("items", key_to_path), KF_INT("defaultMode", 0, 0777, .dflt = "420"),
                   KF_BOOL("optional"), KF_INT("defaultUser", 0, INT_MAX));

static KUBE_SCHEMA(config_map_source, NULL, KF_STR("name", .required = true),
                   KF_LIST("items", key_to_path), KF_INT("defaultMode", 0, 0777, .dflt = "420"),
                   KF_BOOL("optional"), KF_INT("defaultUser", 0, INT_MAX));

static KUBE_SCHEMA(downward_source, NULL, KF_LIST("items", downward_file),
                   KF_INT("defaultMode", 0, 0777, .dflt = "420"),
                   KF_INT("defaultUser", 0, INT_MAX));

static KUBE_SCHEMA(projected_map, NULL, KF_STR("name", .required = true),
                   KF_LIST("items", key_to_path), KF_BOOL("optional"));

static KUBE_SCHEMA(projected_downward, NULL, KF_LIST("items", downward_file));

static KUBE_SCHEMA(projected_token, NULL, KF_STR("audience"),
                   KF_INT("expirationSeconds", 600, 1LL << 32, .dflt = "3600"),
                   KF_STR("path", .required = true, .syntax = is_relative_path),
                   KF_INT("user", 0, INT_MAX));

static KUBE_SCHEMA(projected_bundle, NULL, KF_STR("name"), KF_STR("signerName"),
                   KF_OBJ("labelSelector", kube_schema_selector), KF_BOOL("optional"),
                   KF_STR("path", .required = true, .syntax = is_relative_path),
                   KF_INT("user", 0, INT_MAX));

static void check_projection(struct kube_checker *c, json_t *v)
{
    static const char *const sources[] = {
        "secret",         "downwardAPI", "configMap", "serviceAccountToken", "clusterTrustBundle",
        "podCertificate", NULL};
    kube_check_exactly_one(c, v, sources);
}

static KUBE_SCHEMA(projection, check_projection, KF_OBJ("secret", projected_map),
                   KF_OBJ("configMap", projected_map), KF_OBJ("downwardAPI", projected_downward),
                   KF_OBJ("serviceAccountToken", projected_token),
                   KF_OBJ("clusterTrustBundle", projected_bundle), KF_ANY("podCertificate"));

static KUBE_SCHEMA(projected_source, NULL, KF_LIST("sources", projection),
                   KF_INT("defaultMode", 0, 0777, .dflt = "420"),
                   KF_INT("defaultUser", 0, INT_MAX));

static KUBE_SCHEMA(host_path, NULL, KF_STR("path", .required = true),
                   KF_STR("type", .oneof = "DirectoryOrCreate Directory FileOrCreate File Socket "
                                           "CharDevice BlockDevice"));

static KUBE_SCHEMA(empty_dir, NULL, KF_STR("medium"), KF_QTY("sizeLimit"),
                   KF_INT("mode", 0, 01777));

static KUBE_SCHEMA(nfs, NULL, KF_STR("server", .required = true),
                   KF_STR("path", .required = true, .syntax = kube_is_absolute_path),
                   KF_BOOL("readOnly"));

static KUBE_SCHEMA(claim_source, NULL, KF_STR("claimName", .required = true), KF_BOOL("readOnly"));

static KUBE_SCHEMA(csi, NULL, KF_STR("driver", .required = true), KF_BOOL("readOnly"),
                   KF_STR("fsType"), KF_MAP("volumeAttributes"),
                   KF_OBJ("nodePublishSecretRef", kube_schema_local_ref));

static KUBE_SCHEMA(image_source, NULL, KF_STR("reference"),
                   KF_STR("pullPolicy", .oneof = "Always Never IfNotPresent"));

static KUBE_SCHEMA(claim_resources, NULL, KF_QTYS("limits"), KF_QTYS("requests"));

static KUBE_SCHEMA(claim_spec, NULL,
                   KF_STRS("accessModes", .required = true,
                           .oneof = "ReadWriteOnce ReadOnlyMany ReadWriteMany ReadWriteOncePod"),
                   KF_OBJ("selector", kube_schema_selector),
                   KF_OBJ("resources", claim_resources, .required = true), KF_STR("volumeName"),
                   KF_STR("storageClassName"),
                   KF_STR("volumeMode", .oneof = "Block Filesystem", .dflt = "Filesystem"),
                   KF_ANY("dataSource"), KF_ANY("dataSourceRef"),
                   KF_STR("volumeAttributesClassName"));

static KUBE_SCHEMA(claim_template, NULL, KF_OBJ("metadata", kube_schema_metadata),
                   KF_OBJ("spec", claim_spec, .required = true));

static KUBE_SCHEMA(ephemeral, NULL,
                   KF_OBJ("volumeClaimTemplate", claim_template, .required = true));

static void check_claim(struct kube_checker *c, json_t *claim)
{
    const char *name =
        json_string_value(json_object_get(json_object_get(claim, "metadata"), "name"));
    kube_enter(c, "metadata");
    if (!name)
        kube_fault_at(c, "name", "required, but missing");
    else if (kube_is_dns_label(name))
        kube_fault_at(c, "name", "got \"%.80s\", expected %s", name, kube_is_dns_label(name));
    kube_leave(c);
}

KUBE_SCHEMA(kube_schema_claim, check_claim, KF_STR("apiVersion"), KF_STR("kind"),
            KF_OBJ("metadata", kube_schema_metadata, .required = true),
            KF_OBJ("spec", claim_spec, .required = true), KF_ANY("status"));

/* every member but "name" is a source */
static void check_volume(struct kube_checker *c, json_t *volume)
{
    size_t sources = json_object_size(volume) - 1;
    if (sources == 0)
        json_object_set_new(volume, "emptyDir", json_object()); /* as the API server does */
    else if (sources > 1)
        kube_fault(c, "more than one source, expected exactly one");
}

KUBE_SCHEMA(kube_schema_volume, check_volume,
            KF_STR("name", .required = true, .syntax = kube_is_dns_label),
            KF_OBJ("emptyDir", empty_dir), KF_OBJ("configMap", config_map_source),
            KF_OBJ("secret", secret_source), KF_OBJ("projected", projected_source),
            KF_OBJ("downwardAPI", downward_source), KF_OBJ("hostPath", host_path),
            KF_OBJ("persistentVolumeClaim", claim_source), KF_OBJ("ephemeral", ephemeral),
            KF_OBJ("nfs", nfs), KF_OBJ("csi", csi), KF_OBJ("image", image_source),
            KF_ANY("gcePersistentDisk"), KF_ANY("awsElasticBlockStore"), KF_ANY("gitRepo"),
            KF_ANY("iscsi"), KF_ANY("glusterfs"), KF_ANY("rbd"), KF_ANY("flexVolume"),
            KF_ANY("cinder"), KF_ANY("cephfs"), KF_ANY("flocker"), KF_ANY("fc"),
            KF_ANY("azureFile"), KF_ANY("vsphereVolume"), KF_ANY("quobyte"), KF_ANY("azureDisk"),
            KF_ANY("photonPersistentDisk"), KF_ANY("portworxVolume"), KF_ANY("scaleIO"),
            KF_ANY("storageos"));
