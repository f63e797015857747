/* route_test.c - hosts, routes, identities; address sets. */
#include <stdio.h>
#include <string.h>
#include "common/proxy/ipset.h"
#include "common/proxy/route.h"
#include "test/unit/unit.h"

static struct arena *a;
static struct route routes[4];
static struct vhost vhost = {.name = "v", .routes = routes};
static struct http_field fields[4];
static struct http_head head = {.request = true, .fields = fields};

static void setup(void)
{
    a = arena_new(1024);
    memset(routes, 0, sizeof routes);
    vhost.n = 0;
    head.method = HTTP_M_GET;
    head.method_text = SLICE_LIT("GET");
    head.n_fields = 0;
    head.authority = SLICE_LIT("web");
}

static struct route *add(const char *path)
{
    struct err e;
    struct route *r = &routes[vhost.n++];

    ck_assert_int_eq(matcher_init_regex(&r->path, a, path, &e), 0);
    return r;
}

static void field(const char *name, const char *value)
{
    struct http_field *f = &fields[head.n_fields++];

    *f = (struct http_field){.name = slice_str(name), .value = slice_str(value)};
    f->id = (uint16_t)http_hdr_id(f->name);
}

/* the index of the route found, or -1 and the reason in *why */
static int find(const char *path, const char *identity, enum reason *why)
{
    struct route_query q = {.path = slice_str(path), .head = &head, .identity = identity};
    const struct route *r = route_find(&vhost, &q, why);

    return r ? (int)(r - routes) : -1;
}

static void done(void)
{
    for (uint32_t i = 0; i < vhost.n; i++)
        matcher_release(&routes[i].path);
    arena_free(a);
}

START_TEST(the_first_that_fits_in_order)
{
    enum reason why;

    setup();
    add("/a");
    add("/a.*");
    add("/b")->methods = 1u << HTTP_M_POST;
    ck_assert_int_eq(find("/a", NULL, &why), 0);
    ck_assert_int_eq(find("/ab", NULL, &why), 1);
    ck_assert_int_eq(find("/b", NULL, &why), -1);
    ck_assert_int_eq(why, REASON_NO_ROUTE);
    head.method = HTTP_M_POST;
    ck_assert_int_eq(find("/b", NULL, &why), 2);
    done();
}
END_TEST

START_TEST(methods_without_a_number_go_by_their_text)
{
    static const struct slice names[] = {SLICE_LIT("PURGE"), {NULL, 0}};
    enum reason why;

    setup();
    add(".*")->method_names = names;
    ck_assert_int_eq(find("/", NULL, &why), -1);
    head.method = HTTP_M_OTHER;
    head.method_text = SLICE_LIT("PURGE");
    ck_assert_int_eq(find("/", NULL, &why), 0);
    head.method_text = SLICE_LIT("purge");
    ck_assert_int_eq(find("/", NULL, &why), -1);
    done();
}
END_TEST

START_TEST(headers_all_have_to_fit)
{
    static struct header_match m[2];
    enum reason why;
    struct err e;

    setup();
    m[0] = (struct header_match){.name = SLICE_LIT("X-User")};
    m[1] = (struct header_match){.name = SLICE_LIT("host"), .id = HDR_HOST};
    matcher_init_regex(&m[0].value, a, "tes.*", &e);
    matcher_init_regex(&m[1].value, a, "web", &e);
    struct route *r = add(".*");
    r->headers = m;
    r->n_headers = 2;
    ck_assert_int_eq(find("/", NULL, &why), -1);
    field("x-user", "nobody");
    ck_assert_int_eq(find("/", NULL, &why), -1);
    fields[0].value = SLICE_LIT("tester");
    ck_assert_int_eq(find("/", NULL, &why), 0); /* the host comes from the authority */
    field("host", "web");
    head.authority = SLICE_LIT("db"); /* which is forwarded, whatever Host was */
    ck_assert_int_eq(find("/", NULL, &why), -1);
    head.authority = SLICE_LIT("web");
    fields[0].dropped = true;
    ck_assert_int_eq(find("/", NULL, &why), -1);
    done();
}
END_TEST

/* RFC 9110 5.3, 9113 8.2.3: as many lines are one */
START_TEST(lines_of_one_name_are_matched_as_one)
{
    static char longish[3000];
    static const struct {
        const char *name, *pattern;
        const char *values[3];
        bool fits;
    } rows[] = {{"x-role", "user", {"user"}, true},
                {"x-role", "user", {"user", "admin"}, false},
                {"x-role", "user", {"admin", "user"}, false},
                {"x-role", "user", {"user", "user"}, false},
                {"x-role", "user", {"user", ""}, false},
                {"x-role", "user", {"", "user"}, false},
                {"x-role", "user, admin", {"user", "admin"}, true},
                {"x-role", "user, admin", {"user, admin"}, true},
                {"x-role", "admin, user", {"user", "admin"}, false},
                {"x-role", "(a|b)(, (a|b))*", {"a", "b", "a"}, true},
                {"x-role", "(a|b)(, (a|b))*", {"a", "c", "a"}, false},
                {"x-role", ", ", {"", ""}, true},
                {"cookie", "a=1; b=2", {"a=1", "b=2"}, true},
                {"cookie", "a=1, b=2", {"a=1", "b=2"}, false},
                {"x-role", "l+, end", {longish, "end"}, true},
                {"x-role", "l+", {longish, "end"}, false}};
    struct header_match m;
    enum reason why;
    struct err e;

    memset(longish, 'l', sizeof longish - 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        setup();
        m = (struct header_match){.name = slice_str(rows[i].name)};
        m.id = (uint16_t)http_hdr_id(m.name);
        ck_assert_int_eq(matcher_init_regex(&m.value, a, rows[i].pattern, &e), 0);
        struct route *r = add(".*");
        r->headers = &m;
        r->n_headers = 1;
        field("x-other", "user");
        for (unsigned k = 0; k < 3 && rows[i].values[k]; k++)
            field(rows[i].name, rows[i].values[k]);
        ck_assert_msg(find("/", NULL, &why) == (rows[i].fits ? 0 : -1), "row %zu: %s", i,
                      rows[i].pattern);
        fields[0].dropped = true;
        ck_assert_int_eq(find("/", NULL, &why), rows[i].fits ? 0 : -1);
        matcher_release(&m.value);
        done();
    }
}
END_TEST

START_TEST(routes_that_name_the_identity_go_first)
{
    static const char *const bob[] = {"spiffe://td/ns/a/sa/bob"};
    enum reason why;

    setup();
    add("/x");
    struct route *r = add("/x");
    r->allowed = bob;
    r->n_allowed = 1;
    r = add("/only");
    r->allowed = bob;
    r->n_allowed = 1;
    ck_assert_int_eq(find("/x", bob[0], &why), 1);
    ck_assert_int_eq(find("/x", "spiffe://td/ns/a/sa/eve", &why), 0);
    ck_assert_int_eq(find("/x", NULL, &why), 0);
    ck_assert_int_eq(find("/only", NULL, &why), -1);
    ck_assert_int_eq(why, REASON_DENIED);
    ck_assert_int_eq(find("/none", bob[0], &why), -1);
    ck_assert_int_eq(why, REASON_NO_ROUTE);
    done();
}
END_TEST

START_TEST(hosts_have_one_form)
{
    static const struct {
        const char *in, *out;
    } rows[] = {{"Web.App", "web.app"},         {"web.app.", "web.app"},
                {"WEB.app.:80", "web.app:80"},  {"[FD00::1]:80", "[fd00::1]:80"},
                {"10.0.0.1:80", "10.0.0.1:80"}, {"", ""}};
    char out[HOST_MAX], longer[HOST_MAX + 2];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice h = host_normal(slice_str(rows[i].in), out);
        ck_assert_msg(slice_eq_str(h, rows[i].out), "%s", rows[i].in);
    }
    memset(longer, 'a', sizeof longer);
    ck_assert_uint_eq(host_normal(slice_of(longer, HOST_MAX + 1), out).n, 0);
    ck_assert_uint_eq(host_normal(slice_of(longer, HOST_MAX), out).n, HOST_MAX);
}
END_TEST

static bool has(const struct ipset *s, const char *text)
{
    struct ip ip;

    ck_assert_int_eq(ip_parse(text, &ip), 0);
    return ipset_has(s, &ip);
}

START_TEST(address_sets)
{
    struct ipset *s = ipset_new();
    struct err e;
    char text[32];

    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof text, "10.%d.%d.%d", i * 7 % 250, i * 13 % 250, i % 250);
        ck_assert_int_eq(ipset_add(s, text, &e), 0);
    }
    ck_assert_int_eq(ipset_add(s, "192.168.0.0/16", &e), 0);
    ck_assert_int_eq(ipset_add(s, "fd00::5", &e), 0);
    ck_assert_int_eq(ipset_add(s, "fd01::/32", &e), 0);
    ck_assert_int_eq(ipset_add(s, "not an address", &e), -1);
    ipset_freeze(s);
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof text, "10.%d.%d.%d", i * 7 % 250, i * 13 % 250, i % 250);
        ck_assert(has(s, text));
    }
    ck_assert(has(s, "192.168.7.7"));
    ck_assert(has(s, "fd00::5"));
    ck_assert(has(s, "fd01::77"));
    ck_assert(!has(s, "10.255.0.1"));
    ck_assert(!has(s, "192.169.0.1"));
    ck_assert(!has(s, "fd00::6"));
    ipset_unref(s);
}
END_TEST

UNIT_MAIN("route", the_first_that_fits_in_order, methods_without_a_number_go_by_their_text,
          headers_all_have_to_fit, routes_that_name_the_identity_go_first, hosts_have_one_form,
          lines_of_one_name_are_matched_as_one, routes_that_name_the_identity_go_first,
          hosts_have_one_form, address_sets)
