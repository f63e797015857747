/* mesh.c - see mesh.h */
#include "common/proxy/filter/mesh.h"
#include <string.h>
#include "common/base/mem.h"
#include "common/proxy/down.h"
#include "common/proxy/stream.h"

/* ---- outbound -------------------------------------------------------------------------------- */

struct mesh_out_conf {
    struct http_field fields[2]; /* fsm-protocol, serviceidentity */
    unsigned n;
};

const struct mesh_out_conf *mesh_out_conf_new(struct arena *a, const char *identity)
{
    struct mesh_out_conf *c = arena_zalloc(a, sizeof *c);
    c->fields[0] = (struct http_field){.name = slice_str(http_hdr_name(HDR_FSM_PROTOCOL)),
                                       .value = SLICE_LIT("h2"),
                                       .id = HDR_FSM_PROTOCOL};
    c->fields[1] = (struct http_field){.name = slice_str(http_hdr_name(HDR_SERVICEIDENTITY)),
                                       .value = slice_str(arena_strdup(a, identity)),
                                       .id = HDR_SERVICEIDENTITY};
    c->n = *identity ? 2 : 1;
    return c;
}

static enum filter_verdict out_request(struct stream *s, const void *conf)
{
    const struct mesh_out_conf *c = conf;
    unsigned skip = s->app_h2 ? 0 : 1;
    head_drop(s->req, HDR_FSM_PROTOCOL);
    head_drop(s->req, HDR_SERVICEIDENTITY);
    s->mesh_fields = c->fields + skip;
    s->n_mesh_fields = c->n - skip;
    return FILTER_NEXT;
}

static void out_response(struct stream *s, const void *conf, struct http_head *h)
{
    const struct http_field *f = http_find(h, HDR_FSM_STATS);
    (void)conf;
    if (!f)
        return;
    if (up_kind_is_mesh(s->kind) && f->value.n < sizeof s->stats_peer) {
        memcpy(s->stats_peer, f->value.p, f->value.n);
        s->stats_peer[f->value.n] = '\0';
    }
    head_drop(h, HDR_FSM_STATS);
}

#define PEERS_MAX 1024 /* labels are bounded: later ones are not told apart */

static void out_end(struct stream *s, const void *conf)
{
    struct worker *w = s->w;
    struct slice key = slice_str(s->stats_peer);
    unsigned class = s->status / 100;
    (void)conf;
    if (!key.n || class < 1 || class > 5)
        return;
    struct peer_stats *p = table_get(w->peers, key);
    if (!p) {
        if (table_count(w->peers) >= PEERS_MAX)
            return;
        p = xcalloc(1, sizeof *p);
        table_put(w->peers, key, p);
    }
    histogram_add(&p->duration, loop_now_ms(w->loop) - s->begin_ms);
    p->by_class[class - 1]++;
}

const struct filter mesh_out_filter = {"mesh-out", out_request, out_response, out_end};

/* ---- inbound --------------------------------------------------------------------------------- */

struct mesh_in_conf {
    struct slice stats;
};

const struct mesh_in_conf *mesh_in_conf_new(struct arena *a, const char *stats)
{
    struct mesh_in_conf *c = arena_zalloc(a, sizeof *c);
    c->stats = slice_str(arena_strdup(a, stats));
    return c;
}

static enum filter_verdict in_request(struct stream *s, const void *conf)
{
    const struct http_field *f = http_find(s->req, HDR_FSM_PROTOCOL);
    const struct identity *id = s->conn->id;
    (void)conf;
    if (s->conn->mesh && f && slice_eq_str(f->value, "h2"))
        s->app_h2 = true;
    head_drop(s->req, HDR_FSM_PROTOCOL);
    head_drop(s->req, HDR_SERVICEIDENTITY);
    if (id && id->principal[0])
        stream_set_header(s, HDR_SERVICEIDENTITY, slice_str(id->principal));
    return FILTER_NEXT;
}

static void in_response(struct stream *s, const void *conf, struct http_head *h)
{
    const struct mesh_in_conf *c = conf;
    head_drop(h, HDR_FSM_STATS);
    if (s->conn->mesh && c->stats.n)
        head_add(h, HDR_FSM_STATS, c->stats);
}

const struct filter mesh_in_filter = {"mesh-in", in_request, in_response, NULL};
