/* dns.h - cluster names for pods, by dnsmasq on the bridge's addresses. */
#ifndef FSM_CLI_LOCAL_DNS_H
#define FSM_CLI_LOCAL_DNS_H

#include "cli/local/local.h"

/* writes the names and starts the server; it is asked to read them again when they change */
int dns_open(struct local *l, struct err *e);
void dns_sync(struct local *l);

#endif
