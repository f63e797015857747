/* codec.h - small encodings: base64, hex, random bytes, UUID.  Any thread. */
#ifndef FSM_BASE_CODEC_H
#define FSM_BASE_CODEC_H

#include <stddef.h>
#include <stdint.h>
#include "common/base/buf.h"

/* getrandom(2); cannot fail */
void random_bytes(void *p, size_t n);
/* random (version 4) UUID, 36 characters and NUL */
void uuid_v4(char out[37]);
void base64_encode(const void *p, size_t n, struct buf *out);
void base64url_encode(const void *p, size_t n, struct buf *out); /* no padding */
/* strict; -1 on a foreign byte or wrong length */
int base64_decode(struct slice in, struct buf *out);
int base64url_decode(struct slice in, struct buf *out);
void hex_encode(const void *p, size_t n, char *out); /* 2n characters and NUL */

#endif
