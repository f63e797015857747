/* Service-account tokens.  'T' and a token as it came, which is never ours; anything else is taken
 * as the claims of a well-signed one, so that they are reached too. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/buf.h"
#include "common/base/codec.h"
#include "common/pki/der.h"
#include "common/pki/pki.h"
#include "common/pki/pki_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *key_pem, *pub_pem;
static struct pki_key *key;

static void setup(void)
{
    key_pem = pki_key_new(NULL);
    pub_pem = pki_public_key(key_pem, NULL);
    key = key_load(key_pem, NULL);
    BUG_ON(pub_pem == NULL || key == NULL);
}

static void sign(struct buf *text)
{
    struct buf sig = BUF_INIT;
    struct slice der, seq, v;
    uint8_t raw[64] = {0};
    unsigned tag;

    BUG_ON(key_sign(key, text->p, text->len, &sig, NULL) != 0);
    der = buf_slice(&sig);
    BUG_ON(der_next(&der, &tag, &seq) != 0);
    for (int i = 0; i < 2; i++) {
        BUG_ON(der_next(&seq, &tag, &v) != 0);
        while (v.n > 32)
            v = slice_of(v.p + 1, v.n - 1);
        memcpy(raw + 32 * i + 32 - v.n, v.p, v.n);
    }
    buf_putc(text, '.');
    base64url_encode(raw, sizeof(raw), text);
    buf_free(&sig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pki_token t;
    struct buf text = BUF_INIT;
    struct err e = {""};
    int r;

    if (key == NULL)
        setup();
    if (size > 0 && data[0] == 'T') {
        r = pki_token_verify(pub_pem, slice_of((const char *)data + 1, size - 1), "fsm", 1000000,
                             &t, &e);
        BUG_ON(r != -1 || e.text[0] == '\0'); /* nobody else has the key */
        return 0;
    }
    base64url_encode("{\"alg\":\"ES256\"}", 15, &text);
    buf_putc(&text, '.');
    base64url_encode(data, size, &text);
    sign(&text);
    r = pki_token_verify(pub_pem, buf_slice(&text), "fsm", 1000000, &t, &e);
    BUG_ON(r == 0 && (t.ns[0] == '\0' || t.sa[0] == '\0' || strcmp(t.audience, "fsm") != 0 ||
                      t.not_after + 60 <= 1000000 || strpbrk(t.ns, "./\n") != NULL));
    BUG_ON(r != 0 && e.text[0] == '\0');
    buf_free(&text);
    return 0;
}
