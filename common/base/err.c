/* err.c - words for people, in a fixed amount of memory. */
#include "common/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* n is what snprintf asked for: marks a text that did not fit */
static void mark_cut(struct err *e, int n)
{
    if (n < 0)
        e->text[0] = 0;
    else if ((size_t)n >= sizeof(e->text))
        memcpy(e->text + sizeof(e->text) - 4, "...", 4);
}

int err_set(struct err *e, const char *fmt, ...)
{
    va_list ap;

    if (!e)
        return -1;
    va_start(ap, fmt);
    mark_cut(e, vsnprintf(e->text, sizeof(e->text), fmt, ap));
    va_end(ap);
    return -1;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    struct err old;
    va_list ap;
    int n;

    if (!e)
        return -1;
    old = *e;
    va_start(ap, fmt);
    n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(e->text))
        n += snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s", old.text);
    mark_cut(e, n);
    return -1;
}

int err_errno(struct err *e, const char *fmt, ...)
{
    int saved = errno;
    va_list ap;
    int n;

    if (!e)
        return -1;
    va_start(ap, fmt);
    n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(e->text))
        n += snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %s", strerror(saved));
    mark_cut(e, n);
    errno = saved;
    return -1;
}
