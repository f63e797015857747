/* objects.c - small helpers over objects: owners, conditions, times. */
#include "cli/local/local.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/kube/utf8.h"

json_t *time_json(int64_t wall_ms)
{
    char text[32];

    /* Kubernetes writes whole seconds */
    clock_rfc3339(wall_ms / 1000 * 1000, text);
    char *dot = strchr(text, '.');
    if (dot)
        memcpy(dot, "Z", 2);
    return json_string(text);
}

json_t *time_now(void)
{
    return time_json(clock_wall_ms());
}

uint64_t seconds_ms(const json_t *o, const char *path, int64_t dflt_s)
{
    const int64_t most = 100LL * 365 * 86400;
    int64_t s = json_int(o, path, dflt_s);

    return (uint64_t)(s < 0 ? 0 : s > most ? most : s) * 1000;
}

unsigned ms_unsigned(uint64_t ms)
{
    return ms > UINT_MAX ? UINT_MAX : (unsigned)ms;
}

json_t *text_json(const char *text)
{
    char *clean = utf8_clean(text);
    json_t *j = json_string(clean);

    free(clean);
    return j;
}

const char *object_uid(const struct kube_object *o)
{
    return json_str(o->body, "metadata.uid", "");
}

bool is_terminating(const struct kube_object *o)
{
    return json_str(o->body, "metadata.deletionTimestamp", NULL) != NULL;
}

json_t *owner_reference(const struct kube_object *owner)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "apiVersion",
                     json_str(owner->body, "apiVersion", "v1"), "kind",
                     json_str(owner->body, "kind", owner->kind), "name", owner->name, "uid",
                     object_uid(owner), "controller", 1, "blockOwnerDeletion", 1);
}

static const json_t *controlling_owner(const json_t *body)
{
    const json_t *refs = json_at(body, "metadata.ownerReferences");

    for (size_t i = 0; i < json_array_size(refs); i++)
        if (json_bool(json_array_get(refs, i), "controller", false))
            return json_array_get(refs, i);
    return NULL;
}

const char *owner_uid(const json_t *body)
{
    const json_t *owner = controlling_owner(body);
    return owner ? json_str(owner, "uid", "") : "";
}

bool is_owned_by(const json_t *body, const char *uid)
{
    const json_t *refs = json_at(body, "metadata.ownerReferences");

    for (size_t i = 0; *uid && i < json_array_size(refs); i++)
        if (strcmp(json_str(json_array_get(refs, i), "uid", ""), uid) == 0)
            return true;
    return false;
}

static json_t *condition_find(const json_t *list, const char *type)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *c = json_array_get(list, i);
        if (strcmp(json_str(c, "type", ""), type) == 0)
            return c;
    }
    return NULL;
}

const char *condition_get(const json_t *body, const char *type)
{
    const json_t *c = condition_find(json_at(body, "status.conditions"), type);
    return c ? json_str(c, "status", NULL) : NULL;
}

void condition_set(json_t *status, const char *type, bool on, const char *reason,
                   const char *message)
{
    json_t *list = json_object_get(status, "conditions");
    const char *text = on ? "True" : "False";

    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(status, "conditions", list);
    }
    json_t *c = condition_find(list, type);
    if (!c) {
        c = json_pack("{s:s}", "type", type);
        json_array_append_new(list, c);
    }
    if (strcmp(json_str(c, "status", ""), text) != 0) {
        json_object_set_new(c, "status", json_string(text));
        json_object_set_new(c, "lastTransitionTime", time_now());
    }
    if (reason)
        json_object_set_new(c, "reason", json_string(reason));
    else
        json_object_del(c, "reason");
    if (message)
        json_object_set_new(c, "message", text_json(message));
    else
        json_object_del(c, "message");
}

void condition_drop(json_t *status, const char *type)
{
    json_t *list = json_object_get(status, "conditions");

    for (size_t i = json_array_size(list); i-- > 0;)
        if (strcmp(json_str(json_array_get(list, i), "type", ""), type) == 0)
            json_array_remove(list, i);
}
