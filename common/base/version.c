/* version.c - the one file that is compiled with the build's facts. */
#include "common/base/version.h"

const char fsm_version[] = FSM_VERSION;
const char fsm_commit[] = FSM_COMMIT;
const char fsm_build_date[] = FSM_BUILD_DATE;
#if defined(FSM_TLS_OPENSSL)
const char fsm_tls[] = "openssl";
#else
const char fsm_tls[] = "mbedtls";
#endif
