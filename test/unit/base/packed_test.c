/* packed_test.c - packed values: what comes out is what went in, words are shared and freed. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/packed.h"
#include "test/unit/unit.h"

static json_t *parse(const char *text)
{
    struct err e = {""};
    json_t *j = json_parse(slice_str(text), strlen(text), &e);

    ck_assert_msg(j != NULL, "%s: %s", text, e.text);
    return j;
}

static char *text_of(const json_t *j)
{
    struct buf out = BUF_INIT;

    json_print(j, &out);
    return buf_take(&out);
}

/* byte for byte, the order of members included */
static void comes_back(const json_t *j)
{
    struct packed *p = packed_new(j);
    json_t *back = packed_at(p, "");
    char *was = text_of(j), *is = text_of(back);

    ck_assert_str_eq(is, was);
    ck_assert(json_equal(back, j));
    free(was);
    free(is);
    json_decref(back);
    packed_free(p);
}

START_TEST(what_comes_out_is_what_went_in)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "{\"b\":1,\"a\":2}",
        "[null,true,false,0,1,14,15,16,127,142,143,-1,-15,-16,9223372036854775807,"
        "-9223372036854775808,1.5,-0.1]",
        "{\"\":\"\",\"a\":\"\\u00e9\\\"\\\\\",\"n\":{\"n\":{\"n\":[{\"n\":[]}]}}}",
        "[[\"again\",\"again\"],[\"again\",\"again\"],[\"again\",\"again\"],[\"again\",\"again\"]]",
        "[{\"k\":\"value\",\"l\":[1,2,3,4]},{\"k\":\"value\",\"l\":[1,2,3,4]},{\"k\":\"value\","
        "\"l\":[1,2,"
        "3,4]},{\"k\":\"value\",\"l\":[1,2,3,4]}]"};

    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
            json_t *j = parse(texts[i]);
            comes_back(j);
            json_decref(j);
        }
    json_t *nul = json_stringn("a\0b", 3), *back;
    struct packed *p = packed_new(nul);
    back = packed_at(p, "");
    ck_assert_uint_eq(json_string_length(back), 3);
    ck_assert_int_eq(memcmp(json_string_value(back), "a\0b", 3), 0);
    json_decref(nul);
    json_decref(back);
    packed_free(p);
}
END_TEST

START_TEST(a_part_of_it)
{
    json_t *j = parse("{\"a\":{\"b\":{\"c\":\"x\"},\"l\":[1]},\"s\":\"text\"}"), *v;
    struct packed *p[4];

    for (unsigned i = 0; i < 4; i++) /* the later ones through shared values */
        p[i] = packed_new(j);
    for (unsigned i = 0; i < 4; i++) {
        v = packed_at(p[i], "a.b.c");
        ck_assert_str_eq(json_string_value(v), "x");
        json_decref(v);
        v = packed_at(p[i], "a.l");
        ck_assert_uint_eq(json_array_size(v), 1);
        json_decref(v);
        ck_assert_ptr_null(packed_at(p[i], "a.c"));
        ck_assert_ptr_null(packed_at(p[i], "s.c"));
        ck_assert_ptr_null(packed_at(p[i], "a.l.0"));
        packed_free(p[i]);
    }
    json_decref(j);
}
END_TEST

START_TEST(equal_whatever_their_order)
{
    json_t *a = parse("{\"x\":1,\"y\":[\"text\",2]}"), *b = parse("{\"y\":[\"text\",2],\"x\":1}");
    json_t *c = parse("{\"x\":1,\"y\":[\"text\",3]}");
    struct packed *first = packed_new(a), *second = packed_new(a), *third = packed_new(b);
    struct packed *other = packed_new(c);

    ck_assert(packed_eq(first, first) && packed_eq(first, second) && packed_eq(first, third));
    ck_assert(!packed_eq(first, other));
    packed_free(first);
    packed_free(second);
    packed_free(third);
    packed_free(other);
    json_decref(a);
    json_decref(b);
    json_decref(c);
}
END_TEST

START_TEST(words_are_one_pointer)
{
    const char *a = packed_word("/etc/mesh/pods.yaml"), *b = packed_word("/etc/mesh/pods.yaml");

    ck_assert_ptr_eq(a, b);
    ck_assert_str_eq(a, "/etc/mesh/pods.yaml");
    packed_word_free(a);
    ck_assert_str_eq(b, "/etc/mesh/pods.yaml");
    packed_word_free(b);
    packed_word_free(NULL);
}
END_TEST

/* a value out of few words, so that everything is shared at some time */
static json_t *any_value(uint64_t *seed, unsigned depth)
{
    static const char *const names[] = {"name", "namespace", "uid", "labels",
                                        "a longer text, used"};
    uint64_t r = unit_random(seed);
    json_t *out;
    char text[32];

    switch (depth > 3 ? r % 4 : r % 6) {
    case 0:
        return json_string(names[r / 8 % 5]);
    case 1:
        return json_integer((json_int_t)(r >> (r / 8 % 64)));
    case 2:
        snprintf(text, sizeof(text), "once %d", (int)(r / 8 % 1000));
        return json_string(text);
    case 3:
        return json_boolean(r / 8 % 2);
    case 4:
        out = json_array();
        for (unsigned i = 0; i < r / 8 % 5; i++)
            json_array_append_new(out, any_value(seed, depth + 1));
        return out;
    default:
        out = json_object();
        for (unsigned i = 0; i < r / 8 % 5; i++)
            json_object_set_new(out, names[i], any_value(seed, depth + 1));
        return out;
    }
}

/* Values come and go in any order; each is whole until it goes.  Under a leak checker: so are the
 * words. */
START_TEST(many_that_come_and_go)
{
    enum { N = 200, ROUNDS = 20000 };
    static struct packed *p[N];
    static json_t *was[N];
    uint64_t seed = 7;

    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned k = (unsigned)(unit_random(&seed) % N);
        if (p[k]) {
            json_t *back = packed_at(p[k], "");
            ck_assert(json_equal(back, was[k]));
            json_decref(back);
        }
        packed_free(p[k]);
        json_decref(was[k]);
        was[k] = any_value(&seed, 0);
        p[k] = packed_new(was[k]);
    }
    for (unsigned k = 0; k < N; k++) {
        packed_free(p[k]);
        json_decref(was[k]);
    }
}
END_TEST

#ifndef __SANITIZE_ADDRESS__
static json_t *pod(unsigned i)
{
    char name[64];

    snprintf(name, sizeof(name), "web-7f9c4d-%05u", i);
    return json_pack("{s:s,s:s,s:{s:s,s:s,s:{s:s,s:s}},s:{s:s,s:[{s:s,s:s,s:[{s:s,s:i}]},{s:s,s:s,"
                     "s:[s,s,s]}]},s:{s:"
                     "s,s:s}}",
                     "apiVersion", "v1", "kind", "Pod", "metadata", "name", name, "namespace",
                     "shop", "labels", "app", "web", "fsm-proxy-uuid", name, "spec",
                     "serviceAccountName", "web", "containers", "name", "app", "image",
                     "registry/app:1", "ports", "name", "http", "containerPort", 8080, "name",
                     "sidecar", "image", "registry/fsm-sidecar:1", "args", "--controller",
                     "https://c:6060", "--workers=1", "status", "phase", "Running", "podIP", name);
}

/* what makes it worth its while */
START_TEST(pods_of_one_template_are_small)
{
    enum { N = 10000 };
    struct packed **v = xcalloc(N, sizeof(*v));
    size_t before = mallinfo2().uordblks;

    for (unsigned i = 0; i < N; i++) {
        json_t *j = pod(i);
        v[i] = packed_new(j);
        json_decref(j);
    }
    size_t each = (mallinfo2().uordblks - before) / N;
    ck_assert_msg(each < 200, "%zu bytes each", each); /* as jansson: 4,000 */
    for (unsigned i = 0; i < N; i++)
        packed_free(v[i]);
    free(v);
}
END_TEST
#else
START_TEST(pods_of_one_template_are_small)
{
}
END_TEST
#endif

UNIT_MAIN("packed values", what_comes_out_is_what_went_in, a_part_of_it, equal_whatever_their_order,
          words_are_one_pointer, many_that_come_and_go, pods_of_one_template_are_small)
