/* names: the rules by themselves, and peers whose certificates try to get around them */
#include "common/pki/pki_int.h"
#include "common/tls/cert.h"
#include "test/unit/tls/tls_test.h"

START_TEST(wildcards)
{
    static const struct {
        const char *pattern, *host;
        bool yes;
    } t[] = {
        {"a.example.com", "a.example.com", true},
        {"a.example.com", "A.EXAMPLE.com", true},
        {"a.example.com", "a.example.com.", true},
        {"a.example.com.", "a.example.com", true},
        {"*.example.com", "a.example.com", true},
        {"*.example.com", "a.b.example.com", false},
        {"*.example.com", "example.com", false},
        {"*.example.com", ".example.com", false},
        {"*.com", "example.com", false},
        {"*", "example", false},
        {"*", "example.com", false},
        {"*.", "example.", false},
        {"*.*.com", "a.b.com", false},
        {"a*.example.com", "ab.example.com", false},
        {"*a.example.com", "ba.example.com", false},
        {"a.*.com", "a.b.com", false},
        {"xn--*.example.com", "xn--a.example.com", false},
        {"", "", false},
        {".", ".", true},
        {"example.com", "", false},
        {"*.example.com", "*.example.com", true},
    };

    for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
        ck_assert_msg(cert_dns_matches(slice_str(t[i].pattern), slice_str(t[i].host)) == t[i].yes,
                      "\"%s\" and \"%s\"", t[i].pattern, t[i].host);
}
END_TEST

/* ---- certificates of other makers
 * ------------------------------------------------------------------- */

static int sh(char *out, size_t size, const char *fmt, ...)
{
    char cmd[4096];
    va_list ap;
    size_t n;
    FILE *f;
    int at = snprintf(cmd, sizeof(cmd), "cd %s && exec 2>&1; ", dir);

    va_start(ap, fmt);
    vsnprintf(cmd + at, sizeof(cmd) - (size_t)at, fmt, ap);
    va_end(ap);
    f = popen(cmd, "r");
    n = fread(out, 1, size - 1, f);
    out[n] = '\0';
    return pclose(f);
}

static char *slurp(const char *name)
{
    char *path = xasprintf("%s/%s", dir, name);
    struct buf b = BUF_INIT;
    struct err e = {""};

    ck_assert_msg(file_read(path, 1 << 20, &b, &e) == 0, "%s", e.text);
    free(path);
    return buf_take(&b);
}

static void spit(const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", dir, name);
    struct err e = {""};

    ck_assert_msg(file_write(path, text, strlen(text), 0600, &e) == 0, "%s", e.text);
    free(path);
}

/* signed by our CA, with these extensions in openssl's language */
static struct ident made(const char *newkey, const char *subject, const char *exts,
                         const char *more_args)
{
    char out[8192];
    struct ident c;

    spit("x.ext", exts);
    ck_assert_msg(sh(out, sizeof(out),
                     "openssl req -new -newkey %s -nodes -keyout x.key -subj '%s' -out x.csr && "
                     "openssl x509 -req -in x.csr -CA ca/ca.crt -CAkey ca/ca.key -CAcreateserial "
                     "-CAserial x.srl -days 1 -extfile x.ext -out x.crt %s",
                     newkey, subject, more_args) == 0,
                  "%s", out);
    c.chain = slurp("x.crt");
    c.key = slurp("x.key");
    return c;
}

#define P256 "ec -pkeyopt ec_paramgen_curve:P-256"

/* does our client accept this server?  what it saw goes to seen */
static bool accepts(const struct ident *server, const char *host, const char *identity,
                    struct tls_peer *seen)
{
    struct tls_conf s = server_conf();
    struct tls_start p = {.verify_host = host, .verify_identity = identity};
    bool ok;

    s.cert_pem = server->chain;
    s.key_pem = server->key;
    ok = shake(client_conf(), &p, s);
    if (ok && seen != NULL)
        *seen = tls_conn_info(cli.c)->peer;
    return ok;
}

static void closed(void)
{
    ends_close();
}

static void why(const char *says)
{
    ck_assert_msg(strstr(cli.why, says) != NULL, "client says \"%s\", expected \"%s\"", cli.why,
                  says);
    closed();
}

#define SPIFFE "spiffe://cluster.local/ns/shop/sa/web"

/* the text of one kind of name in the place of another */
START_TEST(an_identity_is_a_name_of_its_kind)
{
    struct ident dns = made(P256, "/CN=x", "subjectAltName=DNS:" SPIFFE ",DNS:a.b", "");
    struct ident uri = made(P256, "/CN=x", "subjectAltName=URI:" SPIFFE ",URI:a.b", "");

    ck_assert(!accepts(&dns, NULL, SPIFFE, NULL));
    why("not who was expected");
    ck_assert(accepts(&dns, NULL, "a.b", NULL));
    closed();
    ck_assert(accepts(&uri, NULL, SPIFFE, NULL));
    closed();
    ck_assert(!accepts(&uri, NULL, "a.b", NULL));
    why("not who was expected");
    ident_free(&dns);
    ident_free(&uri);
}
END_TEST

START_TEST(a_nul_in_a_name)
{
    /* DNS "web.example.com\0.evil.org", URI with a NUL, then an honest one */
    struct ident c =
        made(P256, "/CN=x",
             "subjectAltName=DER:30:3b:"
             "82:19:77:65:62:2e:65:78:61:6d:70:6c:65:2e:63:6f:6d:00:2e:65:76:69:6c:2e:6f:72:67:"
             "86:0d:73:70:69:66:66:65:3a:2f:2f:61:00:2f:62:"
             "82:0f:72:65:61:6c:2e:65:78:61:6d:70:6c:65:2e:64:65",
             "");
    struct tls_peer seen;

    ck_assert(!accepts(&c, "web.example.com", NULL, NULL));
    closed();
    ck_assert(!accepts(&c, NULL, "web.example.com", NULL));
    closed();
    ck_assert(!accepts(&c, NULL, "spiffe://a", NULL));
    closed();
    ck_assert(accepts(&c, "real.example.de", NULL, &seen));
    ck_assert_str_eq(seen.spiffe, "");
    ck_assert_str_eq(seen.principal, "real.example.de");
    ck_assert_str_eq(seen.sans, "real.example.de");
    closed();
    ident_free(&c);
}
END_TEST

START_TEST(a_line_feed_in_a_name)
{
    /* URI "x:a\nspiffe://cluster.local/ns/a/sa/b" must not become two */
    struct ident c = made(P256, "/CN=x",
                          "subjectAltName=DER:30:24:86:22:"
                          "78:3a:61:0a:73:70:69:66:66:65:3a:2f:2f:63:6c:75:73:74:65:72:2e:6c:6f:63:"
                          "61:6c:2f:6e:73:2f:61:2f:62:63",
                          "");
    struct tls_peer seen;

    ck_assert(accepts(&c, NULL, NULL, &seen));
    ck_assert_str_eq(seen.sans, "");
    ck_assert_str_eq(seen.spiffe, "");
    closed();
    ck_assert(!accepts(&c, NULL, "spiffe://cluster.local/ns/a/bc", NULL));
    closed();
    ident_free(&c);
}
END_TEST

START_TEST(a_common_name_is_no_name)
{
    struct ident c = made(P256, "/CN=web.example.com", "keyUsage=digitalSignature", "");
    struct tls_peer seen;

    ck_assert(!accepts(&c, "web.example.com", NULL, NULL));
    why("no name");
    ck_assert(!accepts(&c, NULL, "web.example.com", NULL));
    why("no name");
    ck_assert(accepts(&c, NULL, NULL, &seen)); /* but it is shown */
    ck_assert_str_eq(seen.principal, "web.example.com");
    closed();
    ident_free(&c);
}
END_TEST

START_TEST(a_name_of_the_other_kind)
{
    struct ident c = made(
        P256, "/CN=x", "subjectAltName=DNS:spiffe://td/ns/a/sa/b,URI:web.example.com,DNS:ok", "");
    struct tls_peer seen;

    ck_assert(!accepts(&c, NULL, "spiffe://td/ns/a/sa/b", NULL));
    closed();
    ck_assert(!accepts(&c, NULL, "web.example.com", NULL));
    closed();
    ck_assert(accepts(&c, NULL, "ok", &seen));
    ck_assert_str_eq(seen.spiffe, "");
    ck_assert_str_eq(seen.principal, "ok");
    ck_assert_str_eq(seen.sans, "ok");
    closed();
    ident_free(&c);
}
END_TEST

START_TEST(two_identities_are_none)
{
    struct ident c =
        made(P256, "/CN=x",
             "subjectAltName=URI:spiffe://td/ns/a/sa/b,URI:spiffe://td/ns/a/sa/c,DNS:d", "");
    struct tls_peer seen;

    ck_assert(!accepts(&c, NULL, "spiffe://td/ns/a/sa/b", NULL));
    closed();
    ck_assert(!accepts(&c, NULL, "d", NULL));
    closed();
    ck_assert(accepts(&c, NULL, NULL, &seen));
    ck_assert_str_eq(seen.spiffe, "");
    ck_assert_str_eq(seen.sans, "");
    closed();
    ident_free(&c);
}
END_TEST

START_TEST(many_names_and_long_ones)
{
    struct buf x = BUF_INIT;
    char *longest = xmalloc(2100);
    struct tls_peer seen;
    struct ident c;

    memset(longest, 'p', 2099);
    memcpy(longest, "spiffe://td/", 12);
    longest[2048] = '\0';
    buf_puts(&x, "subjectAltName=@n\n[n]\n");
    for (int i = 0; i < 150; i++)
        buf_printf(&x, "DNS.%d=host-%d.example.com\n", i, i);
    buf_printf(&x, "URI.1=%s\nDNS.150=end.example.com\n", longest);
    c = made(P256, "/CN=many", x.p, "");
    ck_assert_msg(accepts(&c, "host-149.example.com", NULL, NULL), "%s", cli.why);
    closed();
    ck_assert(accepts(&c, NULL, longest, &seen));
    ck_assert_str_eq(seen.spiffe, longest);
    ck_assert_str_eq(seen.principal, "host-0.example.com");
    /* the long one has no room left, and is not cut; what is short enough follows */
    ck_assert_ptr_null(strstr(seen.sans, "spiffe://"));
    ck_assert_ptr_nonnull(strstr(seen.sans, "host-149.example.com\nend.example.com"));
    closed();
    ck_assert(!accepts(&c, "host-150.example.com", NULL, NULL));
    why("does not cover");
    ident_free(&c);
    buf_free(&x);
    free(longest);
}
END_TEST

/* from not_before to not_after, relative to now */
static struct ident dated(int64_t from, int64_t to)
{
    static const char *const dns[] = {"web.example.com", NULL};
    struct pki_names n = {.cn = "web", .dns = dns};
    struct ident c = {.chain = NULL};
    struct err e = {""};
    char *ca_key = slurp("ca/ca.key"), *ca_crt = slurp("ca/ca.crt");
    struct pki_key *issuer_key = key_load(ca_key, &e), *k;
    struct cert_data issuer = {.key_id_n = 0};
    struct buf spki = BUF_INIT;
    struct cert_spec spec = {
        .names = &n, .issuer = &issuer, .issuer_key = issuer_key, .spki = &spki};

    ck_assert_int_eq(cert_parse(ca_crt, &issuer, &e), 0);
    c.key = pki_key_new(&e);
    k = key_load(c.key, &e);
    key_spki(k, &spki, &e);
    spec.not_before = clock_wall_ms() / 1000 + from;
    spec.not_after = clock_wall_ms() / 1000 + to;
    c.chain = cert_make(&spec, &e);
    ck_assert_msg(c.chain != NULL, "%s", e.text);
    key_free(k);
    key_free(issuer_key);
    cert_data_free(&issuer);
    buf_free(&spki);
    pki_wipe(ca_key);
    free(ca_crt);
    return c;
}

START_TEST(dates)
{
    struct ident past = dated(-7200, -3600), future = dated(3600, 7200), now = dated(-10, 10);
    struct ident far = dated(-10, 40LL * 365 * 86400); /* past 2050: another kind of time */
    struct tls_peer seen;

    ck_assert(accepts(&now, "web.example.com", NULL, NULL));
    closed();
    ck_assert(accepts(&far, "web.example.com", NULL, &seen));
    ck_assert_int_gt(seen.not_after, clock_wall_ms() / 1000 + 39LL * 365 * 86400);
    closed();
    ck_assert(!accepts(&past, "web.example.com", NULL, NULL));
    ck_assert_msg(strstr(srv.why, "expired") != NULL, "%s", srv.why);
    why("has expired: \"web\" is valid until 20");
    ck_assert(!accepts(&future, "web.example.com", NULL, NULL));
    why("is not valid yet: \"web\" is valid from 20");
    ident_free(&past);
    ident_free(&future);
    ident_free(&now);
    ident_free(&far);
}
END_TEST

/* (that our clients refuse such servers is seen against OpenSSL's: interop_test.c) */
static void not_for_servers(const struct ident *c)
{
    struct tls_conf s = server_conf();
    struct err e = {""};

    s.cert_pem = c->chain;
    s.key_pem = c->key;
    ck_assert_ptr_null(tls_ctx_new(&s, &e));
    ck_assert_msg(strstr(e.text, "may not be used by a TLS server") != NULL, "%s", e.text);
}

START_TEST(what_a_certificate_is_for)
{
    struct ident client_only = made(P256, "/CN=a",
                                    "extendedKeyUsage=clientAuth\n"
                                    "subjectAltName=DNS:web.example.com",
                                    "");
    struct ident server_only = made(P256, "/CN=a",
                                    "extendedKeyUsage=serverAuth\n"
                                    "subjectAltName=DNS:web.example.com",
                                    "");
    struct ident encipher = made(P256, "/CN=a",
                                 "keyUsage=critical,keyEncipherment\n"
                                 "subjectAltName=DNS:web.example.com",
                                 "");
    struct tls_conf c = client_conf();

    ck_assert(accepts(&server_only, "web.example.com", NULL, NULL));
    closed();
    not_for_servers(&client_only);
    not_for_servers(&encipher);
    c.cert_pem = server_only.chain;
    c.key_pem = server_only.key;
    ck_assert(!shake(c, NULL, server_conf()));
    ck_assert_msg(strstr(srv.why, "may not be used by a TLS client") != NULL, "%s", srv.why);
    closed();
    c.cert_pem = encipher.chain;
    c.key_pem = encipher.key;
    ck_assert(!shake(c, NULL, server_conf()));
    closed();
    c.cert_pem = client_only.chain;
    c.key_pem = client_only.key;
    ck_assert(shake(c, NULL, server_conf()));
    closed();
    ident_free(&client_only);
    ident_free(&server_only);
    ident_free(&encipher);
}
END_TEST

START_TEST(a_leaf_signs_nothing)
{
    char out[4096];
    struct ident c = issue(ca, "web", "web.example.com");
    struct ident child;
    char *both;

    spit("leaf.crt", c.chain);
    spit("leaf.key", c.key);
    spit("x.ext", "subjectAltName=DNS:web.example.com");
    ck_assert_msg(sh(out, sizeof(out),
                     "openssl req -new -newkey " P256
                     " -nodes -keyout x.key -subj /CN=x -out x.csr "
                     "&& openssl x509 -req -in x.csr -CA leaf.crt -CAkey leaf.key -CAcreateserial "
                     "-days 1 -extfile x.ext -out x.crt") == 0,
                  "%s", out);
    child.chain = slurp("x.crt");
    child.key = slurp("x.key");
    both = xasprintf("%s%s", child.chain, c.chain);
    free(child.chain);
    child.chain = both;
    ck_assert(!accepts(&child, "web.example.com", NULL, NULL));
    closed();
    ident_free(&child);
    ident_free(&c);
}
END_TEST

START_TEST(a_self_signed_peer)
{
    char out[4096];
    struct ident c;

    ck_assert_msg(sh(out, sizeof(out),
                     "openssl req -x509 -newkey " P256 " -nodes -keyout x.key "
                     "-subj /CN=self -addext subjectAltName=DNS:web.example.com -out x.crt") == 0,
                  "%s", out);
    c.chain = slurp("x.crt");
    c.key = slurp("x.key");
    ck_assert(!accepts(&c, "web.example.com", NULL, NULL));
    why("not signed by a trusted root: \"self\" is signed by \"self\"");
    ident_free(&c);
}
END_TEST

/* the issuer's name alone proves nothing */
START_TEST(a_root_of_the_same_name)
{
    char out[4096], *subject, *crt = slurp("ca/ca.crt");
    struct pki_cert_info info;
    struct ident c;

    ck_assert_int_eq(pki_cert_read(crt, &info, NULL), 0);
    subject = xasprintf("/O=fsm/CN=%s", info.subject_cn);
    spit("x.ext", "subjectAltName=DNS:web.example.com");
    ck_assert_msg(
        sh(out, sizeof(out),
           "openssl req -x509 -utf8 -newkey " P256 " -nodes -keyout f.key -subj '%s' -out f.crt "
           "&& openssl req -new -newkey " P256 " -nodes -keyout x.key -subj /CN=x -out x.csr "
           "&& openssl x509 -req -in x.csr -CA f.crt -CAkey f.key -CAcreateserial "
           "-days 1 -extfile x.ext -out x.crt",
           subject) == 0,
        "%s", out);
    c.chain = slurp("x.crt");
    c.key = slurp("x.key");
    ck_assert(!accepts(&c, "web.example.com", NULL, NULL));
    why("not signed by a trusted root");
    ident_free(&c);
    free(subject);
    free(crt);
}
END_TEST

START_TEST(kinds_of_keys)
{
    static const char *const good[] = {"rsa:2048", "rsa:3072",
                                       "ec -pkeyopt ec_paramgen_curve:P-384"};
    struct ident c;

    for (size_t i = 0; i < 3; i++) {
        c = made(good[i], "/CN=a", "subjectAltName=DNS:web.example.com", "");
        ck_assert_msg(accepts(&c, "web.example.com", NULL, NULL), "%s: %s / %s", good[i], cli.why,
                      srv.why);
        closed();
        ident_free(&c);
    }
}
END_TEST

/* a weak server: its own library may refuse the key before ours does */
static bool weak_accepted(struct ident *c)
{
    struct tls_conf s = server_conf();
    struct tls_ctx *ctx;
    bool ok = false;

    s.cert_pem = c->chain;
    s.key_pem = c->key;
    ctx = tls_ctx_new(&s, &(struct err){""});
    if (ctx != NULL) {
        ok = accepts(c, "web.example.com", NULL, NULL);
        closed();
    }
    tls_ctx_unref(ctx);
    ident_free(c);
    return ok;
}

START_TEST(weak_keys_and_hashes)
{
    struct ident small = made("rsa:1024", "/CN=a", "subjectAltName=DNS:web.example.com", "");
    struct ident sha1 = made(P256, "/CN=a", "subjectAltName=DNS:web.example.com", "-sha1");

    ck_assert(!weak_accepted(&small));
    ck_assert(!weak_accepted(&sha1));
}
END_TEST

/* leaf, intermediate, root: the middle one travels in the chain */
START_TEST(an_intermediate_authority)
{
    char out[8192], *chain;
    struct ident c;

    spit("i.ext", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign");
    spit("x.ext", "subjectAltName=DNS:web.example.com");
    ck_assert_msg(
        sh(out, sizeof(out),
           "openssl req -x509 -newkey " P256 " -nodes -keyout r.key -subj /CN=root -out r.crt && "
           "openssl req -new -newkey " P256 " -nodes -keyout i.key -subj /CN=middle -out i.csr && "
           "openssl x509 -req -in i.csr -CA r.crt -CAkey r.key -CAcreateserial -days 1 "
           "-extfile i.ext -out i.crt && "
           "openssl req -new -newkey " P256 " -nodes -keyout x.key -subj /CN=x -out x.csr && "
           "openssl x509 -req -in x.csr -CA i.crt -CAkey i.key -CAcreateserial -days 1 "
           "-extfile x.ext -out x.crt && cat x.crt i.crt r.crt > chain.crt") == 0,
        "%s", out);
    chain = slurp("r.crt");
    struct tls_conf s = server_conf(), k = client_conf();
    struct tls_start p = {.verify_host = "web.example.com"};
    c.chain = slurp("chain.crt");
    c.key = slurp("x.key");
    s.cert_pem = c.chain;
    s.key_pem = c.key;
    k.ca_pem = chain;
    ck_assert_msg(shake(k, &p, s), "%s", cli.why);
    closed();
    /* the middle one may itself be what is trusted */
    char *middle = slurp("i.crt");
    k.ca_pem = middle;
    ck_assert_msg(shake(k, &p, s), "%s", cli.why);
    closed();
    /* without it there is no path */
    free(c.chain);
    c.chain = slurp("x.crt");
    s.cert_pem = c.chain;
    k.ca_pem = chain;
    ck_assert(!shake(k, &p, s));
    why("not signed by a trusted root: \"x\" is signed by \"middle\"");
    free(middle);
    free(chain);
    ident_free(&c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cert");
    TCase *t = tcase_create("cert");
    SRunner *r;
    int failed;

    idents_make();
    tcase_set_timeout(t, 60);
    tcase_add_test(t, wildcards);
    tcase_add_test(t, an_identity_is_a_name_of_its_kind);
    tcase_add_test(t, a_nul_in_a_name);
    tcase_add_test(t, a_line_feed_in_a_name);
    tcase_add_test(t, a_common_name_is_no_name);
    tcase_add_test(t, a_name_of_the_other_kind);
    tcase_add_test(t, two_identities_are_none);
    tcase_add_test(t, many_names_and_long_ones);
    tcase_add_test(t, dates);
    tcase_add_test(t, what_a_certificate_is_for);
    tcase_add_test(t, a_leaf_signs_nothing);
    tcase_add_test(t, a_self_signed_peer);
    tcase_add_test(t, a_root_of_the_same_name);
    tcase_add_test(t, kinds_of_keys);
    tcase_add_test(t, weak_keys_and_hashes);
    tcase_add_test(t, an_intermediate_authority);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    idents_remove();
    return failed != 0;
}
