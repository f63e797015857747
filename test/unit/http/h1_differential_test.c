/* the HTTP/1 codec against a second one, slow and obvious, on messages that are generated, and on
 * those of the fuzz corpora, crossed and mutated.  FSM_ROUNDS=n makes it longer, FSM_SEED=n
 * different. */
#include <check.h>
#include <glob.h>
#include "common/base/file.h"
#include "test/unit/http/h1_slow.h"
#include "test/unit/http/h1_text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PICK(a)  a[below(COUNT(a))]
#define OFTEN(a) a[one_in(4) ? below(COUNT(a)) : 0] /* the first, which is fine */

static uint64_t seed;
static struct buf got = BUF_INIT, text = BUF_INIT;

static uint32_t below(size_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 20) % n);
}

static bool one_in(unsigned n)
{
    return below(n) == 0;
}

static unsigned long number(const char *name, unsigned long otherwise)
{
    const char *s = getenv(name);

    return s ? strtoul(s, NULL, 10) : otherwise;
}

/* ---- generating ------------------------------------------------------------------------------ */

static const char *const eols[] = {"\n", "\r", "\r\r\n", " \r\n", "\r\n ", "\r\n\r\n", "", "\n\r"};

static void eol(void)
{
    buf_puts(&text, one_in(60) ? PICK(eols) : "\r\n");
}

static void field(const char *name, const char *value)
{
    static const char *const colons[] = {":", ":\t", " : ", ": \t ", " :", ";", ""};

    buf_puts(&text, name);
    buf_puts(&text, one_in(40) ? PICK(colons) : ": ");
    buf_puts(&text, value);
    eol();
}

static const char *const hosts[] = {
    "a",     "A",        "a:80",     "a:443",      "a:8080", "a:",      "b",
    "[::1]", "[::1]:80", "a.b-c_d~", "10.0.0.1:1", "",       "a b",     "a,b",
    "u@a",   "a:0",      "a:65536",  "[::1",       "%61",    "a:00080", "[]"};

static void random_field(void)
{
    static const char *const lengths[] = {
        "0",   "5",  "05", "+5", "5,5", "", "9223372036854775807", "9223372036854775808",
        "0x5", "5 ", "12"};
    static const char *const codings[] = {"chunked", "Chunked",       "chunked ",
                                          "gzip",    "gzip, chunked", "chunked, chunked",
                                          "",        "chunked;a",     "identity"};
    static const char *const options[] = {
        "close", "keep-alive",     "upgrade", "Close, x", "keep-alive, Upgrade", "te",
        "host",  "content-length", "x,,y",    "",         "transfer-encoding ",  "closed"};
    static const char *const protocols[] = {"websocket", "h2c", "websocket, h2c", "H2C/1", "x/h2c"};
    static const char *const others[] = {
        "Accept",          "X-Y", "Foo", "Expect", "TE",    "Transfer_Encoding",
        "Content-Length2", "X Y", "",    "(x)",    " Host", "\xc3\xa4"};
    static const char *const values[] = {"*/*",   "",  "a\tb",     "100-continue", "\x80",
                                         "a\x01", ":", "trailers", "x: y",         "a\x7f"};

    switch (below(8)) {
    case 0:
        field("Content-Length", OFTEN(lengths));
        break;
    case 1:
        field(one_in(3) ? "transfer-encoding" : "Transfer-Encoding", OFTEN(codings));
        break;
    case 2:
        field("Connection", PICK(options));
        break;
    case 3:
        field("Upgrade", PICK(protocols));
        break;
    case 4:
        if (one_in(4))
            field("HOST", PICK(hosts));
        break;
    default:
        field(OFTEN(others), OFTEN(values));
        break;
    }
}

static void generate_request(void)
{
    static const char *const methods[] = {"GET",   "GET",  "POST", "PUT", "OPTIONS", "CONNECT",
                                          "TRACE", "HEAD", "get",  "G(T", "",        "PRI"};
    static const char *const targets[] = {"/",
                                          "/",
                                          "/a?b",
                                          "/a?b#c",
                                          "*",
                                          "http://a/",
                                          "http://a",
                                          "https://A:443/x",
                                          "http://a?x",
                                          "a:443",
                                          "a",
                                          "[::1]:80",
                                          "http://u@a/",
                                          "ftp://a/",
                                          "/\"",
                                          "/?\"",
                                          "//",
                                          "",
                                          "http://a:80/?",
                                          "/%zz",
                                          "/\\",
                                          "a:80",
                                          "http://[::1]/"};
    static const char *const versions[] = {"HTTP/1.1", "HTTP/1.1",  "HTTP/1.1", "HTTP/1.0",
                                           "HTTP/1.0", "HTTP/1.2",  "HTTP/2.0", "http/1.1",
                                           "HTTP/1",   "HTTP/1.1 ", "HTTP/1.10"};

    if (one_in(30))
        buf_puts(&text, one_in(4) ? "\r\n\r\n" : "\r\n");
    buf_puts(&text, OFTEN(methods));
    buf_puts(&text, one_in(60) ? "  " : " ");
    buf_puts(&text, OFTEN(targets));
    buf_puts(&text, one_in(60) ? "\t" : " ");
    buf_puts(&text, OFTEN(versions));
    eol();
    if (!one_in(8))
        field("Host", one_in(3) ? PICK(hosts) : "a");
    for (unsigned n = below(4); n > 0; n--)
        random_field();
    buf_puts(&text, "\r\n");
}

static void generate_response(void)
{
    static const char *const lines[] = {
        "HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.0 200 OK",    "HTTP/1.1 204 x",
        "HTTP/1.1 304 x",  "HTTP/1.1 101 x",  "HTTP/1.1 100 x",     "HTTP/1.1 404",
        "HTTP/1.1 500 ",   "HTTP/1.1 600 x",  "HTTP/1.1 99 x",      "HTTP/1.2 200 x",
        "HTTP/1.1  200 x", "HTTP/1.1 2000 x", "HTTP/1.1 200 \xe4\t"};

    buf_puts(&text, PICK(lines));
    eol();
    for (unsigned n = below(5); n > 0; n--)
        random_field();
    buf_puts(&text, "\r\n");
}

static void generate_chunks(void)
{
    static const char *const sizes[] = {
        "3",  "03",  "3;a",    "3;a=b",     "3 ;a=\"x\\\"y\"",   "3;",   "3 ",     "4",
        "+3", "0x3", "3;a =b", "3;a= b ;c", "10000000000000003", "3;a=", "3;a=\"", "3;\"a\""};
    static const char *const trailers[] = {
        "X: y", "Grpc-Status: 0", "Content-Length: 1", "X : y", " X: y", "Host: a", "X:",
        "X",    "Date: x",        "A: b\x01"};

    for (unsigned n = below(4); n > 0; n--) {
        buf_puts(&text, one_in(3) ? OFTEN(sizes) : "3");
        eol();
        buf_puts(&text, one_in(40) ? "abcd" : "abc");
        eol();
    }
    buf_puts(&text, one_in(20) ? "00;x" : "0");
    eol();
    for (unsigned n = below(3); n > 0; n--) {
        buf_puts(&text, OFTEN(trailers));
        eol();
    }
    buf_puts(&text, "\r\nGET ");
}

/* a byte replaced, inserted, dropped or swapped; a piece doubled */
static void mutate(void)
{
    static const char bytes[] = "\r\n \t:;,/?\"\\#%@[]()+-0159aAHhTt\x7f\x80\xff\x01";
    char byte = one_in(20) ? '\0' : bytes[below(sizeof(bytes) - 1)];
    size_t at = below(text.len);

    switch (below(5)) {
    case 0:
        text.p[at] = byte;
        break;
    case 1:
        buf_putc(&text, ' ');
        memmove(text.p + at + 1, text.p + at, text.len - 1 - at);
        text.p[at] = byte;
        break;
    case 2:
        memmove(text.p + at, text.p + at + 1, text.len - at - 1);
        text.len--;
        break;
    case 3: {
        size_t n = below(text.len - at) + 1;
        char *piece = malloc(n);

        memcpy(piece, text.p + at, n);
        buf_append(&text, piece, n);
        free(piece);
        break;
    }
    default:
        text.len = at + 1;
        break;
    }
}

static void generate(void (*fn)(void))
{
    buf_clear(&text);
    fn();
    while (text.len > 1 && one_in(3))
        mutate();
}

/* ---- comparing ------------------------------------------------------------------------------- */

static const char *shown(void)
{
    static char line[8192];
    size_t n = 0;

    for (size_t i = 0; i < text.len && n < sizeof(line) - 5; i++)
        n += (size_t)snprintf(line + n, sizeof(line) - n,
                              text.p[i] < 0x20 || text.p[i] == 0x7f ? "\\x%02x" : "%c",
                              (unsigned char)text.p[i]);
    return line;
}

static unsigned long accepted, refused;

static void compare_head(bool request, const char *asked)
{
    static const enum split ways[] = {WHOLE, BYTES_MOVING, IN_TWO};
    char want[16384];
    size_t slow = request ? slow_request(text.p, text.len, want, sizeof(want))
                          : slow_response(text.p, text.len, asked, want, sizeof(want));

    for (size_t i = 0; i < (one_in(20) ? COUNT(ways) : 1); i++) {
        ssize_t fast =
            head_text(text.p, text.len, asked, request, ways[i], below(text.len), NULL, &got);

        if (slow) {
            ck_assert_msg(fast == (ssize_t)slow && strcmp(got.p, want) == 0,
                          "%s\nfast: %zd %s\nslow: %zu %s", shown(), fast, got.p, slow, want);
        } else {
            ck_assert_msg(fast <= 0, "%s\nfast: %zd %s\nslow: no", shown(), fast, got.p);
        }
    }
    *(slow ? &accepted : &refused) += 1;
}

static void compare_chunks(void)
{
    char want[16384];
    size_t want_n = 0;
    bool slow = slow_chunked(text.p, text.len, want, &want_n);

    for (size_t step = 0; step < 3; step++) {
        bool fast;

        chunked_text(text.p, text.len, step, NULL, &got);
        fast = memchr(got.p, '|', got.len) != NULL;
        if (slow)
            ck_assert_msg(fast && got.len == want_n && memcmp(got.p, want, want_n) == 0,
                          "%s\nfast: %s\nslow: %.*s", shown(), got.p, (int)want_n, want);
        else
            ck_assert_msg(!fast, "%s\nfast: %s\nslow: no", shown(), got.p);
    }
    *(slow ? &accepted : &refused) += 1;
}

/* both outcomes must have been tried, or the comparison says nothing */
static void check_balance(void)
{
    ck_assert_uint_gt(accepted, (accepted + refused) / 20);
    ck_assert_uint_gt(refused, (accepted + refused) / 20);
}

static void begin(void)
{
    seed = number("FSM_SEED", 88172645463325252ul);
    text_has_fields = slow_has_fields = true;
    accepted = refused = 0;
}

static void end(void)
{
    buf_free(&got);
    buf_free(&text);
}

START_TEST(requests)
{
    for (unsigned long i = number("FSM_ROUNDS", 150000); i > 0; i--) {
        generate(generate_request);
        compare_head(true, NULL);
    }
    check_balance();
}
END_TEST

START_TEST(responses)
{
    static const char *const asked[] = {"GET", "GET", "HEAD", "CONNECT", "upgrade"};

    for (unsigned long i = number("FSM_ROUNDS", 150000); i > 0; i--) {
        generate(generate_response);
        compare_head(false, PICK(asked));
    }
    check_balance();
}
END_TEST

START_TEST(chunks)
{
    for (unsigned long i = number("FSM_ROUNDS", 150000); i > 0; i--) {
        generate(generate_chunks);
        compare_chunks();
    }
    check_balance();
}
END_TEST

/* ---- the corpora ----------------------------------------------------------------------------- */

#define INPUTS_MAX 1000
static struct buf inputs[INPUTS_MAX];
static size_t n_inputs;

static void read_corpus(const char *pattern)
{
    struct err e;
    glob_t files;

    n_inputs = 0;
    ck_assert_int_eq(glob(pattern, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc && n_inputs < INPUTS_MAX; i++) {
        struct buf *b = &inputs[n_inputs];

        *b = (struct buf)BUF_INIT;
        ck_assert_msg(file_read(files.gl_pathv[i], 1 << 20, b, &e) == 0, "%s", e.text);
        if (b->len > 1)
            n_inputs++;
        else
            buf_free(b);
    }
    globfree(&files);
    ck_assert_uint_gt(n_inputs, 20);
}

static void free_corpus(void)
{
    while (n_inputs > 0)
        buf_free(&inputs[--n_inputs]);
}

/* One input, or the beginning of one and the end of another; its first byte is returned, which for
 * the fuzz target says how to read the rest. */
static unsigned char take_input(void)
{
    const struct buf *a = &inputs[below(n_inputs)], *b = &inputs[below(n_inputs)];
    size_t cut = one_in(3) ? 1 + below(a->len - 1) : a->len, from = 1 + below(b->len - 1);

    buf_clear(&text);
    buf_append(&text, a->p + 1, cut - 1);
    if (cut < a->len)
        buf_append(&text, b->p + from, b->len - from);
    while (text.len > 1 && !one_in(3))
        mutate();
    return (unsigned char)a->p[0];
}

START_TEST(heads_of_the_corpus)
{
    static const char *const asked[] = {"GET", "HEAD", "CONNECT", "upgrade"};

    read_corpus("test/fuzz/corpus/h1_head/*");
    for (unsigned long i = number("FSM_ROUNDS", 100000); i > 0; i--) {
        unsigned char how = take_input();

        if (slow_within_limits(text.p, text.len))
            compare_head(!(how & 0x80), asked[how & 3]);
    }
    check_balance();
    free_corpus();
}
END_TEST

START_TEST(bodies_of_the_corpus)
{
    read_corpus("test/fuzz/corpus/h1_body/*");
    for (unsigned long i = number("FSM_ROUNDS", 100000); i > 0; i--) {
        take_input();
        if (text.len > 0 && text.len < 250) /* longer ones meet limits that the slow one has not */
            compare_chunks();
    }
    check_balance();
    free_corpus();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("h1_differential");
    TCase *t = tcase_create("differential");
    SRunner *r;
    int failed;

    tcase_add_checked_fixture(t, begin, end);
    tcase_set_timeout(t, getenv("FSM_ROUNDS") ? 3600 : 60);
    tcase_add_test(t, requests);
    tcase_add_test(t, responses);
    tcase_add_test(t, chunks);
    tcase_add_test(t, heads_of_the_corpus);
    tcase_add_test(t, bodies_of_the_corpus);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
