#!/bin/bash
# the mesh on a cluster of two nodes, from `kubectl apply -k` to its removal: pods that the webhook
# injected talk from node to node over mutual TLS, a changed MeshConfig takes effect, who is not in the mesh
# is refused, a Job ends, the control plane restarts without a failed request; nothing is left behind
# optional: its API server is built from Go modules, which takes minutes the first time
FSM_PLACE=kubernetes
. "$(dirname "$0")/../lib.sh"
OVERLAY=${OVERLAY:-default}
unset FSM_LAB_MESH
mesh() { "$ROOT/test/kubernetes/mesh" --name "$LAB_NAME" "$@" >"$TMP/mesh.log" 2>&1 || fail "mesh $*: $(cat "$TMP/mesh.log")"; }
# every object of the cluster, but for what comes and goes by itself
objects() {
    kube api-resources --verbs=list -o name | grep -vxE 'events(\.events\.k8s\.io)?|leases\.coordination\.k8s\.io|pods\.metrics.*|componentstatuses' |
        while read -r kind; do
            kube get "$kind" -A --ignore-not-found -o "jsonpath={range .items[*]}$kind {.metadata.namespace}/{.metadata.name}{'\n'}{end}" 2>/dev/null
        done | sort
}
code() { in_pod "$1" client curl -s -o /dev/null -m 5 -w '%{http_code}' http://httpbin.shop:14001/get; }

lab_up 2
MESH_UP=1
objects >"$TMP/before"
"$ROOT/test/kubernetes/test-image" | lab import || fail "the tests' image"
t0=$(now_ms)
mesh up "$OVERLAY"
up_ms=$(($(now_ms) - t0))
restarts=$(kube get pods -n fsm-system -o json | jq '[.items[].status.containerStatuses[].restartCount] | add')
[ "$restarts" = 0 ] || fail "the control plane was restarted $restarts times: $(
    for pod in $(kube get pods -n fsm-system -o name); do kube logs -n fsm-system --previous "$pod" --tail=5 2>/dev/null; done)"
expect_eq "problems" "$(controller_get /problems | jq -c '[.[] | select(.severity == "error")]')" '[]'

# ---- two applications, on different nodes ------------------------------------------------------------
mesh_ns shop
plain_ns outside
kube cordon node2 >/dev/null
client shop
client outside
wait_ready outside pod/client
kube wait -n shop pod/client --for=condition=Ready --timeout=60s >"$TMP/wait.log" 2>&1 || {
    kube describe pod -n shop client | tail -n 40 >&2
    fail "the injected pod does not become ready"
}
kube uncordon node2 >/dev/null && kube cordon node1 >/dev/null
httpbin shop
wait_ready shop deployment/httpbin
kube uncordon node1 >/dev/null
expect_eq "nodes" "$(kube get pods -n shop -o json | jq -r '[.items[].spec.nodeName] | sort | join(" ")')" "node1 node2"
pod=$(pods_of shop app=httpbin)
expect_eq "containers that the webhook added" \
    "$(kube get pod -n shop "$pod" -o json | jq -r '[.spec.initContainers[].name] | join(" ")')" "fsm-init sidecar"
first_ms=$(($(now_ms) - t0))
lab exec control tcpdump -i lab -s 0 -U -w - 'tcp and (port 14001 or port 15003)' >"$TMP/cap" 2>"$TMP/tcpdump.log" &
dump=$!
until_ok 10 grep -q listening "$TMP/tcpdump.log" || fail "tcpdump: $(cat "$TMP/tcpdump.log")"
for _ in 1 2 3; do
    in_pod shop client curl -sS -m 5 -H 'X-Mark: sesame-open' http://httpbin.shop:14001/anything/secret-path >"$TMP/answer" || fail "curl: $(proxy_get stats shop client | grep -E 'rq_|tls')"
    grep -q sesame-open "$TMP/answer" || fail "the mark did not come back: $(cat "$TMP/answer")"
done
expect_match "whom the server was told" "$(cat "$TMP/answer")" '"Serviceidentity": ?"client.shop'
seen() { [ "$(tcpdump -r "$TMP/cap" 2>/dev/null | wc -l)" -gt 10 ]; }
until_ok 5 seen || fail "nothing was captured between the nodes"
kill $dump 2>/dev/null
for word in sesame secret-path HTTP/1 gunicorn; do
    grep -aq "$word" "$TMP/cap" && fail "'$word' crossed the nodes in the clear"
done
expect_match "the client's certificate" "$(proxy_get certs shop client)" 'client.shop.cluster.local'
expect_match "the server's certificate" "$(proxy_get certs shop "$pod")" 'httpbin.shop.cluster.local'
handshakes=$(proxy_get stats shop "$pod" | awk '/downstream_tls_handshakes_total/ {n += $NF} END {print n + 0}')
[ "$handshakes" -gt 0 ] || fail "the server's sidecar counted no TLS handshake"

# ---- settings, and who is not in the mesh ------------------------------------------------------------
refused() { [ "$(code outside)" = 000 ]; }
refused || fail "plaintext from outside of the mesh: $(code outside)"
# the words of the manual, typed
kube patch meshconfig fsm-mesh-config -n fsm-system -p '{"spec":{"traffic":{"enablePermissiveTrafficPolicyMode":false}}}' --type=merge >/dev/null || fail patch
is() { [ "$(code shop)" = "$1" ]; }
until_ok 10 is 000 || fail "permissive mode off: the answer is still $(code shop)"
refused || fail "plaintext from outside, permissive mode off: $(code outside)"
kube patch meshconfig fsm-mesh-config -n fsm-system -p '{"spec":{"traffic":{"enablePermissiveTrafficPolicyMode":true}}}' --type=merge >/dev/null || fail patch
until_ok 10 is 200 || fail "permissive mode on again: $(code shop)"

# ---- a Job -------------------------------------------------------------------------------------------
apply <<YAML
apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: shop}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: "debian:12", command: [curl, -sSf, -m, "10", "http://httpbin.shop:14001/get"]}]
YAML
kube_wait shop job/once condition=Complete
expect_match "the Job's answer" "$(kube logs -n shop job/once -c main)" '"url"'

# ---- the control plane restarts under load -----------------------------------------------------------
in_pod shop client $PY "$ROOT/test/e2e/peers/load.py" http://httpbin.shop:14001/get 2 >"$TMP/load" 2>&1 &
load=$!
for name in fsm-controller fsm-injector; do
    kube rollout restart -n fsm-system "deployment/$name" >/dev/null || fail "restart $name"
    kube rollout status -n fsm-system "deployment/$name" --timeout=90s >"$TMP/wait.log" 2>&1 || fail "$name: $(cat "$TMP/wait.log")"
done
synced
in_pod shop client pkill -INT -f load.py
wait $load
out=$(tail -n 1 "$TMP/load")
[[ $out =~ ^requests=[1-9][0-9]*\ failed=0\  ]] || fail "load while the control plane restarted: $(cat "$TMP/load")"
memory=$(for node in node1 node2; do kube get --raw "/api/v1/nodes/$node/proxy/stats/summary"; done | jq -sr '
    [.[].pods[].containers[]? | select(.name | test("^(fsm-|sidecar)")) | {name, mib: ((.memory.workingSetBytes // 0) / 1048576 | ceil)}] |
    group_by(.name) | map("\(.[0].name) \(map(.mib) | max)") | join(", ")')

# ---- away with it --------------------------------------------------------------------------------------
kube delete namespace shop outside --timeout=60s >/dev/null || fail "namespaces"
PLACE_NAMESPACES=()
mesh down "$OVERLAY"
nothing() {
    objects >"$TMP/after"
    diff "$TMP/before" "$TMP/after" >"$TMP/diff"
}
until_ok 60 nothing || fail "left behind: $(cat "$TMP/diff")"
done_ok "control plane ready after $up_ms ms, pods after $first_ms ms, $out; MiB: $memory"
