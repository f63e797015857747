/* match.c - see match.h */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "common/proxy/match.h"
#include <pcre2.h>
#include <pthread.h>
#include <stdlib.h>
#include "common/base/mem.h"

/* A path of 8 KiB needs some ten thousand steps of a sane expression; a runaway one millions. */
#define STEP_LIMIT 200000
#define HEAP_LIMIT 1024 /* KiB */

static uint64_t limits_hit;

uint64_t matcher_limits_hit(void)
{
    return __atomic_load_n(&limits_hit, __ATOMIC_RELAXED);
}

/* ---- per-thread scratch ---------------------------------------------------------------------- */

struct scratch {
    pcre2_match_context *ctx;
    pcre2_match_data *data;
};

static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_free(void *p)
{
    struct scratch *s = p;
    pcre2_match_data_free(s->data);
    pcre2_match_context_free(s->ctx);
    free(s);
}

static void scratch_make_key(void)
{
    pthread_key_create(&scratch_key, scratch_free);
}

static struct scratch *scratch_get(void)
{
    pthread_once(&scratch_once, scratch_make_key);
    struct scratch *s = pthread_getspecific(scratch_key);
    if (s)
        return s;
    s = xcalloc(1, sizeof *s);
    s->ctx = pcre2_match_context_create(NULL);
    s->data = pcre2_match_data_create(1, NULL);
    if (s->ctx) {
        pcre2_set_match_limit(s->ctx, STEP_LIMIT);
        pcre2_set_heap_limit(s->ctx, HEAP_LIMIT);
    }
    pthread_setspecific(scratch_key, s);
    return s;
}

/* ---- building -------------------------------------------------------------------------------- */

void matcher_init_text(struct matcher *m, struct arena *a, enum match_kind kind, struct slice text)
{
    *m = (struct matcher){.kind = kind};
    if (kind == MATCH_ANY)
        return;
    m->text = arena_slice(a, text).p;
    m->n = (uint32_t)text.n;
}

struct literal {
    char p[MATCH_PATTERN_MAX];
    size_t n;
};

/* Removes the backslash before punctuation; false if the pattern is more than literal text. */
static bool unescape_literal(struct slice in, struct literal *out)
{
    static const char special[] = ".^$*+?()[]{}|";
    out->n = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '\\') {
            if (++i == in.n || !strchr(".^$*+?()[]{}|/\\-", in.p[i]))
                return false;
            c = in.p[i];
        } else if (strchr(special, c)) {
            return false;
        }
        out->p[out->n++] = c;
    }
    return true;
}

/* what needs no regular expression at all */
static bool init_simple(struct matcher *m, struct arena *a, struct slice pattern)
{
    struct literal text;
    if (slice_eq_str(pattern, ".*") || slice_eq_str(pattern, "^.*$")) {
        matcher_init_text(m, a, MATCH_ANY, slice_of(NULL, 0));
        return true;
    }
    if (slice_ends(pattern, SLICE_LIT(".*")) &&
        unescape_literal(slice_of(pattern.p, pattern.n - 2), &text)) {
        matcher_init_text(m, a, MATCH_PREFIX, slice_of(text.p, text.n));
        return true;
    }
    if (unescape_literal(pattern, &text)) {
        matcher_init_text(m, a, MATCH_EXACT, slice_of(text.p, text.n));
        return true;
    }
    return false;
}

int matcher_init_regex(struct matcher *m, struct arena *a, const char *pattern, struct err *e)
{
    struct slice p = slice_str(pattern);
    if (p.n > MATCH_PATTERN_MAX)
        return err_set(e, "pattern of %zu characters, at most %d are allowed", p.n,
                       MATCH_PATTERN_MAX);
    if (init_simple(m, a, p))
        return 0;
    int code;
    PCRE2_SIZE at;
    pcre2_code *re = pcre2_compile(
        (PCRE2_SPTR)p.p, p.n, PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOTALL, &code, &at, NULL);
    if (!re) {
        PCRE2_UCHAR why[160];
        pcre2_get_error_message(code, why, sizeof why);
        return err_set(e, "bad pattern \"%.100s\" at offset %zu: %s", pattern, (size_t)at,
                       (const char *)why);
    }
    /* without JIT (not on this CPU) matching is slower, not different */
    (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
    *m = (struct matcher){.kind = MATCH_REGEX, .regex = re};
    return 0;
}

void matcher_release(struct matcher *m)
{
    if (m->regex)
        pcre2_code_free(m->regex);
    *m = (struct matcher){0};
}

/* ---- matching -------------------------------------------------------------------------------- */

static bool test_regex(const struct matcher *m, struct slice s)
{
    struct scratch *sc = scratch_get();
    if (!sc->data || !sc->ctx)
        return false;
    int rc = pcre2_match(m->regex, (PCRE2_SPTR)(s.p ? s.p : ""), s.n, 0, 0, sc->data, sc->ctx);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        __atomic_fetch_add(&limits_hit, 1, __ATOMIC_RELAXED);
    return rc >= 0;
}

bool matcher_test(const struct matcher *m, struct slice s)
{
    switch ((enum match_kind)m->kind) {
    case MATCH_ANY:
        return true;
    case MATCH_EXACT:
        return slice_eq(s, slice_of(m->text, m->n));
    case MATCH_PREFIX:
        return slice_starts(s, slice_of(m->text, m->n));
    case MATCH_REGEX:
        return test_regex(m, s);
    }
    return false;
}
