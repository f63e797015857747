/* yaml_fuzz.c - manifests: any bytes; what is accepted must come back equal from its own YAML. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/kube/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(const struct kube_object *o)
{
    struct kube_problems problems = {NULL, 0};
    struct kube_object **v;
    struct buf yaml = BUF_INIT;
    kube_to_yaml(o->body, &yaml);
    unsigned n = kube_load(buf_slice(&yaml), "emitted", NULL, &v, &problems);
    if (n != 1 || problems.n > 0 || !json_equal(v[0]->body, o->body)) {
        fprintf(stderr, "does not come back equal (%u objects, %u problems):\n%s\n", n, problems.n,
                yaml.p);
        abort();
    }
    kube_objects_free(v, n);
    kube_problems_free(&problems);
    buf_free(&yaml);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kube_problems problems = {NULL, 0};
    struct kube_object **v;
    unsigned n = kube_load(slice_of((const char *)data, size), "input", NULL, &v, &problems);
    for (unsigned i = 0; i < n; i++)
        check_round_trip(v[i]);
    for (unsigned i = 0; i < problems.n; i++)
        free(kube_problem_text(&problems.v[i]));
    kube_objects_free(v, n);
    kube_problems_free(&problems);
    return 0;
}
