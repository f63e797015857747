/* cidr_fuzz.c - addresses, ranges and endpoints: what is accepted prints, and the print parses
 * back to the same. */
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/cidr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ip(const char *s)
{
    char text[IP_TEXT_MAX];
    struct ip a, b;

    if (ip_parse(s, &a) < 0)
        return;
    BUG_ON(ip_parse(ip_format(&a, text), &b) < 0 || !ip_eq(&a, &b));
}

static void check_cidr(const char *s)
{
    char text[IP_TEXT_MAX];
    struct cidr a, b;
    struct err e;
    struct lpm *m;

    if (cidr_parse(s, &a, &e) < 0) {
        BUG_ON(!e.text[0]);
        return;
    }
    BUG_ON(cidr_parse(cidr_format(&a, text), &b, &e) < 0);
    BUG_ON(a.bits != b.bits || !ip_eq(&a.ip, &b.ip));
    BUG_ON(!cidr_has(&a, &a.ip));
    m = lpm_new();
    lpm_put(m, &a, &a);
    BUG_ON(lpm_get(m, &a.ip) != &a);
    lpm_free(m);
}

static void check_port(const char *s)
{
    char text[IP_TEXT_MAX];
    struct ip_port a, b;

    if (ip_port_parse(s, &a) < 0)
        return;
    BUG_ON(ip_port_parse(ip_port_format(&a, text), &b) < 0 || !ip_port_eq(&a, &b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *s = strndup((const char *)data, size);

    BUG_ON(!s);
    check_ip(s);
    check_cidr(s);
    check_port(s);
    free(s);
    return 0;
}
