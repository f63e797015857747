/* env.c - a container's environment: literal values, references, the downward API, $(NAME). */
#include "cli/local/pod.h"

#include <stdlib.h>
#include <string.h>
#include "cli/local/programs.h"
#include "cli/local/resources.h"
#include "common/base/buf.h"
#include "common/base/codec.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define NODE_NAME    "local"

/* ---- the downward API ---------------------------------------------------------------------- */

/* "metadata.labels['app']" -> the label app */
static char *subscript(const struct pod *p, const char *path, const char *map)
{
    size_t n = strlen(map);
    const char *open = path + n, *end = path + strlen(path) - 2;

    if (strncmp(path, map, n) != 0 || strncmp(open, "['", 2) != 0 || end < open + 2 ||
        strcmp(end, "']") != 0)
        return NULL;
    char *key = xstrndup(open + 2, (size_t)(end - open - 2));
    const char *v = json_string_value(json_object_get(json_at(p->object->body, map), key));
    free(key);
    return xstrdup(v ? v : "");
}

static char *join_ips(const struct pod *p)
{
    char a[IP_TEXT_MAX], b[IP_TEXT_MAX];

    ip_format(&p->sb.ip4, a);
    if (!p->sb.ip6.family)
        return xstrdup(a);
    return xasprintf("%s,%s", a, ip_format(&p->sb.ip6, b));
}

static char *address_field(const struct pod *p, const char *path)
{
    char text[IP_TEXT_MAX];

    if (strcmp(path, "status.podIP") == 0)
        return xstrdup(ip_format(&p->sb.ip4, text));
    if (strcmp(path, "status.podIPs") == 0)
        return join_ips(p);
    if (strcmp(path, "status.hostIP") == 0 || strcmp(path, "status.hostIPs") == 0)
        return xstrdup(ip_format(&p->l->in->gw4, text));
    return NULL;
}

char *env_field(const struct pod *p, const char *path, struct err *e)
{
    static const char *const plain[] = {"metadata.name", "metadata.namespace", "metadata.uid",
                                        "spec.serviceAccountName"};
    char *v;

    if ((v = subscript(p, path, "metadata.labels")) != NULL ||
        (v = subscript(p, path, "metadata.annotations")) != NULL ||
        (v = address_field(p, path)) != NULL)
        return v;
    if (strcmp(path, "spec.nodeName") == 0)
        return xstrdup(NODE_NAME);
    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
        if (strcmp(path, plain[i]) == 0)
            return xstrdup(json_str(p->object->body, path, ""));
    err_set(e,
            "fieldPath: got \"%s\", expected metadata.{name,namespace,uid,labels['K'],"
            "annotations['K']}, spec.{nodeName,serviceAccountName} or "
            "status.{podIP,podIPs,hostIP}",
            path);
    return NULL;
}

/* ---- references to ConfigMaps and Secrets --------------------------------------------------- */

/* the value of one key; NULL if there is none */
static char *map_value(const struct kube_object *o, const char *key)
{
    const char *v = json_string_value(json_object_get(json_object_get(o->body, "data"), key));
    struct buf b = BUF_INIT;

    if (v && strcmp(o->kind, "Secret") == 0) {
        if (base64_decode(slice_str(v), &b) == 0)
            return buf_take(&b);
        buf_free(&b);
        return NULL;
    }
    if (!v)
        v = json_string_value(json_object_get(json_object_get(o->body, "stringData"), key));
    return v ? xstrdup(v) : NULL;
}

static int ref_value(const struct pod *p, const char *kind, const json_t *ref, char **out,
                     struct err *e)
{
    const char *name = json_str(ref, "name", ""), *key = json_str(ref, "key", "");
    const struct kube_object *o = res_get(p->l, kind, p->ns, name);

    *out = o ? map_value(o, key) : NULL;
    if (*out || json_bool(ref, "optional", false))
        return 0;
    if (!o)
        return err_set(e, "%s \"%s\" not found", kind, name);
    return err_set(e, "%s \"%s\" has no key \"%s\"", kind, name, key);
}

/* ---- building ------------------------------------------------------------------------------ */

struct env {
    const struct pod *p;
    struct table *vars; /* name -> owned value, in order */
};

static const char *lookup(const struct table *vars, struct slice name)
{
    return table_get(vars, name);
}

/* $(NAME) becomes the value if there is one, $$ a single $ (as Kubernetes does) */
static char *expand(const char *s, const struct table *vars)
{
    struct buf b = BUF_INIT;

    while (*s) {
        const char *end = s[0] == '$' && s[1] == '(' ? strchr(s, ')') : NULL;
        const char *v = end ? lookup(vars, slice_of(s + 2, (size_t)(end - s - 2))) : NULL;
        if (s[0] == '$' && s[1] == '$') {
            buf_putc(&b, '$');
            s += 2;
        } else if (v) {
            buf_puts(&b, v);
            s = end + 1;
        } else {
            buf_putc(&b, *s++);
        }
    }
    return buf_take(&b);
}

static int add_one(struct env *env, const json_t *var, struct err *e)
{
    const char *name = json_str(var, "name", "");
    const json_t *from = json_object_get(var, "valueFrom");
    const json_t *ref;
    char *v = NULL;
    int rc = 0;

    if (!json_is_object(from))
        v = expand(json_str(var, "value", ""), env->vars);
    else if ((ref = json_object_get(from, "fieldRef")) != NULL)
        rc = (v = env_field(env->p, json_str(ref, "fieldPath", ""), e)) ? 0 : -1;
    else if ((ref = json_object_get(from, "configMapKeyRef")) != NULL)
        rc = ref_value(env->p, "ConfigMap", ref, &v, e);
    else if ((ref = json_object_get(from, "secretKeyRef")) != NULL)
        rc = ref_value(env->p, "Secret", ref, &v, e);
    else if (json_object_get(from, "resourceFieldRef"))
        v = xstrdup("0"); /* no limits are enforced here */
    if (rc)
        return err_prefix(e, "env %s", name);
    if (v)
        table_put_str(env->vars, name, v);
    return 0;
}

static int add_all_of(struct env *env, const char *kind, const json_t *source, const char *prefix,
                      struct err *e)
{
    const char *name = json_str(source, "name", ""), *key;
    const struct kube_object *o = res_get(env->p->l, kind, env->p->ns, name);
    json_t *value;

    if (!o)
        return json_bool(source, "optional", false)
                   ? 0
                   : err_set(e, "envFrom: %s \"%s\" not found", kind, name);
    json_object_foreach (json_object_get(o->body, "data"), key, value) {
        char *v = map_value(o, key);
        char *full = xasprintf("%s%s", prefix, key);
        if (v)
            table_put_str(env->vars, full, v);
        free(full);
    }
    return 0;
}

static int add_from(struct env *env, const json_t *list, struct err *e)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *from = json_array_get(list, i), *source;
        const char *prefix = json_str(from, "prefix", "");
        int rc = 0;
        if ((source = json_object_get(from, "configMapRef")) != NULL)
            rc = add_all_of(env, "ConfigMap", source, prefix, e);
        else if ((source = json_object_get(from, "secretRef")) != NULL)
            rc = add_all_of(env, "Secret", source, prefix, e);
        if (rc)
            return -1;
    }
    return 0;
}

static void add_defaults(struct env *env, const json_t *image)
{
    const char *key;
    json_t *value;

    table_put_str(env->vars, "PATH", xstrdup(PROGRAMS_DIR ":" DEFAULT_PATH));
    table_put_str(env->vars, "HOSTNAME", xstrdup(pod_hostname(env->p)));
    table_put_str(env->vars, "HOME", xstrdup("/root"));
    json_object_foreach (json_object_get(image, "env"), key, value) {
        if (json_is_string(value))
            table_put_str(env->vars, key, xstrdup(json_string_value(value)));
    }
}

static json_t *to_strings(const struct table *vars)
{
    json_t *out = json_array();
    struct slice name;
    char *value;

    table_foreach (vars, it, &name, &value) {
        char *s = xasprintf("%.*s=%s", SLICE_FMT(name), value);
        json_t *j = json_string(s);
        /* a value that is no UTF-8 cannot travel in JSON: it is left out rather than mangled */
        if (j)
            json_array_append_new(out, j);
        free(s);
    }
    return out;
}

json_t *env_build(const struct container *c, const json_t *image, struct err *e)
{
    struct env env = {.p = c->pod, .vars = table_new(free)};
    const json_t *list = json_object_get(c->spec, "env");
    json_t *out = NULL;

    add_defaults(&env, image);
    if (add_from(&env, json_object_get(c->spec, "envFrom"), e))
        goto out;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (add_one(&env, json_array_get(list, i), e))
            goto out;
    out = to_strings(env.vars);
out:
    table_free(env.vars);
    return out;
}

json_t *env_expand_all(const json_t *words, const json_t *env)
{
    struct table *vars = table_new(free);
    json_t *out = json_array();

    for (size_t i = 0; i < json_array_size(env); i++) {
        struct slice value = slice_str(json_string_value(json_array_get(env, i)));
        struct slice name = slice_cut(&value, '=');
        table_put(vars, name, xstrndup(value.p, value.n));
    }
    for (size_t i = 0; i < json_array_size(words); i++) {
        char *s = expand(json_string_value(json_array_get(words, i)) ?: "", vars);
        json_array_append_new(out, json_string(s));
        free(s);
    }
    table_free(vars);
    return out;
}
