/* creds.c - the list of credentials that live, by what they were read from. */
#include "common/tls/creds.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/buf.h"
#include "common/base/mem.h"

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; /* over the list and all counts */
static struct creds *live;

bool creds_system_roots(const struct tls_conf *conf)
{
    return conf->ca_pem == NULL && !conf->server && conf->verify != TLS_VERIFY_NONE;
}

static void name_of(const struct tls_conf *conf, uint8_t out[CREDS_DIGEST])
{
    const char *const texts[] = {conf->cert_pem, conf->key_pem, conf->ca_pem};
    uint8_t parts[3][CREDS_DIGEST];
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < 3; i++) {
        tls_sha256(texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) : 0, parts[i]);
        buf_putc(&b, texts[i] != NULL ? 'y' : 'n');
        buf_append(&b, parts[i], CREDS_DIGEST);
    }
    buf_putc(&b, creds_system_roots(conf) ? 'y' : 'n');
    tls_sha256(b.p, b.len, out);
    buf_free(&b);
}

void creds_add_root(struct creds *c, const uint8_t digest[CREDS_DIGEST])
{
    c->roots = xreallocarray(c->roots, c->n_roots + 1, CREDS_DIGEST);
    memcpy(c->roots[c->n_roots++], digest, CREDS_DIGEST);
}

static int digest_cmp(const void *a, const void *b)
{
    return memcmp(a, b, CREDS_DIGEST);
}

static void creds_free(struct creds *c)
{
    creds_unload(c);
    free(c->roots);
    free(c);
}

static struct creds *creds_read(const struct tls_conf *conf, struct err *e)
{
    struct creds *c = xcalloc(1, sizeof(*c));

    if (creds_load(c, conf, e) != 0) {
        creds_free(c);
        return NULL;
    }
    if (c->n_roots > 0)
        qsort(c->roots, c->n_roots, CREDS_DIGEST, digest_cmp);
    return c;
}

/* with the lock held; NULL if there is none */
static struct creds *creds_find(const uint8_t name[CREDS_DIGEST])
{
    struct creds *c = live;

    while (c != NULL && memcmp(c->name, name, CREDS_DIGEST) != 0)
        c = c->next;
    if (c != NULL)
        c->refs++;
    return c;
}

struct creds *creds_get(const struct tls_conf *conf, struct err *e)
{
    uint8_t name[CREDS_DIGEST];
    struct creds *c, *other;

    name_of(conf, name);
    pthread_mutex_lock(&mu);
    c = creds_find(name);
    pthread_mutex_unlock(&mu);
    if (c != NULL || (c = creds_read(conf, e)) == NULL)
        return c;
    memcpy(c->name, name, sizeof(name));
    c->refs = 1;
    pthread_mutex_lock(&mu);
    other = creds_find(name); /* another thread was as fast: one of the two is enough */
    if (other == NULL) {
        c->next = live;
        live = c;
    }
    pthread_mutex_unlock(&mu);
    if (other == NULL)
        return c;
    creds_free(c);
    return other;
}

void creds_put(struct creds *c)
{
    struct creds **at = &live;

    if (c == NULL)
        return;
    pthread_mutex_lock(&mu);
    BUG_ON(c->refs == 0);
    if (--c->refs == 0) {
        while (*at != c)
            at = &(*at)->next;
        *at = c->next;
    } else {
        c = NULL;
    }
    pthread_mutex_unlock(&mu);
    if (c != NULL)
        creds_free(c);
}
