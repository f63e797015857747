/* want.c - the lists of what is wanted, from comma-separated text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "interceptor/init/rules.h"

/* Each becomes at least a rule; a pod that needs more wants a shorter list of larger ranges. */
#define CIDRS_MAX  4096u
#define IFACES_MAX 64u

static void add_port(struct ports *p, uint16_t port)
{
    for (unsigned i = 0; i < p->n; i++)
        if (p->v[i] == port)
            return;
    p->v = xreallocarray(p->v, p->n + 1, sizeof(*p->v));
    p->v[p->n++] = port;
}

int redirect_add_ports(struct ports *p, const char *list, struct err *e)
{
    struct slice rest = slice_str(list);

    while (rest.p) {
        struct slice item = slice_trim(slice_cut(&rest, ','));
        unsigned long long port;

        if (slice_u64(item, 65535, &port) != 0 || port == 0)
            return err_set(e,
                           "\"%.*s\" is not valid: expected ports from 1 to 65535 separated by "
                           "commas",
                           SLICE_FMT(item));
        add_port(p, (uint16_t)port);
    }
    return 0;
}

static bool cidr_eq(const struct cidr *a, const struct cidr *b)
{
    return a->bits == b->bits && ip_eq(&a->ip, &b->ip);
}

static int add_cidr(struct cidrs *c, const struct cidr *one, struct err *e)
{
    for (unsigned i = 0; i < c->n; i++)
        if (cidr_eq(&c->v[i], one))
            return 0;
    if (c->n == CIDRS_MAX)
        return err_set(e, "more than %u ranges: expected fewer, larger ones", CIDRS_MAX);
    c->v = xreallocarray(c->v, c->n + 1, sizeof(*c->v));
    c->v[c->n++] = *one;
    return 0;
}

int redirect_add_cidrs(struct cidrs *c, const char *list, struct err *e)
{
    struct slice rest = slice_str(list);

    while (rest.p) {
        struct slice item = slice_trim(slice_cut(&rest, ','));
        char text[IP_TEXT_MAX];
        struct cidr one;

        if (item.n >= sizeof(text) || snprintf(text, sizeof(text), "%.*s", SLICE_FMT(item)) < 0 ||
            cidr_parse(text, &one, NULL) != 0)
            return err_set(e,
                           "\"%.*s\" is not valid: expected ranges such as 10.0.0.0/16 or "
                           "fd00::/8 separated by commas",
                           SLICE_FMT(item));
        if (add_cidr(c, &one, e) != 0)
            return -1;
    }
    return 0;
}

/* what the kernel takes as a name, less what would not survive a rule's line */
static bool is_iface(struct slice s)
{
    if (s.n == 0 || s.n >= IF_NAME_MAX || s.p[0] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= ' ' || c > '~' || strchr("/!\"'\\,", c) || (c == '+' && i + 1 < s.n))
            return false;
    }
    return true;
}

int redirect_add_ifaces(struct ifaces *f, const char *list, struct err *e)
{
    struct slice rest = slice_str(list);

    while (rest.p) {
        struct slice item = slice_trim(slice_cut(&rest, ','));
        unsigned i = 0;

        if (!is_iface(item))
            return err_set(e,
                           "\"%.*s\" is not valid: expected names of network interfaces (at "
                           "most 15 characters) separated by commas",
                           SLICE_FMT(item));
        while (i < f->n && !slice_eq_str(item, f->v[i]))
            i++;
        if (i < f->n)
            continue;
        if (f->n == IFACES_MAX)
            return err_set(e, "more than %u interfaces", IFACES_MAX);
        f->v = xreallocarray(f->v, f->n + 1, sizeof(*f->v));
        snprintf(f->v[f->n++], IF_NAME_MAX, "%.*s", SLICE_FMT(item));
    }
    return 0;
}

static int by_port(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

static int by_cidr(const void *a, const void *b)
{
    const struct cidr *x = a, *y = b;
    int c = x->ip.family - y->ip.family;

    if (c == 0)
        c = memcmp(x->ip.b, y->ip.b, x->ip.family == 4 ? 4 : 16);
    return c ? c : (int)x->bits - (int)y->bits;
}

static int by_name(const void *a, const void *b)
{
    return strncmp(a, b, IF_NAME_MAX);
}

static void sort(void *v, unsigned n, size_t size, int (*by)(const void *, const void *))
{
    if (n > 1)
        qsort(v, n, size, by);
}

void redirect_sort(struct redirect *r)
{
    sort(r->out_ip_exclude.v, r->out_ip_exclude.n, sizeof(struct cidr), by_cidr);
    sort(r->out_ip_include.v, r->out_ip_include.n, sizeof(struct cidr), by_cidr);
    sort(r->out_port_exclude.v, r->out_port_exclude.n, sizeof(uint16_t), by_port);
    sort(r->in_port_exclude.v, r->in_port_exclude.n, sizeof(uint16_t), by_port);
    sort(r->if_exclude.v, r->if_exclude.n, IF_NAME_MAX, by_name);
}

void redirect_free(struct redirect *r)
{
    free(r->out_ip_exclude.v);
    free(r->out_ip_include.v);
    free(r->out_port_exclude.v);
    free(r->in_port_exclude.v);
    free(r->if_exclude.v);
    *r = (struct redirect){.uid = r->uid};
}

const char *redirect_reserved(uint16_t port)
{
    switch (port) {
    case 15000:
        return "the sidecar's admin port";
    case PORT_OUTBOUND:
        return "the sidecar's outbound listener";
    case PORT_INBOUND:
        return "the sidecar's inbound listener";
    case 15010:
        return "the sidecar's metrics";
    case 15901:
    case 15902:
    case 15903:
        return "rewritten health probes";
    case 15904:
        return "fsm-healthcheck";
    default:
        return NULL;
    }
}
