/* creds_mbedtls.h - credentials as mbedTLS has them. */
#ifndef FSM_TLS_CREDS_MBEDTLS_H
#define FSM_TLS_CREDS_MBEDTLS_H

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include "common/tls/creds.h"

struct creds_of_provider {
    mbedtls_x509_crt own, roots; /* chains; raw.p == NULL: there is none */
    mbedtls_pk_context key;
};

#endif
