/* cluster_test.c - slots of cluster names, clusters, and what hangs on a chain. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/proxy/chain.h"
#include "test/unit/unit.h"

START_TEST(a_slot_stays_with_its_name)
{
    struct cluster_slots *s = cluster_slots_new();
    uint32_t a = cluster_slot_ref(s, "a"), b = cluster_slot_ref(s, "b");

    ck_assert_uint_ne(a, b);
    ck_assert_uint_eq(cluster_slot_ref(s, "a"), a);
    ck_assert_int_eq(cluster_slot_find(s, "a"), a);
    ck_assert_int_eq(cluster_slot_find(s, "c"), -1);
    cluster_slot_unref(s, a);
    ck_assert_int_eq(cluster_slot_find(s, "a"), a);
    cluster_slot_unref(s, a);
    ck_assert_int_eq(cluster_slot_find(s, "a"), -1);
    cluster_slot_unref(s, b);
    cluster_slots_free(s);
}
END_TEST

START_TEST(slots_that_are_free_are_used_again)
{
    struct cluster_slots *s = cluster_slots_new();
    uint32_t slot[100];
    char name[16];

    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "c%d", i);
        slot[i] = cluster_slot_ref(s, name);
    }
    ck_assert_uint_eq(cluster_slots_count(s), 100);
    cluster_slot_unref(s, slot[70]);
    cluster_slot_unref(s, slot[3]);
    ck_assert_uint_eq(cluster_slot_ref(s, "x"), slot[3]);
    ck_assert_uint_eq(cluster_slot_ref(s, "y"), slot[70]);
    ck_assert_uint_eq(cluster_slot_ref(s, "z"), 100);
    ck_assert_uint_eq(cluster_slots_count(s), 101);
    cluster_slots_free(s);
}
END_TEST

static struct endpoint endpoint(const char *addr, uint32_t weight, const char *identity)
{
    struct endpoint e = {.weight = weight, .identity = identity};

    ck_assert_int_eq(ip_port_parse(addr, &e.addr), 0);
    return e;
}

START_TEST(a_cluster_has_its_own_copy)
{
    struct cluster_slots *s = cluster_slots_new();
    char one[] = "spiffe://td/ns/a/sa/one", other[] = "spiffe://td/ns/a/sa/other";
    struct endpoint eps[] = {endpoint("10.0.0.1:80", 1, one),    endpoint("10.0.0.2:80", 2, one),
                             endpoint("10.0.0.3:80", 3, NULL),   endpoint("10.0.0.4:80", 4, one),
                             endpoint("[fd00::5]:80", 5, other), endpoint("10.0.0.6:80", 6, NULL)};
    static const char *const want[] = {
        "spiffe://td/ns/a/sa/one", "spiffe://td/ns/a/sa/one",   NULL,
        "spiffe://td/ns/a/sa/one", "spiffe://td/ns/a/sa/other", NULL};
    struct cluster_def def = {.name = "ns/svc|80", .tag = 7, .eps = eps, .n = 6};
    struct cluster *c = cluster_new(s, &def), *d = cluster_new(s, &def);

    memset(one, 'x', sizeof one - 1);
    memset(other, 'x', sizeof other - 1);
    memset(eps, 0, sizeof eps);
    ck_assert_uint_eq(c->n, 6);
    for (uint32_t i = 0; i < 6; i++) {
        ck_assert_uint_eq(c->eps[i].weight, i + 1);
        ck_assert_uint_eq(c->eps[i].addr.port, 80);
        ck_assert_int_eq(!c->eps[i].identity, !want[i]);
        if (want[i])
            ck_assert_str_eq(c->eps[i].identity, want[i]);
    }
    ck_assert_uint_eq(c->slot, d->slot);
    ck_assert_uint_ne(c->serial, d->serial);
    ck_assert_ptr_eq(cluster_ref(c), c);
    cluster_unref(s, c);
    ck_assert_str_eq(c->name, "ns/svc|80");
    cluster_unref(s, c);
    ck_assert_int_ge(cluster_slot_find(s, "ns/svc|80"), 0);
    cluster_unref(s, d);
    ck_assert_int_eq(cluster_slot_find(s, "ns/svc|80"), -1);
    cluster_unref(s, NULL);
    cluster_slots_free(s);
}
END_TEST

START_TEST(a_cluster_without_endpoints)
{
    struct cluster_slots *s = cluster_slots_new();
    struct cluster_def def = {.name = "empty"};
    struct cluster *c = cluster_new(s, &def);

    ck_assert_uint_eq(c->n, 0);
    cluster_unref(s, c);
    cluster_slots_free(s);
}
END_TEST

START_TEST(hosts_of_a_chain)
{
    struct cluster_slots *s = cluster_slots_new();
    struct chain *c = chain_new("out", CHAIN_HTTP, 1);
    static const struct vhost web = {.name = "web"}, with_port = {.name = "port"},
                              any = {.name = "any"};
    char longest[HOST_MAX + 2];

    ck_assert_ptr_null(chain_host(c, SLICE_LIT("web")));
    ck_assert_int_eq(chain_add_host(c, "Web.NS", &web), 0);
    ck_assert_int_eq(chain_add_host(c, "web.ns:8080", &with_port), 0);
    ck_assert_int_eq(chain_add_host(c, "web.ns.svc", &web), 0);
    ck_assert_int_eq(chain_add_host(c, "web.ns.svc:80", &web), 0);
    ck_assert_int_eq(chain_add_host(c, "web.ns.svc:81", &with_port), 0);
    memset(longest, 'h', sizeof longest);
    longest[HOST_MAX + 1] = '\0';
    ck_assert_int_eq(chain_add_host(c, longest, &web), -1);
    ck_assert_int_eq(chain_add_host(c, longest + 1, &web), 0);
    ck_assert_int_eq(chain_add_host(c, "", &web), -1);
    chain_seal(c);
    ck_assert_ptr_eq(chain_host(c, SLICE_LIT("web.ns")), &web);
    ck_assert_ptr_eq(chain_host(c, SLICE_LIT("WEB.ns.")), &web);
    ck_assert_ptr_eq(chain_host(c, SLICE_LIT("web.ns.:8080")), &with_port);
    ck_assert_ptr_null(chain_host(c, SLICE_LIT("web.ns:80")));
    ck_assert_ptr_null(chain_host(c, SLICE_LIT("web.ns:08080")));
    ck_assert_ptr_null(chain_host(c, SLICE_LIT("web.ns:")));
    ck_assert_ptr_null(chain_host(c, SLICE_LIT("web.n")));
    ck_assert_ptr_eq(chain_host(c, SLICE_LIT("web.ns.svc")), &web);
    ck_assert_ptr_eq(chain_host(c, SLICE_LIT("web.ns.svc:80")), &web);
    ck_assert_ptr_eq(chain_host(c, SLICE_LIT("web.ns.svc:81")), &with_port);
    ck_assert_ptr_null(chain_host(c, SLICE_LIT("*")));
    ck_assert_ptr_null(chain_host(c, SLICE_LIT("")));
    ck_assert_int_eq(chain_add_host(c, "*", &any), 0);
    ck_assert_ptr_eq(chain_host(c, SLICE_LIT("elsewhere")), &any);
    ck_assert_ptr_eq(chain_host(c, SLICE_LIT("")), &any);
    ck_assert_ptr_eq(chain_host(c, SLICE_LIT("web.ns")), &web);
    ck_assert_ptr_eq(chain_host(c, slice_str(longest)), &any);
    ck_assert_ptr_eq(chain_host(c, slice_str(longest + 1)), &web);
    chain_unref(s, c);
    cluster_slots_free(s);
}
END_TEST

/* any names, in any order, some again: as a table would have it */
START_TEST(hosts_are_found_as_a_table_finds_them)
{
    static const char *const parts[] = {"a",        "ab",    "a.b",     "abc.d",
                                        "10.0.0.1", "[::1]", "fd00::1", ""};
    static const char *const ports[] = {"",       ":80",    ":8080", ":080", ":0",
                                        ":99999", ":70000", ":",     ":8x"};
    static const int values[5];
    uint64_t seed = 7;
    char name[64];

    for (unsigned round = 0; round < 300; round++) {
        struct hosts *h = hosts_new();
        struct table *t = table_new(NULL);
        for (unsigned i = 0; i < round % 60; i++) {
            snprintf(name, sizeof name, "%s%s", parts[unit_random(&seed) % 8],
                     ports[unit_random(&seed) % 9]);
            const int *v = &values[unit_random(&seed) % 5];
            hosts_add(h, slice_str(name), v);
            table_put_str(t, name, (void *)v);
        }
        struct hosts_map *m = hosts_seal(h);
        for (unsigned i = 0; i < 72; i++) {
            snprintf(name, sizeof name, "%s%s", parts[i / 9], ports[i % 9]);
            ck_assert_msg(hosts_find(m, slice_str(name)) == table_get_str(t, name),
                          "\"%s\" in round %u", name, round);
        }
        free(m);
        table_free(t);
    }
}
END_TEST

START_TEST(a_chain_gives_back_what_it_holds)
{
    struct cluster_slots *s = cluster_slots_new();
    struct chain *c = chain_new("out", CHAIN_TCP, 1);
    struct matcher *m[20];
    struct err e;
    char name[16];

    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "c%d", i);
        chain_slot(c, s, name);
        m[i] = arena_zalloc(c->mem, sizeof *m[i]);
        ck_assert_int_eq(chain_regex(c, m[i], "/a(b|c)+", &e), 0);
        ck_assert(matcher_test(m[i], SLICE_LIT("/abc")));
    }
    ck_assert_int_eq(chain_regex(c, m[0], "/a(", &e), -1);
    ck_assert_ptr_eq(chain_ref(c), c);
    chain_unref(s, c);
    ck_assert_int_ge(cluster_slot_find(s, "c19"), 0);
    chain_unref(s, c);
    ck_assert_int_eq(cluster_slot_find(s, "c0"), -1);
    ck_assert_int_eq(cluster_slot_find(s, "c19"), -1);
    cluster_slots_free(s);
}
END_TEST

START_TEST(opaque_targets_by_destination)
{
    struct cluster_slots *s = cluster_slots_new();
    struct chain *c = chain_new("out", CHAIN_DETECT, 1);
    struct split *range = split_new(c->mem, 1), *other = split_new(c->mem, 1);
    struct cidr net;
    struct ip in, out;
    struct err e;

    ip_parse("10.1.2.3", &in);
    ip_parse("10.2.2.3", &out);
    ck_assert_ptr_null(chain_opaque(c, &in));
    c->opaque = lpm_new();
    ck_assert_int_eq(cidr_parse("10.1.0.0/16", &net, &e), 0);
    lpm_put(c->opaque, &net, range);
    ck_assert_ptr_eq(chain_opaque(c, &in), range);
    ck_assert_ptr_null(chain_opaque(c, &out));
    c->tcp = other;
    ck_assert_ptr_eq(chain_opaque(c, &in), range);
    ck_assert_ptr_eq(chain_opaque(c, &out), other);
    chain_unref(s, c);
    cluster_slots_free(s);
}
END_TEST

UNIT_MAIN("cluster", a_slot_stays_with_its_name, slots_that_are_free_are_used_again,
          a_cluster_has_its_own_copy, a_cluster_without_endpoints, hosts_of_a_chain,
          hosts_are_found_as_a_table_finds_them, a_chain_gives_back_what_it_holds,
          opaque_targets_by_destination)
