#!/bin/bash
# permissive mode on and off by `patch meshconfig`: on, every service answers; off, nothing is
# allowed without a policy; on again, it answers again.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
httpbin app
client app
wait_ready app deployment/httpbin pod/client
meshconfig '{"spec":{"traffic":{"enableEgress":false}}}'
code() { in_pod app client curl -s -o /dev/null -m 5 -w '%{http_code}' http://httpbin.app:14001/get; }
is() { [ "$(code)" = "$1" ]; }
until_ok 10 is 200 || fail "permissive: $(code)"
meshconfig '{"spec":{"traffic":{"enablePermissiveTrafficPolicyMode":false}}}'
until_ok 10 is 000 || fail "permissive off: still $(code)"
expect_eq "config_dump" "$(proxy_get config_dump app client | jq -c '.Outbound.TrafficMatches // null')" null
meshconfig '{"spec":{"traffic":{"enablePermissiveTrafficPolicyMode":true}}}'
until_ok 10 is 200 || fail "permissive on again: $(code)"
done_ok
