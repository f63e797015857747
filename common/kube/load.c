/* load.c - from documents to objects: lists are opened, each item is named, checked and kept. */
#include "common/kube/load.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"
#include "common/kube/schema.h"
#include "common/kube/yaml.h"

#define LISTS_MAX 4 /* a List within a List ... */

struct loader {
    struct kube_checker c;
    const char *default_ns;
    struct kube_loaded *out;
    unsigned lists; /* how deep in lists */
    bool packed;
};

/* what an object says it is */
struct identity {
    const struct kube_kind *kind;
    const char *ns, *name; /* borrowed from the object, or constants */
};

static void refuse(struct loader *l, const struct identity *id)
{
    struct kube_loaded *out = l->out;
    if (!id || !id->kind || !id->name) {
        out->unknown = true;
        return;
    }
    out->refused = xreallocarray(out->refused, out->n_refused + 1, sizeof *out->refused);
    out->refused[out->n_refused++] =
        (struct kube_refused){id->kind, xstrdup(id->ns), xstrdup(id->name)};
}

static void keep(struct loader *l, struct kube_object *o)
{
    struct kube_loaded *out = l->out;
    if (l->packed)
        kube_object_pack(o);
    out->v = xreallocarray(out->v, out->n + 1, sizeof *out->v);
    out->v[out->n++] = o;
}

/* ---- who is it ------------------------------------------------------------------------------ */

static const char *text_member(struct kube_checker *c, const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    char got[96];
    if (v && !json_is_null(v) && !json_is_string(v))
        kube_fault_at(c, key, "got %s, expected a string%s", kube_describe(c, v, got),
                      kube_quote_hint(v));
    else if (!v || json_string_length(v) == 0)
        kube_fault_at(c, key, "required, but missing");
    else
        return json_string_value(v);
    return NULL;
}

/* "apps/v1" -> group and version; core has no group */
static struct slice group_of(const char *api_version, struct slice *version)
{
    struct slice rest = slice_str(api_version);
    struct slice first = slice_cut(&rest, '/');
    *version = rest.p ? rest : first;
    return rest.p ? first : slice_of("", 0);
}

static bool has_version(const struct kube_kind *k, struct slice version)
{
    struct slice rest = slice_str(k->versions);
    while (rest.p) {
        if (slice_eq(slice_cut(&rest, ' '), version))
            return true;
    }
    return false;
}

static void fault_kind(struct kube_checker *c, const char *kind)
{
    const struct kube_kind *near = kube_kind_nearest(kind);
    if (near)
        kube_fault_at(c, "kind", "unknown kind \"%.60s\", did you mean %s?", kind, near->kind);
    else
        kube_fault_at(c, "kind", "unknown kind \"%.60s\"", kind);
}

static void fault_version(struct kube_checker *c, const struct kube_kind *k, const char *got)
{
    struct slice rest = slice_str(k->versions);
    struct slice preferred = slice_cut(&rest, ' ');
    kube_fault_at(c, "apiVersion", "got \"%.80s\", expected %s%s%.*s for kind %s", got, k->group,
                  *k->group ? "/" : "", SLICE_FMT(preferred), k->kind);
}

static const struct kube_kind *find_kind(struct kube_checker *c, const char *api_version,
                                         const char *kind)
{
    struct slice version, group = group_of(api_version, &version);
    char *group_text = xstrndup(group.p, group.n);
    const struct kube_kind *k = kube_kind_find(group_text, kind);
    free(group_text);
    const struct kube_kind *other = k ? k : kube_kind_by_key(kind);
    if (k && has_version(k, version))
        return k;
    if (other)
        fault_version(c, other, api_version);
    else
        fault_kind(c, kind);
    return NULL;
}

/* Fills id as far as the object goes; false (and problems) if it cannot be named. */
static bool identify(struct loader *l, json_t *object, struct identity *id)
{
    struct kube_checker *c = &l->c;
    const char *api_version = text_member(c, object, "apiVersion");
    const char *kind = text_member(c, object, "kind");
    if (!api_version || !kind || !(id->kind = find_kind(c, api_version, kind)))
        return false;
    c->object = id->kind->kind;
    json_t *meta = json_object_get(object, "metadata");
    char got[96];
    if (!json_is_object(meta)) {
        if (meta && !json_is_null(meta))
            kube_fault_at(c, "metadata", "got %s, expected an object", kube_describe(c, meta, got));
        else
            kube_fault_at(c, "metadata", "required, but missing");
        return false;
    }
    kube_enter(c, "metadata");
    if (!json_object_get(meta, "name") && json_object_get(meta, "generateName"))
        kube_fault_at(c, "name", "required, but missing: generateName needs a server to name it");
    else
        id->name = text_member(c, meta, "name");
    json_t *ns = json_object_get(meta, "namespace");
    if (ns && !json_is_null(ns) && !json_is_string(ns)) {
        text_member(c, meta, "namespace");
        id->name = NULL;
    }
    kube_leave(c);
    id->ns = !id->kind->namespaced        ? ""
             : json_string_length(ns) > 0 ? json_string_value(ns)
                                          : l->default_ns;
    return id->name != NULL;
}

/* the namespace as the object will carry it */
static void settle_namespace(json_t *object, const struct identity *id)
{
    json_t *meta = json_object_get(object, "metadata");
    if (!id->kind->namespaced)
        json_object_del(meta, "namespace");
    else if (json_string_length(json_object_get(meta, "namespace")) == 0)
        json_object_set_new(meta, "namespace", json_string(id->ns));
}

/* ---- one object ----------------------------------------------------------------------------- */

/* the line where the item at the present path begins, which is the checker's root */
static unsigned item_line(const struct kube_checker *c)
{
    return c->root ? c->root->line : c->line;
}

static void load_object(struct loader *l, json_t *object, bool bad)
{
    struct kube_checker *c = &l->c;
    struct identity id = {NULL, "", NULL};
    unsigned before = c->faults;
    c->object = "";
    c->listed = 0;
    if (!identify(l, object, &id)) {
        refuse(l, &id);
        return;
    }
    char *label = *id.ns ? xasprintf("%s %.63s/%.253s", id.kind->kind, id.ns, id.name)
                         : xasprintf("%s %.253s", id.kind->kind, id.name);
    c->object = label;
    struct kube_object *o = kube_object_new(id.kind->kind, id.kind->group, id.ns, id.name,
                                            json_incref(object), c->file, item_line(c));
    settle_namespace(object, &id);
    kube_check_kind(c, id.kind, object);
    if (c->faults == before && !bad) {
        keep(l, o);
    } else {
        refuse(l, &(struct identity){id.kind, o->ns, o->name});
        kube_object_unref(o);
    }
    c->object = "";
    free(label);
}

/* ---- lists ---------------------------------------------------------------------------------- */

/* "List" itself, or the list of a kind that fsm knows ("PodList", whose items need not say what
 * they are: *of); false if the object is no list */
static bool is_list(const json_t *object, const struct kube_kind **of)
{
    const char *kind = json_string_value(json_object_get(object, "kind"));
    size_t n = kind ? strlen(kind) : 0;
    *of = NULL;
    if (n < 4 || strcmp(kind + n - 4, "List") != 0 || !json_object_get(object, "items"))
        return false;
    if (n == 4)
        return true;
    char *item = xstrndup(kind, n - 4);
    *of = kube_kind_by_key(item);
    free(item);
    return *of != NULL;
}

static void load_item(struct loader *l, json_t *object, bool bad);

static void load_list(struct loader *l, json_t *list, const struct kube_kind *of, bool bad)
{
    struct kube_checker *c = &l->c;
    json_t *items = json_object_get(list, "items");
    char got[96];
    if (!json_is_array(items) && !json_is_null(items)) {
        kube_fault_at(c, "items", "got %s, expected a list", kube_describe(c, items, got));
        refuse(l, NULL);
        return;
    }
    if (l->lists == LISTS_MAX) {
        kube_fault(c, "a List within a List, nested deeper than %d", LISTS_MAX);
        refuse(l, NULL);
        return;
    }
    /* found once: a list may have as many keys as items */
    const struct yaml_node *root = c->root, *nodes = NULL;
    unsigned root_depth = c->root_depth;
    if (root)
        yaml_member(root, "items", &nodes);
    l->lists++;
    kube_enter(c, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        if (of && json_is_object(item) && !json_object_get(item, "kind")) {
            json_object_set_new(item, "kind", json_string(of->kind));
            json_object_set(item, "apiVersion", json_object_get(list, "apiVersion"));
        }
        kube_enter_index(c, i);
        c->root = nodes && nodes->kind == YAML_LIST && i < nodes->n ? nodes->v[i] : NULL;
        c->root_depth = c->depth;
        load_item(l, item, bad);
        c->root = root;
        c->root_depth = root_depth;
        kube_leave(c);
    }
    kube_leave(c);
    l->lists--;
}

static void load_item(struct loader *l, json_t *object, bool bad)
{
    const struct kube_kind *of;
    char got[96];
    if (!json_is_object(object)) {
        kube_fault(&l->c, "got %s, expected an object with apiVersion, kind and metadata",
                   kube_describe(&l->c, object, got));
        refuse(l, NULL);
    } else if (is_list(object, &of)) {
        load_list(l, object, of, bad);
    } else {
        load_object(l, object, bad);
    }
}

static void on_document(struct yaml_doc *doc, void *arg)
{
    struct loader *l = arg;
    l->c.line = doc->line;
    l->c.root = doc->root;
    if (doc->json)
        load_item(l, doc->json, doc->bad);
    else
        refuse(l, NULL);
    l->c.root = NULL;
}

static struct loader loader_of(const char *file, const char *default_ns, struct kube_loaded *out,
                               struct kube_problems *problems)
{
    *out = (struct kube_loaded){NULL};
    return (struct loader){.c = {.problems = problems, .file = file, .object = ""},
                           .default_ns = default_ns && *default_ns ? default_ns : "default",
                           .out = out};
}

struct placed {
    struct kube_problem problem;
    unsigned index;
};

static int compare_placed(const void *a, const void *b)
{
    const struct placed *x = a, *y = b;
    if (x->problem.line != y->problem.line)
        return x->problem.line < y->problem.line ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* problems from `first` on, by line */
static void sort_problems(struct kube_problems *p, unsigned first)
{
    unsigned n = p->n - first;
    struct placed *v = xcalloc(n + 1, sizeof *v);
    for (unsigned i = 0; i < n; i++)
        v[i] = (struct placed){p->v[first + i], i};
    qsort(v, n, sizeof *v, compare_placed);
    for (unsigned i = 0; i < n; i++)
        p->v[first + i] = v[i].problem;
    free(v);
}

void kube_load_text(struct slice text, const char *file, const char *default_ns, bool packed,
                    struct kube_loaded *out, struct kube_problems *problems)
{
    struct loader l = loader_of(file, default_ns, out, problems);
    unsigned first = problems->n;
    l.packed = packed;
    yaml_each(text, file, problems, on_document, &l);
    sort_problems(problems, first);
}

void kube_loaded_free(struct kube_loaded *l)
{
    kube_objects_free(l->v, l->n);
    for (unsigned i = 0; i < l->n_refused; i++) {
        free(l->refused[i].ns);
        free(l->refused[i].name);
    }
    free(l->refused);
    *l = (struct kube_loaded){NULL};
}

unsigned kube_load(struct slice text, const char *file, const char *default_ns,
                   struct kube_object ***out, struct kube_problems *problems)
{
    struct kube_loaded l;
    kube_load_text(text, file, default_ns, false, &l, problems);
    unsigned n = l.n;
    *out = l.v;
    l.v = NULL;
    l.n = 0;
    kube_loaded_free(&l);
    return n;
}

static struct kube_object *from_json(struct loader *l, json_t *body)
{
    if (json_is_object(body))
        load_object(l, body, false);
    else
        kube_fault(&l->c, "expected an object with apiVersion, kind and metadata");
    json_decref(body);
    struct kube_object *o = l->out->n ? kube_object_ref(l->out->v[0]) : NULL;
    kube_loaded_free(l->out);
    return o;
}

struct kube_object *kube_object_from_json(json_t *body, const char *file, unsigned line,
                                          const char *default_ns, struct kube_problems *problems)
{
    struct kube_loaded out;
    struct loader l = loader_of(file, default_ns, &out, problems);
    l.c.line = line;
    return from_json(&l, body);
}

struct kube_object *kube_object_from_server(json_t *body, struct kube_problems *problems)
{
    struct kube_loaded out;
    struct loader l = loader_of("", NULL, &out, problems);
    l.c.lenient = true;
    return from_json(&l, body);
}
