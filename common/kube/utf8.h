/* utf8.h - inside common/kube: UTF-8, one character at a time (RFC 3629).  Pure; any thread. */
#ifndef FSM_KUBE_UTF8_H
#define FSM_KUBE_UTF8_H

#include <stddef.h>

/* The character at p, of which n > 0 bytes can be read; *len gets its length, 0 if there is no
 * valid one (overlong forms and surrogates are not). */
unsigned utf8_decode(const char *p, size_t n, unsigned *len);
/* returns owned: s in one line and harmless on a terminal: control characters become spaces,
 * bytes that are not UTF-8 question marks */
char *utf8_clean(const char *s);

#endif
