#include "cli/local/clusterip.h"
int clusterip_assign(struct local *l, json_t *service, struct err *e) { return 0; }
