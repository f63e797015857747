#!/bin/bash
# destinations that are no mesh service pass through untouched while enableEgress is true and are
# refused while it is false, those already connected too; mesh services are not affected.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
plain_ns outside
httpbin app
server outside ext 8080 -- $PY "$ROOT/test/e2e/peers/hostname_http.py" 8080 external
client app
wait_ready app deployment/httpbin pod/client
wait_ready outside pod/ext
ip=$(pod_ip outside ext)
get() { in_pod app client curl -s -m 5 "http://$ip:8080/"; }
mesh() { in_pod app client curl -s -o /dev/null -m 5 -w '%{http_code}' http://httpbin.app:14001/get; }
expect_eq "enableEgress in config_dump" "$(proxy_get config_dump app client | jq .Spec.Traffic.EnableEgress)" true
expect_eq "egress on" "$(get)" external
expect_eq "egress on, by the unmeshed Service's name" "$(in_pod app client curl -s -m 5 http://ext.outside:8080/)" external
in_pod app client $PY -c '
import socket, sys
s = socket.create_connection((sys.argv[1], 8080), 5)
print("connected", flush=True)
s.settimeout(30)
try:
    print("end" if s.recv(1) == b"" else "bytes")
except OSError as e:
    print(type(e).__name__)' "$ip" >"$TMP/open" &
opened() { grep -q connected "$TMP/open"; }
until_ok 10 opened || fail "no connection to the outside"
meshconfig '{"spec":{"traffic":{"enableEgress":false}}}'
off() { ! get; }
until_ok 10 off || fail "egress off: still reachable"
expect_eq "enableEgress in config_dump" "$(proxy_get config_dump app client | jq .Spec.Traffic.EnableEgress)" false
expect_eq "mesh service with egress off" "$(mesh)" 200
ended() { grep -q ConnectionResetError "$TMP/open"; }
until_ok 15 ended || fail "a connection made before goes on: $(cat "$TMP/open")"
meshconfig '{"spec":{"traffic":{"enableEgress":true}}}'
on() { [ "$(get)" = external ]; }
until_ok 10 on || fail "egress on again"
done_ok
