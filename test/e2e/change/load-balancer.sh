#!/bin/bash
# One of three pods is slow.  Taking turns, it gets a third of the requests and everybody waits for
# it; with flomesh.io/load-balancer: LeastConnectionLoadBalancer it gets a few, from the next
# request on, and no request fails at the change.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
meshconfig '{"spec":{"traffic":{"http1PerRequestLoadBalancing":true}}}'
balancer() {
    apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: web, namespace: app, annotations: {flomesh.io/load-balancer: $1}}
spec: {ports: [{name: http, port: 8080}], selector: {app: web}}
YAML
}
pod() { # NAME SECONDS
    apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: app, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: "debian:12"
    command: [$PY, "$ROOT/test/e2e/peers/hostname_http.py", "8080", "$1", "$2"]
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
YAML
}
load() { # SECONDS: share of the slow one, and the 90th percentile, on the last line but one
    in_pod app client sh -c "timeout -s INT $1 $PY $ROOT/test/e2e/peers/load.py http://web.app:8080/ 12; true" >"$TMP/load" 2>&1
    expect_match load "$(tail -n 1 "$TMP/load")" '^requests=[1-9][0-9]* failed=0 hosts=3$'
    tail -n 2 "$TMP/load" | sed -n 's/.*slow=\([0-9]*\)% p90=\([0-9]*\)ms$/\1 \2/p'
}
balancer RoundRobinLoadBalancer
pod fast1 0.01
pod fast2 0.01
pod slow 0.3
client app
wait_ready app pod/fast1 pod/fast2 pod/slow pod/client
read -r turns turns_p90 < <(load 4)
[ "${turns:-0}" -ge 28 ] || fail "taking turns: $(cat "$TMP/load")"
in_pod app client $PY "$ROOT/test/e2e/peers/load.py" http://web.app:8080/ 4 >"$TMP/meanwhile" 2>&1 &
meanwhile=$!
balancer LeastConnectionLoadBalancer
synced
in_pod app client pkill -INT -f load.py
wait $meanwhile
expect_match "load at the change" "$(tail -n 1 "$TMP/meanwhile")" '^requests=[1-9][0-9]* failed=0 '
read -r least least_p90 < <(load 4)
[ "${least:-100}" -le 15 ] || fail "the slow pod gets $least % of the requests: $(cat "$TMP/load")"
balancer leastconn
wrong() { [[ $(warnings) == *'load-balancer "leastconn" is not known: expected RoundRobinLoadBalancer or LeastConnectionLoadBalancer'* ]]; }
until_ok 10 wrong || fail "a wrong name is not told: $(warnings)"
done_ok "the slow one of three gets $turns % taking turns (p90 $turns_p90 ms), $least % of two the less busy (p90 $least_p90 ms)"
