/* cidr_test.c - addresses, ranges, and the longest-prefix map against a slow one. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/cidr.h"
#include "test/unit/unit.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct ip ip_of(const char *s)
{
    struct ip ip;

    ck_assert_msg(ip_parse(s, &ip) == 0, "%s", s);
    return ip;
}

static struct cidr cidr_of(const char *s)
{
    struct cidr c;
    struct err e = {""};

    ck_assert_msg(cidr_parse(s, &c, &e) == 0, "%s: %s", s, e.text);
    return c;
}

START_TEST(addresses_have_one_form)
{
    static const char *const cases[][2] = {
        {"10.0.0.1", "10.0.0.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"::", "::"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"::ffff:1.2.3.4", "1.2.3.4"},
        {"::ffff:102:304", "1.2.3.4"},
        {"::1.2.3.4", "::1.2.3.4"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
    };
    char text[IP_TEXT_MAX];

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct ip ip = ip_of(cases[i][0]);
        ck_assert_str_eq(ip_format(&ip, text), cases[i][1]);
    }
    ck_assert_str_eq(ip_format(&(struct ip){.family = 0}, text), "none");
}
END_TEST

START_TEST(addresses_are_refused)
{
    static const char *const bad[] = {
        "",
        " ",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.256",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.0x4",
        "1.2.3.-4",
        "1..2.3",
        "localhost",
        "::1%lo",
        "fe80::1%1",
        ":::",
        "1::2::3",
        "12345::",
        "::00001",
        "[::1]",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "g::",
        "::1.2.3",
        "::1.2.3.456",
        "1.2.3.4\n",
        "16909060",
        "1.2.3.4/8",
        "::ffff:1.2.3.4.5",
        "1111111111111111111111111111111111111111111111111111111111111111111111111111",
    };
    struct ip ip;

    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(ip_parse(bad[i], &ip) == -1, "\"%s\"", bad[i]);
}
END_TEST

START_TEST(loopback_and_equality)
{
    struct ip a = ip_of("127.8.9.1"), b = ip_of("::1"), c = ip_of("128.0.0.1"), d = ip_of("::2"),
              e = ip_of("::ffff:127.8.9.1");

    ck_assert(ip_is_loopback(&a) && ip_is_loopback(&b) && ip_is_loopback(&e));
    ck_assert(!ip_is_loopback(&c) && !ip_is_loopback(&d));
    ck_assert(!ip_is_loopback(&(struct ip){.family = 0}));
    ck_assert(ip_eq(&a, &e) && !ip_eq(&a, &c) && !ip_eq(&b, &d) && !ip_eq(&a, &b));
}
END_TEST

START_TEST(ranges_are_masked_and_printed)
{
    static const char *const cases[][2] = {
        {"10.1.2.3/8", "10.0.0.0/8"},
        {"10.1.2.3", "10.1.2.3/32"},
        {"10.1.2.3/0", "0.0.0.0/0"},
        {"10.1.2.3/31", "10.1.2.2/31"},
        {"10.1.255.3/17", "10.1.128.0/17"},
        {"fd12:3456::1/7", "fc00::/7"},
        {"fd00::1", "fd00::1/128"},
        {"::1/0", "::/0"},
        {"2001:db8::ffff/127", "2001:db8::fffe/127"},
        {"::ffff:10.1.2.3/104", "10.0.0.0/8"},
        {"::ffff:10.1.2.3/96", "0.0.0.0/0"},
        {"::ffff:10.1.2.3", "10.1.2.3/32"},
        {"::ffff:10.1.2.3/80", "::/80"},
    };
    char text[IP_TEXT_MAX];

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cidr c = cidr_of(cases[i][0]);
        ck_assert_str_eq(cidr_format(&c, text), cases[i][1]);
    }
}
END_TEST

START_TEST(ranges_are_refused_with_words)
{
    static const char *const bad[] = {
        "",
        "/",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/08",
        "10.0.0.0/+8",
        "10.0.0.0/8 ",
        "10.0.0/8",
        "::/129",
        "::/1280000000000000000000",
        "10.0.0.0/8/8",
        "x/8",
        "::ffff:10.0.0.0/129",
        "10.0.0.0/255.0.0.0",
        "/8",
        "99999999999999999999999999999999999999999999999999999999999999999999999999/8",
    };
    struct cidr c;
    struct err e;

    for (size_t i = 0; i < COUNT(bad); i++) {
        e.text[0] = 0;
        ck_assert_msg(cidr_parse(bad[i], &c, &e) == -1, "\"%s\"", bad[i]);
        ck_assert(strstr(e.text, "expected") != NULL);
    }
    ck_assert_int_eq(cidr_parse("x", &c, NULL), -1);
}
END_TEST

START_TEST(ranges_hold_addresses)
{
    struct cidr c = cidr_of("10.64.0.0/10"), all4 = cidr_of("0.0.0.0/0"), all6 = cidr_of("::/0");
    struct ip in = ip_of("10.127.255.255"), out = ip_of("10.128.0.0"), six = ip_of("fd00::1");

    ck_assert(cidr_has(&c, &in) && !cidr_has(&c, &out));
    ck_assert(cidr_has(&all4, &in) && !cidr_has(&all4, &six));
    ck_assert(cidr_has(&all6, &six) && !cidr_has(&all6, &in));
    ck_assert(!cidr_has(&all4, &(struct ip){.family = 0}));
}
END_TEST

START_TEST(address_and_port)
{
    static const char *const bad[] = {"",
                                      "1.2.3.4",
                                      "1.2.3.4:",
                                      "1.2.3.4:65536",
                                      ":80",
                                      "::1:80",
                                      "[::1]",
                                      "[::1]80",
                                      "[1.2.3.4]:80",
                                      "[::1:80",
                                      "::1]:80",
                                      "[]:80",
                                      "1.2.3.4:080",
                                      "1.2.3.4:-1",
                                      "[::1%lo]:80",
                                      "1.2.3.4: 80",
                                      "localhost:80",
                                      "[[::1]]:80"};
    struct ip_port a, b;
    char text[IP_TEXT_MAX];

    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(ip_port_parse(bad[i], &a) == -1, "\"%s\"", bad[i]);
    ck_assert_int_eq(ip_port_parse("1.2.3.4:0", &a), 0);
    ck_assert_str_eq(ip_port_format(&a, text), "1.2.3.4:0");
    ck_assert_int_eq(ip_port_parse("[::1]:65535", &a), 0);
    ck_assert_str_eq(ip_port_format(&a, text), "[::1]:65535");
    ck_assert_int_eq(ip_port_parse("[::ffff:1.2.3.4]:80", &a), 0);
    ck_assert_int_eq(ip_port_parse("1.2.3.4:80", &b), 0);
    ck_assert(ip_port_eq(&a, &b));
    b.port++;
    ck_assert(!ip_port_eq(&a, &b));
}
END_TEST

START_TEST(sockaddrs_there_and_back)
{
    static const char *const texts[] = {"1.2.3.4:80", "[fd00::7]:443", "0.0.0.0:0"};
    struct sockaddr_storage ss;
    struct ip_port a, b;

    for (size_t i = 0; i < COUNT(texts); i++) {
        ck_assert_int_eq(ip_port_parse(texts[i], &a), 0);
        memset(&ss, 0xff, sizeof(ss));
        ck_assert_uint_eq(ip_port_to_sockaddr(&a, &ss), a.ip.family == 4
                                                            ? sizeof(struct sockaddr_in)
                                                            : sizeof(struct sockaddr_in6));
        ck_assert_int_eq(ip_port_from_sockaddr((struct sockaddr *)&ss, &b), 0);
        ck_assert(ip_port_eq(&a, &b));
    }
    ss.ss_family = AF_UNIX;
    ck_assert_int_eq(ip_port_from_sockaddr((struct sockaddr *)&ss, &b), -1);
    ck_assert_int_eq(b.ip.family, 0);
}
END_TEST

START_TEST(longest_prefix_wins)
{
    static const char *const ranges[] = {"0.0.0.0/0",   "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24",
                                         "10.1.2.3/32", "::/0",       "fd00::/8",    "fd00::1/128"};
    static const char *const wants[][2] = {{"11.0.0.1", "0.0.0.0/0"},   {"10.2.0.1", "10.0.0.0/8"},
                                           {"10.1.3.1", "10.1.0.0/16"}, {"10.1.2.4", "10.1.2.0/24"},
                                           {"10.1.2.3", "10.1.2.3/32"}, {"fe80::1", "::/0"},
                                           {"fd00::2", "fd00::/8"},     {"fd00::1", "fd00::1/128"}};
    struct lpm *m = lpm_new();
    struct ip ip = ip_of("1.2.3.4");

    ck_assert_ptr_null(lpm_get(m, &ip));
    for (size_t i = COUNT(ranges); i-- > 0;) {
        struct cidr c = cidr_of(ranges[i]);
        lpm_put(m, &c, (void *)ranges[i]);
    }
    for (size_t i = 0; i < COUNT(wants); i++) {
        ip = ip_of(wants[i][0]);
        ck_assert_str_eq(lpm_get(m, &ip), wants[i][1]);
    }
    ck_assert_ptr_null(lpm_get(m, &(struct ip){.family = 0}));
    lpm_free(m);
    lpm_free(NULL);
}
END_TEST

/* random ranges over few bits, so that they nest and collide */
START_TEST(does_what_a_slow_map_does)
{
    struct cidr ranges[200];
    size_t n = 0;
    uint64_t seed = 7;
    struct lpm *m = lpm_new();

    for (int step = 0; step < 2000; step++) {
        bool v6 = unit_random(&seed) & 1;
        struct ip ip = {.family = v6 ? 6 : 4};
        size_t best = SIZE_MAX;
        ip.b[0] = (uint8_t)(unit_random(&seed) % 4 << 6);
        ip.b[1] = (uint8_t)unit_random(&seed) & 0x81;
        ip.b[3] = (uint8_t)unit_random(&seed) & 3;
        if (n < COUNT(ranges) && step % 8 == 0) {
            char text[IP_TEXT_MAX], with[2 * IP_TEXT_MAX];
            snprintf(with, sizeof(with), "%s/%u", ip_format(&ip, text),
                     (unsigned)(unit_random(&seed) % 33));
            ranges[n] = cidr_of(with);
            lpm_put(m, &ranges[n], (void *)(n + 1));
            n++;
        }
        for (size_t i = 0; i < n; i++)
            if (cidr_has(&ranges[i], &ip) &&
                (best == SIZE_MAX || ranges[i].bits >= ranges[best].bits))
                best = i;
        ck_assert_uint_eq((size_t)lpm_get(m, &ip), best == SIZE_MAX ? 0 : best + 1);
    }
    lpm_free(m);
}
END_TEST

UNIT_MAIN("cidr", addresses_have_one_form, addresses_are_refused, loopback_and_equality,
          ranges_are_masked_and_printed, ranges_are_refused_with_words, ranges_hold_addresses,
          address_and_port, sockaddrs_there_and_back, longest_prefix_wins,
          does_what_a_slow_map_does)
