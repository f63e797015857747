/* route.c - route rules. */
#include "common/policy/route.h"

#include <stdio.h>

#define WEIGHT 100 /* of a target that does not share its traffic by weight */

json_t *route_targets(const char *cluster)
{
    return json_pack("{s:i}", cluster, WEIGHT);
}

json_t *route_any(const char *cluster)
{
    return json_pack("{s:{s:o}}", ".*", "TargetClusters", route_targets(cluster));
}

json_t *route_add(json_t *rules, const char *name, unsigned port, json_t *rule)
{
    const json_t *there = json_object_get(rules, name);
    char other[384];

    if (there && !json_equal(there, rule)) {
        snprintf(other, sizeof(other), "%s|%u", name, port);
        name = other;
    }
    json_object_set_new(rules, name, rule);
    return json_string(name);
}
