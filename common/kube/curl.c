/* curl.c - see curl.h. */
#include "common/kube/curl.h"

#include <stdlib.h>
#include <string.h>
#include "common/base/mem.h"

#define CONNECT_MS 10000

static void set_blob(CURL *easy, CURLoption option, const struct buf *pem)
{
    struct curl_blob blob = {pem->p, pem->len, CURL_BLOB_COPY};
    if (pem->len > 0)
        curl_easy_setopt(easy, option, &blob);
}

/* Connects to the server, but asks for, and expects, the certificate of tls-server-name: libcurl
 * takes that name from the URL, so the URL gets it, and the address is said apart. */
static char *url_of(const struct kube_access *a, const char *path, struct curl_slist **connect_to)
{
    char *host = NULL, *port = NULL, *scheme = NULL, *base = NULL, *url = NULL;
    CURLU *u = a->tls_name ? curl_url() : NULL;
    if (u && curl_url_set(u, CURLUPART_URL, a->server, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PATH, &base, 0) == CURLUE_OK) {
        size_t n = strlen(base);
        char *to = xasprintf("%s:%s:%s:%s", a->tls_name, port, host, port);
        *connect_to = curl_slist_append(NULL, to);
        url = xasprintf("%s://%s:%s%.*s%s", scheme, a->tls_name, port,
                        (int)(n > 0 && base[n - 1] == '/' ? n - 1 : n), base, path);
        free(to);
    }
    curl_free(host);
    curl_free(port);
    curl_free(scheme);
    curl_free(base);
    curl_url_cleanup(u);
    return url ? url : xasprintf("%s%s", a->server, path);
}

static void set_tls(CURL *h, const struct kube_access *a)
{
    set_blob(h, CURLOPT_CAINFO_BLOB, &a->ca);
    set_blob(h, CURLOPT_SSLCERT_BLOB, &a->cert);
    set_blob(h, CURLOPT_SSLKEY_BLOB, &a->key);
    curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (a->insecure) {
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(h, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

struct curl_slist *kube_curl_server(CURL *easy, const struct kube_access *a, const char *path)
{
    struct curl_slist *connect_to = NULL;
    char *url = url_of(a, path, &connect_to);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    free(url);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, connect_to);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    if (a->proxy)
        curl_easy_setopt(easy, CURLOPT_PROXY, a->proxy);
    set_tls(easy, a);
    return connect_to;
}
