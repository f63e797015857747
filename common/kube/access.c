/* access.c - the choice of the server and the credentials; see access.h.  (What a kubeconfig says
 * is kubeconfig.c's.) */
#include "common/kube/access.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "common/base/file.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/kube/kubeconfig.h"

#define FILE_MAX (1u << 20)

static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->cap);
    buf_free(b);
}

void kube_access_clear(struct kube_access *a)
{
    if (a->token)
        explicit_bzero(a->token, strlen(a->token));
    wipe(&a->key);
    buf_free(&a->ca);
    buf_free(&a->cert);
    free(a->server);
    free(a->tls_name);
    free(a->proxy);
    free(a->token);
    free(a->token_file);
    free(a->ns);
    free(a->told);
    *a = (struct kube_access){NULL};
}

/* ---- in a pod ------------------------------------------------------------------------------- */

bool kube_access_is_in_cluster(void)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    return host && *host && port && *port && access(KUBE_ACCESS_POD_DIR "/token", F_OK) == 0;
}

static int load_pod(struct kube_access *a, struct err *e)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    struct buf ns = BUF_INIT;
    if (!host || !*host || !port || !*port)
        return err_set(e, "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this "
                          "process does not run in a pod");
    a->server = xasprintf(strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
    a->token_file = xstrdup(KUBE_ACCESS_POD_DIR "/token");
    a->told = xstrdup("the pod's service account");
    if (file_read(KUBE_ACCESS_POD_DIR "/ca.crt", FILE_MAX, &a->ca, e) < 0)
        return -1;
    if (file_read(KUBE_ACCESS_POD_DIR "/namespace", 256, &ns, NULL) == 0)
        a->ns = buf_take(&ns);
    buf_free(&ns);
    return 0;
}

/* ---- both ----------------------------------------------------------------------------------- */

static bool is_tls(const struct kube_access *a)
{
    return strncasecmp(a->server, "https://", 8) == 0;
}

static int check(struct kube_access *a, struct err *e)
{
    size_t n = strlen(a->server);
    while (n > 0 && a->server[n - 1] == '/')
        a->server[--n] = '\0';
    if (!is_tls(a) && strncasecmp(a->server, "http://", 7) != 0)
        return err_set(e, "server \"%.200s\": expected https://HOST:PORT", a->server);
    if (a->insecure && a->ca.len > 0)
        return err_set(e, "insecure-skip-tls-verify and a certificate authority exclude each "
                          "other: take one of them away");
    if ((a->cert.len > 0) != (a->key.len > 0))
        return err_set(e,
                       "a client certificate needs its key, and a key its certificate: %s is "
                       "missing",
                       a->cert.len ? "the key" : "the certificate");
    if (!a->ns || !*a->ns) {
        free(a->ns);
        a->ns = xstrdup("default");
    }
    return 0;
}

int kube_access_load(const struct kube_access_from *from, struct kube_access *out, struct err *e)
{
    *out = (struct kube_access){NULL};
    int r = from->in_cluster ? load_pod(out, e)
                             : kubeconfig_load(from->kubeconfig, from->context, out, e);
    if (r == 0 && check(out, e) < 0)
        r = err_prefix(e, "%s", out->told);
    if (r < 0)
        kube_access_clear(out);
    return r;
}

int kube_access_token(const struct kube_access *a, struct buf *out, struct err *e)
{
    struct buf text = BUF_INIT;
    if (!is_tls(a))
        return 0;
    if (a->token_file && file_read(a->token_file, FILE_MAX, &text, e) == 0) {
        struct slice token = buf_slice(&text);
        while (token.n > 0 && (token.p[token.n - 1] == '\n' || token.p[token.n - 1] == '\r'))
            token.n--;
        buf_put_slice(out, slice_trim(token));
    } else if (a->token) {
        buf_puts(out, a->token);
    } else if (a->token_file) {
        return -1;
    }
    wipe(&text);
    return 0;
}
