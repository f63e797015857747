/* controller_test.c - the real fsm-controller, asked by the real curl. */
/* objects: test/fake/api_server.c */
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/pki/pki.h"
#include "common/policy/document.h"
#include "test/fake/api_server.h"

static char binary[512]; /* build/<variant>/bin/fsm-controller, beside this test's own */

/* ---- the fixture: a directory, keys, one controller
 * ------------------------------------------------ */

static char base[] = "/tmp/fsm-controller-test.XXXXXX"; /* of all tests; main removes it */
static char dir[64];                                    /* of this test */
static char *token_key;
static unsigned port;
static pid_t controller;
static pid_t api_server; /* 0: resources are files */
static unsigned api_port;
static const char *verbose = "-v"; /* or NULL */

static char *path_of(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

static void put_file(const char *name, const char *text)
{
    char *path = path_of(name);
    struct err e = {""};

    ck_assert_msg(file_write(path, text, strlen(text), 0600, &e) == 0, "%s", e.text);
    free(path);
}

static char *get_file(const char *name)
{
    char *path = path_of(name);
    struct buf b = BUF_INIT;
    struct err e;

    file_read(path, 1 << 26, &b, &e);
    free(path);
    return buf_take(&b);
}

static void put_pod_of(const char *name, const char *uid, const char *sa, const char *ip)
{
    char *file = xasprintf("resources/pod-%s.yaml", name);
    char *text =
        xasprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: app, uid: %s, "
                  "labels: {app: %s, fsm-proxy-uuid: uuid-%s}}\nspec:\n  serviceAccountName: "
                  "%s\n  containers: [{name: app, image: app}]\nstatus: {podIP: %s, phase: "
                  "Running}\n",
                  name, uid, name, name, sa, ip);

    put_file(file, text);
    free(file);
    free(text);
}

static void put_service_in(const char *where, const char *name, const char *cluster_ip,
                           const char *endpoint)
{
    char *file = xasprintf("%s/svc-%s.yaml", where, name);
    char *text = xasprintf(
        "apiVersion: v1\nkind: Service\nmetadata: {name: %s, namespace: app}\nspec:\n  clusterIP: "
        "%s\n  selector: {app: %s}\n  ports: [{name: http, port: 80}]\n---\napiVersion: "
        "discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: %s-1, namespace: app, labels: "
        "{kubernetes.io/service-name: %s}}\naddressType: IPv4\nports: [{name: http, port: 80}]\n"
        "endpoints: [{addresses: [%s], conditions: {ready: true}}]\n",
        name, cluster_ip, name, name, name, endpoint);

    put_file(file, text);
    free(file);
    free(text);
}

static void put_service(const char *name, const char *cluster_ip, const char *endpoint)
{
    put_service_in("resources", name, cluster_ip, endpoint);
}

static void put_meshconfig(const char *extra)
{
    char *text = xasprintf("apiVersion: config.flomesh.io/v1alpha3\nkind: MeshConfig\nmetadata: "
                           "{name: fsm-mesh-config, namespace: fsm-system}\nspec:\n  traffic: "
                           "{enablePermissiveTrafficPolicyMode: true, enableEgress: true}\n%s",
                           extra);

    put_file("resources/meshconfig.yaml", text);
    free(text);
}

static unsigned free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    getsockname(fd, (struct sockaddr *)&a, &n);
    close(fd);
    return ntohs(a.sin_port);
}

struct answer {
    unsigned status;
    char *type, *roots, *issuer; /* content type, Fsm-Roots, Fsm-Issuer */
    char *body;
    double seconds;
};

static void answer_free(struct answer *a)
{
    free(a->type);
    free(a->roots);
    free(a->issuer);
    free(a->body);
}

static char *header_of(const char *headers, const char *name)
{
    char *low = xasprintf("\n%s:", name);
    const char *at = strcasestr(headers, low);
    char *out;

    if (at) {
        at += strlen(low);
        at += strspn(at, " ");
    }
    out = at ? xstrndup(at, strcspn(at, "\r\n")) : xstrdup("");
    free(low);
    return out;
}

/* a request that may still be under way */
struct call {
    FILE *curl;
    unsigned id;
};

static unsigned next_id;

/* where: a path of the API, with token; or of the admin socket when token is NULL */
static struct call call_begin(const char *method, const char *where, const char *token,
                              const char *body)
{
    struct call c = {NULL, next_id++};
    struct buf cmd = BUF_INIT;
    char *name;

    buf_printf(&cmd,
               "cd %s && curl -sS -m 30 -X %s -o body.%u -D head.%u -w '%%{http_code} "
               "%%{time_total}' ",
               dir, method, c.id, c.id);
    if (body) {
        name = xasprintf("sent.%u", c.id);
        put_file(name, body);
        buf_printf(&cmd, "--data-binary @%s -H 'Content-Type: application/json' ", name);
        free(name);
    }
    if (token && *token) {
        name = xasprintf("auth.%u", c.id);
        char *line = xasprintf("Authorization: Bearer %s", token);
        put_file(name, line);
        buf_printf(&cmd, "-H @%s ", name);
        free(line);
        free(name);
    }
    if (token)
        buf_printf(&cmd, "--cacert ca/trusted.pem 'https://localhost:%u%s'", port, where);
    else
        buf_printf(&cmd, "--unix-socket admin.sock 'http://admin%s'", where);
    buf_puts(&cmd, " 2>&1");
    c.curl = popen(cmd.p, "r");
    buf_free(&cmd);
    return c;
}

static struct answer call_end(struct call *c)
{
    struct answer a = {0};
    char line[512] = "", name[32];

    ck_assert(fgets(line, sizeof(line), c->curl) != NULL);
    if (sscanf(line, "%u %lf", &a.status, &a.seconds) != 2)
        ck_abort_msg("curl: %s", line);
    pclose(c->curl);
    snprintf(name, sizeof(name), "head.%u", c->id);
    char *headers = get_file(name);
    a.type = header_of(headers, "content-type");
    a.roots = header_of(headers, "fsm-roots");
    a.issuer = header_of(headers, "fsm-issuer");
    snprintf(name, sizeof(name), "body.%u", c->id);
    a.body = get_file(name);
    free(headers);
    return a;
}

static struct answer call(const char *method, const char *where, const char *token,
                          const char *body)
{
    struct call c = call_begin(method, where, token, body);

    return call_end(&c);
}

static struct answer expect(unsigned status, const char *method, const char *where,
                            const char *token, const char *body)
{
    struct answer a = call(method, where, token, body);

    ck_assert_msg(a.status == status, "%s %s: %u %s", method, where, a.status, a.body);
    return a;
}

static void expect_only(unsigned status, const char *method, const char *where, const char *token,
                        const char *body)
{
    struct answer a = expect(status, method, where, token, body);

    answer_free(&a);
}

/* the socket may not be there yet, or nobody listen on it */
static bool is_ready(void)
{
    char *cmd =
        xasprintf("curl -s -m 5 -o /dev/null -w '%%{http_code}' --unix-socket %s/admin.sock "
                  "http://admin/health/ready",
                  dir);
    FILE *curl = popen(cmd, "r");
    char code[16] = "";

    ck_assert(fgets(code, sizeof(code), curl) != NULL);
    pclose(curl);
    free(cmd);
    return strcmp(code, "200") == 0;
}

static bool wait_ready(void)
{
    for (unsigned i = 0; i < 500; i++) {
        if (is_ready())
            return true;
        usleep(10000);
    }
    return false;
}

static void start(void)
{
    char *log = path_of("log"), *listen = xasprintf("127.0.0.1:%u", port);
    char *admin = xasprintf("unix:%s/admin.sock", dir), *ca = path_of("ca");
    char *res = path_of(api_server ? "kubeconfig" : "resources"), *key = path_of("token.pub");

    controller = fork();
    ck_assert(controller >= 0);
    if (controller == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test fails */
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, 2);
        const char *args[16] = {"fsm-controller",
                                api_server ? "--kubeconfig" : "-f",
                                res,
                                "--ca-dir",
                                ca,
                                "--listen",
                                listen,
                                "--admin",
                                admin};
        unsigned n = 9;
        if (!api_server) {
            args[n++] = "--token-key";
            args[n++] = key;
        }
        args[n] = verbose;
        execv(binary, (char *const *)args);
        _exit(127);
    }
    if (!wait_ready()) {
        char *text = get_file("log");
        ck_abort_msg("not ready: %s", text);
    }
    struct err e = {""};
    struct buf pem = BUF_INIT;
    char *crt = path_of("ca/ca.crt");
    ck_assert_msg(file_read(crt, 1 << 16, &pem, &e) == 0, "%s", e.text);
    put_file("ca/trusted.pem", pem.p);
    buf_free(&pem);
    free(crt);
    free(log);
    free(listen);
    free(admin);
    free(ca);
    free(res);
    free(key);
}

/* returns the exit status, -1 if it did not leave in time */
static int finish(int sig)
{
    int status = -1;

    kill(controller, sig);
    for (unsigned i = 0; i < 500; i++) {
        if (waitpid(controller, &status, WNOHANG) == controller) {
            controller = 0;
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        }
        usleep(10000);
    }
    return -1;
}

static void put_base(void)
{
    put_file("resources/ns.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: "
                                  "{flomesh.io/monitored-by: fsm}}\n");
    put_meshconfig("");
    put_pod_of("curl", "uid-curl", "curl", "10.42.0.20");
    put_pod_of("web", "uid-web", "web", "10.42.0.21");
    put_service("web", "10.43.0.1", "10.42.0.21");
}

static void setup(void)
{
    struct err e = {""};
    char *sub, *public;

    snprintf(dir, sizeof(dir), "%s/XXXXXX", base);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    sub = path_of("resources");
    ck_assert(mkdir(sub, 0700) == 0);
    free(sub);
    token_key = pki_key_new(&e);
    public = pki_public_key(token_key, &e);
    ck_assert_msg(public != NULL, "%s", e.text);
    put_file("token.pub", public);
    free(public);
    port = free_port();
    put_base();
    start();
}

static void end_api_server(void)
{
    if (api_server > 0) {
        kill(api_server, SIGKILL);
        waitpid(api_server, NULL, 0);
        api_server = 0;
    }
}

static void teardown(void)
{
    end_api_server();
    if (controller > 0) {
        kill(controller, SIGKILL);
        waitpid(controller, NULL, 0);
        controller = 0;
    }
    pki_wipe(token_key);
}

struct claims {
    const char *sa, *pod, *uid, *audience;
    int valid_s;
    const char *ns; /* NULL: app */
};

static char *token_with(const struct claims *c, const char *key)
{
    struct pki_token t = {.not_after = clock_wall_ms() / 1000 + c->valid_s};
    struct err e = {""};

    snprintf(t.ns, sizeof(t.ns), "%s", c->ns ? c->ns : "app");
    snprintf(t.sa, sizeof(t.sa), "%s", c->sa);
    snprintf(t.pod, sizeof(t.pod), "%s", c->pod);
    snprintf(t.pod_uid, sizeof(t.pod_uid), "%s", c->uid);
    snprintf(t.audience, sizeof(t.audience), "%s", c->audience ? c->audience : "fsm");
    char *token = pki_token_sign(key, &t, &e);
    ck_assert_msg(token != NULL, "%s", e.text);
    return token;
}

/* of the pod by that name; its service account has the same */
static char *token_of(const char *pod)
{
    char uid[64];

    snprintf(uid, sizeof(uid), "uid-%s", pod);
    return token_with(&(struct claims){pod, pod, uid, NULL, 600}, token_key);
}

static json_t *parse(const char *text)
{
    struct err e = {""};
    json_t *j = json_parse(slice_str(text), 1 << 26, &e);

    ck_assert_msg(j != NULL, "%s: %s", e.text, text);
    return j;
}

/* the whole document; the caller's */
static json_t *fetch(const char *token)
{
    struct answer a = expect(200, "GET", "/v1/config?version=&wait=5", token, NULL);
    char v[DOCUMENT_VERSION_MAX];

    ck_assert_str_eq(a.type, "application/json");
    ck_assert_uint_eq(strlen(a.roots), 16);
    json_t *doc = parse(a.body);
    ck_assert_str_eq(document_version(doc, v), json_str(doc, "Version", ""));
    answer_free(&a);
    return doc;
}

static struct call poll_begin(const char *token, const char *version, unsigned wait,
                              const char *roots)
{
    char *where = xasprintf("/v1/config?version=%s&wait=%u%s%s", version, wait,
                            roots ? "&roots=" : "", roots ? roots : "");
    struct call c = call_begin("GET", where, token, NULL);

    free(where);
    return c;
}

static struct answer poll_now(const char *token, const char *version, unsigned wait)
{
    struct call c = poll_begin(token, version, wait, NULL);

    return call_end(&c);
}

/* waits until a metric has that value */
static void wait_metric(const char *name, unsigned n)
{
    char *start_of_line = xasprintf("\n%s ", name);

    for (unsigned i = 0; i < 300; i++) {
        struct answer a = expect(200, "GET", "/metrics", NULL, NULL);
        char *line = strstr(a.body, start_of_line);
        bool there = line && strtoul(line + strlen(start_of_line), NULL, 10) == n;
        answer_free(&a);
        if (there) {
            free(start_of_line);
            return;
        }
        usleep(10000);
    }
    ck_abort_msg("%s did not become %u", name, n);
}

static void wait_polls(unsigned n)
{
    wait_metric("fsm_proxy_waiting_count", n);
}

static json_t *shown(const char *pod)
{
    char *where = xasprintf("/debug/document?pod=%s", pod);
    struct answer a = expect(200, "GET", where, NULL, NULL);
    json_t *doc = parse(a.body);

    free(where);
    answer_free(&a);
    return doc;
}

static bool log_has(const char *text)
{
    char *log = get_file("log");
    bool has = strstr(log, text) != NULL;

    free(log);
    return has;
}

/* ---- documents
 * ------------------------------------------------------------------------------------------ */

START_TEST(document_then_304_then_patch)
{
    char *token = token_of("curl");
    json_t *doc = fetch(token);
    const char *version = json_str(doc, "Version", "");

    ck_assert_str_eq(json_str(doc, "Proxy.Principal", ""), "curl.app.cluster.local");
    struct answer a = poll_now(token, version, 1);
    ck_assert_uint_eq(a.status, 304);
    ck_assert_msg(a.seconds > 0.8 && a.seconds < 5, "waited %f s", a.seconds);
    answer_free(&a);

    struct call poll = poll_begin(token, version, 20, NULL);
    wait_polls(1);
    put_service("api", "10.43.0.2", "10.42.0.21");
    a = call_end(&poll);
    ck_assert_uint_eq(a.status, 200);
    ck_assert_str_eq(a.type, "application/merge-patch+json");
    ck_assert_msg(a.seconds < 3, "a change took %f s", a.seconds);
    json_t *patch = parse(a.body);
    uint64_t hash = document_hash(doc);
    struct err e = {""};
    json_t *next = document_patch(doc, patch, &hash, &e);
    ck_assert_msg(next != NULL, "%s", e.text);
    json_t *is = document_present(next), *want = shown("app/curl");
    json_object_del(is, "Ts");
    json_object_del(want, "Ts");
    ck_assert(json_equal(is, want));
    ck_assert_ptr_nonnull(json_object_get(json_at(is, "Outbound.ClustersConfigs"), "app/api|80"));
    answer_free(&a);
    json_decref(patch);
    json_decref(next);
    json_decref(is);
    json_decref(want);
    json_decref(doc);
    free(token);
}
END_TEST

START_TEST(unknown_version_gets_the_whole)
{
    char *token = token_of("curl");
    struct answer a = poll_now(token, "12345", 20);

    ck_assert_uint_eq(a.status, 200);
    ck_assert_str_eq(a.type, "application/json");
    answer_free(&a);
    expect_only(400, "GET", "/v1/config?version=&wait=soon", token, NULL);
    free(token);
}
END_TEST

START_TEST(newest_poll_wins)
{
    char *token = token_of("curl");
    json_t *doc = fetch(token);
    struct call first = poll_begin(token, json_str(doc, "Version", ""), 20, NULL);

    wait_polls(1);
    struct call second = poll_begin(token, json_str(doc, "Version", ""), 1, NULL);
    struct answer a = call_end(&first), b = call_end(&second);
    ck_assert_uint_eq(a.status, 304);
    ck_assert(a.seconds < 10);
    ck_assert_uint_eq(b.status, 304);
    wait_polls(0);
    answer_free(&a);
    answer_free(&b);
    json_decref(doc);
    free(token);
}
END_TEST

START_TEST(client_that_goes_away_is_forgotten)
{
    char *token = token_of("curl");
    json_t *doc = fetch(token);
    char *where =
        xasprintf("cd %s && curl -s -m 1 --cacert ca/trusted.pem -H 'Authorization: Bearer "
                  "%s' 'https://localhost:%u/v1/config?wait=30&version=%s' >/dev/null",
                  dir, token, port, json_str(doc, "Version", ""));

    ck_assert_int_ne(system(where), 0); /* gave up after a second */
    wait_polls(0);
    free(where);
    json_decref(doc);
    free(token);
}
END_TEST

/* prepared beside it and renamed into place: nothing but the burst takes time */
static void put_burst(unsigned n)
{
    char name[16], ip[24], from[32], to[40];
    char *staged = path_of("staged");

    ck_assert(mkdir(staged, 0700) == 0);
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "s%u", i);
        snprintf(ip, sizeof(ip), "10.43.1.%u", i);
        put_service_in("staged", name, ip, "10.42.0.21");
    }
    for (unsigned i = 0; i < n; i++) {
        snprintf(from, sizeof(from), "staged/svc-s%u.yaml", i);
        snprintf(to, sizeof(to), "resources/svc-s%u.yaml", i);
        char *a = path_of(from), *b = path_of(to);
        ck_assert(rename(a, b) == 0);
        free(a);
        free(b);
    }
    free(staged);
}

/* 20 files, one behind the other: as many answers as it takes 10 ms of pace to see them, not 20 */
START_TEST(burst_is_compiled_together)
{
    char *token = token_of("curl");
    json_t *doc = fetch(token);
    char version[24];
    unsigned answers = 0;
    bool all = false;

    snprintf(version, sizeof(version), "%s", json_str(doc, "Version", ""));
    struct call poll = poll_begin(token, version, 20, NULL);
    wait_polls(1);
    put_burst(20);
    while (!all) {
        struct answer a = call_end(&poll);
        ck_assert_uint_eq(a.status, 200);
        ck_assert_uint_le(++answers, 5);
        all = strstr(a.body, "app/s19|80") != NULL;
        json_t *patch = json_loads(a.body, 0, NULL);
        snprintf(version, sizeof(version), "%s", json_str(patch, "Version", ""));
        json_decref(patch);
        answer_free(&a);
        if (!all)
            poll = poll_begin(token, version, 20, NULL);
    }
    json_decref(doc);
    free(token);
}
END_TEST

/* ---- who may ask
 * ------------------------------------------------------------------------------------------ */

static void refused(unsigned status, const char *token, const char *why)
{
    static const char *const asks[][2] = {{"GET", "/v1/config?version="},
                                          {"GET", "/v1/roots"},
                                          {"POST", "/v1/certificate"},
                                          {"POST", "/v1/status"}};

    for (unsigned i = 0; i < 4; i++) {
        struct answer a = expect(status, asks[i][0], asks[i][1], token, i > 1 ? "{}" : NULL);
        ck_assert_msg(strstr(a.body, why) != NULL, "%s: %s", asks[i][1], a.body);
        ck_assert_msg(strchr(a.body, '\n') == a.body + strlen(a.body) - 1, "more than a line: %s",
                      a.body);
        answer_free(&a);
    }
}

static void refused_token(unsigned status, const struct claims *c, const char *key, const char *why)
{
    char *token = token_with(c, key);

    refused(status, token, why);
    free(token);
}

START_TEST(tokens_are_checked)
{
    struct err e = {""};
    char *other_key = pki_key_new(&e);

    refused(401, "", "no service-account token");
    refused(401, "rubbish", "");
    refused_token(401, &(struct claims){"curl", "curl", "uid-curl", "kubernetes", 600}, token_key,
                  "");
    refused_token(401, &(struct claims){"curl", "curl", "uid-curl", NULL, -600}, token_key, "");
    refused_token(401, &(struct claims){"curl", "curl", "uid-curl", NULL, 600}, other_key, "");
    refused_token(403, &(struct claims){"web", "curl", "uid-curl", NULL, 600}, token_key,
                  "runs as curl");
    refused_token(404, &(struct claims){"curl", "curl", "uid-older", NULL, 600}, token_key,
                  "not known (yet)");
    refused_token(404, &(struct claims){"late", "late", "uid-late", NULL, 600}, token_key,
                  "app/late");
    pki_wipe(other_key);
}
END_TEST

START_TEST(a_token_opens_its_own_document_only)
{
    char *curl = token_of("curl"), *web = token_of("web");
    json_t *a = fetch(curl), *b = fetch(web);

    ck_assert_str_eq(json_str(a, "Proxy.Pod", ""), "curl");
    ck_assert_str_eq(json_str(b, "Proxy.Pod", ""), "web");
    ck_assert_ptr_null(json_at(a, "Inbound.TrafficMatches"));
    ck_assert_ptr_nonnull(json_at(b, "Inbound.TrafficMatches.80"));
    json_decref(a);
    json_decref(b);
    free(curl);
    free(web);
}
END_TEST

START_TEST(pod_that_comes_later)
{
    char *token = token_of("late");

    expect_only(404, "GET", "/v1/config?version=", token, NULL);
    put_pod_of("late", "uid-late", "late", "10.42.0.30");
    for (unsigned i = 0; i < 200; i++) {
        struct answer a = call("GET", "/v1/config?version=", token, NULL);
        unsigned status = a.status;
        answer_free(&a);
        if (status == 200)
            break;
        ck_assert_uint_eq(status, 404);
        usleep(10000);
    }
    json_t *doc = fetch(token);
    ck_assert_str_eq(json_str(doc, "Proxy.Pod", ""), "late");
    /* and goes again: the poll that waits is told */
    struct call poll = poll_begin(token, json_str(doc, "Version", ""), 20, NULL);
    wait_polls(1);
    char *file = path_of("resources/pod-late.yaml");
    unlink(file);
    struct answer a = call_end(&poll);
    ck_assert_uint_eq(a.status, 404);
    answer_free(&a);
    free(file);
    json_decref(doc);
    free(token);
}
END_TEST

START_TEST(paths_methods_and_sizes)
{
    char *token = token_of("curl");
    char *big = xmalloc(100001);

    memset(big, 'x', 100000);
    big[100000] = '\0';
    expect_only(404, "GET", "/v2/config", token, NULL);
    expect_only(405, "POST", "/v1/config", token, "{}");
    expect_only(405, "GET", "/v1/certificate", token, NULL);
    expect_only(413, "POST", "/v1/status", token, big);
    expect_only(400, "POST", "/v1/status", token, "[1]");
    expect_only(400, "POST", "/v1/certificate", token, "{\"csr\": 1}");
    expect_only(400, "POST", "/v1/certificate", token, "{\"csr\": \"nonsense\"}");
    expect_only(404, "GET", "/nothing", NULL, NULL);
    expect_only(405, "POST", "/metrics", NULL, "");
    expect_only(405, "GET", "/ca/prepare", NULL, NULL);
    free(big);
    free(token);
}
END_TEST

/* ---- certificates
 * --------------------------------------------------------------------------------------------- */

/* the answer to a request that asks for a foreign name */
static json_t *certificate(const char *token)
{
    struct err e = {""};
    char *key = pki_key_new(&e), *csr = pki_csr_new(key, "admin.kube-system.cluster.local", &e);
    json_t *body = json_pack("{s:s}", "csr", csr);
    char *text = json_dumps(body, 0);
    struct answer a = expect(200, "POST", "/v1/certificate", token, text);
    json_t *out = parse(a.body);

    ck_assert_ptr_null(strstr(a.body, "PRIVATE KEY"));
    answer_free(&a);
    free(text);
    free(csr);
    json_decref(body);
    pki_wipe(key);
    return out;
}

START_TEST(certificate_names_come_from_the_token)
{
    char *token = token_of("curl");
    json_t *c = certificate(token);
    struct pki_cert_info info;
    struct err e = {""};
    int64_t now = clock_wall_ms() / 1000;

    ck_assert_msg(pki_cert_read(json_str(c, "chain", ""), &info, &e) == 0, "%s", e.text);
    ck_assert_str_eq(info.subject_cn, "curl.app.cluster.local");
    ck_assert_str_eq(info.sans,
                     "DNS:curl.app.cluster.local, URI:spiffe://cluster.local/ns/app/sa/curl");
    ck_assert_int_eq(info.not_after, json_int(c, "notAfter", 0));
    ck_assert_int_ge(info.not_after, now + 86400 - 120);
    ck_assert_int_le(info.not_after, now + 86400 + 120);
    ck_assert_ptr_nonnull(strstr(json_str(c, "roots", ""), "BEGIN CERTIFICATE"));
    json_decref(c);
    /* the MeshConfig's word is followed at once */
    put_meshconfig("  certificate: {serviceCertValidityDuration: 1h}\n");
    for (unsigned i = 0; i < 100; i++) {
        c = certificate(token);
        int64_t left = json_int(c, "notAfter", 0) - clock_wall_ms() / 1000;
        json_decref(c);
        if (left <= 3700)
            break;
        ck_assert_uint_lt(i, 99);
        usleep(20000);
    }
    free(token);
}
END_TEST

/* a service account's name may be too long for a DNS name: then the URI alone says who it is */
START_TEST(a_long_name_gets_a_certificate)
{
    char sa[254];
    struct pki_cert_info info;
    struct err e = {""};

    memset(sa, 'a', sizeof(sa) - 1);
    sa[sizeof(sa) - 1] = '\0';
    put_pod_of("long", "uid-long", sa, "10.42.0.29");
    char *token = token_with(&(struct claims){sa, "long", "uid-long", NULL, 600}, token_key);
    for (unsigned i = 0; i < 200; i++) {
        struct answer a = call("GET", "/v1/roots", token, NULL);
        unsigned status = a.status;
        answer_free(&a);
        if (status == 200)
            break;
        usleep(10000);
    }
    json_t *c = certificate(token);
    ck_assert_msg(pki_cert_read(json_str(c, "chain", ""), &info, &e) == 0, "%s", e.text);
    ck_assert_str_eq(info.subject_cn, "");
    ck_assert_msg(strncmp(info.sans, "URI:spiffe://cluster.local/ns/app/sa/aaa", 40) == 0, "%s",
                  info.sans);
    json_decref(c);
    free(token);
}
END_TEST

/* "fsm-controller.fsm-system" in namespace "svc" would be the controller */
START_TEST(nobody_gets_the_name_of_a_service)
{
    static const char sa[] = "fsm-controller.fsm-system";
    struct err e = {""};
    char *key = pki_key_new(&e), *csr = pki_csr_new(key, "x", &e), *body;
    struct answer a = {0};

    put_file("resources/svc.yaml",
             "apiVersion: v1\nkind: Namespace\nmetadata: {name: svc, labels: "
             "{flomesh.io/monitored-by: fsm}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: "
             "evil, namespace: svc, uid: uid-evil, labels: {fsm-proxy-uuid: u}}\nspec: "
             "{serviceAccountName: fsm-controller.fsm-system, containers: [{name: a, image: a}]}\n"
             "status: {podIP: 10.42.0.66, phase: Running}\n");
    char *token = token_with(&(struct claims){sa, "evil", "uid-evil", NULL, 600, "svc"}, token_key);
    json_t *j = json_pack("{s:s}", "csr", csr);
    body = json_dumps(j, 0);
    for (unsigned i = 0; i < 200; i++) {
        a = call("POST", "/v1/certificate", token, body);
        if (a.status != 404)
            break;
        answer_free(&a);
        usleep(10000);
    }
    ck_assert_msg(a.status == 403 && strstr(a.body, "that of a Service"), "%u %s", a.status,
                  a.body);
    answer_free(&a);
    json_decref(j);
    free(body);
    free(token);
    free(csr);
    pki_wipe(key);
}
END_TEST

static void admin_text(unsigned status, const char *where, const char *has)
{
    struct answer a = expect(status, "POST", where, NULL, "");

    ck_assert_msg(strstr(a.body, has) != NULL, "%s: %s", where, a.body);
    answer_free(&a);
}

static char *roots_now(const char *token, unsigned count)
{
    struct answer a = expect(200, "GET", "/v1/roots", token, NULL);
    unsigned n = 0;

    for (const char *at = a.body; (at = strstr(at, "BEGIN CERTIFICATE")) != NULL; at++)
        n++;
    ck_assert_uint_eq(n, count);
    put_file("ca/trusted.pem", a.body);
    char *hash = xstrdup(a.roots);
    answer_free(&a);
    return hash;
}

/* the first poll runs beside the request for the certificate and can't name what that brings */
START_TEST(a_poll_that_names_no_roots_hears_of_new_ones)
{
    char *token = token_of("curl"), *old = roots_now(token, 1);
    json_t *doc = fetch(token), *c = certificate(token);

    struct call poll = poll_begin(token, json_str(doc, "Version", ""), 20, "");
    wait_polls(1);
    admin_text(200, "/ca/prepare", "proxiesWithoutRoots\": 1");
    struct answer a = call_end(&poll);
    ck_assert_uint_eq(a.status, 304);
    ck_assert_msg(a.seconds < 10, "%f s", a.seconds);
    ck_assert_str_ne(a.roots, old);
    answer_free(&a);
    json_decref(c);
    json_decref(doc);
    free(old);
    free(token);
}
END_TEST

START_TEST(root_rotation)
{
    char *token = token_of("curl"), *old = roots_now(token, 1), *both, *fresh;
    json_t *doc = fetch(token), *c = certificate(token);
    const char *version = json_str(doc, "Version", "");

    struct call poll = poll_begin(token, version, 20, old);
    wait_polls(1);
    admin_text(200, "/ca/prepare", "proxiesWithoutRoots\": 1");
    struct answer a = call_end(&poll);
    ck_assert_uint_eq(a.status, 304);
    ck_assert(a.seconds < 10);
    ck_assert_str_ne(a.roots, old);
    answer_free(&a);
    /* asking with the old bundle again is no busy loop */
    poll = poll_begin(token, version, 20, old);
    a = call_end(&poll);
    ck_assert_msg(a.seconds > 0.5 && a.seconds < 10, "%f s", a.seconds);
    answer_free(&a);
    admin_text(409, "/ca/promote", "1 connected proxies do not trust");
    both = roots_now(token, 2);
    poll = poll_begin(token, version, 0, both);
    a = call_end(&poll);
    answer_free(&a);
    /* a proxy with a certificate of the old root hears at once that another one signs */
    char *held = xasprintf("%s&issuer=%s", both, json_str(c, "issuer", ""));
    poll = poll_begin(token, version, 20, held);
    wait_polls(1);
    admin_text(200, "/ca/promote", "proxiesWithOldCertificates\": 1");
    a = call_end(&poll);
    ck_assert_uint_eq(a.status, 304);
    ck_assert(a.seconds < 10);
    ck_assert_str_ne(a.issuer, json_str(c, "issuer", ""));
    admin_text(409, "/ca/retire", "hold certificates of the old root");
    json_decref(c);
    c = certificate(token);
    ck_assert_str_eq(a.issuer, json_str(c, "issuer", ""));
    answer_free(&a);
    free(held);
    char *now = roots_now(token, 2);
    held = xasprintf("%s&issuer=%s", now, json_str(c, "issuer", ""));
    poll = poll_begin(token, version, 1, held);
    a = call_end(&poll);
    ck_assert_msg(a.seconds > 0.9, "ended after %f s with nothing to say", a.seconds);
    answer_free(&a);
    free(held);
    free(now);
    admin_text(200, "/ca/retire", "proxiesWithOldCertificates\": 0");
    /* our own certificate chains to the new root alone by now */
    fresh = roots_now(token, 1);
    ck_assert_str_ne(fresh, old);
    ck_assert_str_ne(fresh, both);
    expect_only(200, "GET", "/v1/config?version=", token, NULL);
    json_decref(c);
    json_decref(doc);
    free(fresh);
    free(both);
    free(old);
    free(token);
}
END_TEST

static unsigned rss_kb(pid_t pid)
{
    char *path = xasprintf("/proc/%d/status", (int)pid);
    struct buf b = BUF_INIT;
    struct err e;

    file_read(path, 1 << 16, &b, &e);
    free(path);
    const char *at = b.p ? strstr(b.p, "VmRSS:") : NULL;
    unsigned kb = at ? (unsigned)strtoul(at + 6, NULL, 10) : 0;
    buf_free(&b);
    return kb;
}

/* connections that say nothing cost next to nothing, and make room for those that do */
START_TEST(silent_connections_lock_nobody_out)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr = {htonl(INADDR_LOOPBACK)},
                            .sin_port = htons((uint16_t)port)};
    char *token = token_of("curl");
    json_t *doc = fetch(token);
    struct call poll = poll_begin(token, json_str(doc, "Version", ""), 20, NULL);
    unsigned before, n;
    int fds[700];

    wait_polls(1);
    before = rss_kb(controller);
    for (n = 0; n < 700; n++) {
        fds[n] = socket(AF_INET, SOCK_STREAM, 0);
        ck_assert(connect(fds[n], (struct sockaddr *)&a, sizeof(a)) == 0);
    }
    expect_only(200, "GET", "/v1/roots", token, NULL);
    ck_assert_msg(rss_kb(controller) < before + 4096, "%u KiB, then %u", before,
                  rss_kb(controller));
    put_service("api", "10.43.0.2", "10.42.0.21"); /* the poll that waits is still served */
    struct answer got = call_end(&poll);
    ck_assert_uint_eq(got.status, 200);
    answer_free(&got);
    while (n > 0)
        close(fds[--n]);
    json_decref(doc);
    free(token);
}
END_TEST

/* ---- faults and life
 * ------------------------------------------------------------------------------------------- */

START_TEST(broken_yaml_keeps_the_last_good)
{
    char *token = token_of("curl");
    json_t *doc = fetch(token), *problems = NULL;

    put_file("resources/svc-web.yaml",
             "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: "
             "app\n");
    for (unsigned i = 0; i < 200; i++) {
        struct answer a = expect(200, "GET", "/problems", NULL, NULL);
        problems = parse(a.body);
        answer_free(&a);
        if (json_array_size(problems) > 0)
            break;
        json_decref(problems);
        usleep(10000);
    }
    const char *text = json_str(json_array_get(problems, 0), "text", "");
    ck_assert_msg(strstr(text, "svc-web.yaml:") != NULL, "%s", text);
    json_decref(problems);
    struct answer a = poll_now(token, json_str(doc, "Version", ""), 1);
    ck_assert_uint_eq(a.status, 304);
    answer_free(&a);
    /* other files still count */
    struct call poll = poll_begin(token, json_str(doc, "Version", ""), 20, NULL);
    wait_polls(1);
    put_service("api", "10.43.0.2", "10.42.0.21");
    a = call_end(&poll);
    ck_assert_uint_eq(a.status, 200);
    ck_assert_ptr_nonnull(strstr(a.body, "app/api|80"));
    ck_assert_ptr_null(strstr(a.body, "app/web|80"));
    answer_free(&a);
    put_service("web", "10.43.0.1", "10.42.0.21");
    for (unsigned i = 0; i < 200; i++) {
        a = expect(200, "GET", "/problems", NULL, NULL);
        bool none = strncmp(a.body, "[]", 2) == 0;
        answer_free(&a);
        if (none)
            break;
        ck_assert_uint_lt(i, 199);
        usleep(10000);
    }
    json_decref(doc);
    free(token);
}
END_TEST

START_TEST(sigterm_ends_polls_and_a_restart_resumes)
{
    char *token = token_of("curl");
    json_t *doc = fetch(token);
    const char *version = json_str(doc, "Version", "");
    struct call poll = poll_begin(token, version, 30, NULL);

    wait_polls(1);
    uint64_t began = clock_mono_ms();
    ck_assert_int_eq(finish(SIGTERM), 0);
    ck_assert_uint_lt(clock_mono_ms() - began, 3000);
    struct answer a = call_end(&poll);
    ck_assert_uint_eq(a.status, 304);
    answer_free(&a);

    start();
    a = poll_now(token, version, 1);
    ck_assert_uint_eq(a.status, 304); /* the version is a hash of the content */
    answer_free(&a);
    poll = poll_begin(token, version, 20, NULL);
    wait_polls(1);
    put_service("api", "10.43.0.2", "10.42.0.21");
    a = call_end(&poll);
    ck_assert_str_eq(a.type, "application/merge-patch+json");
    answer_free(&a);
    json_decref(doc);
    free(token);
}
END_TEST

START_TEST(second_signal_leaves_now)
{
    kill(controller, SIGTERM);
    ck_assert_int_eq(finish(SIGTERM), 0);
}
END_TEST

START_TEST(sighup_reads_the_token_key_again)
{
    struct err e = {""};
    char *key = pki_key_new(&e), *public = pki_public_key(key, &e);
    struct claims c = {"curl", "curl", "uid-curl", NULL, 600};
    char *old = token_of("curl"), *fresh = token_with(&c, key);

    expect_only(200, "GET", "/v1/config?version=", old, NULL);
    expect_only(401, "GET", "/v1/config?version=", fresh, NULL);
    put_file("token.pub", public);
    kill(controller, SIGHUP);
    for (unsigned i = 0; i < 200 && !log_has("reading everything again"); i++)
        usleep(10000);
    expect_only(200, "GET", "/v1/config?version=", fresh, NULL);
    expect_only(401, "GET", "/v1/config?version=", old, NULL);
    put_file("token.pub", "not a key");
    kill(controller, SIGHUP);
    for (unsigned i = 0; i < 200 && !log_has("the token key stays what it was"); i++)
        usleep(10000);
    expect_only(200, "GET", "/v1/config?version=", fresh, NULL);
    free(old);
    free(fresh);
    free(public);
    pki_wipe(key);
}
END_TEST

/* ---- tokens that an API server is asked about
 * --------------------------------------------------------- */

static char *api_dir;

static bool page_has(const char *page, const char *text)
{
    struct answer a = expect(200, "GET", page, NULL, NULL);
    bool is = strstr(a.body, text) != NULL;

    answer_free(&a);
    return is;
}

static bool metrics_has(const char *text)
{
    return page_has("/metrics", text);
}

static void begin_api_server(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;

    a.sin_port = htons((uint16_t)api_port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    ck_assert(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 64) == 0);
    getsockname(fd, (struct sockaddr *)&a, &n);
    api_port = ntohs(a.sin_port);
    api_server = fake_api_server(fd, api_dir);
    close(fd);
}

#define API_POD(name)                                                                              \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"app\",\"uid\":\"uid-" name               \
    "\",\"labels\":{\"fsm-proxy-uuid\":\"uuid-" name                                               \
    "\"}},\"spec\":{\"serviceAccountName\":\"" name                                                \
    "\",\"containers\":[{\"name\":\"app\",\"image\":\"app\"}]},\"status\":{\"podIP\":"             \
    "\"10.42.0.20\",\"phase\":\"Running\"}}"

/* the same mesh as setup()'s, from an API server, and no key */
static void setup_api(void)
{
    char *text;

    snprintf(dir, sizeof(dir), "%s/XXXXXX", base);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    api_dir = path_of("api");
    ck_assert(mkdir(api_dir, 0700) == 0);
    struct err e = {""};
    token_key = pki_key_new(&e);
    put_file("api/namespaces.json",
             "{\"metadata\":{\"name\":\"app\",\"labels\":{\"flomesh.io/monitored-by\":\"fsm\"}}}");
    put_file("api/pods.json", API_POD("curl") "," API_POD("web"));
    begin_api_server();
    text = xasprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\n"
                     "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
                     "clusters: [{name: k, cluster: {server: \"http://127.0.0.1:%u\"}}]\n"
                     "users: [{name: u, user: {}}]\n",
                     api_port);
    put_file("kubeconfig", text);
    free(text);
    port = free_port();
    start();
}

static void teardown_api(void)
{
    teardown();
    api_port = 0;
    free(api_dir);
}

static void mode(const char *text)
{
    put_file("api/mode", text);
}

/* since the last look: how many tokens were asked about, and at most how many at a time */
static unsigned reviews(unsigned *at_once)
{
    char *text = get_file("api/reviews");
    unsigned n = 0, most = 0;

    for (const char *p = text; *p; p = strchr(p, '\n') + 1, n++)
        if (strtoul(p, NULL, 10) > most)
            most = (unsigned)strtoul(p, NULL, 10);
    put_file("api/reviews", "");
    free(text);
    if (at_once)
        *at_once = most;
    return n;
}

/* a token of its own: what is remembered of others does not count for it */
static char *fresh_token(const char *pod)
{
    static int more;
    char uid[64];

    snprintf(uid, sizeof(uid), "uid-%s", pod);
    return token_with(&(struct claims){pod, pod, uid, NULL, 600 + ++more}, token_key);
}

static const char ask_config[] = "/v1/config?version=";

START_TEST(reviewed_once_and_remembered)
{
    char *curl = fresh_token("curl"), *web = fresh_token("web");
    json_t *a = fetch(curl), *b = fetch(web), *c = certificate(web);

    ck_assert_str_eq(json_str(a, "Proxy.Pod", ""), "curl");
    ck_assert_str_eq(json_str(b, "Proxy.Pod", ""), "web");
    ck_assert_ptr_nonnull(strstr(json_str(c, "chain", ""), "CERTIFICATE"));
    for (unsigned i = 0; i < 5; i++)
        expect_only(200, "GET", ask_config, curl, NULL);
    ck_assert_uint_eq(reviews(NULL), 2);
    ck_assert(metrics_has("fsm_token_reviews_total{verdict=\"good\"} 2"));
    ck_assert(metrics_has("fsm_token_review_time_count 2"));
    json_decref(a);
    json_decref(b);
    json_decref(c);
    free(curl);
    free(web);
}
END_TEST

START_TEST(what_needs_no_question_is_not_asked)
{
    refused(401, "", "no service-account token");
    refused(401, "rubbish", "three parts");
    refused_token(401, &(struct claims){"curl", "curl", "uid-curl", "kubernetes", 600}, token_key,
                  "not for the audience");
    refused_token(401, &(struct claims){"curl", "", "", NULL, 600}, token_key,
                  "not bound to a pod");
    ck_assert_uint_eq(reviews(NULL), 0);
}
END_TEST

START_TEST(tokens_that_open_nothing)
{
    refused_token(404, &(struct claims){"curl", "curl", "uid-older", NULL, 600}, token_key,
                  "not known (yet)");
    refused_token(404, &(struct claims){"late", "late", "uid-late", NULL, 600}, token_key,
                  "app/late");
    refused_token(403, &(struct claims){"web", "curl", "uid-curl", NULL, 600}, token_key,
                  "runs as curl");
    refused_token(401, &(struct claims){"curl", "curl", "uid-curl", NULL, -600}, token_key,
                  "does not take it");
    ck_assert_uint_eq(reviews(NULL), 4);
}
END_TEST

START_TEST(a_remembered_token_ends_with_its_pod)
{
    char *token = fresh_token("curl");

    expect_only(200, "GET", ask_config, token, NULL);
    put_file("api/pods.json", API_POD("web"));
    kill(controller, SIGHUP);
    for (unsigned i = 0; i < 500; i++) {
        struct answer a = call("GET", ask_config, token, NULL);
        unsigned status = a.status;
        answer_free(&a);
        if (status == 404)
            break;
        ck_assert_uint_eq(status, 200);
        ck_assert_uint_lt(i, 499);
        usleep(10000);
    }
    ck_assert_uint_eq(reviews(NULL), 1);
    free(token);
}
END_TEST

/* the same text for each call; all of them are one question, while it is remembered */
static void reviewed_as(const char *how, const char *why)
{
    char *token = fresh_token("curl");

    mode(how);
    refused(401, token, why);
    ck_assert_uint_eq(reviews(NULL), 1);
    free(token);
}

START_TEST(refused_by_the_server)
{
    char *token = fresh_token("curl");

    reviewed_as("refused", "does not take it: [invalid bearer token, so it is]");
    reviewed_as("audience", "does not say that the token is for this audience");
    reviewed_as("pod", "another pod's");
    ck_assert(metrics_has("fsm_token_reviews_total{verdict=\"refused\"} 3"));
    mode("");
    expect_only(200, "GET", ask_config, token, NULL); /* and nobody else suffers */
    free(token);
}
END_TEST

START_TEST(an_answer_that_says_nothing)
{
    char *token = fresh_token("curl"), *other = fresh_token("web");

    mode("garbage");
    refused(503, token, "answer is no TokenReview");
    mode("");
    expect_only(200, "GET", ask_config, other, NULL);
    usleep(1200000);
    mode("500");
    refused(503, token, "answers 500 to create tokenreviews: so it is");
    ck_assert(!page_has("/problems", "TokenReview"));
    mode("");
    usleep(1200000);
    expect_only(200, "GET", ask_config, token, NULL);
    free(token);
    free(other);
}
END_TEST

static unsigned retry_after(const struct call *c)
{
    char name[32];

    snprintf(name, sizeof(name), "head.%u", c->id);
    char *headers = get_file(name), *value = header_of(headers, "retry-after");
    unsigned s = (unsigned)strtoul(value, NULL, 10);
    free(value);
    free(headers);
    return s;
}

START_TEST(throttled_for_as_long_as_the_server_says)
{
    char *known = fresh_token("web"), *token = fresh_token("curl"), *other = fresh_token("curl");

    expect_only(200, "GET", ask_config, known, NULL);
    reviews(NULL);
    mode("429");
    refused(503, token, "answers 429");
    mode("");
    struct call c = call_begin("GET", ask_config, other, NULL);
    struct answer a = call_end(&c);
    ck_assert_uint_eq(a.status, 503);
    ck_assert_uint_ge(retry_after(&c), 1);
    ck_assert_uint_le(retry_after(&c), 6);
    answer_free(&a);
    expect_only(200, "GET", ask_config, known, NULL);
    ck_assert_uint_eq(reviews(NULL), 1);
    usleep(5200000);
    expect_only(200, "GET", ask_config, token, NULL);
    free(known);
    free(token);
    free(other);
}
END_TEST

/* the pause before the next question grows with each failure */
static void until_reviewed(const char *token)
{
    unsigned status = 0;

    for (unsigned i = 0; status != 200; i++) {
        struct answer a = call("GET", ask_config, token, NULL);
        status = a.status;
        answer_free(&a);
        ck_assert(status == 200 || status == 503);
        ck_assert_uint_lt(i, 1500);
        if (status != 200)
            usleep(10000);
    }
}

START_TEST(a_missing_right_is_named)
{
    char *token = fresh_token("curl");

    mode("403");
    refused(503, token, "may not create tokenreviews: add {apiGroups: [\"authentication.k8s.io\"]");
    ck_assert(page_has("/problems", "may not create tokenreviews"));
    ck_assert(log_has("tokens can't be reviewed"));
    mode("");
    until_reviewed(token);
    ck_assert(!page_has("/problems", "tokenreviews"));
    ck_assert(log_has("tokens are reviewed again"));
    free(token);
}
END_TEST

START_TEST(verified_proxies_go_on_while_the_server_is_away)
{
    char *known = fresh_token("web"), *token = fresh_token("curl");
    json_t *doc = fetch(known);
    struct call poll = poll_begin(known, json_str(doc, "Version", ""), 2, NULL);

    wait_polls(1);
    end_api_server();
    refused(503, token, "no answer from the API server");
    struct answer a = call_end(&poll);
    ck_assert_uint_eq(a.status, 304);
    answer_free(&a);
    json_t *c = certificate(known);
    begin_api_server();
    until_reviewed(token);
    json_decref(c);
    json_decref(doc);
    free(known);
    free(token);
}
END_TEST

#define MANY 24

/* Who waits blocks nobody, those with one token share a question, and few are asked at a time. */
START_TEST(many_wait_together)
{
    struct call calls[MANY];
    char *one = fresh_token("curl");
    unsigned at_once;

    mode("slow");
    for (unsigned i = 0; i < MANY; i++)
        calls[i] = call_begin("GET", ask_config, one, NULL);
    expect_only(200, "GET", "/health/ready", NULL, NULL);
    for (unsigned i = 0; i < MANY; i++) {
        struct answer a = call_end(&calls[i]);
        ck_assert_uint_eq(a.status, 200);
        answer_free(&a);
    }
    ck_assert_uint_eq(reviews(NULL), 1);
    for (unsigned i = 0; i < MANY; i++) {
        char *own = fresh_token("curl");
        calls[i] = call_begin("GET", ask_config, own, NULL);
        free(own);
    }
    for (unsigned i = 0; i < MANY; i++) {
        struct answer a = call_end(&calls[i]);
        ck_assert_uint_eq(a.status, 200);
        answer_free(&a);
    }
    ck_assert_uint_eq(reviews(&at_once), MANY);
    ck_assert_uint_le(at_once, 8);
    ck_assert_uint_ge(at_once, 2);
    free(one);
}
END_TEST

START_TEST(who_leaves_while_waiting_is_forgotten)
{
    mode("slow");
    for (unsigned i = 0; i < MANY; i++) {
        char *own = fresh_token("curl");
        char *cmd = xasprintf("curl -s -m 0.1 --cacert %s/ca/trusted.pem -H 'Authorization: Bearer "
                              "%s' 'https://localhost:%u%s' &",
                              dir, own, port, ask_config);
        ck_assert_int_eq(system(cmd), 0);
        free(cmd);
        free(own);
    }
    usleep(300000);
    mode("");
    char *token = fresh_token("web");
    expect_only(200, "GET", ask_config, token, NULL);
    for (unsigned i = 0; i < 500 && !metrics_has("fsm_token_reviews_waiting 0"); i++)
        usleep(10000);
    ck_assert(metrics_has("fsm_token_reviews_waiting 0"));
    ck_assert_uint_lt(reviews(NULL), MANY); /* those whose turn had not come are not asked */
    ck_assert_int_eq(finish(SIGTERM), 0);
    ck_assert(!log_has(token));
    free(token);
}
END_TEST

START_TEST(a_stop_with_reviews_under_way)
{
    mode("slow");
    char *token = fresh_token("curl");
    struct call c = call_begin("GET", ask_config, token, NULL);
    for (unsigned i = 0; i < 500; i++) {
        char *text = get_file("api/reviews");
        bool asked = *text;
        free(text);
        if (asked)
            break;
        usleep(10000);
    }
    ck_assert_int_eq(finish(SIGTERM), 0);
    struct answer a = call_end(&c);
    ck_assert_uint_eq(a.status, 503);
    answer_free(&a);
    free(token);
}
END_TEST

/* ---- what people see
 * ---------------------------------------------------------------------------------------------- */

START_TEST(log_level_follows_the_meshconfig)
{
    ck_assert_int_eq(finish(SIGTERM), 0);
    verbose = NULL;
    put_file("log", "");
    start();
    ck_assert(!log_has("compiled"));
    put_meshconfig("  observability: {fsmLogLevel: debug}\n");
    wait_metric("fsm_proxy_broadcast_event_count", 2);
    ck_assert(log_has("log level follows the MeshConfig"));
    put_service("api", "10.43.0.2", "10.42.0.21");
    wait_metric("fsm_proxy_broadcast_event_count", 3);
    ck_assert(log_has("compiled"));
}
END_TEST

START_TEST(a_poll_says_what_is_in_force)
{
    char *token = token_of("curl");
    json_t *doc = fetch(token);
    const char *version = json_str(doc, "Version", "");
    char *ask = xasprintf("/v1/config?version=%s&wait=0&applied=%s", version, version);

    /* as after a restart: it holds the document, and has reported nothing */
    expect_only(304, "GET", ask, token, NULL);
    struct answer a = expect(200, "GET", "/proxies", NULL, NULL);
    json_t *list = parse(a.body), *px = json_array_get(list, 0);
    ck_assert_str_eq(json_str(px, "applied", ""), version);
    ck_assert_int_eq(json_int(px, "lagMs", -1), 0);
    answer_free(&a);
    json_decref(list);
    json_decref(doc);
    free(ask);
    free(token);
}
END_TEST

START_TEST(proxies_and_metrics)
{
    char *token = token_of("curl");
    json_t *doc = fetch(token);
    char *status = xasprintf("{\"applied\": \"%s\", \"rejected\": null, \"reason\": null, "
                             "\"certNotAfter\": 4711}",
                             json_str(doc, "Version", ""));

    struct answer a = expect(200, "GET", "/proxies", NULL, NULL);
    json_t *list = parse(a.body), *px = json_array_get(list, 0);
    ck_assert_uint_eq(json_array_size(list), 1);
    ck_assert(json_is_null(json_object_get(px, "applied")));
    answer_free(&a);
    json_decref(list);
    expect_only(204, "POST", "/v1/status", token, status);
    a = expect(200, "GET", "/proxies", NULL, NULL);
    list = parse(a.body);
    px = json_array_get(list, 0);
    ck_assert_str_eq(json_str(px, "pod", ""), "app/curl");
    ck_assert_str_eq(json_str(px, "identity", ""), "curl.app");
    ck_assert_str_eq(json_str(px, "uuid", ""), "uuid-curl");
    ck_assert_str_eq(json_str(px, "applied", ""), json_str(px, "current", "-"));
    ck_assert_int_eq(json_int(px, "lagMs", -1), 0);
    ck_assert_int_eq(json_int(px, "certNotAfter", 0), 4711);
    answer_free(&a);
    json_decref(list);
    expect_only(204, "POST", "/v1/status", token,
                "{\"applied\": \"1\", \"rejected\": \"2\", \"reason\": \"bad regex\"}");
    ck_assert(log_has("bad regex"));
    a = expect(200, "GET", "/metrics", NULL, NULL);
    static const char *const lines[] = {
        "fsm_k8s_api_event_count{type=\"added\",namespace=\"app\"} 4\n",
        "fsm_resource_namespace_count 1\n",
        "fsm_proxy_connect_count 1\n",
        "fsm_proxy_response_send_success_count{proxy_uuid=\"uuid-curl\",identity=\"curl.app\","
        "type=\"document\"} 1\n",
        "fsm_proxy_response_send_error_count{proxy_uuid=\"uuid-curl\",identity=\"curl.app\","
        "type=\"document\"} 1\n",
        "fsm_http_response_total{code=\"204\",method=\"POST\",path=\"/v1/status\"} 2\n",
        "fsm_version_info{version=\"",
        "fsm_proxy_config_update_time_count{"};
    for (unsigned i = 0; i < sizeof(lines) / sizeof(*lines); i++)
        ck_assert_msg(strstr(a.body, lines[i]) != NULL, "no %s in\n%s", lines[i], a.body);
    answer_free(&a);
    a = expect(200, "GET", "/version", NULL, NULL);
    ck_assert_ptr_nonnull(strstr(a.body, "git_commit"));
    answer_free(&a);
    expect_only(200, "GET", "/healthz", NULL, NULL);
    expect_only(200, "GET", "/", NULL, NULL);
    expect_only(404, "GET", "/debug/document?pod=app/nobody", NULL, NULL);
    expect_only(400, "GET", "/debug/document", NULL, NULL);
    json_decref(doc);
    free(status);
    free(token);
}
END_TEST

START_TEST(max_data_plane_connections)
{
    char *curl = token_of("curl"), *web = token_of("web");

    put_meshconfig("  sidecar: {maxDataPlaneConnections: 1}\n");
    wait_metric("fsm_proxy_broadcast_event_count", 2);
    expect_only(200, "GET", "/v1/config?version=", curl, NULL);
    expect_only(503, "GET", "/v1/config?version=", web, NULL);
    expect_only(200, "GET", "/v1/config?version=", curl, NULL);
    free(curl);
    free(web);
}
END_TEST

START_TEST(no_secret_is_logged)
{
    char *token = token_of("curl");
    json_t *c = certificate(token);
    json_t *doc = fetch(token);

    expect_only(401, "GET", "/v1/config?version=", "rubbish-but-secret", NULL);
    ck_assert_int_eq(finish(SIGTERM), 0);
    ck_assert(!log_has(token));
    ck_assert(!log_has("rubbish-but-secret"));
    ck_assert(!log_has("PRIVATE KEY"));
    ck_assert(log_has("\"stopped\"") || log_has("stopped"));
    json_decref(c);
    json_decref(doc);
    free(token);
}
END_TEST

/* ---- without a running controller
 * ----------------------------------------------------------------------------------- */

/* what it printed on both outputs is left in the file "out" */
static int run(const char *args)
{
    char *cmd = xasprintf("cd %s && %s %s >out 2>&1", dir, binary, args);
    int status = system(cmd);

    free(cmd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void ran(int status, const char *args, const char *says)
{
    int is = run(args);
    char *out = get_file("out");

    ck_assert_msg(is == status && strstr(out, says) != NULL, "%s: status %d: %s", args, is, out);
    free(out);
}

START_TEST(check_only)
{
    ran(0, "-n -f resources", "1 services and 2 pods in the mesh: good");
    ran(0, "-n -f resources --document app/web", "\"Principal\": \"web.app.cluster.local\"");
    ran(1, "-n -f resources --document app/nobody", "no such pod in the mesh");
    ran(1, "-n -f nowhere", "nowhere");
    put_file("resources/bad.yaml",
             "apiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: "
             "[{port: http}]}\n");
    ran(1, "-n -f resources", "bad.yaml:");
    ran(2, "", "-f DIR is missing");
    ran(2, "-f resources", "--ca-dir DIR is missing");
    ran(2, "-f resources --ca-dir ca2", "--token-key FILE is missing: the public key");
    ran(2, "-f resources --document a/b --ca-dir c --token-key k", "--document needs -n");
    ran(2, "--no-such-flag", "no-such-flag");
    ran(1, "-d -f resources --ca-dir ca2 --token-key nokey", "nokey");
    ran(1, "-d -f resources --ca-dir ca2 --token-key token.pub --listen nonsense",
        "--listen nonsense");
}
END_TEST

static TCase *reviewed_cases(void)
{
    TCase *tc = tcase_create("token reviews");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup_api, teardown_api);
    tcase_add_test(tc, reviewed_once_and_remembered);
    tcase_add_test(tc, what_needs_no_question_is_not_asked);
    tcase_add_test(tc, tokens_that_open_nothing);
    tcase_add_test(tc, a_remembered_token_ends_with_its_pod);
    tcase_add_test(tc, refused_by_the_server);
    tcase_add_test(tc, an_answer_that_says_nothing);
    tcase_add_test(tc, throttled_for_as_long_as_the_server_says);
    tcase_add_test(tc, a_missing_right_is_named);
    tcase_add_test(tc, verified_proxies_go_on_while_the_server_is_away);
    tcase_add_test(tc, many_wait_together);
    tcase_add_test(tc, who_leaves_while_waiting_is_forgotten);
    tcase_add_test(tc, a_stop_with_reviews_under_way);
    return tc;
}

static void find_binary(const char *self)
{
    char *full = realpath(self, NULL);
    const char *at = full ? strstr(full, "/test/unit/") : NULL;

    if (at)
        snprintf(binary, sizeof(binary), "%.*s/bin/fsm-controller", (int)(at - full), full);
    free(full);
}

int main(int argc, char **argv)
{
    Suite *s = suite_create("controller");
    TCase *tc = tcase_create("controller");
    struct err e = {""};

    find_binary(argv[0]);
    if (access(binary, X_OK) != 0) {
        printf("%s is not built: make all\n", binary);
        return 77;
    }
    if (!mkdtemp(base)) {
        perror(base);
        return 1;
    }
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, document_then_304_then_patch);
    tcase_add_test(tc, unknown_version_gets_the_whole);
    tcase_add_test(tc, newest_poll_wins);
    tcase_add_test(tc, client_that_goes_away_is_forgotten);
    tcase_add_test(tc, burst_is_compiled_together);
    tcase_add_test(tc, tokens_are_checked);
    tcase_add_test(tc, a_token_opens_its_own_document_only);
    tcase_add_test(tc, pod_that_comes_later);
    tcase_add_test(tc, paths_methods_and_sizes);
    tcase_add_test(tc, certificate_names_come_from_the_token);
    tcase_add_test(tc, a_long_name_gets_a_certificate);
    tcase_add_test(tc, nobody_gets_the_name_of_a_service);
    tcase_add_test(tc, a_poll_that_names_no_roots_hears_of_new_ones);
    tcase_add_test(tc, root_rotation);
    tcase_add_test(tc, silent_connections_lock_nobody_out);
    tcase_add_test(tc, broken_yaml_keeps_the_last_good);
    tcase_add_test(tc, sigterm_ends_polls_and_a_restart_resumes);
    tcase_add_test(tc, second_signal_leaves_now);
    tcase_add_test(tc, sighup_reads_the_token_key_again);
    tcase_add_test(tc, log_level_follows_the_meshconfig);
    tcase_add_test(tc, a_poll_says_what_is_in_force);
    tcase_add_test(tc, proxies_and_metrics);
    tcase_add_test(tc, max_data_plane_connections);
    tcase_add_test(tc, no_secret_is_logged);
    tcase_add_test(tc, check_only);
    suite_add_tcase(s, tc);
    suite_add_tcase(s, reviewed_cases());
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    if (file_remove_tree(base, &e) < 0)
        fprintf(stderr, "%s\n", e.text);
    return failed ? 1 : 0;
}
