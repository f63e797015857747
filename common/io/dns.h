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
/* n = 0: no such name or no answer, err says which.  ttl in seconds.  addrs are borrowed. */
typedef void dns_cb(uint64_t id, const struct ip *addrs, unsigned n, unsigned ttl, const char *err,
                    void *arg);
/* reads /etc/resolv.conf; servers may be NULL or "ip[:port],..." */
struct dns *dns_new(struct loop *l, const char *servers, struct err *e);
/* A and AAAA; numeric addresses answer without a query (still not from inside this call) */
uint64_t dns_lookup(struct dns *d, const char *name, dns_cb *cb, void *arg);
void dns_cancel(struct dns *d, uint64_t id);
void dns_free(struct dns *d);

#endif
