#!/bin/bash
# IPv6: a client reaches a dual-stack Service by its IPv6 ClusterIP and by the pod's IPv6 address,
# through both sidecars.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
FAMILIES=PreferDualStack
server app web 8080 http -- $PY "$ROOT/test/e2e/peers/hostname_http.py" 8080 six
client app
wait_ready app pod/web pod/client
has_v6() { fsml get service -n app web -o json | jq -e '.spec.clusterIPs[] | select(contains(":"))' >/dev/null; }
until_ok 10 has_v6 || fail "the Service got no IPv6 ClusterIP"
v6=$(fsml get service -n app web -o json | jq -r '.spec.clusterIPs[] | select(contains(":"))')
p6=$(fsml get pod -n app web -o json | jq -r '.status.podIPs[].ip | select(contains(":"))')
get() { in_pod app client curl -sS -g -6 -m 5 "http://[$1]:8080/" -H 'Host: web.app'; }
for ip in "$v6" "$p6"; do
    ok() { [ "$(get "$ip")" = six ]; }
    until_ok 10 ok || fail "http://[$ip]:8080: $(cat "$TMP/until.log")"
done
# an application that listens on IPv4 alone, behind a Service of both families: who asks by IPv4 is
# never sent to its IPv6 address
server app four 8100 http -- $PY -m http.server --bind 0.0.0.0 8100
wait_ready app pod/four
codes=$(for _ in 1 2 3 4 5 6 7 8; do in_pod app client curl -s -4 -m 5 -o /dev/null -w '%{http_code} ' http://four.app:8100/; done)
expect_eq "eight requests by IPv4" "$codes" "200 200 200 200 200 200 200 200 "
stats=$(proxy_get stats app client)
expect_match "carried by the sidecar" "$stats" 'app/web\|8080'
done_ok
