/* entry.h - rules as ip_tables entries: the binary form that libiptc takes and gives. */
#ifndef FSM_INIT_ENTRY_H
#define FSM_INIT_ENTRY_H

#include "interceptor/init/rules.h"

/* Appends one struct ipt_entry (family 4) or ip6t_entry (family 6) with matches and target.
 * out must be empty: the entry has to be aligned. */
void entry_encode(const struct rule *r, int family, struct buf *out);
/* which TCP connections an entry (as above) is about, whoever wrote it */
enum entry_reach { ENTRY_NO_TCP, ENTRY_SOME_TCP, ENTRY_ALL_TCP };
enum entry_reach entry_reach(const void *entry, int family);
/* entry: as above; target: its target's name as libiptc tells it.  chain is the rule's chain.
 * -1 if fsm-init would not have written it. */
int entry_decode(const void *entry, const char *target, int family, enum chain chain,
                 struct rule *out);

#endif
