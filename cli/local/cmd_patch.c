/* cmd_patch.c - fsm local patch, label, annotate, scale, restart: one object changed in place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/local/local_cli.h"
#include "cli/output.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/kube/yaml.h"

#define PATCH_MAX (4u << 20)

static struct {
    const char *patch, *patch_file, *type;
    unsigned replicas;
    bool overwrite, all;
} flags = {.replicas = ~0u};

const struct opt local_patch_opts[] = {
    LOCAL_OPT_NAME,
    LOCAL_OPT_NS,
    {'p', "patch", "JSON", "the patch, as JSON or YAML", OPT_STR(&flags.patch)},
    {0, "patch-file", "FILE", "a file with the patch", OPT_STR(&flags.patch_file)},
    {0, "type", "TYPE", "merge (RFC 7386), json (RFC 6902), strategic (default; lists replace)",
     OPT_STR(&flags.type)},
    {'o', "output", "FORMAT", "print the changed object: json, yaml, name",
     OPT_STR(&local_flags.output)},
    OPT_END};
const struct opt local_meta_opts[] = {
    LOCAL_OPT_NAME,
    LOCAL_OPT_NS,
    {0, "overwrite", NULL, "replace values that are there already", OPT_FLAG(&flags.overwrite)},
    OPT_END};
const struct opt local_scale_opts[] = {
    LOCAL_OPT_NAME,
    LOCAL_OPT_NS,
    {0, "replicas", "N", "how many", OPT_UINT(&flags.replicas, 0, 10000)},
    OPT_END};
const struct opt local_restart_opts[] = {LOCAL_OPT_NAME, LOCAL_OPT_NS, OPT_END};

/* takes patch; says "KIND/NAME WORD" or "... WORD (no change)"; exit status */
static int send_patch(const struct object_ref *ref, const char *type, json_t *patch,
                      const char *word)
{
    struct output out;
    struct err e;
    int rc = 0;

    if (output_choose(&out, local_flags.output)) {
        json_decref(patch);
        return 2;
    }
    json_t *reply = client_call(NULL,
                                json_pack("{s:s, s:s, s:s, s:s, s:s, s:o}", "verb", "patch", "kind",
                                          ref->kind, "namespace", local_ns(), "name", ref->name,
                                          "type", type, "patch", patch),
                                &e);
    if (!reply)
        return cli_fail("%s", e.text);
    if (output_is_table(&out)) {
        char *text = ref_text(ref->kind, ref->name);
        printf("%s %s%s\n", text, word, json_bool(reply, "changed", false) ? "" : " (no change)");
        free(text);
    } else {
        json_t *rows = json_pack("[O]", json_object_get(reply, "object"));
        rc = output_list(&out, rows, view_of(ref->kind), true);
        json_decref(rows);
    }
    json_decref(reply);
    return rc;
}

/* ---- patch ----------------------------------------------------------------------------------- */

static void take_document(struct yaml_doc *doc, void *arg)
{
    json_t **out = arg;

    if (!*out && !doc->bad) {
        *out = doc->json;
        doc->json = NULL;
    }
}

static json_t *read_patch(void)
{
    struct buf text = BUF_INIT;
    struct kube_problems problems = {0};
    struct err e;
    json_t *patch = NULL;

    if (flags.patch_file && file_read(flags.patch_file, PATCH_MAX, &text, &e)) {
        cli_fail("%s", e.text);
        buf_free(&text);
        return NULL;
    }
    if (!flags.patch_file)
        buf_puts(&text, flags.patch);
    yaml_each(buf_slice(&text), flags.patch_file ? flags.patch_file : "-p", &problems,
              take_document, &patch);
    for (unsigned i = 0; i < problems.n; i++) {
        char *t = kube_problem_text(&problems.v[i]);
        cli_fail("%s", t);
        free(t);
    }
    if (!patch && !problems.n)
        cli_fail("the patch is empty");
    kube_problems_free(&problems);
    buf_free(&text);
    return patch;
}

int local_patch(int argc, char **argv)
{
    struct object_refs refs;
    const char *type = flags.type ? flags.type : "strategic";
    int rc = refs_parse(argc, argv, &refs);

    if (rc)
        return rc;
    if (refs.n != 1 || !refs.v[0].name || !flags.patch == !flags.patch_file)
        rc = cli_usage("fsm local patch KIND NAME -p JSON [--type=merge]");
    else if (strcmp(type, "merge") && strcmp(type, "json") && strcmp(type, "strategic"))
        rc = cli_usage("--type: got \"%s\", expected merge, json or strategic", type);
    json_t *patch = rc ? NULL : read_patch();
    if (patch)
        rc = send_patch(&refs.v[0], type, patch, "patched");
    else if (!rc)
        rc = 1;
    refs_free(&refs);
    return rc;
}

/* ---- label, annotate ------------------------------------------------------------------------- */

/* "key=value" sets, "key-" takes away */
static int add_change(json_t *changes, const char *word)
{
    const char *eq = strchr(word, '=');
    size_t n = strlen(word);

    if (eq && eq != word)
        json_object_setn_new(changes, word, (size_t)(eq - word), json_string(eq + 1));
    else if (n > 1 && word[n - 1] == '-')
        json_object_setn_new(changes, word, n - 1, json_null());
    else
        return cli_usage("\"%s\": expected KEY=VALUE, or KEY- to remove", word);
    return 0;
}

static bool is_change(const char *word)
{
    return strchr(word, '=') || word[strlen(word) - 1] == '-';
}

/* without --overwrite a value that is there already is not replaced */
static int check_present(const struct object_ref *ref, const char *member, const json_t *changes)
{
    struct err e;
    const char *key;
    json_t *v;
    int rc = 0;
    json_t *reply = client_call(NULL,
                                json_pack("{s:s, s:s, s:s, s:[s]}", "verb", "get", "kind",
                                          ref->kind, "namespace", local_ns(), "names", ref->name),
                                &e);

    if (!reply)
        return cli_fail("%s", e.text);
    const json_t *o = json_array_get(json_object_get(reply, "items"), 0);
    const json_t *now = json_object_get(json_object_get(o, "metadata"), member);
    json_object_foreach ((json_t *)(uintptr_t)changes, key, v) {
        const char *old = json_string_value(json_object_get(now, key));
        if (old && json_is_string(v) && strcmp(old, json_string_value(v)) != 0)
            rc = cli_fail("'%s' already has a value (%s), and --overwrite is not given", key, old);
    }
    json_decref(reply);
    return rc;
}

static int change_metadata(int argc, char **argv, const char *member, const char *word)
{
    struct object_refs refs;
    int n = 0, rc;

    while (n < argc && !(n > 0 && is_change(argv[n])))
        n++;
    if (n == 0 || n == argc)
        return cli_usage("expected KIND NAME KEY=VALUE...");
    if ((rc = refs_parse(n, argv, &refs)) != 0)
        return rc;
    json_t *changes = json_object();
    for (int i = n; rc == 0 && i < argc; i++)
        rc = add_change(changes, argv[i]);
    for (unsigned i = 0; rc == 0 && i < refs.n; i++) {
        if (!refs.v[i].name)
            rc = cli_usage("expected KIND NAME KEY=VALUE...");
        else if (!flags.overwrite)
            rc = check_present(&refs.v[i], member, changes);
        if (rc == 0)
            rc = send_patch(&refs.v[i], "merge",
                            json_pack("{s:{s:O}}", "metadata", member, changes), word);
    }
    json_decref(changes);
    refs_free(&refs);
    return rc;
}

int local_label(int argc, char **argv)
{
    return change_metadata(argc, argv, "labels", "labeled");
}

int local_annotate(int argc, char **argv)
{
    return change_metadata(argc, argv, "annotations", "annotated");
}

/* ---- scale, restart -------------------------------------------------------------------------- */

static bool is_one_of(const char *kind, const char *const *kinds)
{
    for (; *kinds; kinds++)
        if (strcmp(*kinds, kind) == 0)
            return true;
    return false;
}

int local_scale(int argc, char **argv)
{
    static const char *const kinds[] = {"Deployment", "StatefulSet", "ReplicaSet", NULL};
    struct object_refs refs;
    int rc;

    if (flags.replicas == ~0u)
        return cli_usage("fsm local scale KIND NAME --replicas=N");
    if ((rc = refs_parse(argc, argv, &refs)) != 0)
        return rc;
    for (unsigned i = 0; rc == 0 && i < refs.n; i++) {
        if (!refs.v[i].name || !is_one_of(refs.v[i].kind, kinds))
            rc = cli_usage("scale: expected a deployment, statefulset or replicaset by name");
        else
            rc = send_patch(&refs.v[i], "merge",
                            json_pack("{s:{s:i}}", "spec", "replicas", (int)flags.replicas),
                            "scaled");
    }
    refs_free(&refs);
    return rc;
}

int local_restart(int argc, char **argv)
{
    static const char *const kinds[] = {"Deployment", "StatefulSet", "DaemonSet", NULL};
    struct object_refs refs;
    char now[32];
    int rc = refs_parse(argc, argv, &refs);

    clock_rfc3339(clock_wall_ms(), now);
    for (unsigned i = 0; rc == 0 && i < refs.n; i++) {
        if (!refs.v[i].name || !is_one_of(refs.v[i].kind, kinds))
            rc = cli_usage("restart: expected a deployment, statefulset or daemonset by name");
        else
            rc = send_patch(&refs.v[i], "merge",
                            json_pack("{s:{s:{s:{s:{s:s}}}}}", "spec", "template", "metadata",
                                      "annotations", "kubectl.kubernetes.io/restartedAt", now),
                            "restarted");
    }
    refs_free(&refs);
    return rc;
}
