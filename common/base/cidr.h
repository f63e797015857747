/* cidr.h - IPv4 and IPv6 addresses, ranges, and longest-prefix lookup.
 *
 * An IPv4-mapped IPv6 address (::ffff:a.b.c.d) is always normalised to IPv4, so that one
 * address has one form.  All functions are pure; any thread.
 */
#ifndef FSM_BASE_CIDR_H
#define FSM_BASE_CIDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include "common/base/err.h"

#define IP_TEXT_MAX 64 /* longest text with prefix or [brackets]:port, NUL included */

struct ip {
    uint8_t family; /* 4, 6, or 0 = none */
    uint8_t b[16];  /* network order; IPv4 uses the first four, the rest is zero */
};

struct cidr {
    struct ip ip; /* host bits zero */
    uint8_t bits;
};

struct ip_port {
    struct ip ip;
    uint16_t port; /* host order */
};

/* strict text forms only (no leading zeros in IPv4, no zone); -1 if not */
int ip_parse(const char *s, struct ip *out);
/* out takes IP_TEXT_MAX bytes; returns out */
char *ip_format(const struct ip *ip, char *out);
bool ip_eq(const struct ip *a, const struct ip *b);
bool ip_is_loopback(const struct ip *ip);
/* "a.b.c.d/n", or a bare address (= /32 or /128); host bits are masked off.  -1 and e if not */
int cidr_parse(const char *s, struct cidr *out, struct err *e);
char *cidr_format(const struct cidr *c, char *out);
bool cidr_has(const struct cidr *c, const struct ip *ip);
/* "1.2.3.4:80" or "[::1]:80"; -1 if not */
int ip_port_parse(const char *s, struct ip_port *out);
char *ip_port_format(const struct ip_port *a, char *out);
bool ip_port_eq(const struct ip_port *a, const struct ip_port *b);
/* returns the length of what was written to out */
socklen_t ip_port_to_sockaddr(const struct ip_port *a, struct sockaddr_storage *out);
int ip_port_from_sockaddr(const struct sockaddr *sa, struct ip_port *out);

/* longest-prefix map: cidr -> borrowed pointer; building is one thread, lookups any.  Addresses
 * (ranges of one) are held apart from wider ranges, densely, and copies share them: maps of many
 * addresses are small and cheap to copy and change. */
struct lpm;
struct lpm *lpm_new(void);
/* a map of its own that says the same */
struct lpm *lpm_copy(const struct lpm *m);
void lpm_free(struct lpm *m);
/* replaces an equal range's value, which is returned, or NULL */
void *lpm_put(struct lpm *m, const struct cidr *c, void *value);
/* takes an equal range's value out, if it is that one */
void lpm_del(struct lpm *m, const struct cidr *c, const void *value);
/* the value of the longest range that holds ip, or NULL */
void *lpm_get(const struct lpm *m, const struct ip *ip);

#endif
