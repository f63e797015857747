/* cmd_apply.c - fsm local apply, create, delete. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/local/local_cli.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/io/frame.h"
#include "common/kube/kind.h"
#include "common/kube/object.h"

static struct {
    const char *wait;
    unsigned grace;
    bool force, all, ignore_missing;
    long long timeout_ms;
} flags = {.grace = ~0u, .timeout_ms = 120000};

const struct opt local_apply_opts[] = {LOCAL_OPT_NAME, LOCAL_OPT_FILES, LOCAL_OPT_NS, OPT_END};
const struct opt local_create_opts[] = {LOCAL_OPT_NAME, LOCAL_OPT_FILES, LOCAL_OPT_NS, OPT_END};
const struct opt local_delete_opts[] = {
    LOCAL_OPT_NAME,
    LOCAL_OPT_FILES,
    LOCAL_OPT_NS,
    LOCAL_OPT_SELECTOR,
    {0, "all", NULL, "all objects of the kind in the namespace", OPT_FLAG(&flags.all)},
    {0, "grace-period", "SECONDS", "how long a pod may take to end (default: its own)",
     OPT_UINT(&flags.grace, 0, 86400)},
    {0, "force", NULL, "kill at once (with --grace-period=0)", OPT_FLAG(&flags.force)},
    {0, "ignore-not-found", NULL, "what is not there is no error", OPT_FLAG(&flags.ignore_missing)},
    {0, "wait", "BOOL", "return when it is gone (default true)", OPT_STR(&flags.wait)},
    {0, "timeout", "DURATION", "how long to wait (default 2m)", OPT_MS(&flags.timeout_ms)},
    OPT_END};

/* ---- apply, create --------------------------------------------------------------------------- */

static int print_result(const json_t *r)
{
    const char *kind = json_str(r, "kind", ""), *name = json_str(r, "name", "");
    const char *error = json_str(r, "error", NULL);
    char *text = ref_text(kind, name);

    if (error)
        cli_fail("%s: %s", text, error);
    else
        printf("%s %s\n", text, json_str(r, "action", ""));
    free(text);
    return error ? 1 : 0;
}

static int send_objects(json_t *objects, bool create)
{
    struct err e;
    int rc = 0;

    if (json_array_size(objects) == 0) {
        json_decref(objects);
        return 0;
    }
    json_t *reply = client_call(
        NULL, json_pack("{s:s, s:o, s:b}", "verb", "apply", "objects", objects, "create", create),
        &e);
    if (!reply)
        return cli_fail("%s", e.text);
    const json_t *results = json_object_get(reply, "results");
    for (size_t i = 0; i < json_array_size(results); i++)
        rc |= print_result(json_array_get(results, i));
    json_decref(reply);
    return rc;
}

int apply_files(const struct opt_list *files, const char *ns, bool create)
{
    unsigned bad;
    json_t *objects = manifests_read(files, ns, &bad);
    size_t n = json_array_size(objects);
    int rc = send_objects(objects, create);

    if (n == 0 && bad == 0)
        return cli_fail("no objects in the files given");
    return bad ? 1 : rc;
}

int local_apply(int argc, char **argv)
{
    if (argc || !local_flags.files.n)
        return cli_usage("fsm local apply -f FILE|DIRECTORY|-");
    return apply_files(&local_flags.files, local_ns(), false);
}

/* "create namespace NAME", "create serviceaccount NAME": what has no other fields */
int local_create(int argc, char **argv)
{
    if (argc == 0 && local_flags.files.n)
        return apply_files(&local_flags.files, local_ns(), true);
    const struct kube_kind *k = argc == 2 ? kube_kind_by_word(argv[0]) : NULL;
    if (!k || (strcmp(k->key, "Namespace") != 0 && strcmp(k->key, "ServiceAccount") != 0))
        return cli_usage("fsm local create -f FILE, or create namespace NAME, or "
                         "create serviceaccount NAME");
    json_t *o = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", k->kind, "metadata",
                          "name", argv[1]);
    if (k->namespaced)
        json_object_set_new(json_object_get(o, "metadata"), "namespace", json_string(local_ns()));
    return send_objects(json_pack("[o]", o), true);
}

/* ---- delete ---------------------------------------------------------------------------------- */

#define LOOK_MS 500

/* the object of that uid is there no more; another one of its name may be */
static bool says_gone(const json_t *m, const char *uid, bool *there)
{
    const char *type = json_str(m, "type", "");
    bool same = strcmp(json_str(m, "object.metadata.uid", ""), uid) == 0;

    if (strcmp(type, "SYNCED") == 0)
        return !*there;
    if (same && strcmp(type, "ADDED") == 0)
        *there = true;
    return same && strcmp(type, "DELETED") == 0;
}

/* until a watch says that it is gone; -1 and e: not by then, or the daemon went away */
static int wait_gone(const char *kind, const char *ns, const char *name, const char *uid,
                     uint64_t end, struct err *e)
{
    int fd = client_open(NULL,
                         json_pack("{s:s, s:s, s:s, s:[s]}", "verb", "watch", "kind", kind,
                                   "namespace", ns, "names", name),
                         e);
    bool there = false, gone = false;

    /* when the time is over for others, this one is still looked at */
    if (end < clock_mono_ms() + LOOK_MS)
        end = clock_mono_ms() + LOOK_MS;
    while (fd >= 0 && !gone) {
        json_t *m = client_next(fd, end, e);
        gone = m && says_gone(m, uid, &there);
        json_decref(m);
        if (!m)
            break;
    }
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && !gone)
        err_set(e, "%s \"%s\" is still there", kind, name);
    return gone ? 0 : -1;
}

static long grace(void)
{
    if (flags.grace != ~0u)
        return flags.grace;
    return flags.force ? 0 : -1;
}

struct target {
    const char *kind;
    char *ns, *name;
};

/* returns owned: the uid of what was deleted; NULL: told, or ignored (*rc) */
static char *delete_one(const struct target *t, int *rc)
{
    struct err e;
    char *text = ref_text(t->kind, t->name);
    json_t *reply =
        client_call(NULL,
                    json_pack("{s:s, s:s, s:s, s:s, s:I}", "verb", "delete", "kind", t->kind,
                              "namespace", t->ns, "name", t->name, "grace", (json_int_t)grace()),
                    &e);
    bool missing = !reply && strstr(e.text, "not found");
    char *uid = reply ? xstrdup(json_str(reply, "uid", "")) : NULL;

    if (!reply && !(missing && flags.ignore_missing))
        *rc = cli_fail("%s", e.text);
    if (reply)
        printf("%s deleted\n", text);
    fflush(stdout);
    free(text);
    json_decref(reply);
    return uid;
}

static int delete_targets(const struct target *t, size_t n)
{
    uint64_t end = clock_mono_ms() + (uint64_t)flags.timeout_ms;
    bool wait = !flags.wait || strcmp(flags.wait, "false") != 0;
    char **uids = xcalloc(n + 1, sizeof(*uids));
    struct err e;
    int rc = 0;

    for (size_t i = 0; i < n; i++)
        uids[i] = delete_one(&t[i], &rc);
    for (size_t i = 0; wait && i < n; i++)
        if (uids[i] && wait_gone(t[i].kind, t[i].ns, t[i].name, uids[i], end, &e))
            rc = cli_fail("%s", e.text);
    for (size_t i = 0; i < n; i++)
        free(uids[i]);
    free(uids);
    return rc;
}

struct targets {
    struct target *v;
    size_t n;
};

static void add_target(struct targets *ts, const char *kind, const char *ns, const char *name)
{
    ts->v = xreallocarray(ts->v, ts->n + 1, sizeof(*ts->v));
    ts->v[ts->n++] = (struct target){kind, xstrdup(ns), xstrdup(name)};
}

static void free_targets(struct targets *ts)
{
    for (size_t i = 0; i < ts->n; i++) {
        free(ts->v[i].ns);
        free(ts->v[i].name);
    }
    free(ts->v);
}

static int add_selected(struct targets *ts, const char *kind)
{
    struct err e;
    json_t *labels = NULL;

    if (local_flags.selector && !(labels = selector_parse(local_flags.selector, &e)))
        return cli_usage("%s", e.text);
    if (!labels && !flags.all)
        return cli_usage("which? Name the objects, or use -l SELECTOR or --all");
    json_t *reply = client_call(NULL,
                                json_pack("{s:s, s:s, s:s, s:o*}", "verb", "get", "kind", kind,
                                          "namespace", local_ns(), "labels", labels),
                                &e);
    if (!reply)
        return cli_fail("%s", e.text);
    const json_t *items = json_object_get(reply, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *o = json_array_get(items, i);
        add_target(ts, kind, json_str(o, "metadata.namespace", ""),
                   json_str(o, "metadata.name", ""));
    }
    json_decref(reply);
    return 0;
}

static int targets_of_files(struct targets *ts)
{
    unsigned bad;
    json_t *objects = manifests_read(&local_flags.files, local_ns(), &bad);

    /* what was made last goes first: a namespace after what is in it */
    for (size_t i = json_array_size(objects); i-- > 0;) {
        const json_t *o = json_array_get(objects, i);
        add_target(ts, kube_kind_of(json_str(o, "kind", "")), json_str(o, "metadata.namespace", ""),
                   json_str(o, "metadata.name", ""));
    }
    json_decref(objects);
    return bad ? 1 : 0;
}

static int targets_of_words(struct targets *ts, int argc, char **argv)
{
    struct object_refs refs;
    int rc = refs_parse(argc, argv, &refs);

    for (unsigned i = 0; rc == 0 && i < refs.n; i++) {
        if (refs.v[i].name)
            add_target(ts, refs.v[i].kind, local_ns(), refs.v[i].name);
        else
            rc = add_selected(ts, refs.v[i].kind);
    }
    refs_free(&refs);
    return rc;
}

int local_delete(int argc, char **argv)
{
    struct targets ts = {0};
    int rc = local_flags.files.n ? targets_of_files(&ts) : targets_of_words(&ts, argc, argv);

    if (rc == 0 || local_flags.files.n)
        rc |= delete_targets(ts.v, ts.n);
    free_targets(&ts);
    return rc;
}
