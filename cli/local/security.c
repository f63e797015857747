/* security.c - user, groups, capabilities and privileges of a container, from the pod's and the
 * container's securityContext (the container's wins). */
#include "cli/local/pod.h"

#include <string.h>
#include <strings.h>
#include "common/base/json.h"

#define ALL_CAPS ((1ull << 63) - 1)

/* in the order of their numbers (linux/capability.h) */
static const char *const cap_names[] = {"CHOWN",
                                        "DAC_OVERRIDE",
                                        "DAC_READ_SEARCH",
                                        "FOWNER",
                                        "FSETID",
                                        "KILL",
                                        "SETGID",
                                        "SETUID",
                                        "SETPCAP",
                                        "LINUX_IMMUTABLE",
                                        "NET_BIND_SERVICE",
                                        "NET_BROADCAST",
                                        "NET_ADMIN",
                                        "NET_RAW",
                                        "IPC_LOCK",
                                        "IPC_OWNER",
                                        "SYS_MODULE",
                                        "SYS_RAWIO",
                                        "SYS_CHROOT",
                                        "SYS_PTRACE",
                                        "SYS_PACCT",
                                        "SYS_ADMIN",
                                        "SYS_BOOT",
                                        "SYS_NICE",
                                        "SYS_RESOURCE",
                                        "SYS_TIME",
                                        "SYS_TTY_CONFIG",
                                        "MKNOD",
                                        "LEASE",
                                        "AUDIT_WRITE",
                                        "AUDIT_CONTROL",
                                        "SETFCAP",
                                        "MAC_OVERRIDE",
                                        "MAC_ADMIN",
                                        "SYSLOG",
                                        "WAKE_ALARM",
                                        "BLOCK_SUSPEND",
                                        "AUDIT_READ",
                                        "PERFMON",
                                        "BPF",
                                        "CHECKPOINT_RESTORE"};

/* What container engines leave a container that says nothing, but for MKNOD: nothing here keeps a
 * container from opening a device that it has made. */
static const char *const default_caps[] = {
    "CHOWN",   "DAC_OVERRIDE", "FSETID",           "FOWNER",     "NET_RAW", "SETGID",     "SETUID",
    "SETFCAP", "SETPCAP",      "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",    "AUDIT_WRITE"};

/* bit mask of one name, with or without CAP_; ALL is every one; 0 = unknown */
static uint64_t cap_mask(const char *name)
{
    if (strncasecmp(name, "CAP_", 4) == 0)
        name += 4;
    if (strcasecmp(name, "ALL") == 0)
        return ALL_CAPS;
    for (size_t i = 0; i < sizeof(cap_names) / sizeof(*cap_names); i++)
        if (strcasecmp(name, cap_names[i]) == 0)
            return 1ull << i;
    return 0;
}

static int cap_list(const json_t *list, const char *field, uint64_t *out, struct err *e)
{
    *out = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i)) ?: "";
        uint64_t mask = cap_mask(name);
        if (!mask)
            return err_set(e,
                           "securityContext.capabilities.%s[%zu]: got \"%s\", expected the "
                           "name of a Linux capability, such as NET_ADMIN",
                           field, i, name);
        *out |= mask;
    }
    return 0;
}

/* as container engines: "drop ALL, add X" is X alone, "add ALL, drop X" is all but X */
static int capabilities(const json_t *sc, uint64_t *out, struct err *e)
{
    uint64_t add, drop, caps = 0;

    if (cap_list(json_at(sc, "capabilities.add"), "add", &add, e) ||
        cap_list(json_at(sc, "capabilities.drop"), "drop", &drop, e))
        return -1;
    for (size_t i = 0; i < sizeof(default_caps) / sizeof(*default_caps); i++)
        caps |= cap_mask(default_caps[i]);
    *out = add == ALL_CAPS ? ALL_CAPS & ~drop : (caps & ~drop) | add;
    return 0;
}

static int64_t either(const json_t *own, const json_t *pod, const char *key, int64_t dflt)
{
    return json_int(own, key, json_int(pod, key, dflt));
}

static json_t *groups(const json_t *pod_sc)
{
    const json_t *more = json_object_get(pod_sc, "supplementalGroups");
    json_t *out = json_array();
    int64_t fs_group = json_int(pod_sc, "fsGroup", -1);

    if (fs_group >= 0)
        json_array_append_new(out, json_integer(fs_group));
    for (size_t i = 0; i < json_array_size(more); i++)
        json_array_append(out, json_array_get(more, i));
    return out;
}

int security_fill(const struct container *c, const json_t *image, json_t *spec, struct err *e)
{
    const json_t *own = json_object_get(c->spec, "securityContext");
    const json_t *pod = json_object_get(c->pod->spec, "securityContext");
    int64_t uid = either(own, pod, "runAsUser", json_int(image, "user", 0));
    bool privileged = json_bool(own, "privileged", false);
    uint64_t caps;

    if (uid == 0 && json_bool(own, "runAsNonRoot", json_bool(pod, "runAsNonRoot", false)))
        return err_set(e, "securityContext.runAsNonRoot is true, but neither runAsUser nor the "
                          "image's entry names a user other than root");
    if (capabilities(own, &caps, e))
        return -1;
    if (privileged)
        caps = ALL_CAPS;
    json_object_set_new(spec, "uid", json_integer(uid));
    json_object_set_new(spec, "gid", json_integer(either(own, pod, "runAsGroup", 0)));
    json_object_set_new(spec, "groups", groups(pod));
    json_object_set_new(spec, "caps", json_integer((json_int_t)caps));
    json_object_set_new(spec, "privileged", json_boolean(privileged));
    json_object_set_new(spec, "readonlyRoot",
                        json_boolean(json_bool(own, "readOnlyRootFilesystem", false)));
    json_object_set_new(
        spec, "noNewPrivileges",
        json_boolean(!privileged && !json_bool(own, "allowPrivilegeEscalation", true)));
    return 0;
}
