/* route.c - see route.h */
#include "common/proxy/route.h"
#include <stdlib.h>
#include <string.h>

/* ---- hosts ----------------------------------------------------------------------------------- */

struct slice host_normal(struct slice a, char *out)
{
    if (a.n == 0 || a.n > HOST_MAX)
        return slice_of(out, 0);
    size_t n = 0;
    for (size_t i = 0; i < a.n; i++) {
        char c = a.p[i];
        /* the dot before the port, or at the end */
        if (c == '.' && i > 0 && (i + 1 == a.n || a.p[i + 1] == ':'))
            continue;
        out[n++] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    return slice_of(out, n);
}

/* ---- routes ---------------------------------------------------------------------------------- */

static bool method_fits(const struct route *r, const struct http_head *h)
{
    if (r->methods == 0 && !r->method_names)
        return true;
    if (h->method != HTTP_M_OTHER)
        return r->methods >> h->method & 1;
    for (const struct slice *m = r->method_names; m && m->n; m++)
        if (slice_eq(*m, h->method_text))
            return true;
    return false;
}

static bool is_named(const struct http_field *f, const struct header_match *m)
{
    return !f->dropped && f->id == m->id && (m->id != HDR_OTHER || slice_ieq(f->name, m->name));
}

/* size: bytes of the values, each with two for what is put between them */
static bool combined_fits(const struct header_match *m, const struct http_head *h, size_t size)
{
    char some[1024], *text = size <= sizeof some ? some : malloc(size), *p = text;
    if (!text)
        return false;
    for (unsigned i = 0; i < h->n_fields; i++) {
        const struct http_field *f = &h->fields[i];
        if (!is_named(f, m))
            continue;
        if (f->value.n)
            p = mempcpy(p, f->value.p, f->value.n);
        p = mempcpy(p, m->id == HDR_COOKIE ? "; " : ", ", 2);
    }
    bool fits = matcher_test(&m->value, slice_of(text, size - 2));
    if (text != some)
        free(text);
    return fits;
}

/* Fields of one name are one, in their order, to whoever reads them (RFC 9110 5.3; cookies: 9113
 * 8.2.3): what one line of them says must not decide alone.  The host is what is forwarded as it,
 * wherever it stood. */
static bool header_fits(const struct header_match *m, const struct http_head *h)
{
    const struct http_field *first = NULL;
    size_t size = 0;
    unsigned n = 0;
    if (m->id == HDR_HOST)
        return matcher_test(&m->value, h->authority);
    for (unsigned i = 0; i < h->n_fields; i++) {
        const struct http_field *f = &h->fields[i];
        if (!is_named(f, m))
            continue;
        first = n++ ? first : f;
        size += f->value.n + 2;
    }
    if (n > 1)
        return combined_fits(m, h, size);
    return first && matcher_test(&m->value, first->value);
}

static bool headers_fit(const struct route *r, const struct http_head *h)
{
    for (uint32_t i = 0; i < r->n_headers; i++)
        if (!header_fits(&r->headers[i], h))
            return false;
    return true;
}

static bool request_fits(const struct route *r, const struct route_query *q)
{
    return method_fits(r, q->head) && matcher_test(&r->path, q->path) && headers_fit(r, q->head);
}

static int cmp_identity(const void *key, const void *item)
{
    return strcmp(key, *(const char *const *)item);
}

static bool names_identity(const struct route *r, const char *id)
{
    return id && bsearch(id, r->allowed, r->n_allowed, sizeof *r->allowed, cmp_identity);
}

const struct route *route_find(const struct vhost *v, const struct route_query *q, enum reason *why)
{
    const struct route *open = NULL;
    *why = REASON_NO_ROUTE;
    for (uint32_t i = 0; i < v->n; i++) {
        const struct route *r = &v->routes[i];
        if ((!r->allowed && open) || !request_fits(r, q))
            continue;
        if (!r->allowed)
            open = r;
        else if (names_identity(r, q->identity))
            return r;
        else
            *why = REASON_DENIED;
    }
    return open;
}

/* ---- splits ---------------------------------------------------------------------------------- */

struct split *split_new(struct arena *a, uint32_t n)
{
    struct split *s = arena_zalloc(a, sizeof *s + n * sizeof s->t[0]);
    s->n = n;
    return s;
}

void split_seal(struct split *s)
{
    s->key = hash_bytes(s->t, s->n * sizeof s->t[0]);
}
