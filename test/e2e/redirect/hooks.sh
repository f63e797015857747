#!/bin/bash
# lifecycle hooks of a meshed pod reach its container, also those of an init sidecar: preStop over HTTP;
# the same pod outside the mesh gets the same requests
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
plain_ns outside
mkdir "$TMP/said"
chmod 777 "$TMP" "$TMP/said"
cat >"$TMP/web.py" <<'PY'
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        with open(sys.argv[2], "a") as f:
            f.write("%s %s %s\n" % (self.command, self.path, self.headers.get("X-Why", "-")))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *args):
        pass
ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
PY
pod() { # NAMESPACE NAME
    apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $2, namespace: $1}
spec:
  terminationGracePeriodSeconds: 5
  initContainers:
  - name: agent
    image: "debian:12"
    restartPolicy: Always
    command: [$PY, $TMP/web.py, "8090", /said/$2-agent]
    volumeMounts: [{name: said, mountPath: /said}]
    lifecycle: {preStop: {httpGet: {path: /agent-stop, port: 8090}}}
    startupProbe: {httpGet: {path: /agent-started, port: 8090}, periodSeconds: 1}
  containers:
  - name: web
    image: "debian:12"
    command: [$PY, $TMP/web.py, "8080", /said/$2]
    volumeMounts: [{name: said, mountPath: /said}]
    ports: [{name: http, containerPort: 8080}]
    lifecycle:
      preStop: {httpGet: {path: "/stop?now=1", port: http, httpHeaders: [{name: X-Why, value: goodbye}]}}
    readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1}
  volumes: [{name: said, hostPath: {path: $TMP/said}}]
YAML
}
pod app web
pod outside plain
wait_ready app pod/web
wait_ready outside pod/plain
for p in app/web outside/plain; do
    fsml delete pod -n ${p%/*} ${p#*/} >/dev/null || fail "delete $p"
done
gone() { ! fsml get pod -n app web >/dev/null 2>&1 && ! fsml get pod -n outside plain >/dev/null 2>&1; }
until_ok 20 gone || fail "the pods do not end"
for p in plain web; do
    expect_match "preStop of $p" "$(cat "$TMP/said/$p")" $'GET /stop\\?now=1 goodbye'
    expect_match "preStop of the agent of $p" "$(cat "$TMP/said/$p-agent")" 'GET /agent-stop -'
    expect_match "startup probe of the agent of $p" "$(cat "$TMP/said/$p-agent")" 'GET /agent-started -'
done
done_ok "preStop of a container and of an init sidecar, startup probe of an init sidecar"
