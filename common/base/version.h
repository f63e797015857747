/* version.h - what this build is; the values come from the Makefile. */
#ifndef FSM_BASE_VERSION_H
#define FSM_BASE_VERSION_H

extern const char fsm_version[];    /* "0.1.0" */
extern const char fsm_commit[];     /* short hash, or "unknown" */
extern const char fsm_tls[];        /* "mbedtls" or "openssl" */
extern const char fsm_build_date[]; /* date of the commit, RFC 3339: builds are reproducible */

#endif
