#!/bin/bash
# exclusive: it measures time, or needs both cores
# a Deployment is scaled up and down 20 times under load: no request fails.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
ROUNDS=${ROUNDS:-20}
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
  replicas: 1
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
has() { [ "$(fsml get deployment -n app web -o json | jq '.status.readyReplicas // 0')" = "$1" ]; }
few() { [ "$(pods_of app app=web | wc -l)" = 1 ]; }
for _ in $(seq 1 "$ROUNDS"); do
    fsml scale -n app deployment/web --replicas=4 >/dev/null || fail scale
    until_ok 30 has 4 || fail "4 replicas never became ready"
    fsml scale -n app deployment/web --replicas=1 >/dev/null || fail scale
    until_ok 30 few || fail "never back to one pod"
done
in_pod app client pkill -INT -f load.py
wait $load
out=$(tail -n 1 "$TMP/load")
expect_match "load" "$out" '^requests=[1-9][0-9]* failed=0 '
done_ok "$ROUNDS times up and down, $out"
