/* A ClientHello is read in one walk over the bytes, stepping over record headers where they
 * fall, so nothing is collected or copied but the names that are asked for. */
#include "common/tls/hello.h"

#include <stdbool.h>
#include <stdint.h>

#define RECORD_HEAD      5
#define RECORD_MAX       16384u /* RFC 8446 5.1 */
#define RECORD_HANDSHAKE 22
#define HS_CLIENT_HELLO  1
#define EXT_SNI          0
#define EXT_ALPN         16

/* a walk over the handshake bytes inside the records */
struct walk {
    const uint8_t *p;
    size_t n;
    size_t record; /* bytes left in the current record */
    int end;       /* why there is no more: 0 the bytes given ended, -1 this is no handshake */
    bool ended;
};

static bool walk_end(struct walk *w, int why)
{
    w->ended = true;
    w->end = why;
    return false;
}

/* a record header as far as it is there */
static bool header_plausible(const uint8_t *p, size_t n)
{
    return p[0] == RECORD_HANDSHAKE && (n < 2 || p[1] == 3) && (n < 3 || p[2] <= 4);
}

static bool next_record(struct walk *w)
{
    size_t len;

    if (w->n > 0 && !header_plausible(w->p, w->n))
        return walk_end(w, -1);
    if (w->n < RECORD_HEAD)
        return walk_end(w, 0);
    len = (size_t)w->p[3] << 8 | w->p[4];
    if (len == 0 || len > RECORD_MAX)
        return walk_end(w, -1);
    w->p += RECORD_HEAD;
    w->n -= RECORD_HEAD;
    w->record = len;
    return true;
}

/* n bytes into out (NULL: stepped over) */
static bool take(struct walk *w, void *out, size_t n)
{
    uint8_t *to = out;

    if (w->ended)
        return false;
    while (n > 0) {
        size_t m = n;
        if (w->record == 0 && !next_record(w))
            return false;
        if (m > w->record)
            m = w->record;
        if (m > w->n)
            m = w->n;
        if (m == 0)
            return walk_end(w, 0);
        if (to != NULL) {
            memcpy(to, w->p, m);
            to += m;
        }
        w->p += m;
        w->n -= m;
        w->record -= m;
        n -= m;
    }
    return true;
}

/* A field bounded by the field around it: `left` is what the outer one still has. */
static bool take_in(struct walk *w, size_t *left, void *out, size_t n)
{
    if (n > *left)
        return walk_end(w, -1);
    *left -= n;
    return take(w, out, n);
}

static bool take_u8(struct walk *w, size_t *left, size_t *v)
{
    uint8_t b;

    if (!take_in(w, left, &b, 1))
        return false;
    *v = b;
    return true;
}

static bool take_u16(struct walk *w, size_t *left, size_t *v)
{
    uint8_t b[2];

    if (!take_in(w, left, b, 2))
        return false;
    *v = (size_t)b[0] << 8 | b[1];
    return true;
}

/* a vector's length, which must fit into what is around it; takes the vector out of *left */
static bool take_vector(struct walk *w, size_t *left, int length_bytes, size_t *n)
{
    if (!(length_bytes == 1 ? take_u8(w, left, n) : take_u16(w, left, n)))
        return false;
    if (*n > *left)
        return walk_end(w, -1);
    *left -= *n;
    return true;
}

static bool printable(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x21 || p[i] > 0x7e)
            return false;
    return true;
}

/* RFC 6066 3: the first host_name counts; one that is no printable text counts as none */
static bool take_sni(struct walk *w, size_t left, struct hello *out)
{
    size_t list, type, n;

    if (!take_vector(w, &left, 2, &list))
        return false;
    if (left != 0)
        return walk_end(w, -1);
    while (list > 0) {
        char name[sizeof(out->sni)];
        if (!take_u8(w, &list, &type) || !take_vector(w, &list, 2, &n))
            return false;
        if (type != 0 || n >= sizeof(name) || out->sni[0] != '\0') {
            if (!take(w, NULL, n))
                return false;
            continue;
        }
        if (!take(w, name, n))
            return false;
        if (!printable(name, n))
            continue;
        for (size_t i = 0; i < n; i++)
            out->sni[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
        out->sni[n] = '\0';
    }
    return true;
}

/* RFC 7301 3.1; names that are too long or no text are none of ours and left out */
static bool take_alpn(struct walk *w, size_t left, struct hello *out)
{
    size_t list, n;

    if (!take_vector(w, &left, 2, &list))
        return false;
    if (left != 0)
        return walk_end(w, -1);
    while (list > 0) {
        char *name = out->n_alpn < HELLO_ALPN_MAX ? out->alpn[out->n_alpn] : NULL;
        if (!take_vector(w, &list, 1, &n))
            return false;
        if (n == 0)
            return walk_end(w, -1);
        if (name != NULL && n >= sizeof(out->alpn[0]))
            name = NULL;
        if (!take(w, name, n))
            return false;
        if (name == NULL)
            continue;
        name[n] = '\0';
        if (printable(name, n))
            out->n_alpn++;
        else
            name[0] = '\0';
    }
    return true;
}

static bool take_extensions(struct walk *w, size_t left, struct hello *out)
{
    bool seen_sni = false, seen_alpn = false;
    size_t type, n;

    while (left > 0) {
        bool ok;
        if (!take_u16(w, &left, &type) || !take_vector(w, &left, 2, &n))
            return false;
        if ((type == EXT_SNI && seen_sni) || (type == EXT_ALPN && seen_alpn))
            return walk_end(w, -1); /* RFC 8446 4.2: no type twice */
        seen_sni |= type == EXT_SNI;
        seen_alpn |= type == EXT_ALPN;
        ok = type == EXT_SNI    ? take_sni(w, n, out)
             : type == EXT_ALPN ? take_alpn(w, n, out)
                                : take(w, NULL, n);
        if (!ok)
            return false;
    }
    return true;
}

/* the body, RFC 8446 4.1.2; an old client's may end before the extensions */
static bool take_body(struct walk *w, size_t left, struct hello *out)
{
    uint8_t head[2 + 32]; /* legacy_version, random */
    size_t n;

    if (!take_in(w, &left, head, sizeof(head)))
        return false;
    if (head[0] != 3)
        return walk_end(w, -1);
    if (!take_vector(w, &left, 1, &n))
        return false;
    if (n > 32)
        return walk_end(w, -1);
    if (!take(w, NULL, n)) /* session id */
        return false;
    if (!take_vector(w, &left, 2, &n))
        return false;
    if (n < 2 || n % 2 != 0)
        return walk_end(w, -1);
    if (!take(w, NULL, n)) /* cipher suites */
        return false;
    if (!take_vector(w, &left, 1, &n))
        return false;
    if (n == 0)
        return walk_end(w, -1);
    if (!take(w, NULL, n)) /* compression methods */
        return false;
    if (left == 0)
        return true;
    if (!take_vector(w, &left, 2, &n))
        return false;
    if (left != 0)
        return walk_end(w, -1);
    return take_extensions(w, n, out);
}

int hello_parse(const void *p, size_t n, struct hello *out)
{
    struct walk w = {.p = p, .n = n < HELLO_MAX ? n : HELLO_MAX};
    int unfinished = n < HELLO_MAX ? 0 : -1;
    uint8_t head[4];
    size_t len;

    memset(out, 0, sizeof(*out));
    if (!take(&w, head, 1) || (head[0] != HS_CLIENT_HELLO && !walk_end(&w, -1)) ||
        !take(&w, head + 1, 3))
        return w.end ? w.end : unfinished;
    len = (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (RECORD_HEAD + sizeof(head) + len > HELLO_MAX)
        return -1;
    if (take_body(&w, len, out))
        return 1;
    return w.end ? w.end : unfinished;
}
