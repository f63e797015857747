/* problem.h - inside common/kube: problems with a column, from a va_list. */
#ifndef FSM_KUBE_PROBLEM_H
#define FSM_KUBE_PROBLEM_H

#include <stdarg.h>
#include "common/kube/object.h"

/* column 0 = not known; the strings are copied */
void kube_problems_vadd(struct kube_problems *p, const char *file, unsigned line, unsigned column,
                        const char *object, const char *field, const char *fmt, va_list ap)
    __attribute__((format(printf, 7, 0)));

#endif
