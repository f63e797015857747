/* uri.h - what a request names: authority, path, query (RFC 3986, RFC 9110 4.2).
 *
 * One canonical form of a path, computed once and used for matching, policy and forwarding, so
 * that no two of them see different resources.  Pure, no memory; any thread.
 */
#ifndef FSM_HTTP_URI_H
#define FSM_HTTP_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "common/base/slice.h"

/* characters of a path (without '?') and of a query.  Strict as RFC 3986 3.3, 3.4 but for the
 * few that browsers send unencoded: [ ] { } | ^ ` everywhere, " < > \ in a query.  '#', space,
 * controls and bytes above 0x7e never. */
bool uri_is_path(struct slice s);
bool uri_is_query(struct slice s);
/* path[?query] beginning with '/' */
bool uri_is_origin_form(struct slice s);

/* "host", "host:port", "1.2.3.4:80", "[::1]:80"; no userinfo, no percent, no empty host.
 * host and port may be NULL; *port becomes -1 if there is none.  -1 if it is no authority. */
int uri_authority(struct slice s, struct slice *host, int *port);

/* the same host (case-insensitive) and port, a missing one being default_port */
bool uri_same_authority(struct slice a, struct slice b, int default_port);

/* parts of an http or https URI, as in the absolute form of a request */
struct uri {
    struct slice scheme; /* in lower case: a constant */
    struct slice authority;
    struct slice
        path; /* "/" if it is empty (RFC 9110 4.2.3), which lies outside of the text then */
    struct slice query; /* behind the '?'; p == NULL: there is none */
    bool bare;          /* neither path nor query */
};
/* -1: not absolute; -2: another scheme; -3: bad authority; -4: bad path or query. */
int uri_absolute(struct slice s, struct uri *out);

#define URI_MERGE_SLASHES 0x1u /* "//" becomes "/" */
#define URI_REFUSE_SLASH  0x2u /* %2F and %5C are refused: some servers decode them too early */
/* what an upstream could take for another path than the one that was looked at here */
#define URI_UNAMBIGUOUS (URI_MERGE_SLASHES | URI_REFUSE_SLASH)
enum uri_error {
    URI_E_PERCENT = -1, /* '%' without two hex digits */
    URI_E_NUL = -2,     /* %00 */
    URI_E_ROOT = -3,    /* ".." leads above the root */
    URI_E_SLASH = -4,   /* with URI_REFUSE_SLASH */
    URI_E_SPACE = -5,   /* does not fit into out */
    URI_E_CHAR = -6,    /* not a path */
    URI_E_UTF8 = -7,    /* an overlong form, such as %C0%AF for '/' (RFC 3629 3) */
    URI_E_DOTS = -8,    /* "..;x": a dot segment to servers that cut parameters off */
};
/* Canonical form of a path ("/..." without query; "*" passes): percent-encoded unreserved
 * characters decoded, other escapes in upper case, dot segments removed (also when they were
 * encoded), slashes merged if asked.  *canon is `path` itself when nothing had to change (the
 * common case: one pass, no copy), else it lies in out.  0 or enum uri_error. */
int uri_canonical(struct slice path, unsigned flags, char *out, size_t cap, struct slice *canon);

/* The value of the first parameter `name` of a query, percent- and '+'-decoded into out with a
 * NUL behind: its length, or -1 if absent, malformed or too long. */
ssize_t uri_query_get(struct slice query, struct slice name, char *out, size_t size);

#endif
