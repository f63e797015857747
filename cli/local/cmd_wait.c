/* cmd_wait.c - fsm local wait. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "cli/local/local_cli.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/io/frame.h"
#include "common/kube/kind.h"

static struct {
    const char *what;
    long long timeout_ms;
    bool all;
} flags = {.timeout_ms = 30000};

const struct opt local_wait_opts[] = {
    LOCAL_OPT_NAME,
    LOCAL_OPT_NS,
    LOCAL_OPT_SELECTOR,
    {0, "for", "CONDITION", "ready, available, complete, delete, condition=NAME[=VALUE]",
     OPT_STR(&flags.what)},
    {0, "all", NULL, "all objects of the kind in the namespace", OPT_FLAG(&flags.all)},
    {0, "timeout", "DURATION", "how long to wait (default 30s)", OPT_MS(&flags.timeout_ms)},
    OPT_END};

/* what --for means */
struct goal {
    bool gone;
    char type[64]; /* condition, or "" for "ready" of whatever kind */
    char value[16];
};

static int parse_goal(const char *text, struct goal *g)
{
    *g = (struct goal){.value = "True"};
    if (!text)
        return cli_usage("fsm local wait KIND/NAME --for=ready|complete|delete|condition=NAME");
    if (strcasecmp(text, "delete") == 0) {
        g->gone = true;
    } else if (strcasecmp(text, "complete") == 0 || strcasecmp(text, "available") == 0) {
        snprintf(g->type, sizeof(g->type), "%s", text);
    } else if (strncmp(text, "condition=", 10) == 0) {
        struct slice rest = slice_str(text + 10), type = slice_cut(&rest, '=');
        snprintf(g->type, sizeof(g->type), "%.*s", SLICE_FMT(type));
        if (rest.p)
            snprintf(g->value, sizeof(g->value), "%.*s", SLICE_FMT(rest));
    } else if (strcasecmp(text, "ready") != 0) {
        return cli_usage("--for: got \"%s\", expected ready, available, complete, delete or "
                         "condition=NAME[=VALUE]",
                         text);
    }
    return 0;
}

static bool condition_is(const json_t *o, const char *type, const char *value)
{
    const json_t *list = json_at(o, "status.conditions");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *c = json_array_get(list, i);
        if (strcasecmp(json_str(c, "type", ""), type) == 0)
            return strcasecmp(json_str(c, "status", ""), value) == 0;
    }
    return false;
}

/* the controller has seen the newest spec, and all of it runs */
static bool is_rolled_out(const json_t *o, const char *updated, const char *ready, int64_t want)
{
    return json_int(o, "status.observedGeneration", 0) >= json_int(o, "metadata.generation", 0) &&
           json_int(o, updated, 0) == want && json_int(o, ready, 0) == want &&
           json_int(o, "status.replicas", want) == want;
}

static bool is_ready(const char *kind, const json_t *o)
{
    int64_t replicas = json_int(o, "spec.replicas", 1);

    if (strcmp(kind, "Pod") == 0)
        return condition_is(o, "Ready", "True");
    if (strcmp(kind, "Deployment") == 0)
        return is_rolled_out(o, "status.updatedReplicas", "status.availableReplicas", replicas);
    if (strcmp(kind, "StatefulSet") == 0)
        return is_rolled_out(o, "status.updatedReplicas", "status.readyReplicas", replicas);
    if (strcmp(kind, "ReplicaSet") == 0)
        return is_rolled_out(o, "status.replicas", "status.readyReplicas", replicas);
    if (strcmp(kind, "DaemonSet") == 0)
        return is_rolled_out(o, "status.updatedNumberScheduled", "status.numberReady", 1);
    if (strcmp(kind, "Job") == 0)
        return condition_is(o, "Complete", "True");
    return condition_is(o, "Ready", "True");
}

static bool reached(const struct goal *g, const char *kind, const json_t *o)
{
    return g->type[0] ? condition_is(o, g->type, g->value) : is_ready(kind, o);
}

enum seen { SEEN_MORE, SEEN_DONE, SEEN_MISSING };

/* one message of the watch; *there: the object exists as far as it was told */
static enum seen see(const struct object_ref *ref, const struct goal *g, const json_t *m,
                     bool *there)
{
    const char *type = json_str(m, "type", "");
    const json_t *o = json_object_get(m, "object");

    if (o)
        *there = strcmp(type, "DELETED") != 0;
    if (g->gone)
        return !*there && (o || strcmp(type, "SYNCED") == 0) ? SEEN_DONE : SEEN_MORE;
    if (!o && !*there)
        return SEEN_MISSING;
    return o && *there && reached(g, ref->kind, o) ? SEEN_DONE : SEEN_MORE;
}

/* follows one object until the goal; 0, or 1 with words */
static int wait_one(const struct object_ref *ref, const struct goal *g, uint64_t end)
{
    struct err e;
    enum seen seen = SEEN_MORE;
    bool there = false;
    int fd = client_open(NULL,
                         json_pack("{s:s, s:s, s:s, s:[s]}", "verb", "watch", "kind", ref->kind,
                                   "namespace", local_ns(), "names", ref->name),
                         &e);

    if (fd < 0)
        return cli_fail("%s", e.text);
    while (seen == SEEN_MORE) {
        json_t *m = client_next(fd, end, &e);
        if (!m)
            break;
        seen = see(ref, g, m, &there);
        json_decref(m);
    }
    close(fd);
    char *text = ref_text(ref->kind, ref->name);
    if (seen == SEEN_DONE)
        printf("%s condition met\n", text);
    else if (seen == SEEN_MISSING)
        cli_fail("%s not found", text);
    else if (clock_mono_ms() >= end)
        cli_fail("timed out waiting for %s to be %s", text, flags.what);
    else
        cli_fail("waiting for %s to be %s: the daemon went away%s%s", text, flags.what,
                 *e.text ? ": " : "", e.text);
    free(text);
    return seen == SEEN_DONE ? 0 : 1;
}

/* the names that exist now */
static int expand(const struct object_ref *ref, struct object_refs *out)
{
    struct err e;
    json_t *labels = NULL;

    if (local_flags.selector && !(labels = selector_parse(local_flags.selector, &e)))
        return cli_usage("%s", e.text);
    if (!labels && !flags.all)
        return cli_usage("which? Name the objects, or use -l SELECTOR or --all");
    json_t *reply = client_call(NULL,
                                json_pack("{s:s, s:s, s:s, s:o*}", "verb", "get", "kind", ref->kind,
                                          "namespace", local_ns(), "labels", labels),
                                &e);
    if (!reply)
        return cli_fail("%s", e.text);
    const json_t *items = json_object_get(reply, "items");
    out->v = xcalloc(json_array_size(items) + 1, sizeof(*out->v));
    for (size_t i = 0; i < json_array_size(items); i++)
        out->v[out->n++] = (struct object_ref){
            ref->kind, xstrdup(json_str(json_array_get(items, i), "metadata.name", ""))};
    json_decref(reply);
    return out->n || (flags.what && strcmp(flags.what, "delete") == 0)
               ? 0
               : cli_fail("no matching resources found");
}

int local_wait(int argc, char **argv)
{
    struct object_refs refs = {0}, found = {0};
    struct goal goal;
    int rc = parse_goal(flags.what, &goal);
    uint64_t end = clock_mono_ms() + (uint64_t)flags.timeout_ms;

    if (rc || (rc = refs_parse(argc, argv, &refs)) != 0)
        return rc;
    if (!refs.v[0].name)
        rc = expand(&refs.v[0], &found);
    const struct object_refs *all = refs.v[0].name ? &refs : &found;
    for (unsigned i = 0; rc == 0 && i < all->n; i++)
        rc = wait_one(&all->v[i], &goal, end);
    refs_free(&refs);
    refs_free(&found);
    return rc;
}
