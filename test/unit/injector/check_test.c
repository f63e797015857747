/* objects: injector/webhook/review.c injector/webhook/check.c */
/* check_test.c - which objects of the mesh are let in, with which words they are refused, and of
 * what their authors are warned. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/mem.h"
#include "injector/webhook/check.h"
#include "test/unit/unit.h"

#define HEAD   "\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\""
#define CONFIG "\"apiVersion\":\"config.flomesh.io/v1alpha3\",\"kind\":\"MeshConfig\""
#define RETRY  "\"apiVersion\":\"policy.flomesh.io/v1alpha1\",\"kind\":\"Retry\""
#define TARGET "\"apiVersion\":\"access.smi-spec.io/v1alpha3\",\"kind\":\"TrafficTarget\""
#define OURS   "\"metadata\":{\"name\":\"fsm-mesh-config\",\"namespace\":\"fsm-system\"}"
#define NAMED  "\"metadata\":{\"name\":\"web\",\"namespace\":\"app\"}"
#define GOOD_RETRY                                                                                 \
    "{" RETRY "," NAMED ",\"spec\":{\"source\":{\"kind\":\"ServiceAccount\",\"name\":\"c\","       \
    "\"namespace\":\"app\"},\"destinations\":[{\"kind\":\"Service\",\"name\":\"s\","               \
    "\"namespace\":\"app\"}],\"retryPolicy\":{\"retryOn\":\"5xx\"}}}"
#define GOOD_TARGET                                                                                \
    "{" TARGET "," NAMED ",\"spec\":{\"destination\":{\"kind\":\"ServiceAccount\",\"name\":\"s\"," \
    "\"namespace\":\"app\"},\"sources\":[{\"kind\":\"ServiceAccount\",\"name\":\"c\","             \
    "\"namespace\":\"app\"}],\"rules\":[{\"kind\":\"TCPRoute\",\"name\":\"t\"}]}}"

static struct review rv;
static struct check_result res;
static struct err e;
static json_t *meshconfig, *ns;
static char *words; /* the refusal, or the warnings in lines */

static void forget(void)
{
    review_clear(&rv);
    check_clear(&res);
    free(words);
    words = NULL;
}

static int judge(const char *operation, const char *where, const char *object, const char *old)
{
    const struct check_world w = {
        .mesh_name = "fsm", .fsm_namespace = "fsm-system", .meshconfig = meshconfig, .ns = ns};
    struct buf out = BUF_INIT;
    size_t i;
    json_t *v;

    forget();
    char *text =
        xasprintf("{" HEAD ",\"request\":{\"uid\":\"u\",\"operation\":\"%s\",\"namespace\":"
                  "\"%s\",\"resource\":{\"group\":\"x\",\"version\":\"v1\",\"resource\":"
                  "\"things\"},\"object\":%s,\"oldObject\":%s}}",
                  operation, where, object, old);
    e.text[0] = '\0';
    ck_assert_msg(review_read(slice_str(text), &rv, &e) == 0, "%s: %s", e.text, text);
    free(text);
    if (check_object(&rv, &w, &res, &e) < 0)
        return -1;
    buf_puts(&out, res.why ? res.why : "");
    json_array_foreach (res.warnings, i, v)
        buf_printf(&out, "%s\n", json_string_value(v));
    words = buf_take(&out);
    return 0;
}

static void is(enum check_verdict want, const char *text)
{
    ck_assert_msg(res.verdict == want && strstr(words, text), "verdict %d: %s", res.verdict, words);
    if (want == CHECK_good)
        ck_assert_str_eq(words, "");
}

static void create(const char *where, const char *object, enum check_verdict want, const char *text)
{
    ck_assert_int_eq(judge("CREATE", where, object, "null"), 0);
    is(want, text);
}

static json_t *config_with(const char *spec)
{
    struct err why;
    char *text = xasprintf("{" CONFIG "," OURS ",\"spec\":%s}", spec);
    json_t *j = json_parse(slice_str(text), 4096, &why);

    ck_assert_msg(j != NULL, "%s", why.text);
    free(text);
    return j;
}

START_TEST(refusals_name_object_field_and_what_was_expected)
{
    create("fsm-system", "{" CONFIG "," OURS ",\"spec\":{\"traffic\":{\"enableEgress\":true}}}",
           CHECK_good, "");
    create("fsm-system", "{" CONFIG "," OURS "}", CHECK_good, "");
    create("fsm-system",
           "{" CONFIG "," OURS ",\"spec\":{\"traffic\":{\"interceptionMode\":\"ebfp\"}}}",
           CHECK_refused,
           "MeshConfig fsm-system/fsm-mesh-config: spec.traffic.interceptionMode: got \"ebfp\"");
    ck_assert_ptr_nonnull(strstr(words, "expected"));
    create("fsm-system",
           "{" CONFIG "," OURS ",\"spec\":{\"traffic\":{\"outboundPortExclusionList\":[70000],"
           "\"outboundIPRangeExclusionList\":[\"10.0.0.0/33\"]}}}",
           CHECK_refused, "spec.traffic.outboundPortExclusionList[0]: got 70000");
    ck_assert_ptr_nonnull(strstr(words, "; spec.traffic.outboundIPRangeExclusionList[0]: "));
    create("app", GOOD_RETRY, CHECK_good, "");
    create("app", "{" RETRY "," NAMED ",\"spec\":{}}", CHECK_refused,
           "Retry app/web: spec.source: ");
    create("app",
           "{" TARGET "," NAMED ",\"spec\":{\"destination\":{\"kind\":\"ServiceAccount\",\"name\":"
           "\"s\",\"namespace\":\"other\"},\"sources\":[{\"kind\":\"ServiceAccount\",\"name\":"
           "\"c\",\"namespace\":\"app\"}],\"rules\":[{\"kind\":\"TCPRoute\",\"name\":\"t\"}]}}",
           CHECK_refused,
           "TrafficTarget app/web: spec.destination.namespace: got \"other\", expected the "
           "namespace of the TrafficTarget, \"app\"");
    create("app", "{\"apiVersion\":\"policy.flomesh.io/v7\",\"kind\":\"Retry\"," NAMED "}",
           CHECK_refused,
           "apiVersion: got \"policy.flomesh.io/v7\", expected "
           "policy.flomesh.io/v1alpha1");
    forget();
}
END_TEST

START_TEST(many_problems_are_bounded)
{
    create("fsm-system",
           "{" CONFIG "," OURS
           ",\"spec\":{\"traffic\":{\"outboundPortExclusionList\":[0,-1,-2,-3,-4,"
           "-5,-6,-7,-8,-9]}}}",
           CHECK_refused, "; and 2 more");
    forget();
}
END_TEST

START_TEST(a_secret_is_not_repeated)
{
    create("fsm-system",
           "{" CONFIG "," OURS ",\"spec\":{\"observability\":{\"remoteLogging\":{\"authorization\":"
           "{\"word\":\"hunter2\"}}}}}",
           CHECK_refused, "authorization");
    ck_assert_ptr_null(strstr(words, "hunter2"));
    forget();
}
END_TEST

START_TEST(names_that_the_server_is_still_to_give)
{
    create("app",
           "{" TARGET
           ",\"metadata\":{\"generateName\":\"web-\"},\"spec\":{\"destination\":{\"kind\":"
           "\"ServiceAccount\",\"name\":\"s\",\"namespace\":\"app\"},\"sources\":[{\"kind\":"
           "\"ServiceAccount\",\"name\":\"c\",\"namespace\":\"app\"}],\"rules\":[{\"kind\":"
           "\"TCPRoute\",\"name\":\"t\"}]}}",
           CHECK_good, "");
    forget();
}
END_TEST

/* what was stored before there was this check can still lose its finalizers */
START_TEST(an_update_that_changes_nothing_of_ours_is_let_through)
{
    static const char bad[] = "{" RETRY "," NAMED ",\"spec\":{}}";
    static const char labelled[] =
        "{" RETRY ",\"metadata\":{\"name\":\"web\",\"namespace\":\"app\","
        "\"labels\":{\"a\":\"b\"}},\"spec\":{},\"status\":{\"x\":1}}";
    static const char other[] = "{" RETRY "," NAMED ",\"spec\":{\"source\":{}}}";
    static const char going[] = "{" RETRY ",\"metadata\":{\"name\":\"web\",\"namespace\":\"app\","
                                "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"},\"spec\":{}}";

    ck_assert_int_eq(judge("UPDATE", "app", labelled, bad), 0);
    is(CHECK_warned, "not in force: Retry app/web: spec.source");
    ck_assert_int_eq(judge("UPDATE", "app", other, bad), 0);
    is(CHECK_refused, "spec.source");
    ck_assert_int_eq(judge("UPDATE", "app", bad, GOOD_RETRY), 0);
    is(CHECK_refused, "spec.source");
    ck_assert_int_eq(judge("UPDATE", "app", going, GOOD_RETRY), 0);
    is(CHECK_good, "");
    forget();
}
END_TEST

START_TEST(warnings_of_the_mesh_config)
{
    create("app", "{" CONFIG "," NAMED ",\"spec\":{}}", CHECK_warned,
           "reads the MeshConfig fsm-system/fsm-mesh-config only: app/web has no effect");
    create("fsm-system",
           "{" CONFIG "," OURS ",\"spec\":{\"trafic\":{},\"traffic\":{\"enableEgres\":true}}}",
           CHECK_warned, "spec.traffic.enableEgres: unknown field, did you mean \"enableEgress\"?");
    ck_assert_ptr_nonnull(strstr(words, "spec.trafic: unknown field, did you mean \"traffic\"?"));
    create("fsm-system",
           "{" CONFIG "," OURS ",\"spec\":{\"sidecar\":{\"configResyncInterval\":\"5s\"}}}",
           CHECK_warned, "spec.sidecar.configResyncInterval: less than 30s has no effect");
    create("fsm-system",
           "{" CONFIG "," OURS ",\"spec\":{\"sidecar\":{\"configResyncInterval\":\"0s\"}}}",
           CHECK_good, "");
    create("fsm-system",
           "{" CONFIG "," OURS ",\"spec\":{\"certificate\":{\"certKeyBitSize\":512}}}",
           CHECK_warned, "certKeyBitSize: outside of 2048..4096");
    create("fsm-system",
           "{" CONFIG "," OURS ",\"spec\":{\"sidecar\":{\"sidecarDisabledMTLS\":true}}}",
           CHECK_warned, "sidecars speak plaintext");
    create("fsm-system",
           "{" CONFIG "," OURS ",\"spec\":{\"ingress\":{\"enabled\":true},\"gatewayAPI\":{"
           "\"enabled\":true}}}",
           CHECK_warned, "exclude each other");
    forget();
}
END_TEST

START_TEST(warnings_that_the_rest_of_the_mesh_explains)
{
    struct err why;

    create("app", GOOD_RETRY, CHECK_good, ""); /* nothing is known of the mesh */
    meshconfig = config_with("{\"featureFlags\":{\"enableRetryPolicy\":false},\"traffic\":{"
                             "\"enablePermissiveTrafficPolicyMode\":true}}");
    create(
        "app", GOOD_RETRY, CHECK_warned,
        "this Retry has no effect while spec.featureFlags.enableRetryPolicy of the MeshConfig is "
        "not true");
    create("app", GOOD_TARGET, CHECK_warned, "this TrafficTarget restricts nothing while");
    json_decref(meshconfig);
    meshconfig = config_with("{\"featureFlags\":{\"enableRetryPolicy\":true}}");
    create("app", GOOD_RETRY, CHECK_good, "");
    create("app", GOOD_TARGET, CHECK_good, "");
    ns = json_parse(slice_str("{\"metadata\":{\"name\":\"app\",\"labels\":{\"flomesh.io/"
                              "monitored-by\":\"other\"}}}"),
                    4096, &why);
    create("app", GOOD_RETRY, CHECK_warned, "namespace app is not in the mesh");
    json_decref(ns);
    ns = json_parse(slice_str("{\"metadata\":{\"name\":\"app\",\"labels\":{\"flomesh.io/"
                              "monitored-by\":\"fsm\"}}}"),
                    4096, &why);
    create("app", GOOD_RETRY, CHECK_good, "");
    json_decref(ns);
    json_decref(meshconfig);
    ns = meshconfig = NULL;
    forget();
}
END_TEST

START_TEST(what_is_not_ours_to_judge)
{
    create("app", "{\"apiVersion\":\"x.io/v1\",\"kind\":\"Thing\"," NAMED ",\"spec\":7}",
           CHECK_warned, "does not know kind Thing of x.io/v1");
    ck_assert_int_eq(judge("CREATE", "app", "null", "null"), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "request.object: expected an object"));
    ck_assert_int_eq(judge("CREATE", "app", "[]", "null"), -1);
    ck_assert_int_eq(judge("CREATE", "app", "{\"kind\":\"Retry\"}", "null"), -1);
    create("app", "{\"apiVersion\":7,\"kind\":[],\"metadata\":{}}", CHECK_warned,
           "does not know kind");
    create("app", "{" RETRY ",\"metadata\":{\"name\":7,\"generateName\":8}}", CHECK_refused,
           "metadata.name");
    forget();
}
END_TEST

/* each byte of an object changed: nothing but a verdict */
START_TEST(broken_objects_are_survived)
{
    static const char good[] = GOOD_RETRY;
    char text[sizeof(good)];
    uint64_t seed = 88172645463325252ull;

    for (size_t i = 0; i < sizeof(good) - 1; i++) {
        for (unsigned k = 0; k < 8; k++) {
            struct check_world w = {.mesh_name = "fsm", .fsm_namespace = "fsm-system"};
            memcpy(text, good, sizeof(good));
            text[i] = (char)unit_random(&seed);
            json_t *object = json_parse(slice_of(text, sizeof(good) - 1), sizeof(good), &e);
            struct review r = {.ns = "app", .operation = "CREATE", .object = object};
            if (object && check_object(&r, &w, &res, &e) == 0)
                check_clear(&res);
            json_decref(object);
        }
    }
}
END_TEST

UNIT_MAIN("check", refusals_name_object_field_and_what_was_expected, many_problems_are_bounded,
          a_secret_is_not_repeated, names_that_the_server_is_still_to_give,
          an_update_that_changes_nothing_of_ours_is_let_through, warnings_of_the_mesh_config,
          warnings_that_the_rest_of_the_mesh_explains, what_is_not_ours_to_judge,
          broken_objects_are_survived)
