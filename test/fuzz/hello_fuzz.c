/* ClientHellos.  What is said about a whole input must not be taken back for its beginnings: a
 * beginning needs more, is the same hello, or is none as the whole is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/tls/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct hello *h)
{
    BUG_ON(memchr(h->sni, 0, sizeof(h->sni)) == NULL);
    BUG_ON(h->n_alpn > HELLO_ALPN_MAX);
    for (unsigned i = 0; i < h->n_alpn; i++)
        BUG_ON(memchr(h->alpn[i], 0, sizeof(h->alpn[i])) == NULL || h->alpn[i][0] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hello whole, part;
    int r = hello_parse(data, size, &whole);

    check(&whole);
    for (size_t n = 0; n < size && n < 64; n++) {
        /* a copy of its own size, so that a byte read too far is seen */
        uint8_t *cut = malloc(n ? n : 1);
        int p;
        memcpy(cut, data, n);
        p = hello_parse(cut, n, &part);
        check(&part);
        BUG_ON(p == -1 && r != -1);
        BUG_ON(p == 1 && (r != 1 || memcmp(&part, &whole, sizeof(whole)) != 0));
        free(cut);
    }
    return 0;
}
