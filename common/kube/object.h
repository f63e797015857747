/* object.h - one Kubernetes object in memory, and where it came from.
 *
 * The body is the validated, defaulted object as JSON; immutable once in a store (a change is a
 * new object).  Of the kinds that are many (mask.h) a source keeps only what is used, packed
 * (packed.h): kube_object_at() reads either.  Reference-counted, one thread.
 */
#ifndef FSM_KUBE_OBJECT_H
#define FSM_KUBE_OBJECT_H

#include <jansson.h>
#include <stdbool.h>
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/base/buf.h"

struct packed;
struct kube_object {
    const char *kind;  /* "Service": interned */
    const char *group; /* "", "apps", "config.flomesh.io" ... : interned */
    const char *ns;    /* "" for cluster-scoped kinds */
    const char *name;
    json_t *body;          /* NULL: packed */
    struct packed *packed; /* or NULL */
    const char *file;      /* where it was read, or "": a packed_word() */
    unsigned line;         /* of its document in that file */
    unsigned refs;
};
/* kind and group are constants; takes body; file may be NULL.  Returns one reference */
struct kube_object *kube_object_new(const char *kind, const char *group, const char *ns,
                                    const char *name, json_t *body, const char *file,
                                    unsigned line);
struct kube_object *kube_object_ref(struct kube_object *o);
void kube_object_unref(struct kube_object *o);
/* The value there, "" = the whole object; see packed_at().  Not to be changed.  Returns a
 * reference, or NULL; o may be NULL. */
json_t *kube_object_at(const struct kube_object *o, const char *path);
/* the same body */
bool kube_object_eq(const struct kube_object *a, const struct kube_object *b);
/* Of the kinds that are many: packs what is used of it.  Before anybody else sees the object. */
void kube_object_pack(struct kube_object *o);

/* One thing wrong with one object.  Rendered as
 * "FILE:LINE: Kind ns/name: spec.ports[0].port: got \"http\" (string), expected an
 * integer 1..65535" */
/* Its strings are UTF-8 in one line, whatever bytes the input had. */
struct kube_problem {
    char *file;
    unsigned line;   /* 0 = not known */
    unsigned column; /* from 1, of a syntax error; 0 = not known: "FILE:LINE:COLUMN: ..." */
    char *object;    /* "Service default/web", or "" if it is not known */
    char *field;     /* "spec.ports[0].port", or "" */
    char *message;   /* what is wrong and what was expected */
};
struct kube_problems {
    struct kube_problem *v;
    unsigned n;
};
void kube_problems_add(struct kube_problems *p, const char *file, unsigned line, const char *object,
                       const char *field, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* returns owned text */
char *kube_problem_text(const struct kube_problem *p);
/* those of one object as one sentence, at most max of them: "Service a/b: spec.x: ...; spec.y: ...;
 * and 3 more"; returns owned */
char *kube_problems_words(const struct kube_problems *p, unsigned max);
void kube_problems_free(struct kube_problems *p);

/* Reads YAML or JSON text (multi-document, flow style, anchors and merge keys, `List` kinds,
 * nulls, quoted numbers kept strings): every document becomes an object, checked against the
 * kind's schema and given its defaults (namespace "default" where absent, unless default_ns says
 * otherwise).  A bad document becomes problems and is left out; the others are returned.
 * *out: array of n owned references, free with kube_objects_free.  Returns the number. */
unsigned kube_load(struct slice text, const char *file, const char *default_ns,
                   struct kube_object ***out, struct kube_problems *problems);
void kube_objects_free(struct kube_object **v, unsigned n);
/* Checks and defaults one object already in memory (from a patch). takes body.
 * NULL and problems when refused */
struct kube_object *kube_object_from_json(json_t *body, const char *file, unsigned line,
                                          const char *default_ns, struct kube_problems *problems);
/* The same for an object of an API server, which has checked it by a schema that may be newer than
 * ours: fields that we do not know are kept as they are. */
struct kube_object *kube_object_from_server(json_t *body, struct kube_problems *problems);
/* "svc", "services", "Service" -> "Service"; NULL if fsm does not know the kind */
const char *kube_kind_of(const char *word);
int kube_kind_is_namespaced(const char *kind);
/* emits YAML for -o yaml */
void kube_to_yaml(const json_t *body, struct buf *out);

#endif
