#!/bin/bash
# probes of every kind (httpGet over HTTP and HTTPS, tcpSocket, grpc, exec) as startup, readiness
# and liveness: what passes becomes ready, what fails is kept out of the Service or restarted.
. "$(dirname "$0")/plain.bash"
mesh_up --without-controller --restart-backoff 100ms
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$TMP/key.pem" -out "$TMP/cert.pem" -days 1 -subj /CN=x >/dev/null 2>&1 || fail "openssl"
cat >"$TMP/https.py" <<'PYEOF'
import http.server, ssl, sys
s = http.server.HTTPServer(("", 8443), http.server.SimpleHTTPRequestHandler)
c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
c.load_cert_chain(sys.argv[1] + "/cert.pem", sys.argv[1] + "/key.pem")
s.socket = c.wrap_socket(s.socket, server_side=True)
s.serve_forever()
PYEOF
cat >"$TMP/switch.py" <<'PYEOF'
# 200 while /tmp/good is there, 503 else; 400 without the header X-Probe: yes
import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ok = os.path.exists("/tmp/good")
        self.send_response(400 if self.headers.get("X-Probe") != "yes" else 200 if ok else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *a):
        pass
http.server.HTTPServer(("", 8080), H).serve_forever()
PYEOF
in_pods "$TMP"
pod() { # NAME COMMAND(JSON) PROBES
    apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, labels: {app: $1}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: "debian:12"
    command: $2
    ports: [{name: http, containerPort: 8080}]
$3
YAML
}
pod https "[$PY, $TMP/https.py, $TMP]" '    readinessProbe: {httpGet: {scheme: HTTPS, path: /, port: 8443}, periodSeconds: 1}'
pod tcp '[socat, "TCP-LISTEN:9000,fork", EXEC:cat]' '    readinessProbe: {tcpSocket: {port: 9000}, periodSeconds: 1}
    livenessProbe: {tcpSocket: {port: 9000}, periodSeconds: 1}'
pod exec '[sh, -c, "sleep 0.5; touch /tmp/up; exec sleep 1000"]' '    startupProbe: {exec: {command: [test, -e, /tmp/up]}, periodSeconds: 1}'
pod closed '[sleep, "1000"]' '    readinessProbe: {tcpSocket: {port: 9}, periodSeconds: 1}'
pod http "[sh, -c, 'touch /tmp/good; exec $PY $TMP/switch.py']" '    readinessProbe: {httpGet: {path: /, port: http, httpHeaders: [{name: X-Probe, value: "yes"}]}, periodSeconds: 1, failureThreshold: 1}'
pod plainhttp "[sh, -c, 'touch /tmp/good; exec $PY $TMP/switch.py']" '    readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}'
# what they print is no UTF-8, or is cut inside a character
pod latin '[sleep, "1000"]' "    readinessProbe: {exec: {command: [sh, -c, \"printf 'k\\\\344se'; exit 1\"]}, periodSeconds: 1}"
pod longtext '[sleep, "1000"]' "    readinessProbe: {exec: {command: [sh, -c, \"yes k\\\\303\\\\244se | tr -d '\\\\n' | head -c 5000; exit 1\"]}, periodSeconds: 1}"
wait_ready default pod/https pod/tcp pod/exec pod/http
said() { fsml get events | grep -q "$1.*readinessProbe failed: command exited with 1: $2"; }
until_ok 5 said latin 'k?se' || fail "a probe that prints no UTF-8: $(fsml get events)"
until_ok 5 said longtext 'k' || fail "a probe that prints much: $(fsml get events)"
if $PY -c 'import grpc' 2>/dev/null; then
    pod grpc "[$PY, $ROOT/test/e2e/peers/health_peer.py, \"9001\"]" '    readinessProbe: {grpc: {port: 9001}, periodSeconds: 1}'
    wait_ready default pod/grpc
    # one that answers NOT_SERVING
    pod grpcno "[$PY, $ROOT/test/e2e/peers/health_peer.py, \"9001\", \"no\"]" '    readinessProbe: {grpc: {port: 9001}, periodSeconds: 1}'
    says_no() { fsml get events | grep -q 'grpcno.*not serving'; }
    until_ok 10 says_no || fail "a gRPC server that does not serve: no event"
fi
ready() { fsml get pod "$1" -o 'jsonpath={.status.conditions[3].status}'; }
for p in closed plainhttp; do expect_eq "$p" "$(ready $p)" False; done
[ "$(ready grpcno 2>/dev/null)" != True ] || fail "grpcno is ready"
# readiness decides about endpoints
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: http}
spec: {selector: {app: http}, ports: [{port: 80, targetPort: http}]}
YAML
endpoint() { fsml get endpointslice http-v4 -o 'jsonpath={.endpoints[0].conditions.ready}'; }
is() { [ "$(endpoint)" = "$1" ]; }
until_ok 5 is true || fail "endpoint of a ready pod: $(endpoint)"
in_pod default http rm /tmp/good
until_ok 5 is false || fail "endpoint of a pod that is not ready any more: $(endpoint)"
in_pod default http touch /tmp/good
until_ok 5 is true || fail "endpoint of a pod that is ready again: $(endpoint)"
# liveness restarts, and the startup probe protects a slow start from it
pod live "[sh, -c, 'touch /tmp/good; exec $PY $TMP/switch.py']" '    livenessProbe: {httpGet: {path: /, port: http, httpHeaders: [{name: X-Probe, value: "yes"}]}, periodSeconds: 1, failureThreshold: 2}'
pod slow "[sh, -c, 'touch /tmp/good; sleep 3; exec $PY $TMP/switch.py']" '    startupProbe: {httpGet: {path: /, port: http, httpHeaders: [{name: X-Probe, value: "yes"}]}, periodSeconds: 1, failureThreshold: 30}
    livenessProbe: {httpGet: {path: /, port: http, httpHeaders: [{name: X-Probe, value: "yes"}]}, periodSeconds: 1, failureThreshold: 1}'
pod hopeless '[sleep, "1000"]' '    startupProbe: {tcpSocket: {port: 9}, periodSeconds: 1, failureThreshold: 2}'
wait_ready default pod/live pod/slow
restarts() { fsml get pod "$1" -o 'jsonpath={.status.containerStatuses[0].restartCount}'; }
expect_eq "restarts of a slow start" "$(restarts slow)" 0
in_pod default live rm /tmp/good
restarted() { [ "$(restarts "$1")" -ge 1 ]; }
until_ok 15 restarted live || fail "a dead container was not restarted"
until_ok 15 restarted hopeless || fail "a container that never starts was not restarted"
wait_ready default pod/live
done_ok
