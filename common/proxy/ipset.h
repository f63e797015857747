/* ipset.h - a set of addresses and ranges with a value for each: who may connect.
 *
 * Single addresses (the many: every pod of a mesh) are kept in sorted arrays, 4 or 16 bytes
 * each; ranges (the few) in a longest-prefix map.  Immutable once in a view and reference-counted,
 * so that snapshots share it; lookups from any thread.
 */
#ifndef FSM_PROXY_IPSET_H
#define FSM_PROXY_IPSET_H

#include <stdbool.h>
#include <stdint.h>
#include "common/base/cidr.h"

struct ipset;
struct ipset *ipset_new(void);
/* returns owned, frozen like s; what is added or removed then costs a move of the array */
struct ipset *ipset_copy(const struct ipset *s);
/* "10.0.0.1", "fd00::1" or a range; -1 and e if it is neither */
int ipset_add(struct ipset *s, const char *text, struct err *e);
/* of a frozen set; what is not there is let be */
void ipset_remove(struct ipset *s, const char *text);
/* after the last ipset_add, before the first lookup */
void ipset_freeze(struct ipset *s);
bool ipset_has(const struct ipset *s, const struct ip *ip);
uint32_t ipset_count(const struct ipset *s);
/* control thread only */
struct ipset *ipset_ref(struct ipset *s);
void ipset_unref(struct ipset *s);

#endif
