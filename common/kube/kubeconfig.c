/* kubeconfig.c - files merged, one context picked, its cluster and user read. */
#include "common/kube/kubeconfig.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/base/codec.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/kube/yaml.h"

#define FILE_MAX (4u << 20)

/* an entry of one of the lists, and the file it stands in */
struct entry {
    json_t *body; /* owned: what stands under "cluster", "context" or "user" */
    char *file;   /* owned */
};

enum list { CLUSTERS, CONTEXTS, USERS, LISTS };
static const struct {
    const char *list, *member;
} lists[LISTS] = {{"clusters", "cluster"}, {"contexts", "context"}, {"users", "user"}};

/* several files as one */
struct config {
    struct table *v[LISTS]; /* name -> owned struct entry */
    char *current;          /* current-context, or NULL */
    char *files;            /* for messages */
};

static void entry_free(void *p)
{
    struct entry *en = p;
    json_decref(en->body);
    free(en->file);
    free(en);
}

static void config_clear(struct config *c)
{
    for (unsigned i = 0; i < LISTS; i++)
        table_free(c->v[i]);
    free(c->current);
    free(c->files);
}

/* ---- one file ------------------------------------------------------------------------------- */

static void take_document(struct yaml_doc *doc, void *arg)
{
    json_t **out = arg;
    if (!*out && doc->json && !doc->bad) {
        *out = doc->json;
        doc->json = NULL;
    }
}

/* returns owned; an empty file is an empty object */
static json_t *read_yaml(const char *path, struct err *e)
{
    struct kube_problems problems = {NULL, 0};
    struct buf text = BUF_INIT;
    json_t *j = NULL;
    if (file_read(path, FILE_MAX, &text, e) < 0)
        return NULL;
    yaml_each(buf_slice(&text), path, &problems, take_document, &j);
    if (problems.n > 0) {
        const struct kube_problem *p = &problems.v[0];
        err_set(e, "%s:%u: %s", path, p->line, p->message);
        json_decref(j);
        j = NULL;
    } else if (!j) {
        j = json_object();
    } else if (!json_is_object(j)) {
        err_set(e, "%s: expected a kubeconfig (kind: Config)", path);
        json_decref(j);
        j = NULL;
    }
    kube_problems_free(&problems);
    if (text.p)
        explicit_bzero(text.p, text.cap);
    buf_free(&text);
    return j;
}

/* An entry that an earlier file has stays what it is; twice in one file is a mistake. */
static int add_entry(struct config *c, enum list list, const json_t *row, const char *file,
                     struct err *e)
{
    const char *name = json_str(row, "name", NULL);
    json_t *body = json_object_get(row, lists[list].member);
    if (!name || (body && !json_is_object(body) && !json_is_null(body)))
        return err_set(e, "%s: %s: expected entries of {name: ..., %s: {...}}", file,
                       lists[list].list, lists[list].member);
    struct entry *en = table_get_str(c->v[list], name);
    if (en && strcmp(en->file, file) == 0)
        return err_set(e, "%s: %s: \"%.100s\" stands twice", file, lists[list].list, name);
    if (en)
        return 0;
    en = xcalloc(1, sizeof *en);
    en->body = json_is_object(body) ? json_incref(body) : json_object();
    en->file = xstrdup(file);
    table_put_str(c->v[list], name, en);
    return 0;
}

static int add_file(struct config *c, const char *file, struct err *e)
{
    json_t *j = read_yaml(file, e), *row;
    const char *kind = json_str(j, "kind", "Config"), *current = json_str(j, "current-context", "");
    int r = j ? 0 : -1;
    size_t i;
    if (r == 0 && strcmp(kind, "Config") != 0)
        r = err_set(e, "%s: kind is \"%.60s\", expected a kubeconfig (kind: Config)", file, kind);
    for (unsigned list = 0; r == 0 && list < LISTS; list++) {
        json_array_foreach (json_object_get(j, lists[list].list), i, row)
            if (r == 0)
                r = add_entry(c, list, row, file, e);
    }
    if (r == 0 && !c->current && *current)
        c->current = xstrdup(current);
    json_decref(j);
    return r;
}

/* ---- all files ------------------------------------------------------------------------------ */

/* the files of $KUBECONFIG; those that do not exist are left out */
static int add_listed(struct config *c, const char *paths, struct err *e)
{
    struct slice rest = slice_str(paths);
    int r = 0;
    while (r == 0 && rest.p) {
        struct slice one = slice_cut(&rest, ':');
        char *path = xstrndup(one.p, one.n);
        if (one.n > 0 && (access(path, F_OK) == 0 || errno != ENOENT))
            r = add_file(c, path, e);
        free(path);
    }
    return r;
}

static int config_load(struct config *c, const char *path, struct err *e)
{
    const char *env = getenv("KUBECONFIG"), *home = getenv("HOME");
    *c = (struct config){.current = NULL};
    for (unsigned i = 0; i < LISTS; i++)
        c->v[i] = table_new(entry_free);
    if (path) {
        c->files = xstrdup(path);
        return add_file(c, path, e);
    }
    if (env && *env) {
        c->files = xstrdup(env);
        return add_listed(c, env, e);
    }
    c->files = xasprintf("%s/.kube/config", home ? home : "");
    return add_listed(c, c->files, e);
}

/* ---- what one context says ------------------------------------------------------------------ */

/* returns owned: relative to the file that names it */
static char *resolve(const char *path, const char *file)
{
    const char *slash = strrchr(file, '/');
    if (*path == '/' || !slash)
        return xstrdup(path);
    return xasprintf("%.*s/%s", (int)(slash - file), file, path);
}

/* "X-data" (base64) or else the file "X", into out */
static int read_pem(const struct entry *en, const char *key, struct buf *out, struct err *e)
{
    char *data_key = xasprintf("%s-data", key);
    const char *data = json_string_value(json_object_get(en->body, data_key));
    const char *path = json_string_value(json_object_get(en->body, key));
    int r = 0;
    if (data && *data) {
        if (base64_decode(slice_str(data), out) < 0)
            r = err_set(e, "%s: %s is not base64", en->file, data_key);
    } else if (path && *path) {
        char *full = resolve(path, en->file);
        r = file_read(full, FILE_MAX, out, e);
        if (r < 0)
            err_prefix(e, "%s: %s", en->file, key);
        free(full);
    }
    free(data_key);
    return r;
}

static char *copy_of(const struct entry *en, const char *key)
{
    const char *text = json_string_value(json_object_get(en->body, key));
    return text && *text ? xstrdup(text) : NULL;
}

static int read_cluster(const struct entry *en, struct kube_access *out, struct err *e)
{
    out->server = copy_of(en, "server");
    out->tls_name = copy_of(en, "tls-server-name");
    out->proxy = copy_of(en, "proxy-url");
    out->insecure = json_is_true(json_object_get(en->body, "insecure-skip-tls-verify"));
    if (!out->server)
        return err_set(e, "%s: the cluster has no server", en->file);
    return read_pem(en, "certificate-authority", &out->ca, e);
}

/* ways to log in that this program does not know */
static int check_user(const struct entry *en, struct err *e)
{
    const char *command = json_str(json_object_get(en->body, "exec"), "command", "");
    if (json_object_get(en->body, "exec"))
        return err_set(e,
                       "%s: the user's credentials come from the command \"%.100s\" (exec), which "
                       "is not run here: use a token, a tokenFile or a client certificate, for "
                       "example of a service account (kubectl create token)",
                       en->file, command);
    if (json_object_get(en->body, "auth-provider"))
        return err_set(e,
                       "%s: the user has an auth-provider, which Kubernetes gave up: use a token, "
                       "a tokenFile or a client certificate",
                       en->file);
    if (json_object_get(en->body, "username") || json_object_get(en->body, "password"))
        return err_set(e,
                       "%s: the user has a password, which no API server takes any more: use a "
                       "token, a tokenFile or a client certificate",
                       en->file);
    if (json_object_get(en->body, "as") || json_object_get(en->body, "as-groups"))
        return err_set(e,
                       "%s: the user acts as somebody else (as), which is not done here: give "
                       "that user's own credentials",
                       en->file);
    return 0;
}

static int read_user(const struct entry *en, struct kube_access *out, struct err *e)
{
    char *file = copy_of(en, "tokenFile");
    if (check_user(en, e) < 0) {
        free(file);
        return -1;
    }
    out->token = copy_of(en, "token");
    out->token_file = file ? resolve(file, en->file) : NULL;
    free(file);
    if (read_pem(en, "client-certificate", &out->cert, e) < 0)
        return -1;
    return read_pem(en, "client-key", &out->key, e);
}

/* "a, b, c": what could have been meant */
static void put_names(const struct table *t, struct buf *out)
{
    struct slice name;
    void *v;
    unsigned n = 0;
    table_foreach (t, it, &name, &v) {
        if (++n > 10) {
            buf_puts(out, ", ...");
            return;
        }
        buf_printf(out, "%s%.*s", n > 1 ? ", " : "", SLICE_FMT(name));
    }
    if (n == 0)
        buf_puts(out, "none");
}

/* what: "context", and who names it */
static const struct entry *pick(const struct config *c, enum list list, const char *name,
                                const char *who, struct err *e)
{
    const struct entry *en = table_get_str(c->v[list], name);
    struct buf names = BUF_INIT;
    if (en)
        return en;
    put_names(c->v[list], &names);
    err_set(e, "%s: %s names the %s \"%.100s\", which is not there; there is: %.300s", c->files,
            who, lists[list].member, name, names.p);
    buf_free(&names);
    return NULL;
}

static int read_context(const struct config *c, const char *name, const char *who,
                        struct kube_access *out, struct err *e)
{
    const struct entry *context = pick(c, CONTEXTS, name, who, e), *cluster, *user;
    if (!context)
        return -1;
    const char *cluster_name = json_str(context->body, "cluster", "");
    const char *user_name = json_str(context->body, "user", "");
    out->told = xasprintf("context %s of %s", name, context->file);
    out->ns = copy_of(context, "namespace");
    if (!(cluster = pick(c, CLUSTERS, cluster_name, "the context", e)) ||
        read_cluster(cluster, out, e) < 0)
        return -1;
    if (!*user_name)
        return 0;
    return (user = pick(c, USERS, user_name, "the context", e)) ? read_user(user, out, e) : -1;
}

int kubeconfig_load(const char *path, const char *context, struct kube_access *out, struct err *e)
{
    struct config c;
    int r = config_load(&c, path, e);
    const char *name = context && *context ? context : c.current;
    if (r == 0 && !name)
        r = err_set(e,
                    "%s: no current-context, and no --context was given (is there a kubeconfig at "
                    "all?)",
                    c.files);
    if (r == 0)
        r = read_context(&c, name, name == context ? "--context" : "current-context", out, e);
    config_clear(&c);
    return r;
}
