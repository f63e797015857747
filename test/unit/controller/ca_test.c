/* ca_test.c - a CA that others write: what is told of it and when it signs, in virtual time. */
/* objects: controller/cert.c */
/* objects: test/fake/clock.c */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "controller/cp.h"
#include "test/fake/clock.h"
#include "test/unit/unit.h"

#define LOOK_MS   5100
#define SETTLE_MS 100000 /* more than a step waits */

static struct cp cp;
static char dir[64];
static struct {
    unsigned without_roots, old_certs; /* connected proxies */
    unsigned maps, renewals;           /* calls */
} seen;

/* ---- the controller's other files --------------------------------------------------------------
 */

unsigned cp_proxies_without_roots(const struct cp *c)
{
    return seen.without_roots;
}
unsigned cp_proxies_with_old_certs(const struct cp *c)
{
    return seen.old_certs;
}
unsigned cp_proxies_connected(const struct cp *c)
{
    return 1;
}
void cp_proxy_has_roots(struct cp_proxy *px)
{
}
void cp_polls_check(struct cp *c)
{
}
void cp_root_maps_check(struct cp *c)
{
    seen.maps++;
}
void cp_reply(struct cp *c, struct http_req *r, unsigned status, const char *type,
              struct slice body)
{
}
void cp_reply_text(struct cp *c, struct http_req *r, unsigned status, const char *fmt, ...)
{
}
void cp_reply_json(struct cp *c, struct http_req *r, unsigned status, const json_t *body)
{
}
int daemon_own_renew(struct daemon_own *own, struct http_server *server)
{
    seen.renewals++;
    return 0;
}

/* ---- the directory ------------------------------------------------------------------------------
 */

static struct pki_ca *make_another(void)
{
    struct err e = {""};

    file_remove_tree(dir, NULL);
    struct pki_ca *ca = pki_ca_open(dir, "cluster.local", &e);
    ck_assert_msg(ca != NULL, "%s", e.text);
    return ca;
}

static void setup(void)
{
    struct err e = {""};

    log_set_level(LOG_OFF);
    memset(&seen, 0, sizeof(seen));
    snprintf(dir, sizeof(dir), "/tmp/fsm-ca-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    cp = (struct cp){.loop = loop_new(&e), .synced = true};
    cp.conf.base.ca_dir = dir;
    cp.conf.base.trust_domain = "cluster.local";
    ck_assert_msg(cp_ca_open(&cp, &e) == 0, "%s", e.text);
    cp_cert_start(&cp);
    fake_loop_run(cp.loop, LOOK_MS);
    ck_assert_uint_eq(seen.maps, 0);
}

static void teardown(void)
{
    cp_cert_stop(&cp);
    pki_ca_free(cp.ca);
    loop_free(cp.loop);
    file_remove_tree(dir, NULL);
}

START_TEST(steps_of_others_are_taken_at_once)
{
    struct err e = {""};
    char issuer[CP_HASH_MAX];

    setup();
    struct pki_ca *other = pki_ca_open(dir, "cluster.local", &e);
    memcpy(issuer, cp.issuer_hash, sizeof(issuer));
    ck_assert_int_eq(pki_ca_prepare_next(other, &e), 0);
    fake_loop_run(cp.loop, LOOK_MS);
    ck_assert_uint_eq(seen.maps, 1);
    ck_assert_str_eq(cp.issuer_hash, issuer);
    ck_assert_int_eq(pki_ca_promote(other, &e), 0);
    fake_loop_run(cp.loop, LOOK_MS);
    ck_assert_str_ne(cp.issuer_hash, issuer);
    ck_assert_uint_eq(seen.renewals, 1);
    ck_assert_int_eq(pki_ca_retire_old(other, &e), 0);
    fake_loop_run(cp.loop, LOOK_MS);
    ck_assert_uint_eq(seen.maps, 3);
    ck_assert_str_eq(pki_ca_roots(cp.ca), pki_ca_signer(cp.ca));
    fake_loop_run(cp.loop, 10 * SETTLE_MS);
    ck_assert_uint_eq(seen.maps, 3);
    pki_ca_free(other);
    teardown();
}
END_TEST

START_TEST(a_root_from_nowhere_waits_for_everybody)
{
    char issuer[CP_HASH_MAX];

    setup();
    memcpy(issuer, cp.issuer_hash, sizeof(issuer));
    struct pki_ca *other = make_another();
    seen.without_roots = 1;
    fake_loop_run(cp.loop, LOOK_MS);
    ck_assert_uint_eq(seen.maps, 1); /* told of */
    ck_assert_ptr_nonnull(strstr(pki_ca_roots(cp.ca), pki_ca_signer(other)));
    fake_loop_run(cp.loop, 3 * SETTLE_MS);
    ck_assert_str_eq(cp.issuer_hash, issuer); /* one does not trust it yet */
    seen.without_roots = 0;
    seen.old_certs = 1;
    fake_loop_run(cp.loop, LOOK_MS);
    ck_assert_str_ne(cp.issuer_hash, issuer);
    ck_assert_str_eq(pki_ca_signer(cp.ca), pki_ca_signer(other));
    ck_assert_uint_eq(seen.renewals, 1);
    fake_loop_run(cp.loop, 3 * SETTLE_MS);
    ck_assert(pki_ca_keeps(cp.ca)); /* one has a certificate of the old root */
    seen.old_certs = 0;
    fake_loop_run(cp.loop, LOOK_MS);
    ck_assert(!pki_ca_keeps(cp.ca));
    ck_assert_str_eq(pki_ca_roots(cp.ca), pki_ca_signer(other));
    pki_ca_free(other);
    teardown();
}
END_TEST

START_TEST(other_replicas_have_time_to_see_it)
{
    char issuer[CP_HASH_MAX];

    setup();
    memcpy(issuer, cp.issuer_hash, sizeof(issuer));
    pki_ca_free(make_another());
    fake_loop_run(cp.loop, 80000); /* everybody who asks us trusts it */
    ck_assert_str_eq(cp.issuer_hash, issuer);
    fake_loop_run(cp.loop, 20000);
    ck_assert_str_ne(cp.issuer_hash, issuer);
    ck_assert(pki_ca_keeps(cp.ca));
    fake_loop_run(cp.loop, 80000);
    ck_assert(pki_ca_keeps(cp.ca));
    fake_loop_run(cp.loop, 20000);
    ck_assert(!pki_ca_keeps(cp.ca));
    teardown();
}
END_TEST

START_TEST(what_cannot_be_read_is_told_and_changes_nothing)
{
    char roots[CP_HASH_MAX];

    setup();
    memcpy(roots, cp.roots_hash, sizeof(roots));
    file_remove_tree(dir, NULL);
    fake_loop_run(cp.loop, 3 * LOOK_MS);
    ck_assert_ptr_nonnull(cp_ca_problem(&cp));
    ck_assert_ptr_nonnull(strstr(cp_ca_problem(&cp), dir));
    ck_assert_str_eq(cp.roots_hash, roots);
    ck_assert_uint_eq(seen.maps, 0);
    pki_ca_free(make_another());
    fake_loop_run(cp.loop, LOOK_MS);
    ck_assert_ptr_null(cp_ca_problem(&cp));
    ck_assert_uint_eq(seen.maps, 1);
    teardown();
}
END_TEST

UNIT_MAIN("ca", steps_of_others_are_taken_at_once, a_root_from_nowhere_waits_for_everybody,
          other_replicas_have_time_to_see_it, what_cannot_be_read_is_told_and_changes_nothing)
