#!/bin/bash
# destinations that are no mesh service pass through untouched while enableEgress is true and are
# refused while it is false; mesh services are not affected.
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
meshconfig '{"spec":{"traffic":{"enableEgress":false}}}'
off() { ! get; }
until_ok 10 off || fail "egress off: still reachable"
expect_eq "enableEgress in config_dump" "$(proxy_get config_dump app client | jq .Spec.Traffic.EnableEgress)" false
expect_eq "mesh service with egress off" "$(mesh)" 200
meshconfig '{"spec":{"traffic":{"enableEgress":true}}}'
on() { [ "$(get)" = external ]; }
until_ok 10 on || fail "egress on again"
done_ok
