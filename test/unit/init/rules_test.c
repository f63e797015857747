/* rules_test.c - the table of redirection rules: its text for many wishes (golden files), its
 * meaning against a slow and obvious model, and that both written forms read back as themselves.
 *
 * golden/NAME.want: lines "list value"; golden/NAME.rules: the restore text of both families.
 * GOLDEN_UPDATE=1 writes what comes out now; read the diff.
 */
#include <check.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "interceptor/init/entry.h"
#include "interceptor/init/rules.h"

static glob_t cases;

static struct ip ip_of(const char *s)
{
    struct ip out;

    ck_assert_msg(ip_parse(s, &out) == 0, "%s", s);
    return out;
}

/* ---- golden text ----------------------------------------------------------------------------- */

static void want_line(struct redirect *w, const char *list, const char *value)
{
    struct err e = {""};
    int rc = -1;

    if (strcmp(list, "outbound-ip-exclude") == 0)
        rc = redirect_add_cidrs(&w->out_ip_exclude, value, &e);
    else if (strcmp(list, "outbound-ip-include") == 0)
        rc = redirect_add_cidrs(&w->out_ip_include, value, &e);
    else if (strcmp(list, "outbound-port-exclude") == 0)
        rc = redirect_add_ports(&w->out_port_exclude, value, &e);
    else if (strcmp(list, "inbound-port-exclude") == 0)
        rc = redirect_add_ports(&w->in_port_exclude, value, &e);
    else if (strcmp(list, "interface-exclude") == 0)
        rc = redirect_add_ifaces(&w->if_exclude, value, &e);
    else if (strcmp(list, "pod-ip4") == 0)
        rc = ip_parse(value, &w->pod_ip4);
    else if (strcmp(list, "pod-ip6") == 0)
        rc = ip_parse(value, &w->pod_ip6);
    else if (strcmp(list, "proxy-uid") == 0)
        rc = (w->uid = (uint32_t)strtoul(value, NULL, 10)) ? 0 : -1;
    ck_assert_msg(rc == 0, "%s %s: %s", list, value, e.text);
}

static struct redirect read_want(const char *path)
{
    struct redirect w = {.uid = 1500};
    char list[64], value[1024];
    FILE *f = fopen(path, "r");

    ck_assert_ptr_nonnull(f);
    while (fscanf(f, "%63s %1023[^\n]", list, value) == 2)
        want_line(&w, list, value);
    ck_assert(feof(f));
    fclose(f);
    return w;
}

/* text and entries must give the same rules again, and the rules the same wishes */
static void check_round_trips(const struct redirect *w, const struct rules *r)
{
    struct rules again = {.family = r->family}, rebuilt;
    struct redirect derived;

    for (unsigned i = 0; i < r->n; i++) {
        struct buf text = BUF_INIT, entry = BUF_INIT;
        struct rule parsed, decoded;
        const char *target = NULL;

        rule_print(&r->v[i], &text);
        ck_assert_msg(rule_parse(buf_slice(&text), &parsed) == 0, "%s", text.p);
        ck_assert_msg(rule_eq(&parsed, &r->v[i]), "%s", text.p);
        entry_encode(&r->v[i], r->family, &entry);
        switch (r->v[i].action) {
        case RULE_RETURN:
            target = "RETURN";
            break;
        case RULE_JUMP:
            target = chain_name(r->v[i].target);
            break;
        case RULE_REDIRECT:
            target = "REDIRECT";
            break;
        case RULE_DNAT:
            target = "DNAT";
            break;
        }
        ck_assert_msg(entry_decode(entry.p, target, r->family, r->v[i].chain, &decoded) == 0, "%s",
                      text.p);
        ck_assert_msg(rule_eq(&decoded, &r->v[i]), "%s", text.p);
        rules_add(&again, &parsed);
        buf_free(&text);
        buf_free(&entry);
    }
    ck_assert(rules_eq(&again, r));
    rules_derive(&again, &derived);
    rules_build(&derived, r->family, &rebuilt);
    ck_assert(rules_eq(&rebuilt, r));
    ck_assert_uint_eq(derived.out_port_exclude.n, w->out_port_exclude.n);
    ck_assert_uint_eq(derived.in_port_exclude.n, w->in_port_exclude.n);
    redirect_free(&derived);
    rules_free(&again);
    rules_free(&rebuilt);
}

START_TEST(golden)
{
    const char *path = cases.gl_pathv[_i];
    struct redirect w = read_want(path);
    struct buf got = BUF_INIT, want = BUF_INIT;
    struct err e = {""};
    char file[512];

    for (int family = 4; family <= 6; family += 2) {
        struct rules r;

        rules_build(&w, family, &r);
        buf_printf(&got, "# IPv%d\n", family);
        rules_print(&r, &got);
        check_round_trips(&w, &r);
        rules_free(&r);
    }
    snprintf(file, sizeof(file), "%.*srules", (int)strlen(path) - 4, path);
    if (getenv("GOLDEN_UPDATE"))
        ck_assert_msg(file_write(file, got.p, got.len, 0644, &e) == 0, "%s", e.text);
    ck_assert_msg(file_read(file, 1 << 20, &want, &e) == 0, "%s", e.text);
    ck_assert_msg(strcmp(got.p, want.p) == 0, "%s differs; got:\n%s", file, got.p);
    redirect_free(&w);
    buf_free(&got);
    buf_free(&want);
}
END_TEST

/* ---- meaning --------------------------------------------------------------------------------- */

static bool in_ports(const struct ports *p, uint16_t port)
{
    for (unsigned i = 0; i < p->n; i++)
        if (p->v[i] == port)
            return true;
    return false;
}

static bool in_cidrs(const struct cidrs *c, const struct ip *ip)
{
    for (unsigned i = 0; i < c->n; i++)
        if (cidr_has(&c->v[i], ip))
            return true;
    return false;
}

static bool in_ifaces(const struct ifaces *f, const char *name)
{
    for (unsigned i = 0; i < f->n; i++) {
        size_t n = strlen(f->v[i]);

        if (f->v[i][n - 1] == '+' ? strncmp(f->v[i], name, n - 1) == 0 : strcmp(f->v[i], name) == 0)
            return true;
    }
    return false;
}

/* what the specification says, in its words: 0 = left alone, 1 = DNAT to the pod, else the port */
static unsigned model(const struct redirect *w, const struct packet *p)
{
    bool sidecar = p->uid == w->uid, lo = strcmp(p->iface, "lo") == 0;
    struct ip one = ip_of(p->dst.family == 4 ? "127.0.0.1" : "::1");
    bool to_loopback = ip_eq(&p->dst, &one);

    if (!p->outbound) {
        if (in_ports(&w->in_port_exclude, p->port) || in_ifaces(&w->if_exclude, p->iface) ||
            p->port == 15010 || (p->port >= 15901 && p->port <= 15904))
            return 0;
        return 15003;
    }
    if (lo && sidecar && to_loopback)
        return (p->dst.family == 4 ? w->pod_ip4 : w->pod_ip6).family ? 1 : 0;
    if (lo && sidecar)
        return 15003;
    if (lo || sidecar || to_loopback)
        return 0;
    if (in_ifaces(&w->if_exclude, p->iface) || in_cidrs(&w->out_ip_exclude, &p->dst) ||
        in_ports(&w->out_port_exclude, p->port))
        return 0;
    return w->out_ip_include.n == 0 || in_cidrs(&w->out_ip_include, &p->dst) ? 15001 : 0;
}

static unsigned verdict(const struct rules *r, const struct packet *p)
{
    uint16_t port = 0;

    switch (rules_verdict(r, p, &port)) {
    case RULE_DNAT:
        return 1;
    case RULE_REDIRECT:
        return port;
    default:
        return 0;
    }
}

static unsigned rnd(unsigned n)
{
    static uint64_t state = 88172645463325252ull; /* xorshift: the same run every time */

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state % n);
}

static const char *const addresses[] = {"10.0.0.1",  "10.1.2.3",   "192.168.7.7", "127.0.0.1",
                                        "127.0.0.6", "1.1.1.1",    "fd00::1",     "fd00:1::5",
                                        "::1",       "2001:db8::9"};
static const char *const ranges[] = {"10.0.0.0/8", "10.1.0.0/16", "1.1.1.1",  "0.0.0.0/0",
                                     "fd00::/8",   "fd00:1::/32", "::/0",     "2001:db8::9",
                                     "127.0.0.1",  "128.0.0.0/1", "8000::/1", "10.1.2.2/31"};
static const char *const names[] = {"eth0", "eth1", "net+", "lo", "wlan0"};
static const char *const ifaces[] = {"eth0", "eth1", "net5", "lo", "net"};
#define PICK(a) (a)[rnd(sizeof(a) / sizeof(*(a)))]

static void random_want(struct redirect *w)
{
    struct err e = {""};
    char port[8];

    *w = (struct redirect){.uid = rnd(2) ? 1500 : 1700};
    for (unsigned n = rnd(4); n; n--)
        ck_assert(redirect_add_cidrs(&w->out_ip_exclude, PICK(ranges), &e) == 0);
    for (unsigned n = rnd(2) ? rnd(4) : 0; n; n--)
        ck_assert(redirect_add_cidrs(&w->out_ip_include, PICK(ranges), &e) == 0);
    for (unsigned n = rnd(2) ? rnd(40) : 0; n; n--) {
        snprintf(port, sizeof(port), "%u", 1 + rnd(60));
        ck_assert(
            redirect_add_ports(rnd(2) ? &w->out_port_exclude : &w->in_port_exclude, port, &e) == 0);
    }
    for (unsigned n = rnd(3); n; n--)
        ck_assert(redirect_add_ifaces(&w->if_exclude, PICK(names), &e) == 0);
    if (rnd(3) == 0)
        w->pod_ip4 = ip_of("10.0.0.1");
    if (rnd(3) == 0)
        w->pod_ip6 = ip_of("fd00::1");
}

static struct packet random_packet(void)
{
    static const uint16_t ports[] = {15000, 15001, 15003, 15010, 15901, 15904, 65535};
    static const uint32_t uids[] = {0, 1000, 1500, 1700, 4294967294u};

    return (struct packet){.outbound = rnd(4) > 0,
                           .iface = PICK(ifaces),
                           .dst = ip_of(PICK(addresses)),
                           .port = rnd(4) ? (uint16_t)(1 + rnd(60)) : PICK(ports),
                           .uid = PICK(uids)};
}

START_TEST(means_what_the_specification_says)
{
    struct redirect w;
    struct rules r[2];
    unsigned taken = 0;

    for (int i = 0; i < 600; i++) {
        random_want(&w);
        for (int k = 0; k < 2; k++) {
            rules_build(&w, k ? 6 : 4, &r[k]);
            check_round_trips(&w, &r[k]);
        }
        for (int k = 0; k < 100; k++) {
            struct packet p = random_packet();
            unsigned want = model(&w, &p), got = verdict(&r[p.dst.family == 6], &p);
            char text[IP_TEXT_MAX];

            ck_assert_msg(got == want, "%s %s %s:%u uid %u: got %u, expected %u",
                          p.outbound ? "out" : "in", p.iface, ip_format(&p.dst, text), p.port,
                          p.uid, got, want);
            taken += want != 0;
        }
        rules_free(&r[0]);
        rules_free(&r[1]);
        redirect_free(&w);
    }
    ck_assert_uint_gt(taken, 6000);
    ck_assert_uint_lt(taken, 54000);
}
END_TEST

/* ---- input ----------------------------------------------------------------------------------- */

START_TEST(refuses_bad_lists)
{
    static const struct {
        int (*add)(struct ports *, const char *, struct err *);
        const char *text, *item;
    } ports[] = {{redirect_add_ports, "0", "\"0\""},
                 {redirect_add_ports, "80,", "\"\""},
                 {redirect_add_ports, "80,65536", "\"65536\""},
                 {redirect_add_ports, "80;81", "\"80;81\""},
                 {redirect_add_ports, "+80", "\"+80\""},
                 {redirect_add_ports, "", "\"\""}};
    static const char *const cidrs[] = {
        "10.0.0.0/33", "10.0.0/8", "fd00::/129", "x", "10.0.0.0/8 -j ACCEPT", "1.2.3.4,,5.6.7.8"};
    static const char *const bad_names[] = {"sixteen-letters-", "eth0 -j", "a/b", "-o", "", "e+h",
                                            "eth0\n-A",         "\"eth0\""};
    struct redirect w = {0};

    for (unsigned i = 0; i < sizeof(ports) / sizeof(*ports); i++) {
        struct err e = {""};

        ck_assert_int_eq(ports[i].add(&w.out_port_exclude, ports[i].text, &e), -1);
        ck_assert_ptr_nonnull(strstr(e.text, ports[i].item));
        ck_assert_ptr_nonnull(strstr(e.text, "1 to 65535"));
    }
    for (unsigned i = 0; i < sizeof(cidrs) / sizeof(*cidrs); i++) {
        struct err e = {""};

        ck_assert_int_eq(redirect_add_cidrs(&w.out_ip_exclude, cidrs[i], &e), -1);
        ck_assert_ptr_nonnull(strstr(e.text, "10.0.0.0/16"));
    }
    for (unsigned i = 0; i < sizeof(bad_names) / sizeof(*bad_names); i++)
        ck_assert_int_eq(redirect_add_ifaces(&w.if_exclude, bad_names[i], NULL), -1);
    ck_assert_uint_eq(w.if_exclude.n, 0);
    redirect_free(&w);
}
END_TEST

START_TEST(keeps_one_of_each)
{
    struct redirect w = {0};

    ck_assert_int_eq(redirect_add_ports(&w.out_port_exclude, " 80,81 ,80,81", NULL), 0);
    ck_assert_uint_eq(w.out_port_exclude.n, 2);
    ck_assert_int_eq(
        redirect_add_cidrs(&w.out_ip_exclude, "10.1.2.3/8,10.0.0.0/8,::ffff:10.0.0.0/104", NULL),
        0);
    ck_assert_uint_eq(w.out_ip_exclude.n, 1);
    ck_assert_int_eq(redirect_add_ifaces(&w.if_exclude, "eth0,eth0,eth1", NULL), 0);
    ck_assert_uint_eq(w.if_exclude.n, 2);
    redirect_free(&w);
}
END_TEST

START_TEST(reads_only_its_own_lines)
{
    static const char *const foreign[] = {
        "-A PREROUTING -p udp -j PROXY_INBOUND",
        "-A OUTPUT -p tcp -j ACCEPT",
        "-A PROXY_OUTPUT -s 10.0.0.1/32 -j RETURN",
        "-A PROXY_OUTPUT -p tcp -m comment --comment \"mine\" -j RETURN",
        "-A PROXY_OUTPUT ! -o lo -j RETURN",
        "-A PROXY_OUTPUT -m tcp --dport 1:2 -j RETURN",
        "-A POSTROUTING -j MASQUERADE",
        "-A PROXY_INBOUND -j",
        "-A PROXY_INBOUND -p tcp",
        "-A PROXY_REDIRECT -p tcp -j REDIRECT",
        "-A PROXY_OUTPUT -p tcp -j DNAT",
        "-A PROXY_OUTPUT -p tcp -j RETURN --to-ports 80",
        "-A",
        "",
    };
    struct rule r;

    for (unsigned i = 0; i < sizeof(foreign) / sizeof(*foreign); i++)
        ck_assert_msg(rule_parse(slice_str(foreign[i]), &r) == -1, "%s", foreign[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("init/rules");
    TCase *t = tcase_create("rules");
    SRunner *r;
    int failed;

    if (glob("test/unit/init/golden/*.want", 0, NULL, &cases) != 0 || cases.gl_pathc < 15) {
        fprintf(stderr, "test/unit/init/golden: expected cases; run from the top of the tree\n");
        return 1;
    }
    tcase_add_loop_test(t, golden, 0, (int)cases.gl_pathc);
    tcase_add_test(t, means_what_the_specification_says);
    tcase_add_test(t, refuses_bad_lists);
    tcase_add_test(t, keeps_one_of_each);
    tcase_add_test(t, reads_only_its_own_lines);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    globfree(&cases);
    return failed ? 1 : 0;
}
