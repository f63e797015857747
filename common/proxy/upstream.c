/* upstream.c - picking clusters and endpoints, following the snapshot, counters.
 *
 * Invariants: a wcluster in w->clusters has def != NULL and is named like its slot's cluster in
 * the current view; an epool with gone set is in no wcluster's array.
 */
#include "common/proxy/upstream.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/mem.h"
#include "common/proxy/down.h"

/* ---- endpoints ------------------------------------------------------------------------------- */

struct epool *epool_ref(struct epool *ep)
{
    ep->refs++;
    return ep;
}

static void wcluster_unref(struct wcluster *wc)
{
    BUG_ON(wc->refs == 0);
    if (--wc->refs)
        return;
    free(wc->name);
    free(wc->ep);
    free(wc->weights);
    free(wc);
}

void epool_unref(struct epool *ep)
{
    if (!ep || --ep->refs)
        return;
    wcluster_unref(ep->wc);
    free(ep->identity);
    free(ep);
}

/* A local cluster's endpoint as an IPv6 connection sees it: the application listens on [::1]. */
static struct ip_port dialled_address(const struct endpoint *e, bool twin)
{
    struct ip_port a = e->addr;
    if (twin)
        a.ip = (struct ip){.family = 6, .b = {[15] = 1}};
    return a;
}

/* NULL: no memory */
static struct epool *epool_new(struct worker *w, struct wcluster *wc, uint32_t i, bool twin)
{
    const struct endpoint *e = &wc->def->eps[i];
    struct epool *ep = calloc(1, sizeof *ep);
    char *identity = ep && e->identity ? strdup(e->identity) : NULL;
    if (!ep || !identity != !e->identity) {
        free(ep);
        return NULL;
    }
    ep->refs = 1;
    ep->w = w;
    ep->wc = wc;
    wc->refs++;
    ep->addr = dialled_address(e, twin);
    ep->has_source = wc->def->has_source && !twin; /* the source is IPv4 */
    ep->source = wc->def->source;
    ep->identity = identity;
    ep->st.addr = ep->addr;
    TAILQ_INIT(&ep->idle);
    TAILQ_INIT(&ep->shared);
    return ep;
}

/* nothing new goes there: idle connections end now, busy ones when they are done */
static void epool_retire(struct epool *ep)
{
    struct upconn *u, *next;
    ep->gone = true;
    while ((u = TAILQ_FIRST(&ep->idle)))
        upconn_close(u, REASON_CONFIG);
    for (u = TAILQ_FIRST(&ep->shared); u; u = next) {
        next = TAILQ_NEXT(u, link);
        if (TAILQ_EMPTY(&u->waiting))
            upconn_unlist(u);
    }
    epool_unref(ep);
}

/* ---- clusters -------------------------------------------------------------------------------- */

static uint32_t places_of(const struct cluster *def)
{
    return def->flags & CLUSTER_LOCAL ? 2 * def->n : def->n;
}

static uint32_t places(const struct wcluster *wc)
{
    return wc->def && wc->def->flags & CLUSTER_LOCAL ? 2 * wc->n : wc->n;
}

static bool same_endpoint(const struct epool *ep, const struct endpoint *e, bool twin)
{
    struct ip_port addr = dialled_address(e, twin);
    return ip_port_eq(&ep->addr, &addr) && !ep->identity == !e->identity &&
           (!ep->identity || strcmp(ep->identity, e->identity) == 0);
}

/* the pool of e among the first n of `from`, taken out of it; hint: where it probably stands */
static struct epool *take_pool(struct epool **from, uint32_t n, uint32_t hint,
                               const struct endpoint *e, bool twin)
{
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = hint + k < n ? hint + k : hint + k - n;
        struct epool *ep = from[i];
        if (ep && same_endpoint(ep, e, twin)) {
            from[i] = NULL;
            return ep;
        }
    }
    return NULL;
}

/* Makes wc follow def: connections of endpoints that stay are kept, others retire.  Only pools
 * in use are looked for, so a large cluster of which little is used stays cheap.  -1: no memory,
 * and nothing was changed. */
static int wcluster_follow(struct wcluster *wc, struct cluster *def, uint32_t start)
{
    struct epool **old = wc->ep;
    uint32_t n_old = wc->def ? places(wc) : 0, in_use = 0;
    struct epool **fresh = calloc(places_of(def) + 1, sizeof *fresh);
    struct wrr *weights = calloc(def->n + 1, sizeof *weights);
    if (!fresh || !weights) {
        free(fresh);
        free(weights);
        return -1;
    }
    for (uint32_t i = 0; i < n_old; i++)
        in_use += old[i] != NULL;
    wc->def = def;
    wc->serial = def->serial;
    wc->n = def->n;
    wc->ep = fresh;
    free(wc->weights);
    wc->weights = weights;
    for (uint32_t i = 0; i < def->n; i++)
        wc->weights[i].weight = def->eps[i].weight;
    for (uint32_t i = 0; in_use && i < places(wc); i++) {
        const struct endpoint *e = &def->eps[i % def->n];
        wc->ep[i] = take_pool(old, n_old, i % n_old, e, i >= def->n);
        in_use -= wc->ep[i] != NULL;
    }
    wrr_init(&wc->turns, wc->weights, wc->n, start + wc->turns.next);
    for (uint32_t i = 0; i < n_old; i++)
        if (old[i])
            epool_retire(old[i]);
    free(old);
    return 0;
}

static void wcluster_remove(struct worker *w, uint32_t slot)
{
    struct wcluster *wc = w->clusters[slot];
    w->clusters[slot] = NULL;
    for (uint32_t i = 0; i < places(wc); i++)
        if (wc->ep[i])
            epool_retire(wc->ep[i]);
    wc->def = NULL;
    free(wc->ep);
    wc->ep = NULL;
    wcluster_unref(wc);
}

/* -1: no memory */
static int clusters_grow(struct worker *w, uint32_t n)
{
    if (n <= w->n_clusters)
        return 0;
    struct wcluster **v = reallocarray(w->clusters, n, sizeof(struct wcluster *));
    if (!v)
        return -1;
    memset(v + w->n_clusters, 0, (n - w->n_clusters) * sizeof(struct wcluster *));
    w->clusters = v;
    w->n_clusters = n;
    return 0;
}

/* NULL: no memory */
static struct wcluster *wcluster_new(struct cluster *def, uint32_t seed)
{
    struct wcluster *wc = calloc(1, sizeof *wc);
    if (!wc)
        return NULL;
    wc->refs = 1;
    wc->name = strdup(def->name);
    if (!wc->name || wcluster_follow(wc, def, seed) < 0) {
        wcluster_unref(wc);
        return NULL;
    }
    wc->shared = def->shared;
    return wc;
}

/* NULL: there is none, or (ENOMEM) no memory */
static struct wcluster *wcluster_get(struct worker *w, uint32_t slot)
{
    struct cluster *def = view_cluster(worker_view(w), slot);
    if (!def || clusters_grow(w, worker_view(w)->n_clusters) < 0)
        return NULL;
    if (!w->clusters[slot])
        w->clusters[slot] = wcluster_new(def, w->seed);
    return w->clusters[slot];
}

void upstream_sync(struct worker *w)
{
    const struct view *v = worker_view(w);
    for (uint32_t i = 0; i < w->n_clusters; i++) {
        struct wcluster *wc = w->clusters[i];
        struct cluster *def = view_cluster(v, i);
        if (!wc)
            continue;
        if (!def || strcmp(wc->name, def->name) != 0)
            wcluster_remove(w, i);
        else if (wc->serial == def->serial)
            wc->def = def;
        else if (wcluster_follow(wc, def, 0) < 0)
            mem_end(def->n * sizeof(struct epool *)); /* what it has belongs to a view that goes */
    }
}

void upstream_free(struct worker *w)
{
    struct upconn *u;
    while ((u = LIST_FIRST(&w->upconns)))
        upconn_close(u, REASON_DRAIN);
    for (uint32_t i = 0; i < w->n_clusters; i++)
        if (w->clusters[i])
            wcluster_remove(w, i);
    free(w->clusters);
    w->clusters = NULL;
    w->n_clusters = 0;
    wcluster_unref(w->passthrough);
}

/* ---- choices that stick to a connection ------------------------------------------------------ */

static struct stick *stick_find(const struct down *d, uint64_t key)
{
    struct stick *s = d->sticks;
    while (s && s->key != key)
        s = s->next;
    return s;
}

/* NULL: no more, or no memory; then each request chooses anew */
static struct stick *stick_add(struct down *d, uint64_t key)
{
    struct stick *s;
    if (d->n_sticks == STICKS_MAX || !(s = wmem_obj(d->w->mem, &d->w->s_stick, sizeof *s)))
        return NULL;
    s->key = key;
    s->next = d->sticks;
    d->sticks = s;
    d->n_sticks++;
    return s;
}

/* ---- cluster choice -------------------------------------------------------------------------- */

struct wsplit {
    struct wrr_state turns;
    struct wrr t[];
};

/* NULL: no memory */
static struct wsplit *wsplit_get(struct worker *w, const struct split *sp)
{
    struct slice key = slice_of((const char *)&sp->key, sizeof sp->key);
    struct wsplit *ws = table_get(w->splits, key);
    if (ws && ws->turns.n == sp->n)
        return ws;
    ws = calloc(1, sizeof *ws + sp->n * sizeof ws->t[0]);
    if (!ws)
        return NULL;
    for (uint32_t i = 0; i < sp->n; i++)
        ws->t[i].weight = sp->t[i].weight;
    wrr_init(&ws->turns, ws->t, sp->n, w->seed);
    if (table_try_put(w->splits, key, ws) == 0)
        return ws;
    free(ws);
    return NULL;
}

/* keys of choices: a split's has this bit, an endpoint's is its cluster's slot */
#define STICK_SPLIT (UINT64_C(1) << 63)

/* A split is chosen once for a client connection, so that one kept-alive connection stays with
 * one version of a service.  false: no target has a weight, or (ENOMEM) no memory. */
static bool pick_slot(struct stream *s, uint32_t *slot)
{
    const struct split *sp = s->split;
    if (sp->n == 1) {
        *slot = sp->t[0].slot;
        return sp->t[0].weight > 0;
    }
    struct stick *st = stick_find(s->conn, sp->key | STICK_SPLIT);
    if (st) {
        *slot = st->slot;
        return true;
    }
    struct wsplit *ws = wsplit_get(s->w, sp);
    int i = ws ? wrr_pick(&ws->turns, 0) : -1;
    if (i < 0)
        return false;
    *slot = sp->t[i].slot;
    if ((st = stick_add(s->conn, sp->key | STICK_SPLIT)))
        st->slot = *slot;
    return true;
}

/* ---- endpoint choice ------------------------------------------------------------------------- */

/* does one choice hold for the whole client connection? */
static bool endpoint_sticks(const struct stream *s, const struct wcluster *wc)
{
    if (s->bytes_only)
        return false; /* one stream per connection anyway */
    if (wc->def->flags & CLUSTER_LOCAL)
        return true;
    return s->req->version == HTTP_V2 ? !s->chain->http2_per_request : !s->chain->http1_per_request;
}

static struct epool *endpoint_at(struct stream *s, struct wcluster *wc, uint32_t i)
{
    bool twin = wc->def->flags & CLUSTER_LOCAL && s->conn->dst.ip.family == 6;
    struct epool **ep = &wc->ep[twin ? wc->n + i : i];
    if (!*ep)
        *ep = epool_new(s->w, wc, i, twin);
    return *ep ? epool_ref(*ep) : NULL;
}

/* The endpoint whose own address the client dialled, or -1.  Looked up once per connection and
 * version of the cluster. */
static int32_t dialled_endpoint(const struct stream *s, const struct cluster *c)
{
    struct down *d = s->conn;
    if (d->inbound || c->n < 2)
        return -1;
    if (d->own_serial == c->serial)
        return d->own;
    d->own_serial = c->serial;
    d->own = -1;
    for (uint32_t i = 0; i < c->n && d->own < 0; i++)
        if (ip_eq(&c->eps[i].addr.ip, &d->dst.ip))
            d->own = (int32_t)i;
    return d->own;
}

/* A Service of both address families has its pods twice.  Who dialled an IPv4 address gets an IPv4
 * endpoint while there is one to try, as it would without us: the application may listen on one
 * family only. */
static bool is_of_family(const struct stream *s, const struct wcluster *wc, int i)
{
    return s->conn->inbound || !(wc->def->flags & CLUSTER_DUAL) ||
           wc->def->eps[i].addr.ip.family == s->conn->dst.ip.family;
}

static uint32_t busy(const struct wcluster *wc, int i)
{
    return wc->ep[i] ? wc->ep[i]->st.rq_active : 0;
}

static int pick_index(struct stream *s, struct wcluster *wc)
{
    int i = wrr_pick(&wc->turns, s->tried);
    for (uint32_t k = 1; k < wc->n && i >= 0 && !is_of_family(s, wc, i); k++)
        i = wrr_pick(&wc->turns, s->tried);
    if (i < 0 || !(wc->def->flags & CLUSTER_LEAST))
        return i;
    int rival = wrr_rival(&wc->turns, (uint32_t)i, s->tried, &s->w->dice);
    if (rival >= 0 && is_of_family(s, wc, rival) &&
        wrr_is_less_busy(&wc->turns, (uint32_t)rival, busy(wc, rival), (uint32_t)i, busy(wc, i)))
        return rival;
    return i;
}

static struct epool *pick_endpoint(struct stream *s, struct wcluster *wc)
{
    int32_t own = dialled_endpoint(s, wc->def);
    if (own >= 0) /* this pod was meant, no other of its Service */
        return s->tried ? NULL : endpoint_at(s, wc, (uint32_t)own);
    bool sticks = endpoint_sticks(s, wc) && wc->n > 1;
    uint64_t key = wc->def->slot;
    struct stick *st = sticks ? stick_find(s->conn, key) : NULL;
    if (st && !st->ep->gone && s->attempts == 0)
        return epool_ref(st->ep);
    int i = pick_index(s, wc);
    if (i < 0)
        return NULL;
    struct epool *ep = endpoint_at(s, wc, (uint32_t)i);
    if (ep && sticks && (st || (st = stick_add(s->conn, key)))) {
        epool_unref(st->ep);
        st->ep = epool_ref(ep);
    }
    return ep;
}

/* where bytes go that no cluster is named for: a pool of its own, for one connection */
static struct epool *original_destination(struct stream *s)
{
    struct epool *ep = calloc(1, sizeof *ep);
    if (!ep)
        return NULL;
    ep->refs = 1;
    ep->w = s->w;
    ep->wc = s->w->passthrough;
    ep->wc->refs++;
    ep->gone = true;
    ep->addr = ep->st.addr = s->conn->dst;
    TAILQ_INIT(&ep->idle);
    TAILQ_INIT(&ep->shared);
    return ep;
}

struct epool *upstream_pick(struct stream *s)
{
    uint32_t slot;
    errno = 0;
    if (!s->split)
        return original_destination(s);
    if (!pick_slot(s, &slot))
        return NULL;
    struct wcluster *wc = wcluster_get(s->w, slot);
    return wc ? pick_endpoint(s, wc) : NULL;
}

void upstream_note_failure(struct stream *s)
{
    struct wcluster *wc = s->ep->wc;
    for (uint32_t i = 0; wc->def && i < places(wc); i++)
        if (wc->ep[i] == s->ep && i % wc->n < 64)
            s->tried |= UINT64_C(1) << i % wc->n;
    s->ep->st.cx_fail++;
}

void upstream_init(struct worker *w)
{
    w->passthrough = xcalloc(1, sizeof *w->passthrough);
    w->passthrough->refs = 1;
    w->passthrough->shared = cluster_slots_shared(engine_slots(w->eng));
    w->passthrough->name = xstrdup("passthrough-outbound");
}

/* ---- counters -------------------------------------------------------------------------------- */

static void collect_cluster(const struct wcluster *wc, struct stats *out)
{
    struct cluster_stats *c = stats_cluster(out, wc->name);
    for (int i = 0; i < CSTAT_COUNT; i++)
        c->c[i] += wc->stat[i];
    for (uint32_t i = 0; wc->def && i < places(wc); i++)
        if (wc->ep[i])
            *stats_endpoint(c, &wc->ep[i]->addr) = wc->ep[i]->st;
}

void upstream_collect(struct worker *w, struct stats *out)
{
    for (uint32_t i = 0; i < w->n_clusters; i++)
        if (w->clusters[i])
            collect_cluster(w->clusters[i], out);
    collect_cluster(w->passthrough, out);
}
