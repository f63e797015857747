/* h1_int.h - what h1.c, h1_body.c and h1_write.c share; nobody else includes it. */
#ifndef FSM_HTTP_H1_INT_H
#define FSM_HTTP_H1_INT_H

#include "common/http/h1.h"

/* One field line at s: 1 and *f and *next (behind its CRLF), 0 unfinished, or enum http_fault. */
int h1_field_line(const char *s, const char *end, struct http_field *f, const char **next);

#endif
