/* redact.c - see redact.h. */
#include "cli/cluster/redact.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include "common/base/json.h"

#define LEFT_OUT "(left out)"

/* members whose text is a secret wherever they stand */
static const char *const secret_keys[] = {"kubeconfig",   "authorization", "password",  "token",
                                          "clientSecret", "stringData",    "privateKey"};
/* lists of {name, value} whose values may be one */
static const char *const secret_lists[] = {"env", "httpHeaders"};
/* of no use, and copies of the rest */
static const char *const dropped[] = {"managedFields",
                                      "kubectl.kubernetes.io/last-applied-configuration"};

static bool is_one_of(const char *key, const char *const *of, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcasecmp(key, of[i]) == 0)
            return true;
    return false;
}
#define IS_ONE_OF(key, of) is_one_of(key, of, sizeof(of) / sizeof(*(of)))

static bool is_ours(const json_t *container)
{
    const char *name = json_str(container, "name", "");

    return strncmp(name, "fsm-", 4) == 0 || strcmp(name, "sidecar") == 0;
}

static void hide(json_t *in, const char *key)
{
    if (json_object_get(in, key))
        json_object_set_new(in, key, json_string(LEFT_OUT));
}

static void hide_values(json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        hide(json_array_get(list, i), "value");
}

/* what a container runs; probes and hooks of it have a "command" too */
static void hide_commands(json_t *container)
{
    static const char *const where[] = {"livenessProbe.exec", "readinessProbe.exec",
                                        "startupProbe.exec", "lifecycle.postStart.exec",
                                        "lifecycle.preStop.exec"};

    hide(container, "command");
    hide(container, "args");
    for (size_t i = 0; i < sizeof(where) / sizeof(*where); i++)
        hide(json_at(container, where[i]), "command");
}

void redact(json_t *node)
{
    const char *key;
    json_t *v;
    size_t i;
    void *next;

    if (json_object_get(node, "image") && json_object_get(node, "name") && !is_ours(node))
        hide_commands(node);
    json_object_foreach_safe(node, next, key, v)
    {
        if (IS_ONE_OF(key, dropped))
            json_object_del(node, key);
        else if (IS_ONE_OF(key, secret_keys) && !json_is_boolean(v))
            hide(node, key);
        else if (IS_ONE_OF(key, secret_lists))
            hide_values(v);
        else
            redact(v);
    }
    json_array_foreach (node, i, v)
        redact(v);
}
