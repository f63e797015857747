/* schema.h - what the fields of a kind may hold: tables, and the one walker that reads them.
 *
 * A field says its type, whether it stands alone, in a list or in a map, whether it is required,
 * the range, the words or the syntax it may hold, and the default the API server would give it.
 * What spans fields (a selector must match the template's labels) is a check function of the
 * schema; it runs only when everything below it is sound, so it may rely on types.
 *
 * The walker changes the object: defaults are filled in, null members dropped (Kubernetes takes
 * null for absent).  Filling in is idempotent.
 */
#ifndef FSM_KUBE_SCHEMA_H
#define FSM_KUBE_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include "common/kube/kind.h"
#include "common/kube/names.h"
#include "common/kube/object.h"
#include "common/kube/yaml.h"

enum kube_type {
    KT_ANY = 1, /* kept as it is */
    KT_STRING,
    KT_INT,
    KT_BOOL,
    KT_NUMBER,
    KT_INTSTR,   /* an integer (range) or a string (syntax) */
    KT_QUANTITY, /* a string or a number */
    KT_OBJECT,
};
enum kube_shape { KS_ONE, KS_LIST, KS_MAP };

struct kube_checker;

struct kube_field {
    const char *name; /* NULL ends a table */
    enum kube_type type;
    enum kube_shape shape;
    bool required;                /* present, and not empty */
    bool secret;                  /* the value never appears in a message */
    long long min, max;           /* KT_INT, KT_INTSTR, KT_NUMBER; both 0 = any */
    const char *oneof;            /* words a string may be, space-separated; "" cannot be one */
    const char *dflt;             /* text of a scalar's default; "{}" for an object's */
    kube_syntax *syntax;          /* strings, elements and map values; "" is let through */
    kube_syntax *key_syntax;      /* KS_MAP */
    const struct kube_schema *of; /* KT_OBJECT */
    const char *key; /* KS_LIST: no two elements may be equal in these fields, space-separated;
                        "." = the element itself */
};

struct kube_schema {
    const struct kube_field *fields;
    /* borrows v; reports with kube_fault() */
    void (*check)(struct kube_checker *c, json_t *v);
};

/* Rows.  INT(name, 0, 0) has no range. */
#define KF_STR(n, ...)                                                                             \
    {                                                                                              \
        .name = (n), .type = KT_STRING, ##__VA_ARGS__                                              \
    }
#define KF_INT(n, lo, hi, ...)                                                                     \
    {                                                                                              \
        .name = (n), .type = KT_INT, .min = (lo), .max = (hi), ##__VA_ARGS__                       \
    }
#define KF_BOOL(n, ...)                                                                            \
    {                                                                                              \
        .name = (n), .type = KT_BOOL, ##__VA_ARGS__                                                \
    }
#define KF_ANY(n, ...)                                                                             \
    {                                                                                              \
        .name = (n), .type = KT_ANY, ##__VA_ARGS__                                                 \
    }
#define KF_NUM(n, lo, hi, ...)                                                                     \
    {                                                                                              \
        .name = (n), .type = KT_NUMBER, .min = (lo), .max = (hi), ##__VA_ARGS__                    \
    }
#define KF_QTY(n, ...)                                                                             \
    {                                                                                              \
        .name = (n), .type = KT_QUANTITY, ##__VA_ARGS__                                            \
    }
#define KF_INTSTR(n, lo, hi, ...)                                                                  \
    {                                                                                              \
        .name = (n), .type = KT_INTSTR, .min = (lo), .max = (hi), ##__VA_ARGS__                    \
    }
#define KF_OBJ(n, s, ...)                                                                          \
    {                                                                                              \
        .name = (n), .type = KT_OBJECT, .of = &(s), ##__VA_ARGS__                                  \
    }
#define KF_LIST(n, s, ...)                                                                         \
    {                                                                                              \
        .name = (n), .type = KT_OBJECT, .shape = KS_LIST, .of = &(s), ##__VA_ARGS__                \
    }
#define KF_STRS(n, ...)                                                                            \
    {                                                                                              \
        .name = (n), .type = KT_STRING, .shape = KS_LIST, ##__VA_ARGS__                            \
    }
#define KF_INTS(n, lo, hi, ...)                                                                    \
    {                                                                                              \
        .name = (n), .type = KT_INT, .shape = KS_LIST, .min = (lo), .max = (hi), ##__VA_ARGS__     \
    }
#define KF_MAP(n, ...)                                                                             \
    {                                                                                              \
        .name = (n), .type = KT_STRING, .shape = KS_MAP, ##__VA_ARGS__                             \
    }
#define KF_QTYS(n, ...)                                                                            \
    {                                                                                              \
        .name = (n), .type = KT_QUANTITY, .shape = KS_MAP, ##__VA_ARGS__                           \
    }
#define KF_END                                                                                     \
    {                                                                                              \
        .name = NULL                                                                               \
    }

#define KUBE_SCHEMA(id, fn, ...)                                                                   \
    const struct kube_schema id = {.fields = (const struct kube_field[]){__VA_ARGS__, KF_END},     \
                                   .check = (fn)}

/* the same for a kind's own schema: the members that every object has come first */
#define KUBE_KIND_SCHEMA(id, fn, ...)                                                              \
    KUBE_SCHEMA(id, fn, KF_STR("apiVersion"), KF_STR("kind"),                                      \
                KF_OBJ("metadata", kube_schema_metadata), __VA_ARGS__)
extern const struct kube_schema kube_schema_metadata;

#define KUBE_PATH_MAX 64

struct kube_step {
    const char *key; /* NULL: an index */
    size_t index;
    bool in_map; /* printed as [key] */
};

/* problems listed per object; the rest is counted only */
#define KUBE_FAULTS_MAX 30

/* the object under check and the place in it */
struct kube_checker {
    struct kube_problems *problems;
    const char *file;
    unsigned line; /* of the document; used where root does not know better */
    const char *object;
    const struct yaml_node *root; /* or NULL */
    unsigned root_depth;          /* the path's first steps that lead to root */
    struct kube_step path[KUBE_PATH_MAX];
    unsigned depth;
    unsigned faults; /* all of them, never reset */
    unsigned listed; /* of this object */
    unsigned secret; /* > 0: values here are not to be shown */
    bool lenient;    /* fields that the schema does not know are kept as they are */
};

/* Checks and fills in an object against a schema. */
void kube_check_object(struct kube_checker *c, const struct kube_schema *s, json_t *object);
/* The whole object: metadata and what the kind's schema says.  metadata must be an object. */
void kube_check_kind(struct kube_checker *c, const struct kube_kind *k, json_t *object);

/* reports at the present place */
void kube_fault(struct kube_checker *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* reports at a member of the present place, whether it is there or not */
void kube_fault_at(struct kube_checker *c, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* No two elements may be equal in these fields (see kube_field.key). */
void kube_check_unique(struct kube_checker *c, const json_t *list, const char *keys);
void kube_enter(struct kube_checker *c, const char *key);
/* a key of a map that users fill: shown as [key] */
void kube_enter_map(struct kube_checker *c, const char *key);
void kube_enter_index(struct kube_checker *c, size_t i);
void kube_leave(struct kube_checker *c);

/* "\"http\" (string)", "80 (integer)", "a list": for messages; out takes 96 bytes, returned */
const char *kube_describe(const struct kube_checker *c, const json_t *v, char *out);
/* what to say behind "expected a string": ": quote it", or "" */
const char *kube_quote_hint(const json_t *v);

#endif
