/* pages.c - see pages.h.
 *
 * A page holds entries one behind the other: length of the name, length of the text (32 bits
 * each), name, text; together compressed by LZ4.  Its first name stands uncompressed before that,
 * so that pages are searched without opening them.
 */
#include "common/base/pages.h"

#include <lz4.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/mem.h"

#define PAGE_BYTES 8192 /* uncompressed; larger ones compress a little better and change slower */

struct page {
    uint32_t refs;
    uint32_t n;     /* entries */
    uint32_t raw;   /* bytes of them */
    uint32_t bytes; /* compressed; == raw: as they are */
    uint32_t first; /* length of the first name */
    char data[];    /* that name, then the bytes */
};

struct pages {
    struct page **v;
    size_t n, cap;
    size_t count;    /* entries */
    struct buf tail; /* being appended, not a page yet */
    uint32_t tail_n;
};

static int name_cmp(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;

    return c ? c : (a.n > b.n) - (a.n < b.n);
}

/* ---- entries ----------------------------------------------------------------------------------
 */

static void entry_put(struct buf *raw, struct slice name, struct slice text)
{
    uint32_t n[2] = {(uint32_t)name.n, (uint32_t)text.n};

    BUG_ON(name.n > UINT32_MAX || text.n > UINT32_MAX);
    buf_append(raw, n, sizeof(n));
    buf_put_slice(raw, name);
    buf_put_slice(raw, text);
}

/* cuts the next entry off; false at the end */
static bool entry_cut(struct slice *raw, struct pages_entry *out)
{
    uint32_t n[2];

    if (raw->n == 0)
        return false;
    memcpy(n, raw->p, sizeof(n));
    out->name = slice_of(raw->p + sizeof(n), n[0]);
    out->text = slice_of(out->name.p + n[0], n[1]);
    *raw = slice_of(out->text.p + n[1], raw->n - sizeof(n) - n[0] - n[1]);
    return true;
}

/* ---- a page -----------------------------------------------------------------------------------
 */

static struct page *page_new(const struct buf *raw, uint32_t n)
{
    struct slice rest = buf_slice(raw);
    struct pages_entry first;
    int bound = LZ4_compressBound((int)raw->len);
    char *packed = xmalloc((size_t)bound);
    int got = LZ4_compress_default(raw->p, packed, (int)raw->len, bound);
    bool smaller = got > 0 && (size_t)got < raw->len;
    size_t bytes = smaller ? (size_t)got : raw->len;

    BUG_ON(!entry_cut(&rest, &first));
    struct page *g = xmalloc(sizeof(*g) + first.name.n + bytes);
    *g = (struct page){1, n, (uint32_t)raw->len, (uint32_t)bytes, (uint32_t)first.name.n};
    memcpy(g->data, first.name.p, first.name.n);
    memcpy(g->data + first.name.n, smaller ? packed : raw->p, bytes);
    free(packed);
    return g;
}

static void page_unref(struct page *g)
{
    if (--g->refs == 0)
        free(g);
}

static struct slice page_first(const struct page *g)
{
    return slice_of(g->data, g->first);
}

/* its entries, into raw */
static struct slice page_open(const struct page *g, struct buf *raw)
{
    const char *bytes = g->data + g->first;

    buf_clear(raw);
    if (g->bytes == g->raw) {
        buf_append(raw, bytes, g->raw);
    } else {
        char *at = buf_reserve(raw, g->raw);
        BUG_ON(LZ4_decompress_safe(bytes, at, (int)g->bytes, (int)g->raw) != (int)g->raw);
        raw->len = g->raw;
    }
    return buf_slice(raw);
}

/* ---- a version --------------------------------------------------------------------------------
 */

struct pages *pages_new(void)
{
    return xcalloc(1, sizeof(struct pages));
}

struct pages *pages_copy(const struct pages *p)
{
    struct pages *q = pages_new();

    q->n = q->cap = p->n;
    q->count = p->count;
    q->v = xreallocarray(NULL, p->n + 1, sizeof(struct page *));
    for (size_t i = 0; i < p->n; i++) {
        q->v[i] = p->v[i];
        q->v[i]->refs++;
    }
    return q;
}

void pages_free(struct pages *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        page_unref(p->v[i]);
    free(p->v);
    buf_free(&p->tail);
    free(p);
}

size_t pages_count(const struct pages *p)
{
    return p->count;
}

size_t pages_bytes(const struct pages *p)
{
    size_t sum = sizeof(*p) + p->cap * sizeof(struct page *);

    for (size_t i = 0; i < p->n; i++)
        sum += sizeof(struct page) + p->v[i]->first + p->v[i]->bytes;
    return sum;
}

static void insert_page(struct pages *p, size_t at, struct page *g)
{
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap + p->cap / 2 + 1 : 8;
        p->v = xreallocarray(p->v, p->cap, sizeof(struct page *));
    }
    memmove(p->v + at + 1, p->v + at, (p->n - at) * sizeof(struct page *));
    p->v[at] = g;
    p->n++;
}

static void flush_tail(struct pages *p)
{
    if (p->tail_n > 0)
        insert_page(p, p->n, page_new(&p->tail, p->tail_n));
    buf_clear(&p->tail);
    p->tail_n = 0;
}

void pages_append(struct pages *p, struct slice name, struct slice text)
{
    if (p->tail_n > 0 && p->tail.len + name.n + text.n > PAGE_BYTES)
        flush_tail(p);
    entry_put(&p->tail, name, text);
    p->tail_n++;
    p->count++;
}

void pages_seal(struct pages *p)
{
    flush_tail(p);
    buf_free(&p->tail);
}

/* the page that the name is in, if it is anywhere */
static size_t page_of(const struct pages *p, struct slice name)
{
    size_t lo = 0, hi = p->n;

    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if (name_cmp(page_first(p->v[mid]), name) <= 0)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

bool pages_get(const struct pages *p, struct slice name, struct buf *out)
{
    struct buf raw = BUF_INIT;
    struct pages_entry e;
    bool found = false;

    if (p->n == 0)
        return false;
    struct slice rest = page_open(p->v[page_of(p, name)], &raw);
    while (!found && entry_cut(&rest, &e))
        found = slice_eq(e.name, name);
    if (found)
        buf_put_slice(out, e.text);
    buf_free(&raw);
    return found;
}

/* ---- a change ---------------------------------------------------------------------------------
 */

/* entries on their way into pages: a new one whenever there is enough for it */
struct filling {
    struct pages *p;
    size_t at; /* where the next page goes */
    struct buf raw;
    uint32_t n;
};

static void fill_page(struct filling *f)
{
    if (f->n > 0)
        insert_page(f->p, f->at++, page_new(&f->raw, f->n));
    buf_clear(&f->raw);
    f->n = 0;
}

static void fill_entry(struct filling *f, struct slice name, struct slice text, bool split)
{
    if (!text.p)
        return;
    if (split && f->raw.len + name.n + text.n > PAGE_BYTES)
        fill_page(f);
    entry_put(&f->raw, name, text);
    f->n++;
    f->p->count++;
}

/* The page of the name is written anew; one that grew too large becomes two or more. */
void pages_put(struct pages *p, struct slice name, struct slice text)
{
    struct filling f = {.p = p};
    struct buf raw = BUF_INIT;
    struct slice rest = slice_of(NULL, 0);
    struct pages_entry e;
    bool done = false, split = false;

    if (p->n > 0) {
        struct page *g = p->v[f.at = page_of(p, name)];
        rest = page_open(g, &raw);
        split = rest.n + name.n + text.n > 2 * PAGE_BYTES;
        p->count -= g->n;
        p->n--;
        memmove(p->v + f.at, p->v + f.at + 1, (p->n - f.at) * sizeof(struct page *));
        page_unref(g);
    }
    while (entry_cut(&rest, &e)) {
        int c = done ? 1 : name_cmp(e.name, name);
        if (c >= 0 && !done) {
            fill_entry(&f, name, text, split);
            done = true;
            if (c == 0)
                continue;
        }
        fill_entry(&f, e.name, e.text, split);
    }
    if (!done)
        fill_entry(&f, name, text, split);
    fill_page(&f);
    buf_free(&f.raw);
    buf_free(&raw);
}

/* ---- what differs -----------------------------------------------------------------------------
 */

struct cursor {
    const struct pages *p; /* or NULL: empty */
    size_t page;           /* the next to be opened */
    struct buf raw;
    struct slice rest; /* of the open one */
    struct pages_entry e;
    bool has; /* e is the next entry */
};

static bool at_page(const struct cursor *c)
{
    return !c->has && c->rest.n == 0 && c->p && c->page < c->p->n;
}

static bool peek(struct cursor *c)
{
    if (!c->has && c->rest.n == 0 && c->p && c->page < c->p->n)
        c->rest = page_open(c->p->v[c->page++], &c->raw);
    if (!c->has)
        c->has = entry_cut(&c->rest, &c->e);
    return c->has;
}

/* pages that both share are passed over without being opened */
static void skip_shared(struct cursor *a, struct cursor *b)
{
    while (at_page(a) && at_page(b) && a->p->v[a->page] == b->p->v[b->page]) {
        a->page++;
        b->page++;
    }
}

int pages_diff(const struct pages *old, const struct pages *now, pages_diff_fn *fn, void *arg)
{
    static const struct pages_entry none;
    struct cursor a = {.p = old}, b = {.p = now};
    int rc = 0;

    while (rc == 0) {
        skip_shared(&a, &b);
        bool in_a = peek(&a), in_b = peek(&b);
        if (!in_a && !in_b)
            break;
        int c = !in_a ? 1 : !in_b ? -1 : name_cmp(a.e.name, b.e.name);
        if (c != 0 || !slice_eq(a.e.text, b.e.text))
            rc = fn(c <= 0 ? &a.e : &none, c >= 0 ? &b.e : &none, arg);
        a.has &= c > 0;
        b.has &= c < 0;
    }
    buf_free(&a.raw);
    buf_free(&b.raw);
    return rc;
}
