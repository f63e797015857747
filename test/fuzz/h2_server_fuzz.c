/* Any bytes into an HTTP/2 server session that answers: no fault, no leak, every contract of h2.h
 * kept, and nothing delivered that HTTP/1 could not carry. */
#include "test/fuzz/h2_fuzz.h"

static void answer(struct h2s *s, struct seen *x)
{
    struct http_field f[1] = {{SLICE_LIT("x"), SLICE_LIT("y"), HDR_OTHER, false}};
    struct http_head h = {.status = 200, .fields = f, .n_fields = 1};

    switch (x->id % 8) {
    case 1: /* at once */
        h2_response(s, &h, &(struct h2_emit){.end = true});
        break;
    case 3: /* interim, body, trailers */
        h.status = 103;
        h2_response(s, &h, &(struct h2_emit){.end = false});
        h.status = 200;
        h2_response(s, &h, &(struct h2_emit){.end = false});
        h2_write(s, "hello", 5, false);
        h2_trailers(s, f, 1);
        break;
    case 5:
        h2_reset(s, H2_CANCEL);
        break;
    default: /* an endless body */
        h2_response(s, &h, &(struct h2_emit){.end = false});
        fuzz_write(s);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    struct fuzz z;

    if (size < 2)
        return 0;
    fuzz_begin(&z, H2_SERVER, answer);
    if (data[0] & 1) /* most inputs would not get past the preface */
        fuzz_feed(&z, (const uint8_t *)magic, sizeof(magic), sizeof(magic));
    fuzz_feed(&z, data + 2, size - 2, data[1]);
    if (data[0] & 2)
        h2_drain(z.c);
    fuzz_end(&z);
    return 0;
}
