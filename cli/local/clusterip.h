/* clusterip.h - addresses of Services, and the machine's translation of them to endpoints. */
#ifndef FSM_CLI_LOCAL_CLUSTERIP_H
#define FSM_CLI_LOCAL_CLUSTERIP_H

#include "cli/local/local.h"

/* Gives a new Service its clusterIP(s) by ipFamilyPolicy, or checks those it asks for. -1 and e */
int clusterip_assign(struct local *l, json_t *service, struct err *e);

struct clusterip *clusterip_new(struct local *l);
void clusterip_free(struct clusterip *c);
/* Services or endpoints changed: the nftables table follows, in one transaction */
void clusterip_sync(struct local *l);

/* what becomes of a Service's addresses when it is changed: they stay.  -1 and e when the change
 * asks for others.  body: the changed Service, which is filled in */
int clusterip_keep(struct local *l, const json_t *was, json_t *body, struct err *e);
/* why the kernel does not have the newest table, or NULL */
const char *clusterip_problem(const struct local *l);

#endif
