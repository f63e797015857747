#!/bin/bash
# raw TCP: half-close with nc in both directions, and 100 MB both ways at once with checksums.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
server app rev 7000 tcp-rev -- socat TCP-LISTEN:7000,fork,reuseaddr "SYSTEM:sha256sum"
server app bulk 7001 tcp-bulk -- $PY "$ROOT/test/e2e/peers/bulk_peer.py" serve 7001
server app bare 7002 -- $PY "$ROOT/test/e2e/peers/bulk_peer.py" serve 7002
client app
wait_ready app pod/rev pod/bulk pod/bare pod/client
# the server answers only after it has seen our end of stream: half-close must pass through
head -c 1000000 /dev/urandom >"$TMP/in"
got=$(fsml exec -i -n app client -- nc -N -w 20 rev.app 7000 <"$TMP/in" | awk '{print $1}')
expect_eq "checksum after half-close" "$got" "$(sha256sum <"$TMP/in" | awk '{print $1}')"
for target in bulk.app:7001 bare.app:7002; do
    out=$(in_pod app client $PY "$ROOT/test/e2e/peers/bulk_peer.py" call "$target" 100 2>&1) || fail "$target: $out"
    expect_match "$target" "$out" "bulk ok"
done
done_ok "$out"
