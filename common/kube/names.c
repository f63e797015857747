/* names.c - see names.h; the rules are those of the Kubernetes API conventions. */
#include "common/kube/names.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "common/base/cidr.h"
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/kube/quantity.h"

#define LABEL_MAX       63
#define INTERFACE_MAX   15
#define INTERFACE_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@:+"
#define SUBDOMAIN_MAX   253
#define NAME_CMP_MAX    40 /* characters of a name that kube_name_distance looks at */

static bool lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool ascii_alnum(char c)
{
    return lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* n characters, alphanumeric at both ends (by edge), those or any of `inner` between */
static bool framed(const char *s, size_t n, bool (*edge)(char), const char *inner)
{
    if (n == 0 || !edge(s[0]) || !edge(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!edge(s[i]) && !strchr(inner, s[i]))
            return false;
    }
    return true;
}

const char *kube_is_dns_label(const char *s)
{
    size_t n = strlen(s);
    return n <= LABEL_MAX && framed(s, n, lower_alnum, "-")
               ? NULL
               : "a DNS label: a-z, 0-9 and \"-\", alphanumeric at both ends, at most 63 "
                 "characters";
}

const char *kube_is_dns1035_label(const char *s)
{
    size_t n = strlen(s);
    return n <= LABEL_MAX && framed(s, n, lower_alnum, "-") && !isdigit((unsigned char)s[0])
               ? NULL
               : "a DNS label that begins with a letter: a-z, 0-9 and \"-\", at most 63 characters";
}

static bool is_subdomain(const char *s)
{
    if (strlen(s) > SUBDOMAIN_MAX)
        return false;
    for (;;) {
        size_t n = strcspn(s, ".");
        if (!framed(s, n, lower_alnum, "-"))
            return false;
        if (!s[n])
            return true;
        s += n + 1;
    }
}

const char *kube_is_dns_subdomain(const char *s)
{
    return is_subdomain(s) ? NULL
                           : "a DNS name: a-z, 0-9, \"-\" and \".\", alphanumeric at both ends of "
                             "every part, at most 253 characters";
}

const char *kube_is_path_segment(const char *s)
{
    bool fine = *s && strcmp(s, ".") != 0 && strcmp(s, "..") != 0 && !strpbrk(s, "/%");
    return fine ? NULL : "a name without \"/\" and \"%\" that is not \".\" or \"..\"";
}

const char *kube_is_host(const char *s)
{
    const char *name = strncmp(s, "*.", 2) == 0 ? s + 2 : s;
    return strcmp(s, "*") == 0 || is_subdomain(name) ? NULL
                                                     : "a host name, \"*.\" allowed in front";
}

const char *kube_is_fqdn(const char *s)
{
    return is_subdomain(s) && strchr(s, '.')
               ? NULL
               : "a full host name such as web.default.svc.cluster.local";
}

const char *kube_is_port_name(const char *s)
{
    size_t n = strlen(s);
    bool letter = false;
    for (size_t i = 0; i < n; i++)
        letter = letter || (s[i] >= 'a' && s[i] <= 'z');
    return n <= 15 && letter && framed(s, n, lower_alnum, "-") && !strstr(s, "--")
               ? NULL
               : "a port name: a-z, 0-9 and single \"-\" inside, at least one letter, at most 15 "
                 "characters";
}

static bool is_qualified(const char *s)
{
    const char *slash = strchr(s, '/');
    if (slash) {
        char prefix[SUBDOMAIN_MAX + 1];
        size_t n = (size_t)(slash - s);
        if (n > SUBDOMAIN_MAX)
            return false;
        memcpy(prefix, s, n);
        prefix[n] = '\0';
        if (!is_subdomain(prefix))
            return false;
        s = slash + 1;
    }
    size_t n = strlen(s);
    return n <= LABEL_MAX && framed(s, n, ascii_alnum, "-_.");
}

const char *kube_is_label_key(const char *s)
{
    return is_qualified(s) ? NULL
                           : "a key [prefix/]name: prefix a DNS name, name of A-Z, a-z, 0-9, "
                             "\"-\", \"_\" and \".\", at most 63 characters";
}

const char *kube_is_annotation_key(const char *s)
{
    char lower[SUBDOMAIN_MAX + LABEL_MAX + 2];
    size_t n = strlen(s);
    if (n >= sizeof lower)
        return kube_is_label_key(s);
    for (size_t i = 0; i <= n; i++)
        lower[i] = (char)tolower((unsigned char)s[i]);
    return kube_is_label_key(lower);
}

const char *kube_is_label_value(const char *s)
{
    size_t n = strlen(s);
    return n == 0 || (n <= LABEL_MAX && framed(s, n, ascii_alnum, "-_."))
               ? NULL
               : "a label value: A-Z, a-z, 0-9, \"-\", \"_\" and \".\", alphanumeric at both ends, "
                 "at most 63 characters, or empty";
}

const char *kube_is_config_key(const char *s)
{
    size_t n = strlen(s);
    bool fine = n > 0 && n <= SUBDOMAIN_MAX && strcmp(s, ".") != 0 && strncmp(s, "..", 2) != 0;
    for (size_t i = 0; fine && i < n; i++)
        fine = ascii_alnum(s[i]) || strchr("-_.", s[i]);
    return fine ? NULL
                : "a file name: A-Z, a-z, 0-9, \"-\", \"_\" and \".\", not beginning with \"..\"";
}

const char *kube_is_env_name(const char *s)
{
    bool fine = *s != '\0';
    for (; fine && *s; s++)
        fine = *s >= ' ' && *s <= '~' && *s != '=';
    return fine ? NULL : "a variable name: printable ASCII without \"=\"";
}

const char *kube_is_http_token(const char *s)
{
    bool fine = *s != '\0';
    for (; fine && *s; s++)
        fine = ascii_alnum(*s) || strchr("!#$%&'*+-.^_`|~", *s);
    return fine ? NULL : "an HTTP header name";
}

const char *kube_is_absolute_path(const char *s)
{
    return *s == '/' ? NULL : "an absolute path, beginning with \"/\"";
}

const char *kube_is_ip(const char *s)
{
    struct ip ip;
    return ip_parse(s, &ip) == 0 ? NULL : "an IPv4 or IPv6 address";
}

const char *kube_is_ipv4(const char *s)
{
    struct ip ip;
    return ip_parse(s, &ip) == 0 && ip.family == 4 ? NULL : "an IPv4 address";
}

const char *kube_is_ip_or_cidr(const char *s)
{
    struct cidr c;
    return cidr_parse(s, &c, NULL) == 0 ? NULL : "an address range a.b.c.d/n or an address";
}

const char *kube_is_cidr(const char *s)
{
    return strchr(s, '/') && !kube_is_ip_or_cidr(s) ? NULL : "an address range such as 10.0.0.0/8";
}

const char *kube_is_duration(const char *s)
{
    int64_t ms;
    return clock_parse_duration(s, &ms) == 0 ? NULL : "a duration such as 90s, 250ms or 1h30m";
}

const char *kube_is_validity(const char *s)
{
    int64_t ms;

    return clock_parse_duration(s, &ms) == 0 && ms >= 1000
               ? NULL
               : "a duration of at least 1s, such as 24h or 90m";
}

/* as the kernel takes them, and such that a list of them can be told apart */
const char *kube_is_interface(const char *s)
{
    size_t n = strlen(s);

    return n > 0 && n <= INTERFACE_MAX && s[0] != '-' && strspn(s, INTERFACE_CHARS) == n
               ? NULL
               : "the name of a network interface";
}

const char *kube_is_quantity(const char *s)
{
    int64_t milli;
    return kube_quantity_milli(s, &milli) == 0 ? NULL : "a quantity such as 500m, 2 or 64Mi";
}

const char *kube_is_percent(const char *s)
{
    size_t n = strspn(s, "0123456789");
    return n > 0 && n < 10 && strcmp(s + n, "%") == 0 ? NULL : "a percentage such as \"25%\"";
}

const char *kube_is_base64(const char *s)
{
    struct buf packed = BUF_INIT, out = BUF_INIT;
    for (; *s; s++) {
        if (*s != '\n' && *s != '\r')
            buf_putc(&packed, *s);
    }
    int rc = base64_decode(buf_slice(&packed), &out);
    buf_free(&packed);
    buf_free(&out);
    return rc == 0 ? NULL : "base64 (put plain text under stringData)";
}

const char *kube_is_rfc3339(const char *s)
{
    int64_t ms;
    return clock_parse_rfc3339(s, &ms) == 0 ? NULL : "a time such as 2026-01-02T03:04:05Z";
}

const char *kube_is_schedule(const char *s)
{
    static const char *const names[] = {"@yearly", "@annually", "@monthly", "@weekly",
                                        "@daily",  "@midnight", "@hourly",  NULL};
    for (unsigned i = 0; names[i]; i++) {
        if (strcmp(s, names[i]) == 0)
            return NULL;
    }
    if (strncmp(s, "@every ", 7) == 0 && !kube_is_duration(s + 7))
        return NULL;
    unsigned fields = 0;
    while (*s) {
        s += strspn(s, " \t");
        size_t n =
            strspn(s, "0123456789*/,-?LW#ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
        if (n == 0)
            break;
        fields++;
        s += n;
    }
    return fields == 5 && !*s ? NULL : "five cron fields (\"*/5 * * * *\") or @hourly, @daily ...";
}

const char *kube_is_regex(const char *s)
{
    int code;
    PCRE2_SIZE at;
    pcre2_code *re =
        pcre2_compile((PCRE2_SPTR)s, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &at, NULL);
    pcre2_code_free(re);
    return re ? NULL : "a regular expression";
}

const char *kube_is_ratio(const char *s)
{
    char *end;
    double v = strtod(s, &end);
    return *s >= '0' && *s <= '9' && !*end && v >= 0 && v <= 1 ? NULL : "a number 0.0..1.0 as text";
}

/* ---- "did you mean" ------------------------------------------------------------------------- */

/* Optimal string alignment distance in half steps: another case of a letter costs half an edit.
 * Names are cut at NAME_CMP_MAX; what hangs over counts as missing. */
static unsigned half_steps(const char *a, size_t na, const char *b, size_t nb)
{
    unsigned d[NAME_CMP_MAX + 1][NAME_CMP_MAX + 1];
    for (size_t i = 0; i <= na; i++)
        d[i][0] = 2 * (unsigned)i;
    for (size_t j = 0; j <= nb; j++)
        d[0][j] = 2 * (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        for (size_t j = 1; j <= nb; j++) {
            char x = a[i - 1], y = b[j - 1];
            bool same_letter = tolower((unsigned char)x) == tolower((unsigned char)y);
            unsigned best = d[i - 1][j - 1] + (x == y ? 0 : same_letter ? 1 : 2);
            if (d[i - 1][j] + 2 < best)
                best = d[i - 1][j] + 2;
            if (d[i][j - 1] + 2 < best)
                best = d[i][j - 1] + 2;
            if (i > 1 && j > 1 && x == b[j - 2] && a[i - 2] == y && d[i - 2][j - 2] + 2 < best)
                best = d[i - 2][j - 2] + 2;
            d[i][j] = best;
        }
    }
    return d[na][nb];
}

unsigned kube_name_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    unsigned over = 0;
    if (na > NAME_CMP_MAX) {
        over += 2 * (unsigned)(na - NAME_CMP_MAX);
        na = NAME_CMP_MAX;
    }
    if (nb > NAME_CMP_MAX) {
        over += 2 * (unsigned)(nb - NAME_CMP_MAX);
        nb = NAME_CMP_MAX;
    }
    return half_steps(a, na, b, nb) + over;
}

unsigned kube_name_distance_limit(const char *a)
{
    size_t n = strlen(a);
    return n <= 3 ? 2 : n <= 6 ? 4 : 6;
}
