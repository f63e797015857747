/* objects: injector/webhook/review.c */
/* review_fuzz.c - whatever is sent to the webhook: a verdict, and an answer that can be printed. */
#include <stdint.h>
#include <stdlib.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "injector/inject.h"
#include "injector/webhook/review.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print(json_t *answer)
{
    struct buf out = BUF_INIT;

    if (!json_str(answer, "response.uid", NULL))
        abort();
    json_print(answer, &out);
    buf_free(&out);
    json_decref(answer);
}

static void judge(const struct review *rv)
{
    const struct inj_config cfg = {.mesh_name = "fsm",
                                   .fsm_namespace = "fsm-system",
                                   .trust_domain = "cluster.local",
                                   .native_sidecar = true};
    const char *reason;
    struct err e = {""};
    json_t *patch;

    if (inj_pod(rv->pod, &cfg, &patch, &reason, &e) == INJ_REFUSED)
        print(review_deny(rv, 422, "Invalid", e.text));
    else
        print(review_allow(rv, patch, reason));
    json_decref(patch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct review rv;
    struct err e;

    log_set_level(LOG_OFF);
    if (review_read(slice_of((const char *)data, size), &rv, &e) < 0)
        return 0;
    if (rv.pod)
        judge(&rv);
    else
        print(review_allow(&rv, NULL, "x"));
    review_clear(&rv);
    return 0;
}
