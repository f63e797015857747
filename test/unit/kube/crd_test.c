/* crd_test.c - the CustomResourceDefinitions of deploy/crds say what the tree's own checks say.
 *
 * What an API server with these definitions accepts and what a directory of files may hold must be
 * one language.  Every definition is compared with the table of kinds (group, plural, scope,
 * versions, short names) and, where the tree checks the kind, field by field with its schema:
 * names, types, what is required, words, bounds, defaults, keys of lists.  A syntax is compared by
 * what it does to samples.  The examples and their refused variants then pass through the tree.
 */
#include <check.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/kube/kind.h"
#include "common/kube/load.h"
#include "common/kube/meshconfig.h"
#include "common/kube/schema.h"
#include "test/unit/unit.h"

#define CRDS            "deploy/crds/*_*.yaml"
#define EXAMPLES        "test/kubernetes/examples/*.yaml"
#define REFUSED         "test/kubernetes/examples/refused/*.yaml"
#define DESCRIPTION_MAX 160

/* ---- differences that are meant ------------------------------------------------------------- */

/* list keys: a list-map's keys must be required, and core/v1 has the name alone */
static const char *const other_keys[] = {".claims", NULL};

/* samples that one side takes and the other does not */
static const struct {
    kube_syntax *syntax;
    const char *sample; /* NULL: all */
    bool server;        /* the server takes it: the tree says so in a message later */
} loose[] = {
    /* a pattern of an IPv6 address that is right in all cases is too long to read */
    {kube_is_ip, "::1::", true},
    {kube_is_ip_or_cidr, "::1::", true},
    {kube_is_cidr, "::1::", true},
    {kube_is_ip_or_cidr, "1.2.3.4:80", true},
    {kube_is_ip, "1.2.3.4:80", true},
    /* an IPv4 address in the form of the other family */
    {kube_is_ipv4, "::ffff:10.0.0.1", false},
    /* nor can a pattern tell a regular expression */
    {kube_is_regex, NULL, true},
    /* the server asks more: nothing waits for a negative time */
    {kube_is_duration, "-5s", false},
    {kube_is_duration, "+5s", false},
    {kube_is_validity, "+5s", false},
    /* said by a rule beside the pattern, which this test cannot run */
    {kube_is_validity, NULL, true},
};

static const char *const samples[] = {
    "a",
    "A",
    "a-b",
    "-a",
    "a-",
    "1a",
    "a.b",
    "a..b",
    ".a",
    "a_b",
    "a b",
    "*",
    "*.a.b",
    "*a",
    "a.*",
    "web.default.svc.cluster.local",
    "http://a.example",
    "10.0.0.0/8",
    "10.0.0.1",
    "10.0.0.0/33",
    "256.1.1.1",
    "1.1.1",
    "01.1.1.1",
    "0.0.0.0/0",
    "::/0",
    "fd00::/8",
    "fd00::1",
    "2001:db8::/129",
    "::1::",
    "1.2.3.4:80",
    "::ffff:10.0.0.1",
    "90s",
    "1h30m",
    "250ms",
    "1.5s",
    ".5s",
    "0",
    "0s",
    "10ms",
    "24h",
    "1d",
    "90",
    "s",
    "5 s",
    "-5s",
    "+5s",
    "eth0",
    "eth0; reboot",
    "br-1234@if5",
    "0123456789abcdef",
    "GET",
    "x-header",
    "x header",
    "x:y",
    "text/plain",
    ".*",
    "((",
    "/a/b",
    "500m",
    "1Gi",
    "1e3",
    "1.5",
    "lots",
    "1Kib",
    "+1",
    "a\n",
    "\xc3\xa9",
    "5\xc2\xb5s",
};

static bool is_loose(kube_syntax *syntax, const char *sample, bool server)
{
    for (size_t i = 0; i < sizeof loose / sizeof *loose; i++) {
        if (loose[i].syntax == syntax && loose[i].server == server &&
            (!loose[i].sample || strcmp(sample, loose[i].sample) == 0))
            return true;
    }
    return false;
}

static bool in_list(const char *const *list, const char *path)
{
    for (; *list; list++) {
        size_t n = strlen(path), k = strlen(*list);
        if (n >= k && strcmp(path + n - k, *list) == 0)
            return true;
    }
    return false;
}

/* ---- reading -------------------------------------------------------------------------------- */

static json_t *crds; /* all definitions */

static void take_doc(struct yaml_doc *doc, void *arg)
{
    ck_assert_msg(doc->json != NULL && !doc->bad, "not readable");
    json_array_append_new(arg, doc->json);
    doc->json = NULL;
}

static void read_file(const char *path, struct buf *text)
{
    struct err e = {""};
    ck_assert_msg(file_read(path, 1 << 24, text, &e) == 0, "%s", e.text);
}

static void setup(void)
{
    glob_t g;
    crds = json_array();
    ck_assert_int_eq(glob(CRDS, 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        struct buf text = BUF_INIT;
        struct kube_problems problems = {NULL, 0};
        read_file(g.gl_pathv[i], &text);
        yaml_each(buf_slice(&text), g.gl_pathv[i], &problems, take_doc, crds);
        ck_assert_msg(problems.n == 0, "%s: %s", g.gl_pathv[i],
                      problems.n ? problems.v[0].message : "");
        kube_problems_free(&problems);
        buf_free(&text);
    }
    globfree(&g);
}

static void teardown(void)
{
    json_decref(crds);
}

static const json_t *at(const json_t *v, const char *path)
{
    struct slice rest = slice_str(path);
    while (v && rest.p) {
        struct slice name = slice_cut(&rest, '/');
        char key[64];
        snprintf(key, sizeof key, "%.*s", SLICE_FMT(name));
        v = json_object_get(v, key);
    }
    return v;
}

static const char *text_at(const json_t *v, const char *path)
{
    const char *s = json_string_value(at(v, path));
    return s ? s : "";
}

static const json_t *crd_of(const struct kube_kind *k)
{
    size_t i;
    json_t *crd;
    json_array_foreach (crds, i, crd) {
        if (strcmp(text_at(crd, "spec/group"), k->group) == 0 &&
            strcmp(text_at(crd, "spec/names/kind"), k->kind) == 0)
            return crd;
    }
    return NULL;
}

static bool has_word(const char *words, const char *word)
{
    struct slice rest = slice_str(words ? words : "");
    while (rest.p) {
        if (slice_eq_str(slice_cut(&rest, ' '), word))
            return true;
    }
    return false;
}

static unsigned count_words(const char *words)
{
    unsigned n = 0;
    struct slice rest = slice_str(words);
    while (rest.p)
        n += slice_cut(&rest, ' ').n > 0;
    return n;
}

static bool array_has(const json_t *list, const char *word)
{
    size_t i;
    json_t *v;
    json_array_foreach (list, i, v) {
        if (json_is_string(v) && strcmp(json_string_value(v), word) == 0)
            return true;
    }
    return false;
}

/* ---- the comparison ------------------------------------------------------------------------- */

static void compare_object(const struct kube_schema *s, const json_t *node, const char *path);

static const char *type_name(enum kube_type t)
{
    static const char *const names[] = {
        [KT_STRING] = "string", [KT_INT] = "integer",   [KT_BOOL] = "boolean",
        [KT_NUMBER] = "number", [KT_OBJECT] = "object",
    };
    return t < sizeof names / sizeof *names && names[t] ? names[t] : "";
}

static void compare_bounds(const struct kube_field *f, const json_t *node, const char *path)
{
    const json_t *min = json_object_get(node, "minimum"), *max = json_object_get(node, "maximum");
    bool any = !f->min && !f->max;
    ck_assert_msg(any == !min, "%s: minimum: %s in the tree", path, any ? "none" : "one");
    ck_assert_msg((any || f->max == LLONG_MAX) == !max, "%s: maximum differs", path);
    if (min)
        ck_assert_msg(json_number_value(min) == (double)f->min, "%s: minimum %g, %lld in the tree",
                      path, json_number_value(min), f->min);
    if (max)
        ck_assert_msg(json_number_value(max) == (double)f->max, "%s: maximum %g, %lld in the tree",
                      path, json_number_value(max), f->max);
}

static void compare_words(const struct kube_field *f, const json_t *node, const char *path)
{
    const json_t *words = json_object_get(node, "enum");
    size_t i;
    json_t *v;
    ck_assert_msg(!f->oneof == !words, "%s: enum: %s in the tree", path, f->oneof ? "one" : "none");
    json_array_foreach (words, i, v)
        ck_assert_msg(json_is_string(v) && has_word(f->oneof, json_string_value(v)),
                      "%s: enum: element %zu is not in the tree", path, i);
    if (words)
        ck_assert_msg(json_array_size(words) == count_words(f->oneof),
                      "%s: enum: the tree has \"%s\"", path, f->oneof);
}

static bool matches(const char *pattern, const char *s, const char *path)
{
    int code;
    PCRE2_SIZE place;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &code, &place, NULL);
    ck_assert_msg(re != NULL, "%s: pattern: broken at %zu", path, (size_t)place);
    pcre2_match_data *m = pcre2_match_data_create_from_pattern(re, NULL);
    int rc = pcre2_match(re, (PCRE2_SPTR)s, PCRE2_ZERO_TERMINATED, 0, 0, m, NULL);
    pcre2_match_data_free(m);
    pcre2_code_free(re);
    return rc >= 0;
}

static bool server_takes(const json_t *node, const char *s, const char *path)
{
    const json_t *min = json_object_get(node, "minLength"),
                 *max = json_object_get(node, "maxLength");
    const char *pattern = json_string_value(json_object_get(node, "pattern"));
    size_t n = 0;
    for (const char *p = s; *p; p++)
        n += ((unsigned char)*p & 0xc0) != 0x80;
    return (!min || (json_int_t)n >= json_integer_value(min)) &&
           (!max || (json_int_t)n <= json_integer_value(max)) &&
           (!pattern || matches(pattern, s, path));
}

static void compare_sample(const struct kube_field *f, const json_t *node, const char *path,
                           const char *s)
{
    bool empty = !*s && f->shape == KS_ONE;
    bool tree = empty ? !f->required : !f->syntax || !f->syntax(s);
    bool server = server_takes(node, s, path);
    if (tree && !server && !is_loose(f->syntax, s, false))
        ck_abort_msg("%s: \"%s\" is fine for the tree, the server would refuse it", path, s);
    if (!tree && server && !is_loose(f->syntax, s, true))
        ck_abort_msg("%s: \"%s\" is refused by the tree, the server would take it", path, s);
}

static void compare_syntax(const struct kube_field *f, const json_t *node, const char *path)
{
    if (f->oneof)
        return; /* every word is listed */
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        compare_sample(f, node, path, samples[i]);
    if (f->shape == KS_ONE || f->syntax)
        compare_sample(f, node, path, "");
}

static void compare_default(const struct kube_field *f, const json_t *node, const char *path)
{
    const json_t *dflt = json_object_get(node, "default");
    char text[32];
    ck_assert_msg(!f->dflt == !dflt, "%s: default: %s in the tree", path, f->dflt ? "one" : "none");
    if (!dflt)
        return;
    if (json_is_object(dflt))
        snprintf(text, sizeof text, "%s", json_object_size(dflt) ? "..." : "{}");
    else if (json_is_integer(dflt))
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(dflt));
    else
        snprintf(text, sizeof text, "%s", json_string_value(dflt));
    ck_assert_msg(strcmp(text, f->dflt) == 0, "%s: default %s, %s in the tree", path, text,
                  f->dflt);
}

/* one value: that of the field, of an element or of a member of a map */
static void compare_value(const struct kube_field *f, const json_t *node, const char *path)
{
    if (f->type == KT_QUANTITY) {
        ck_assert_msg(json_is_true(json_object_get(node, "x-kubernetes-int-or-string")),
                      "%s: a quantity in the tree", path);
        struct kube_field text = {
            .name = f->name, .type = KT_STRING, .shape = KS_LIST, .syntax = kube_is_quantity};
        for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
            compare_sample(&text, node, path, samples[i]);
        return;
    }
    ck_assert_msg(strcmp(text_at(node, "type"), type_name(f->type)) == 0,
                  "%s: type %s, %s in the tree", path, text_at(node, "type"), type_name(f->type));
    compare_words(f, node, path);
    if (f->type == KT_STRING)
        compare_syntax(f, node, path);
    if (f->type == KT_INT || f->type == KT_NUMBER)
        compare_bounds(f, node, path);
    if (f->type == KT_OBJECT)
        compare_object(f->of, node, path);
}

static void compare_keys(const struct kube_field *f, const json_t *node, const char *path)
{
    const json_t *keys = json_object_get(node, "x-kubernetes-list-map-keys");
    const char *type = text_at(node, "x-kubernetes-list-type");
    size_t i;
    json_t *key;
    if (in_list(other_keys, path))
        return;
    if (!f->key) {
        ck_assert_msg(!*type, "%s: list type %s, equal elements are fine in the tree", path, type);
        return;
    }
    ck_assert_msg(strcmp(type, strcmp(f->key, ".") == 0 ? "set" : "map") == 0,
                  "%s: list type \"%s\", keys \"%s\" in the tree", path, type, f->key);
    json_array_foreach (keys, i, key)
        ck_assert_msg(has_word(f->key, json_string_value(key)), "%s: key %s is not in the tree",
                      path, json_string_value(key));
    if (keys)
        ck_assert_msg(json_array_size(keys) == count_words(f->key), "%s: keys \"%s\" in the tree",
                      path, f->key);
}

static void compare_field(const struct kube_field *f, const json_t *node, const char *path)
{
    if (f->type == KT_ANY)
        return; /* the server may know more of it */
    compare_default(f, node, path);
    switch (f->shape) {
    case KS_ONE:
        compare_value(f, node, path);
        break;
    case KS_LIST:
        ck_assert_msg(strcmp(text_at(node, "type"), "array") == 0, "%s: a list in the tree", path);
        ck_assert_msg((json_integer_value(json_object_get(node, "minItems")) == 1) == f->required,
                      "%s: minItems differs", path);
        compare_keys(f, node, path);
        compare_value(f, json_object_get(node, "items"), path);
        break;
    case KS_MAP:
        compare_value(f, json_object_get(node, "additionalProperties"), path);
        break;
    }
}

static void compare_object(const struct kube_schema *s, const json_t *node, const char *path)
{
    const json_t *properties = json_object_get(node, "properties");
    const json_t *required = json_object_get(node, "required");
    const char *name;
    json_t *v;
    for (const struct kube_field *f = s->fields; f->name; f++) {
        const json_t *member = json_object_get(properties, f->name);
        if (strcmp(f->name, "metadata") == 0 && f->of == &kube_schema_metadata)
            continue;
        char *below = xasprintf("%s.%s", path, f->name);
        ck_assert_msg(member != NULL, "%s: only in the tree", below);
        ck_assert_msg(array_has(required, f->name) == f->required, "%s: required differs", below);
        compare_field(f, member, below);
        free(below);
    }
    json_object_foreach ((json_t *)properties, name, v) {
        const struct kube_field *f = s->fields;
        while (f->name && strcmp(f->name, name) != 0)
            f++;
        ck_assert_msg(f->name != NULL, "%s.%s: not in the tree", path, name);
    }
}

static const json_t *schema_of(const json_t *version)
{
    return at(version, "schema/openAPIV3Schema");
}

START_TEST(same_fields)
{
    unsigned compared = 0;
    for (unsigned i = 0; i < kube_kinds_count(); i++) {
        const struct kube_kind *k = kube_kind_at(i);
        const json_t *crd = k->schema ? crd_of(k) : NULL;
        size_t n;
        json_t *version;
        json_array_foreach (at(crd, "spec/versions"), n, version) {
            if (!json_is_true(json_object_get(version, "served")))
                continue;
            compare_object(k->schema, schema_of(version), k->kind);
            compared++;
        }
    }
    ck_assert_uint_ge(compared, 19); /* 3 MeshConfig, 9 SMI, 7 policies */
}
END_TEST

/* ---- the table of kinds --------------------------------------------------------------------- */

static bool is_ours(const char *group)
{
    return slice_ends(slice_str(group), slice_str("flomesh.io")) ||
           slice_ends(slice_str(group), slice_str("smi-spec.io"));
}

static void compare_versions(const struct kube_kind *k, const json_t *crd)
{
    unsigned served = 0;
    size_t i;
    json_t *version;
    json_array_foreach (at(crd, "spec/versions"), i, version) {
        const char *name = text_at(version, "name");
        if (json_is_true(json_object_get(version, "storage")))
            ck_assert_msg(strncmp(k->versions, name, strlen(name)) == 0,
                          "%s: %s is stored, the tree prefers the first of %s", k->kind, name,
                          k->versions);
        if (!json_is_true(json_object_get(version, "served")))
            continue;
        served++;
        ck_assert_msg(has_word(k->versions, name), "%s: %s is not in the tree", k->kind, name);
        /* nothing is converted, so that the versions must be one shape */
        ck_assert_msg(
            json_equal(schema_of(version), schema_of(json_array_get(at(crd, "spec/versions"), 0))),
            "%s: %s has another schema", k->kind, name);
    }
    ck_assert_msg(served == count_words(k->versions), "%s: the tree has %s", k->kind, k->versions);
}

START_TEST(same_kinds)
{
    unsigned n = 0;
    for (unsigned i = 0; i < kube_kinds_count(); i++) {
        const struct kube_kind *k = kube_kind_at(i);
        const json_t *crd = crd_of(k), *names = at(crd, "spec/names");
        if (!is_ours(k->group) || strcmp(k->kind, "VirtualMachine") == 0)
            continue;
        ck_assert_msg(crd != NULL, "%s: no definition", k->kind);
        ck_assert_str_eq(text_at(names, "plural"), k->plural);
        ck_assert_str_eq(text_at(crd, "spec/scope"), k->namespaced ? "Namespaced" : "Cluster");
        char *name = xasprintf("%s.%s", k->plural, k->group);
        ck_assert_str_eq(text_at(crd, "metadata/name"), name);
        free(name);
        size_t j;
        json_t *v;
        json_array_foreach (at(names, "shortNames"), j, v)
            ck_assert_msg(has_word(k->aliases, json_string_value(v)), "%s: short name %s", k->kind,
                          json_string_value(v));
        compare_versions(k, crd);
        n++;
    }
    ck_assert_uint_eq(n, json_array_size(crds));
}
END_TEST

/* ---- what kubectl explain shows ------------------------------------------------------------- */

/* what a flow mapping makes of a comma that was meant as text is an unknown word here */
static const char words[] =
    "type description properties items additionalProperties required enum default minimum maximum "
    "minLength maxLength minItems maxItems pattern format x-kubernetes-preserve-unknown-fields "
    "x-kubernetes-int-or-string x-kubernetes-list-type x-kubernetes-list-map-keys "
    "x-kubernetes-validations";

static void check_described(const json_t *node, const char *path)
{
    const char *text = text_at(node, "description"), *name;
    json_t *v;
    size_t n = strlen(text);
    ck_assert_msg(n > 0 && n <= DESCRIPTION_MAX && text[n - 1] == '.',
                  "%s: describe it in a sentence of at most %d characters", path, DESCRIPTION_MAX);
    json_object_foreach ((json_t *)node, name, v)
        ck_assert_msg(has_word(words, name), "%s: unknown word %s", path, name);
    json_object_foreach (json_object_get(node, "properties"), name, v) {
        char *below = xasprintf("%s.%s", path, name);
        /* the API server has its own schema of metadata, and takes no description of it */
        if (strcmp(name, "metadata") != 0 || strchr(path, '.'))
            check_described(v, below);
        free(below);
    }
    if (json_object_get(node, "items"))
        check_described(json_object_get(node, "items"), path);
}

START_TEST(described)
{
    size_t i, j;
    json_t *crd, *version;
    json_array_foreach (crds, i, crd)
        json_array_foreach (at(crd, "spec/versions"), j, version)
            check_described(schema_of(version), text_at(crd, "spec/names/kind"));
}
END_TEST

/* ---- the object that a mesh begins with ------------------------------------------------------ */

START_TEST(preset)
{
    struct buf text = BUF_INIT;
    struct kube_problems problems = {NULL, 0};
    struct kube_object **v;
    read_file("deploy/kustomize/mesh-config/mesh-config.yaml", &text);
    unsigned n = kube_load(buf_slice(&text), "mesh-config.yaml", NULL, &v, &problems);
    ck_assert_uint_eq(n, 1);
    struct kube_object *o =
        kube_object_from_json(kube_meshconfig_preset("fsm-system"), "", 0, NULL, &problems);
    ck_assert_msg(problems.n == 0 && json_equal(v[0]->body, o->body),
                  "deploy/kustomize/mesh-config differs from kube_meshconfig_preset()");
    kube_object_unref(o);
    kube_objects_free(v, n);
    buf_free(&text);
}
END_TEST

/* ---- examples ------------------------------------------------------------------------------- */

START_TEST(examples_accepted)
{
    glob_t g;
    ck_assert_int_eq(glob(EXAMPLES, 0, NULL, &g), 0);
    ck_assert_uint_ge(g.gl_pathc, 60);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        struct buf text = BUF_INIT;
        struct kube_problems problems = {NULL, 0};
        struct kube_object **v;
        read_file(g.gl_pathv[i], &text);
        unsigned n = kube_load(buf_slice(&text), g.gl_pathv[i], "default", &v, &problems);
        if (problems.n > 0)
            ck_abort_msg("%s: %s: %s", g.gl_pathv[i], problems.v[0].field, problems.v[0].message);
        ck_assert_uint_gt(n, 0);
        kube_objects_free(v, n);
        buf_free(&text);
    }
    globfree(&g);
}
END_TEST

static bool names_field(const struct kube_problems *problems, const char *field)
{
    for (unsigned i = 0; i < problems->n; i++) {
        char *text = kube_problem_text(&problems->v[i]);
        bool named = strstr(text, field) != NULL;
        free(text);
        if (named)
            return true;
    }
    return false;
}

static unsigned check_refused(const char *file, struct slice doc)
{
    char field[160], *end;
    const char *mark = memmem(doc.p, doc.n, "# refused: ", 11);
    struct kube_problems problems = {NULL, 0};
    struct kube_object **v;
    if (!mark)
        return 0;
    snprintf(field, sizeof field, "%.*s", (int)strcspn(mark + 11, "\n"), mark + 11);
    bool server = strstr(field, " (server)") != NULL;
    if ((end = strchr(field, ' ')))
        *end = '\0';
    if (server)
        return 1;
    unsigned n = kube_load(doc, file, "default", &v, &problems);
    ck_assert_msg(n == 0 && problems.n > 0, "%s: accepted, expected a problem with %s", file,
                  field);
    ck_assert_msg(names_field(&problems, field), "%s: %s: %s, expected a problem with %s", file,
                  problems.v[0].field, problems.v[0].message, field);
    kube_objects_free(v, n);
    kube_problems_free(&problems);
    return 1;
}

START_TEST(variants_refused)
{
    glob_t g;
    unsigned n = 0;
    ck_assert_int_eq(glob(REFUSED, 0, NULL, &g), 0);
    for (size_t i = 0; i < g.gl_pathc; i++) {
        struct buf text = BUF_INIT;
        read_file(g.gl_pathv[i], &text);
        buf_putc(&text, '\0');
        for (char *doc = text.p, *next; doc; doc = next) {
            if ((next = strstr(doc, "\n---\n"))) {
                *next = '\0';
                next += 5;
            }
            n += check_refused(g.gl_pathv[i], slice_str(doc));
        }
        buf_free(&text);
    }
    globfree(&g);
    ck_assert_uint_ge(n, 100);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {same_fields, same_kinds,        described,
                                  preset,      examples_accepted, variants_refused};
    Suite *s = suite_create("kube/crd");
    TCase *t = tcase_create("definitions");
    tcase_add_checked_fixture(t, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(t, tests[i]);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
