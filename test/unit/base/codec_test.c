/* codec_test.c - base64 (RFC 4648 10), hex, random, UUID. */
#include <stdlib.h>
#include "common/base/codec.h"
#include "test/unit/unit.h"

static const struct {
    const char *plain, *text;
} vectors[] = {{"", ""},
               {"f", "Zg=="},
               {"fo", "Zm8="},
               {"foo", "Zm9v"},
               {"foob", "Zm9vYg=="},
               {"fooba", "Zm9vYmE="},
               {"foobar", "Zm9vYmFy"}};

START_TEST(base64_known_values)
{
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        buf_clear(&b);
        base64_encode(vectors[i].plain, strlen(vectors[i].plain), &b);
        ck_assert_str_eq(b.p, vectors[i].text);
        buf_clear(&b);
        ck_assert_int_eq(base64_decode(slice_str(vectors[i].text), &b), 0);
        ck_assert_str_eq(b.p, vectors[i].plain);
    }
    buf_clear(&b);
    base64url_encode("\xfb\xff", 2, &b);
    ck_assert_str_eq(b.p, "-_8");
    buf_clear(&b);
    ck_assert_int_eq(base64url_decode(SLICE_LIT("-_8"), &b), 0);
    ck_assert(slice_eq(buf_slice(&b), SLICE_LIT("\xfb\xff")));
    buf_free(&b);
}
END_TEST

START_TEST(base64_refuses_what_is_not_exact)
{
    static const char *const bad[] = {
        "Z",    "Zg",     "Zg=",   "Zg===", "Zm9v=", "====", "=",        "Zh==",
        "Zm9=", "Zg==\n", " Zg==", "Z-8=",  "Zg=a",  "Z===", "Zg==Zg==", "Zm9\xc3"};
    struct buf b = BUF_INIT;

    buf_puts(&b, "kept");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_msg(base64_decode(slice_str(bad[i]), &b) == -1, "\"%s\"", bad[i]);
        ck_assert_str_eq(slice_eq_str(buf_slice(&b), "kept") ? "kept" : bad[i], "kept");
    }
    ck_assert_int_eq(base64_decode(slice_of("Zg\0=", 4), &b), -1);
    ck_assert_int_eq(base64url_decode(SLICE_LIT("Zg=="), &b), -1);
    ck_assert_int_eq(base64url_decode(SLICE_LIT("Z+8"), &b), -1);
    ck_assert_int_eq(base64url_decode(SLICE_LIT("Zh"), &b), -1);
    buf_free(&b);
}
END_TEST

START_TEST(base64_there_and_back)
{
    struct buf text = BUF_INIT, back = BUF_INIT;
    unsigned char in[100];

    for (size_t n = 0; n < sizeof(in); n++) {
        random_bytes(in, n);
        buf_clear(&text);
        buf_clear(&back);
        base64url_encode(in, n, &text);
        ck_assert_int_eq(base64url_decode(buf_slice(&text), &back), 0);
        ck_assert(slice_eq(buf_slice(&back), slice_of((char *)in, n)));
    }
    buf_free(&text);
    buf_free(&back);
}
END_TEST

START_TEST(hex_and_uuid)
{
    char hex[7], a[37], b[37];

    hex_encode("\x00\xab\xff", 3, hex);
    ck_assert_str_eq(hex, "00abff");
    uuid_v4(a);
    uuid_v4(b);
    ck_assert_uint_eq(strlen(a), 36);
    ck_assert_str_ne(a, b);
    ck_assert_int_eq(a[14], '4');
    ck_assert(strchr("89ab", a[19]) != NULL);
    ck_assert(a[8] == '-' && a[13] == '-' && a[18] == '-' && a[23] == '-');
}
END_TEST

UNIT_MAIN("codec", base64_known_values, base64_refuses_what_is_not_exact, base64_there_and_back,
          hex_and_uuid)
