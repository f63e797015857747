/* err.h - words for people: what went wrong, where, and what was expected.
 *
 * The caller owns a struct err (usually on its stack) and passes its address down; whoever
 * fails fills it and returns -1 or NULL.  Needs no memory, so running out of memory can be
 * reported too.  Never put a secret into one.
 */
#ifndef FSM_BASE_ERR_H
#define FSM_BASE_ERR_H

#include <stdarg.h>

struct err {
    char text[1024]; /* NUL-terminated; "" when nothing was set */
};

/* Sets e->text; longer text is cut with "...".  e may be NULL.  Always returns -1, so that
 * "return err_set(e, ...)" reads well. */
int err_set(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "prefix: " before what is there.  Always returns -1. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* as err_set, with ": " and strerror(errno) behind the text */
int err_errno(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
