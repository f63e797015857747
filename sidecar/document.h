/* document.h - the sidecar's configuration document -> engine tables.
 *
 *   v = document_view(&conf, doc, &e);    NULL: refused whole, e names the place in the document
 *   engine_publish(eng, v);
 *
 * What did not change since the view in use is shared with it: fragments are compared with those of
 * the document that made it, other parts are recognised by their JSON value being the same object
 * (document_update shares them).  Control thread.
 *
 * Outbound items are many, and most pods use a few: each is read to see whether it can be used, and
 * thrown away; the first connection to it reads it again, in some 50 microseconds, and from then on
 * it stays.
 */
#ifndef FSM_SIDECAR_DOCUMENT_H
#define FSM_SIDECAR_DOCUMENT_H

#include <stdbool.h>
#include "common/base/cidr.h"
#include "common/base/err.h"

struct document;
struct engine;
struct view;
struct transport;

struct document_conf {
    struct engine *engine;
    struct ip_port outbound, inbound; /* where the listeners are */
    struct transport *transport;      /* a reference is taken; NULL = no certificate */
    const struct document *before;    /* of the view in use, or NULL; borrowed */
    bool dry;                         /* only to see whether it could be used: opens no socket */
    uint32_t patience_ms; /* of view_limits: a controller's document may be on its way */
};

/* The two listeners of a pod: every view of a document without static ones has them.  -1 and e */
int document_listeners(struct view *v, const struct document_conf *c, struct err *e);
/* The view holds a reference to doc: outbound chains are made of it as connections ask for them.
 * returns owned */
struct view *document_view(const struct document_conf *c, struct document *doc, struct err *e);

#endif
