/* dns.c - cluster names for pods; see dns.h.
 *
 * dnsmasq reads one hosts file of ours, which is replaced by rename and read again on SIGHUP; it
 * is one thread, so a query waits for that rather than getting lost.  Names of the cluster that
 * are not in the file do not exist; names outside are asked upstream only if the user said where.
 * It runs with no capability but to bind port 53 and (which it insists on) to set its group.
 */
#include "cli/local/dns.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli/local/component.h"
#include "cli/local/endpoints.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/mem.h"

static struct component *server;
static char *written; /* the file as it is */

/* ---- names ----------------------------------------------------------------------------------- */

static void add_line(struct buf *b, const char *ip, const char *host, const struct kube_object *svc)
{
    buf_printf(b, "%s %s%s%s.%s.svc." TRUST_DOMAIN "\n", ip, host, *host ? "." : "", svc->name,
               svc->ns);
}

static void add_cluster_ips(struct buf *b, const struct kube_object *svc)
{
    const json_t *ips = json_at(svc->body, "spec.clusterIPs");

    for (size_t i = 0; i < json_array_size(ips); i++)
        add_line(b, json_string_value(json_array_get(ips, i)), "", svc);
}

static void add_endpoints(struct buf *b, const struct kube_object *svc, const json_t *slice)
{
    const json_t *list = json_object_get(slice, "endpoints");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *ep = json_array_get(list, i);
        const char *ip = json_string_value(json_array_get(json_object_get(ep, "addresses"), 0));
        const char *host = json_str(ep, "hostname", NULL);
        if (!ip || !endpoint_is_ready(ep))
            continue;
        add_line(b, ip, "", svc);
        if (host)
            add_line(b, ip, host, svc);
    }
}

static void add_headless(struct local *l, struct buf *b, const struct kube_object *svc)
{
    const struct kube_object *s;

    for (void *it = NULL; (s = kube_store_next(l->store, "EndpointSlice", svc->ns, &it)) != NULL;) {
        const char *of =
            json_string_value(json_object_get(json_at(s->body, "metadata.labels"), SERVICE_LABEL));
        if (of && strcmp(of, svc->name) == 0)
            add_endpoints(b, svc, s->body);
    }
}

static char *build_names(struct local *l)
{
    struct buf b = BUF_INIT;
    const struct kube_object *svc;

    for (void *it = NULL; (svc = kube_store_next(l->store, "Service", NULL, &it)) != NULL;) {
        if (strcmp(json_str(svc->body, "spec.clusterIP", ""), "None") == 0)
            add_headless(l, &b, svc);
        else
            add_cluster_ips(&b, svc);
    }
    return buf_take(&b);
}

/* ---- the server ------------------------------------------------------------------------------ */

static int write_names(struct local *l, const char *text, struct err *e)
{
    char *path = instance_path(l->in, "dns/hosts"), *tmp = instance_path(l->in, "dns/hosts.new");
    FILE *f = fopen(tmp, "we");
    int rc = -1;

    if (f) {
        fputs(text, f);
        rc = fclose(f) || rename(tmp, path) ? -1 : 0;
    }
    if (rc)
        err_errno(e, "%s", path);
    free(path);
    free(tmp);
    return rc;
}

void dns_sync(struct local *l)
{
    char *text = build_names(l);
    struct err e;

    if (written && strcmp(text, written) == 0) {
        free(text);
        return;
    }
    if (write_names(l, text, &e))
        log_error("dns", "%s", e.text);
    if (server)
        component_signal(server, SIGHUP);
    free(written);
    written = text;
}

struct words {
    const char *v[48];
    char *owned[24];
    unsigned n, n_owned;
};

static void add(struct words *w, const char *word)
{
    w->v[w->n++] = word;
}

static void add_value(struct words *w, const char *flag, const char *value)
{
    w->owned[w->n_owned] = xasprintf("%s%s", flag, value);
    add(w, w->owned[w->n_owned++]);
}

/* "host" = the machine's own resolv.conf; else addresses, separated by commas */
static void add_upstream(struct words *w, const char *upstream)
{
    struct slice rest = slice_str(upstream);

    if (strcmp(upstream, "host") == 0)
        return;
    add(w, "--no-resolv");
    while (*upstream && rest.p && w->n_owned < 16) {
        struct slice one = slice_cut(&rest, ',');
        char *text = xstrndup(one.p, one.n);
        add_value(w, "--server=", text);
        free(text);
    }
    if (!*upstream)
        add(w, "--local=/#/");
}

static void build_words(const struct instance *in, struct words *w)
{
    static const char *const fixed[] = {"setpriv",
                                        "--no-new-privs",
                                        "--inh-caps=-all",
                                        "--bounding-set=-all,+net_bind_service,+setgid",
                                        "dnsmasq",
                                        "--keep-in-foreground",
                                        "--conf-file=/dev/null",
                                        "--user=root",
                                        "--group=root",
                                        "--pid-file=",
                                        "--no-hosts",
                                        "--no-poll",
                                        "--bind-interfaces",
                                        "--except-interface=lo",
                                        "--log-facility=-",
                                        "--local=/" TRUST_DOMAIN "/",
                                        "--dns-forward-max=1000",
                                        "--cache-size=0"};
    char ip[IP_TEXT_MAX];

    for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
        add(w, fixed[i]);
    add_value(w, "--listen-address=", ip_format(&in->gw4, ip));
    if (in->gw6.family)
        add_value(w, "--listen-address=", ip_format(&in->gw6, ip));
    char *hosts = instance_path(in, "dns/hosts");
    add_value(w, "--addn-hosts=", hosts);
    free(hosts);
    add_upstream(w, in->dns_upstream);
    add(w, NULL);
}

int dns_open(struct local *l, struct err *e)
{
    struct words w = {0};

    dns_sync(l);
    build_words(l->in, &w);
    server = component_add(l, "dns", w.v, e);
    for (unsigned i = 0; i < w.n_owned; i++)
        free(w.owned[i]);
    return server ? 0 : -1;
}
