/* dns.h - names to addresses without blocking, by c-ares.
 *
 * Answers come by id, never by pointer: whoever asked may be gone by then and cancels.
 */
#ifndef FSM_IO_DNS_H
#define FSM_IO_DNS_H

#include <stdint.h>
#include "common/base/cidr.h"
#include "common/base/err.h"
#include "common/io/loop.h"

struct dns;
/* n = 0: no such name or no answer, err says which.  ttl in seconds, the shortest of them;
 * UINT32_MAX for numeric ones.  addrs are borrowed.  May look up, cancel and free the dns. */
typedef void dns_cb(uint64_t id, const struct ip *addrs, unsigned n, unsigned ttl, const char *err,
                    void *arg);
/* reads /etc/resolv.conf; servers may be NULL or "ip[:port],..." */
struct dns *dns_new(struct loop *l, const char *servers, struct err *e);
/* A and AAAA, by /etc/hosts, search list and servers as resolv.conf and nsswitch.conf say; numeric
 * addresses answer without a query.  cb comes once, never from inside this call. */
uint64_t dns_lookup(struct dns *d, const char *name, dns_cb *cb, void *arg);
/* cb is not called any more; an id that is done or was never given is fine */
void dns_cancel(struct dns *d, uint64_t id);
/* answers that are due are not told any more */
void dns_free(struct dns *d);

#endif
