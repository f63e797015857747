/* events.c - what happened to objects, for people: kept as Event objects, the newest few hundred.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/local/local.h"
#include "cli/local/resources.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/kube/utf8.h"

#define EVENTS_MAX 500 /* in all; the oldest go first */

static bool is_same(const json_t *body, const struct kube_object *about, const char *reason,
                    const char *message)
{
    return strcmp(json_str(body, "reason", ""), reason) == 0 &&
           strcmp(json_str(body, "involvedObject.name", ""), about->name) == 0 &&
           strcmp(json_str(body, "involvedObject.kind", ""), about->kind) == 0 &&
           strcmp(json_str(body, "involvedObject.uid", ""), object_uid(about)) == 0 &&
           strcmp(json_str(body, "message", ""), message) == 0;
}

static const struct kube_object *find_same(struct local *l, const char *ns,
                                           const struct kube_object *about, const char *reason,
                                           const char *message)
{
    const struct kube_object *o;

    for (void *it = NULL; (o = kube_store_next(l->store, "Event", ns, &it)) != NULL;)
        if (is_same(o->body, about, reason, message))
            return o;
    return NULL;
}

static void drop_oldest(struct local *l)
{
    const struct kube_object *o, *oldest = NULL;
    char *ns, *name;

    if (kube_store_count(l->store, "Event") <= EVENTS_MAX)
        return;
    for (void *it = NULL; (o = kube_store_next(l->store, "Event", NULL, &it)) != NULL;)
        if (!oldest || strcmp(json_str(o->body, "lastTimestamp", ""),
                              json_str(oldest->body, "lastTimestamp", "")) < 0)
            oldest = o;
    ns = xstrdup(oldest->ns);
    name = xstrdup(oldest->name);
    res_remove(l, "Event", ns, name);
    free(ns);
    free(name);
}

static void add_new(struct local *l, const char *ns, const struct kube_object *about,
                    const char *type, const char *reason, const char *message)
{
    static unsigned long serial;
    struct err e;
    char *name = xasprintf("%s.%lx", about->name, ++serial);
    json_t *body = json_pack(
        "{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s}, s:s, s:s, s:s, s:i, s:o, s:o, "
        "s:{s:s}}",
        "apiVersion", "v1", "kind", "Event", "metadata", "name", name, "namespace", ns,
        "involvedObject", "apiVersion", json_str(about->body, "apiVersion", "v1"), "kind",
        about->kind, "name", about->name, "namespace", about->ns, "uid", object_uid(about), "type",
        type, "reason", reason, "message", message, "count", 1, "firstTimestamp", time_now(),
        "lastTimestamp", time_now(), "source", "component", FIELD_MANAGER);

    free(name);
    if (!res_create(l, body, &e))
        log_error("events", "event not kept: %s", e.text);
    drop_oldest(l);
}

static void count_up(struct local *l, const struct kube_object *same)
{
    json_t *body = res_edit(same);

    json_object_set_new(body, "count", json_integer(json_int(body, "count", 1) + 1));
    json_object_set_new(body, "lastTimestamp", time_now());
    res_set(l, body);
}

void local_event(struct local *l, const struct kube_object *about, const char *type,
                 const char *reason, const char *fmt, ...)
{
    char text[1024];
    const char *ns = *about->ns ? about->ns : "default";
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    /* often a container's own words, and perhaps cut inside a character */
    char *message = utf8_clean(text);
    if (strcmp(type, "Warning") == 0)
        log_warn("events", "%s %s/%s: %s: %s", about->kind, ns, about->name, reason, message);
    const struct kube_object *same = find_same(l, ns, about, reason, message);
    if (same)
        count_up(l, same);
    else
        add_new(l, ns, about, type, reason, message);
    free(message);
}
