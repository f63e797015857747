/* creds_openssl.h - credentials as OpenSSL has them. */
#ifndef FSM_TLS_CREDS_OPENSSL_H
#define FSM_TLS_CREDS_OPENSSL_H

#include <openssl/x509.h>
#include "common/tls/creds.h"

struct creds_of_provider {
    X509 *own;              /* NULL: there is none */
    STACK_OF(X509) * chain; /* what else is shown, without the root */
    EVP_PKEY *key;
    STACK_OF(X509) * roots; /* those given; the system's are in the store alone */
    X509_STORE *store;
};

#endif
