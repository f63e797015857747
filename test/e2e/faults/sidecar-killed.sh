#!/bin/bash
# a sidecar is killed: its container is restarted, status says so, and requests work again.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
httpbin app
client app
wait_ready app deployment/httpbin pod/client
code() { in_pod app client curl -s -o /dev/null -m 5 -w '%{http_code}' http://httpbin.app:14001/get; }
expect_eq "before" "$(code)" 200
pod=$(pods_of app app=httpbin)
restarts() { fsml get pod -n app "$pod" -o json | jq '[(.status.initContainerStatuses + .status.containerStatuses)[] | select(.name == "sidecar")][0].restartCount'; }
expect_eq "restarts before" "$(restarts)" 0
sidecar_kill app "$pod"
again() { [ "$(restarts)" = 1 ] && [ "$(code)" = 200 ]; }
until_ok 30 again || fail "no recovery: restarts $(restarts), answer $(code)"
expect_match "status tells" "$(place_status)" "$pod.*1"
done_ok
