/* source.h - the sidecar's link to the controller: its certificate, its document, its status.
 *
 *   s = source_new(loop, &conf, &ops, self, &e);     begins at once
 *   ops.identity(...)   a certificate was issued or renewed, or the roots changed
 *   ops.document(...)   a whole new document (a patch is already applied)
 *
 * The private key is made here and never leaves the process.  The token and the CA file are read
 * anew for every request, because the kubelet replaces them.  While the controller is away nothing
 * changes: the last document and the certificate stay, requests are repeated with back-off.
 * One thread: the loop's.
 */
#ifndef FSM_SIDECAR_SOURCE_H
#define FSM_SIDECAR_SOURCE_H

#include <jansson.h>
#include <stdint.h>
#include "common/base/err.h"
#include "common/io/loop.h"

struct document;
struct source;

struct source_conf {
    const char *controller; /* "https://fsm-controller.fsm-system.svc:6060"; copied */
    const char *token_file; /* copied */
    const char *ca_file;    /* roots the controller's certificate must chain to; copied */
    unsigned wait_s;        /* how long a poll may hang; 0 = 50 */
    const json_t *resume;   /* what source_save() of the predecessor gave, or NULL; borrowed */
};

struct source_ops {
    /* PEM, all borrowed.  -1 and e: the credentials can't be used; the old ones stay. */
    int (*identity)(const char *chain_pem, const char *key_pem, const char *roots_pem, void *arg,
                    struct err *e);
    /* borrowed (take a reference to keep it).  -1 and e: refused whole, the old one stays; the
     * controller is told. */
    int (*document)(struct document *doc, void *arg, struct err *e);
};

struct source *source_new(struct loop *l, const struct source_conf *conf,
                          const struct source_ops *ops, void *arg, struct err *e);
void source_free(struct source *s);
/* Certificate, key and document, for a successor that goes on with them.  returns owned; it holds
 * the private key: for memory of our own only */
json_t *source_save(const struct source *s);

/* for admin pages: what happened last; text is borrowed until the next call into the loop */
struct source_state {
    const char *version;    /* of the document in force, "" = none yet */
    const char *rejected;   /* version refused last, "" = none since the last good one */
    const char *reason;     /* why */
    const char *error;      /* what keeps us from the controller now, "" = nothing */
    int64_t cert_not_after; /* seconds since the epoch; 0 = none */
};
void source_state(const struct source *s, struct source_state *out);

#endif
