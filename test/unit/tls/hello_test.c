/* the ClientHello reader: real hellos cut and split everywhere, and what is none */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/buf.h"
#include "common/tls/hello.h"

/* ---- a hello to order ---- */
struct want {
    const char *sni;
    const char *alpn[12];
    unsigned record; /* handshake bytes per record; 0 = all in one */
};

static void u16(struct buf *b, size_t v)
{
    buf_putc(b, (char)(v >> 8));
    buf_putc(b, (char)v);
}

static void ext(struct buf *b, unsigned type, struct buf *body)
{
    u16(b, type);
    u16(b, body->len);
    buf_append(b, body->p, body->len);
    buf_free(body);
}

static void sni_ext(struct buf *out, const char *name, size_t n)
{
    struct buf b = BUF_INIT;

    u16(&b, n + 3);
    buf_putc(&b, 0);
    u16(&b, n);
    buf_append(&b, name, n);
    ext(out, 0, &b);
}

static void alpn_ext(struct buf *out, const char *const *names)
{
    struct buf list = BUF_INIT, b = BUF_INIT;

    for (; *names != NULL; names++) {
        buf_putc(&list, (char)strlen(*names));
        buf_puts(&list, *names);
    }
    u16(&b, list.len);
    buf_append(&b, list.p, list.len);
    buf_free(&list);
    ext(out, 16, &b);
}

static void records(struct buf *out, const struct buf *hs, unsigned size)
{
    for (size_t at = 0; at < hs->len;) {
        size_t n = size && hs->len - at > size ? size : hs->len - at;
        buf_append(out, "\x16\x03\x01", 3);
        u16(out, n);
        buf_append(out, hs->p + at, n);
        at += n;
    }
}

/* a whole hello with these extensions; exts is freed */
static void hello_of(struct buf *out, struct buf *exts, unsigned record)
{
    struct buf body = BUF_INIT, hs = BUF_INIT;

    buf_append(&body, "\x03\x03", 2);
    for (int i = 0; i < 32; i++)
        buf_putc(&body, (char)i);
    buf_putc(&body, 4);
    buf_puts(&body, "sess");
    u16(&body, 4);
    buf_append(&body, "\x13\x01\xc0\x2b", 4);
    buf_append(&body, "\x01\x00", 2);
    if (exts->len > 0) {
        u16(&body, exts->len);
        buf_append(&body, exts->p, exts->len);
    }
    buf_putc(&hs, 1);
    buf_putc(&hs, 0);
    u16(&hs, body.len);
    buf_append(&hs, body.p, body.len);
    records(out, &hs, record);
    buf_free(&body);
    buf_free(&hs);
    buf_free(exts);
}

static void make(struct buf *out, const struct want *w)
{
    struct buf exts = BUF_INIT, grease = BUF_INIT, versions = BUF_INIT;

    ext(&exts, 0x2a2a, &grease);
    if (w->sni)
        sni_ext(&exts, w->sni, strlen(w->sni));
    buf_append(&versions, "\x02\x03\x04", 3);
    ext(&exts, 43, &versions);
    if (w->alpn[0])
        alpn_ext(&exts, w->alpn);
    hello_of(out, &exts, w->record);
}

START_TEST(names_are_read)
{
    static const unsigned sizes[] = {0, 1, 2, 3, 5, 17, 64};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct want w = {.sni = "Web.Example.COM", .alpn = {"h2", "http/1.1"}, .record = sizes[i]};
        struct buf b = BUF_INIT;
        struct hello h;
        make(&b, &w);
        ck_assert_int_eq(hello_parse(b.p, b.len, &h), 1);
        ck_assert_str_eq(h.sni, "web.example.com");
        ck_assert_uint_eq(h.n_alpn, 2);
        ck_assert_str_eq(h.alpn[0], "h2");
        ck_assert_str_eq(h.alpn[1], "http/1.1");
        buf_free(&b);
    }
}
END_TEST

START_TEST(every_beginning_needs_more)
{
    static const unsigned sizes[] = {0, 1, 7};

    for (size_t i = 0; i < 3; i++) {
        struct want w = {.sni = "a.b", .alpn = {"fsm-h2", "fsm-tcp"}, .record = sizes[i]};
        struct buf b = BUF_INIT;
        struct hello h;
        make(&b, &w);
        for (size_t n = 0; n < b.len; n++) {
            char *exact = malloc(n + 1); /* so that a sanitizer sees a step too far */
            memcpy(exact, b.p, n);
            exact = realloc(exact, n ? n : 1);
            ck_assert_int_eq(hello_parse(exact, n, &h), 0);
            free(exact);
        }
        ck_assert_int_eq(hello_parse(b.p, b.len, &h), 1);
        buf_append(&b, "\x14\x03\x03\x00\x01\x01", 6); /* what follows is not looked at */
        ck_assert_int_eq(hello_parse(b.p, b.len, &h), 1);
        buf_free(&b);
    }
}
END_TEST

START_TEST(without_extensions)
{
    struct buf b = BUF_INIT, none = BUF_INIT;
    struct hello h;

    hello_of(&b, &none, 0);
    ck_assert_int_eq(hello_parse(b.p, b.len, &h), 1);
    ck_assert_str_eq(h.sni, "");
    ck_assert_uint_eq(h.n_alpn, 0);
    buf_free(&b);
}
END_TEST

START_TEST(more_alpn_than_fits)
{
    struct want w = {
        .alpn = {"1", "2", "3",
                 "a-name-that-is-much-longer-than-the-sixty-three-bytes-that-fit-here-", "\x5a\x01",
                 "4", "5", "6", "7", "8", "9"}};
    struct buf b = BUF_INIT;
    struct hello h;

    make(&b, &w);
    ck_assert_int_eq(hello_parse(b.p, b.len, &h), 1);
    ck_assert_uint_eq(h.n_alpn, 8);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(h.alpn[i][0], '1' + i);
    buf_free(&b);
}
END_TEST

START_TEST(a_name_that_is_no_text_is_none)
{
    static const struct {
        const char *p;
        size_t n;
    } t[] = {{"a\0b", 3}, {"a b", 3}, {"a\n", 2}, {"\xc3\xa4", 2}, {"", 0}};

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct buf b = BUF_INIT, exts = BUF_INIT;
        struct hello h;
        sni_ext(&exts, t[i].p, t[i].n);
        hello_of(&b, &exts, 0);
        ck_assert_int_eq(hello_parse(b.p, b.len, &h), 1);
        ck_assert_str_eq(h.sni, "");
        buf_free(&b);
    }
}
END_TEST

START_TEST(a_name_of_every_length)
{
    char name[400];

    memset(name, 'x', sizeof(name));
    for (size_t n = 1; n < sizeof(name); n++) {
        struct buf b = BUF_INIT, exts = BUF_INIT;
        struct hello h;
        sni_ext(&exts, name, n);
        hello_of(&b, &exts, 0);
        ck_assert_int_eq(hello_parse(b.p, b.len, &h), 1);
        ck_assert_uint_eq(strlen(h.sni), n <= 255 ? n : 0);
        buf_free(&b);
    }
}
END_TEST

/* one whose extensions have so many bytes of nothing, in one record or in more */
static void padded(struct buf *out, size_t pad, unsigned record)
{
    struct buf exts = BUF_INIT, zeros = BUF_INIT;
    const char *const names[] = {"fsm-h2", NULL};

    for (size_t i = 0; i < pad; i++)
        buf_putc(&zeros, 0);
    ext(&exts, 21, &zeros);
    alpn_ext(&exts, names);
    hello_of(out, &exts, record);
}

/* with that many bytes it is decided, whatever they are; with fewer of a hello that fits it is not
 */
START_TEST(the_longest)
{
    struct buf b = BUF_INIT;
    struct hello h;
    size_t rest;

    padded(&b, 1000, 0);
    rest = b.len - 1000;
    buf_free(&b);
    padded(&b, HELLO_MAX - rest, 0);
    ck_assert_uint_eq(b.len, HELLO_MAX);
    ck_assert_int_eq(hello_parse(b.p, b.len - 1, &h), 0);
    ck_assert_int_eq(hello_parse(b.p, b.len, &h), 1);
    ck_assert_str_eq(h.alpn[0], "fsm-h2");
    buf_free(&b);
    padded(&b, HELLO_MAX - rest + 1, 0x4000); /* two records */
    ck_assert_int_eq(hello_parse(b.p, 8, &h), 0);
    ck_assert_int_eq(hello_parse(b.p, 9, &h), -1);
    ck_assert_int_eq(hello_parse(b.p, b.len, &h), -1);
    buf_free(&b);
    padded(&b, 4000, 1); /* its records' heads count */
    ck_assert_uint_gt(b.len, HELLO_MAX);
    ck_assert_int_eq(hello_parse(b.p, HELLO_MAX - 1, &h), 0);
    ck_assert_int_eq(hello_parse(b.p, HELLO_MAX, &h), -1);
    ck_assert_int_eq(hello_parse(b.p, b.len, &h), -1);
    buf_free(&b);
}
END_TEST

/* what is none, and from which byte on that is known */
START_TEST(other_protocols)
{
    static const struct {
        const char *p;
        size_t n;
    } t[] = {
        {"GET / HTTP/1.1\r\n", 16},
        {"PRI * HTTP/2.0\r\n", 16},
        {"SSH-2.0-OpenSSH\r\n", 17},
        {"\x80\x2e\x01\x03\x01", 5},                 /* SSL 2 */
        {"\x16\x02\x00\x00\x10\x01", 6},             /* version 2 */
        {"\x16\x03\x01\x00\x00", 5},                 /* empty record */
        {"\x16\x03\x01\x40\x01\x01", 6},             /* longer than a record may be */
        {"\x16\x03\x01\x00\x40\x02\x00\x00", 8},     /* ServerHello */
        {"\x15\x03\x01\x00\x02\x01\x00", 7},         /* alert */
        {"\x16\x03\x01\x40\x00\x01\x01\x00\x00", 9}, /* a hello of 64 KB */
        {"\x00", 1},
    };
    struct hello h;

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        ck_assert_msg(hello_parse(t[i].p, t[i].n, &h) == -1, "%zu", i);
    ck_assert_int_eq(hello_parse("G", 1, &h), -1);
    ck_assert_int_eq(hello_parse("", 0, &h), 0);
    ck_assert_int_eq(hello_parse("\x16", 1, &h), 0);
}
END_TEST

/* every byte of a good hello, changed: never a crash, and lengths that do not fit are refused */
START_TEST(damaged_hellos)
{
    struct want w = {.sni = "a.example", .alpn = {"h2"}};
    struct buf b = BUF_INIT;
    struct hello h;
    int refused = 0;

    make(&b, &w);
    for (size_t at = 0; at < b.len; at++)
        for (int bit = 0; bit < 8; bit++) {
            b.p[at] ^= (char)(1 << bit);
            refused += hello_parse(b.p, b.len, &h) == -1;
            b.p[at] ^= (char)(1 << bit);
        }
    ck_assert_int_gt(refused, 100);
    buf_free(&b);
}
END_TEST

START_TEST(an_extension_that_comes_twice)
{
    struct buf b = BUF_INIT, exts = BUF_INIT;
    struct hello h;

    sni_ext(&exts, "a", 1);
    sni_ext(&exts, "b", 1);
    hello_of(&b, &exts, 0);
    ck_assert_int_eq(hello_parse(b.p, b.len, &h), -1);
    buf_free(&b);
}
END_TEST

START_TEST(empty_alpn_names_are_malformed)
{
    static const char *const names[] = {"h2", "", NULL};
    struct buf b = BUF_INIT, exts = BUF_INIT;
    struct hello h;

    alpn_ext(&exts, names);
    hello_of(&b, &exts, 0);
    ck_assert_int_eq(hello_parse(b.p, b.len, &h), -1);
    buf_free(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hello");
    TCase *t = tcase_create("hello");
    SRunner *r;
    int failed;

    tcase_add_test(t, names_are_read);
    tcase_add_test(t, every_beginning_needs_more);
    tcase_add_test(t, without_extensions);
    tcase_add_test(t, more_alpn_than_fits);
    tcase_add_test(t, a_name_that_is_no_text_is_none);
    tcase_add_test(t, a_name_of_every_length);
    tcase_add_test(t, the_longest);
    tcase_add_test(t, other_protocols);
    tcase_add_test(t, damaged_hellos);
    tcase_add_test(t, an_extension_that_comes_twice);
    tcase_add_test(t, empty_alpn_names_are_malformed);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
