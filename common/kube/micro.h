/* micro.h - inside common/kube: the time of now as a MicroTime of the API, which must have six
 * digits behind the second. */
#ifndef FSM_KUBE_MICRO_H
#define FSM_KUBE_MICRO_H

#include <stdio.h>
#include "common/base/clock.h"

#define KUBE_MICRO_MAX 40

/* "2026-01-02T03:04:05.678000Z" */
static inline void kube_micro_time(char out[KUBE_MICRO_MAX])
{
    char text[32]; /* "....678Z" */

    clock_rfc3339(clock_wall_ms(), text);
    for (char *p = text; *p; p++)
        if (*p == 'Z')
            *p = '\0';
    snprintf(out, KUBE_MICRO_MAX, "%s000Z", text);
}

#endif
