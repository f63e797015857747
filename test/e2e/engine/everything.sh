#!/bin/bash
# twenty seconds of everything at once under load, as "make soak" does it for ten minutes: upgrades,
# workers, endpoints, policy, certificates, another root, a controller that dies; no request fails
set -u
ROOT=$(cd "$(dirname "$0")/../../.." && pwd)
(
    flock 9
    make -s -C "$ROOT" build/mbedtls/test/soak/call build/mbedtls/test/soak/serve
) 9>"$ROOT/build/soak.lock" || exit 1
exec "$ROOT/test/soak/run" -s "${SECONDS_LONG:-20}" -r 600 -n 5000
