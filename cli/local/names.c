/* names.c - what users type for kinds, objects and labels. */
#include <stdlib.h>
#include <string.h>
#include "cli/local/local_cli.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/kube/kind.h"

char *ref_text(const char *kind, const char *name)
{
    const struct kube_kind *k = kube_kind_by_key(kind);
    char *lower = xstrdup(k ? k->kind : kind);

    for (char *p = lower; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    char *text = xasprintf("%s%s%s/%s", lower, k && *k->group ? "." : "", k ? k->group : "", name);
    free(lower);
    return text;
}

void refs_free(struct object_refs *refs)
{
    for (unsigned i = 0; i < refs->n; i++)
        free(refs->v[i].name);
    free(refs->v);
    *refs = (struct object_refs){0};
}

static void refs_add(struct object_refs *refs, const char *kind, const char *name)
{
    refs->v = xreallocarray(refs->v, refs->n + 1, sizeof(*refs->v));
    refs->v[refs->n++] = (struct object_ref){kind, name ? xstrdup(name) : NULL};
}

static const char *kind_of_word(const char *word)
{
    const struct kube_kind *k = kube_kind_by_word(word);

    if (!k) {
        const struct kube_kind *near = kube_kind_nearest(word);
        if (near)
            cli_usage("\"%s\" is no kind that fsm knows: did you mean %s?", word, near->plural);
        else
            cli_usage("\"%s\" is no kind that fsm knows", word);
        return NULL;
    }
    return k->key;
}

static int parse_pair(const char *word, struct object_refs *out)
{
    char *copy = xstrdup(word), *slash = strchr(copy, '/');

    *slash = '\0';
    const char *kind = kind_of_word(copy);
    if (kind && !slash[1])
        cli_usage("\"%s\": expected KIND/NAME", word);
    else if (kind)
        refs_add(out, kind, slash + 1);
    bool ok = kind && slash[1];
    free(copy);
    return ok ? 0 : 2;
}

static int parse_kinds(const char *word, int n_names, char **names, struct object_refs *out)
{
    static const char all[] = "pods,services,daemonsets,deployments,replicasets,statefulsets,jobs";
    struct slice rest = slice_str(strcmp(word, "all") == 0 && n_names == 0 ? all : word);

    while (rest.p) {
        struct slice one = slice_cut(&rest, ',');
        char *text = xstrndup(one.p, one.n);
        const char *kind = kind_of_word(text);
        free(text);
        if (!kind)
            return 2;
        for (int i = 0; i < n_names; i++)
            refs_add(out, kind, names[i]);
        if (n_names == 0)
            refs_add(out, kind, NULL);
    }
    return 0;
}

int refs_parse(int argc, char **argv, struct object_refs *out)
{
    *out = (struct object_refs){0};
    if (argc == 0)
        return cli_usage("expected KIND, KIND NAME... or KIND/NAME...: for example "
                         "'pods', 'pod web', 'service/web'");
    if (!strchr(argv[0], '/'))
        return parse_kinds(argv[0], argc - 1, argv + 1, out);
    for (int i = 0; i < argc; i++) {
        if (!strchr(argv[i], '/'))
            return cli_usage("\"%s\": expected KIND/NAME, as in the words before it", argv[i]);
        if (parse_pair(argv[i], out))
            return 2;
    }
    return 0;
}

/* ---- label selectors ------------------------------------------------------------------------- */

static json_t *requirement(struct slice key, const char *op, json_t *values)
{
    key = slice_trim(key);
    json_t *r = json_pack("{s:s%, s:s}", "key", key.p, key.n, "operator", op);

    if (values)
        json_object_set_new(r, "values", values);
    return r;
}

static json_t *one_value(struct slice v)
{
    v = slice_trim(v);
    return json_pack("[s%]", v.p ? v.p : "", v.n);
}

/* "(a, b)" */
static json_t *value_set(struct slice s)
{
    json_t *list = json_array();

    s = slice_trim(s);
    if (s.n < 2 || s.p[0] != '(' || s.p[s.n - 1] != ')') {
        json_decref(list);
        return NULL;
    }
    struct slice rest = slice_of(s.p + 1, s.n - 2);
    while (rest.p) {
        struct slice v = slice_trim(slice_cut(&rest, ','));
        json_array_append_new(list, json_stringn(v.p, v.n));
    }
    return list;
}

/* the rest behind the first occurrence of word; p NULL if it is not there */
static struct slice behind(struct slice s, const char *word, struct slice *before)
{
    const char *at = memmem(s.p, s.n, word, strlen(word));

    if (!at)
        return (struct slice){NULL, 0};
    *before = slice_of(s.p, (size_t)(at - s.p));
    at += strlen(word);
    return slice_of(at, (size_t)(s.p + s.n - at));
}

static json_t *parse_requirement(struct slice s)
{
    static const struct {
        const char *sign, *op;
        bool set;
    } signs[] = {{" notin ", "NotIn", true},
                 {" in ", "In", true},
                 {"!=", "NotIn", false},
                 {"==", "In", false},
                 {"=", "In", false}};
    struct slice key;

    for (size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
        struct slice value = behind(s, signs[i].sign, &key);
        if (!value.p)
            continue;
        json_t *values = signs[i].set ? value_set(value) : one_value(value);
        return values ? requirement(key, signs[i].op, values) : NULL;
    }
    if (s.n && s.p[0] == '!')
        return requirement(slice_of(s.p + 1, s.n - 1), "DoesNotExist", NULL);
    return s.n ? requirement(s, "Exists", NULL) : NULL;
}

/* cuts at the next comma outside of parentheses */
static struct slice cut_requirement(struct slice *rest)
{
    size_t depth = 0, i;

    for (i = 0; i < rest->n; i++) {
        depth += rest->p[i] == '(';
        depth -= rest->p[i] == ')' && depth > 0;
        if (rest->p[i] == ',' && depth == 0)
            break;
    }
    struct slice one = slice_of(rest->p, i);
    *rest = i < rest->n ? slice_of(rest->p + i + 1, rest->n - i - 1) : (struct slice){NULL, 0};
    return slice_trim(one);
}

json_t *selector_parse(const char *text, struct err *e)
{
    json_t *list = json_array();
    struct slice rest = slice_str(text);

    while (rest.p) {
        json_t *r = parse_requirement(cut_requirement(&rest));
        if (!r) {
            json_decref(list);
            err_set(e,
                    "-l: got \"%s\", expected key=value, key!=value, key, !key or "
                    "key in (a,b), separated by commas",
                    text);
            return NULL;
        }
        json_array_append_new(list, r);
    }
    return json_pack("{s:o}", "matchExpressions", list);
}
