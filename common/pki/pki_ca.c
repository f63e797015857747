/* The certificate authority on disk.
 *
 *   ca.key  ca.crt      what signs
 *   next.key  next.crt  a root that is distributed and does not sign yet
 *   old.crt             the root before, still trusted
 *
 * Whoever writes holds flock() on the directory, so that processes that start together agree on
 * one CA.  Every file is replaced whole.  The order of writes is such that a crash leaves what
 * the next open completes: a key without its certificate gets one; a promotion whose key has
 * moved gets its certificate moved too. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/pki/pki_int.h"

#define CA_VALID_S    (3650LL * 86400)
#define CLOCK_SLACK_S 60 /* clocks of a mesh differ this much */

/* one generation: what a name ("ca", "next") stands for on disk */
struct pair {
    struct pki_key *key;
    struct cert_data cert;
    char *cert_pem;
};

struct pki_ca {
    char *dir;
    char *trust_domain;
    struct pair now;
    struct pair coming; /* found in the directory, announced in roots, and not signing yet */
    char *listed;       /* the directory's roots */
    char *kept;         /* those of before, which it does not have; or NULL */
    char *roots;        /* both */
    pthread_mutex_t mu; /* over everything above: several threads may sign */
};

static int64_t wall_s(void)
{
    return clock_wall_ms() / 1000;
}

static void pair_clear(struct pair *p)
{
    key_free(p->key);
    cert_data_free(&p->cert);
    free(p->cert_pem);
    memset(p, 0, sizeof(*p));
}

/* ---- files -------------------------------------------------------------------------------------
 */

static char *path_of(const struct pki_ca *ca, const char *name, const char *ext)
{
    return xasprintf("%s/%s.%s", ca->dir, name, ext);
}

static bool file_there(const struct pki_ca *ca, const char *name, const char *ext)
{
    char *path = path_of(ca, name, ext);
    bool there = access(path, F_OK) == 0;

    free(path);
    return there;
}

static int private_file(const char *path, int fd, struct err *e)
{
    struct stat st;
    mode_t open_to;

    if (fstat(fd, &st) != 0)
        return err_errno(e, "%s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, "%s: not a regular file", path);
    /* a mounted Secret is root's, and readable by the group of a process that is not root */
    open_to = S_IRWXO | (st.st_uid == geteuid() ? S_IRWXG : S_IWGRP | S_IXGRP);
    if ((st.st_mode & open_to) != 0)
        return err_set(e,
                       "%s: the private key is open to others (mode %04o); make it 0600 "
                       "(chmod 600 %s), and replace the CA if anybody may have read it",
                       path, (unsigned)(st.st_mode & 07777), path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(e, "%s: belongs to user %u; expected %u or root", path, (unsigned)st.st_uid,
                       (unsigned)geteuid());
    return 0;
}

/* returns owned, to be wiped */
static char *read_key(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char pem[8192];
    ssize_t n;

    if (fd < 0) {
        err_errno(e, "%s", path);
        return NULL;
    }
    if (private_file(path, fd, e) != 0) {
        close(fd);
        return NULL;
    }
    n = read(fd, pem, sizeof(pem) - 1);
    close(fd);
    if (n <= 0 || n == (ssize_t)sizeof(pem) - 1 || memchr(pem, 0, (size_t)n) != NULL) {
        err_set(e, "%s: expected a private key in PEM", path);
        return NULL;
    }
    pem[n] = '\0';
    char *out = xstrndup(pem, (size_t)n);
    explicit_bzero(pem, sizeof(pem));
    return out;
}

static int load_key(const struct pki_ca *ca, const char *name, struct pki_key **out, struct err *e)
{
    char *path = path_of(ca, name, "key");
    char *pem = read_key(path, e);

    if (pem != NULL) {
        *out = key_load(pem, e);
        pki_wipe(pem);
        if (*out == NULL)
            err_prefix(e, "%s", path);
    }
    free(path);
    return *out != NULL ? 0 : -1;
}

static int load_cert(const struct pki_ca *ca, const char *name, char **pem, struct cert_data *data,
                     struct err *e)
{
    char *path = path_of(ca, name, "crt");
    struct buf text = BUF_INIT;
    int r = file_read(path, PKI_PEM_MAX, &text, e);

    if (r == 0) {
        *pem = buf_take(&text);
        r = cert_parse(*pem, data, e);
        if (r != 0)
            err_prefix(e, "%s", path);
        else if (!data->ca)
            r = err_set(e,
                        "%s: \"%s\" is no CA certificate (basicConstraints CA:TRUE, keyUsage "
                        "keyCertSign)",
                        path, data->info.subject_cn);
    }
    buf_free(&text);
    free(path);
    return r;
}

static int write_file(const struct pki_ca *ca, const char *name, const char *ext, const char *text,
                      mode_t mode, struct err *e)
{
    char *path = path_of(ca, name, ext);
    int r = file_write(path, text, strlen(text), mode, e);

    free(path);
    return r;
}

static int move_file(const struct pki_ca *ca, const char *from, const char *to, const char *ext,
                     struct err *e)
{
    char *a = path_of(ca, from, ext), *b = path_of(ca, to, ext);
    int r = rename(a, b) == 0 ? 0 : err_errno(e, "moving %s to %s", a, b);

    free(a);
    free(b);
    return r;
}

/* ---- making a root ------------------------------------------------------------------------------
 */

/* "fsm-ca.<trust domain> 1f2e3d4c": people, and verifiers that look up issuers by name, can tell
 * one root from the next */
static char *root_cn(const struct pki_ca *ca, const struct buf *spki)
{
    uint8_t hash[32];
    char hex[65];

    pki_sha256(spki->p, spki->len, hash);
    hex_encode(hash, 4, hex);
    return xasprintf("fsm-ca.%.40s %s", ca->trust_domain, hex);
}

static char *root_cert(const struct pki_ca *ca, const struct pki_key *key, struct err *e)
{
    struct buf spki = BUF_INIT;
    int64_t now = wall_s();
    char *pem = NULL;

    if (key_spki(key, &spki, e) == 0) {
        char *cn = root_cn(ca, &spki);
        struct pki_names names = {.cn = cn};
        struct cert_spec s = {.names = &names,
                              .spki = &spki,
                              .issuer_key = key,
                              .ca = true,
                              .not_before = now - CLOCK_SLACK_S,
                              .not_after = now + CA_VALID_S};
        pem = cert_make(&s, e);
        free(cn);
    }
    buf_free(&spki);
    return pem;
}

/* completes what is there of a generation: key first, then the certificate for that key */
static int make_pair(const struct pki_ca *ca, const char *name, struct err *e)
{
    struct pki_key *key = NULL;
    char *pem;
    int r;

    if (!file_there(ca, name, "key")) {
        pem = pki_key_new(e);
        r = pem != NULL ? write_file(ca, name, "key", pem, 0600, e) : -1;
        pki_wipe(pem);
        if (r != 0)
            return r;
    }
    if (file_there(ca, name, "crt"))
        return 0;
    if (load_key(ca, name, &key, e) != 0)
        return -1;
    pem = root_cert(ca, key, e);
    key_free(key);
    r = pem != NULL ? write_file(ca, name, "crt", pem, 0644, e) : -1;
    free(pem);
    return r;
}

/* ---- opening ------------------------------------------------------------------------------------
 */

static int make_dir(const char *dir, struct err *e)
{
    struct stat st;

    if (stat(dir, &st) != 0 && errno == ENOENT && file_mkdirs(dir, 0700, e) != 0)
        return -1;
    if (stat(dir, &st) != 0)
        return err_errno(e, "CA directory %s", dir);
    /* sticky: a mounted Secret's directory looks like /tmp */
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0 && !(st.st_mode & S_ISVTX))
        return err_set(e,
                       "CA directory %s: others may write to it (mode %04o); make it 0700 "
                       "(chmod 700 %s)",
                       dir, (unsigned)(st.st_mode & 07777), dir);
    return 0;
}

/* the lock, or -1; released by close() */
static int lock_dir(const struct pki_ca *ca, struct err *e)
{
    int fd = open(ca->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(e, "CA directory %s", ca->dir);
    while (flock(fd, LOCK_EX) != 0) {
        if (errno == EINTR)
            continue;
        err_errno(e, "locking the CA directory %s", ca->dir);
        close(fd);
        return -1;
    }
    return fd;
}

static bool spki_equal(const struct pki_key *key, const struct cert_data *cert)
{
    struct buf spki = BUF_INIT;
    bool same =
        key_spki(key, &spki, NULL) == 0 && slice_eq(buf_slice(&spki), buf_slice(&cert->spki));

    buf_free(&spki);
    return same;
}

/* a promotion stopped after the key had moved: the certificate that belongs to it follows */
static int finish_promotion(const struct pki_ca *ca, struct err *e)
{
    struct pair now = {0}, next = {0};
    int r = 0;

    if (!file_there(ca, "ca", "key") || !file_there(ca, "ca", "crt") ||
        !file_there(ca, "next", "crt") || file_there(ca, "next", "key"))
        return 0;
    if (load_key(ca, "ca", &now.key, e) != 0 ||
        load_cert(ca, "ca", &now.cert_pem, &now.cert, e) != 0 ||
        load_cert(ca, "next", &next.cert_pem, &next.cert, e) != 0)
        r = -1;
    else if (!spki_equal(now.key, &now.cert) && spki_equal(now.key, &next.cert))
        r = move_file(ca, "next", "ca", "crt", e);
    pair_clear(&now);
    pair_clear(&next);
    return r;
}

static int check_pair(const struct pki_ca *ca, const struct pair *p, struct err *e)
{
    int64_t now = wall_s();
    char until[32];

    if (!spki_equal(p->key, &p->cert))
        return err_set(e,
                       "CA directory %s: ca.key does not belong to ca.crt; restore the two from "
                       "one backup",
                       ca->dir);
    if (p->cert.info.not_after <= now) {
        clock_rfc3339(p->cert.info.not_after * 1000, until);
        return err_set(e,
                       "CA directory %s: ca.crt expired at %s; move the directory away to have "
                       "a new CA made",
                       ca->dir, until);
    }
    if (p->cert.info.not_before > now + CLOCK_SLACK_S) {
        clock_rfc3339(p->cert.info.not_before * 1000, until);
        return err_set(e, "CA directory %s: ca.crt is not valid before %s (check the clock)",
                       ca->dir, until);
    }
    return 0;
}

/* every root that peers should trust now */
static int load_roots(const struct pki_ca *ca, char **out, struct err *e)
{
    static const char *const names[] = {"ca", "next", "old"};
    struct buf all = BUF_INIT;
    int r = 0;

    for (size_t i = 0; i < 3 && r == 0; i++) {
        struct cert_data data = {.key_id_n = 0};
        char *pem = NULL;
        if (!file_there(ca, names[i], "crt"))
            continue;
        r = load_cert(ca, names[i], &pem, &data, e);
        if (r == 0 && data.info.not_after > wall_s()) {
            buf_puts(&all, pem);
            if (all.len > 0 && all.p[all.len - 1] != '\n')
                buf_putc(&all, '\n');
        }
        cert_data_free(&data);
        free(pem);
    }
    *out = buf_take(&all);
    return r;
}

static void set_roots(struct pki_ca *ca)
{
    free(ca->roots);
    ca->roots = xasprintf("%s%s", ca->listed, ca->kept ? ca->kept : "");
}

/* what the directory holds, whole and valid */
static int read_all(const struct pki_ca *ca, struct pair *p, char **listed, struct err *e)
{
    *listed = NULL;
    memset(p, 0, sizeof(*p));
    if (load_key(ca, "ca", &p->key, e) == 0 &&
        load_cert(ca, "ca", &p->cert_pem, &p->cert, e) == 0 && check_pair(ca, p, e) == 0 &&
        load_roots(ca, listed, e) == 0)
        return 0;
    pair_clear(p);
    free(*listed);
    return -1;
}

/* reads the directory anew; on failure ca is as it was */
static int reload(struct pki_ca *ca, struct err *e)
{
    struct pair p;
    char *listed;

    if (read_all(ca, &p, &listed, e) != 0)
        return -1;
    pair_clear(&ca->now);
    pair_clear(&ca->coming);
    free(ca->listed);
    free(ca->kept);
    ca->now = p;
    ca->listed = listed;
    ca->kept = NULL;
    set_roots(ca);
    return 0;
}

static int first_use(struct pki_ca *ca, struct err *e)
{
    if (file_there(ca, "ca", "crt") && !file_there(ca, "ca", "key"))
        return err_set(e,
                       "CA directory %s: ca.crt is there without ca.key; restore the key, or "
                       "move ca.crt away to have a new CA made",
                       ca->dir);
    return make_pair(ca, "ca", e);
}

struct pki_ca *pki_ca_open(const char *dir, const char *trust_domain, struct err *e)
{
    struct pki_ca *ca;
    int lock = -1;

    if (make_dir(dir, e) != 0)
        return NULL;
    ca = xcalloc(1, sizeof(*ca));
    ca->dir = xstrdup(dir);
    ca->trust_domain = xstrdup(trust_domain);
    pthread_mutex_init(&ca->mu, NULL);
    lock = lock_dir(ca, e);
    if (lock < 0 || finish_promotion(ca, e) != 0 || first_use(ca, e) != 0 || reload(ca, e) != 0) {
        pki_ca_free(ca);
        ca = NULL;
    }
    if (lock >= 0)
        close(lock);
    return ca;
}

void pki_ca_free(struct pki_ca *ca)
{
    if (ca == NULL)
        return;
    pair_clear(&ca->now);
    pair_clear(&ca->coming);
    pthread_mutex_destroy(&ca->mu);
    free(ca->listed);
    free(ca->kept);
    free(ca->roots);
    free(ca->dir);
    free(ca->trust_domain);
    free(ca);
}

const char *pki_ca_roots(const struct pki_ca *ca)
{
    return ca->roots;
}

const char *pki_ca_signer(const struct pki_ca *ca)
{
    return ca->now.cert_pem;
}

/* ---- rotation -----------------------------------------------------------------------------------
 */

static int prepare(struct pki_ca *ca, struct err *e)
{
    return make_pair(ca, "next", e);
}

static int promote(struct pki_ca *ca, struct err *e)
{
    if (!file_there(ca, "next", "key") || !file_there(ca, "next", "crt"))
        return err_set(e,
                       "CA directory %s: there is no next root to promote; prepare one, and "
                       "wait until every peer trusts it",
                       ca->dir);
    if (write_file(ca, "old", "crt", ca->now.cert_pem, 0644, e) != 0)
        return -1;
    if (move_file(ca, "next", "ca", "key", e) != 0)
        return -1;
    return move_file(ca, "next", "ca", "crt", e);
}

static int retire(struct pki_ca *ca, struct err *e)
{
    char *path = path_of(ca, "old", "crt");
    int r = unlink(path) == 0 || errno == ENOENT ? 0 : err_errno(e, "removing %s", path);

    free(path);
    return r;
}

static int rotate(struct pki_ca *ca, int (*step)(struct pki_ca *, struct err *), struct err *e)
{
    int r = -1, lock;

    pthread_mutex_lock(&ca->mu);
    lock = lock_dir(ca, e);
    if (lock >= 0) {
        r = step(ca, e);
        if (r == 0)
            r = reload(ca, e);
        close(lock);
    }
    pthread_mutex_unlock(&ca->mu);
    return r;
}

int pki_ca_prepare_next(struct pki_ca *ca, struct err *e)
{
    return rotate(ca, prepare, e);
}

int pki_ca_promote(struct pki_ca *ca, struct err *e)
{
    return rotate(ca, promote, e);
}

int pki_ca_retire_old(struct pki_ca *ca, struct err *e)
{
    return rotate(ca, retire, e);
}

/* ---- what others write --------------------------------------------------------------------------
 */

static bool same_root(const struct pair *a, const struct pair *b)
{
    return a->cert_pem && b->cert_pem && strcmp(a->cert_pem, b->cert_pem) == 0;
}

/* takes p and listed */
static enum pki_ca_news take(struct pki_ca *ca, struct pair *p, char *listed)
{
    bool same_list = strcmp(listed, ca->listed) == 0;
    bool is_now = same_root(p, &ca->now), known = strstr(ca->listed, p->cert_pem) != NULL;

    if (same_list && (same_root(p, &ca->coming) || (is_now && !ca->coming.key))) {
        pair_clear(p);
        free(listed);
        return PKI_CA_SAME;
    }
    pair_clear(&ca->coming);
    if (is_now || known) {
        pair_clear(&ca->now);
        ca->now = *p;
        free(ca->kept);
        ca->kept = NULL;
    } else {
        char *kept = xasprintf("%s%s", ca->now.cert_pem, ca->kept ? ca->kept : "");
        free(ca->kept);
        ca->kept = kept;
        ca->coming = *p;
    }
    free(ca->listed);
    ca->listed = listed;
    set_roots(ca);
    return ca->coming.key ? PKI_CA_STRANGE : PKI_CA_CHANGED;
}

enum pki_ca_news pki_ca_refresh(struct pki_ca *ca, struct err *e)
{
    enum pki_ca_news news = PKI_CA_UNREADABLE;
    struct pair p;
    char *listed;

    pthread_mutex_lock(&ca->mu);
    int lock = lock_dir(ca, e);
    if (lock >= 0) {
        if (read_all(ca, &p, &listed, e) == 0)
            news = take(ca, &p, listed);
        close(lock);
    }
    pthread_mutex_unlock(&ca->mu);
    return news;
}

bool pki_ca_waits(const struct pki_ca *ca)
{
    return ca->coming.key != NULL;
}

void pki_ca_adopt(struct pki_ca *ca)
{
    pthread_mutex_lock(&ca->mu);
    if (ca->coming.key != NULL) {
        pair_clear(&ca->now);
        ca->now = ca->coming;
        memset(&ca->coming, 0, sizeof(ca->coming));
    }
    pthread_mutex_unlock(&ca->mu);
}

bool pki_ca_keeps(const struct pki_ca *ca)
{
    return ca->kept != NULL;
}

void pki_ca_forget(struct pki_ca *ca)
{
    pthread_mutex_lock(&ca->mu);
    free(ca->kept);
    ca->kept = NULL;
    set_roots(ca);
    pthread_mutex_unlock(&ca->mu);
}

/* ---- signing ------------------------------------------------------------------------------------
 */

static char *sign_leaf(struct pki_ca *ca, const struct buf *spki, const struct pki_names *names,
                       int64_t validity_s, struct err *e)
{
    int64_t now = wall_s();
    struct cert_spec s = {.names = names, .spki = spki, .not_before = now - CLOCK_SLACK_S};
    struct buf chain = BUF_INIT;
    char *leaf;

    if (validity_s <= 0 || validity_s > CA_VALID_S) {
        err_set(e, "certificate validity: %lld s; expected 1 s to 10 years", (long long)validity_s);
        return NULL;
    }
    pthread_mutex_lock(&ca->mu);
    s.issuer = &ca->now.cert;
    s.issuer_key = ca->now.key;
    s.not_after = now + validity_s;
    if (s.not_after > s.issuer->info.not_after) /* nobody outlives the issuer */
        s.not_after = s.issuer->info.not_after;
    if (s.not_after <= now) {
        err_set(e, "CA directory %s: ca.crt has expired", ca->dir);
        leaf = NULL;
    } else {
        leaf = cert_make(&s, e);
    }
    if (leaf != NULL) {
        buf_puts(&chain, leaf);
        buf_puts(&chain, ca->now.cert_pem);
    }
    pthread_mutex_unlock(&ca->mu);
    free(leaf);
    return chain.p;
}

char *pki_ca_sign(struct pki_ca *ca, const char *csr_pem, const struct pki_names *names,
                  int64_t validity_s, struct err *e)
{
    struct buf spki = BUF_INIT;
    char *chain = NULL;

    if (csr_open(csr_pem, &spki, e) == 0)
        chain = sign_leaf(ca, &spki, names, validity_s, e);
    buf_free(&spki);
    return chain;
}

char *pki_ca_issue(struct pki_ca *ca, const struct pki_names *names, int64_t validity_s,
                   char **key_pem, struct err *e)
{
    char *pem = pki_key_new(e), *chain = NULL;
    struct pki_key *key = pem != NULL ? key_load(pem, e) : NULL;
    struct buf spki = BUF_INIT;

    if (key != NULL && key_spki(key, &spki, e) == 0)
        chain = sign_leaf(ca, &spki, names, validity_s, e);
    buf_free(&spki);
    key_free(key);
    if (chain == NULL) {
        pki_wipe(pem);
        pem = NULL;
    }
    *key_pem = pem;
    return chain;
}
