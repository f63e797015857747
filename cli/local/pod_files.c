/* pod_files.c - resolv.conf, hosts, hostname of a pod; see pod_files.h. */
#include "cli/local/pod_files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/mem.h"

#define RESOLV_MAX 65536

static int write_plain(const struct pod *p, const char *name, const struct buf *text, struct err *e)
{
    char *path = xasprintf("%s/%s", p->dir, name);
    int rc = -1, fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd >= 0 && fchmod(fd, 0644) == 0 && write(fd, text->p, text->len) == (ssize_t)text->len)
        rc = 0;
    if (rc)
        err_errno(e, "%s", path);
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

static void put_list(struct buf *b, const char *line_word, const json_t *list, bool one_line)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i)) ?: "";
        if (!one_line || i == 0)
            buf_printf(b, "%s%s", i ? "\n" : "", line_word);
        buf_printf(b, " %s", s);
    }
    if (json_array_size(list))
        buf_putc(b, '\n');
}

static void put_options(struct buf *b, const json_t *options, const char *dflt)
{
    bool ndots = false;
    struct buf line = BUF_INIT;

    for (size_t i = 0; i < json_array_size(options); i++) {
        const json_t *o = json_array_get(options, i);
        const char *value = json_str(o, "value", NULL);
        ndots = ndots || strcmp(json_str(o, "name", ""), "ndots") == 0;
        buf_printf(&line, " %s%s%s", json_str(o, "name", ""), value ? ":" : "", value ? value : "");
    }
    if (!ndots && *dflt)
        buf_printf(&line, " %s", dflt);
    if (line.len)
        buf_printf(b, "options%s\n", line.p);
    buf_free(&line);
}

static json_t *cluster_searches(const struct pod *p)
{
    char *own = xasprintf("%s.svc." TRUST_DOMAIN, p->ns);
    json_t *list = json_pack("[s, s, s]", own, "svc." TRUST_DOMAIN, TRUST_DOMAIN);

    free(own);
    return list;
}

static void resolv_cluster(const struct pod *p, struct buf *b)
{
    const json_t *config = json_object_get(p->spec, "dnsConfig");
    json_t *search = cluster_searches(p);
    char ip[IP_TEXT_MAX];

    if (json_is_array(json_object_get(config, "searches")))
        json_array_extend(search, json_object_get(config, "searches"));
    put_list(b, "search", search, true);
    buf_printf(b, "nameserver %s\n", ip_format(&p->l->in->gw4, ip));
    put_list(b, "nameserver", json_object_get(config, "nameservers"), false);
    put_options(b, json_object_get(config, "options"), "ndots:5");
    json_decref(search);
}

static int write_resolv(const struct pod *p, struct err *e)
{
    const char *policy = json_str(p->spec, "dnsPolicy", "ClusterFirst");
    bool host = json_bool(p->spec, "hostNetwork", false);
    const json_t *config = json_object_get(p->spec, "dnsConfig");
    struct buf b = BUF_INIT;
    int rc = 0;

    if (strcmp(policy, "None") == 0) {
        put_list(&b, "search", json_object_get(config, "searches"), true);
        put_list(&b, "nameserver", json_object_get(config, "nameservers"), false);
        put_options(&b, json_object_get(config, "options"), "");
    } else if (strcmp(policy, "Default") == 0 || (strcmp(policy, "ClusterFirst") == 0 && host)) {
        rc = file_read("/etc/resolv.conf", RESOLV_MAX, &b, e);
    } else {
        resolv_cluster(p, &b);
    }
    if (rc == 0)
        rc = write_plain(p, "resolv.conf", &b, e);
    buf_free(&b);
    return rc;
}

static void own_names(const struct pod *p, const struct ip *ip, struct buf *b)
{
    const char *sub = json_str(p->spec, "subdomain", NULL);
    char text[IP_TEXT_MAX];

    if (!ip->family)
        return;
    buf_puts(b, ip_format(ip, text));
    if (sub)
        buf_printf(b, " %s.%s.%s.svc." TRUST_DOMAIN, pod_hostname(p), sub, p->ns);
    buf_printf(b, " %s\n", pod_hostname(p));
}

static int write_hosts(const struct pod *p, struct err *e)
{
    const json_t *aliases = json_object_get(p->spec, "hostAliases");
    struct buf b = BUF_INIT;

    buf_puts(&b, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    own_names(p, &p->sb.ip4, &b);
    own_names(p, &p->sb.ip6, &b);
    for (size_t i = 0; i < json_array_size(aliases); i++) {
        const json_t *a = json_array_get(aliases, i);
        put_list(&b, json_str(a, "ip", ""), json_object_get(a, "hostnames"), true);
    }
    int rc = write_plain(p, "hosts", &b, e);
    buf_free(&b);
    return rc;
}

static int write_hostname(const struct pod *p, struct err *e)
{
    struct buf b = BUF_INIT;

    buf_printf(&b, "%s\n", pod_hostname(p));
    int rc = write_plain(p, "hostname", &b, e);
    buf_free(&b);
    return rc;
}

int pod_write_files(struct pod *p, struct err *e)
{
    return write_resolv(p, e) || write_hosts(p, e) || write_hostname(p, e) ? -1 : 0;
}

void pod_unmount(struct pod *p)
{
    const json_t *list = json_object_get(p->spec, "volumes");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (strcmp(json_str(v, "emptyDir.medium", ""), "Memory") != 0)
            continue;
        char *dir = xasprintf("%s/volumes/%s", p->dir, json_str(v, "name", ""));
        umount2(dir, MNT_DETACH);
        free(dir);
    }
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static int64_t token_seconds(const json_t *volume)
{
    const json_t *sources = json_at(volume, "projected.sources");
    int64_t least = 0;

    for (size_t i = 0; i < json_array_size(sources); i++) {
        const json_t *t = json_object_get(json_array_get(sources, i), "serviceAccountToken");
        int64_t s = t ? json_int(t, "expirationSeconds", 3600) : 0;
        if (s && (!least || s < least))
            least = s;
    }
    return least;
}

bool pod_token_due(const struct pod *p)
{
    const json_t *list = json_object_get(p->spec, "volumes");
    struct stat st;
    bool due = false;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        int64_t seconds = token_seconds(v);
        char *path = xasprintf("%s/volumes/%s/..data", p->dir, json_str(v, "name", ""));
        if (seconds && lstat(path, &st) == 0)
            due = due || clock_wall_ms() / 1000 - st.st_mtime > seconds * 4 / 5;
        free(path);
    }
    return due;
}

/* ---- the object ------------------------------------------------------------------------------ */

static const json_t *list_of(const struct pod *p, const struct container *c)
{
    return json_object_get(p->spec, c->kind == CTR_MAIN ? "containers" : "initContainers");
}

void pod_take_object(struct pod *p, const struct kube_object *o)
{
    struct kube_object *old = p->object;

    p->object = kube_object_ref((struct kube_object *)(uintptr_t)o);
    p->spec = json_object_get(o->body, "spec");
    for (unsigned i = 0, init = 0, main_nr = 0; i < p->n_ctrs; i++) {
        struct container *c = &p->ctrs[i];
        c->spec = json_array_get(list_of(p, c), c->kind == CTR_MAIN ? main_nr++ : init++);
        c->name = json_str(c->spec, "name", "");
    }
    kube_object_unref(old);
}
