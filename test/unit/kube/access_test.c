/* access_test.c - kubeconfigs as kubectl reads them: files merged, contexts, credentials. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/kube/access.h"
#include "test/unit/unit.h"

static char dir[64];
static struct kube_access a;
static struct err e;

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/fsm-access-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    unsetenv("KUBECONFIG");
    setenv("HOME", dir, 1);
    e.text[0] = '\0';
}

static void teardown(void)
{
    kube_access_clear(&a);
    file_remove_tree(dir, NULL);
}

static const char *at(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void put(const char *name, const char *text)
{
    ck_assert_int_eq(file_write(at(name), text, strlen(text), 0600, &e), 0);
}

static int load(const char *kubeconfig, const char *context)
{
    kube_access_clear(&a);
    e.text[0] = '\0';
    return kube_access_load(&(struct kube_access_from){kubeconfig, context, false}, &a, &e);
}

static void refused(const char *text, const char *why)
{
    put("bad", text);
    ck_assert_msg(load(at("bad"), NULL) < 0, "accepted: %s", text);
    ck_assert_msg(strstr(e.text, why) != NULL, "%s\nexpected %s", e.text, why);
    ck_assert_ptr_null(a.server);
}

static const char *token(void)
{
    static struct buf text;
    buf_free(&text);
    return kube_access_token(&a, &text, &e) < 0 ? NULL : text.p ? text.p : "";
}

#define TWO                                                                                        \
    "apiVersion: v1\n"                                                                             \
    "kind: Config\n"                                                                               \
    "current-context: dev\n"                                                                       \
    "clusters:\n"                                                                                  \
    "- name: dev\n"                                                                                \
    "  cluster: {server: 'https://dev:6443/', certificate-authority: pki/ca.crt,\n"                \
    "            tls-server-name: kubernetes}\n"                                                   \
    "- name: prod\n"                                                                               \
    "  cluster: {server: 'https://prod', certificate-authority-data: UEVN, proxy-url: "            \
    "'http://p:1'}\n"                                                                              \
    "users:\n"                                                                                     \
    "- name: me\n"                                                                                 \
    "  user: {client-certificate-data: Q0VSVA==, client-key: me.key}\n"                            \
    "- name: robot\n"                                                                              \
    "  user: {token: static, tokenFile: token}\n"                                                  \
    "contexts:\n"                                                                                  \
    "- name: dev\n"                                                                                \
    "  context: {cluster: dev, user: me, namespace: web}\n"                                        \
    "- name: prod\n"                                                                               \
    "  context: {cluster: prod, user: robot}\n"

START_TEST(one_file_two_contexts)
{
    mkdir(at("pki"), 0700);
    put("pki/ca.crt", "CA");
    put("me.key", "KEY");
    put("config", TWO);
    ck_assert_msg(load(at("config"), NULL) == 0, "%s", e.text);
    ck_assert_str_eq(a.server, "https://dev:6443");
    ck_assert_str_eq(a.tls_name, "kubernetes");
    ck_assert_str_eq(a.ns, "web");
    ck_assert(slice_eq_str(buf_slice(&a.ca), "CA"));
    ck_assert(slice_eq_str(buf_slice(&a.cert), "CERT"));
    ck_assert(slice_eq_str(buf_slice(&a.key), "KEY"));
    ck_assert_str_eq(token(), "");
    ck_assert_ptr_nonnull(strstr(a.told, "context dev of "));
    ck_assert_msg(load(at("config"), "prod") == 0, "%s", e.text);
    ck_assert_str_eq(a.server, "https://prod");
    ck_assert_str_eq(a.proxy, "http://p:1");
    ck_assert_str_eq(a.ns, "default");
    ck_assert(slice_eq_str(buf_slice(&a.ca), "PEM"));
    ck_assert_int_lt(load(at("config"), "test"), 0);
    ck_assert_ptr_nonnull(strstr(e.text, "--context names the context \"test\", which is not "
                                         "there; there is: dev, prod"));
}
END_TEST

START_TEST(tokens_rotate)
{
    put("config", TWO);
    ck_assert_msg(load(at("config"), "prod") == 0, "%s", e.text);
    ck_assert_str_eq(token(), "static"); /* until there is a file */
    put("token", "one\n");
    ck_assert_str_eq(token(), "one");
    put("token", "two\r\n");
    ck_assert_str_eq(token(), "two");
    unlink(at("token"));
    ck_assert_str_eq(token(), "static");
    put("config", "{current-context: c, clusters: [{name: c, cluster: {server: 'https://h'}}], "
                  "contexts: [{name: c, context: {cluster: c, user: u}}], "
                  "users: [{name: u, user: {tokenFile: token}}]}");
    ck_assert_msg(load(at("config"), NULL) == 0, "%s", e.text);
    ck_assert_ptr_null(token());
    ck_assert_ptr_nonnull(strstr(e.text, "/token"));
}
END_TEST

START_TEST(no_secret_goes_where_everybody_listens)
{
    put("config", "{current-context: c, clusters: [{name: c, cluster: {server: 'http://h:8001'}}], "
                  "contexts: [{name: c, context: {cluster: c, user: u}}], "
                  "users: [{name: u, user: {token: t}}]}");
    ck_assert_msg(load(at("config"), NULL) == 0, "%s", e.text);
    ck_assert_str_eq(token(), "");
}
END_TEST

#define ONE(name, server)                                                                          \
    "clusters: [{name: " name ", cluster: {server: 'https://" server "'}}]\n"                      \
    "contexts: [{name: " name ", context: {cluster: " name "}}]\n"

START_TEST(several_files_are_one)
{
    put("1", "current-context: b\n" ONE("a", "a1"));
    put("2", "current-context: a\n"
             "clusters: [{name: a, cluster: {server: 'https://a2', proxy-url: 'http://x'}}, "
             "{name: b, cluster: {server: 'https://b2'}}]\n"
             "contexts: [{name: b, context: {cluster: b}}]\n");
    char *list = xasprintf("%s:%s::%s", at("1"), at("missing"), at("2"));
    setenv("KUBECONFIG", list, 1);
    ck_assert_msg(load(NULL, NULL) == 0, "%s", e.text);
    ck_assert_str_eq(a.server, "https://b2"); /* the first current-context */
    ck_assert_msg(load(NULL, "a") == 0, "%s", e.text);
    ck_assert_str_eq(a.server, "https://a1"); /* the first entry, whole */
    ck_assert_ptr_null(a.proxy);
    /* --kubeconfig stands alone */
    put("3", "current-context: z\n" ONE("z", "z3"));
    ck_assert_msg(load(at("3"), NULL) == 0, "%s", e.text);
    ck_assert_str_eq(a.server, "https://z3");
    ck_assert_int_lt(load(at("missing"), NULL), 0);
    free(list);
}
END_TEST

START_TEST(the_home_directory_comes_last)
{
    mkdir(at(".kube"), 0700);
    ck_assert_int_lt(load(NULL, NULL), 0);
    ck_assert_ptr_nonnull(strstr(e.text, "no current-context"));
    put(".kube/config", "current-context: h\n" ONE("h", "home"));
    ck_assert_msg(load(NULL, NULL) == 0, "%s", e.text);
    ck_assert_str_eq(a.server, "https://home");
}
END_TEST

#define USER(text)                                                                                 \
    "{current-context: c, clusters: [{name: c, cluster: {server: 'https://h'}}], "                 \
    "contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {" text "}}]}"
#define CLUSTER(text)                                                                              \
    "{current-context: c, clusters: [{name: c, cluster: {" text "}}], "                            \
    "contexts: [{name: c, context: {cluster: c}}]}"

START_TEST(what_is_refused_says_why)
{
    refused(USER("exec: {command: aws-iam, args: [x]}"),
            "come from the command \"aws-iam\" (exec), which is not run here: use a token");
    refused(USER("auth-provider: {name: gcp}"), "auth-provider");
    refused(USER("username: u, password: p"), "has a password");
    refused(USER("as: root"), "acts as somebody else");
    refused(USER("client-certificate-data: '%'"), "client-certificate-data is not base64");
    refused(USER("client-certificate-data: UEVN"), "the key is missing");
    refused(USER("client-key: /nonexistent"), "/nonexistent");
    refused(CLUSTER("insecure-skip-tls-verify: true, server: 'https://h', "
                    "certificate-authority-data: UEVN"),
            "exclude each other");
    refused(CLUSTER("proxy-url: x"), "has no server");
    refused(CLUSTER("server: 'h:443'"), "expected https://HOST:PORT");
    refused("", "no current-context");
    refused("current-context: x\n", "names the context \"x\", which is not there; there is: none");
    refused("kind: Pod\n", "expected a kubeconfig");
    refused("[]", "expected a kubeconfig");
    refused("a: [", "bad:");
    refused("clusters: [{name: a}, {name: a}]", "\"a\" stands twice");
    refused("clusters: [7]", "expected entries of {name");
    refused("{current-context: c, contexts: [{name: c, context: {cluster: x}}]}",
            "the context names the cluster \"x\"");
    refused("{current-context: c, clusters: [{name: c, cluster: {server: 'https://h'}}], "
            "contexts: [{name: c, context: {cluster: c, user: u}}]}",
            "the context names the user \"u\"");
}
END_TEST

START_TEST(outside_a_pod_there_is_no_service_account)
{
    unsetenv("KUBERNETES_SERVICE_HOST");
    ck_assert(!kube_access_is_in_cluster());
    ck_assert_int_lt(kube_access_load(&(struct kube_access_from){.in_cluster = true}, &a, &e), 0);
    ck_assert_ptr_nonnull(strstr(e.text, "does not run in a pod"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("access");
    TCase *tc = tcase_create("access");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, one_file_two_contexts);
    tcase_add_test(tc, tokens_rotate);
    tcase_add_test(tc, no_secret_goes_where_everybody_listens);
    tcase_add_test(tc, several_files_are_one);
    tcase_add_test(tc, the_home_directory_comes_last);
    tcase_add_test(tc, what_is_refused_says_why);
    tcase_add_test(tc, outside_a_pod_there_is_no_service_account);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
