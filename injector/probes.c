/* probes.c - health checks and lifecycle hooks of the kubelet, made to work through redirection.
 *
 * The kubelet connects to the pod's address from outside the mesh, so its connection would be
 * taken to the sidecar's inbound listener and refused there.  Every check is therefore sent to a
 * port that is not redirected; headers say what it was meant for (table in inject.h).  Because
 * the headers carry port and path, any number of containers share the same three ports.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/codec.h"
#include "common/base/json.h"
#include "injector/inject_int.h"

#define CHECK_PATH "/fsm-healthcheck"

/* one handler: a probe, or a lifecycle hook */
struct handler {
    const json_t *container, *body;
    const char *path;  /* JSON pointer to body */
    const char *field; /* "livenessProbe" or "lifecycle.preStop", for errors */
    unsigned port;     /* of the sidecar, for plain HTTP */
    bool *served;      /* set when that port is used */
    bool hook;         /* an action, not only a check */
};

static const char *name_of(const struct handler *h)
{
    return json_str(h->container, "name", "");
}

/* the container port a name stands for; 0 if none has it */
static json_int_t named_port(const json_t *container, const char *name)
{
    const json_t *p;
    size_t i;

    json_array_foreach (inj_list(container, "ports"), i, p) {
        const char *s = inj_text(p, "name");

        if (s && strcmp(s, name) == 0)
            return json_int(p, "containerPort", 0);
    }
    return 0;
}

/* A check of a port of ours would show to everybody what the sidecar tells this pod alone. */
static int check_not_ours(const struct handler *h, const char *kind, json_int_t port, struct err *e)
{
    const char *use = inj_use_of_port(port);

    if (!use)
        return 0;
    return err_set(e,
                   "container \"%s\": %s.%s asks port %d, which is reserved for %s; name a port of "
                   "the container",
                   name_of(h), h->field, kind, (int)port, use);
}

/* As the kubelet does: a number, the name of a port of this container, or a number as text.
 * dflt stands for an absent port.  0 and e if there is no such port. */
static json_int_t resolve_port(const struct handler *h, const json_t *action, const char *kind,
                               json_int_t dflt, struct err *e)
{
    const json_t *v = json_object_get(action, "port");
    const char *s = json_string_value(v);
    json_int_t port = v && !json_is_null(v) ? json_integer_value(v) : dflt;

    if (s) {
        unsigned long long n;

        port = named_port(h->container, s);
        if (port == 0 && slice_u64(slice_str(s), 65535, &n) == 0)
            port = (json_int_t)n;
        if (port == 0) {
            err_set(e,
                    "container \"%s\": %s.%s.port \"%s\" names no port of the container; add it "
                    "to ports or give a number",
                    name_of(h), h->field, kind, s);
            return 0;
        }
    }
    if (port < 1 || port > 65535) {
        err_set(e, "container \"%s\": %s.%s.port: expected a port from 1 to 65535 or its name",
                name_of(h), h->field, kind);
        return 0;
    }
    return check_not_ours(h, kind, port, e) < 0 ? 0 : port;
}

static bool is_ours(const char *header)
{
    static const char *const ours[] = {"Original-Http-Port",    "Original-Http-Path",
                                       "Original-Tcp-Port",     "Original-Grpc-Port",
                                       "Original-Grpc-Service", "Original-Hook-Key"};

    for (unsigned i = 0; i < sizeof(ours) / sizeof(*ours); i++)
        if (strcasecmp(header, ours[i]) == 0)
            return true;
    return false;
}

/* the user's headers but for names that are ours; owned */
static json_t *kept_headers(const json_t *action)
{
    json_t *out = json_array();
    const json_t *v;
    size_t i;

    json_array_foreach (inj_list(action, "httpHeaders"), i, v)
        if (!is_ours(json_str(v, "name", "")))
            json_array_append(out, (json_t *)v);
    return out;
}

static void add_header(json_t *headers, const char *name, const char *value)
{
    json_array_append_new(headers, json_pack("{s:s, s:s}", "name", name, "value", value));
}

static void add_port_header(json_t *headers, const char *name, json_int_t port)
{
    char text[8];

    snprintf(text, sizeof(text), "%u", (unsigned)port);
    add_header(headers, name, text);
}

/* takes headers; returns owned */
static json_t *http_get(const char *scheme, unsigned port, json_t *headers)
{
    json_t *get = json_pack("{s:s, s:i}", "path", CHECK_PATH, "port", (int)port);

    if (scheme)
        json_object_set_new(get, "scheme", json_string(scheme));
    json_object_set_new(get, "httpHeaders", headers);
    return get;
}

/* removes the old action (unless it is httpGet itself) and puts the new one; takes get */
static void replace_action(struct inj_job *job, const struct handler *h, const char *old,
                           json_t *get)
{
    struct buf path = BUF_INIT;

    if (strcmp(old, "httpGet") != 0) {
        buf_printf(&path, "%s/%s", h->path, old);
        inj_op(job->patch, "remove", path.p, NULL);
        buf_clear(&path);
    }
    buf_printf(&path, "%s/httpGet", h->path);
    inj_op(job->patch, strcmp(old, "httpGet") == 0 ? "replace" : "add", path.p, get);
    buf_free(&path);
}

/* ---- the path, as the kubelet would ask for it ------------------------------------------------
 */

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* every % begins an octet (RFC 3986 2.1); if not, the kubelet takes the text for a plain path */
static bool is_encoded(const char *path)
{
    for (const char *p = path; *p; p++)
        if (*p == '%' && !(is_hex(p[1]) && is_hex(p[2])))
            return false;
    return true;
}

/* A manifest may say "healthz", "/a b" or "/ready?x=1": the kubelet asks for "/healthz", "/a%20b"
 * and "/ready?x=1"; a fragment it leaves out. */
static void put_path(struct buf *out, const char *path)
{
    static const char plain[] = "-._~!$&'()*+,;=:@/";
    bool encoded = is_encoded(path),
         query = false; /* what is behind ? the kubelet leaves as it is */

    if (*path != '/')
        buf_putc(out, '/');
    for (const char *p = path; *p && !(encoded && *p == '#'); p++) {
        bool alnum = (*p >= '0' && *p <= '9') || ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z');

        query |= encoded && *p == '?';
        if (alnum || (query && *p > ' ' && *p < 0x7f) || strchr(plain, *p) ||
            (encoded && *p == '%'))
            buf_putc(out, *p);
        else
            buf_printf(out, "%%%02X", (unsigned char)*p);
    }
}

/* the header a hook is told by; one key for all hooks of the pod */
static void add_hook_key(struct inj_job *job, json_t *headers)
{
    uint8_t random[INJ_HOOK_KEY / 2];

    if (!job->hook_key[0] && job->cfg->hook_key) {
        snprintf(job->hook_key, sizeof(job->hook_key), "%s", job->cfg->hook_key);
    } else if (!job->hook_key[0]) {
        random_bytes(random, sizeof(random));
        hex_encode(random, sizeof(random), job->hook_key);
    }
    add_header(headers, "Original-Hook-Key", job->hook_key);
}

/* lets fsm-healthcheck be asked about this port, once */
static void allow(struct inj_job *job, const char *kind, json_int_t port)
{
    json_t *item = json_sprintf("%s:%u", kind, (unsigned)port);
    const json_t *v;
    size_t i;

    json_array_foreach (job->allow, i, v) {
        if (json_equal(v, item)) {
            json_decref(item);
            return;
        }
    }
    json_array_append_new(job->allow, item);
}

/* a check that some other host is asked, or that redirection leaves alone, is right as it is */
static bool stays(const struct inj_job *job, const json_t *action, json_int_t port)
{
    return *json_str(action, "host", "") || inj_lists_in_port_excluded(&job->lists, port);
}

static int rewrite_http(struct inj_job *job, const struct handler *h, const json_t *get)
{
    bool https = strcasecmp(json_str(get, "scheme", "HTTP"), "HTTPS") == 0;
    json_int_t port = resolve_port(h, get, "httpGet", https ? 443 : 80, job->e);
    struct buf path = BUF_INIT;
    json_t *headers;

    if (port == 0)
        return -1;
    if (stays(job, get, port))
        return 0;
    if (https && h->hook)
        return err_set(job->e,
                       "container \"%s\": %s.httpGet with scheme HTTPS cannot be carried to the "
                       "container through the sidecar; use HTTP or exec, or exclude port %d by "
                       "the annotation flomesh.io/inbound-port-exclusion-list",
                       name_of(h), h->field, (int)port);
    headers = kept_headers(get);
    if (https) {
        add_port_header(headers, "Original-Tcp-Port", port);
        allow(job, "tcp", port);
        replace_action(job, h, "httpGet", http_get("HTTP", INJ_PORT_HEALTHCHECK, headers));
        return 0;
    }
    put_path(&path, json_str(get, "path", ""));
    add_port_header(headers, "Original-Http-Port", port);
    add_header(headers, "Original-Http-Path", path.p);
    buf_free(&path);
    if (h->hook)
        add_hook_key(job, headers);
    *h->served = true;
    replace_action(job, h, "httpGet", http_get(inj_text(get, "scheme"), h->port, headers));
    return 0;
}

static int rewrite_tcp(struct inj_job *job, const struct handler *h, const json_t *tcp)
{
    json_int_t port = resolve_port(h, tcp, "tcpSocket", 0, job->e);
    json_t *headers;

    if (port == 0)
        return -1;
    if (stays(job, tcp, port))
        return 0;
    headers = json_array();
    add_port_header(headers, "Original-Tcp-Port", port);
    allow(job, "tcp", port);
    replace_action(job, h, "tcpSocket", http_get(NULL, INJ_PORT_HEALTHCHECK, headers));
    return 0;
}

static int rewrite_grpc(struct inj_job *job, const struct handler *h, const json_t *grpc)
{
    json_int_t port = resolve_port(h, grpc, "grpc", 0, job->e);
    const char *service = json_str(grpc, "service", "");
    json_t *headers;

    if (port == 0)
        return -1;
    if (stays(job, grpc, port))
        return 0;
    headers = json_array();
    add_port_header(headers, "Original-Grpc-Port", port);
    if (*service)
        add_header(headers, "Original-Grpc-Service", service);
    allow(job, "grpc", port);
    replace_action(job, h, "grpc", http_get(NULL, INJ_PORT_HEALTHCHECK, headers));
    return 0;
}

static int rewrite_handler(struct inj_job *job, const struct handler *h)
{
    const json_t *http = inj_object(h->body, "httpGet"), *tcp = inj_object(h->body, "tcpSocket"),
                 *grpc = inj_object(h->body, "grpc");

    if (http)
        return rewrite_http(job, h, http);
    if (tcp)
        return rewrite_tcp(job, h, tcp);
    if (grpc && !h->hook)
        return rewrite_grpc(job, h, grpc);
    return 0; /* exec, sleep: run in the container */
}

/* base: JSON pointer to the container.  Without a native sidecar an init container's startup
 * probe has passed before redirection begins, and must not wait for a sidecar that comes later. */
static int rewrite_probes(struct inj_job *job, const json_t *container, const char *base,
                          bool is_init)
{
    const struct {
        const char *field;
        unsigned port;
        bool *served;
    } kinds[] = {{"livenessProbe", INJ_PORT_LIVENESS, &job->liveness},
                 {"readinessProbe", INJ_PORT_READINESS, &job->readiness},
                 {"startupProbe", INJ_PORT_STARTUP, &job->startup}};
    unsigned n = is_init && !job->cfg->native_sidecar ? 2 : 3;
    int rc = 0;

    for (unsigned i = 0; i < n && rc == 0; i++) {
        struct buf path = BUF_INIT;
        struct handler h = {.container = container,
                            .body = inj_object(container, kinds[i].field),
                            .field = kinds[i].field,
                            .port = kinds[i].port,
                            .served = kinds[i].served};

        buf_printf(&path, "%s/%s", base, kinds[i].field);
        h.path = path.p;
        rc = rewrite_handler(job, &h);
        buf_free(&path);
    }
    return rc;
}

static int rewrite_hooks(struct inj_job *job, const json_t *container, const char *base)
{
    static const char *const hooks[] = {"postStart", "preStop"};
    const json_t *lifecycle = inj_object(container, "lifecycle");
    int rc = 0;

    for (unsigned i = 0; i < 2 && rc == 0; i++) {
        struct buf path = BUF_INIT;
        char field[32];
        struct handler h = {.container = container,
                            .body = inj_object(lifecycle, hooks[i]),
                            .field = field,
                            .port = INJ_PORT_LIVENESS,
                            .served = &job->liveness,
                            .hook = true};

        snprintf(field, sizeof(field), "lifecycle.%s", hooks[i]);
        buf_printf(&path, "%s/lifecycle/%s", base, hooks[i]);
        h.path = path.p;
        rc = rewrite_handler(job, &h);
        buf_free(&path);
    }
    return rc;
}

static int rewrite_containers(struct inj_job *job, const char *list, bool is_init)
{
    const json_t *c;
    size_t i;
    int rc = 0;

    json_array_foreach (inj_list(inj_object(job->pod, "spec"), list), i, c) {
        struct buf base = BUF_INIT;

        buf_printf(&base, "/spec/%s/%zu", list, i);
        rc = rewrite_probes(job, c, base.p, is_init);
        if (rc == 0)
            rc = rewrite_hooks(job, c, base.p);
        buf_free(&base);
        if (rc != 0)
            break;
    }
    return rc;
}

int inj_probes(struct inj_job *job)
{
    if (rewrite_containers(job, "initContainers", true) != 0)
        return -1;
    return rewrite_containers(job, "containers", false);
}
