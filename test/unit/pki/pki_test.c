/* keys, requests, certificates, the CA directory and its rotation */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/pki/pki.h"

static char dir[64];

static void make_dir(void)
{
    snprintf(dir, sizeof(dir), "%s", "/tmp/pki-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
    file_remove_tree(dir, NULL);
}

static char *in_dir(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

static void put(const char *name, const char *text, mode_t mode)
{
    char *path = in_dir(name);
    struct err e = {""};

    ck_assert_msg(file_write(path, text, strlen(text), mode, &e) == 0, "%s", e.text);
    free(path);
}

static char *get(const char *name)
{
    char *path = in_dir(name);
    struct buf b = BUF_INIT;
    struct err e = {""};

    ck_assert_msg(file_read(path, 1 << 20, &b, &e) == 0, "%s", e.text);
    free(path);
    return buf_take(&b);
}

/* exit status of a shell command in the directory; what it printed in out */
static int sh(char *out, size_t size, const char *fmt, ...)
{
    char cmd[1024];
    va_list ap;
    size_t n;
    FILE *f;

    va_start(ap, fmt);
    int at = snprintf(cmd, sizeof(cmd), "cd %s && exec 2>&1; ", dir);
    vsnprintf(cmd + at, sizeof(cmd) - (size_t)at, fmt, ap);
    va_end(ap);
    f = popen(cmd, "r");
    n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    return pclose(f);
}

static struct pki_ca *open_ca(void)
{
    struct err e = {""};
    char *path = in_dir("ca");
    struct pki_ca *ca = pki_ca_open(path, "cluster.local", &e);

    ck_assert_msg(ca != NULL, "%s", e.text);
    free(path);
    return ca;
}

static const char *const dns[] = {"web.shop.cluster.local", "web.shop.svc", NULL};
static const char *const uri[] = {"spiffe://cluster.local/ns/shop/sa/web", NULL};
static const char *const ip[] = {"10.1.2.3", "fd00::7", NULL};
static const struct pki_names web = {
    .cn = "web.shop.cluster.local", .dns = dns, .uri = uri, .ip = ip};

static char *sign_new(struct pki_ca *ca, const struct pki_names *names, struct err *e)
{
    char *key = pki_key_new(e);
    char *csr = pki_csr_new(key, "anything", e);
    char *chain;

    ck_assert_msg(csr != NULL, "%s", e->text);
    chain = pki_ca_sign(ca, csr, names, 3600, e);
    free(csr);
    pki_wipe(key);
    return chain;
}

START_TEST(a_signed_request_gives_a_certificate_that_openssl_accepts)
{
    struct pki_ca *ca = open_ca();
    struct err e = {""};
    char *chain = sign_new(ca, &web, &e);
    char out[8192];

    ck_assert_msg(chain != NULL, "%s", e.text);
    put("leaf.pem", chain, 0644);
    put("roots.pem", pki_ca_roots(ca), 0644);
    ck_assert_msg(sh(out, sizeof(out),
                     "openssl verify -x509_strict -purpose sslserver -CAfile "
                     "roots.pem leaf.pem") == 0,
                  "%s", out);
    ck_assert_msg(sh(out, sizeof(out),
                     "openssl verify -x509_strict -purpose sslclient -CAfile "
                     "roots.pem leaf.pem") == 0,
                  "%s", out);
    ck_assert_msg(sh(out, sizeof(out),
                     "openssl verify -x509_strict -check_ss_sig -CAfile roots.pem "
                     "roots.pem") == 0,
                  "%s", out);
    ck_assert_int_eq(sh(out, sizeof(out), "openssl x509 -in leaf.pem -noout -text"), 0);
    ck_assert_ptr_nonnull(strstr(out, "Subject: O = fsm, CN = web.shop.cluster.local"));
    ck_assert_ptr_nonnull(strstr(out, "Issuer: O = fsm, CN = fsm-ca.cluster.local "));
    ck_assert_ptr_nonnull(strstr(out, "Signature Algorithm: ecdsa-with-SHA256"));
    ck_assert_ptr_nonnull(
        strstr(out, "X509v3 Basic Constraints: critical\n                CA:FALSE"));
    ck_assert_ptr_nonnull(
        strstr(out, "X509v3 Key Usage: critical\n                Digital Signature\n"));
    ck_assert_ptr_nonnull(
        strstr(out, "TLS Web Server Authentication, TLS Web Client Authentication"));
    ck_assert_ptr_nonnull(strstr(out, "DNS:web.shop.cluster.local, DNS:web.shop.svc, "
                                      "URI:spiffe://cluster.local/ns/shop/sa/web, "
                                      "IP Address:10.1.2.3, IP Address:FD00:0:0:0:0:0:0:7"));
    ck_assert_ptr_nonnull(strstr(out, "X509v3 Subject Key Identifier"));
    ck_assert_ptr_nonnull(strstr(out, "X509v3 Authority Key Identifier"));
    ck_assert_int_eq(sh(out, sizeof(out), "openssl x509 -in roots.pem -noout -text"), 0);
    ck_assert_ptr_nonnull(strstr(out, "CA:TRUE, pathlen:0"));
    ck_assert_ptr_nonnull(
        strstr(out, "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign"));
    free(chain);
    pki_ca_free(ca);
}
END_TEST

START_TEST(what_we_read_of_it)
{
    struct pki_ca *ca = open_ca();
    struct pki_cert_info info, root;
    struct err e = {""};
    char *chain = sign_new(ca, &web, &e);
    int64_t now = clock_wall_ms() / 1000;

    ck_assert_msg(pki_cert_read(chain, &info, &e) == 0, "%s", e.text);
    ck_assert_int_eq(pki_cert_read(pki_ca_roots(ca), &root, &e), 0);
    ck_assert_str_eq(info.subject_cn, "web.shop.cluster.local");
    ck_assert_str_eq(info.issuer_cn, root.subject_cn);
    ck_assert_str_eq(info.sans,
                     "DNS:web.shop.cluster.local, DNS:web.shop.svc, "
                     "URI:spiffe://cluster.local/ns/shop/sa/web, IP:10.1.2.3, IP:fd00::7");
    ck_assert_uint_eq(strlen(info.serial), 32);
    ck_assert_int_ge(info.not_after, now + 3590);
    ck_assert_int_le(info.not_after, now + 3600);
    ck_assert_int_le(info.not_before, now - 59);
    ck_assert_int_gt(root.not_after, now + 3649LL * 86400);
    free(chain);
    pki_ca_free(ca);
}
END_TEST

START_TEST(serials_differ)
{
    struct pki_ca *ca = open_ca();
    struct pki_cert_info a, b;
    struct err e = {""};
    char *one = sign_new(ca, &web, &e), *two = sign_new(ca, &web, &e);

    ck_assert_int_eq(pki_cert_read(one, &a, &e), 0);
    ck_assert_int_eq(pki_cert_read(two, &b, &e), 0);
    ck_assert_str_ne(a.serial, b.serial);
    free(one);
    free(two);
    pki_ca_free(ca);
}
END_TEST

START_TEST(the_requests_own_names_do_not_count)
{
    struct pki_ca *ca = open_ca();
    struct pki_cert_info info;
    struct err e = {""};
    char out[4096], *csr, *chain;

    ck_assert_msg(sh(out, sizeof(out),
                     "openssl req -new -newkey ec -pkeyopt "
                     "ec_paramgen_curve:P-256 -nodes -keyout k.pem -subj /CN=root -addext "
                     "'subjectAltName=URI:spiffe://cluster.local/ns/kube-system/sa/admin' "
                     "-addext basicConstraints=CA:TRUE -out r.csr") == 0,
                  "%s", out);
    csr = get("r.csr");
    chain = pki_ca_sign(ca, csr, &web, 60, &e);
    ck_assert_msg(chain != NULL, "%s", e.text);
    ck_assert_int_eq(pki_cert_read(chain, &info, &e), 0);
    ck_assert_str_eq(info.subject_cn, "web.shop.cluster.local");
    ck_assert_ptr_null(strstr(info.sans, "admin"));
    free(csr);
    free(chain);
    pki_ca_free(ca);
}
END_TEST

START_TEST(requests_that_are_refused)
{
    static const struct {
        const char *make, *says;
    } t[] = {
        {"openssl req -new -newkey rsa:1024 -nodes -keyout k -subj /CN=a", "2048"},
        {"openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:secp256k1 -nodes -keyout k -subj "
         "/CN=a",
         "P-256"},
        {"openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -subj "
         "/CN=a -sha1",
         "hash"},
        {"echo '-----BEGIN CERTIFICATE REQUEST-----'; echo AAAA; echo '-----END CERTIFICATE "
         "REQUEST-----'",
         "certificate request"},
        {"echo hello", "certificate request"},
        {"head -c 70000 /dev/zero | tr '\\0' A", "larger"},
    };
    struct pki_ca *ca = open_ca();

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct err e = {""};
        char out[256], *csr;
        sh(out, sizeof(out), "(%s) > bad.csr 2>/dev/null", t[i].make);
        csr = get("bad.csr");
        ck_assert_ptr_null(pki_ca_sign(ca, csr, &web, 60, &e));
        ck_assert_msg(strstr(e.text, t[i].says) != NULL, "%zu: %s", i, e.text);
        free(csr);
    }
    pki_ca_free(ca);
}
END_TEST

START_TEST(a_request_with_a_damaged_signature_is_refused)
{
    struct pki_ca *ca = open_ca();
    struct err e = {""};
    char *csr, *key = pki_key_new(&e), *at;

    csr = pki_csr_new(key, "x", &e);
    /* the text's end is the signature's end: another letter there is another number */
    at = strstr(csr, "\n-----END") - 6;
    *at = *at == 'A' ? 'B' : 'A';
    ck_assert_ptr_null(pki_ca_sign(ca, csr, &web, 60, &e));
    ck_assert_msg(strstr(e.text, "not by the key it shows") != NULL, "%s", e.text);
    free(csr);
    pki_wipe(key);
    pki_ca_free(ca);
}
END_TEST

START_TEST(p384_and_rsa_requests_are_signed)
{
    static const char *const kinds[] = {"ec -pkeyopt ec_paramgen_curve:P-384", "rsa:2048"};
    struct pki_ca *ca = open_ca();
    struct err e = {""};
    char out[4096];

    for (size_t i = 0; i < 2; i++) {
        ck_assert_msg(sh(out, sizeof(out),
                         "openssl req -new -newkey %s -nodes -keyout k -subj "
                         "/CN=a -out a.csr",
                         kinds[i]) == 0,
                      "%s", out);
        char *csr = get("a.csr"), *chain = pki_ca_sign(ca, csr, &web, 60, &e);
        ck_assert_msg(chain != NULL, "%s", e.text);
        put("leaf.pem", chain, 0644);
        ck_assert_msg(sh(out, sizeof(out),
                         "openssl verify -x509_strict -CAfile ca/ca.crt leaf.pem "
                         "&& openssl x509 -in leaf.pem -noout -text") == 0,
                      "%s", out);
        ck_assert_msg((strstr(out, "Key Encipherment") != NULL) == (i == 1), "%s", out);
        free(csr);
        free(chain);
    }
    pki_ca_free(ca);
}
END_TEST

START_TEST(names_that_are_refused)
{
    static const char *const bad_dns[] = {"a b", NULL}, *const bad_dns2[] = {"a..b", NULL};
    static const char *const bad_uri[] = {"no-scheme", NULL}, *const bad_uri2[] = {"a:\n", NULL};
    static const char *const bad_ip[] = {"10.0.0", NULL};
    static const struct pki_names t[] = {
        {.cn = "a", .dns = bad_dns},  {.cn = "a", .dns = bad_dns2}, {.cn = "a", .uri = bad_uri},
        {.cn = "a", .uri = bad_uri2}, {.cn = "a", .ip = bad_ip},    {.cn = "a\nb"},
    };
    struct pki_ca *ca = open_ca();

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        struct err e = {""};
        ck_assert_ptr_null(sign_new(ca, &t[i], &e));
        ck_assert_str_ne(e.text, "");
    }
    pki_ca_free(ca);
}
END_TEST

START_TEST(a_long_name_is_in_the_sans_only)
{
    static const char *const names[] = {
        "a-service-account-with-a-very-long-name-indeed.some-namespace.cluster.local", NULL};
    struct pki_names n = {.cn = names[0], .dns = names};
    struct pki_ca *ca = open_ca();
    struct pki_cert_info info;
    struct err e = {""};
    char *chain = sign_new(ca, &n, &e);

    ck_assert_msg(chain != NULL && pki_cert_read(chain, &info, &e) == 0, "%s", e.text);
    ck_assert_str_eq(info.subject_cn, "");
    ck_assert_ptr_nonnull(strstr(info.sans, names[0]));
    free(chain);
    pki_ca_free(ca);
}
END_TEST

START_TEST(validity_has_bounds)
{
    struct pki_ca *ca = open_ca();
    struct pki_cert_info info, root;
    struct err e = {""};
    char *key, *chain;

    ck_assert_ptr_null(pki_ca_issue(ca, &web, 0, &key, &e));
    ck_assert_ptr_null(key);
    ck_assert_ptr_null(pki_ca_issue(ca, &web, -5, &key, &e));
    chain = pki_ca_issue(ca, &web, 3650LL * 86400, &key, &e);
    ck_assert_msg(chain != NULL, "%s", e.text);
    ck_assert_int_eq(pki_cert_read(chain, &info, &e), 0);
    ck_assert_int_eq(pki_cert_read(pki_ca_roots(ca), &root, &e), 0);
    ck_assert_int_le(info.not_after, root.not_after);
    free(chain);
    pki_wipe(key);
    pki_ca_free(ca);
}
END_TEST

/* ---- the directory
 * --------------------------------------------------------------------------------- */

static unsigned mode_of(const char *name)
{
    char *path = in_dir(name);
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    free(path);
    return st.st_mode & 07777;
}

START_TEST(the_directory_is_private_and_kept)
{
    struct pki_ca *ca = open_ca();
    char *roots = xstrdup(pki_ca_roots(ca));

    ck_assert_uint_eq(mode_of("ca"), 0700);
    ck_assert_uint_eq(mode_of("ca/ca.key"), 0600);
    pki_ca_free(ca);
    ca = open_ca();
    ck_assert_str_eq(pki_ca_roots(ca), roots);
    free(roots);
    pki_ca_free(ca);
}
END_TEST

START_TEST(processes_that_start_together_agree)
{
    pid_t pid[8];
    char *first;

    for (int i = 0; i < 8; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            char name[16];
            struct pki_ca *ca = open_ca();
            snprintf(name, sizeof(name), "roots%d", i);
            put(name, pki_ca_roots(ca), 0644);
            _exit(0);
        }
    }
    for (int i = 0; i < 8; i++) {
        int status;
        waitpid(pid[i], &status, 0);
        ck_assert_int_eq(status, 0);
    }
    first = get("roots0");
    for (int i = 1; i < 8; i++) {
        char name[16], *other;
        snprintf(name, sizeof(name), "roots%d", i);
        other = get(name);
        ck_assert_str_eq(first, other);
        free(other);
    }
    free(first);
}
END_TEST

static void refused(const char *says)
{
    struct err e = {""};
    char *path = in_dir("ca");
    struct pki_ca *ca = pki_ca_open(path, "cluster.local", &e);

    ck_assert_ptr_null(ca);
    ck_assert_msg(strstr(e.text, says) != NULL, "\"%s\" should say \"%s\"", e.text, says);
    free(path);
}

START_TEST(directories_that_are_refused)
{
    char out[256], *key;
    struct err e = {""};

    pki_ca_free(open_ca());
    sh(out, sizeof(out), "chmod 644 ca/ca.key");
    refused("open to others (mode 0644)");
    sh(out, sizeof(out), "chmod 600 ca/ca.key; chmod 777 ca");
    refused("others may write");
    sh(out, sizeof(out), "chmod 700 ca; mv ca/ca.key k");
    refused("without ca.key");
    key = pki_key_new(&e);
    put("ca/ca.key", key, 0600);
    refused("does not belong");
    pki_wipe(key);
    sh(out, sizeof(out), "mv k ca/ca.key; cp ca/ca.crt good; echo nonsense > ca/ca.crt");
    refused("ca.crt");
    sh(out, sizeof(out), "cp good ca/ca.crt; echo nonsense > ca/ca.key");
    refused("ca.key");
}
END_TEST

START_TEST(a_root_of_openssls_making_serves_too)
{
    struct err e = {""};
    struct pki_ca *ca;
    char out[4096], *chain;

    ck_assert_msg(sh(out, sizeof(out),
                     "mkdir -m 700 ca && openssl req -x509 -newkey ec -pkeyopt "
                     "ec_paramgen_curve:P-256 -nodes -keyout ca/ca.key -out ca/ca.crt -subj "
                     "'/C=DE/O=Own Root/CN=own' -days 30 && chmod 600 ca/ca.key") == 0,
                  "%s", out);
    ca = open_ca();
    chain = sign_new(ca, &web, &e);
    ck_assert_msg(chain != NULL, "%s", e.text);
    put("leaf.pem", chain, 0644);
    ck_assert_msg(sh(out, sizeof(out), "openssl verify -CAfile ca/ca.crt leaf.pem") == 0, "%s",
                  out);
    free(chain);
    pki_ca_free(ca);
}
END_TEST

START_TEST(a_certificate_that_is_no_ca_or_expired_is_refused)
{
    char out[4096];

    ck_assert_msg(sh(out, sizeof(out),
                     "mkdir -m 700 ca && openssl req -x509 -newkey ec -pkeyopt "
                     "ec_paramgen_curve:P-256 -nodes -keyout ca/ca.key -out ca/ca.crt -subj /CN=a "
                     "-addext basicConstraints=critical,CA:FALSE && chmod 600 ca/ca.key") == 0,
                  "%s", out);
    refused("no CA certificate");
    ck_assert_msg(sh(out, sizeof(out),
                     "openssl req -new -key ca/ca.key -subj /CN=a -out r.csr && "
                     "printf 'basicConstraints=critical,CA:TRUE\\nkeyUsage=keyCertSign' > x && "
                     "openssl x509 -req -in r.csr -signkey ca/ca.key -extfile x -days -1 -out "
                     "ca/ca.crt") == 0,
                  "%s", out);
    refused("expired");
}
END_TEST

/* ---- rotation
 * -------------------------------------------------------------------------------------- */

static int count_certs(const char *pem)
{
    int n = 0;

    for (const char *p = pem; (p = strstr(p, "BEGIN CERTIFICATE")) != NULL; p++)
        n++;
    return n;
}

static bool verifies(const char *roots, const char *chain)
{
    char out[2048];

    put("r.pem", roots, 0644);
    put("c.pem", chain, 0644);
    return sh(out, sizeof(out), "openssl verify -CAfile r.pem c.pem") == 0;
}

START_TEST(a_root_is_distributed_before_it_signs)
{
    struct pki_ca *ca = open_ca();
    struct err e = {""};
    char *old_roots = xstrdup(pki_ca_roots(ca)), *both;
    char *before = sign_new(ca, &web, &e), *during, *after;

    ck_assert_int_eq(pki_ca_promote(ca, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.text, "no next root"));
    ck_assert_msg(pki_ca_prepare_next(ca, &e) == 0, "%s", e.text);
    ck_assert_int_eq(count_certs(pki_ca_roots(ca)), 2);
    ck_assert_int_eq(pki_ca_prepare_next(ca, &e), 0); /* once more changes nothing */
    ck_assert_int_eq(count_certs(pki_ca_roots(ca)), 2);
    both = xstrdup(pki_ca_roots(ca));
    during = sign_new(ca, &web, &e);
    ck_assert(verifies(old_roots, during));
    ck_assert_msg(pki_ca_promote(ca, &e) == 0, "%s", e.text);
    after = sign_new(ca, &web, &e);
    ck_assert(!verifies(old_roots, after));
    ck_assert(verifies(both, after));
    ck_assert(verifies(pki_ca_roots(ca), before));
    ck_assert(verifies(pki_ca_roots(ca), after));
    pki_ca_free(ca);
    ca = open_ca(); /* all of it is on disk */
    ck_assert_int_eq(count_certs(pki_ca_roots(ca)), 2);
    ck_assert_int_eq(pki_ca_retire_old(ca, &e), 0);
    ck_assert_int_eq(count_certs(pki_ca_roots(ca)), 1);
    ck_assert(verifies(pki_ca_roots(ca), after));
    ck_assert(!verifies(pki_ca_roots(ca), before));
    free(old_roots);
    free(both);
    free(before);
    free(during);
    free(after);
    pki_ca_free(ca);
}
END_TEST

START_TEST(a_promotion_cut_short_is_completed)
{
    struct pki_ca *ca = open_ca();
    struct err e = {""};
    char out[256], *next, *roots;

    ck_assert_int_eq(pki_ca_prepare_next(ca, &e), 0);
    pki_ca_free(ca);
    next = get("ca/next.crt");
    /* as promote() does it, up to the key's move */
    sh(out, sizeof(out), "cp ca/ca.crt ca/old.crt; mv ca/next.key ca/ca.key");
    ca = open_ca();
    roots = get("ca/ca.crt");
    ck_assert_str_eq(roots, next);
    ck_assert_int_eq(count_certs(pki_ca_roots(ca)), 2);
    free(next);
    free(roots);
    pki_ca_free(ca);
}
END_TEST

START_TEST(a_creation_cut_short_is_completed)
{
    struct err e = {""};
    char out[256], *key = pki_key_new(&e);

    sh(out, sizeof(out), "mkdir -m 700 ca");
    put("ca/ca.key", key, 0600);
    pki_ca_free(open_ca());
    pki_wipe(key);
}
END_TEST

/* in the directory there is another root, made by nobody that the first knows */
static struct pki_ca *replace(void)
{
    struct err e = {""};
    char out[64];

    ck_assert_int_eq(sh(out, sizeof(out), "rm -f ca.* next.* old.*"), 0);
    struct pki_ca *other = pki_ca_open(dir, "cluster.local", &e);
    ck_assert_msg(other != NULL, "%s", e.text);
    return other;
}

START_TEST(what_others_write_is_followed_step_by_step)
{
    struct err e = {""};
    char out[64];

    make_dir();
    struct pki_ca *ca = pki_ca_open(dir, "cluster.local", &e);
    struct pki_ca *other = pki_ca_open(dir, "cluster.local", &e);
    char *first = xstrdup(pki_ca_signer(ca));
    ck_assert_int_eq(pki_ca_refresh(ca, &e), PKI_CA_SAME);
    ck_assert_int_eq(pki_ca_prepare_next(other, &e), 0);
    ck_assert_int_eq(pki_ca_refresh(ca, &e), PKI_CA_CHANGED);
    ck_assert_str_eq(pki_ca_roots(ca), pki_ca_roots(other));
    ck_assert_str_eq(pki_ca_signer(ca), first);
    ck_assert_int_eq(pki_ca_refresh(ca, &e), PKI_CA_SAME);
    ck_assert_int_eq(pki_ca_promote(other, &e), 0);
    ck_assert_int_eq(pki_ca_refresh(ca, &e), PKI_CA_CHANGED);
    ck_assert_str_eq(pki_ca_signer(ca), pki_ca_signer(other));
    ck_assert_ptr_nonnull(strstr(pki_ca_roots(ca), first));
    ck_assert(!pki_ca_keeps(ca));
    ck_assert_int_eq(pki_ca_retire_old(other, &e), 0);
    ck_assert_int_eq(pki_ca_refresh(ca, &e), PKI_CA_CHANGED);
    ck_assert_str_eq(pki_ca_roots(ca), pki_ca_signer(other));
    /* what cannot be read changes nothing */
    put("ca.crt", "nonsense", 0644);
    ck_assert_int_eq(pki_ca_refresh(ca, &e), PKI_CA_UNREADABLE);
    ck_assert_str_eq(pki_ca_roots(ca), pki_ca_signer(other));
    ck_assert_int_eq(sh(out, sizeof(out), "rm ca.crt ca.key"), 0);
    ck_assert_int_eq(pki_ca_refresh(ca, &e), PKI_CA_UNREADABLE);
    char *path = in_dir("ca.key");
    ck_assert_int_ne(access(path, F_OK), 0); /* and none is made */
    free(path);
    free(first);
    pki_ca_free(ca);
    pki_ca_free(other);
    remove_dir();
}
END_TEST

START_TEST(a_root_from_nowhere_is_told_of_before_it_signs)
{
    struct err e = {""};

    make_dir();
    struct pki_ca *ca = pki_ca_open(dir, "cluster.local", &e);
    char *first = xstrdup(pki_ca_signer(ca));
    struct pki_ca *second = replace();
    ck_assert_int_eq(pki_ca_refresh(ca, &e), PKI_CA_STRANGE);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(pki_ca_waits(ca));
        ck_assert_str_eq(pki_ca_signer(ca), first);
        ck_assert_ptr_nonnull(strstr(pki_ca_roots(ca), first));
        ck_assert_ptr_nonnull(strstr(pki_ca_roots(ca), pki_ca_signer(second)));
        ck_assert_int_eq(pki_ca_refresh(ca, &e), PKI_CA_SAME);
    }
    pki_ca_adopt(ca);
    ck_assert(!pki_ca_waits(ca));
    ck_assert(pki_ca_keeps(ca));
    ck_assert_str_eq(pki_ca_signer(ca), pki_ca_signer(second));
    ck_assert_ptr_nonnull(strstr(pki_ca_roots(ca), first));
    ck_assert_int_eq(pki_ca_refresh(ca, &e), PKI_CA_SAME);
    ck_assert_ptr_nonnull(strstr(pki_ca_roots(ca), first));
    pki_ca_forget(ca);
    ck_assert_str_eq(pki_ca_roots(ca), pki_ca_signer(second));
    /* two from nowhere, one after the other: all of them are trusted, the first of them never signs
     */
    struct pki_ca *third = replace();
    ck_assert_int_eq(pki_ca_refresh(ca, &e), PKI_CA_STRANGE);
    struct pki_ca *fourth = replace();
    ck_assert_int_eq(pki_ca_refresh(ca, &e), PKI_CA_STRANGE);
    ck_assert_str_eq(pki_ca_signer(ca), pki_ca_signer(second));
    ck_assert_ptr_nonnull(strstr(pki_ca_roots(ca), pki_ca_signer(fourth)));
    pki_ca_adopt(ca);
    ck_assert_str_eq(pki_ca_signer(ca), pki_ca_signer(fourth));
    free(first);
    pki_ca_free(ca);
    pki_ca_free(second);
    pki_ca_free(third);
    pki_ca_free(fourth);
    remove_dir();
}
END_TEST

START_TEST(an_issued_pair_belongs_together)
{
    struct pki_ca *ca = open_ca();
    struct err e = {""};
    char out[2048], *key, *chain = pki_ca_issue(ca, &web, 60, &key, &e);
    char *pub = pki_public_key(key, &e);

    put("c.pem", chain, 0644);
    put("k.pem", key, 0600);
    put("p.pem", pub, 0644);
    ck_assert_msg(sh(out, sizeof(out),
                     "openssl x509 -in c.pem -noout -pubkey > 1; openssl pkey -in "
                     "k.pem -pubout > 2; cmp 1 2 && cmp 2 p.pem") == 0,
                  "%s", out);
    free(chain);
    free(pub);
    pki_wipe(key);
    pki_ca_free(ca);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pki");
    TCase *t = tcase_create("pki");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, make_dir, remove_dir);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_signed_request_gives_a_certificate_that_openssl_accepts);
    tcase_add_test(t, what_we_read_of_it);
    tcase_add_test(t, serials_differ);
    tcase_add_test(t, the_requests_own_names_do_not_count);
    tcase_add_test(t, requests_that_are_refused);
    tcase_add_test(t, a_request_with_a_damaged_signature_is_refused);
    tcase_add_test(t, p384_and_rsa_requests_are_signed);
    tcase_add_test(t, names_that_are_refused);
    tcase_add_test(t, a_long_name_is_in_the_sans_only);
    tcase_add_test(t, validity_has_bounds);
    tcase_add_test(t, the_directory_is_private_and_kept);
    tcase_add_test(t, processes_that_start_together_agree);
    tcase_add_test(t, directories_that_are_refused);
    tcase_add_test(t, a_root_of_openssls_making_serves_too);
    tcase_add_test(t, a_certificate_that_is_no_ca_or_expired_is_refused);
    tcase_add_test(t, a_root_is_distributed_before_it_signs);
    tcase_add_test(t, a_promotion_cut_short_is_completed);
    tcase_add_test(t, a_creation_cut_short_is_completed);
    tcase_add_test(t, what_others_write_is_followed_step_by_step);
    tcase_add_test(t, a_root_from_nowhere_is_told_of_before_it_signs);
    tcase_add_test(t, an_issued_pair_belongs_together);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
