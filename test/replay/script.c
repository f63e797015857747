/* script.c - see script.h */
#include "test/replay/script.h"
#include <ctype.h>
#include <stdlib.h>
#include "common/base/mem.h"

#define REPEAT_MAX 100000000u

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip(struct slice *s, size_t n)
{
    s->p += n;
    s->n -= n;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* what follows a backslash in a text */
static int escape(struct slice *s, struct buf *out, struct err *e)
{
    static const char names[] = "rnt0\\\"", bytes[] = "\r\n\t\0\\\"";
    const char *at = s->n ? strchr(names, *s->p) : NULL;
    if (at && *at) {
        buf_putc(out, bytes[at - names]);
        skip(s, 1);
        return 0;
    }
    if (s->n >= 3 && *s->p == 'x' && hex(s->p[1]) >= 0 && hex(s->p[2]) >= 0) {
        buf_putc(out, (char)(hex(s->p[1]) * 16 + hex(s->p[2])));
        skip(s, 3);
        return 0;
    }
    return err_set(e, "unknown escape in a text");
}

static int text_word(struct slice *s, struct buf *out, struct err *e)
{
    skip(s, 1);
    while (s->n && *s->p != '"' && *s->p != '\n') {
        char c = *s->p;
        skip(s, 1);
        if (c != '\\')
            buf_putc(out, c);
        else if (escape(s, out, e) < 0)
            return -1;
    }
    if (!s->n || *s->p != '"')
        return err_set(e, "a text without its closing quote");
    skip(s, 1);
    return 0;
}

/* "text"*N */
static int repeat(struct slice *s, struct buf *out, struct err *e)
{
    unsigned long long times;
    size_t n = 0;
    if (!s->n || *s->p != '*')
        return 0;
    skip(s, 1);
    while (n < s->n && isdigit((unsigned char)s->p[n]))
        n++;
    if (slice_u64(slice_of(s->p, n), REPEAT_MAX, &times) < 0 || times == 0)
        return err_set(e, "expected a number of times behind \"text\"*");
    skip(s, n);
    struct slice one = buf_slice(out);
    char *copy = memcpy(xmalloc(one.n + 1), one.p, one.n); /* may hold NUL */
    while (--times)
        buf_append(out, copy, one.n);
    free(copy);
    return 0;
}

static int pattern_word(struct slice *s, struct buf *out, struct err *e)
{
    skip(s, 1);
    while (s->n && *s->p != '/' && *s->p != '\n') {
        if (*s->p == '\\' && s->n > 1) {
            if (s->p[1] != '/')
                buf_putc(out, '\\');
            skip(s, 1);
        }
        buf_putc(out, *s->p);
        skip(s, 1);
    }
    if (!s->n || *s->p != '/')
        return err_set(e, "a pattern without its closing slash");
    skip(s, 1);
    return 0;
}

/* 'raw' */
static int raw_word(struct slice *s, struct buf *out, struct err *e)
{
    skip(s, 1);
    while (s->n && *s->p != '\'' && *s->p != '\n') {
        buf_putc(out, *s->p);
        skip(s, 1);
    }
    if (!s->n || *s->p != '\'')
        return err_set(e, "a text without its closing quote");
    skip(s, 1);
    return 0;
}

static void bare_word(struct slice *s, struct buf *out)
{
    while (s->n && !is_blank(*s->p) && *s->p != '\n' && *s->p != ';' && *s->p != '#') {
        buf_putc(out, *s->p);
        skip(s, 1);
    }
}

static int read_word(struct slice *s, bool pattern, struct word *w, struct err *e)
{
    struct buf b = BUF_INIT;
    int rc = 0;
    buf_puts(&b, "");
    if (*s->p == '"') {
        w->kind = WORD_TEXT;
        rc = text_word(s, &b, e) < 0 ? -1 : repeat(s, &b, e);
    } else if (*s->p == '\'') {
        w->kind = WORD_TEXT;
        rc = raw_word(s, &b, e);
    } else if (pattern && *s->p == '/') {
        w->kind = WORD_PATTERN;
        rc = pattern_word(s, &b, e);
    } else {
        w->kind = WORD_BARE;
        bare_word(s, &b);
    }
    if (rc == 0 && s->n && !is_blank(*s->p) && !strchr("\n;#", *s->p))
        rc = err_set(e, "expected a blank before '%c'", *s->p);
    w->n = b.len;
    w->p = buf_take(&b);
    return rc;
}

/* blanks, continued lines */
static void skip_blanks(struct slice *s, unsigned *line)
{
    for (;;) {
        if (s->n >= 2 && s->p[0] == '\\' && s->p[1] == '\n') {
            skip(s, 2);
            ++*line;
        } else if (s->n && is_blank(*s->p)) {
            skip(s, 1);
        } else {
            return;
        }
    }
}

/* true: at the end of a statement, which is passed */
static bool at_end(struct slice *s, unsigned *line)
{
    if (s->n && *s->p == '#')
        while (s->n && *s->p != '\n')
            skip(s, 1);
    if (!s->n)
        return true;
    if (*s->p != '\n' && *s->p != ';')
        return false;
    *line += *s->p == '\n';
    skip(s, 1);
    return true;
}

int script_next(struct slice *s, unsigned *line, struct statement *st, struct err *e)
{
    *st = (struct statement){0};
    while (s->n) {
        skip_blanks(s, line);
        st->line = st->n ? st->line : *line;
        if (at_end(s, line)) {
            if (st->n)
                return 1;
            continue;
        }
        if (st->n == WORDS_MAX)
            return err_set(e, "more than %d words", WORDS_MAX);
        bool pattern = st->n && strcmp(st->w[st->n - 1].p, "receives") == 0;
        if (read_word(s, pattern, &st->w[st->n++], e) < 0)
            return -1;
    }
    return st->n ? 1 : 0;
}

void statement_free(struct statement *st)
{
    for (unsigned i = 0; i < st->n; i++)
        free(st->w[i].p);
    st->n = 0;
}
