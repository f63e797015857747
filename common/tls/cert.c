/* cert.c - the rules for a certificate's names: RFC 6125, SPIFFE, and what may be shown. */
#include "common/tls/cert.h"

#include <stdio.h>
#include <string.h>
#include "common/base/cidr.h"

static bool printable(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] < 0x21 || p[i] > 0x7e)
            return false;
    return n > 0;
}

static struct slice san_slice(const struct cert_san *s)
{
    return slice_of((const char *)s->p, s->n);
}

/* ---- identity ------------------------------------------------------------------------------ */

/* A name with a colon is a URI and counts only as such; a DNS name has none.  A CA that checks who
 * owns a DNS name has not looked at the URI that its text may be. */
static bool of_its_kind(const struct cert_san *s)
{
    bool uri = memchr(s->p, ':', s->n) != NULL;

    return s->type == (uri ? CERT_SAN_URI : CERT_SAN_DNS) && printable(s->p, s->n);
}

static bool is_spiffe(const struct cert_san *s)
{
    return of_its_kind(s) && slice_starts(san_slice(s), SLICE_LIT("spiffe://"));
}

struct want {
    const char *text;
    struct ip ip; /* family 0: text is a DNS name */
    bool found;
    unsigned spiffes;
};

static bool match_identity(const struct cert_san *s, void *arg)
{
    struct want *w = arg;

    w->spiffes += is_spiffe(s);
    if (of_its_kind(s) && slice_eq_str(san_slice(s), w->text))
        w->found = true;
    return true;
}

bool cert_has_identity(const void *cert, const char *identity)
{
    struct want w = {.text = identity};

    cert_each_san(cert, match_identity, &w);
    return w.found && w.spiffes <= 1;
}

/* ---- host ---------------------------------------------------------------------------------- */

static struct slice without_dot(struct slice s)
{
    if (s.n > 1 && s.p[s.n - 1] == '.')
        s.n--;
    return s;
}

/* "*.rest" covers one label more than rest, which itself needs two: "*.com" covers nothing */
static bool wildcard_matches(struct slice rest, struct slice host)
{
    const char *dot = memchr(host.p, '.', host.n);

    if (dot == NULL || dot == host.p || memchr(rest.p, '.', rest.n) == NULL)
        return false;
    return slice_ieq(rest, slice_of(dot + 1, host.n - (size_t)(dot + 1 - host.p)));
}

bool cert_dns_matches(struct slice pattern, struct slice host)
{
    pattern = without_dot(pattern);
    host = without_dot(host);
    if (host.n == 0 || pattern.n == 0)
        return false;
    if (pattern.n > 2 && pattern.p[0] == '*' && pattern.p[1] == '.') {
        struct slice rest = slice_of(pattern.p + 2, pattern.n - 2);
        return memchr(rest.p, '*', rest.n) == NULL && wildcard_matches(rest, host);
    }
    return memchr(pattern.p, '*', pattern.n) == NULL && slice_ieq(pattern, host);
}

static bool match_host(const struct cert_san *s, void *arg)
{
    struct want *w = arg;

    if (w->ip.family != 0) {
        size_t n = w->ip.family == 4 ? 4 : 16;
        w->found = s->type == CERT_SAN_IP && s->n == n && memcmp(s->p, w->ip.b, n) == 0;
    } else {
        w->found = s->type == CERT_SAN_DNS && printable(s->p, s->n) &&
                   cert_dns_matches(san_slice(s), slice_str(w->text));
    }
    return !w->found;
}

bool cert_has_host(const void *cert, const char *host)
{
    struct want w = {.text = host};

    if (ip_parse(host, &w.ip) != 0)
        w.ip.family = 0;
    cert_each_san(cert, match_host, &w);
    return w.found;
}

/* ---- words --------------------------------------------------------------------------------- */

/* appends as much as fits; keeps the NUL */
static void text_add(char *out, size_t size, const char *p, size_t n)
{
    size_t used = strlen(out);
    size_t room = size - 1 - used;

    if (n > room)
        n = room;
    memcpy(out + used, p, n);
    out[used + n] = '\0';
}

/* "\n" and the name, or nothing: a name cut short would be another one */
static void add_whole(char *out, size_t size, struct slice name)
{
    if (strlen(out) + name.n + 1 >= size)
        return;
    if (out[0] != '\0')
        text_add(out, size, "\n", 1);
    text_add(out, size, name.p, name.n);
}

struct peer_names {
    struct tls_peer *peer;
    unsigned spiffes;
};

static bool peer_san(const struct cert_san *s, void *arg)
{
    struct peer_names *names = arg;
    struct tls_peer *peer = names->peer;

    if (!of_its_kind(s))
        return true;
    if (is_spiffe(s) && names->spiffes++ == 0 && s->n < sizeof(peer->spiffe))
        text_add(peer->spiffe, sizeof(peer->spiffe), (const char *)s->p, s->n);
    if (s->type == CERT_SAN_DNS && peer->principal[0] == '\0' && s->n < sizeof(peer->principal))
        text_add(peer->principal, sizeof(peer->principal), (const char *)s->p, s->n);
    add_whole(peer->sans, sizeof(peer->sans), san_slice(s));
    return true;
}

void cert_peer(const void *cert, struct tls_peer *out)
{
    struct peer_names names = {.peer = out};

    out->spiffe[0] = out->principal[0] = out->sans[0] = '\0';
    cert_each_san(cert, peer_san, &names);
    /* SPIFFE X509-SVID 2: exactly one, else it is nobody's */
    if (names.spiffes > 1)
        out->spiffe[0] = out->sans[0] = '\0';
    if (out->principal[0] == '\0')
        cert_subject_cn(cert, out->principal, sizeof(out->principal));
    out->not_after = cert_not_after(cert);
}

struct text_out {
    char *p;
    size_t size;
};

static bool text_san(const struct cert_san *s, void *arg)
{
    static const char *const names[] = {
        [CERT_SAN_DNS] = "DNS:", [CERT_SAN_URI] = "URI:", [CERT_SAN_IP] = "IP:"};
    struct text_out *o = arg;
    struct ip ip = {.family = s->n == 4 ? 4 : 6};
    char text[IP_TEXT_MAX];
    struct slice v = san_slice(s);

    if (s->type == CERT_SAN_IP) {
        if (s->n != 4 && s->n != 16)
            return true;
        memcpy(ip.b, s->p, s->n);
        v = slice_str(ip_format(&ip, text));
    } else if (!printable(s->p, s->n)) {
        return true;
    }
    if (o->p[0] != '\0')
        text_add(o->p, o->size, ", ", 2);
    text_add(o->p, o->size, names[s->type], strlen(names[s->type]));
    text_add(o->p, o->size, v.p, v.n);
    return true;
}

void cert_sans_text(const void *cert, char *out, size_t size)
{
    struct text_out o = {out, size};

    out[0] = '\0';
    cert_each_san(cert, text_san, &o);
}
