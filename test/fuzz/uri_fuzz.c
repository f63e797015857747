/* paths, authorities, absolute URIs and queries: a canonical path is one, and stays so. */
#include <stdlib.h>
#include "common/http/uri.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            abort();                                                                               \
    } while (0)

static void check_segments(struct slice path)
{
    struct slice rest = slice_of(path.p + 1, path.n - 1);

    CHECK(path.n && path.p[0] == '/');
    while (rest.p) {
        struct slice s = slice_cut(&rest, '/');

        CHECK(!slice_eq_str(s, ".") && !slice_eq_str(s, ".."));
    }
}

static void check_path(struct slice path, unsigned flags)
{
    char out[4096], again[4096];
    struct slice canon, twice;

    if (uri_canonical(path, flags, out, path.n < sizeof(out) ? path.n : sizeof(out), &canon) < 0)
        return;
    CHECK(canon.n <= path.n && uri_is_path(canon));
    CHECK(uri_canonical(canon, flags, again, sizeof(again), &twice) == 0);
    CHECK(slice_eq(canon, twice));
    if (!slice_eq_str(canon, "*"))
        check_segments(canon);
}

static void check_absolute(struct slice s)
{
    struct slice host;
    struct uri u;
    int port;

    if (uri_absolute(s, &u) < 0)
        return;
    CHECK(uri_authority(u.authority, &host, &port) == 0);
    CHECK(host.n > 0 && port >= -1 && port <= 65535 && port != 0);
    CHECK(uri_is_origin_form(u.path) && uri_is_query(u.query));
    CHECK(!u.bare || (slice_eq_str(u.path, "/") && !u.query.p));
    CHECK(uri_same_authority(u.authority, u.authority, 80));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct slice s = slice_of((const char *)data + 1, size ? size - 1 : 0);
    char value[64];

    if (size == 0)
        return 0;
    check_path(s, data[0] & 3);
    check_absolute(s);
    CHECK(uri_query_get(s, SLICE_LIT("a"), value, sizeof(value)) < (ssize_t)sizeof(value));
    return 0;
}
