/* log.c - structured logs.
 *
 * The key=value pairs at the end of a FORMAT become members of the JSON line.  They are found in
 * the format, which is ours, never in the finished text, which may hold what a peer sent: a
 * value "x status=200" stays one value.  To find the pairs again once formatted, a mark is put
 * before each of them; the mark holds random bytes, so that no value can imitate one.
 */
#include "common/base/log.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/log_out.h"
#include "common/base/slice.h"

#define LINE_MAX_BYTES 8192 /* the whole line, escapes included */
#define TEXT_MAX       2048 /* sentence and pairs before escaping */
#define FMT_MAX        1024
#define PAIRS_MAX      24
#define TRACED_MAX     64 /* subsystems ever named in one process */
#define TRACED_NAME    32
#define FOLD_MS        1000 /* a repeated line is told at most once in this time */
#define MARK_LEN       8

static const char *daemon_name = "fsm";
static bool as_json;
static atomic_int current_level = LOG_INFO;

/* ---- which subsystems are traced --------------------------------------------------------- */

/* Slots are only ever added; name is written before traced_n counts it. */
static struct {
    char name[TRACED_NAME];
    atomic_bool on;
} traced[TRACED_MAX];
static atomic_uint traced_n;  /* slots in use */
static atomic_uint traced_on; /* slots that are on */
static pthread_mutex_t traced_lock = PTHREAD_MUTEX_INITIALIZER;

static void trace_set(const char *subsystem, bool on)
{
    unsigned n, i;

    pthread_mutex_lock(&traced_lock);
    n = atomic_load(&traced_n);
    for (i = 0; i < n && strncmp(traced[i].name, subsystem, TRACED_NAME - 1) != 0; i++)
        ;
    if (i == n && on && n < TRACED_MAX) {
        snprintf(traced[n].name, TRACED_NAME, "%s", subsystem);
        atomic_store(&traced_n, ++n);
    }
    if (i < n && atomic_exchange(&traced[i].on, on) != on)
        atomic_fetch_add(&traced_on, on ? 1u : -1u);
    pthread_mutex_unlock(&traced_lock);
}

void log_trace_on(const char *subsystem)
{
    trace_set(subsystem, true);
}

void log_trace_off(const char *subsystem)
{
    trace_set(subsystem, false);
}

static bool is_traced(const char *subsystem)
{
    unsigned n = atomic_load(&traced_n);

    for (unsigned i = 0; i < n; i++)
        if (atomic_load_explicit(&traced[i].on, memory_order_relaxed) &&
            (strcmp(traced[i].name, "*") == 0 ||
             strncmp(traced[i].name, subsystem, TRACED_NAME - 1) == 0))
            return true;
    return false;
}

/* ---- levels ------------------------------------------------------------------------------ */

static const char *const level_names[] = {"error", "warn", "info", "debug", "trace"};

void log_set_level(enum log_level l)
{
    atomic_store_explicit(&current_level, (int)l, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

int log_parse_level(const char *s, enum log_level *out)
{
    static const struct {
        const char *name;
        enum log_level level;
    } names[] = {
        {"error", LOG_ERROR}, {"warn", LOG_WARN},   {"warning", LOG_WARN},   {"info", LOG_INFO},
        {"debug", LOG_DEBUG}, {"trace", LOG_TRACE}, {"critical", LOG_ERROR}, {"fatal", LOG_ERROR},
        {"panic", LOG_ERROR}, {"off", LOG_OFF},     {"disabled", LOG_OFF},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcasecmp(s, names[i].name) == 0) {
            *out = names[i].level;
            return 0;
        }
    return -1;
}

bool log_on(enum log_level l, const char *subsystem)
{
    if ((int)l <= atomic_load_explicit(&current_level, memory_order_relaxed))
        return true;
    return atomic_load_explicit(&traced_on, memory_order_relaxed) && is_traced(subsystem);
}

/* ---- from format to pairs ---------------------------------------------------------------- */

static char mark[MARK_LEN + 1];
static pthread_once_t mark_once = PTHREAD_ONCE_INIT;

static void mark_init(void)
{
    unsigned char raw[MARK_LEN];

    random_bytes(raw, sizeof(raw));
    for (int i = 0; i < MARK_LEN; i++) /* never NUL, '%' or anything else a format reads */
        mark[i] = (char)(0x80 | (raw[i] & 0x7f));
}

struct pair {
    struct slice key, value;
    bool number; /* the format says that the value is one */
};

struct line {
    enum log_level level;
    const char *subsystem;
    struct slice msg;
    unsigned n_pairs;
    struct pair pairs[PAIRS_MAX];
    char text[TEXT_MAX];
};

static bool key_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

/* length of the key if the word at s is "key=value", else 0 */
static size_t key_len(struct slice word)
{
    size_t n = 0;

    while (n < word.n && key_char(word.p[n]))
        n++;
    return n > 0 && n < word.n && word.p[n] == '=' ? n : 0;
}

/* "%d", "%u", "%lld", "%zu" ... and nothing else */
static bool is_integer_spec(struct slice s)
{
    size_t i = 1;

    if (s.n < 2 || s.p[0] != '%')
        return false;
    while (i < s.n && strchr("hlqjzt", s.p[i]))
        i++;
    return i + 1 == s.n && (s.p[i] == 'd' || s.p[i] == 'i' || s.p[i] == 'u');
}

/* The word of the format that ends at `end`; one that ends in a quote begins before key=" */
static const char *word_start(const char *fmt, const char *end)
{
    const char *at = end;

    if (end - fmt > 1 && end[-1] == '"')
        for (at = end - 1; at > fmt && !(at[0] == '"' && at[-1] == '='); at--)
            ;
    if (at == fmt) /* a quote that nothing opened */
        at = end;
    while (at > fmt && at[-1] != ' ')
        at--;
    return at;
}

/* Where the chain of pairs at the end of the format begins, and which of them are integers
 * (a bit each, the first pair lowest).  Returns the number of pairs. */
static unsigned find_pairs(const char *fmt, const char *at[PAIRS_MAX], uint32_t *numbers)
{
    const char *end = fmt + strlen(fmt), *word;
    unsigned n = 0;

    *numbers = 0;
    while (n < PAIRS_MAX && end > fmt) {
        word = word_start(fmt, end);
        struct slice w = slice_of(word, (size_t)(end - word));
        size_t key = key_len(w);
        if (key == 0)
            break;
        *numbers = *numbers << 1 | is_integer_spec(slice_of(w.p + key + 1, w.n - key - 1));
        at[n++] = word;
        end = word > fmt ? word - 1 : fmt;
    }
    return n; /* at[n - 1] is the first in the format */
}

/* the format with a mark before each pair; false if it does not fit */
static bool mark_pairs(const char *fmt, const char *const at[], unsigned n, char out[FMT_MAX])
{
    size_t len = strlen(fmt), used = 0;
    const char *from = fmt;

    if (len + n * MARK_LEN >= FMT_MAX)
        return false;
    for (unsigned i = n; i-- > 0;) {
        memcpy(out + used, from, (size_t)(at[i] - from));
        used += (size_t)(at[i] - from);
        memcpy(out + used, mark, MARK_LEN);
        used += MARK_LEN;
        from = at[i];
    }
    snprintf(out + used, FMT_MAX - used, "%s", from);
    return true;
}

/* "a b" in quotes as the format wrote them: the quotes go */
static struct slice unquote(struct slice s)
{
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        return slice_of(s.p + 1, s.n - 2);
    return s;
}

static struct slice trim_end(struct slice s)
{
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\n'))
        s.n--;
    return s;
}

/* cuts l->text at the marks */
static void split_pairs(struct line *l, uint32_t numbers)
{
    char *at = strstr(l->text, mark), *next;

    l->msg = trim_end(slice_of(l->text, at ? (size_t)(at - l->text) : strlen(l->text)));
    for (; at; at = next, numbers >>= 1) {
        struct slice word;
        size_t key;
        at += MARK_LEN;
        next = strstr(at, mark);
        word = trim_end(slice_of(at, next ? (size_t)(next - at) : strlen(at)));
        key = key_len(word);
        if (key == 0) /* cut off by the bound */
            return;
        l->pairs[l->n_pairs++] = (struct pair){
            slice_of(at, key), unquote(slice_of(at + key + 1, word.n - key - 1)), numbers & 1};
    }
}

static void line_format(struct line *l, const char *fmt, va_list ap)
{
    const char *at[PAIRS_MAX];
    char marked[FMT_MAX];
    uint32_t numbers;
    unsigned n;

    pthread_once(&mark_once, mark_init);
    n = find_pairs(fmt, at, &numbers);
    if (!mark_pairs(fmt, at, n, marked))
        snprintf(marked, sizeof(marked), "%s", "log: a format that is too long");
    if (vsnprintf(l->text, sizeof(l->text), marked, ap) < 0)
        l->text[0] = 0;
    l->n_pairs = 0;
    split_pairs(l, numbers);
}

/* ---- from pairs to bytes ----------------------------------------------------------------- */

struct out {
    size_t len;
    char p[LINE_MAX_BYTES];
};

/* all or nothing, and always room for the end of the line */
static void put(struct out *o, const char *p, size_t n)
{
    if (n <= sizeof(o->p) - 8 - o->len) {
        memcpy(o->p + o->len, p, n);
        o->len += n;
    }
}

static void put_str(struct out *o, const char *s)
{
    put(o, s, strlen(s));
}

/* A byte from outside must not end the line, nor move the cursor of whoever reads it. */
static void put_escaped(struct out *o, struct slice s, bool json)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        char esc[8];
        if (c == '"' || c == '\\')
            put(o, (char[]){'\\', (char)c}, 2);
        else if (c >= 0x20 && c <= 0x7e)
            put(o, &s.p[i], 1);
        else if (json && c < 0x20)
            put(o, esc, (size_t)snprintf(esc, sizeof(esc), "\\u%04x", c));
        else
            put(o, esc, (size_t)snprintf(esc, sizeof(esc), json ? "\\\\x%02x" : "\\x%02x", c));
    }
}

static void put_member(struct out *o, struct slice key, struct slice value)
{
    put_str(o, ",\"");
    put(o, key.p, key.n);
    put_str(o, "\":\"");
    put_escaped(o, value, true);
    put_str(o, "\"");
}

/* a key that the line has already must not come twice */
static bool key_taken(const struct line *l, unsigned i)
{
    static const char *const own[] = {"time", "level", "daemon", "subsystem", "msg", "repeated"};

    for (size_t k = 0; k < sizeof(own) / sizeof(own[0]); k++)
        if (slice_eq_str(l->pairs[i].key, own[k]))
            return true;
    for (unsigned k = 0; k < i; k++)
        if (slice_eq(l->pairs[i].key, l->pairs[k].key))
            return true;
    return false;
}

static void put_json(struct out *o, const struct line *l, const char *now, unsigned repeated)
{
    char n[32];

    put_str(o, "{\"time\":\"");
    put_str(o, now);
    put_str(o, "\"");
    put_member(o, slice_str("level"), slice_str(level_names[l->level]));
    put_member(o, slice_str("daemon"), slice_str(daemon_name));
    put_member(o, slice_str("subsystem"), slice_str(l->subsystem));
    put_member(o, slice_str("msg"), l->msg);
    for (unsigned i = 0; i < l->n_pairs; i++) {
        const struct pair *p = &l->pairs[i];
        size_t before = o->len;
        put_str(o, ",\"");
        put(o, p->key.p, p->key.n);
        put_str(o, key_taken(l, i) ? "_\":" : "\":");
        put_str(o, p->number ? "" : "\"");
        put_escaped(o, p->value, true);
        put_str(o, p->number ? "" : "\"");
        if (o->len > sizeof(o->p) - 64) { /* no room: whole members go, the line stays JSON */
            o->len = before;
            break;
        }
    }
    if (repeated)
        put(o, n, (size_t)snprintf(n, sizeof(n), ",\"repeated\":%u", repeated));
    put_str(o, "}");
}

static bool needs_quotes(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= 0x20 || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == '\\')
            return true;
    return s.n == 0;
}

static void put_text(struct out *o, const struct line *l, const char *now, unsigned repeated)
{
    char n[64];

    put(o, n, (size_t)snprintf(n, sizeof(n), "%s %-5s ", now, level_names[l->level]));
    put_str(o, l->subsystem);
    put_str(o, ": ");
    put_escaped(o, l->msg, false);
    for (unsigned i = 0; i < l->n_pairs; i++) {
        bool quotes = needs_quotes(l->pairs[i].value);
        put_str(o, " ");
        put(o, l->pairs[i].key.p, l->pairs[i].key.n);
        put_str(o, quotes ? "=\"" : "=");
        put_escaped(o, l->pairs[i].value, false);
        put_str(o, quotes ? "\"" : "");
    }
    if (repeated)
        put(o, n, (size_t)snprintf(n, sizeof(n), " repeated=%u", repeated));
}

static bool line_emit(const struct line *l, unsigned repeated)
{
    char now[32];
    struct out o;

    o.len = 0;
    clock_rfc3339(clock_wall_ms(), now);
    if (as_json)
        put_json(&o, l, now, repeated);
    else
        put_text(&o, l, now, repeated);
    o.p[o.len++] = '\n';
    return log_out_write(o.p, o.len);
}

static void __attribute__((format(printf, 2, 3))) line_make(struct line *l, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    line_format(l, fmt, ap);
    va_end(ap);
}

/* lines that nobody could take: how many, as soon as one can be written again */
static void tell_lost(void)
{
    unsigned long n = log_out_take_lost();
    struct line l = {.level = LOG_WARN, .subsystem = "log"};

    if (n == 0)
        return;
    line_make(&l, "lines left out, standard error is read too slowly lines=%lu", n);
    if (!line_emit(&l, 0)) {
        log_out_take_lost(); /* it counted itself */
        log_out_give_lost(n);
    }
}

static void line_write(const struct line *l, unsigned repeated)
{
    tell_lost();
    line_emit(l, repeated);
}

/* ---- folding repeated lines -------------------------------------------------------------- */

/* the thread's last line, and what it still has to say of it */
static _Thread_local struct {
    bool valid;
    struct line line;
    unsigned held; /* times it came again and was not written */
    uint64_t told_ms;
} last;

static bool same_as_last(const struct line *l)
{
    if (!last.valid || last.line.level != l->level || last.line.n_pairs != l->n_pairs ||
        strcmp(last.line.subsystem, l->subsystem) != 0 || !slice_eq(last.line.msg, l->msg))
        return false;
    for (unsigned i = 0; i < l->n_pairs; i++)
        if (!slice_eq(last.line.pairs[i].key, l->pairs[i].key) ||
            !slice_eq(last.line.pairs[i].value, l->pairs[i].value))
            return false;
    return true;
}

void log_flush(void)
{
    int saved = errno;

    if (last.held > 0) {
        line_write(&last.line, last.held);
        last.held = 0;
        last.told_ms = clock_mono_ms();
    }
    errno = saved;
}

/* slices point into the line's own text: they move with it */
static void line_copy(struct line *to, const struct line *from)
{
    ptrdiff_t move = to->text - from->text;

    *to = *from;
    to->msg.p += move;
    for (unsigned i = 0; i < to->n_pairs; i++) {
        to->pairs[i].key.p += move;
        to->pairs[i].value.p += move;
    }
}

void log_at(enum log_level l, const char *subsystem, const char *fmt, ...)
{
    int saved = errno;
    uint64_t now;
    struct line line;
    va_list ap;

    if (!log_on(l, subsystem))
        return;
    line.level = l;
    line.subsystem = subsystem;
    va_start(ap, fmt);
    line_format(&line, fmt, ap);
    va_end(ap);
    now = clock_mono_ms();
    if (same_as_last(&line)) {
        last.held++;
        if (now - last.told_ms >= FOLD_MS)
            log_flush();
    } else {
        log_flush();
        line_write(&line, 0);
        line_copy(&last.line, &line);
        last.valid = true;
        last.told_ms = now;
    }
    errno = saved;
}

void log_init(const char *daemon, bool json)
{
    static bool registered;

    daemon_name = daemon;
    as_json = json;
    if (!registered)
        atexit(log_flush);
    registered = true;
}
