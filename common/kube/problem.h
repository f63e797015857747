/* problem.h - inside common/kube: what sources do with problems beside listing them. */
#ifndef FSM_KUBE_PROBLEM_H
#define FSM_KUBE_PROBLEM_H

#include <stdarg.h>
#include <stdbool.h>
#include "common/kube/object.h"

/* column 0 = not known; the strings are copied */
void kube_problems_vadd(struct kube_problems *p, const char *file, unsigned line, unsigned column,
                        const char *object, const char *field, const char *fmt, va_list ap)
    __attribute__((format(printf, 7, 0)));
/* adds copies of all of them */
void kube_problems_append(struct kube_problems *to, const struct kube_problems *from);
/* Takes what is wrong now in place of what was, in order of file and line.  What appeared and what
 * went is logged, up to a bound; true if there was any. */
bool kube_problems_renew(struct kube_problems *have, struct kube_problems now);

#endif
