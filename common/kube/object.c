/* object.c - objects and problems: who holds them, how they are printed. */
#include "common/kube/object.h"

#include <stdarg.h>
#include <stdlib.h>
#include "common/base/bug.h"
#include "common/base/json.h"
#include "common/base/mem.h"
#include "common/base/packed.h"
#include "common/kube/mask.h"
#include "common/kube/problem.h"
#include "common/kube/utf8.h"

#define PROBLEMS_MAX 10000 /* in one list: a hostile file must not fill the memory with them */

struct kube_object *kube_object_new(const char *kind, const char *group, const char *ns,
                                    const char *name, json_t *body, const char *file, unsigned line)
{
    size_t n_ns = strlen(ns) + 1, n_name = strlen(name) + 1;
    struct kube_object *o = xcalloc(1, sizeof *o + n_ns + n_name);
    o->kind = kind;
    o->group = group;
    o->ns = memcpy(o + 1, ns, n_ns);
    o->name = memcpy((char *)(o + 1) + n_ns, name, n_name);
    o->body = body;
    o->file = packed_word(file ? file : "");
    o->line = line;
    o->refs = 1;
    return o;
}

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
    packed_free(o->packed);
    packed_word_free(o->file);
    free(o);
}

json_t *kube_object_at(const struct kube_object *o, const char *path)
{
    if (!o)
        return NULL;
    if (o->packed)
        return packed_at(o->packed, path);
    return json_incref(*path ? json_at(o->body, path) : o->body);
}

bool kube_object_eq(const struct kube_object *a, const struct kube_object *b)
{
    if (a->packed && b->packed)
        return packed_eq(a->packed, b->packed);
    json_t *x = kube_object_at(a, ""), *y = kube_object_at(b, "");
    bool eq = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return eq;
}

void kube_object_pack(struct kube_object *o)
{
    const struct kube_kind *k = kube_kind_find(o->group, o->kind);
    if (o->packed || !kube_mask_is_narrow(k))
        return;
    json_mask_apply(kube_mask_of(k), o->body);
    o->packed = packed_new(o->body);
    json_decref(o->body);
    o->body = NULL;
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
