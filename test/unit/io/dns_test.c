/* dns_test.c - lookups against a name server of our own. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/clock.h"
#include "common/io/dns.h"
#include "test/unit/io/io_test.h"

/* ---- a name server: what it says follows from the first label ----------------------------- */

static int server_fd;
static char server[64];
static pthread_t server_thread;

struct answer {
    unsigned char b[4096];
    size_t n;
};

static void put16(struct answer *a, unsigned v)
{
    a->b[a->n++] = (unsigned char)(v >> 8);
    a->b[a->n++] = (unsigned char)v;
}

/* one A or AAAA record for the name of the question */
static void put_record(struct answer *a, unsigned type, unsigned ttl, unsigned last)
{
    put16(a, 0xc00c);
    put16(a, type);
    put16(a, 1);
    put16(a, 0);
    put16(a, ttl);
    put16(a, type == 1 ? 4 : 16);
    memset(a->b + a->n, 0, 16);
    memcpy(a->b + a->n, type == 1 ? "\x0a\x00\x00" : "\xfd\x00\x00", 3);
    a->n += type == 1 ? 4 : 16;
    a->b[a->n - 1] = (unsigned char)last;
}

/* the question's end in q, its type in *type; the first label in label */
static size_t read_question(const unsigned char *q, size_t n, char label[64], unsigned *type)
{
    size_t at = 12;

    memcpy(label, q + 13, q[12]);
    label[q[12]] = 0;
    while (at < n && q[at])
        at += q[at] + 1u;
    *type = q[at + 2];
    return at + 5;
}

static void reply(const unsigned char *q, size_t n, const struct sockaddr_in *to)
{
    struct answer a = {.n = 0};
    char label[64];
    unsigned type, records = 0;
    size_t end = read_question(q, n, label, &type);

    if (strcmp(label, "silent") == 0)
        return;
    memcpy(a.b, q, end);
    a.n = end;
    memset(a.b + 6, 0, 6);
    a.b[2] = 0x85;
    a.b[3] = strcmp(label, "none") == 0 ? 3 : 0;
    if (strcmp(label, "both") == 0 || (strcmp(label, "four") == 0 && type == 1)) {
        put_record(&a, type, type == 1 ? 60 : 30, 1);
        put_record(&a, type, 90, 2);
        records = 2;
    } else if (strcmp(label, "many") == 0 && type == 1) {
        for (records = 0; records < 70; records++)
            put_record(&a, 1, 5, records);
    } else if (strcmp(label, "garbage") == 0) {
        a.b[6] = a.b[7] = 0xff;
    }
    if (a.b[7] == 0)
        a.b[7] = (unsigned char)records;
    sendto(server_fd, a.b, a.n, 0, (const struct sockaddr *)to, sizeof(*to));
}

static void *serve(void *arg)
{
    unsigned char q[512];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n;

    while ((n = recvfrom(server_fd, q, sizeof(q), 0, (struct sockaddr *)&from, &len)) > 12) {
        reply(q, (size_t)n, &from);
        len = sizeof(from);
    }
    return NULL;
}

static struct dns *d;

static void begin_dns(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    struct err e;

    io_begin();
    server_fd = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(bind(server_fd, (struct sockaddr *)&in, sizeof(in)), 0);
    ck_assert_int_eq(getsockname(server_fd, (struct sockaddr *)&in, &len), 0);
    snprintf(server, sizeof(server), "127.0.0.1:%u", ntohs(in.sin_port));
    ck_assert_int_eq(pthread_create(&server_thread, NULL, serve, NULL), 0);
    d = dns_new(l, server, &e);
    ck_assert_msg(d != NULL, "%s", e.text);
}

static void end_dns(void)
{
    struct sockaddr_in in;
    socklen_t len = sizeof(in);

    dns_free(d);
    ck_assert_int_eq(getsockname(server_fd, (struct sockaddr *)&in, &len), 0);
    sendto(server_fd, "end", 3, 0, (struct sockaddr *)&in, sizeof(in));
    pthread_join(server_thread, NULL);
    close(server_fd);
    io_end();
}

/* ---- checks ------------------------------------------------------------------------------ */

static struct {
    unsigned calls, n, ttl;
    uint64_t id;
    struct ip first;
    bool has4, has6;
    char err[200];
} got;

static void on_answer(uint64_t id, const struct ip *addrs, unsigned n, unsigned ttl,
                      const char *err, void *arg)
{
    got.calls++;
    got.id = id;
    got.n = n;
    got.ttl = ttl;
    got.has4 = got.has6 = false;
    for (unsigned i = 0; i < n; i++) {
        got.has4 |= addrs[i].family == 4;
        got.has6 |= addrs[i].family == 6;
    }
    if (n > 0)
        got.first = addrs[0];
    snprintf(got.err, sizeof(got.err), "%s", err ? err : "");
}

/* looks name up and waits */
static void ask(const char *name)
{
    unsigned calls = got.calls;
    uint64_t id = dns_lookup(d, name, on_answer, NULL);

    ck_assert_msg(got.calls == calls, "never from inside the call");
    IO_UNTIL(got.calls > calls);
    ck_assert_uint_eq(got.id, id);
}

START_TEST(both_families_and_the_shortest_ttl)
{
    begin_dns();
    ask("both.test.");
    ck_assert_uint_eq(got.n, 4);
    ck_assert(got.has4 && got.has6);
    ck_assert_uint_eq(got.ttl, 30);
    ck_assert_str_eq(got.err, "");
    ask("four.test.");
    ck_assert_uint_eq(got.n, 2);
    ck_assert(got.has4 && !got.has6);
    ck_assert_uint_eq(got.ttl, 60);
    end_dns();
}
END_TEST

START_TEST(names_that_are_not_there)
{
    char big[400];

    begin_dns();
    ask("none.test.");
    ck_assert_uint_eq(got.n, 0);
    ck_assert_str_ne(got.err, "");
    ask("empty.test.");
    ck_assert_uint_eq(got.n, 0);
    ck_assert_str_ne(got.err, "");
    ask("garbage.test.");
    ck_assert_uint_eq(got.n, 0);
    ask("");
    ck_assert_str_eq(got.err, "no host name (empty or too long)");
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    ask(big);
    ck_assert_str_eq(got.err, "no host name (empty or too long)");
    ask("a..b");
    ck_assert_uint_eq(got.n, 0);
    memset(big, 'y', 100);
    big[100] = 0;
    ask(big);
    ck_assert_uint_eq(got.n, 0);
    end_dns();
}
END_TEST

START_TEST(numbers_need_no_server)
{
    char text[IP_TEXT_MAX];

    begin_dns();
    ask("10.1.2.3");
    ck_assert_str_eq(ip_format(&got.first, text), "10.1.2.3");
    ck_assert_uint_eq(got.ttl, UINT32_MAX);
    ask("fd00::7");
    ck_assert_str_eq(ip_format(&got.first, text), "fd00::7");
    end_dns();
}
END_TEST

START_TEST(too_many_addresses_are_cut)
{
    begin_dns();
    ask("many.test.");
    ck_assert_uint_eq(got.n, 64);
    end_dns();
}
END_TEST

START_TEST(cancelled_is_not_told)
{
    uint64_t id;

    begin_dns();
    id = dns_lookup(d, "both.test.", on_answer, NULL);
    dns_cancel(d, id);
    id = dns_lookup(d, "10.0.0.1", on_answer, NULL);
    dns_cancel(d, id);
    dns_cancel(d, id);
    dns_cancel(d, 12345);
    io_for(100);
    ck_assert_uint_eq(got.calls, 0);
    ask("four.test.");
    end_dns();
}
END_TEST

START_TEST(freed_with_questions_open)
{
    begin_dns();
    dns_lookup(d, "silent.test.", on_answer, NULL);
    dns_lookup(d, "10.0.0.1", on_answer, NULL);
    dns_lookup(d, "both.test.", on_answer, NULL);
    end_dns();
    ck_assert_uint_eq(got.calls, 0);
}
END_TEST

static void on_answer_ask(uint64_t id, const struct ip *addrs, unsigned n, unsigned ttl,
                          const char *err, void *arg)
{
    on_answer(id, addrs, n, ttl, err, arg);
    if (got.calls < 5)
        dns_lookup(d, got.calls & 1 ? "10.0.0.1" : "four.test.", on_answer_ask, NULL);
}

static void on_answer_free(uint64_t id, const struct ip *addrs, unsigned n, unsigned ttl,
                           const char *err, void *arg)
{
    on_answer(id, addrs, n, ttl, err, arg);
    dns_free(d);
    d = NULL;
    ck_assert_msg(addrs[0].family == 4, "still there");
}

START_TEST(callbacks_may_ask_and_free)
{
    begin_dns();
    dns_lookup(d, "four.test.", on_answer_ask, NULL);
    IO_UNTIL(got.calls == 5);
    dns_lookup(d, "four.test.", on_answer_free, NULL);
    dns_lookup(d, "four.test.", on_answer_free, NULL);
    IO_UNTIL(got.calls == 6);
    io_for(20);
    ck_assert_uint_eq(got.calls, 6);
    end_dns();
}
END_TEST

START_TEST(silence_ends)
{
    uint64_t start = clock_mono_ms();

    begin_dns();
    timer_set(&io_guard, 60000);
    ask("silent.test.");
    ck_assert_uint_eq(got.n, 0);
    ck_assert_str_ne(got.err, "");
    ck_assert_uint_gt(clock_mono_ms() - start, 1500);
    end_dns();
}
END_TEST

START_TEST(servers_must_be_addresses)
{
    struct err e;

    io_begin();
    ck_assert_ptr_null(dns_new(l, "not an address", &e));
    ck_assert_msg(strstr(e.text, "expected ip[:port]") != NULL, "%s", e.text);
    dns_free(NULL);
    io_end();
}
END_TEST

UNIT_MAIN("dns", both_families_and_the_shortest_ttl, names_that_are_not_there,
          numbers_need_no_server, too_many_addresses_are_cut, cancelled_is_not_told,
          freed_with_questions_open, callbacks_may_ask_and_free, silence_ends,
          servers_must_be_addresses)
