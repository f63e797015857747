/* hash.h - SipHash-1-3 (Aumasson, Bernstein), the keyed hash of tables and of stable versions.
 *
 * With a secret key its values cannot be steered from outside; with a fixed key they are the same
 * in every process and on every machine.  Pure; any thread.
 */
#ifndef FSM_BASE_HASH_H
#define FSM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0, k1;
};

uint64_t hash_sip13(struct hash_key key, const void *p, size_t n);

#endif
