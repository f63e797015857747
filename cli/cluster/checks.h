/* checks.h - what fsm check thinks of what it found: judgements on objects, without asking anybody.
 *
 *   struct checks c = {.rows = json_array()};
 *   checks_begin(&c, "control plane");
 *   check_deployment(&c, deployment, "fsm-controller");
 *
 * Every judgement adds one row: ok, warning, FAILED or skipped, what is wrong, and what to do.
 * Objects are borrowed; NULL means that it is not there.  Pure.
 */
#ifndef FSM_CLI_CLUSTER_CHECKS_H
#define FSM_CLI_CLUSTER_CHECKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum check_status { CHECK_OK, CHECK_SKIPPED, CHECK_WARNING, CHECK_FAILED };

struct checks {
    json_t *rows; /* {category, name, status, message, hint}; owned */
    const char *category;
    unsigned failed, warnings;
};

void checks_begin(struct checks *c, const char *category);
/* message, hint: "" where there is nothing to say */
void checks_add(struct checks *c, const char *name, enum check_status s, const char *message,
                const char *hint);

/* now: seconds since the epoch, here and below */
void check_clock(struct checks *c, int64_t ours, int64_t servers);
/* wanted: the definitions that this version brings; found: those of the cluster */
void check_definitions(struct checks *c, const json_t *wanted, const json_t *found);
void check_deployment(struct checks *c, const char *name, const json_t *deployment,
                      const json_t *pods);
void check_versions(struct checks *c, const char *ours, const json_t *deployments);
enum check_hook { CHECK_INJECTION, CHECK_VALIDATION };
/* hook: the webhook configuration, or NULL; roots: PEM of the mesh's CA, NULL = not known; returns
 * whether there is one that could be asked */
bool check_webhook(struct checks *c, enum check_hook which, const json_t *hook, const char *ns,
                   const char *roots);
/* pem: NULL = not known */
void check_authority(struct checks *c, const char *pem, int64_t now);
/* the CA's Secret, of that name, is not there */
void check_no_authority(struct checks *c, const char *secret);
/* One row, of that name, about what a service account of the control plane may do.  missing: array
 * of {"verb", "resource", "line"}, what it may not, and the rule of the role "Kind name" that would
 * let it */
void check_account(struct checks *c, const char *name, const char *role, const json_t *missing);
void check_config(struct checks *c, const json_t *config);
/* meshes: names of those that are there */
void check_namespaces(struct checks *c, const json_t *namespaces, const json_t *meshes,
                      const char *mesh);
/* pods of namespaces whose pods should have a sidecar, and have none */
void check_injected(struct checks *c, const json_t *namespaces, const json_t *pods,
                    const char *mesh);
void check_sidecars_ready(struct checks *c, const json_t *pods);
/* tag: of the images that new sidecars get */
void check_sidecars_versions(struct checks *c, const json_t *pods, const char *tag);
/* proxies: the controller's list */
void check_proxies(struct checks *c, const json_t *proxies, int64_t now);
/* problems: the controller's list */
void check_problems(struct checks *c, const json_t *problems);

#endif
