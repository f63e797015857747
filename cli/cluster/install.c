/* install.c - fsm install and fsm upgrade: what the flags say, and the order of things. */
#include "cli/cluster/install.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cluster/apply.h"
#include "cli/cluster/progress.h"
#include "cli/cluster/render.h"
#include "cli/cluster/values.h"
#include "cli/output.h"
#include "cli/transport.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/object.h"

#define TIMEOUT_MS   300000
#define MINOR_LEAST  25 /* of Kubernetes 1: rules in definitions (CEL) */
#define SETTINGS_MAX 256

/* --set and --set-string, in the order in which they were given */
struct setting {
    const char *text;
    bool literal;
};

static struct {
    const char *mesh, *ns;
    struct opt_list files;
    struct setting settings[SETTINGS_MAX];
    unsigned n_settings;
    long long timeout_ms;
    bool dry_run, wait, no_wait, reset, force, keys;
} flags = {.timeout_ms = TIMEOUT_MS};

static int add_setting(const char *text, bool literal)
{
    if (flags.n_settings == SETTINGS_MAX)
        return -1;
    flags.settings[flags.n_settings++] = (struct setting){text, literal};
    return 0;
}

static int on_set(const char *value, void *target)
{
    return add_setting(value, false);
}

static int on_set_string(const char *value, void *target)
{
    return add_setting(value, true);
}

#define VALUE_OPTS                                                                                 \
    CLUSTER_OPTS,                                                                                  \
        {0, "set", "KEY=VALUE", "a value; several with commas; a list is {a,b} (may repeat)",      \
         OPT_CALL(on_set, NULL)},                                                                  \
        {0, "set-string", "KEY=VALUE", "the same, and the value is text whatever it looks like",   \
         OPT_CALL(on_set_string, NULL)},                                                           \
        {'f', "values", "FILE", "values as YAML (may repeat); --set wins",                         \
         OPT_LIST(&flags.files)},                                                                  \
        {0, "mesh-name", "NAME", "name of the mesh (default fsm)", OPT_STR(&flags.mesh)},          \
        {0, "fsm-namespace", "NAMESPACE", "namespace of the control plane (default fsm-system)",   \
         OPT_STR(&flags.ns)},                                                                      \
        {0, "timeout", "DURATION", "how long to wait until all is ready (default 5m)",             \
         OPT_MS(&flags.timeout_ms)},                                                               \
        {0, "wait", NULL, "wait until all is ready: this is the default", OPT_FLAG(&flags.wait)},  \
        {0, "no-wait", NULL, "do not wait until all is ready", OPT_FLAG(&flags.no_wait)},          \
        {0, "dry-run", NULL, "print the manifests and change nothing", OPT_FLAG(&flags.dry_run)},  \
        {0, "force-conflicts", NULL, "take over fields that somebody else has set",                \
         OPT_FLAG(&flags.force)},                                                                  \
    {                                                                                              \
        0, "keys", NULL, "list the keys of --set with what they take, and leave",                  \
            OPT_FLAG(&flags.keys)                                                                  \
    }

const struct opt cli_install_opts[] = {VALUE_OPTS, OPT_END};
const struct opt cli_upgrade_opts[] = {
    VALUE_OPTS,
    {0, "reset-values", NULL, "forget the values of before", OPT_FLAG(&flags.reset)},
    OPT_END};

/* ---- values ---------------------------------------------------------------------------------- */

static int read_values(json_t *values, struct err *e)
{
    for (unsigned i = 0; i < flags.files.n; i++)
        if (values_file(values, flags.files.v[i], e))
            return -1;
    for (unsigned i = 0; i < flags.n_settings; i++)
        if (values_set(values, flags.settings[i].text, flags.settings[i].literal, e))
            return err_prefix(e, flags.settings[i].literal ? "--set-string" : "--set");
    return 0;
}

static char *type_cell(const json_t *row)
{
    static const char *const words[] = {
        [VALUE_BOOL] = "true|false",   [VALUE_INT] = "integer",
        [VALUE_TEXT] = "text",         [VALUE_NUMBER_TEXT] = "number",
        [VALUE_TEXTS] = "{text,...}",  [VALUE_INTS] = "{integer,...}",
        [VALUE_ANY] = "object or list"};

    return xstrdup(words[json_int(row, "type", VALUE_TEXT)]);
}

static char *goes_cell(const json_t *row)
{
    const char *to = json_str(row, "to", ""), *note = json_str(row, "note", NULL);

    if (strncmp(to, "mesh ", 5) == 0)
        return xasprintf("MeshConfig %s", to + 5);
    if (!*to)
        return xasprintf("(%s)", note);
    return xstrdup(strncmp(to, "own ", 4) == 0 ? "the installation" : to);
}

static int list_keys(void)
{
    static const struct out_column columns[] = {{.title = "KEY", .path = "key"},
                                                {.title = "TAKES", .text = type_cell},
                                                {.title = "GOES TO", .text = goes_cell},
                                                {.title = NULL}};
    struct output out;
    json_t *rows = json_array();

    for (const struct value_key *k = value_keys; k->key; k++)
        json_array_append_new(rows, json_pack("{s:s, s:i, s:s, s:s*}", "key", k->key, "type",
                                              (int)k->type, "to", k->to, "note", k->note));
    output_choose(&out, NULL);
    output_list(&out, rows, columns, false);
    json_decref(rows);
    return 0;
}

/* what a user should know of a value before wondering why nothing happens */
static void tell_notes(const json_t *given)
{
    const char *key;
    json_t *v;

    json_object_foreach ((json_t *)(uintptr_t)given, key, v) {
        const struct value_key *k = value_key_find(key);
        if (k->note && !json_is_false(v))
            fprintf(stderr, "fsm: note: %s: %s\n", key, k->note);
    }
}

/* ---- --dry-run ------------------------------------------------------------------------------- */

static void print_all(const json_t *objects)
{
    for (size_t i = 0; i < json_array_size(objects); i++) {
        struct buf b = BUF_INIT;
        kube_to_yaml(json_array_get(objects, i), &b);
        printf("---\n%s", b.p);
        buf_free(&b);
    }
}

static int dry_run(const struct rendered *r)
{
    json_t *config = json_pack("[O]", r->config);

    print_all(r->definitions);
    print_all(r->objects);
    printf("---\n# Left out: Secret %s in %s, the certificate authority (ca.crt, ca.key). The "
           "installation makes it\n# if it is not there.\n",
           r->ca_secret, r->ns);
    print_all(config);
    json_decref(config);
    return 0;
}

/* ---- doing it -------------------------------------------------------------------------------- */

static int check_server(struct cluster *c, struct err *e)
{
    json_t *v;

    if (!cluster_is_good(cluster_get(c, "/version", &v, e)))
        return -1;
    long minor = strtol(json_str(v, "minor", "0"), NULL, 10);
    int rc = minor >= MINOR_LEAST ? 0
                                  : err_set(e,
                                            "kubernetes server version %s is not supported, "
                                            "requires at least 1.%d",
                                            json_str(v, "gitVersion", "?"), MINOR_LEAST);
    if (rc == 0)
        progress("%s: Kubernetes %s", cluster_server(c), json_str(v, "gitVersion", "?"));
    json_decref(v);
    return rc;
}

/* the values of before, under those that were given */
static json_t *with_earlier(const struct stored *s, const json_t *given)
{
    json_t *all = json_deep_copy(s->values);

    json_object_update(all, (json_t *)(uintptr_t)given);
    return all;
}

static int carry_out(struct cluster *c, const json_t *given, bool upgrade, struct err *e)
{
    struct rendered r = {NULL};
    struct stored s;
    const char *ns =
        flags.ns ? flags.ns : values_text(given, "fsm.fsmNamespace", NAMESPACE_DEFAULT);
    json_t *values = NULL;
    int rc = stored_load(c, ns, &s, e);

    if (rc == 0 && upgrade && !s.there)
        rc = err_set(
            e, "nothing was installed into namespace [%s] by 'fsm install': that makes a mesh", ns);
    if (rc == 0)
        values = upgrade && !flags.reset ? with_earlier(&s, given) : json_deep_copy(given);
    const char *mesh = flags.mesh ? flags.mesh : upgrade ? s.mesh : NULL;
    if (rc == 0 && (rc = render(values, mesh, ns, &r, e)) == 0) {
        struct apply a = {c, &r, values, given, flags.force};
        rc = check_server(c, e) || apply_check_others(&a, e) || apply_all(&a, &s, e) ? -1 : 0;
        if (rc == 0 && !flags.no_wait)
            rc = rollout_wait(c, r.ns, r.mesh, r.objects, e);
    }
    if (rc == 0 && upgrade)
        printf("FSM successfully upgraded mesh [%s] in namespace [%s]\n", r.mesh, r.ns);
    else if (rc == 0)
        printf("FSM installed successfully in namespace [%s] with mesh name [%s]\n", r.ns, r.mesh);
    rendered_free(&r);
    stored_clear(&s);
    json_decref(values);
    return rc;
}

static int run(int argc, bool upgrade)
{
    struct err e;
    struct rendered r;
    json_t *given = json_object();
    struct cluster *c = NULL;

    if (argc)
        return cli_usage("fsm %s takes no operands", upgrade ? "upgrade" : "install");
    if (flags.keys)
        return list_keys();
    if (flags.wait && flags.no_wait)
        return cli_usage("--wait and --no-wait exclude each other");
    progress_begin((unsigned long long)flags.timeout_ms);
    /* what is wrong with the values themselves is told before a cluster is asked */
    int rc = read_values(given, &e) || render(given, flags.mesh, flags.ns, &r, &e) ? -1 : 0;
    if (rc == 0) {
        tell_notes(given);
        if (flags.dry_run)
            dry_run(&r);
        else if (!(c = transport_cluster(&e)) || carry_out(c, given, upgrade, &e))
            rc = -1;
        rendered_free(&r);
    }
    cluster_close(c);
    json_decref(given);
    opt_list_free(&flags.files);
    return rc ? cli_fail("%s", e.text) : 0;
}

int cli_install(int argc, char **argv)
{
    return run(argc, false);
}

int cli_upgrade(int argc, char **argv)
{
    return run(argc, true);
}
