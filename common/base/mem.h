/* mem.h - allocation that cannot fail, for start-up, control paths and compilers.
 *
 * Running out of memory there ends the process with a message (the supervisor restarts it and
 * the last good configuration is on disk).  The request path does not use these: it takes from
 * pools and answers 503 when they are empty.
 */
#ifndef FSM_BASE_MEM_H
#define FSM_BASE_MEM_H

#include <stddef.h>

/* Ends the process that way; n: bytes asked for. */
void mem_end(size_t n) __attribute__((noreturn, cold));
void *xmalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t n) __attribute__((returns_nonnull));
/* overflow-checked n * size */
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
/* returns owned text */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

#endif
