/* document_test.c - the two forms of a document, its version, and patches against a slow model. */
#include "common/policy/document.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/json.h"

static json_t *parse(const char *text)
{
    struct err e = {""};
    json_t *j = json_parse(slice_str(text), 1 << 20, &e);

    ck_assert_msg(j != NULL, "%s in %s", e.text, text);
    return j;
}

static void same(const json_t *a, const json_t *b)
{
    struct buf x = BUF_INIT, y = BUF_INIT;

    json_print(a, &x);
    json_print(b, &y);
    ck_assert_str_eq(x.p, y.p);
    buf_free(&x);
    buf_free(&y);
}

static const char presented[] =
    "{\"Ts\":\"2026-01-02T03:04:05Z\",\"Version\":\"1\",\"Metrics\":false,"
    "\"Spec\":{\"SidecarLogLevel\":\"error\",\"SidecarTimeout\":60},"
    "\"Certificate\":null,"
    "\"Inbound\":{\"TrafficMatches\":{\"80\":{\"SourceIPRanges\":{\"10.0.0.0/8\":null,"
    "\"11.0.0.0/8\":{\"mTLS\":true,\"SkipClientCertValidation\":false,"
    "\"AuthenticatedPrincipals\":[\"a\"]}},\"Port\":80,\"Protocol\":\"http\","
    "\"HttpHostPort2Service\":{\"a\":\"r\",\"b\":\"r\"},"
    "\"HttpServiceRouteRules\":{\"r\":{\".*\":{\"Headers\":null,\"Methods\":null,"
    "\"TargetClusters\":{\"c\":100},\"AllowedServices\":null},"
    "\"/x\":[{\"Headers\":{\"h\":\"v\"},\"Methods\":[\"GET\"],\"TargetClusters\":{\"c\":100},"
    "\"AllowedServices\":[\"sa.ns\"]}]}},\"TargetClusters\":null,\"AllowedEndpoints\":null}},"
    "\"ClustersConfigs\":null},"
    "\"Outbound\":{\"TrafficMatches\":{\"80\":[{\"DestinationIPRanges\":[\"10.1.1.1/32\"],"
    "\"Port\":80,\"Protocol\":\"tcp\",\"HttpHostPort2Service\":null,"
    "\"HttpServiceRouteRules\":null,\"TargetClusters\":{\"n/s|1\":100},"
    "\"AllowedEgressTraffic\":false,\"ServiceIdentity\":\"a.b.c\"},"
    "{\"DestinationIPRanges\":null,\"Port\":80,\"Protocol\":\"http\","
    "\"HttpHostPort2Service\":null,\"HttpServiceRouteRules\":null,\"TargetClusters\":null,"
    "\"AllowedEgressTraffic\":true,\"ServiceIdentity\":\"\"}]},\"ClustersConfigs\":null},"
    "\"AllowedEndpoints\":null}";

START_TEST(forms_turn_into_each_other)
{
    json_t *p = parse(presented), *wire = document_strip_nulls(p), *back = document_present(wire);
    struct buf text = BUF_INIT;

    json_print(wire, &text);
    ck_assert_ptr_null(strstr(text.p, "null"));
    json_t *again = document_strip_nulls(wire);
    ck_assert_ptr_eq(again, wire);
    json_decref(again);
    ck_assert_ptr_eq(json_object_get(wire, "Spec"), json_object_get(p, "Spec"));
    ck_assert_ptr_ne(json_object_get(wire, "Inbound"), json_object_get(p, "Inbound"));
    ck_assert_ptr_nonnull(strstr(text.p, "\"10.0.0.0/8\":{}"));
    same(back, p);
    ck_assert_uint_eq(document_hash(p), document_hash(wire));
    json_decref(p);
    json_decref(wire);
    json_decref(back);
    buf_free(&text);
}
END_TEST

START_TEST(presenting_sorts_and_fills)
{
    json_t *wire = parse("{\"zz\":1,\"Outbound\":{\"TrafficMatches\":{\"80\":["
                         "{\"Protocol\":\"http\",\"Port\":80},"
                         "{\"Port\":80,\"DestinationIPRanges\":[\"9.0.0.1/32\"]},"
                         "{\"Port\":80,\"DestinationIPRanges\":[\"10.0.0.1/32\"]}]}},"
                         "\"Metrics\":true,\"Inbound\":{}}");
    json_t *p = document_present(wire);
    json_t *items = json_at(p, "Outbound.TrafficMatches.80");
    struct buf text = BUF_INIT;

    ck_assert_str_eq(document_item_key(json_array_get(items, 0)), "10.0.0.1/32");
    ck_assert_str_eq(document_item_key(json_array_get(items, 1)), "9.0.0.1/32");
    ck_assert_str_eq(document_item_key(json_array_get(items, 2)), "http");
    ck_assert(json_is_null(json_object_get(json_array_get(items, 2), "DestinationIPRanges")));
    json_object_del(p, "Outbound");
    json_print(p, &text);
    ck_assert_str_eq(text.p, "{\"Metrics\":true,\"Certificate\":null,"
                             "\"Inbound\":{\"TrafficMatches\":null,\"ClustersConfigs\":null},"
                             "\"AllowedEndpoints\":null,\"zz\":1}");
    json_decref(wire);
    json_decref(p);
    buf_free(&text);
}
END_TEST

START_TEST(version_follows_meaning_only)
{
    json_t *a = parse("{\"Spec\":{\"a\":1,\"b\":[1,2]},\"Ts\":\"x\",\"Version\":\"5\"}");
    json_t *b = parse("{\"Spec\":{\"b\":[1,2],\"a\":1,\"c\":null}}");
    char va[DOCUMENT_VERSION_MAX], vb[DOCUMENT_VERSION_MAX];

    ck_assert_str_eq(document_version(a, va), document_version(b, vb));
    static const char *const others[] = {
        "{\"Spec\":{\"a\":1,\"b\":[2,1]}}",          "{\"Spec\":{\"a\":\"1\",\"b\":[1,2]}}",
        "{\"Spec\":{\"a\":1,\"b\":[1,2,3]}}",        "{\"Spec\":{\"a\":1.0,\"b\":[1,2]}}",
        "{\"Spec\":{\"a\":true,\"b\":[1,2]}}",       "{\"Spec\":{\"a\":1,\"b\":[1,2],\"c\":{}}}",
        "{\"Spec\":{\"a\":1,\"b\":[1,2],\"c\":[]}}", "{\"Specs\":{\"a\":1,\"b\":[1,2]}}",
        "{\"Spec\":{\"a\":{\"b\":1},\"b\":[1,2]}}",  "{}"};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        json_t *o = parse(others[i]);
        ck_assert_msg(document_hash(o) != document_hash(a), "%s", others[i]);
        json_decref(o);
    }
    json_decref(a);
    json_decref(b);
}
END_TEST

/* a version is part of what proxies and controllers of different builds agree on */
START_TEST(version_is_the_same_for_ever)
{
    json_t *p = parse(presented);
    char v[DOCUMENT_VERSION_MAX];

    ck_assert_str_eq(document_version(p, v), "17404828175628740146");
    json_decref(p);
}
END_TEST

START_TEST(fragments_add_up_to_the_document)
{
    json_t *p = parse(presented), *wire = document_strip_nulls(p);
    uint64_t sum = 0;
    const char *key;
    json_t *member;

    json_object_foreach (wire, key, member) {
        if (strcmp(key, "Outbound") == 0 || strcmp(key, "Ts") == 0 || strcmp(key, "Version") == 0)
            continue;
        sum += document_fragment_hash((const char *const[]){key, NULL}, member);
    }
    json_t *items = json_at(wire, "Outbound.TrafficMatches.80");
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        const char *const names[] = {"Outbound", "TrafficMatches", "80", document_item_key(item),
                                     NULL};
        /* the identity apart, as the compiler adds it for every client */
        uint64_t place = DOCUMENT_ROOT;
        for (unsigned n = 0; names[n]; n++)
            place = document_path(place, names[n], strlen(names[n]));
        place = document_path(place, "ServiceIdentity", strlen("ServiceIdentity"));
        sum += place *
               document_string_hash(json_string_value(json_object_get(item, "ServiceIdentity")));
        json_object_del(item, "ServiceIdentity");
        sum += document_fragment_hash(names, item);
    }
    ck_assert_uint_eq(sum, document_hash(p));
    json_decref(p);
    json_decref(wire);
}
END_TEST

/* ---- patches --------------------------------------------------------------------------------- */

/* puts the Version that the patch should lead to into it, and applies it */
static json_t *apply(const json_t *doc, json_t *patch, const json_t *expected)
{
    char v[DOCUMENT_VERSION_MAX];
    uint64_t h = document_hash(doc);
    struct err e = {""};

    json_object_set_new(patch, "Version", json_string(document_version(expected, v)));
    json_t *out = document_patch(doc, patch, &h, &e);
    ck_assert_msg(out != NULL, "%s", e.text);
    ck_assert_uint_eq(h, document_hash(out));
    ck_assert_uint_eq(h, document_hash(expected));
    json_object_del(out, "Version");
    return out;
}

START_TEST(patch_changes_and_shares)
{
    json_t *doc =
        parse("{\"Spec\":{\"a\":1},\"AllowedEndpoints\":{\"1.1.1.1\":\"a.b\"},"
              "\"Outbound\":{\"TrafficMatches\":{\"80\":["
              "{\"DestinationIPRanges\":[\"1.0.0.1/32\"],\"Port\":80},"
              "{\"DestinationIPRanges\":[\"1.0.0.2/32\"],\"Port\":80,\"x\":{\"y\":1}}]}}}");
    json_t *want =
        parse("{\"Spec\":{\"a\":1},"
              "\"Outbound\":{\"TrafficMatches\":{\"80\":["
              "{\"DestinationIPRanges\":[\"1.0.0.1/32\"],\"Port\":80},"
              "{\"DestinationIPRanges\":[\"1.0.0.2/32\"],\"Port\":80,\"x\":{\"z\":2}}]}}}");
    json_t *patch =
        parse("{\"AllowedEndpoints\":{\"1.1.1.1\":null},\"Outbound\":{\"TrafficMatches\":"
              "{\"80\":{\"1.0.0.2/32\":{\"x\":{\"y\":null,\"z\":2}}}}}}");
    json_t *out = apply(doc, patch, want);

    same(out, want);
    ck_assert_ptr_eq(json_object_get(out, "Spec"), json_object_get(doc, "Spec"));
    json_t *was = json_at(doc, "Outbound.TrafficMatches.80");
    json_t *is = json_at(out, "Outbound.TrafficMatches.80");
    ck_assert_ptr_eq(json_array_get(was, 0), json_array_get(is, 0));
    ck_assert_ptr_ne(json_array_get(was, 1), json_array_get(is, 1));
    ck_assert_ptr_nonnull(json_object_get(doc, "AllowedEndpoints"));
    json_decref(doc);
    json_decref(want);
    json_decref(patch);
    json_decref(out);
}
END_TEST

START_TEST(patch_empties_what_means_nothing)
{
    json_t *doc = parse("{\"Metrics\":true,\"Outbound\":{\"TrafficMatches\":{\"80\":["
                        "{\"DestinationIPRanges\":[\"1.0.0.1/32\"]}]},"
                        "\"ClustersConfigs\":{\"c\":{\"Endpoints\":{}}}}}");
    json_t *want = parse("{\"Metrics\":true}");
    json_t *patch = parse("{\"Outbound\":{\"TrafficMatches\":{\"80\":{\"1.0.0.1/32\":null}},"
                          "\"ClustersConfigs\":{\"c\":null}}}");
    json_t *out = apply(doc, patch, want);

    same(out, want);
    json_decref(doc);
    json_decref(want);
    json_decref(patch);
    json_decref(out);
}
END_TEST

START_TEST(patch_to_another_version_is_refused)
{
    json_t *doc = parse("{\"Metrics\":true}");
    json_t *patch = parse("{\"Metrics\":false,\"Version\":\"1\"}");
    json_t *none = parse("{\"Metrics\":false}");
    json_t *turns = parse("{\"Version\":\"1\",\"Outbound\":{\"TrafficMatches\":{\"80\":{"
                          "\"1.0.0.1/32\":{\"DestinationIPRanges\":[\"1.0.0.2/32\"]}}}}}");
    uint64_t h = document_hash(doc), before = h;
    struct err e = {""};

    ck_assert_ptr_null(document_patch(doc, patch, &h, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "expected 1"));
    ck_assert_ptr_null(document_patch(doc, none, &h, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "no \"Version\""));
    ck_assert_ptr_null(document_patch(doc, turns, &h, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "into another"));
    ck_assert_uint_eq(h, before);
    ck_assert(json_is_true(json_object_get(doc, "Metrics")));
    json_decref(doc);
    json_decref(patch);
    json_decref(none);
    json_decref(turns);
}
END_TEST

/* The model: lists under Outbound.TrafficMatches become objects by item key, the patch is applied
 * as RFC 7386 says, and what is empty vanishes. */
static json_t *keyed(const json_t *doc)
{
    json_t *out = json_deep_copy(doc);
    const char *port;
    json_t *items;
    void *tmp;

    json_object_foreach_safe(json_at(out, "Outbound.TrafficMatches"), tmp, port, items)
    {
        json_t *o = json_object();
        for (size_t i = 0; i < json_array_size(items); i++) {
            json_t *item = json_array_get(items, i);
            json_object_set(o, document_item_key(item), item);
        }
        json_object_set_new(json_at(out, "Outbound.TrafficMatches"), port, o);
    }
    return out;
}

static void drop_if_empty(json_t *parent, const char *key)
{
    const json_t *v = json_object_get(parent, key);

    if (v && json_object_size(v) + json_array_size(v) == 0)
        json_object_del(parent, key);
}

static json_t *unkeyed(json_t *doc)
{
    json_t *matches = json_at(doc, "Outbound.TrafficMatches"), *items, *item;
    const char *port, *key;
    void *tmp;

    json_object_foreach_safe(matches, tmp, port, items)
    {
        json_t *list = json_array();
        json_object_foreach (items, key, item)
            json_array_append(list, item);
        json_object_set_new(matches, port, list);
        drop_if_empty(matches, port);
    }
    drop_if_empty(json_object_get(doc, "Outbound"), "TrafficMatches");
    drop_if_empty(json_object_get(doc, "Outbound"), "ClustersConfigs");
    drop_if_empty(doc, "Outbound");
    drop_if_empty(doc, "AllowedEndpoints");
    return doc;
}

static unsigned pick(unsigned n)
{
    return (unsigned)rand() % n;
}

static const char *word(void)
{
    static const char *const words[] = {"a", "b", "c", "d"};
    return words[pick(4)];
}

/* nulls only where a patch may have them */
static json_t *random_value(unsigned depth, bool nulls)
{
    unsigned what = pick(depth ? 6 : 4);

    if (what == 0)
        return nulls ? json_null() : json_true();
    if (what == 1)
        return json_integer(pick(3));
    if (what == 2)
        return json_string(word());
    if (what == 3)
        return pick(2) ? json_array() : json_pack("[i,s]", pick(2), word());
    json_t *o = json_object();
    for (unsigned n = pick(4); n > 0; n--)
        json_object_set_new(o, word(), random_value(depth - 1, nulls));
    return o;
}

static json_t *random_item(const char *range, bool nulls)
{
    json_t *item = pick(4) ? random_value(2, nulls) : json_object();

    if (!json_is_object(item)) {
        json_decref(item);
        item = json_object();
    }
    json_object_set_new(item, "DestinationIPRanges", json_pack("[s]", range));
    return item;
}

static json_t *random_doc(void)
{
    static const char *const ranges[] = {"1.1.1.1/32", "1.1.1.2/32", "1.1.1.3/32"};
    json_t *doc = json_object(), *matches = json_object();

    for (unsigned port = 80; port < 83; port++) {
        json_t *items = json_array();
        for (unsigned r = 0; r < 3; r++)
            if (pick(2))
                json_array_append_new(items, random_item(ranges[r], false));
        char key[8];
        snprintf(key, sizeof(key), "%u", port);
        json_object_set_new(matches, key, items);
    }
    json_object_set_new(doc, "Outbound",
                        json_pack("{s:o,s:{s:{s:{s:o}}}}", "TrafficMatches", matches,
                                  "ClustersConfigs", "c", "Endpoints", "e",
                                  random_value(1, false)));
    json_object_set_new(doc, "Spec", random_value(3, false));
    json_object_set_new(doc, "AllowedEndpoints", json_pack("{s:s}", word(), word()));
    json_t *tidy = unkeyed(keyed(doc));
    json_decref(doc);
    return tidy;
}

static json_t *random_patch(void)
{
    static const char *const ranges[] = {"1.1.1.1/32", "1.1.1.2/32", "1.1.1.3/32"};
    json_t *patch = json_object(), *matches = json_object();

    for (unsigned port = 80; port < 84; port++) {
        char key[8];
        snprintf(key, sizeof(key), "%u", port);
        if (pick(3) == 0)
            continue;
        if (pick(6) == 0) {
            json_object_set_new(matches, key, json_null());
            continue;
        }
        json_t *items = json_object();
        for (unsigned r = 0; r < 3; r++)
            if (pick(2))
                json_object_set_new(items, ranges[r],
                                    pick(3) ? random_item(ranges[r], true) : json_null());
        json_object_set_new(matches, key, items);
    }
    if (pick(4))
        json_object_set_new(patch, "Outbound", json_pack("{s:o}", "TrafficMatches", matches));
    else
        json_decref(matches);
    if (pick(2))
        json_object_set_new(patch, "Spec", random_value(3, true));
    if (pick(2))
        json_object_set_new(patch, "AllowedEndpoints",
                            json_pack("{s:o}", word(), pick(2) ? json_null() : json_string("z")));
    return patch;
}

START_TEST(patches_do_what_the_model_does)
{
    for (unsigned i = 0; i < 3000; i++) {
        srand(i);
        json_t *made = random_doc(), *patch = random_patch();
        json_t *want = unkeyed(json_merge_patch(keyed(made), patch));
        json_t *out = apply(made, patch, want);
        json_t *a = document_present(out), *b = document_present(want);
        ck_assert_msg(json_equal(a, b), "seed %u", i);
        json_decref(made);
        json_decref(patch);
        json_decref(want);
        json_decref(out);
        json_decref(a);
        json_decref(b);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("document");
    TCase *tc = tcase_create("document");

    tcase_add_test(tc, forms_turn_into_each_other);
    tcase_add_test(tc, presenting_sorts_and_fills);
    tcase_add_test(tc, version_follows_meaning_only);
    tcase_add_test(tc, version_is_the_same_for_ever);
    tcase_add_test(tc, fragments_add_up_to_the_document);
    tcase_add_test(tc, patch_changes_and_shares);
    tcase_add_test(tc, patch_empties_what_means_nothing);
    tcase_add_test(tc, patch_to_another_version_is_refused);
    tcase_add_test(tc, patches_do_what_the_model_does);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
