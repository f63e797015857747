#!/bin/bash
# sidecar.sidecarDisabledMTLS: sidecars speak plaintext to each other, whoever is outside the mesh is
# still refused; turned back, everything is mutual TLS again.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
meshconfig '{"spec":{"sidecar":{"sidecarDisabledMTLS":true}}}'
mesh_ns app
plain_ns outside
httpbin app
client app
client outside
wait_ready app deployment/httpbin pod/client
wait_ready outside pod/client
pod=$(pods_of app app=httpbin)
ip=$(pod_ip app "$pod")
code() { in_pod "$1" client curl -s -o /dev/null -m 5 -w '%{http_code}' "http://$2/get"; }
handshakes() { proxy_get stats app "$pod" | awk '/downstream_tls_handshakes_total/ {n += $NF} END {print n + 0}'; }
certificate() { proxy_get config_dump app client | jq -c .Certificate; }
expect_eq "Certificate" "$(certificate)" null
expect_eq "identities of endpoints" "$(proxy_get config_dump app client | grep -c spiffe://.*httpbin)" 0
expect_eq "request" "$(code app httpbin.app:14001)" 200
expect_eq "TLS handshakes at the server" "$(handshakes)" 0
expect_eq "from outside" "$(code outside "$ip:14001")" 000
meshconfig '{"spec":{"sidecar":{"sidecarDisabledMTLS":false}}}'
synced
expect_match "Certificate after turning back" "$(certificate)" CommonName
expect_eq "request after turning back" "$(code app httpbin.app:14001)" 200
[ "$(handshakes)" -gt 0 ] || fail "no TLS after turning back"
done_ok
