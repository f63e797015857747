/* yaml.h - YAML (and so JSON) text to json_t, with the place of every node kept.
 *
 * Scalars become what kubectl makes of them (YAML 1.1 as go-yaml v2 reads it: yes/no/on/off/y/n
 * are booleans, 0777 and 0o777 octal, 1_000 a number; quoted scalars are strings).  Keys become
 * strings the same way.  Aliases and merge keys are expanded up to a bound.  Every document of a
 * file is read by itself: a broken one leaves the others alone.
 *
 * The text is hostile: its size, depth, number of nodes and expansion are bounded.
 * One thread per call; no globals.
 */
#ifndef FSM_KUBE_YAML_H
#define FSM_KUBE_YAML_H

#include <jansson.h>
#include <stdbool.h>
#include "common/base/slice.h"
#include "common/kube/object.h"

#define YAML_TEXT_MAX  (64u << 20) /* bytes of one file */
#define YAML_DEPTH_MAX 100         /* levels of nesting, aliases expanded */
#define YAML_NODES_MAX 1000000     /* per document, aliases expanded (fewer for a short one) */
#define YAML_BYTES_MAX (64u << 20) /* scalar text per document, aliases expanded */

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    unsigned line, column; /* from 1 */
    bool plain;            /* a scalar without quotes */
    bool open;             /* still being read: an alias to it would never end */
    const char *tag;       /* "tag:yaml.org,2002:str", or NULL */
    struct slice text;     /* of a scalar; NUL-terminated */
    struct yaml_node **v;  /* list: its elements; map: key, value, key, value ... */
    unsigned n;            /* elements in v */
};

/* One document.  json: returned owned to whoever takes it out (set it to NULL), else freed. */
struct yaml_doc {
    json_t *json;
    const struct yaml_node *root; /* borrowed for the call; NULL if the places are not known */
    unsigned line;                /* of its first node */
    bool bad;                     /* a problem was found; json is the part that could be read */
};

/* Calls fn for every document that is not empty; one that cannot be parsed at all becomes a
 * problem and a call with json == NULL. */
void yaml_each(struct slice text, const char *file, struct kube_problems *problems,
               void (*fn)(struct yaml_doc *doc, void *arg), void *arg);

/* The key's node of a member (merge keys followed), or NULL; *value gets the member's node. */
const struct yaml_node *yaml_member(const struct yaml_node *map, const char *key,
                                    const struct yaml_node **value);

/* whether text without quotes reads as itself, and not as a number, a boolean or null */
bool yaml_plain_is_string(struct slice text);
/* The value of a scalar node; NULL and e when its tag does not fit its text. */
json_t *yaml_scalar(const struct yaml_node *n, struct err *e);
/* JSON as Go writes a float64: an integral one without a point, so that it passes for an integer;
 * NULL for NaN and infinity */
json_t *yaml_json_of_real(double v);
/* A scalar key as a string, as kubectl would have it; NULL and e.  returns owned */
char *yaml_key(const struct yaml_node *n, struct err *e);

#endif
