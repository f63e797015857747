/* proxies.c - what is known of each proxy: versions, certificate, what it last said. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "controller/cp.h"

#define CONNECTED_MS 15000 /* between two polls; also the longest back-off of a sidecar */

static void proxy_free(struct cp_proxy *px)
{
    timer_cancel(&px->poll_timer);
    policy_proxy_close(px->px);
    free(px->key);
    free(px);
}

static void set_current(struct cp_proxy *px)
{
    char now[DOCUMENT_VERSION_MAX];

    if (strcmp(policy_proxy_version(px->px, now), px->current) == 0)
        return;
    snprintf(px->current, sizeof(px->current), "%s", now);
    px->current_since_ms = loop_now_ms(px->cp->loop);
}

/* a new pod of the same name: nothing said by the old one counts */
static void adopt(struct cp_proxy *px, const struct mesh_pod *pod)
{
    if (strcmp(px->uid, pod->uid) == 0)
        return;
    snprintf(px->uid, sizeof(px->uid), "%s", pod->uid);
    px->applied[0] = px->rejected[0] = px->reason[0] = px->roots[0] = '\0';
    px->issuer[0] = '\0';
    px->cert_not_after = 0;
}

static bool is_full(const struct cp *cp)
{
    int64_t max = policy_settings(cp->policy)->max_proxies;

    return max > 0 && table_count(cp->proxies) >= (uint64_t)max;
}

static struct cp_proxy *proxy_new(struct cp *cp, struct policy_proxy *opened, const char *key)
{
    struct cp_proxy *px = xcalloc(1, sizeof(*px));

    px->cp = cp;
    px->px = opened;
    px->key = xstrdup(key);
    px->first_ms = px->seen_ms = loop_now_ms(cp->loop);
    cp_poll_init(px);
    set_current(px);
    table_put_str(cp->proxies, key, px);
    return px;
}

struct cp_proxy *cp_proxy_get(struct cp *cp, struct http_req *r, const struct mesh_pod *pod)
{
    char *key = xasprintf("%s/%s", pod->ns, pod->name);
    struct cp_proxy *px = table_get_str(cp->proxies, key);
    struct policy_proxy *opened = px ? NULL : policy_proxy_open(cp->policy, pod->ns, pod->name);

    if (!px && !opened) {
        cp_reply_text(cp, r, 404,
                      "pod %s is not in the mesh: it has no sidecar, or its namespace is "
                      "not monitored\n",
                      key);
    } else if (!px && is_full(cp)) {
        cp->metrics.rejected++;
        policy_proxy_close(opened);
        http_req_header(r, "Retry-After", "10");
        cp_reply_text(cp, r, 503,
                      "too many connections: the MeshConfig allows "
                      "sidecar.maxDataPlaneConnections proxies\n");
    } else {
        if (!px)
            px = proxy_new(cp, opened, key);
        adopt(px, pod);
        px->seen_ms = loop_now_ms(cp->loop);
    }
    free(key);
    return px;
}

void cp_proxy_has_roots(struct cp_proxy *px)
{
    snprintf(px->roots, sizeof(px->roots), "%s", px->cp->roots_hash);
}

void cp_proxies_refresh(struct cp *cp)
{
    struct cp_proxy *px;

    table_foreach (cp->proxies, it, NULL, &px) {
        if (policy_proxy_pod(px->px)) {
            set_current(px);
            continue;
        }
        cp_poll_end(px, 404);
        table_del(cp->proxies, slice_str(px->key));
        proxy_free(px);
    }
}

void cp_proxies_free(struct cp *cp)
{
    struct cp_proxy *px;

    if (!cp->proxies)
        return;
    table_foreach (cp->proxies, it, NULL, &px)
        proxy_free(px);
    table_free(cp->proxies);
    timer_cancel(&cp->pace_timer);
}

bool cp_proxy_is_connected(const struct cp_proxy *px)
{
    return px->poll || loop_now_ms(px->cp->loop) - px->seen_ms < CONNECTED_MS;
}

unsigned cp_proxies_connected(const struct cp *cp)
{
    struct cp_proxy *px;
    unsigned n = 0;

    table_foreach (cp->proxies, it, NULL, &px)
        n += cp_proxy_is_connected(px);
    return n;
}

unsigned cp_proxies_without_roots(const struct cp *cp)
{
    struct cp_proxy *px;
    unsigned n = 0;

    table_foreach (cp->proxies, it, NULL, &px)
        n += cp_proxy_is_connected(px) && strcmp(px->roots, cp->roots_hash) != 0;
    return n;
}

unsigned cp_proxies_with_old_certs(const struct cp *cp)
{
    struct cp_proxy *px;
    unsigned n = 0;

    table_foreach (cp->proxies, it, NULL, &px)
        n += cp_proxy_is_connected(px) && strcmp(px->issuer, cp->issuer_hash) != 0;
    return n;
}

static json_t *proxy_json(const struct cp_proxy *px)
{
    const struct mesh_pod *pod = policy_proxy_pod(px->px);
    uint64_t now = loop_now_ms(px->cp->loop);
    bool behind = strcmp(px->applied, px->current) != 0;
    struct buf id = BUF_INIT, uuid = BUF_INIT;

    mesh_identity(pod->sa, pod->ns, &id);
    mesh_pod_uuid(pod, &uuid);
    json_t *out =
        json_pack("{s:s,s:s,s:s,s:b,s:I,s:s,s:s?,s:I,s:s?,s:s?,s:I,s:b,s:b}", "pod", px->key,
                  "identity", id.p, "uuid", uuid.p, "connected", cp_proxy_is_connected(px),
                  "lastSeenMs", (json_int_t)(px->poll ? 0 : now - px->seen_ms), "current",
                  px->current, "applied", *px->applied ? px->applied : NULL, "lagMs",
                  (json_int_t)(behind ? now - px->current_since_ms : 0), "rejected",
                  *px->rejected ? px->rejected : NULL, "reason", *px->reason ? px->reason : NULL,
                  "certNotAfter", (json_int_t)px->cert_not_after, "trustsRoots",
                  strcmp(px->roots, px->cp->roots_hash) == 0, "certOfThisRoot",
                  strcmp(px->issuer, px->cp->issuer_hash) == 0);
    buf_free(&id);
    buf_free(&uuid);
    return out;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(struct cp_proxy *const *)a)->key, (*(struct cp_proxy *const *)b)->key);
}

json_t *cp_proxies_json(const struct cp *cp)
{
    struct cp_proxy **v = xcalloc(table_count(cp->proxies) + 1, sizeof(struct cp_proxy *)), *px;
    json_t *out = json_array();
    size_t n = 0;

    table_foreach (cp->proxies, it, NULL, &px)
        v[n++] = px;
    qsort(v, n, sizeof(*v), by_key);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(out, proxy_json(v[i]));
    free(v);
    return out;
}
