/* rule_fuzz.c - lines as iptables-save prints them: what is read comes back from its own text. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "interceptor/init/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf text = BUF_INIT;
    struct rule r, again;

    if (rule_parse(slice_of((const char *)data, size), &r) != 0)
        return 0;
    rule_print(&r, &text);
    if (rule_parse(buf_slice(&text), &again) != 0 || !rule_eq(&r, &again)) {
        fprintf(stderr, "does not come back equal: %s\n", text.p);
        abort();
    }
    buf_free(&text);
    return 0;
}
