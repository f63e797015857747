/* h1_body.c - HTTP/1 bodies: by length, in chunks (RFC 9112 7.1), until the connection ends.
 *
 * Chunk lines are read byte by byte by a small machine, so that they need no memory wherever the
 * input is split; payload is passed on as it lies in the input.  Only trailers are copied.
 */
#include "common/http/h1.h"

#include "common/http/chars.h"
#include "common/http/h1_int.h"

enum state {
    S_DONE, /* 0: h1_body_done */
    S_LENGTH,
    S_CLOSE,          /* also tunnels */
    S_SIZE,           /* digits of a chunk size */
    S_EXT_BWS,        /* white space before ';' */
    S_EXT_NAME_FIRST, /* behind ';' */
    S_EXT_NAME,
    S_EXT_NAME_BWS, /* white space before '=' or ';' */
    S_EXT_VALUE_FIRST,
    S_EXT_VALUE,
    S_EXT_QUOTED,
    S_EXT_QUOTED_PAIR,
    S_EXT_QUOTED_END,
    S_SIZE_LF,
    S_CHUNK,
    S_CHUNK_CR,
    S_CHUNK_LF,
    S_TRAILER_FIRST, /* behind the last chunk: CRLF or trailers */
    S_FINAL_LF,
    S_TRAILERS,
    S_BROKEN,
};

void h1_body_init(struct h1_body *b, const struct http_head *h, const struct h1_limits *limits)
{
    *b = (struct h1_body){.lim = limits ? limits : &h1_limits_default, .kind = h->body};
    switch (h->body) {
    case HTTP_BODY_NONE:
        b->state = S_DONE;
        break;
    case HTTP_BODY_LENGTH:
        b->left = h->content_length;
        b->state = b->left ? S_LENGTH : S_DONE;
        break;
    case HTTP_BODY_CHUNKED:
        b->state = S_SIZE;
        break;
    case HTTP_BODY_CLOSE:
    case HTTP_BODY_STREAM:
    case HTTP_BODY_TUNNEL:
        b->state = S_CLOSE;
        break;
    }
}

void h1_body_trailers(struct h1_body *b, struct h1_trailers *t)
{
    t->len = 0;
    t->n = 0;
    b->trailers = t;
}

/* ---- chunk lines ----------------------------------------------------------------------------- */

static int size_digit(struct h1_body *b, char c)
{
    if (++b->digits > 16 || b->left > (uint64_t)INT64_MAX >> 4)
        return FAULT_CHUNK_SIZE;
    b->left = b->left << 4 | ch_hex(c);
    return S_SIZE;
}

/* behind the size: what else a chunk line may begin with */
static int after_size(char c)
{
    if (c == '\r')
        return S_SIZE_LF;
    if (c == ';')
        return S_EXT_NAME_FIRST;
    if (c == '\n')
        return FAULT_LINE_END;
    return ch_is(c, CH_WS) ? S_EXT_BWS : FAULT_CHUNK_SIZE;
}

/* chunk-ext (RFC 9112 7.1.1) from state s over c: the next state or an error */
static int extension(enum state s, char c)
{
    bool token = ch_is(c, CH_TOKEN), space = ch_is(c, CH_WS);

    switch (s) {
    case S_EXT_NAME_FIRST:
        return token ? S_EXT_NAME : space ? S_EXT_NAME_FIRST : FAULT_CHUNK_EXT;
    case S_EXT_NAME:
        if (token)
            return S_EXT_NAME;
        if (c == '\r')
            return S_SIZE_LF;
        /* fall through */
    case S_EXT_NAME_BWS:
        if (c == '=')
            return S_EXT_VALUE_FIRST;
        return c == ';' ? S_EXT_NAME_FIRST : space ? S_EXT_NAME_BWS : FAULT_CHUNK_EXT;
    case S_EXT_VALUE_FIRST:
        if (c == '"')
            return S_EXT_QUOTED;
        return token ? S_EXT_VALUE : space ? S_EXT_VALUE_FIRST : FAULT_CHUNK_EXT;
    case S_EXT_VALUE:
        if (token)
            return S_EXT_VALUE;
        /* fall through */
    case S_EXT_QUOTED_END:
        if (c == '\r')
            return S_SIZE_LF;
        /* fall through */
    case S_EXT_BWS:
        return c == ';' ? S_EXT_NAME_FIRST : space ? S_EXT_BWS : FAULT_CHUNK_EXT;
    case S_EXT_QUOTED:
        if (c == '"')
            return S_EXT_QUOTED_END;
        if (c == '\\')
            return S_EXT_QUOTED_PAIR;
        /* fall through */
    case S_EXT_QUOTED_PAIR:
        return ch_is(c, CH_FIELD) ? S_EXT_QUOTED : FAULT_CHUNK_EXT;
    default:
        return FAULT_CHUNK_EXT;
    }
}

static int extension_byte(struct h1_body *b, char c)
{
    if (c == '\n')
        return FAULT_LINE_END;
    if (++b->ext > b->lim->ext_bytes || ++b->ext_total > b->lim->ext_total)
        return FAULT_CHUNK_EXT;
    return extension(b->state, c);
}

/* the LF of a chunk line: payload follows, or this was the last chunk */
static int line_done(struct h1_body *b)
{
    b->digits = 0;
    b->ext = 0;
    return b->left ? S_CHUNK : S_TRAILER_FIRST;
}

/* One byte outside payload and trailers: the next state or an error. */
static int framing_byte(struct h1_body *b, char c)
{
    switch (b->state) {
    case S_SIZE:
        if (ch_is(c, CH_HEX))
            return size_digit(b, c);
        return b->digits ? after_size(c) : FAULT_CHUNK_SIZE;
    case S_SIZE_LF:
        return c == '\n' ? line_done(b) : FAULT_LINE_END;
    case S_CHUNK_CR:
        return c == '\r' ? S_CHUNK_LF : FAULT_CHUNK_END;
    case S_CHUNK_LF:
        return c == '\n' ? S_SIZE : FAULT_CHUNK_END;
    case S_FINAL_LF:
        return c == '\n' ? S_DONE : FAULT_LINE_END;
    default:
        return extension_byte(b, c);
    }
}

/* ---- payload --------------------------------------------------------------------------------- */

/* up to b->left bytes from the input; then_state once they are all there */
static int payload(struct h1_body *b, struct slice *in, struct slice *data, enum state then_state)
{
    size_t n = in->n < b->left ? in->n : (size_t)b->left;

    *data = slice_of(in->p, n);
    in->p += n;
    in->n -= n;
    b->left -= n;
    if (b->left == 0)
        b->state = (uint8_t)then_state;
    return H1_BODY_DATA;
}

static int until_close(struct slice *in, struct slice *data)
{
    *data = *in;
    in->p += in->n;
    in->n = 0;
    return H1_BODY_DATA;
}

/* ---- trailers -------------------------------------------------------------------------------- */

/* the section as far as it is there may have this many bytes */
static size_t trailer_room(const struct h1_body *b)
{
    const struct h1_trailers *t = b->trailers;
    size_t size = t->size < b->lim->trailer_bytes ? t->size : b->lim->trailer_bytes;

    return size > t->len ? size - t->len : 0;
}

/* the line [b->line, t->len) of mem is complete: 1 a field, 2 the section's end, or an error */
static int trailer_line(struct h1_body *b)
{
    struct h1_trailers *t = b->trailers;
    const char *s = t->mem + b->line, *end = t->mem + t->len, *next;
    struct http_field f;
    int r;

    if (end - s == 2 && s[0] == '\r')
        return 2;
    if (t->n >= t->max || t->n >= b->lim->trailers)
        return FAULT_TRAILERS_LARGE;
    r = h1_field_line(s, end, &f, &next);
    if (r <= 0) /* a line that has its LF cannot be unfinished */
        return r < 0 ? r : FAULT_LINE_END;
    f.dropped = !http_trailer_allowed(&f);
    t->fields[t->n++] = f;
    b->line = t->len;
    return 1;
}

/* takes the input up to the end of the section: an event or an error */
static int trailers(struct h1_body *b, struct slice *in)
{
    struct h1_trailers *t = b->trailers;

    while (in->n) {
        const char *lf = memchr(in->p, '\n', in->n);
        size_t n = lf ? (size_t)(lf - in->p) + 1 : in->n;
        int r;

        if (n > trailer_room(b))
            return FAULT_TRAILERS_LARGE;
        memcpy(t->mem + t->len, in->p, n);
        t->len += (uint32_t)n;
        in->p += n;
        in->n -= n;
        if (!lf)
            break;
        r = trailer_line(b);
        if (r < 0)
            return r;
        if (r == 2) {
            b->state = S_DONE;
            return H1_BODY_END;
        }
    }
    return H1_BODY_MORE;
}

/* ---- the machine ----------------------------------------------------------------------------- */

static int broken(struct h1_body *b, int err)
{
    b->state = S_BROKEN;
    b->left = (uint64_t)-err;
    return err;
}

/* eats bytes of the framing until something is to be said: an event, an error, or -1000 to look
 * at the state again */
#define AGAIN (-1000)
static int framing(struct h1_body *b, struct slice *in)
{
    while (in->n) {
        int s;

        if (b->state == S_TRAILER_FIRST) {
            s = *in->p == '\r' ? S_FINAL_LF : S_TRAILERS;
            if (s == S_TRAILERS && !b->trailers)
                return H1_BODY_WANT_MEM;
        } else {
            s = framing_byte(b, *in->p);
        }
        if (s < 0)
            return s;
        b->state = (uint8_t)s;
        if (s == S_TRAILERS)
            return AGAIN;
        in->p++;
        in->n--;
        if (s == S_CHUNK || s == S_DONE)
            return AGAIN;
    }
    return H1_BODY_MORE;
}

int h1_body_next(struct h1_body *b, struct slice *in, struct slice *data)
{
    int r;

    for (;;) {
        if (b->state == S_DONE)
            return H1_BODY_END;
        if (b->state == S_BROKEN)
            return -(int)b->left;
        if (in->n == 0)
            return H1_BODY_MORE;
        switch (b->state) {
        case S_LENGTH:
            return payload(b, in, data, S_DONE);
        case S_CHUNK:
            return payload(b, in, data, S_CHUNK_CR);
        case S_CLOSE:
            return until_close(in, data);
        case S_TRAILERS:
            r = trailers(b, in);
            break;
        default:
            r = framing(b, in);
            break;
        }
        if (r != AGAIN)
            return r < 0 ? broken(b, r) : r;
    }
}

int h1_body_eof(struct h1_body *b)
{
    if (b->state == S_DONE)
        return H1_BODY_END;
    if (b->state != S_CLOSE)
        return broken(b, FAULT_TRUNCATED);
    b->state = S_DONE;
    return H1_BODY_END;
}
