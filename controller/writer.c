/* writer.c - who writes, and what: whether the controller took the MeshConfig, as a condition of
 * its status and as an Event beside it (the ConfigMaps with the roots: root_maps.c).
 *
 * Every replica serves proxies; the one that holds the Lease writes.  The verdict is made of the
 * very object that it is written to, by the check that decides whether the source takes it: a
 * MeshConfig that is refused leaves the last good one in force.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/daemon/metric.h"
#include "common/kube/event.h"
#include "common/kube/lease.h"
#include "common/kube/status.h"
#include "common/policy/settings.h"
#include "controller/cp.h"

#define MANAGER   "fsm-controller"
#define CONDITION "Accepted"
#define WORDS_MAX 8 /* problems that a message tells */

struct cp_writer {
    struct cp *cp;
    struct kube_lease *lease;
    struct kube_events *events;
    struct kube_status *status;
    uint64_t problems; /* what was said about the MeshConfig last */
    uint64_t elected;
};

/* ---- the verdict -------------------------------------------------------------------------------
 */

/* "Kind ns/name: " stands before the first: who reads a status knows of what object it is */
static const char *without_object(const char *words, const struct kube_problems *p)
{
    size_t n = p->n > 0 ? strlen(p->v[0].object) : 0;

    return n > 0 && strncmp(words, p->v[0].object, n) == 0 ? words + n + 2 : words;
}

static json_t *refused(const struct cp *cp, const json_t *object, const struct kube_problems *p)
{
    const char *ns = json_str(object, "metadata.namespace", "");
    const char *name = json_str(object, "metadata.name", "");
    char *words = kube_problems_words(p, WORDS_MAX);
    char *text =
        xasprintf("%s; %s in force", without_object(words, p),
                  kube_store_get(cp->store, "MeshConfig", ns, name) ? "the last good one stays"
                                                                    : "there is none before it: "
                                                                      "the defaults are");
    json_t *c = kube_condition(CONDITION, false, "Invalid", text);

    free(text);
    free(words);
    return c;
}

static json_t *wanted(const json_t *object, void *arg)
{
    const struct cp_writer *w = arg;
    struct kube_problems problems = {NULL, 0};
    struct kube_object *o = kube_object_from_server(json_deep_copy(object), &problems);
    json_t *list = json_array();

    json_array_append_new(
        list, o ? kube_condition(CONDITION, true, "InForce", "the mesh works by these settings")
                : refused(w->cp, object, &problems));
    kube_object_unref(o);
    kube_problems_free(&problems);
    return list;
}

/* What was refused is told each time; what is accepted only after that. */
static void differs(const json_t *object, const json_t *list, void *arg)
{
    struct cp_writer *w = arg;
    const json_t *now = json_array_get(list, 0), *old = kube_condition_of(object, CONDITION);
    bool good = strcmp(json_str(now, "status", ""), "True") == 0;

    if (good && strcmp(json_str(old, "status", "True"), "True") == 0)
        return;
    kube_events_tell(w->events,
                     &(struct kube_event){.api_version = json_str(object, "apiVersion", ""),
                                          .kind = json_str(object, "kind", ""),
                                          .ns = json_str(object, "metadata.namespace", ""),
                                          .name = json_str(object, "metadata.name", ""),
                                          .uid = json_str(object, "metadata.uid", NULL),
                                          .warning = !good,
                                          .reason = good ? "Accepted" : "Refused",
                                          .action = "Configure",
                                          .note = json_str(now, "message", "")});
}

static const struct kube_status_ops status_ops = {wanted, differs};

static void touch(struct cp_writer *w)
{
    kube_status_touch(w->status, kube_kind_by_key("MeshConfig"), w->cp->conf.base.fsm_namespace,
                      MESH_CONFIG_NAME);
}

/* ---- who writes --------------------------------------------------------------------------------
 */

static void on_lease(bool held, void *arg)
{
    struct cp_writer *w = arg;

    kube_events_enable(w->events, held);
    kube_status_enable(w->status, held);
    cp_root_maps_enable(w->cp, held);
    if (!held)
        return;
    w->elected++;
    char *note = xasprintf("%s writes from now on", kube_lease_holder(w->lease));
    kube_events_tell(w->events, &(struct kube_event){.api_version = "coordination.k8s.io/v1",
                                                     .kind = "Lease",
                                                     .ns = w->cp->conf.base.fsm_namespace,
                                                     .name = MANAGER,
                                                     .reason = "LeaderElection",
                                                     .action = "Acquire",
                                                     .note = note});
    free(note);
    touch(w);
}

/* the pod's name, and what tells this process from an earlier one of it */
static void identify(char host[65], char **who)
{
    char uuid[37];

    if (gethostname(host, 64) < 0)
        host[0] = '\0';
    host[64] = '\0';
    uuid_v4(uuid);
    *who = xasprintf("%s_%s", *host ? host : MANAGER, uuid);
}

void cp_writer_start(struct cp *cp)
{
    struct kube_api *api = kube_source_api(cp->source);
    struct cp_writer *w;
    char host[65], *who;

    if (!api)
        return;
    identify(host, &who);
    w = cp->writer = xcalloc(1, sizeof(*w));
    w->cp = cp;
    w->events = kube_events_new(cp->loop, api, "flomesh.io/" MANAGER, *host ? host : MANAGER);
    w->status = kube_status_new(cp->loop, api, MANAGER, &status_ops, w);
    w->lease = kube_lease_new(
        cp->loop, api,
        &(struct kube_lease_conf){.ns = cp->conf.base.fsm_namespace, .name = MANAGER, .who = who},
        on_lease, w);
    free(who);
}

void cp_writer_release(struct cp *cp)
{
    if (cp->writer)
        kube_lease_release(cp->writer->lease);
}

void cp_writer_stop(struct cp *cp)
{
    struct cp_writer *w = cp->writer;

    if (!w)
        return;
    kube_lease_free(w->lease);
    kube_events_free(w->events);
    kube_status_free(w->status);
    free(w);
    cp->writer = NULL;
}

/* ---- when there is something to write ----------------------------------------------------------
 */

void cp_writer_changed(struct cp *cp, const struct kube_object *o)
{
    if (cp->writer && strcmp(o->kind, "MeshConfig") == 0)
        touch(cp->writer);
}

/* a MeshConfig that is refused is no change of the store, but one of the problems */
void cp_writer_problems(struct cp *cp)
{
    const struct kube_problems *p = kube_source_problems(cp->source);
    struct cp_writer *w = cp->writer;
    uint64_t hash = 0;

    if (!w)
        return;
    for (unsigned i = 0; i < p->n; i++)
        if (strncmp(p->v[i].object, "MeshConfig", 10) == 0)
            hash += hash_bytes(p->v[i].message, strlen(p->v[i].message)) ^
                    hash_bytes(p->v[i].field, strlen(p->v[i].field)) * 31;
    if (hash == w->problems)
        return;
    w->problems = hash;
    touch(w);
}

/* ---- for people --------------------------------------------------------------------------------
 */

static void add(json_t *out, const char *object, const char *text)
{
    if (text)
        json_array_append_new(out, json_pack("{s:s,s:s,s:s}", "severity", "error", "object", object,
                                             "message", text));
}

void cp_writer_tell(const struct cp *cp, json_t *out)
{
    const struct cp_writer *w = cp->writer;

    if (!w)
        return;
    add(out, "Lease", kube_lease_problem(w->lease));
    add(out, "Event", kube_events_problem(w->events));
    add(out, "MeshConfig", kube_status_problem(w->status));
}

void cp_writer_print(const struct cp *cp, struct buf *out)
{
    const struct cp_writer *w = cp->writer;

    if (!w)
        return;
    metric_one(out, "fsm_leader", "gauge", "1 while this process is the one that writes.",
               kube_lease_is_held(w->lease));
    metric_one(out, "fsm_leader_elections_total", "counter", "How often it became that one.",
               w->elected);
    metric_one(out, "fsm_status_writes_total", "counter", "Statuses written.",
               kube_status_written(w->status));
    metric_one(out, "fsm_kube_events_written_total", "counter", "Events written, or counted up.",
               kube_events_written(w->events));
    metric_one(out, "fsm_kube_events_lost_total", "counter", "Events that nobody will read.",
               kube_events_lost(w->events));
}
