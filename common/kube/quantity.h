/* quantity.h - Kubernetes quantities: "500m", "1.5", "64Mi", "1e3".  Pure; any thread. */
#ifndef FSM_KUBE_QUANTITY_H
#define FSM_KUBE_QUANTITY_H

#include <jansson.h>
#include <stdint.h>

/* In thousandths, rounded away from zero, saturating at INT64_MAX ("1.5" -> 1500).
 * -1 if s is no quantity. */
int kube_quantity_milli(const char *s, int64_t *milli);
/* whole units, rounded up ("1.5Ki" -> 1536) */
int kube_quantity_value(const char *s, int64_t *value);
/* the text of a quantity in an object, which may be a number; out takes 32 bytes; NULL if it is
 * neither.  Returns out or the string itself (borrowed). */
const char *kube_quantity_text(const json_t *j, char *out);

#endif
