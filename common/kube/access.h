/* access.h - which API server, and as whom: from a kubeconfig, or from inside a pod.
 *
 * A kubeconfig is found and merged as kubectl does: --kubeconfig alone, else every file of
 * $KUBECONFIG (missing ones left out; of what two files set, the first one counts, entry by entry),
 * else ~/.kube/config.  A relative path in it starts at the file's own directory.
 *
 * Files that it names (certificates, keys) are read when it is loaded; a token file is read for
 * every request, since it rotates.  Load again to follow the others.  Never printed: token, key.
 */
#ifndef FSM_KUBE_ACCESS_H
#define FSM_KUBE_ACCESS_H

#include <stdbool.h>
#include "common/base/buf.h"
#include "common/base/err.h"

#define KUBE_ACCESS_POD_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

/* where to look */
struct kube_access_from {
    const char *kubeconfig; /* --kubeconfig, or NULL */
    const char *context;    /* --context, or NULL */
    bool in_cluster;        /* the pod's own service account; the others are not looked at */
};

struct kube_access {
    char *server;    /* "https://host:port/path", without a slash at the end */
    char *tls_name;  /* name to expect in its certificate and to ask for, or NULL */
    char *proxy;     /* proxy-url, or NULL */
    bool insecure;   /* its certificate is not verified */
    struct buf ca;   /* PEM; empty: the system's authorities */
    struct buf cert; /* PEM, and its key: the client's; empty: none */
    struct buf key;
    char *token;      /* or NULL */
    char *token_file; /* or NULL; wins over token while it can be read */
    char *ns;         /* the context's namespace; "default" if it has none */
    char *told;       /* for messages: "context dev of /home/me/.kube/config" */
};

/* whether a service account is mounted and the environment names the API server */
bool kube_access_is_in_cluster(void);
/* 0, or -1 and e; *out is cleared first and on failure */
int kube_access_load(const struct kube_access_from *from, struct kube_access *out, struct err *e);
/* The bearer token of this moment appended to out; nothing if there is none, or if the server is
 * not spoken to by TLS.  -1 and e: the token file cannot be read, and there is no other. */
int kube_access_token(const struct kube_access *a, struct buf *out, struct err *e);
void kube_access_clear(struct kube_access *a);

#endif
