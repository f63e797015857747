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

#endif
