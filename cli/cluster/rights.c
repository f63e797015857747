/* rights.c - see rights.h. */
#include "cli/cluster/rights.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/mem.h"

struct asking {
    struct cluster *c;
    const char *ns, *account;
    bool namespaced; /* a Role, not a ClusterRole */
    json_t *missing; /* see check_account() */
    struct err e;    /* why it cannot be known */
    bool unknown;
};

/* ["a", "b"] as YAML writes it */
static void put_words(struct buf *out, const char *name, const json_t *words)
{
    buf_printf(out, "%s%s: [", out->len ? ", " : "{", name);
    for (size_t i = 0; i < json_array_size(words); i++)
        buf_printf(out, "%s\"%s\"", i ? ", " : "", json_string_value(json_array_get(words, i)));
    buf_puts(out, "]");
}

/* the rule as a line of its role; returns owned */
static char *line_of(const json_t *rule)
{
    struct buf out = BUF_INIT;

    put_words(&out, "apiGroups", json_object_get(rule, "apiGroups"));
    put_words(&out, "resources", json_object_get(rule, "resources"));
    if (json_object_get(rule, "resourceNames"))
        put_words(&out, "resourceNames", json_object_get(rule, "resourceNames"));
    put_words(&out, "verbs", json_object_get(rule, "verbs"));
    buf_puts(&out, "}");
    return buf_take(&out);
}

static json_t *review_of(const struct asking *a, const json_t *rule, const char *resource,
                         const char *verb)
{
    const char *group = json_string_value(json_array_get(json_object_get(rule, "apiGroups"), 0));
    const char *name = json_string_value(json_array_get(json_object_get(rule, "resourceNames"), 0));
    const char *slash = strchr(resource, '/');
    int n = slash ? (int)(slash - resource) : (int)strlen(resource);

    return json_pack("{s:s, s:s, s:{s:o, s:[s, o, s], s:{s:s, s:o, s:s*, s:s, s:s*, s:s*}}}",
                     "apiVersion", "authorization.k8s.io/v1", "kind", "SubjectAccessReview", "spec",
                     "user", json_sprintf("system:serviceaccount:%s:%s", a->ns, a->account),
                     "groups", "system:serviceaccounts",
                     json_sprintf("system:serviceaccounts:%s", a->ns), "system:authenticated",
                     "resourceAttributes", "group", group, "resource",
                     json_sprintf("%.*s", n, resource), "subresource", slash ? slash + 1 : NULL,
                     "verb", verb, "name", name, "namespace", a->namespaced ? a->ns : NULL);
}

static void ask(struct asking *a, const json_t *rule, const char *resource, const char *verb)
{
    json_t *review = review_of(a, rule, resource, verb), *answer = NULL;
    int status =
        cluster_send(a->c, KUBE_CREATE, "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                     review, &answer, &a->e);

    if (!cluster_is_good(status)) {
        a->unknown = true;
    } else if (!json_bool(answer, "status.allowed", false)) {
        char *line = line_of(rule);
        json_array_append_new(a->missing, json_pack("{s:s, s:s, s:s}", "verb", verb, "resource",
                                                    resource, "line", line));
        free(line);
    }
    json_decref(review);
    json_decref(answer);
}

static void ask_rule(struct asking *a, const json_t *rule)
{
    const json_t *resources = json_object_get(rule, "resources"),
                 *verbs = json_object_get(rule, "verbs");

    for (size_t i = 0; i < json_array_size(resources); i++)
        for (size_t k = 0; k < json_array_size(verbs) && !a->unknown; k++)
            ask(a, rule, json_string_value(json_array_get(resources, i)),
                json_string_value(json_array_get(verbs, k)));
}

static const json_t *role_of(const json_t *objects, const json_t *binding)
{
    const char *kind = json_str(binding, "roleRef.kind", ""),
               *name = json_str(binding, "roleRef.name", "");

    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *o = json_array_get(objects, i);
        if (strcmp(json_str(o, "kind", ""), kind) == 0 &&
            strcmp(json_str(o, "metadata.name", ""), name) == 0)
            return o;
    }
    return NULL;
}

static void check_binding(struct checks *checks, struct cluster *c, const json_t *objects,
                          const json_t *binding, const char *ns)
{
    const json_t *role = role_of(objects, binding), *rules = json_object_get(role, "rules");
    const json_t *subject = json_array_get(json_object_get(binding, "subjects"), 0);
    struct asking a = {.c = c,
                       .ns = ns,
                       .account = json_str(subject, "name", ""),
                       .namespaced = strcmp(json_str(role, "kind", ""), "Role") == 0,
                       .missing = json_array()};

    for (size_t i = 0; i < json_array_size(rules); i++)
        ask_rule(&a, json_array_get(rules, i));
    char *name = xasprintf("%s may do its work in %s", a.account,
                           a.namespaced ? "its namespace" : "all namespaces");
    char *words =
        xasprintf("%s %s", json_str(role, "kind", ""), json_str(role, "metadata.name", ""));
    if (a.unknown)
        checks_add(checks, name, CHECK_SKIPPED, a.e.text, "");
    else
        check_account(checks, name, words, a.missing);
    free(words);
    free(name);
    json_decref(a.missing);
}

void rights_check(struct checks *checks, struct cluster *c, const json_t *objects, const char *ns)
{
    checks_begin(checks, "rights of the control plane");
    for (size_t i = 0; i < json_array_size(objects); i++) {
        const json_t *o = json_array_get(objects, i);
        if (json_object_get(o, "roleRef"))
            check_binding(checks, c, objects, o, ns);
    }
}
