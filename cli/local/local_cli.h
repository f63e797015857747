/* local_cli.h - the commands of `fsm local`, as their callers see the daemon.
 *
 *   json_t *reply = client_call(NULL, json_pack("{s:s}", "verb", "ping"), &e);
 *
 * Commands share the flags --name, -n and so on through struct local_flags.
 */
#ifndef FSM_CLI_LOCAL_LOCAL_CLI_H
#define FSM_CLI_LOCAL_LOCAL_CLI_H

#include <jansson.h>
#include <stdint.h>
#include "cli/cli.h"

#define LOCAL_DAEMON_VERB "--daemon" /* fsm local --daemon NAME: the daemon itself */

int local_daemon_entry(int argc, char **argv);

/* flags that several commands have; one command runs per process */
struct local_flags {
    const char *name;      /* --name */
    const char *ns;        /* -n */
    bool all_namespaces;   /* -A */
    const char *output;    /* -o */
    const char *selector;  /* -l */
    const char *container; /* -c */
    struct opt_list files; /* -f */
};
extern struct local_flags local_flags;

#define LOCAL_OPT_NAME                                                                             \
    {                                                                                              \
        0, "name", "NAME", "the instance (default: fsm)", OPT_STR(&local_flags.name)               \
    }
#define LOCAL_OPT_NS                                                                               \
    {                                                                                              \
        'n', "namespace", "NAMESPACE", "the namespace (default: default)",                         \
            OPT_STR(&local_flags.ns)                                                               \
    }
#define LOCAL_OPT_FILES                                                                            \
    {                                                                                              \
        'f', "filename", "FILE",                                                                   \
            "a file or directory of YAML, \"-\" = standard input (may repeat)",                    \
            OPT_LIST(&local_flags.files)                                                           \
    }
#define LOCAL_OPT_SELECTOR                                                                         \
    {                                                                                              \
        'l', "selector", "SELECTOR", "labels: key=value,key!=value,key,!key,key in (a,b)",         \
            OPT_STR(&local_flags.selector)                                                         \
    }
#define LOCAL_OPT_CONTAINER                                                                        \
    {                                                                                              \
        'c', "container", "CONTAINER", "the container (default: the pod's first)",                 \
            OPT_STR(&local_flags.container)                                                        \
    }

/* ---- commands.c ---- */
/* before any of the commands, and for the daemon: what root's own tools are in is in PATH */
void local_prepare(void);

/* ---- client.c ---- */
/* name NULL = the default instance.  takes request; returns owned, or NULL and e (what the daemon
 * said, or why it cannot be asked) */
json_t *client_call(const char *name, json_t *request, struct err *e);
/* the same with a bound of the caller's on the wait for the answer */
json_t *client_call_within(const char *name, json_t *request, unsigned ms, struct err *e);
/* for requests with many replies: the connection, or -1 and e */
int client_open(const char *name, json_t *request, struct err *e);
/* one of its replies, until end (of clock_mono_ms); returns owned; NULL and e (empty: the daemon
 * ended the connection) */
json_t *client_next(int fd, uint64_t end, struct err *e);
const char *local_name(void);
/* what commands that are advised carry: "", or " --name NAME" if it is not the default one; valid
 * until the next call */
const char *local_name_words(const char *name);
const char *local_ns(void);

/* ---- names.c: what users type for objects ---- */
struct object_ref {
    const char *kind; /* key; interned */
    char *name;       /* owned; NULL = all of the kind */
};
struct object_refs {
    struct object_ref *v;
    unsigned n;
};
/* "pod x y", "pod/x svc/y", "pods,services"; 0, or 2 after telling what is wrong */
int refs_parse(int argc, char **argv, struct object_refs *out);
void refs_free(struct object_refs *refs);
/* "deployment.apps/web", as kubectl prints it; returns owned */
char *ref_text(const char *kind, const char *name);
/* a label selector's text as a LabelSelector object; NULL and e.  returns owned */
json_t *selector_parse(const char *text, struct err *e);

/* ---- manifests.c: objects in files ---- */
/* The raw objects of all files (Lists opened, namespace filled in); what is wrong is told on
 * standard error and left out, and *bad counts it.  returns owned array */
json_t *manifests_read(const struct opt_list *files, const char *ns, unsigned *bad);

/* ---- views.c: columns of tables ---- */
struct out_column;
const struct out_column *view_of(const char *kind);

/* ---- the commands ---- */
int local_up(int argc, char **argv);
int local_down(int argc, char **argv);
int local_apply(int argc, char **argv);
int local_create(int argc, char **argv);
int local_delete(int argc, char **argv);
int local_get(int argc, char **argv);
int local_patch(int argc, char **argv);
int local_label(int argc, char **argv);
int local_annotate(int argc, char **argv);
int local_exec(int argc, char **argv);
int local_logs(int argc, char **argv);
int local_status(int argc, char **argv);
int local_scale(int argc, char **argv);
int local_restart(int argc, char **argv);
int local_wait(int argc, char **argv);
extern const struct opt local_up_opts[], local_down_opts[], local_apply_opts[], local_create_opts[],
    local_delete_opts[], local_get_opts[], local_patch_opts[], local_meta_opts[], local_exec_opts[],
    local_logs_opts[], local_status_opts[], local_scale_opts[], local_restart_opts[],
    local_wait_opts[];
/* applies what -f names to a running instance, printing one line per object; exit status */
int apply_files(const struct opt_list *files, const char *ns, bool create);

#endif
