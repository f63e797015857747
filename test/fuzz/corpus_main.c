/* corpus_main.c - runs a fuzz target over files, without a fuzzer: test/fuzz/run corpus. */
#include <stdint.h>
#include <stdio.h>
#include "common/base/file.h"

#define INPUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    struct buf in = BUF_INIT;
    struct err e;

    for (int i = 1; i < argc; i++) {
        buf_clear(&in);
        printf("%s\n", argv[i]);
        fflush(stdout);
        if (file_read(argv[i], INPUT_MAX, &in, &e) < 0) {
            fprintf(stderr, "%s\n", e.text);
            return 1;
        }
        LLVMFuzzerTestOneInput((const uint8_t *)in.p, in.len);
    }
    buf_free(&in);
    return argc > 1 ? 0 : 1;
}
