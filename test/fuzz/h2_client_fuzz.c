/* Any bytes into an HTTP/2 client session that has requests under way. */
#include "test/fuzz/h2_fuzz.h"

static void ask(struct fuzz *z, const char *method, bool end)
{
    struct http_field none[1];
    struct http_head h = {.request = true, .fields = none};
    struct h2s *s;

    h.method_text = slice_str(method);
    h.method = http_method_id(h.method_text);
    h.authority = SLICE_LIT("a:1");
    h.path = SLICE_LIT("/");
    s = h2_request(z->c, &h, &(struct h2_emit){.end = end}, NULL);
    if (!s)
        return;
    s->user = fuzz_seen(z, s);
    if (!end)
        fuzz_write(s);
}

static void answered(struct h2s *s, struct seen *x)
{
    if (x->id == 5)
        h2_reset(s, H2_CANCEL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz z;

    if (size < 2)
        return 0;
    fuzz_begin(&z, H2_CLIENT, answered);
    ask(&z, "GET", true);
    ask(&z, "HEAD", true);
    ask(&z, "POST", false);
    ask(&z, "CONNECT", false);
    fuzz_flush(&z);
    fuzz_feed(&z, data + 2, (size - 2) / 2, data[1]);
    ask(&z, "GET", true);
    fuzz_feed(&z, data + 2 + (size - 2) / 2, size - 2 - (size - 2) / 2, data[1]);
    fuzz_end(&z);
    return 0;
}
