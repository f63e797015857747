#!/bin/bash
# an application's own TLS is carried untouched between two sidecars: the client sees the server's
# own certificate, and nothing of the mesh's.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=own.app \
    -addext 'subjectAltName=DNS:own.app,DNS:bare.app' -keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
in_pods "$TMP"
for port in "own 8443 https" "bare 8444"; do
    # shellcheck disable=SC2086
    set -- $port
    server app "$1" "$2" ${3:-} -- openssl s_server -accept "$2" -cert "$TMP/cert.pem" -key "$TMP/key.pem" -www -quiet
done
client app
wait_ready app pod/own pod/bare pod/client
for target in own.app:8443 bare.app:8444; do
    code=$(in_pod app client curl -sS -m 10 --cacert "$TMP/cert.pem" -o /dev/null -w '%{http_code}' "https://$target/") ||
        fail "curl https://$target"
    expect_eq "https://$target" "$code" 200
done
done_ok
