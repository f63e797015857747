#!/bin/bash
# a Service is asked the moment its first pod is ready, and by a client that is ready only now:
# 50 times, 0 failed, with plain sidecar containers (which start beside the application).
# places: local, it is about sidecars that start beside the application, which a server with native sidecars does not have
. "$(dirname "$0")/../lib.sh"
ROUNDS=${ROUNDS:-10}
EACH=5
mesh_up --native-sidecar=false
mesh_ns app
client app
wait_ready app pod/client
# ready POD: waits for nothing but the pod; then asks NAME from CLIENT
ready() { fsml wait -n app "pod/$1" --for=ready --timeout=60s >/dev/null; }
ask() { # CLIENT NAME: what curl got, on one line
    in_pod app "$1" curl -s -m 12 -o /dev/null -w '%{http_code} %{time_total} %{errormsg}' "http://$2.app:8080/"
}
one() { # ID: a server that a client asks which was there, then a client that is new
    server app "web$1" 8080 http -- sh -c 'cd /tmp && exec python3 -m http.server 8080'
    ready "web$1" || echo "web$1 did not become ready"
    echo "server: $(ask client "web$1")"
    client app "new$1"
    ready "new$1" || echo "new$1 did not become ready"
    echo "client: $(ask "new$1" "web$1")"
    fsml delete -n app pod "web$1" "new$1" >/dev/null 2>&1
}
for round in $(seq "$ROUNDS"); do
    for k in $(seq $EACH); do one "$round-$k" >"$TMP/out.$round-$k" 2>&1 & done
    for j in $(jobs -p); do wait "$j"; done
done
cat "$TMP"/out.* >"$TMP/all"
good=$(grep -c ': 200 ' "$TMP/all")
[ "$good" = $((2 * ROUNDS * EACH)) ] || {
    grep -v ': 200 ' "$TMP/all" | sort | uniq -c >&2
    fail "$good of $((2 * ROUNDS * EACH)) requests were answered"
}
done_ok "$good requests, each at once after the pod was ready: 0 failed; s: $(awk '{print $3}' "$TMP/all" | quantiles)"
