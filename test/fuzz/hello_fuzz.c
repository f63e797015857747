/* ClientHellos.  What is said about a whole input must not be taken back for its beginnings: a
 * beginning needs more, is the same hello, or is none as the whole is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/tls/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* there with the sanitizer only */
void __asan_poison_memory_region(const volatile void *p, size_t n) __attribute__((weak));
void __asan_unpoison_memory_region(const volatile void *p, size_t n) __attribute__((weak));

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
    int r = hello_parse(data, size, &whole), p;
    size_t most = size < 64 ? size : 64;
    uint8_t *cut = malloc(64);

    check(&whole);
    memcpy(cut, data, most);
    for (size_t n = 0; n < most; n++) {
        if (__asan_poison_memory_region) /* a byte read too far is seen */
            __asan_poison_memory_region(cut + n, 64 - n);
        p = hello_parse(cut, n, &part);
        check(&part);
        BUG_ON(p == -1 && r != -1);
        BUG_ON(p == 1 && (r != 1 || memcmp(&part, &whole, sizeof(whole)) != 0));
        if (__asan_unpoison_memory_region)
            __asan_unpoison_memory_region(cut, 64);
    }
    free(cut);
    return 0;
}
