/* table_test.c - hash tables: order, deletion, and a slow model beside it.  And SipHash. */
#include <stdio.h>
#include <stdlib.h>
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "test/unit/unit.h"

static int freed;

static void count_free(void *p)
{
    freed++;
    free(p);
}

START_TEST(put_get_replace_delete)
{
    struct table *t = table_new(count_free);

    freed = 0;
    ck_assert_ptr_null(table_get_str(t, "a"));
    ck_assert_int_eq(table_del(t, SLICE_LIT("a")), 0);
    table_put_str(t, "a", xstrdup("1"));
    table_put_str(t, "", xstrdup("empty"));
    table_put(t, SLICE_LIT("a\0b"), xstrdup("2"));
    ck_assert_str_eq(table_get_str(t, "a"), "1");
    ck_assert_str_eq(table_get_str(t, ""), "empty");
    ck_assert_str_eq(table_get(t, SLICE_LIT("a\0b")), "2");
    table_put_str(t, "a", xstrdup("3"));
    ck_assert_int_eq(freed, 1);
    ck_assert_str_eq(table_get_str(t, "a"), "3");
    table_put_str(t, "a", table_get_str(t, "a"));
    ck_assert_msg(freed == 1, "putting the same value again frees nothing");
    ck_assert_int_eq(table_del(t, SLICE_LIT("a")), 1);
    ck_assert_int_eq(freed, 2);
    ck_assert_ptr_null(table_get_str(t, "a"));
    ck_assert_uint_eq(table_count(t), 2);
    table_free(t);
    ck_assert_int_eq(freed, 4);
    table_free(NULL);
}
END_TEST

START_TEST(iterates_in_order_and_survives_deleting)
{
    struct table *t = table_new(NULL);
    char key[16], seen[64] = "", value[2];
    struct slice k;
    void *v;

    for (int i = 0; i < 10; i++) {
        snprintf(key, sizeof(key), "%d", i);
        table_put_str(t, key, value);
    }
    table_del(t, SLICE_LIT("3"));
    table_put_str(t, "3", value);     /* deleted before: goes to the end */
    table_put_str(t, "5", value + 1); /* replaced: keeps its place */
    table_foreach (t, it, &k, &v) {
        strncat(seen, k.p, k.n);
        if (k.p[0] == '4' || k.p[0] == '6')
            table_del(t, k);
    }
    ck_assert_str_eq(seen, "0124567893");
    ck_assert_uint_eq(table_count(t), 8);
    seen[0] = 0;
    table_foreach (t, it, &k, NULL)
        strncat(seen, k.p, k.n);
    ck_assert_str_eq(seen, "01257893");
    table_free(t);
}
END_TEST

/* 300 possible keys, a plain array as the model */
START_TEST(does_what_a_model_does)
{
    static char values[300];
    const void *model[300] = {0};
    struct table *t = table_new(NULL);
    uint64_t seed = 42;
    size_t live = 0;
    char key[16];

    for (int step = 0; step < 50000; step++) {
        unsigned i = (unsigned)(unit_random(&seed) % 300), op = (unsigned)(unit_random(&seed) % 3);
        snprintf(key, sizeof(key), "key-%u", i);
        ck_assert_ptr_eq(table_get_str(t, key), model[i]);
        if (op == 0) {
            ck_assert_int_eq(table_del(t, slice_str(key)), model[i] != NULL);
            live -= model[i] != NULL;
            model[i] = NULL;
        } else {
            live += model[i] == NULL;
            model[i] = &values[unit_random(&seed) % 300];
            table_put_str(t, key, (void *)model[i]);
        }
        ck_assert_uint_eq(table_count(t), live);
    }
    table_free(t);
}
END_TEST

START_TEST(many_keys)
{
    struct table *t = table_new(NULL);
    char key[16];

    for (size_t i = 1; i <= 100000; i++) {
        snprintf(key, sizeof(key), "%zu", i);
        table_put_str(t, key, (void *)i);
    }
    for (size_t i = 1; i <= 100000; i++) {
        snprintf(key, sizeof(key), "%zu", i);
        ck_assert_uint_eq((size_t)table_get_str(t, key), i);
    }
    ck_assert_ptr_null(table_get_str(t, "0"));
    table_free(t);
}
END_TEST

/* the SipHash-1-3 reference: key 00 01 .. 0f, input 00 01 .. */
START_TEST(siphash_known_values)
{
    const struct hash_key key = {0x0706050403020100ull, 0x0f0e0d0c0b0a0908ull};
    unsigned char in[16];

    for (unsigned i = 0; i < sizeof(in); i++)
        in[i] = (unsigned char)i;
    ck_assert_uint_eq(hash_sip13(key, in, 0), 0xabac0158050fc4dcull);
    ck_assert_uint_eq(hash_sip13(key, in, 1), 0xc9f49bf37d57ca93ull);
    ck_assert_uint_eq(hash_sip13(key, in, 2), 0x82cb9b024dc7d44dull);
    ck_assert_uint_eq(hash_sip13(key, in, 6), 0xc50d2b50c59f22a7ull);
    ck_assert_uint_eq(hash_sip13(key, in, 7), 0xd3927d989bb11140ull);
    ck_assert(hash_bytes("a", 1) != hash_bytes("b", 1));
    ck_assert_uint_eq(hash_bytes("a", 1), hash_bytes("a", 1));
}
END_TEST

UNIT_MAIN("table", put_get_replace_delete, iterates_in_order_and_survives_deleting,
          does_what_a_model_does, many_keys, siphash_known_values)
