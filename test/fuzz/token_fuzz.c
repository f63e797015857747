/* Service-account tokens.  'T' and a token as it came, which is never ours; anything else is taken
 * as the claims of a well-signed one, so that they are reached too. */
/* wrap: key_verify */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "common/base/bug.h"
#include "common/base/buf.h"
#include "common/base/codec.h"
#include "common/pki/pki.h"
#include "common/pki/pki_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *pub_pem;
static bool signed_well; /* what the next check of a signature says */

bool __real_key_verify(const struct pki_key *k, const void *p, size_t n, const void *sig,
                       size_t sig_n);
bool __wrap_key_verify(const struct pki_key *k, const void *p, size_t n, const void *sig,
                       size_t sig_n);
bool __wrap_key_verify(const struct pki_key *k, const void *p, size_t n, const void *sig,
                       size_t sig_n)
{
    return signed_well || __real_key_verify(k, p, n, sig, sig_n);
}

static void setup(void)
{
    char *key_pem = pki_key_new(NULL);

    pub_pem = pki_public_key(key_pem, NULL);
    pki_wipe(key_pem);
    BUG_ON(pub_pem == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pki_token t;
    static const uint8_t nothing[64];
    struct buf text = BUF_INIT;
    struct err e = {""};
    int r;

    if (pub_pem == NULL)
        setup();
    signed_well = false;
    if (size > 0 && data[0] == 'T') {
        r = pki_token_verify(pub_pem, slice_of((const char *)data + 1, size - 1), "fsm", 1000000,
                             &t, &e);
        BUG_ON(r != -1 || e.text[0] == '\0'); /* nobody else has the key */
        return 0;
    }
    base64url_encode("{\"alg\":\"ES256\"}", 15, &text);
    buf_putc(&text, '.');
    base64url_encode(data, size, &text);
    buf_putc(&text, '.');
    base64url_encode(nothing, sizeof(nothing), &text);
    signed_well = true; /* by the one who has the key: 500 times quicker than to sign */
    r = pki_token_verify(pub_pem, buf_slice(&text), "fsm", 1000000, &t, &e);
    BUG_ON(r == 0 && (t.ns[0] == '\0' || t.sa[0] == '\0' || strcmp(t.audience, "fsm") != 0 ||
                      t.not_after + 60 <= 1000000 || strpbrk(t.ns, "./\n") != NULL));
    BUG_ON(r != 0 && e.text[0] == '\0');
    buf_free(&text);
    return 0;
}
