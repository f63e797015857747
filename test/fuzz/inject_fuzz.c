/* inject_fuzz.c - pods of any shape: the patch must fit, and its result be known for injected. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "injector/inject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(json_t *pod, const struct inj_config *cfg)
{
    json_t *patch, *again;
    const char *reason;
    struct err e = {""};

    if (inj_pod(pod, cfg, &patch, &reason, &e) != INJ_PATCH)
        return;
    pod = inj_apply_patch(json_deep_copy(pod), patch, &e);
    if (!pod || inj_pod(pod, cfg, &again, &reason, &e) != INJ_SKIP) {
        fprintf(stderr, "the patch does not fit, or its result is not known: %s\n", e.text);
        abort();
    }
    json_decref(pod);
    json_decref(patch);
}

/* the first byte chooses the configuration; the document may bring MeshConfig and namespace */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct inj_config cfg = {.mesh_name = "fsm",
                             .fsm_namespace = "fsm-system",
                             .trust_domain = "cluster.local",
                             .uuid = "u",
                             .hook_key = "k"};
    json_t *doc;

    if (size < 2)
        return 0;
    log_set_level(LOG_ERROR);
    doc = json_parse(slice_of((const char *)data + 1, size - 1), 1 << 20, NULL);
    if (!doc)
        return 0;
    cfg.native_sidecar = data[0] & 1;
    cfg.meshconfig = json_object_get(doc, "meshconfig");
    cfg.ns_object = json_object_get(doc, "namespace");
    check(json_object_get(doc, "pod") ? json_object_get(doc, "pod") : doc, &cfg);
    json_decref(doc);
    return 0;
}
