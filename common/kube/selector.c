/* selector.c - see selector.h. */
#include "common/kube/selector.h"

#include <string.h>

static bool has_all(const json_t *map, const json_t *labels)
{
    const char *key;
    json_t *want;
    json_object_foreach ((json_t *)map, key, want) {
        const json_t *have = json_object_get(labels, key);
        if (!json_is_string(have) || !json_equal(have, want))
            return false;
    }
    return true;
}

static bool in_values(const json_t *values, const json_t *have)
{
    for (size_t i = 0; i < json_array_size(values); i++) {
        if (json_equal(json_array_get(values, i), have))
            return true;
    }
    return false;
}

/* In, NotIn, Exists, DoesNotExist; a label that is absent satisfies NotIn */
static bool expression_holds(const json_t *x, const json_t *labels)
{
    const char *key = json_string_value(json_object_get(x, "key"));
    const char *op = json_string_value(json_object_get(x, "operator"));
    const json_t *values = json_object_get(x, "values");
    if (!key || !op)
        return false;
    const json_t *have = json_object_get(labels, key);
    if (strcmp(op, "In") == 0)
        return have && in_values(values, have);
    if (strcmp(op, "NotIn") == 0)
        return !have || !in_values(values, have);
    if (strcmp(op, "Exists") == 0)
        return have != NULL;
    return strcmp(op, "DoesNotExist") == 0 && !have;
}

bool kube_selector_match(const json_t *selector, const json_t *labels)
{
    if (!json_is_object(selector) || !has_all(json_object_get(selector, "matchLabels"), labels))
        return false;
    const json_t *list = json_object_get(selector, "matchExpressions");
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!expression_holds(json_array_get(list, i), labels))
            return false;
    }
    return true;
}

bool kube_labels_match(const json_t *map, const json_t *labels)
{
    return json_object_size(map) > 0 && has_all(map, labels);
}
