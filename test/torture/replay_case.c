/* replay_case.c - the scenarios of test/replay, with calls of the engine failing.
 *
 * The scenario is played until something does not come as it says; then a day passes.  By then
 * every connection must have ended, and what each peer had got must be what it got in the run
 * without a failure, as far as it goes, or a local answer of ours that says why: never anything
 * else, never somebody else's.  Nothing may be left, and a good request must be served as ever.
 */
#include <glob.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/proxy/reason.h"
#include "test/replay/world.h"
#include "test/torture/torture.h"

#define PATIENCE_FAULT_MS                                                                          \
    20 /* for what must come and may not: peers and engine are in one process */
#define PATIENCE_TRUE_MS 20000 /* for what has to come: nothing failed, or all is well again */

/* ---- what each peer got without a failure ---------------------------------------------------- */

struct record {
    char name[32];
    bool client, h2;
    bool cut; /* by a reset, the scenario or a timer: with other timing it might have been more */
    size_t n; /* bytes that follow; 0 in name[0]: the last */
};

static struct record *record_next(struct record *r)
{
    return (struct record *)((char *)(r + 1) + ((r->n + 7) & ~(size_t)7));
}

static struct slice record_text(const struct record *r)
{
    return slice_of((const char *)(r + 1), r->n);
}

static int record_all(const struct world *w)
{
    struct record *r = torture_notes();
    for (const struct peer *p = w->peers; p; p = p->next) {
        if ((char *)(r + 2) + p->all.len + 8 > (char *)torture_notes() + TORTURE_NOTES)
            return err_set(w->e, "there is more than the notes hold");
        *r = (struct record){.client = p->client, .h2 = p->h2.on, .n = p->all.len};
        r->cut = p->reset || p->closed || p->all.len > 65536;
        snprintf(r->name, sizeof r->name, "%s", p->name);
        memcpy(r + 1, p->all.p ? p->all.p : "", p->all.len);
        r = record_next(r);
    }
    r->name[0] = '\0';
    return 0;
}

#define EACH_RECORD(r) for (struct record *r = torture_notes(); r->name[0]; r = record_next(r))

/* ---- HTTP/1 and tunnels: segments that begin with a head ------------------------------------- */

/* where the request head begins that has its version at `at` */
static size_t request_begins(struct slice t, size_t at)
{
    size_t i = at;
    if (i == 0 || t.p[i - 1] != ' ')
        return at;
    for (i--; i > 0 && t.p[i - 1] > ' ';)
        i--;
    if (i == 0 || t.p[i - 1] != ' ')
        return at;
    for (i--; i > 0 && t.p[i - 1] >= 'A' && t.p[i - 1] <= 'Z';)
        i--;
    return i;
}

/* cuts the first segment off */
static struct slice segment(struct slice *rest, bool client)
{
    struct slice t = *rest;
    const char *found = t.p;
    while (t.n > 1 && (found = memmem(found + 1, t.n - 1 - (size_t)(found - t.p),
                                      client ? "HTTP/1.1 " : "HTTP/1.1\r", 9))) {
        size_t i = (size_t)(found - t.p), at = i;
        if (!client && (at = request_begins(t, i)) == 0)
            continue; /* its own */
        *rest = slice_of(t.p + at, t.n - at);
        return slice_of(t.p, at);
    }
    *rest = slice_of(NULL, 0);
    return t;
}

static bool begins_with(struct slice whole, struct slice part)
{
    return part.n <= whole.n && (part.n == 0 || memcmp(whole.p, part.p, part.n) == 0);
}

/* an answer of ours with an error, or its beginning */
static bool is_local_body(struct slice body)
{
    for (unsigned r = 0; r < REASON_COUNT; r++) {
        struct slice want = slice_str(reason_body((enum reason)r));
        if (want.n && begins_with(body, want) && body.n <= want.n + 1)
            return true;
    }
    return false;
}

static bool is_local_answer(struct slice s)
{
    const char *end = memmem(s.p, s.n, "\r\n\r\n", 4);
    size_t head = end ? (size_t)(end + 4 - s.p) : 0;
    if (s.n < 12 || memcmp(s.p, "HTTP/1.1 ", 9) != 0 || (s.p[9] != '4' && s.p[9] != '5') || !end)
        return false;
    /* to HEAD it has no body */
    return s.n == head || is_local_body(slice_of(s.p + head, s.n - head));
}

static const struct record *record_of(const struct peer *p)
{
    EACH_RECORD(r)
    if (r->client && strcmp(r->name, p->name) == 0)
        return r;
    return NULL;
}

/* what this client got, against what it got without the failure */
static int judge_client(const struct peer *p, struct err *e)
{
    const struct record *r = record_of(p);
    struct slice got = buf_slice(&p->all), want = r ? record_text(r) : slice_of(NULL, 0);
    while (got.n) {
        struct slice have = segment(&got, true), should = segment(&want, true);
        if (slice_eq(have, should) || is_local_answer(have))
            continue;
        if (!got.n && begins_with(should, have))
            return 0; /* cut short, and ended: told */
        if (r && r->cut && !want.n && begins_with(have, should))
            return 0; /* it was cut short without the failure */
        return err_set(e, "%s got %zu bytes that it should not: \"%.*s\"", p->name, have.n,
                       (int)(have.n < 300 ? have.n : 300), have.p);
    }
    return 0;
}

/* one of the requests of the scenario, or of its tunnels the beginning */
static bool was_sent(struct slice have, bool whole)
{
    EACH_RECORD(r)
    {
        struct slice rest = record_text(r);
        if (r->client)
            continue;
        while (rest.n) {
            struct slice s = segment(&rest, false);
            if (whole ? slice_eq(s, have)
                      : begins_with(s, have) || (r->cut && !rest.n && begins_with(have, s)))
                return true;
        }
    }
    return false;
}

static int judge_server(const struct peer *p, struct err *e)
{
    struct slice got = buf_slice(&p->all);
    while (got.n) {
        struct slice have = segment(&got, false);
        if (!was_sent(have, got.n > 0))
            return err_set(e, "%s got %zu bytes that nobody sent it: \"%.*s\"", p->name, have.n,
                           (int)(have.n < 300 ? have.n : 300), have.p);
    }
    return 0;
}

/* ---- HTTP/2: lines, see peer.h --------------------------------------------------------------- */

/* behind the word, the number of the stream, and whether it ends with it or a little later */
static struct slice about(struct slice line)
{
    slice_cut(&line, ' ');
    slice_cut(&line, ' ');
    if (begins_with(line, SLICE_LIT("end ")))
        slice_cut(&line, ' ');
    return line;
}

static bool is_known_line(struct slice line, const struct peer *p)
{
    EACH_RECORD(r)
    {
        struct slice rest = record_text(r), one;
        if (r->client != p->client || (p->client && strcmp(r->name, p->name) != 0))
            continue;
        while (rest.n) {
            one = slice_cut(&rest, '\n');
            if (slice_eq(one, line) || (!p->client && slice_eq(about(one), about(line))))
                return true;
        }
    }
    return false;
}

/* the bytes that the line shows were in some line of that kind: they come in other pieces */
static bool is_known_data(struct slice line, const struct peer *p)
{
    const char *text = memmem(line.p, line.n, "n=", 2);
    if (text)
        text = memchr(text, ' ', (size_t)(line.p + line.n - text));
    if (!text || text + 1 == line.p + line.n)
        return true; /* nothing to see */
    text++;
    size_t n = (size_t)(line.p + line.n - text);
    EACH_RECORD(r)
    {
        struct slice all = record_text(r);
        if (r->client == p->client && memmem(all.p, all.n, text, n < 16 ? n : 16))
            return true;
    }
    return is_local_body(slice_of(text, n));
}

static bool is_local_head(struct slice line)
{
    const char *status = memmem(line.p, line.n, ":status=", 8);
    return status && (status[8] == '4' || status[8] == '5');
}

static int judge_h2(const struct peer *p, struct err *e)
{
    static const char *const always[] = {"SETTINGS", "PING", "RST_STREAM ", "GOAWAY ", "WINDOW "};
    struct slice rest = buf_slice(&p->all);
    while (rest.n) {
        struct slice line = slice_cut(&rest, '\n');
        bool fine = is_known_line(line, p) || (p->client && is_local_head(line));
        for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
            fine |= begins_with(line, slice_str(always[i]));
        if (begins_with(line, SLICE_LIT("DATA ")))
            fine |= is_known_data(line, p);
        if (!fine)
            return err_set(e, "%s got a frame that it should not: %.*s", p->name, (int)line.n,
                           line.p);
    }
    return 0;
}

/* A peer that the scenario makes speak HTTP/2 byte by byte: no request gets as far as that, and any
 * other frame may come earlier than without the failure. */
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static bool is_raw_h2(const struct peer *p)
{
    struct slice all = buf_slice(&p->all);
    if (p->client)
        return all.n > 3 && all.p[3] == NGHTTP2_SETTINGS;
    return all.n && begins_with(SLICE_LIT(PREFACE), slice_of(all.p, all.n < 24 ? all.n : 24));
}

static int judge_raw_h2(const struct peer *p, struct err *e)
{
    size_t at = p->client ? 0 : sizeof PREFACE - 1;
    while (at + 9 <= p->all.len) {
        const unsigned char *head = (const unsigned char *)p->all.p + at;
        if (head[3] <= NGHTTP2_PRIORITY || head[3] == NGHTTP2_PUSH_PROMISE ||
            head[3] > NGHTTP2_WINDOW_UPDATE)
            return err_set(e, "%s got a frame that it should not: type %u", p->name, head[3]);
        at += 9 + ((size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]);
    }
    return 0;
}

/* ---- the end of a scenario ------------------------------------------------------------------- */

static int judge(const struct peer *p, struct err *e)
{
    if (!p->closed && !p->eof && !p->reset)
        return err_set(e, "%s is left open, a day later", p->name);
    if (p->h2.on)
        return judge_h2(p, e);
    if (is_raw_h2(p))
        return judge_raw_h2(p, e);
    return p->client ? judge_client(p, e) : judge_server(p, e);
}

static bool came_true, looking;

static int look(struct world *w, struct err *e)
{
    torture_off();
    came_true = !w->stopped;
    looking = true; /* whether it still works is no part of what fails */
    if (torture_is_reference() && (w->stopped || record_all(w) < 0))
        return -1;
    for (const struct peer *p = w->peers; p; p = p->next)
        if (judge(p, e) < 0)
            return -1;
    return 0;
}

/* the same engine does what it should */
static int after(struct world *w, struct err *e)
{
    static const char script[] =
        "spec Limits.MemoryMiB 100000; server torture-s up; service torture 9999 http torture-s; "
        "apply; time +10s\n"
        "client torture-c connects 9999\n"
        "torture-c sends \"GET /good HTTP/1.1\\r\\nHost: torture\\r\\n\\r\\n\"\n"
        "torture-s accepts torture-u; torture-u asked GET /good; torture-u answers 200 \"good\"\n"
        "torture-c answered 200 \"good\"\n";
    if (engine_draining(w->engine))
        return 0;
    w->limited = false;
    return world_play(w, script) < 0 ? err_prefix(e, "afterwards") : 0;
}

/* beginning, documents and end are the same in all scenarios: they fail in those about documents */
static bool with_control;

static struct replay_watch watch;

static void phase(enum replay_phase now)
{
    bool counts = now == REPLAY_TRAFFIC || (now == REPLAY_CONTROL && with_control);
    torture_traffic(now == REPLAY_TRAFFIC);
    watch.patience_ms = torture_failed() && !looking ? PATIENCE_FAULT_MS : PATIENCE_TRUE_MS;
    if (counts && !looking)
        torture_on();
    else
        torture_off();
}

static struct replay_watch watch = {.phase = phase, .look = look, .after = after};

static enum torture_end play_scenario(const char *file)
{
    struct err e = {""};
    log_set_level(LOG_OFF);
    with_control = strstr(file, "/document-") != NULL;
    if (replay_run(file, &watch, &e) < 0)
        return torture_wrong("%s", e.text);
    return came_true ? TORTURE_RIGHT : TORTURE_TOLD;
}

unsigned replay_cases(struct torture_case *v, unsigned max)
{
    static glob_t files; /* the names live as long as the cases do */
    unsigned n = 0;
    if (glob("test/replay/*.replay", 0, NULL, &files) != 0)
        return 0;
    for (size_t i = 0; i < files.gl_pathc && n < max; i++) {
        const char *name = strrchr(files.gl_pathv[i], '/') + 1;
        if (strstr(name, "-never.")) /* a limit is off: a connection may stay for ever */
            continue;
        if (strstr(name,
                   "-sweep.")) /* the same once for each size: other scenarios fail its calls */
            continue;
        v[n] = (struct torture_case){.run = play_scenario, .arg = files.gl_pathv[i]};
        snprintf(v[n].name, sizeof v[n].name, "replay/%.*s", (int)strcspn(name, "."), name);
        n++;
    }
    return n;
}
