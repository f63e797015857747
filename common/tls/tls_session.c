/* Resumption: ticket keys of a server (shared by threads), saved sessions of a client (one set
 * per thread). */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/tls/tls_int.h"

/* ---- ticket keys -------------------------------------------------------------------------------
 * A key seals for one lifetime and opens for one more, so that a ticket of the key's last second
 * lives as long as one of its first. */

struct tls_tickets {
    pthread_mutex_t mu;
    unsigned lifetime_s;
    struct ticket_key key[2]; /* the current one and the one before */
    unsigned n;
};

struct tls_tickets *tls_tickets_new(unsigned lifetime_s, struct err *e)
{
    struct tls_tickets *t;

    if (lifetime_s == 0 || lifetime_s > 7 * 86400) {
        err_set(e, "ticket lifetime: %u s; expected 1 s to 7 days (RFC 8446 4.6.1)", lifetime_s);
        return NULL;
    }
    t = xcalloc(1, sizeof(*t));
    pthread_mutex_init(&t->mu, NULL);
    t->lifetime_s = lifetime_s;
    return t;
}

void tls_tickets_free(struct tls_tickets *t)
{
    if (t == NULL)
        return;
    pthread_mutex_destroy(&t->mu);
    explicit_bzero(t, sizeof(*t));
    free(t);
}

/* The age goes with them: nobody is to use a key for longer by following others. */
char *tls_tickets_save(struct tls_tickets *t)
{
    struct buf text = BUF_INIT;

    pthread_mutex_lock(&t->mu);
    base64_encode(t->key, t->n * sizeof(t->key[0]), &text);
    pthread_mutex_unlock(&t->mu);
    return buf_take(&text);
}

static bool are_keys(const struct buf *b, uint64_t now)
{
    struct ticket_key k;
    bool good = b->len % sizeof(k) == 0 && b->len / sizeof(k) <= 2;

    for (size_t at = 0; good && at < b->len; at += sizeof(k)) {
        memcpy(&k, b->p + at, sizeof(k));
        good = k.made_ms <= now;
    }
    explicit_bzero(&k, sizeof(k));
    return good;
}

int tls_tickets_resume(struct tls_tickets *t, const char *text)
{
    struct buf b = BUF_INIT;
    int rc = -1;

    if (base64_decode(slice_str(text), &b) == 0 && are_keys(&b, clock_mono_ms())) {
        pthread_mutex_lock(&t->mu);
        t->n = (unsigned)(b.len / sizeof(t->key[0]));
        if (t->n > 0)
            memcpy(t->key, b.p, b.len);
        pthread_mutex_unlock(&t->mu);
        rc = 0;
    }
    if (b.p)
        explicit_bzero(b.p, b.cap);
    buf_free(&b);
    return rc;
}

unsigned tickets_lifetime(const struct tls_tickets *t)
{
    return t->lifetime_s;
}

static void tickets_rotate(struct tls_tickets *t, uint64_t now)
{
    if (t->n > 0 && now - t->key[0].made_ms < t->lifetime_s * 1000ull)
        return;
    t->key[1] = t->key[0];
    random_bytes(t->key[0].name, sizeof(t->key[0].name));
    random_bytes(t->key[0].aes, sizeof(t->key[0].aes));
    random_bytes(t->key[0].mac, sizeof(t->key[0].mac));
    t->key[0].made_ms = now;
    if (t->n < 2)
        t->n++;
}

void tickets_current(struct tls_tickets *t, struct ticket_key *out)
{
    pthread_mutex_lock(&t->mu);
    tickets_rotate(t, clock_mono_ms());
    *out = t->key[0];
    pthread_mutex_unlock(&t->mu);
}

bool tickets_find(struct tls_tickets *t, const uint8_t name[16], struct ticket_key *out,
                  bool *fresh)
{
    uint64_t now = clock_mono_ms();
    bool found = false;

    pthread_mutex_lock(&t->mu);
    for (unsigned i = 0; i < t->n && !found; i++) {
        if (memcmp(t->key[i].name, name, sizeof(t->key[i].name)) != 0 ||
            now - t->key[i].made_ms >= t->lifetime_s * 2000ull)
            continue;
        *out = t->key[i];
        *fresh = i == 0 && now - t->key[i].made_ms < t->lifetime_s * 1000ull;
        found = true;
    }
    pthread_mutex_unlock(&t->mu);
    return found;
}

/* ---- saved sessions ----------------------------------------------------------------------------
 */

struct saved {
    TAILQ_ENTRY(saved) link; /* most recently used first */
    struct tls_sessions *owner;
    uint8_t ctx_id[TLS_ID_LEN];
    int64_t expires;
    char *key;
    void *saved; /* the provider's */
};

struct tls_sessions {
    struct table *by_key; /* owns */
    TAILQ_HEAD(saved_list, saved) lru;
    size_t max;
};

static void saved_free(void *v)
{
    struct saved *s = v;

    TAILQ_REMOVE(&s->owner->lru, s, link);
    tls_engine_saved_free(s->saved);
    free(s->key);
    free(s);
}

struct tls_sessions *tls_sessions_new(size_t max)
{
    struct tls_sessions *s = xcalloc(1, sizeof(*s));

    s->by_key = table_new(saved_free);
    TAILQ_INIT(&s->lru);
    s->max = max;
    return s;
}

void tls_sessions_free(struct tls_sessions *s)
{
    if (s == NULL)
        return;
    table_free(s->by_key);
    free(s);
}

void session_save(struct tls *t, void *saved, int64_t expires)
{
    struct tls_sessions *ss = t->sessions;
    struct saved *s;

    if (ss == NULL || ss->max == 0 || expires <= tls_wall_s()) {
        tls_engine_saved_free(saved);
        return;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL || (s->key = strdup(t->session_key)) == NULL) {
        tls_engine_saved_free(saved); /* the next handshake is a full one */
        free(s);
        return;
    }
    s->owner = ss;
    s->expires = expires;
    s->saved = saved;
    memcpy(s->ctx_id, t->ctx->id, TLS_ID_LEN);
    TAILQ_INSERT_HEAD(&ss->lru, s, link);
    if (table_try_put(ss->by_key, slice_str(s->key), s) < 0)
        saved_free(s);
    while (table_count(ss->by_key) > ss->max)
        table_del(ss->by_key, slice_str(TAILQ_LAST(&ss->lru, saved_list)->key));
}

void *session_find(struct tls_sessions *ss, const char *key, const struct tls_ctx *ctx)
{
    struct saved *s = table_get_str(ss->by_key, key);

    if (s == NULL)
        return NULL;
    if (s->expires <= tls_wall_s() || memcmp(s->ctx_id, ctx->id, TLS_ID_LEN) != 0) {
        session_drop(ss, key);
        return NULL;
    }
    TAILQ_REMOVE(&ss->lru, s, link);
    TAILQ_INSERT_HEAD(&ss->lru, s, link);
    return s->saved;
}

void session_drop(struct tls_sessions *ss, const char *key)
{
    table_del(ss->by_key, slice_str(key));
}
