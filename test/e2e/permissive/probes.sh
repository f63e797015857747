#!/bin/bash
# probes of every kind work in meshed pods, and report the truth: http, https, tcp, grpc, exec; a
# failing one keeps the pod out, a failing liveness probe restarts the container.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=probes \
    -keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
in_pods "$TMP"
pod() { # NAME COMMAND-JSON PROBES-YAML-FLOW
    apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: app, labels: {app: $1}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "debian:12", command: $2, ports: [{name: web, containerPort: 8080}], $3}
YAML
}
hello="[$PY, $ROOT/test/e2e/peers/hostname_http.py, \"8080\"]"
pod http "$hello" 'startupProbe: {httpGet: {path: /, port: web}, periodSeconds: 1}, readinessProbe: {httpGet: {path: /r, port: 8080}, periodSeconds: 1}, livenessProbe: {httpGet: {path: /l, port: 8080}, periodSeconds: 1}'
pod tcp "$hello" 'readinessProbe: {tcpSocket: {port: web}, periodSeconds: 1}'
pod exec "$hello" 'readinessProbe: {exec: {command: [curl, -sf, "http://127.0.0.1:8080/"]}, periodSeconds: 1}'
pod https "[openssl, s_server, -accept, \"8080\", -cert, $TMP/cert.pem, -key, $TMP/key.pem, -www, -quiet]" \
    'readinessProbe: {httpGet: {path: /, port: 8080, scheme: HTTPS}, periodSeconds: 1}'
pod grpc "[$PY, $ROOT/test/e2e/peers/health_peer.py, \"8080\"]" 'readinessProbe: {grpc: {port: 8080}, periodSeconds: 1}'
pod http-bad "$hello" 'readinessProbe: {httpGet: {path: /, port: 8081}, periodSeconds: 1}'
pod tcp-bad "$hello" 'readinessProbe: {tcpSocket: {port: 8081}, periodSeconds: 1}'
pod grpc-bad "[$PY, $ROOT/test/e2e/peers/health_peer.py, \"8080\", bad]" 'readinessProbe: {grpc: {port: 8080}, periodSeconds: 1}'
pod live-bad "$hello" 'livenessProbe: {httpGet: {path: /, port: 8081}, periodSeconds: 1, failureThreshold: 1}'
wait_ready app pod/http pod/tcp pod/exec pod/https pod/grpc
restarted() {
    [ "$(fsml get pod -n app live-bad -o json | jq '[.status.containerStatuses[] | select(.name == "main")][0].restartCount')" -ge 1 ]
}
until_ok 30 restarted || fail "a failing liveness probe did not restart its container"
for p in http-bad tcp-bad grpc-bad; do
    ready=$(fsml get pod -n app $p -o json | jq -r '.status.conditions[] | select(.type == "Ready") | .status')
    expect_eq "$p ready" "$ready" False
done
done_ok "http https tcp grpc exec; failing ones fail"
