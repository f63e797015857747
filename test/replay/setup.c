/* setup.c - the document of a scenario; see runner.h */
#include <stdio.h>
#include <stdlib.h>
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/policy/document_store.h"
#include "sidecar/document.h"
#include "test/replay/world.h"

#define LISTEN_BASE 20000
#define JSON_MAX    65536

uint16_t setup_listen_port(const char *port)
{
    return (uint16_t)(LISTEN_BASE + strtoul(port, NULL, 10) % 10000);
}

static struct service *find(const struct world *w, const char *name)
{
    struct service *s = w->services;
    while (s && strcmp(s->name, name) != 0)
        s = s->next;
    return s;
}

static void clear(struct service *s)
{
    json_decref(s->match);
    json_decref(s->cluster);
    free(s->port);
    free(s->dst);
    s->match = s->cluster = NULL;
}

/* the service of that name, without what it had */
static struct service *renew(struct world *w, const char *name, const char *port)
{
    struct service *s = find(w, name);
    if (s) {
        clear(s);
    } else {
        s = xcalloc(1, sizeof *s);
        s->name = xstrdup(name);
        s->next = w->services;
        w->services = s;
    }
    s->port = xstrdup(port);
    s->dst = xasprintf("10.0.0.1:%s", port);
    return s;
}

/* "a" or "a*50" -> its address and weight */
static int endpoint(struct world *w, const struct word *word, char **addr, int *weight)
{
    char *name = xstrdup(word->p), *star = strchr(name, '*');
    if (star)
        *star = '\0';
    const struct server *s = world_server(w, name);
    *weight = star ? (int)strtol(star + 1, NULL, 10) : 100;
    if (s)
        *addr = xasprintf("%s:%u", w->address, s->port);
    free(name);
    return s ? 0 : err_set(w->e, "no server is called \"%s\"", word->p);
}

static int endpoints(struct world *w, struct service *s, const struct statement *st)
{
    json_t *all = json_object();
    s->cluster = s->inbound ? json_incref(all) : json_pack("{s:O}", "Endpoints", all);
    for (unsigned i = 4; i < st->n; i++) {
        char *addr = NULL;
        int weight = 0;
        if (endpoint(w, &st->w[i], &addr, &weight) < 0) {
            json_decref(all);
            return -1;
        }
        json_object_set_new(
            all, addr, s->inbound ? json_integer(weight) : json_pack("{s:i}", "Weight", weight));
        free(addr);
    }
    json_decref(all);
    return 0;
}

static json_t *http_rules(json_t *m, const char *name)
{
    json_object_set_new(m, "HttpHostPort2Service", json_pack("{s:s}", name, name));
    json_object_set_new(m, "HttpServiceRouteRules",
                        json_pack("{s:{s:{s:{s:i}}}}", name, ".*", "TargetClusters", name, 100));
    return m;
}

int setup_service(struct world *w, const struct statement *st, bool inbound)
{
    if (st->n < 4)
        return err_set(w->e, "expected NAME PORT PROTOCOL ENDPOINT...");
    const char *name = st->w[1].p, *proto = st->w[3].p;
    bool detect = strcmp(proto, "detect") == 0, tcp = strcmp(proto, "tcp") == 0;
    struct service *s = renew(w, name, st->w[2].p);
    s->inbound = inbound;
    json_t *m = s->match = json_pack("{s:s}", "Protocol", detect ? "http" : proto);
    if (!tcp)
        http_rules(m, name);
    else
        json_object_set_new(m, "TargetClusters", json_pack("{s:i}", name, 100));
    if (detect)
        json_object_set_new(m, "OpaqueTargets",
                            inbound ? json_pack("{s:i}", name, 100)
                                    : json_pack("{s:{s:i}}", "10.0.0.0/8", name, 100));
    if (inbound)
        json_object_set_new(m, "SourceIPRanges", json_pack("{s:n}", "127.0.0.0/8"));
    return endpoints(w, s, st);
}

int setup_original(struct world *w, const struct statement *st)
{
    struct service *s = find(w, st->w[1].p);
    const struct server *target = world_server(w, st->w[2].p);
    if (!s || !target)
        return err_set(w->e, "expected a service and a server");
    free(s->dst);
    s->dst = xasprintf("%s:%u", w->address, target->port);
    return 0;
}

int setup_listen(struct world *w, const struct statement *st)
{
    const char *to = st->n == 3 && strncmp(st->w[2].p, "to=", 3) == 0 ? st->w[2].p + 3 : NULL;
    struct service *s = renew(w, st->w[1].p, st->w[1].p);
    const struct server *target = to ? world_server(w, to) : NULL;
    if (st->n == 3 && !target)
        return err_set(w->e, "expected to=SERVER");
    if (target) {
        free(s->dst);
        s->dst = xasprintf("%s:%u", w->address, target->port);
    }
    return 0;
}

int setup_remove(struct world *w, const struct statement *st)
{
    struct service *s = find(w, st->w[1].p);
    if (!s)
        return err_set(w->e, "no service is called \"%s\"", st->w[1].p);
    json_decref(s->match);
    json_decref(s->cluster);
    s->match = s->cluster = NULL;
    return 0;
}

static json_t *value_of(struct world *w, const struct word *word)
{
    struct err why;
    json_t *array = NULL, *v = NULL;
    char *text = xasprintf("[%s]", word->p); /* json_parse takes no bare number */
    array = json_parse(slice_str(text), JSON_MAX, &why);
    free(text);
    if (array)
        v = json_incref(json_array_get(array, 0));
    else
        err_set(w->e, "%s", why.text);
    json_decref(array);
    return v;
}

/* what is in force is never changed: what it shares with us is copied first */
int setup_spec(struct world *w, const struct statement *st)
{
    json_t *v = value_of(w, &st->w[2]), *at;
    struct slice rest = slice_str(st->w[1].p);
    if (!v)
        return -1;
    at = json_deep_copy(w->spec);
    json_decref(w->spec);
    w->spec = at;
    for (;;) {
        struct slice part = slice_cut(&rest, '.');
        char *key = xstrndup(part.p, part.n);
        if (!rest.p) {
            json_object_set_new(at, key, v);
            free(key);
            return 0;
        }
        if (!json_object_get(at, key))
            json_object_set_new(at, key, json_object());
        at = json_object_get(at, key);
        free(key);
    }
}

/* KEY of a service's match item, or of its cluster */
static int set_key(struct world *w, const struct statement *st, bool cluster)
{
    struct service *s = find(w, st->w[1].p);
    json_t *v = s && s->match ? value_of(w, &st->w[3]) : NULL;
    if (!s || !s->match)
        return err_set(w->e, "no service is called \"%s\"", st->w[1].p);
    if (!v)
        return -1;
    json_t **of = cluster ? &s->cluster : &s->match, *copy = json_copy(*of);
    json_decref(*of);
    *of = copy;
    return json_object_set_new(copy, st->w[2].p, v);
}

int setup_match(struct world *w, const struct statement *st)
{
    return set_key(w, st, false);
}

int setup_cluster(struct world *w, const struct statement *st)
{
    return set_key(w, st, true);
}

int setup_limit(struct world *w, const struct statement *st)
{
    unsigned long long n;
    int64_t ms;
    for (size_t i = 0; i < LIMIT_COUNT; i++) {
        uint32_t *value = limit_at(&w->limits, &limit_defs[i]);
        if (strcmp(limit_defs[i].field, st->w[1].p) != 0)
            continue;
        if (slice_u64(slice_str(st->w[2].p), UINT32_MAX, &n) == 0)
            *value = (uint32_t)n;
        else if (clock_parse_duration(st->w[2].p, &ms) == 0)
            *value = (uint32_t)ms;
        else
            return err_set(w->e, "expected a number or a duration");
        w->limited = true;
        return 0;
    }
    return err_set(w->e, "no limit is called \"%s\"", st->w[1].p);
}

/* ---- into force ------------------------------------------------------------------------------ */

static void put_service(const struct service *s, json_t *matches[2], json_t *clusters[2])
{
    if (!s->match)
        return;
    const char *port = strrchr(s->dst, ':') + 1;
    json_object_set(clusters[s->inbound], s->name, s->cluster);
    if (s->inbound) {
        json_object_set(matches[1], port, s->match);
        return;
    }
    json_t *list = json_object_get(matches[0], port);
    if (!list)
        json_object_set_new(matches[0], port, list = json_array());
    json_array_append(list, s->match);
}

static json_t *listeners(const struct world *w)
{
    json_t *all = json_array();
    for (const struct service *s = w->services; s; s = s->next) {
        char *addr = xasprintf("%s:%u", w->address, setup_listen_port(s->port));
        json_array_append_new(all, json_pack("{s:s,s:s,s:s}", "Address", addr, "Direction",
                                             s->inbound ? "Inbound" : "Outbound", "OriginalDst",
                                             s->dst));
        free(addr);
    }
    return all;
}

static json_t *compose(const struct world *w)
{
    json_t *m[2] = {json_object(), json_object()}, *c[2] = {json_object(), json_object()};
    for (const struct service *s = w->services; s; s = s->next)
        put_service(s, m, c);
    return json_pack("{s:O,s:{s:o,s:o},s:{s:o,s:o},s:o}", "Spec", w->spec, "Outbound",
                     "TrafficMatches", m[0], "ClustersConfigs", c[0], "Inbound", "TrafficMatches",
                     m[1], "ClustersConfigs", c[1], "Listeners", listeners(w));
}

int setup_apply(struct world *w)
{
    const struct document_conf conf = {.engine = w->engine, .before = w->doc};
    json_t *composed = compose(w);
    world_phase(w, REPLAY_CONTROL);
    struct document *doc = document_of(composed, w->e);
    struct view *v = doc ? document_view(&conf, doc, w->e) : NULL;
    if (v && w->limited)
        v->limits = w->limits;
    if (v)
        engine_publish(w->engine, v);
    document_unref(v ? w->doc : doc);
    world_phase(w, REPLAY_SCENARIO);
    json_decref(composed);
    if (!v)
        return -1;
    w->doc = doc;
    w->control = true;
    world_settle(w);
    w->control = false;
    return 0;
}

void setup_free(struct world *w)
{
    struct service *s;
    while ((s = w->services)) {
        w->services = s->next;
        clear(s);
        free(s->name);
        free(s);
    }
    document_unref(w->doc);
    json_decref(w->spec);
}
