/* values.h - what --set and values files say of an installation: the keys of the chart that users
 * of fsm know ("fsm.enableEgress"), their types, and where each goes.
 *
 * Values are a flat object, "fsm.enableEgress" -> true, of keys that the table has and of the type
 * that it says.  Pure but for values_file(); one thread.
 */
#ifndef FSM_CLI_CLUSTER_VALUES_H
#define FSM_CLI_CLUSTER_VALUES_H

#include <jansson.h>
#include <stdbool.h>
#include "common/base/err.h"
#include "common/base/slice.h"

enum value_type {
    VALUE_BOOL = 1,
    VALUE_INT,
    VALUE_TEXT,
    VALUE_NUMBER_TEXT, /* "0.5": a number that objects hold as text */
    VALUE_TEXTS,
    VALUE_INTS,
    VALUE_ANY, /* whatever the object takes there */
};

struct value_key {
    const char *key; /* NULL ends the table */
    enum value_type type;
    /* "mesh PATH": this field of the MeshConfig
     * "flag NAME --FLAG": of that Deployment's daemon, "*" = of all
     * "replicas NAME", "resources NAME", "labels NAME": of that Deployment's pods
     * "pod NAME FIELD": a member of spec.template.spec
     * "own WORD": the renderer knows it
     * "": it changes nothing, note says why */
    const char *to;
    const char *note; /* what a user must know who sets it to something, or NULL */
};
extern const struct value_key value_keys[];

const struct value_key *value_key_find(const char *key);
/* the row whose MeshConfig field holds what stands at path, or NULL */
const struct value_key *value_key_of_field(const char *path);
/* "a=1,b={x,y},c[0]=z", as after --set; literal: values are text whatever they look like
 * (--set-string).  -1 and e: which key, what was expected */
int values_set(json_t *values, const char *text, bool literal, struct err *e);
/* nested YAML; name is for messages */
int values_read(json_t *values, struct slice text, const char *name, struct err *e);
int values_file(json_t *values, const char *path, struct err *e);
/* the values as values_read() takes them: nested; returns owned */
json_t *values_nested(const json_t *values);
/* typed lookups, with what holds where the key is not set */
const char *values_text(const json_t *values, const char *key, const char *dflt);
bool values_bool(const json_t *values, const char *key, bool dflt);

#endif
