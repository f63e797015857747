/* spec.c - what the shim is told about one run of a container; see shim/shim.h. */
#include "cli/local/pod.h"

#include <stdlib.h>
#include <string.h>
#include "cli/local/images.h"
#include "cli/local/programs.h"
#include "common/base/json.h"
#include "common/base/mem.h"

static const json_t *no_words(void)
{
    static json_t *empty;

    if (!empty)
        empty = json_array();
    return empty;
}

/* command and args as Kubernetes combines them with the image's own */
static json_t *words(const struct container *c, const json_t *image, struct err *e)
{
    const json_t *command = json_object_get(c->spec, "command");
    const json_t *args = json_object_get(c->spec, "args");
    bool own = json_array_size(command) > 0;

    if (!own && !json_array_size(json_object_get(image, "command"))) {
        err_set(e,
                "image \"%s\" is not in the image map and the container has no command: add "
                "it to a file for 'fsm local up --images' (see fsm-images(5))",
                json_str(c->spec, "image", ""));
        return NULL;
    }
    if (!own)
        command = json_object_get(image, "command");
    if (!json_is_array(args))
        args = own ? NULL : json_object_get(image, "args");
    json_t *out = json_copy((json_t *)(uintptr_t)command);
    json_array_extend(out, (json_t *)(uintptr_t)(args ? args : no_words()));
    return out;
}

static void add_file_mount(const struct pod *p, json_t *mounts, const char *name,
                           const char *target)
{
    char *source = xasprintf("%s/%s", p->dir, name);

    json_array_append_new(
        mounts, json_pack("{s:s, s:s, s:b}", "source", source, "target", target, "replaceLink", 1));
    free(source);
}

static int add_programs(const struct pod *p, json_t *mounts, struct err *e)
{
    if (programs_refresh(p->l, e))
        return -1;
    char *source = programs_source(p->l);
    json_array_append_new(mounts, json_pack("{s:s, s:s, s:b}", "source", source, "target",
                                            PROGRAMS_DIR, "readonly", 1));
    free(source);
    return 0;
}

/* the pod's own volumes come last: one at /run hides our programs, not the other way round */
static json_t *mounts_of(const struct container *c, const json_t *env, struct err *e)
{
    json_t *mounts = json_array();

    add_file_mount(c->pod, mounts, "resolv.conf", "/etc/resolv.conf");
    add_file_mount(c->pod, mounts, "hosts", "/etc/hosts");
    add_file_mount(c->pod, mounts, "hostname", "/etc/hostname");
    if (add_programs(c->pod, mounts, e) || volumes_mounts(c, env, mounts, e)) {
        json_decref(mounts);
        return NULL;
    }
    return mounts;
}

static const char *working_dir(const struct container *c, const json_t *image)
{
    return json_str(c->spec, "workingDir", json_str(image, "workingDir", "/"));
}

json_t *spec_build(struct container *c, struct err *e)
{
    const json_t *image = images_find(c->pod->l->images, json_str(c->spec, "image", ""));
    json_t *raw = words(c, image, e), *env = NULL, *mounts = NULL;
    json_t *spec = NULL;

    if (!raw || !(env = env_build(c, image, e)) || !(mounts = mounts_of(c, env, e)))
        goto out;
    char *rootfs = xasprintf("%s/rootfs/%s.%u", c->pod->dir, c->name, c->runs);
    char *log = xasprintf("%s.log", c->name);
    spec = json_pack("{s:o, s:O, s:O, s:s, s:s, s:s, s:i}", "argv", env_expand_all(raw, env), "env",
                     env, "mounts", mounts, "cwd", working_dir(c, image), "rootfs", rootfs, "log",
                     log, "logMax", (int)c->pod->l->in->log_max);
    free(rootfs);
    free(log);
    if (security_fill(c, image, spec, e)) {
        json_decref(spec);
        spec = NULL;
    }
out:
    json_decref(raw);
    json_decref(env);
    json_decref(mounts);
    return spec;
}

json_t *spec_exec(struct container *c, const json_t *argv, bool tty, struct err *e)
{
    const json_t *image = images_find(c->pod->l->images, json_str(c->spec, "image", ""));

    if (c->state != CTR_RUNNING || !c->proc) {
        err_set(e, "container \"%s\" of pod \"%s\" is not running (%s)", c->name, c->pod->name,
                ctr_state_name(c->state));
        return NULL;
    }
    json_t *env = env_build(c, image, e);
    if (!env)
        return NULL;
    if (tty)
        json_array_append_new(env, json_string("TERM=xterm"));
    json_t *spec = json_pack("{s:O*, s:o, s:s, s:b, s:i}", "argv", argv, "env", env, "cwd",
                             working_dir(c, image), "tty", tty, "target", (int)proc_pid(c->proc));
    if (security_fill(c, image, spec, e)) {
        json_decref(spec);
        return NULL;
    }
    return spec;
}
