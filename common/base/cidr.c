/* cidr.c - addresses and ranges: strict text forms, one form per address. */
#include "common/base/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "common/base/slice.h"

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void ip_set4(struct ip *out, const void *b)
{
    memset(out, 0, sizeof(*out));
    out->family = 4;
    memcpy(out->b, b, 4);
}

/* 16 bytes; a mapped address becomes IPv4 */
static void ip_set6(struct ip *out, const uint8_t *b)
{
    if (memcmp(b, mapped_prefix, sizeof(mapped_prefix)) == 0) {
        ip_set4(out, b + 12);
        return;
    }
    out->family = 6;
    memcpy(out->b, b, 16);
}

int ip_parse(const char *s, struct ip *out)
{
    uint8_t b[16];

    if (inet_pton(AF_INET, s, b) == 1) {
        ip_set4(out, b);
        return 0;
    }
    if (inet_pton(AF_INET6, s, b) == 1) {
        ip_set6(out, b);
        return 0;
    }
    return -1;
}

char *ip_format(const struct ip *ip, char *out)
{
    if (ip->family == 0 ||
        !inet_ntop(ip->family == 4 ? AF_INET : AF_INET6, ip->b, out, IP_TEXT_MAX))
        snprintf(out, IP_TEXT_MAX, "none");
    return out;
}

bool ip_eq(const struct ip *a, const struct ip *b)
{
    return a->family == b->family && memcmp(a->b, b->b, a->family == 4 ? 4 : 16) == 0;
}

bool ip_is_loopback(const struct ip *ip)
{
    static const uint8_t one[16] = {[15] = 1};

    if (ip->family == 4)
        return ip->b[0] == 127;
    return ip->family == 6 && memcmp(ip->b, one, 16) == 0;
}

static unsigned max_bits(const struct ip *ip)
{
    return ip->family == 4 ? 32 : 128;
}

/* clears the bits behind the first `bits` */
static void ip_mask(struct ip *ip, unsigned bits)
{
    unsigned n = max_bits(ip) / 8;

    for (unsigned i = bits / 8; i < n; i++)
        ip->b[i] &= (uint8_t)(i == bits / 8 ? 0xff00u >> (bits % 8) : 0);
}

/* The address part as written: family 6 also for a mapped one, since a prefix counts its bits */
static int parse_raw(const char *s, struct ip *out)
{
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, s, out->b) == 1) {
        out->family = 4;
        return 0;
    }
    if (inet_pton(AF_INET6, s, out->b) == 1) {
        out->family = 6;
        return 0;
    }
    return -1;
}

static bool is_mapped(const struct ip *ip)
{
    return ip->family == 6 && memcmp(ip->b, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

/* decimal without leading zeros, at most max */
static int parse_small(const char *s, unsigned max, unsigned *out)
{
    unsigned long long v;

    if ((s[0] == '0' && s[1]) || slice_u64(slice_str(s), max, &v) < 0)
        return -1;
    *out = (unsigned)v;
    return 0;
}

int cidr_parse(const char *s, struct cidr *out, struct err *e)
{
    const char *slash = strchr(s, '/');
    char addr[IP_TEXT_MAX];
    unsigned bits;
    struct ip ip;

    if (snprintf(addr, sizeof(addr), "%.*s", slash ? (int)(slash - s) : IP_TEXT_MAX, s) >=
            (int)sizeof(addr) ||
        parse_raw(addr, &ip) < 0)
        return err_set(e,
                       "\"%.100s\" is no address range: expected an IPv4 or IPv6 address with an "
                       "optional prefix, as 10.0.0.0/8 or fd00::/8",
                       s);
    bits = max_bits(&ip);
    if (slash && parse_small(slash + 1, bits, &bits) < 0)
        return err_set(e, "\"%.100s\": expected a prefix length from 0 to %u behind the '/'", s,
                       max_bits(&ip));
    if (is_mapped(&ip) && bits >= 96) {
        uint8_t v4[4];
        memcpy(v4, ip.b + 12, 4);
        ip_set4(&ip, v4);
        bits -= 96;
    }
    ip_mask(&ip, bits);
    out->ip = ip;
    out->bits = (uint8_t)bits;
    return 0;
}

char *cidr_format(const struct cidr *c, char *out)
{
    char addr[IP_TEXT_MAX];

    snprintf(out, IP_TEXT_MAX, "%.46s/%u", ip_format(&c->ip, addr), c->bits);
    return out;
}

bool cidr_has(const struct cidr *c, const struct ip *ip)
{
    unsigned whole = c->bits / 8, rest = c->bits % 8;

    if (c->ip.family != ip->family || ip->family == 0)
        return false;
    if (memcmp(c->ip.b, ip->b, whole) != 0)
        return false;
    return rest == 0 || ((c->ip.b[whole] ^ ip->b[whole]) >> (8 - rest)) == 0;
}

int ip_port_parse(const char *s, struct ip_port *out)
{
    const char *colon = strrchr(s, ':');
    char addr[IP_TEXT_MAX];
    struct ip ip;
    unsigned port;
    size_t n;

    if (!colon || parse_small(colon + 1, 65535, &port) < 0)
        return -1;
    n = (size_t)(colon - s);
    if (n >= sizeof(addr))
        return -1;
    memcpy(addr, s, n);
    addr[n] = 0;
    if (addr[0] == '[') {
        if (n < 2 || addr[n - 1] != ']' || !memchr(addr, ':', n))
            return -1;
        addr[n - 1] = 0;
        if (ip_parse(addr + 1, &ip) < 0)
            return -1;
    } else if (strchr(addr, ':') || ip_parse(addr, &ip) < 0) {
        return -1;
    }
    out->ip = ip;
    out->port = (uint16_t)port;
    return 0;
}

char *ip_port_format(const struct ip_port *a, char *out)
{
    char addr[IP_TEXT_MAX];

    snprintf(out, IP_TEXT_MAX, a->ip.family == 6 ? "[%.46s]:%u" : "%.46s:%u",
             ip_format(&a->ip, addr), a->port);
    return out;
}

bool ip_port_eq(const struct ip_port *a, const struct ip_port *b)
{
    return a->port == b->port && ip_eq(&a->ip, &b->ip);
}

socklen_t ip_port_to_sockaddr(const struct ip_port *a, struct sockaddr_storage *out)
{
    if (a->ip.family == 4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};
        memcpy(&in.sin_addr, a->ip.b, 4);
        memcpy(out, &in, sizeof(in));
        return sizeof(in);
    }
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
    memcpy(&in6.sin6_addr, a->ip.b, 16);
    memcpy(out, &in6, sizeof(in6));
    return sizeof(in6);
}

int ip_port_from_sockaddr(const struct sockaddr *sa, struct ip_port *out)
{
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof(in));
        ip_set4(&out->ip, &in.sin_addr);
        out->port = ntohs(in.sin_port);
        return 0;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof(in6));
        ip_set6(&out->ip, in6.sin6_addr.s6_addr);
        out->port = ntohs(in6.sin6_port);
        return 0;
    }
    memset(out, 0, sizeof(*out));
    return -1;
}
