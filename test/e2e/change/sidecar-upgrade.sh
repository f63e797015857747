#!/bin/bash
# a sidecar is followed by another process of its program under load, while the controller is away:
# no request fails, certificate and document stay, the container is not restarted; the successor
# takes what the controller says later
# places: local, on a cluster a sidecar gets another program with another pod
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
httpbin app
client app
wait_ready app deployment/httpbin pod/client
in_pod app client curl -s -o /dev/null -m 5 http://httpbin.app:14001/get || fail "no answer"
server=$(pods_of app app=httpbin)
sidecar_of() { # POD: the process that its runtime watches, the first of its line
    local pid
    for pid in $(pgrep -x fsm-sidecar -u 1500); do
        [ "$(nsenter -t "$pid" -n ip -j addr show eth0 2>/dev/null | jq -r '.[0].addr_info[0].local' 2>/dev/null)" = "$(pod_ip app "$1")" ] &&
            ! grep -q fsm-sidecar "/proc/$(ps -o ppid= -p "$pid" | tr -d ' ')/comm" && echo "$pid"
    done
}
serial() { proxy_get certs app "$1" | jq -r .Serial; }
version() { proxy_get config_dump app "$1" | jq -r .Version; }
before="$(serial client) $(version client) $(serial "$server") $(version "$server")"
controller=$(pgrep -f "fsm-controller .*local/$MESH/")
[ -n "$controller" ] || fail "no controller"
fsml exec -n app client -- $PY "$ROOT/test/e2e/peers/load.py" http://httpbin.app:14001/get 4 >"$TMP/load" 2>&1 &
load=$!
sleep 0.5
kill -STOP $controller
first=$(sidecar_of client) second=$(sidecar_of "$server")
[ -n "$first" ] && [ -n "$second" ] || fail "no sidecars"
newest() { pgrep -x fsm-sidecar -n -P "$1,$(pgrep -x fsm-sidecar -P "$1" | paste -sd,)"; }
for _ in 1 2 3; do
    for pid in $first $second; do
        old=$(newest "$pid")
        kill -USR2 "$pid"
        followed() { [ "$(newest "$pid")" != "$old" ]; }
        until_ok 10 followed || fail "no successor"
    done
    sleep 1
done
kill -CONT $controller
after="$(serial client) $(version client) $(serial "$server") $(version "$server")"
expect_eq "certificates and documents" "$after" "$before"
pkill -INT -f "peers/load.py http://httpbin.app:14001/get 4"
wait $load
expect_match "requests" "$(cat "$TMP/load")" 'requests=[0-9]{3,} failed=0 '
# one that was followed itself leaves when it is empty: the first and the last stay
two() { [ "$(pgrep -x fsm-sidecar -c -P "$first")" = 1 ] && [ "$(pgrep -x fsm-sidecar -c -P "$second")" = 1 ]; }
until_ok 20 two || fail "processes are left: $(ps -o pid,ppid,args -C fsm-sidecar)"
expect_eq "restarts" "$(fsml get pod -n app client -o json | jq '[.status.initContainerStatuses[], .status.containerStatuses[] | .restartCount] | add')" 0
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: later, namespace: app}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 15000, targetPort: 14001}]}
YAML
later() { in_pod app client curl -sf -o /dev/null -m 2 http://later.app:15000/get; }
until_ok 10 later || fail "the successor takes no new document"
done_ok "$(tail -n 1 "$TMP/load")"
