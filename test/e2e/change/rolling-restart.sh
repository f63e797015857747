#!/bin/bash
# exclusive: it measures time, or needs both cores
# places: local kubernetes
# a Deployment is restarted pod by pod under load, several times: no request fails.
. "$(dirname "$0")/../lib.sh"
ROUNDS=${ROUNDS:-3}
mesh_up
mesh_ns app
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: web, namespace: app}
spec: {ports: [{name: http, port: 8080}], selector: {app: web}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: app}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: main
        image: "debian:12"
        command: [$PY, "$ROOT/test/e2e/peers/hostname_http.py", "8080"]
        lifecycle: {preStop: {exec: {command: [sleep, "1"]}}}
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
YAML
client app
wait_ready app deployment/web pod/client
in_pod app client $PY "$ROOT/test/e2e/peers/load.py" http://web.app:8080/ 8 >"$TMP/load" 2>&1 &
load=$!
pods() { pods_of app app=web | sort; }
# none of the pods before, and all that there should be
replaced() {
    [ "$(pods | wc -l)" = 3 ] && [ -z "$(comm -12 <(pods) "$TMP/before")" ] &&
        [ "$(fsml get deployment -n app web -o json | jq '.status.readyReplicas // 0')" = 3 ]
}
for _ in $(seq "$ROUNDS"); do
    pods >"$TMP/before"
    fsml restart -n app deployment/web >/dev/null || fail restart
    until_ok 90 replaced || fail "not all pods were replaced: $(pods | paste -sd' ')"
done
in_pod app client pkill -INT -f load.py
wait $load
out=$(tail -n 1 "$TMP/load")
expect_match "load" "$out" '^requests=[1-9][0-9]* failed=0 '
done_ok "$ROUNDS times, $out"
