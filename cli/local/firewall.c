/* firewall.c - rules in other people's FORWARD chain; see firewall.h.
 *
 * A verdict "accept" in a table of our own does not help: every table's chain is asked, and one
 * "drop" is enough.  So the two rules go into the chain that drops.  iptables is asked only where
 * its table exists already: looking at a legacy table would make it.
 */
#include "cli/local/firewall.h"

#include <stdio.h>
#include <string.h>
#include "cli/local/proc.h"
#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/log.h"

struct backend {
    const char *command;
    const char *names;  /* of the legacy tables in use; NULL = nft */
    const char *family; /* nft: "ip", "ip6" */
};

static const struct backend backends[] = {
    {"iptables-nft", NULL, "ip"},
    {"ip6tables-nft", NULL, "ip6"},
    {"iptables-legacy", "/proc/net/ip_tables_names", NULL},
    {"ip6tables-legacy", "/proc/net/ip6_tables_names", NULL},
};

static bool has_table(const struct backend *b)
{
    const char *nft[] = {"nft", "list", "chain", b->family, "filter", "FORWARD", NULL};
    struct buf text = BUF_INIT;
    struct err e;
    bool found;

    if (b->names)
        found = file_read(b->names, 4096, &text, &e) == 0 && text.p && strstr(text.p, "filter");
    else
        found = proc_run(nft, NULL, -1, &text, &e) == 0;
    buf_free(&text);
    return found;
}

/* the chain's rules as iptables -S prints them */
static bool list_rules(const struct backend *b, struct buf *out)
{
    const char *argv[] = {b->command, "-w", "-S", "FORWARD", NULL};
    struct err e;

    return has_table(b) && proc_run(argv, NULL, -1, out, &e) == 0 && out->p;
}

static void rule(const struct backend *b, const char *verb, const char *direction,
                 const char *bridge)
{
    const char *argv[] = {b->command, "-w", verb,     "FORWARD", direction,
                          bridge,     "-j", "ACCEPT", NULL};
    struct err e;

    if (proc_run(argv, NULL, -1, NULL, &e))
        log_warn("firewall", "%s", e.text);
}

void firewall_open(const struct instance *in)
{
    for (size_t i = 0; i < sizeof(backends) / sizeof(*backends); i++) {
        struct buf rules = BUF_INIT;
        if (list_rules(&backends[i], &rules) && strstr(rules.p, "-P FORWARD DROP")) {
            log_info("firewall",
                     "the machine drops forwarded packets: pods are let through "
                     "command=%s bridge=%s",
                     backends[i].command, in->bridge);
            rule(&backends[i], "-I", "-i", in->bridge);
            rule(&backends[i], "-I", "-o", in->bridge);
        }
        buf_free(&rules);
    }
}

static void close_direction(const struct backend *b, const char *rules, const char *direction,
                            const char *bridge)
{
    char line[128];

    snprintf(line, sizeof(line), "-A FORWARD %s %s -j ACCEPT", direction, bridge);
    for (const char *at = strstr(rules, line); at; at = strstr(at + 1, line))
        rule(b, "-D", direction, bridge);
}

void firewall_close(const struct instance *in)
{
    for (size_t i = 0; i < sizeof(backends) / sizeof(*backends); i++) {
        struct buf rules = BUF_INIT;
        if (list_rules(&backends[i], &rules)) {
            close_direction(&backends[i], rules.p, "-i", in->bridge);
            close_direction(&backends[i], rules.p, "-o", in->bridge);
        }
        buf_free(&rules);
    }
}
