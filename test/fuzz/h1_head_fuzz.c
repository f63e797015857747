/* HTTP/1 heads: any bytes, whole and in pieces, must come to the same, and to the same as the slow
 * parser; what was accepted, written and read again must say the same. */
#include "test/unit/http/h1_slow.h"
#include "test/unit/http/h1_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            abort();                                                                               \
    } while (0)

static const char *const asked[] = {"GET", "HEAD", "CONNECT", "upgrade"};

/* the head written as it leaves a proxy, and read again */
static void check_rewritten(const char *text, size_t n, bool request, const char *question)
{
    static char out[2 * 32768];
    struct http_field fields[HTTP_FIELDS_MAX], again[HTTP_FIELDS_MAX];
    struct http_head h = {.fields = fields}, g = {.fields = again};
    struct h1_asked a = asked_of(question);
    struct h1_parser p;
    struct h1_emit how = {.head_reply = a.method == HTTP_M_HEAD};
    ssize_t len;

    h1_parser_init(&p, NULL);
    CHECK((request ? h1_parse_request(&p, text, n, &h) : h1_parse_response(&p, text, n, &a, &h)) >
          0);
    http_drop_hop_by_hop(&h, h.upgrade);
    how.body = h.body;
    how.content_length = h.content_length;
    how.upgrade = h.upgrade;
    if (request && h.authority.n == 0)
        how.authority = SLICE_LIT("added");
    len = h1_write_head(out, sizeof(out), &h, &how);
    CHECK(len > 0 && (size_t)len <= h1_head_bound(&h, &how));
    h1_parser_init(&p, NULL);
    len -= request ? h1_parse_request(&p, out, (size_t)len, &g)
                   : h1_parse_response(&p, out, (size_t)len, &a, &g);
    CHECK(len == 0);
    CHECK(g.body == h.body && g.status == h.status && g.upgrade == h.upgrade);
    CHECK(g.content_length == h.content_length && slice_eq(g.path, h.path));
    CHECK(slice_eq(g.query, h.query) && slice_eq(g.method_text, h.method_text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = BUF_INIT, pieces = BUF_INIT;
    char slow[16384];
    size_t slow_n;
    ssize_t r, again;
    const char *text, *question;
    bool request;

    if (size < 1)
        return 0;
    text_has_fields = slow_has_fields = true;
    request = !(data[0] & 0x80);
    question = asked[data[0] & 3];
    text = (const char *)data + 1;
    size--;
    r = head_text(text, size, question, request, WHOLE, 0, NULL, &whole);
    again =
        head_text(text, size, question, request, IN_TWO, size ? data[1] % size : 0, NULL, &pieces);
    /* an error may be seen later when the line it is in has not ended, never differently */
    CHECK(r == again || (r < 0 && again == 0));
    CHECK(again == 0 || strcmp(whole.p, pieces.p) == 0);
    if (slow_within_limits(text, size)) {
        slow_n = request ? slow_request(text, size, slow, sizeof(slow))
                         : slow_response(text, size, question, slow, sizeof(slow));
        CHECK(slow_n ? r == (ssize_t)slow_n && strcmp(slow, whole.p) == 0 : r <= 0);
    }
    if (r > 0)
        check_rewritten(text, size, request, question);
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
