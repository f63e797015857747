/* document.c - one table of shapes drives all four walks: present, strip, hash and patch. */
#include "common/policy/document.h"

#include <endian.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

/* ---- shapes -------------------------------------------------------------------------------- */

enum shape_kind {
    SHAPE_ANY,    /* no structure of ours: order kept, members that are null dropped */
    SHAPE_STRUCT, /* known keys in the specification's order, foreign ones behind, sorted */
    SHAPE_MAP,    /* keys are data: sorted */
    SHAPE_ITEMS,  /* an array whose order means nothing: items are named by document_item_key */
    SHAPE_ROUTES, /* one route, or an array of them */
};

struct shape;
struct field {
    const char *name;
    const struct shape *shape;
    bool nullable; /* presented as null when absent */
};
struct shape {
    enum shape_kind kind;
    const struct field *fields; /* SHAPE_STRUCT, ends with a NULL name */
    const struct shape *each;   /* of every value of a map, item or route */
    bool vanishes;              /* empty means the same as absent */
    bool null_is_empty;         /* a map's null value is an empty object on the wire */
};

static const struct shape any = {.kind = SHAPE_ANY};
static const struct shape map_any = {.kind = SHAPE_MAP, .each = &any};

static const struct field route_fields[] = {{"Headers", &map_any, true},
                                            {"Methods", &any, true},
                                            {"TargetClusters", &map_any, true},
                                            {"AllowedServices", &any, true},
                                            {NULL}};
static const struct shape route = {.kind = SHAPE_STRUCT, .fields = route_fields};
static const struct shape routes = {.kind = SHAPE_ROUTES, .each = &route};
static const struct shape paths = {.kind = SHAPE_MAP, .each = &routes};
static const struct shape rules = {.kind = SHAPE_MAP, .each = &paths};

static const struct field source_fields[] = {{"mTLS", &any, false},
                                             {"SkipClientCertValidation", &any, false},
                                             {"AuthenticatedPrincipals", &any, true},
                                             {NULL}};
static const struct shape source = {.kind = SHAPE_STRUCT, .fields = source_fields};
static const struct shape sources = {.kind = SHAPE_MAP, .each = &source, .null_is_empty = true};

static const struct field in_match_fields[] = {{"SourceIPRanges", &sources, true},
                                               {"Port", &any, false},
                                               {"Protocol", &any, false},
                                               {"HttpHostPort2Service", &map_any, true},
                                               {"HttpServiceRouteRules", &rules, true},
                                               {"TargetClusters", &map_any, true},
                                               {"AllowedEndpoints", &map_any, true},
                                               {"OpaqueTargets", &map_any, false},
                                               {NULL}};
static const struct shape in_match = {.kind = SHAPE_STRUCT, .fields = in_match_fields};
static const struct shape in_matches = {.kind = SHAPE_MAP, .each = &in_match};
static const struct shape in_clusters = {.kind = SHAPE_MAP, .each = &map_any};
static const struct field inbound_fields[] = {
    {"TrafficMatches", &in_matches, true}, {"ClustersConfigs", &in_clusters, true}, {NULL}};
static const struct shape inbound = {.kind = SHAPE_STRUCT, .fields = inbound_fields};

static const struct shape map_map_any = {.kind = SHAPE_MAP, .each = &map_any};
static const struct field out_match_fields[] = {{"DestinationIPRanges", &any, true},
                                                {"Port", &any, false},
                                                {"Protocol", &any, false},
                                                {"HttpHostPort2Service", &map_any, true},
                                                {"HttpServiceRouteRules", &rules, true},
                                                {"TargetClusters", &map_any, true},
                                                {"OpaqueTargets", &map_map_any, false},
                                                {"AllowedEgressTraffic", &any, false},
                                                {"ServiceIdentity", &any, false},
                                                {NULL}};
static const struct shape out_match = {.kind = SHAPE_STRUCT, .fields = out_match_fields};
static const struct shape out_items = {.kind = SHAPE_ITEMS, .each = &out_match, .vanishes = true};
static const struct shape out_matches = {.kind = SHAPE_MAP, .each = &out_items, .vanishes = true};
static const struct field endpoint_fields[] = {
    {"Weight", &any, false}, {"Identity", &any, false}, {NULL}};
static const struct shape endpoint = {.kind = SHAPE_STRUCT, .fields = endpoint_fields};
static const struct shape endpoints = {.kind = SHAPE_MAP, .each = &endpoint};
static const struct field cluster_fields[] = {
    {"Endpoints", &endpoints, false}, {"LoadBalancer", &any, false}, {NULL}};
static const struct shape cluster = {.kind = SHAPE_STRUCT, .fields = cluster_fields};
static const struct shape out_clusters = {.kind = SHAPE_MAP, .each = &cluster, .vanishes = true};
static const struct field outbound_fields[] = {
    {"TrafficMatches", &out_matches, true}, {"ClustersConfigs", &out_clusters, true}, {NULL}};
static const struct shape outbound = {
    .kind = SHAPE_STRUCT, .fields = outbound_fields, .vanishes = true};

static const struct field traffic_fields[] = {{"EnableEgress", &any, false},
                                              {"HTTP1PerRequestLoadBalancing", &any, false},
                                              {"HTTP2PerRequestLoadBalancing", &any, false},
                                              {NULL}};
static const struct shape traffic = {.kind = SHAPE_STRUCT, .fields = traffic_fields};
static const struct field flag_fields[] = {{"EnableSidecarActiveHealthChecks", &any, false},
                                           {"EnableAutoDefaultRoute", &any, false},
                                           {NULL}};
static const struct shape flags = {.kind = SHAPE_STRUCT, .fields = flag_fields};
static const struct field spec_fields[] = {{"SidecarLogLevel", &any, false},
                                           {"SidecarTimeout", &any, false},
                                           {"Traffic", &traffic, false},
                                           {"FeatureFlags", &flags, false},
                                           {"Probes", &any, false},
                                           {"Observability", &any, false},
                                           {"LocalProxyMode", &any, false},
                                           {"Limits", &any, false},
                                           {NULL}};
static const struct shape spec = {.kind = SHAPE_STRUCT, .fields = spec_fields};
static const struct field proxy_fields[] = {
    {"Pod", &any, false},         {"Namespace", &any, false}, {"ServiceAccount", &any, false},
    {"TrustDomain", &any, false}, {"Principal", &any, false}, {"Spiffe", &any, false},
    {"PodIPs", &any, false},      {"Workload", &any, false},  {NULL}};
static const struct shape proxy = {.kind = SHAPE_STRUCT, .fields = proxy_fields};
static const struct field certificate_fields[] = {
    {"CommonName", &any, false}, {"Expiration", &any, false}, {NULL}};
static const struct shape certificate = {.kind = SHAPE_STRUCT, .fields = certificate_fields};

static const struct shape allowed = {.kind = SHAPE_MAP, .each = &any, .vanishes = true};
static const struct field root_fields[] = {{"Ts", &any, false},
                                           {"Version", &any, false},
                                           {"Metrics", &any, false},
                                           {"Spec", &spec, false},
                                           {"Proxy", &proxy, false},
                                           {"Certificate", &certificate, true},
                                           {"Inbound", &inbound, true},
                                           {"Outbound", &outbound, true},
                                           {"AllowedEndpoints", &allowed, true},
                                           {"Listeners", &any, false},
                                           {NULL}};
static const struct shape root = {.kind = SHAPE_STRUCT, .fields = root_fields};

static const struct field *field_of(const struct shape *s, const char *name)
{
    for (const struct field *f = s->fields; f && f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

/* the shape of member `name` of a value of shape s */
static const struct shape *member_shape(const struct shape *s, const char *name)
{
    switch (s->kind) {
    case SHAPE_STRUCT: {
        const struct field *f = field_of(s, name);
        return f ? f->shape : &any;
    }
    case SHAPE_ROUTES:
        return member_shape(s->each, name);
    case SHAPE_MAP:
    case SHAPE_ITEMS:
        return s->each;
    default:
        return &any;
    }
}

/* the shape of an array's element */
static const struct shape *element_shape(const struct shape *s)
{
    return s->kind == SHAPE_ITEMS || s->kind == SHAPE_ROUTES ? s->each : &any;
}

static bool null_is_empty(const struct shape *s)
{
    return s->kind == SHAPE_MAP && s->null_is_empty;
}

/* an empty container that means the same as none */
static bool vanishes(const json_t *v, const struct shape *s)
{
    return s->vanishes && ((json_is_object(v) && json_object_size(v) == 0) ||
                           (json_is_array(v) && json_array_size(v) == 0));
}

/* json_t values of a document are never changed once built, so sharing them is safe */
static json_t *share(const json_t *v)
{
    return json_incref((json_t *)v);
}

const char *document_item_key(const json_t *item)
{
    const json_t *first = json_array_get(json_object_get(item, "DestinationIPRanges"), 0);
    const char *key = json_string_value(first);
    if (!key)
        key = json_string_value(json_object_get(item, "Protocol"));
    return key ? key : "";
}

const char *document_item_key_tree(const struct json_tree *item)
{
    const struct json_tree *ranges = json_tree_get(item, "DestinationIPRanges");
    const char *key =
        json_tree_is(ranges, JSON_ARRAY) && ranges->n ? json_tree_text(ranges->first) : NULL;
    if (!key)
        key = json_tree_text(json_tree_get(item, "Protocol"));
    return key ? key : "";
}

/* ---- the wire form -------------------------------------------------------------------------- */

/* What has nothing to strip is shared, so that whoever compares pointers sees what is the same. */
static json_t *strip(const json_t *v, const struct shape *s);

static json_t *strip_object(const json_t *v, const struct shape *s)
{
    json_t *out = NULL, *member, *now;
    const char *key;

    json_object_foreach ((json_t *)v, key, member) {
        bool drop = json_is_null(member) && !null_is_empty(s);
        now = json_is_null(member) ? json_object() : strip(member, member_shape(s, key));
        if (!out && now != member)
            out = json_copy((json_t *)v);
        if (drop)
            json_object_del(out, key);
        else if (out)
            json_object_set(out, key, now);
        json_decref(now);
    }
    return out ? out : share(v);
}

static json_t *strip_array(const json_t *v, const struct shape *s)
{
    json_t *out = NULL, *now;

    for (size_t i = 0; i < json_array_size(v); i++) {
        now = strip(json_array_get(v, i), element_shape(s));
        if (!out && now != json_array_get(v, i))
            out = json_copy((json_t *)v);
        if (out)
            json_array_set(out, i, now);
        json_decref(now);
    }
    return out ? out : share(v);
}

static json_t *strip(const json_t *v, const struct shape *s)
{
    if (json_is_object(v))
        return strip_object(v, s);
    return json_is_array(v) ? strip_array(v, s) : share(v);
}

json_t *document_strip_nulls(const json_t *doc)
{
    return strip(doc, &root);
}

/* ---- the presented form --------------------------------------------------------------------- */

static json_t *present(const json_t *v, const struct shape *s);

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* copies the members of v that s does not name itself, in order of their keys */
static void present_sorted(json_t *out, const json_t *v, const struct shape *s)
{
    size_t n = 0;
    const char **keys = xcalloc(json_object_size(v) + 1, sizeof(*keys));
    const char *key;
    json_t *member;
    json_object_foreach ((json_t *)v, key, member) {
        if (s->kind != SHAPE_STRUCT || !field_of(s, key))
            keys[n++] = key;
    }
    qsort(keys, n, sizeof(*keys), by_text);
    for (size_t i = 0; i < n; i++)
        json_object_set_new(out, keys[i],
                            present(json_object_get(v, keys[i]), member_shape(s, keys[i])));
    free(keys);
}

static bool is_absent(const json_t *v, const struct shape *s)
{
    return !v || json_is_null(v) || vanishes(v, s);
}

static json_t *present_struct(const json_t *v, const struct shape *s)
{
    json_t *out = json_object();
    for (const struct field *f = s->fields; f->name; f++) {
        const json_t *member = json_object_get(v, f->name);
        if (!is_absent(member, f->shape))
            json_object_set_new(out, f->name, present(member, f->shape));
        else if (f->nullable)
            json_object_set_new(out, f->name, json_null());
    }
    present_sorted(out, v, s);
    return out;
}

static json_t *present_map(const json_t *v, const struct shape *s)
{
    json_t *out = json_object();
    present_sorted(out, v, s);
    if (!null_is_empty(s))
        return out;
    const char *key;
    json_t *member;
    json_object_foreach (out, key, member) {
        const json_t *was = json_object_get(v, key);
        if (json_is_object(was) && json_object_size(was) == 0)
            json_object_set_new(out, key, json_null());
    }
    return out;
}

static int by_item_key(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    bool x_any = !json_is_array(json_object_get(x, "DestinationIPRanges"));
    bool y_any = !json_is_array(json_object_get(y, "DestinationIPRanges"));
    if (x_any != y_any)
        return x_any - y_any; /* items without ranges are tried last */
    return strcmp(document_item_key(x), document_item_key(y));
}

static json_t *present_items(const json_t *v, const struct shape *s)
{
    size_t n = json_array_size(v);
    json_t **items = xcalloc(n + 1, sizeof(*items));
    for (size_t i = 0; i < n; i++)
        items[i] = json_array_get(v, i);
    qsort(items, n, sizeof(json_t *), by_item_key);
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(out, present(items[i], s->each));
    free(items);
    return out;
}

static json_t *present_array(const json_t *v, const struct shape *s)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(v); i++)
        json_array_append_new(out, present(json_array_get(v, i), element_shape(s)));
    return out;
}

static json_t *present(const json_t *v, const struct shape *s)
{
    if (json_is_array(v))
        return s->kind == SHAPE_ITEMS ? present_items(v, s) : present_array(v, s);
    if (!json_is_object(v))
        return share(v);
    switch (s->kind) {
    case SHAPE_STRUCT:
        return present_struct(v, s);
    case SHAPE_MAP:
        return present_map(v, s);
    case SHAPE_ROUTES:
        return present(v, s->each);
    default:
        return strip(v, &any);
    }
}

json_t *document_present(const json_t *doc)
{
    return present(doc, &root);
}

/* ---- the version ----------------------------------------------------------------------------
 * The hash is the sum, modulo 2^64, of place * content over all leaves, where a place is the
 * hash of the keys that lead to the leaf and a content is an odd hash of its value.  Leaves are
 * scalars and empty containers. */

static uint64_t fold(uint64_t a, uint64_t b)
{
    __uint128_t m =
        (__uint128_t)(a ^ UINT64_C(0x9e3779b97f4a7c15)) * (b ^ UINT64_C(0xd1b54a32d192ed03));
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t hash_text(const char *p, size_t n, uint64_t seed)
{
    uint64_t h = fold(seed, n), word;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        h = fold(h, le64toh(word));
    }
    word = 0;
    memcpy(&word, p, n);
    return fold(fold(h, le64toh(word)), UINT64_C(0xa0761d6478bd642f));
}

uint64_t document_path(uint64_t parent, const char *key, size_t len)
{
    return hash_text(key, len, parent);
}

uint64_t document_string_hash(const char *text)
{
    return hash_text(text, strlen(text), 's') | 1;
}

static uint64_t real_hash(const json_t *v)
{
    double d = json_real_value(v);
    uint64_t bits;
    memcpy(&bits, &d, sizeof(bits));
    return fold(bits, 'r') | 1;
}

static uint64_t leaf_hash(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        return hash_text(json_string_value(v), json_string_length(v), 's') | 1;
    case JSON_INTEGER:
        return fold((uint64_t)json_integer_value(v), 'i') | 1;
    case JSON_REAL:
        return real_hash(v);
    default:
        return fold((uint64_t)json_typeof(v), 't') | 1;
    }
}

static uint64_t hash(const json_t *v, const struct shape *s, uint64_t path);

static uint64_t hash_member(const json_t *member, const char *key, const struct shape *s,
                            uint64_t path)
{
    if (!member || (json_is_null(member) && !null_is_empty(s)))
        return 0;
    uint64_t place = document_path(path, key, strlen(key));
    if (json_is_null(member))
        return place * (fold(JSON_OBJECT, 't') | 1);
    return hash(member, member_shape(s, key), place);
}

static uint64_t hash_object(const json_t *v, const struct shape *s, uint64_t path)
{
    uint64_t sum = 0;
    const char *key;
    json_t *member;
    bool empty = true;
    json_object_foreach ((json_t *)v, key, member) {
        empty &= json_is_null(member) && !null_is_empty(s);
        sum += hash_member(member, key, s, path);
    }
    return empty && !s->vanishes ? path * (fold(JSON_OBJECT, 't') | 1) : sum;
}

static uint64_t hash_array(const json_t *v, const struct shape *s, uint64_t path)
{
    uint64_t sum = 0;
    size_t n = json_array_size(v);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(v, i);
        uint64_t place = fold(path, i);
        if (s->kind == SHAPE_ITEMS) {
            const char *key = document_item_key(item);
            place = document_path(path, key, strlen(key));
        }
        sum += hash(item, element_shape(s), place);
    }
    return n == 0 && !s->vanishes ? path * (fold(JSON_ARRAY, 't') | 1) : sum;
}

static uint64_t hash(const json_t *v, const struct shape *s, uint64_t path)
{
    if (json_is_object(v))
        return hash_object(v, s, path);
    if (json_is_array(v))
        return hash_array(v, s, path);
    return path * leaf_hash(v);
}

static uint64_t tree_leaf_hash(const struct json_tree *v)
{
    uint64_t bits;
    switch (v->type) {
    case JSON_STRING:
        return hash_text(v->text, v->n, 's') | 1;
    case JSON_INTEGER:
        return fold((uint64_t)v->integer, 'i') | 1;
    case JSON_REAL:
        memcpy(&bits, &v->real, sizeof(bits));
        return fold(bits, 'r') | 1;
    default:
        return fold((uint64_t)v->type, 't') | 1; /* an empty container's, too */
    }
}

/* hash() without nulls, and below the lists of items */
static uint64_t tree_hash(const struct json_tree *v, const struct shape *s, uint64_t path)
{
    uint64_t sum = 0, i = 0;
    if (json_tree_size(v) == 0)
        return s->vanishes && (v->type == JSON_OBJECT || v->type == JSON_ARRAY)
                   ? 0
                   : path * tree_leaf_hash(v);
    for (const struct json_tree *m = v->first; m; m = m->next)
        sum += m->key ? tree_hash(m, member_shape(s, m->key),
                                  document_path(path, m->key, strlen(m->key)))
                      : tree_hash(m, element_shape(s), fold(path, i++));
    return sum;
}

/* Ts and Version describe the document; they are not part of what it says */
static bool is_label(const char *key)
{
    return strcmp(key, "Ts") == 0 || strcmp(key, "Version") == 0;
}

uint64_t document_hash(const json_t *doc)
{
    uint64_t sum = 0;
    const char *key;
    json_t *member;
    json_object_foreach ((json_t *)doc, key, member) {
        if (!is_label(key))
            sum += hash_member(member, key, &root, DOCUMENT_ROOT);
    }
    return sum;
}

/* the shape and the place of a fragment */
static const struct shape *fragment_shape(const char *const *names, uint64_t *path)
{
    const struct shape *s = &root;
    *path = DOCUMENT_ROOT;
    for (; *names; names++) {
        *path = document_path(*path, *names, strlen(*names));
        s = member_shape(s, *names);
    }
    return s;
}

uint64_t document_fragment_hash(const char *const *names, const json_t *value)
{
    uint64_t path;
    const struct shape *s = fragment_shape(names, &path);
    return hash(value, s, path);
}

uint64_t document_fragment_hash_tree(const char *const *names, const struct json_tree *value)
{
    uint64_t path;
    const struct shape *s = fragment_shape(names, &path);
    return tree_hash(value, s, path);
}

json_t *document_fragment_strip(const char *const *names, const json_t *value)
{
    uint64_t path;
    return strip(value, fragment_shape(names, &path));
}

json_t *document_fragment_present(const char *const *names, const json_t *value)
{
    uint64_t path;
    return present(value, fragment_shape(names, &path));
}

char *document_version_text(uint64_t h, char *out)
{
    snprintf(out, DOCUMENT_VERSION_MAX, "%" PRIu64, h);
    return out;
}

char *document_version(const json_t *doc, char *out)
{
    return document_version_text(document_hash(doc), out);
}

/* ---- patches -------------------------------------------------------------------------------- */

struct patching {
    uint64_t hash; /* of the document so far */
    struct err *err;
};

static json_t *patch_value(struct patching *p, const json_t *old, const json_t *patch,
                           const struct shape *s, uint64_t path);

/* old leaves go, those of the result come */
static json_t *replace(struct patching *p, const json_t *old, const json_t *now,
                       const struct shape *s, uint64_t path)
{
    json_t *out = strip(now, s);
    if (old)
        p->hash -= hash(old, s, path);
    p->hash += hash(out, s, path);
    return out;
}

/* merges one member of a patch into `out`, a shallow copy of the old object */
static int patch_member(struct patching *p, json_t *out, const char *key, const json_t *change,
                        const struct shape *s, uint64_t path)
{
    const json_t *old = json_object_get(out, key);
    const struct shape *ms = member_shape(s, key);
    uint64_t place = document_path(path, key, strlen(key));
    if (json_is_null(change)) {
        if (old)
            p->hash -= hash(old, ms, place);
        json_object_del(out, key);
        return 0;
    }
    json_t *now = patch_value(p, old, change, ms, place);
    if (!now)
        return -1;
    if (vanishes(now, ms)) {
        json_decref(now);
        json_object_del(out, key);
        return 0;
    }
    json_object_set_new(out, key, now);
    return 0;
}

static json_t *patch_object(struct patching *p, const json_t *old, const json_t *patch,
                            const struct shape *s, uint64_t path)
{
    if (old && !json_is_object(old)) {
        p->hash -= hash(old, s, path);
        old = NULL;
    }
    json_t *out = old ? json_copy((json_t *)old) : json_object();
    const json_t *empty_leaf = json_object_size(out) == 0 && !s->vanishes ? out : NULL;
    if (old && empty_leaf)
        p->hash -= hash(old, s, path);
    const char *key;
    json_t *change;
    json_object_foreach ((json_t *)patch, key, change) {
        if (patch_member(p, out, key, change, s, path) < 0) {
            json_decref(out);
            return NULL;
        }
    }
    if (json_object_size(out) == 0 && !s->vanishes)
        p->hash += hash(out, s, path);
    return out;
}

static size_t item_index(const json_t *items, const char *key)
{
    size_t n = json_array_size(items);
    for (size_t i = 0; i < n; i++)
        if (strcmp(document_item_key(json_array_get(items, i)), key) == 0)
            return i;
    return SIZE_MAX;
}

static int patch_item(struct patching *p, json_t *items, const char *key, const json_t *change,
                      const struct shape *s, uint64_t path)
{
    size_t i = item_index(items, key);
    const json_t *old = i == SIZE_MAX ? NULL : json_array_get(items, i);
    uint64_t place = document_path(path, key, strlen(key));
    if (json_is_null(change)) {
        if (old)
            p->hash -= hash(old, s, place);
        return i == SIZE_MAX ? 0 : json_array_remove(items, i);
    }
    json_t *now = patch_value(p, old, change, s, place);
    if (!now)
        return -1;
    if (strcmp(document_item_key(now), key) != 0) {
        json_decref(now);
        return err_set(p->err,
                       "the patch turns item \"%s\" of Outbound.TrafficMatches into another", key);
    }
    return old ? json_array_set_new(items, i, now) : json_array_append_new(items, now);
}

static json_t *patch_items(struct patching *p, const json_t *old, const json_t *patch,
                           const struct shape *s, uint64_t path)
{
    json_t *out = json_is_array(old) ? json_copy((json_t *)old) : json_array();
    const char *key;
    json_t *change;

    if (old && !json_is_array(old))
        p->hash -= hash(old, s, path);
    json_object_foreach ((json_t *)patch, key, change) {
        if (patch_item(p, out, key, change, s->each, path) < 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *patch_value(struct patching *p, const json_t *old, const json_t *patch,
                           const struct shape *s, uint64_t path)
{
    if (!json_is_object(patch))
        return replace(p, old, patch, s, path);
    if (s->kind == SHAPE_ITEMS)
        return patch_items(p, old, patch, s, path);
    return patch_object(p, old, patch, s, path);
}

int document_fragment_patch(const char *const *names, const json_t *old, const json_t *change,
                            json_t **out, uint64_t *h, struct err *e)
{
    struct patching p = {.hash = *h, .err = e};
    uint64_t path;
    const struct shape *s = fragment_shape(names, &path);
    *out = NULL;
    if (json_is_null(change)) {
        if (old)
            p.hash -= hash(old, s, path);
    } else if (!(*out = patch_value(&p, old, change, s, path))) {
        return -1;
    } else if (vanishes(*out, s)) {
        json_decref(*out);
        *out = NULL;
    }
    *h = p.hash;
    return 0;
}

static json_t *patch_root(struct patching *p, const json_t *doc, const json_t *patch)
{
    json_t *out = json_copy((json_t *)doc);
    const char *key;
    json_t *change;
    json_object_foreach ((json_t *)patch, key, change) {
        if (is_label(key))
            json_object_set(out, key, change);
        else if (patch_member(p, out, key, change, &root, DOCUMENT_ROOT) < 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

json_t *document_patch(const json_t *doc, const json_t *patch, uint64_t *h, struct err *e)
{
    struct patching p = {.hash = *h, .err = e};
    const char *version = json_string_value(json_object_get(patch, "Version"));
    if (!json_is_object(doc) || !version) {
        err_set(e, "not a patch of a document: got no \"Version\" (string)");
        return NULL;
    }
    json_t *out = patch_root(&p, doc, patch);
    if (!out)
        return NULL;
    char now[DOCUMENT_VERSION_MAX];
    if (strcmp(document_version_text(p.hash, now), version) != 0) {
        err_set(e, "the patch leads to version %s, expected %s; ask for the whole document", now,
                version);
        json_decref(out);
        return NULL;
    }
    *h = p.hash;
    return out;
}
