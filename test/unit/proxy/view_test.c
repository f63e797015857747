/* view_test.c - snapshots: what is kept of the one before, and when the old one goes. */
#include "common/proxy/view.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/proxy/engine.h"
#include "test/unit/io/io_test.h"

static struct engine *engine;
static struct cluster_slots *slots;

static void setup(void)
{
    const struct engine_opts o = {.workers = 0, .seed = 1, .access_fd = -1};
    struct err e;

    io_begin();
    engine = engine_new(l, &o, &e);
    ck_assert_msg(engine != NULL, "%s", e.text);
    slots = engine_slots(engine);
}

static void teardown(void)
{
    engine_free(engine);
    io_end();
}

static struct cluster *cluster(const char *name, uint64_t tag)
{
    struct endpoint ep = {.weight = 1};
    struct cluster_def def = {.name = name, .tag = tag, .eps = &ep, .n = 1};

    ip_port_parse("127.0.0.1:1", &ep.addr);
    return cluster_new(slots, &def);
}

static struct port_rules *port(uint16_t number, uint64_t tag, const char *target)
{
    struct port_rules *p = port_rules_new(number, tag);
    struct chain *c = chain_new("test", CHAIN_TCP, tag);

    if (target)
        chain_slot(c, slots, target);
    p->any = rule_new(c);
    port_rules_add(p, p->any);
    return p;
}

static struct view *first_view(void)
{
    struct view *v = view_new(engine);

    view_put_cluster(v, cluster("a", 1));
    view_put_cluster(v, cluster("b", 2));
    view_put_ports(v, false, port(80, 3, "a"));
    view_put_ports(v, false, port(443, 4, "b"));
    return v;
}

static void turn(void)
{
    loop_turn(l, false);
    loop_turn(l, false);
}

START_TEST(equal_tags_are_kept)
{
    struct view *a = first_view();
    struct cluster *c = view_keep_cluster(a, slots, "a", 1);
    struct port_rules *p = view_keep_ports(a, false, 80, 3);

    ck_assert_ptr_eq(c, view_cluster(a, (uint32_t)cluster_slot_find(slots, "a")));
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq(c->refs, 2);
    ck_assert_uint_eq(p->refs, 2);
    cluster_unref(slots, c);
    port_rules_unref(slots, p);
    ck_assert_ptr_null(view_keep_cluster(a, slots, "a", 2)); /* it changed */
    ck_assert_ptr_null(view_keep_cluster(a, slots, "a", 0)); /* of no known origin */
    ck_assert_ptr_null(view_keep_cluster(a, slots, "c", 1));
    ck_assert_ptr_null(view_keep_cluster(NULL, slots, "a", 1));
    ck_assert_ptr_null(view_keep_ports(a, false, 80, 4));
    ck_assert_ptr_null(view_keep_ports(a, true, 80, 3)); /* the other direction */
    ck_assert_ptr_null(view_keep_ports(a, false, 81, 3));
    view_free(a);
    ck_assert_int_eq(cluster_slot_find(slots, "a"), -1);
    ck_assert_int_eq(cluster_slot_find(slots, "b"), -1);
}
END_TEST

START_TEST(ports_are_found_whatever_their_order)
{
    struct view *v = view_new(engine);
    struct ip_port dst;

    for (unsigned i = 0; i < 200; i++)
        view_put_ports(v, true, port((uint16_t)(i * 7919 % 200 + 1), i + 1, NULL));
    ip_port_parse("10.0.0.1:1", &dst);
    for (dst.port = 1; dst.port <= 200; dst.port++) {
        struct chain *c = view_chain(v, true, &dst);
        ck_assert_ptr_nonnull(c);
        ck_assert_uint_eq((c->tag - 1) * 7919 % 200 + 1, dst.port);
    }
    ck_assert_ptr_null(view_chain(v, true, &dst)); /* 201; and no fallback */
    view_set_fallback(v, true, chain_new("rest", CHAIN_REFUSE, 0));
    ck_assert_str_eq(view_chain(v, true, &dst)->name, "rest");
    ck_assert_ptr_null(view_chain(v, false, &dst));
    view_free(v);
}
END_TEST

START_TEST(the_most_specific_range_goes_first)
{
    struct view *v = view_new(engine);
    struct port_rules *p = port_rules_new(80, 1);
    struct rule *wide = rule_new(chain_new("wide", CHAIN_TCP, 0)),
                *one = rule_new(chain_new("one", CHAIN_TCP, 0));
    struct cidr range;
    struct ip_port dst;
    struct err e;

    port_rules_add(p, wide);
    port_rules_add(p, one);
    cidr_parse("10.0.0.0/8", &range, &e);
    port_rules_range(p, &range, wide);
    cidr_parse("10.1.1.1", &range, &e);
    port_rules_range(p, &range, one);
    view_put_ports(v, false, p);
    ip_port_parse("10.1.1.1:80", &dst);
    ck_assert_ptr_eq(view_chain(v, false, &dst), one->chain);
    ip_port_parse("10.1.1.2:80", &dst);
    ck_assert_ptr_eq(view_chain(v, false, &dst), wide->chain);
    ip_port_parse("11.1.1.2:80", &dst);
    ck_assert_ptr_null(view_chain(v, false, &dst));
    view_free(v);
}
END_TEST

#define NAMES 400

static struct rule *named(unsigned i)
{
    char name[16];

    snprintf(name, sizeof name, "r%03u", i);
    return rule_new(chain_new(name, CHAIN_TCP, 0));
}

/* the rules are those that `there` says, each found by its name and in order */
static void has_rules(const struct port_rules *p, const bool *there)
{
    uint32_t n = 0;
    char name[16];

    for (unsigned i = NAMES; i-- > 0;) {
        snprintf(name, sizeof name, "r%03u", i);
        const struct rule *r = port_rules_find(p, name), *next = port_rules_from(p, name);
        ck_assert_int_eq(r != NULL, there[i]);
        n += there[i];
        if (r)
            ck_assert_ptr_eq(r, next);
        for (unsigned k = i; k < NAMES && (!next || k < strtoul(next->name + 1, NULL, 10)); k++)
            ck_assert(!there[k]);
    }
    ck_assert_uint_eq(p->n, n);
}

/* Views share the blocks of what did not change; a change in one is not seen in another. */
START_TEST(rules_come_and_go_in_copies)
{
    bool there[NAMES] = {false}, before[NAMES];
    struct view *a = view_new(engine), *b;
    uint64_t seed = 7;
    char name[16];

    for (unsigned round = 0; round < 60; round++) {
        b = view_new(engine);
        view_share_ports(b, a, false);
        struct port_rules *old = a->ports[0].n ? a->ports[0].v[0] : NULL;
        struct port_rules *p = view_edit_ports(b, false, 80);
        memcpy(before, there, sizeof before);
        for (unsigned k = 0; k < (round % 3 ? 3u : 90u); k++) {
            unsigned i = (unsigned)(unit_random(&seed) % NAMES);
            snprintf(name, sizeof name, "r%03u", i);
            if (there[i])
                port_rules_remove(slots, p, port_rules_find(p, name));
            else
                port_rules_add(p, named(i));
            there[i] = !there[i];
        }
        has_rules(p, there);
        if (old)
            has_rules(old, before);
        view_free(a);
        has_rules(p, there);
        a = b;
    }
    view_free(a);
}
END_TEST

/* ... and so with clusters; an application's own are never taken over */
START_TEST(clusters_are_shared_by_the_block)
{
    struct view *a = view_new(engine), *b = view_new(engine);
    struct endpoint ep = {.weight = 1};
    struct cluster_def local = {
        .name = "own", .tag = 1, .eps = &ep, .n = 1, .flags = CLUSTER_LOCAL};
    char name[16];

    ip_port_parse("127.0.0.1:1", &ep.addr);
    view_put_cluster(a, cluster_new(slots, &local));
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "c%u", i);
        view_put_cluster(a, cluster(name, 0));
    }
    view_share_clusters(b, a);
    uint32_t own = (uint32_t)cluster_slot_find(slots, "own"),
             last = (uint32_t)cluster_slot_find(slots, "c199"),
             first = (uint32_t)cluster_slot_find(slots, "c150");
    ck_assert_ptr_nonnull(view_cluster(a, own));
    ck_assert_ptr_null(view_cluster(b, own));
    ck_assert_ptr_eq(a->clusters[last / VIEW_BLOCK], b->clusters[last / VIEW_BLOCK]);
    ck_assert_uint_eq(view_cluster(b, last)->refs, 1);
    view_drop_cluster(b, "c199");
    ck_assert_ptr_null(view_cluster(b, last));
    ck_assert_str_eq(view_cluster(a, last)->name, "c199");
    view_put_cluster(b, cluster("c150", 0));
    ck_assert_ptr_ne(view_cluster(a, first), view_cluster(b, first));
    view_free(a);
    ck_assert_str_eq(view_cluster(b, first)->name, "c150");
    ck_assert_int_eq(cluster_slot_find(slots, "c199"), -1);
    ck_assert_int_eq(cluster_slot_find(slots, "own"), -1);
    view_free(b);
    ck_assert_int_eq(cluster_slot_find(slots, "c0"), -1);
}
END_TEST

/* the old view is gone a turn after the new one came, but for what both have */
START_TEST(a_retired_view_is_freed)
{
    struct view *a = first_view(), *b = view_new(engine);

    engine_publish(engine, a);
    turn();
    struct cluster *kept = view_keep_cluster(a, slots, "a", 1);
    struct port_rules *ports = view_keep_ports(a, false, 80, 3);
    view_put_cluster(b, kept);
    view_put_ports(b, false, ports);
    ck_assert_uint_eq(kept->refs, 2);
    engine_publish(engine, b);
    ck_assert_uint_gt(b->generation, a->generation);
    ck_assert_ptr_eq(engine_view(engine), b);
    turn();
    ck_assert_uint_eq(kept->refs, 1);
    ck_assert_uint_eq(ports->refs, 1);
    ck_assert_int_eq(cluster_slot_find(slots, "b"), -1); /* its cluster, chain and slot are gone */
    ck_assert_int_ge(cluster_slot_find(slots, "a"), 0);
}
END_TEST

/* three in one turn: the middle one was never anybody's */
START_TEST(a_view_that_was_never_taken_is_freed)
{
    engine_publish(engine, first_view());
    struct view *middle = view_new(engine), *last = view_new(engine);
    view_put_cluster(middle, cluster("middle", 9));
    view_put_cluster(last, cluster("last", 9));
    engine_publish(engine, middle);
    engine_publish(engine, last);
    turn();
    ck_assert_int_eq(cluster_slot_find(slots, "middle"), -1);
    ck_assert_int_eq(cluster_slot_find(slots, "a"), -1);
    ck_assert_int_ge(cluster_slot_find(slots, "last"), 0);
}
END_TEST

/* listening sockets live as long as a view has them */
START_TEST(sockets_are_shared_by_views)
{
    struct view *a = view_new(engine), *b = view_new(engine), *c = view_new(engine);
    struct ip_port addr, in_use;
    struct err e;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_storage ss;
    socklen_t n = sizeof ss;

    /* a port that is free now */
    ip_port_parse("127.0.0.1:0", &addr);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&ss, ip_port_to_sockaddr(&addr, &ss)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
    ip_port_from_sockaddr((struct sockaddr *)&ss, &addr);
    close(fd);
    ck_assert_int_eq(view_add_listener(a, "one", &addr, false, NULL, &e), 0);
    ck_assert_int_eq(view_add_listener(b, "one", &addr, false, NULL, &e), 0);
    ck_assert_ptr_eq(a->listeners[0].sock, b->listeners[0].sock);
    engine_publish(engine, a);
    turn();
    engine_publish(engine, b);
    turn();
    unsigned with = io_open_fds();
    engine_publish(engine, c);
    turn();
    turn();
    ck_assert_uint_lt(io_open_fds(), with); /* it is closed with its last view */
    /* an address that cannot be bound names itself and the listener */
    ip_port_parse("192.0.2.1:80", &in_use);
    struct view *d = view_new(engine);
    ck_assert_int_eq(view_add_listener(d, "bad", &in_use, true, NULL, &e), -1);
    ck_assert_msg(strstr(e.text, "bad") && strstr(e.text, "192.0.2.1"), "%s", e.text);
    view_free(d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("view");
    TCase *tc = tcase_create("view");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, equal_tags_are_kept);
    tcase_add_test(tc, ports_are_found_whatever_their_order);
    tcase_add_test(tc, the_most_specific_range_goes_first);
    tcase_add_test(tc, rules_come_and_go_in_copies);
    tcase_add_test(tc, clusters_are_shared_by_the_block);
    tcase_add_test(tc, a_retired_view_is_freed);
    tcase_add_test(tc, a_view_that_was_never_taken_is_freed);
    tcase_add_test(tc, sockets_are_shared_by_views);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
