/* check.c - documents on request, and -n: are the resources good?  Needs no root, socket or key. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "controller/cp.h"

json_t *cp_document(struct cp *cp, const char *pod, struct err *e)
{
    const char *slash = strchr(pod, '/');
    struct policy_proxy *px = NULL;
    struct buf text = BUF_INIT;
    char ts[32];

    if (slash) {
        char *ns = xstrndup(pod, (size_t)(slash - pod));
        px = policy_proxy_open(cp->policy, ns, slash + 1);
        free(ns);
    }
    if (!px) {
        err_set(e, "%s: %s", pod,
                slash
                    ? "no such pod in the mesh: it needs the label fsm-proxy-uuid, an address, and "
                      "a monitored namespace"
                    : "expected NAMESPACE/POD");
        return NULL;
    }
    clock_rfc3339(clock_wall_ms(), ts);
    policy_proxy_document(px, ts, &text);
    policy_proxy_close(px);
    json_t *wire = json_parse(buf_slice(&text), text.len, e);
    json_t *doc = wire ? document_present(wire) : NULL;
    json_decref(wire);
    buf_free(&text);
    return doc;
}

static void on_batch(struct kube_source *s, void *arg)
{
    struct cp *cp = arg;

    if (kube_source_synced(s))
        loop_stop(cp->loop);
}

static void print_note(const char *object, const char *text, void *arg)
{
    fprintf(stderr, "note: %s: %s\n", object, text);
}

static int print_document(struct cp *cp)
{
    struct err e = {""};
    struct buf out = BUF_INIT;
    json_t *doc = cp_document(cp, cp->conf.document, &e);

    if (!doc) {
        fprintf(stderr, "fsm-controller: %s\n", e.text);
        return 1;
    }
    json_print_pretty(doc, 1, false, &out);
    puts(out.p);
    buf_free(&out);
    json_decref(doc);
    return 0;
}

static int report(struct cp *cp)
{
    struct policy_stats stats;
    int status = daemon_print_problems(kube_source_problems(cp->source)) > 0;

    policy_update(cp->policy);
    if (cp->conf.verbose)
        policy_notes(cp->policy, print_note, NULL);
    if (cp->conf.document)
        return print_document(cp) || status;
    policy_stats(cp->policy, &stats);
    printf("%zu namespaces, %zu services and %zu pods in the mesh: %s\n", stats.namespaces,
           stats.services, stats.pods, status ? "not all resources are good" : "good");
    return status;
}

int cp_check(struct cp *cp)
{
    struct policy_opts o = {cp->conf.base.mesh_name, cp->conf.base.fsm_namespace,
                            cp->conf.base.trust_domain};
    struct err e = {""};
    int status = 1;

    cp->loop = loop_new(&e);
    cp->store = kube_store_new();
    cp->policy = policy_new(cp->store, &o);
    if (cp->loop)
        cp->source = kube_paths_source_new(cp->loop, cp->conf.base.files.v, cp->conf.base.files.n,
                                           cp->store, &e);
    if (cp->source) {
        kube_source_on_batch(cp->source, on_batch, cp);
        loop_run(cp->loop);
        status = report(cp);
        kube_source_free(cp->source);
    } else {
        fprintf(stderr, "fsm-controller: %s\n", e.text);
    }
    policy_free(cp->policy);
    kube_store_free(cp->store);
    if (cp->loop)
        loop_free(cp->loop);
    return status;
}
