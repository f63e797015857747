/* HTTP/1 chunked bodies: whole, in pieces and by the slow parser they must come to the same. */
#include "test/unit/http/h1_slow.h"
#include "test/unit/http/h1_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* what the slow parser does not bound is not bounded here either */
    static const struct h1_limits lim = {.head_bytes = 32768,
                                         .line_bytes = 8192,
                                         .fields = 100,
                                         .ext_bytes = 60000,
                                         .ext_total = 1000000,
                                         .trailer_bytes = 100000,
                                         .trailers = 100};
    static char slow[20000];
    struct buf whole = BUF_INIT, pieces = BUF_INIT;
    size_t slow_n = 0;
    bool ok;

    if (size < 1 || size > 500) /* trailers of more do not fit into the memory given */
        return 0;
    chunked_text((const char *)data + 1, size - 1, 0, &lim, &whole);
    chunked_text((const char *)data + 1, size - 1, 1 + data[0] % 7, &lim, &pieces);
    ok = slow_chunked((const char *)data + 1, size - 1, slow, &slow_n);
    CHECK(whole.len == pieces.len && memcmp(whole.p, pieces.p, whole.len) == 0);
    if (ok && slow_n < sizeof(slow) && memchr(whole.p, '|', whole.len))
        CHECK(whole.len == slow_n && memcmp(whole.p, slow, slow_n) == 0);
    else if (ok)
        CHECK(strcmp(whole.p, "trailers_too_large") == 0);
    else
        CHECK(whole.len == 0 || !memchr(whole.p, '|', whole.len));
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
