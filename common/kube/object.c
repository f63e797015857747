/* object.c - objects and problems: who holds them, how they are printed. */
#include "common/kube/object.h"

#include <stdarg.h>
#include <stdlib.h>
#include "common/base/bug.h"
#include "common/base/mem.h"
#include "common/kube/problem.h"
#include "common/kube/utf8.h"

#define PROBLEMS_MAX 10000 /* in one list: a hostile file must not fill the memory with them */

struct kube_object *kube_object_ref(struct kube_object *o)
{
    BUG_ON(o->refs == 0);
    o->refs++;
    return o;
}

void kube_object_unref(struct kube_object *o)
{
    if (!o)
        return;
    BUG_ON(o->refs == 0);
    if (--o->refs > 0)
        return;
    json_decref(o->body);
    free(o->ns);
    free(o->name);
    free(o->file);
    free(o);
}

void kube_objects_free(struct kube_object **v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        kube_object_unref(v[i]);
    free(v);
}

void kube_problems_vadd(struct kube_problems *p, const char *file, unsigned line, unsigned column,
                        const char *object, const char *field, const char *fmt, va_list ap)
{
    struct buf text = BUF_INIT;
    if (p->n > PROBLEMS_MAX)
        return;
    if (p->n == PROBLEMS_MAX)
        buf_printf(&text, "more than %d problems, the rest is not listed", PROBLEMS_MAX);
    else
        buf_vprintf(&text, fmt, ap);
    p->v = xreallocarray(p->v, p->n + 1, sizeof *p->v);
    p->v[p->n++] = (struct kube_problem){.file = utf8_clean(file ? file : ""),
                                         .line = line,
                                         .column = column,
                                         .object = utf8_clean(object ? object : ""),
                                         .field = utf8_clean(field ? field : ""),
                                         .message = utf8_clean(text.p ? text.p : "")};
    buf_free(&text);
}

void kube_problems_add(struct kube_problems *p, const char *file, unsigned line, const char *object,
                       const char *field, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    kube_problems_vadd(p, file, line, 0, object, field, fmt, ap);
    va_end(ap);
}

char *kube_problem_text(const struct kube_problem *p)
{
    struct buf b = BUF_INIT;
    if (*p->file && p->line)
        buf_printf(&b, p->column ? "%s:%u:%u: " : "%s:%u: ", p->file, p->line, p->column);
    else if (*p->file)
        buf_printf(&b, "%s: ", p->file);
    if (*p->object)
        buf_printf(&b, "%s: ", p->object);
    if (*p->field)
        buf_printf(&b, "%s: ", p->field);
    buf_puts(&b, p->message);
    return buf_take(&b);
}

char *kube_problems_words(const struct kube_problems *p, unsigned max)
{
    struct buf out = BUF_INIT;
    for (unsigned i = 0; i < p->n && i < max; i++) {
        if (i == 0 && *p->v[i].object)
            buf_printf(&out, "%s: ", p->v[i].object);
        buf_printf(&out, "%s%s%s%s", i ? "; " : "", p->v[i].field, *p->v[i].field ? ": " : "",
                   p->v[i].message);
    }
    if (p->n > max)
        buf_printf(&out, "; and %u more", p->n - max);
    return buf_take(&out);
}

void kube_problems_free(struct kube_problems *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        free(p->v[i].file);
        free(p->v[i].object);
        free(p->v[i].field);
        free(p->v[i].message);
    }
    free(p->v);
    *p = (struct kube_problems){NULL, 0};
}
