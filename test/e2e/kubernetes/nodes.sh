#!/bin/bash
# exclusive: it measures time, or needs both cores
# 100,000 requests and more, from one pod of the mesh to a Deployment on two nodes, while that is restarted
# pod by pod and scaled up and down, a node is drained (pods evicted, the mesh's own too), and kubelet and
# containerd of each node are killed and started again: none fails
# optional: its kubelets and API server are built from Go modules, which takes minutes the first time
FSM_PLACE=kubernetes
. "$(dirname "$0")/../lib.sh"
unset FSM_LAB_MESH
REQUESTS=${REQUESTS:-100000}
PIECE=2000
# Two controllers: while a single one is evicted together with the servers, sidecars know nobody who says
# that these go.
OVERLAY=${OVERLAY:-ha}
LAB_NODES=2
mesh_up
mesh_ns app
cat >"$TMP/nginx.conf" <<CONF
daemon off; master_process off; pid /tmp/nginx.pid; error_log stderr;
events { worker_connections 512; }
http { access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
  uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; keepalive_requests 1000000;
  server { listen 8080; location / { return 200 "hello\n"; } } }
CONF
# in pieces, so that new connections are made all the time; as the pod's own process, which needs no
# kubelet to go on.  By address: the cluster's DNS has one pod, which is evicted, too.
cat >"$TMP/load" <<LOAD
cd /tmp
until [ -e stop ]; do
    h2load --h1 -n $PIECE -c 8 --rps=150 --connect-to="\$1" http://web.app:8080/ >piece 2>&1
    grep -E '^(requests|status codes):' piece | paste -sd' ' >>pieces
done
touch stopped
exec sleep infinity
LOAD
in_pods "$TMP"
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: web, namespace: app}
spec: {ports: [{name: http, port: 8080}], selector: {app: web}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: app}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: app}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 10
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}}
      containers:
      - name: main
        image: "debian:12"
        command: [nginx, -c, $TMP/nginx.conf]
        lifecycle: {preStop: {exec: {command: [sleep, "2"]}}}
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
YAML
wait_ready app deployment/web
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: app}
spec:
  nodeSelector: {kubernetes.io/hostname: node1}
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "debian:12", command: [bash, $TMP/load, "$(service_ip app web):8080"]}
YAML
wait_ready app pod/client

pieces() { in_pod app client cat /tmp/pieces; }
# of what is done: all of it succeeded
good() {
    pieces | grep -vxE "requests: $PIECE total, $PIECE started, $PIECE done, $PIECE succeeded, 0 failed, 0 errored, 0 timeout status codes: $PIECE 2xx, .*" >"$TMP/bad"
    [ ! -s "$TMP/bad" ] || fail "$1: requests failed: $(cat "$TMP/bad")
$(proxy_get stats app client | grep -vE ' 0$' | grep -E 'downstream_rq|upstream_.*fail|reset|5xx|local')"
}
more() { [ "$(pieces | wc -l)" -gt "$1" ]; }
PHASES=
# what went on until now went well, and the load goes on
phase() { # NAME
    local n
    n=$(pieces | wc -l)
    until_ok 60 more "$((n + 1))" || fail "$1: the load stands still"
    good "$1"
    PHASES+="${PHASES:+, }$1 $(($(now_ms) - BEGUN)) ms"
    BEGUN=$(now_ms)
}
servers() { kube get deployment -n app web -o 'jsonpath={.status.readyReplicas}'; }
are() { [ "$(servers)" = "$1" ] && [ "$(pods_of app app=web | wc -l)" = "$1" ]; }
on_nodes() { kube get pods -n app -l app=web -o 'jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort | uniq -c | awk '{print $2 "=" $1}' | paste -sd' '; }
until_ok 20 pieces || fail "no load"
BEGUN=$(now_ms)
phase "before"
expect_eq "pods of each node" "$(on_nodes)" "node1=2 node2=2"

for _ in 1 2; do
    kube rollout restart -n app deployment/web >/dev/null || fail "restart"
    place_wait app deployment/web 120s >"$TMP/wait.log" 2>&1 || fail "restart: $(cat "$TMP/wait.log")"
    until_ok 60 are 4 || fail "restart: $(servers) pods are ready"
done
phase "restarted twice"

for _ in 1 2 3; do
    for n in 8 2; do
        kube scale -n app deployment/web --replicas=$n >/dev/null || fail "scale"
        until_ok 90 are $n || fail "scaled to $n: $(servers) pods are ready"
    done
done
kube scale -n app deployment/web --replicas=4 >/dev/null || fail "scale"
until_ok 90 are 4 || fail "scaled to 4: $(servers) pods are ready"
phase "scaled 3 times to 8 and to 2"

# ---- eviction ------------------------------------------------------------------------------------------
kube drain node2 --ignore-daemonsets --delete-emptydir-data --timeout=150s >"$TMP/drain.log" 2>&1 || fail "drain: $(cat "$TMP/drain.log")"
until_ok 60 are 4 || fail "drained: $(servers) pods are ready"
expect_eq "pods of each node after the eviction" "$(on_nodes)" "node1=4"
kube uncordon node2 >/dev/null
for name in fsm-controller fsm-injector; do place_wait fsm-system "deployment/$name" 90s >/dev/null || fail "$name after the eviction"; done
phase "evicted $(grep -c evicted "$TMP/drain.log")"
kube rollout restart -n app deployment/web >/dev/null || fail "restart"
place_wait app deployment/web 120s >"$TMP/wait.log" 2>&1 || fail "spread: $(cat "$TMP/wait.log")"
until_ok 60 are 4 || fail "spread: $(servers) pods are ready"
expect_match "pods of each node" "$(on_nodes)" '^node1=[1-3] node2=[1-3]$'
phase "spread again"

# ---- nodes start again ---------------------------------------------------------------------------------
ran() { kube get pods -A -o json | jq -c '[.items[] | {(.metadata.name): [(.status.initContainerStatuses // [])[], .status.containerStatuses[] | .containerID]}] | add'; }
ran >"$TMP/ran"
for node in node2 node1; do
    # the kubelet first: it would take a runtime that is away for its pods' end
    for program in kubelet containerd; do lab kill $node/$program || fail "kill $node/$program"; done
    sleep 5 # a fault of some length, of which the API server notices nothing
    for program in containerd kubelet; do lab start $node/$program || fail "start $node/$program"; done
    kube run -n app "after-$node" --image=debian:12 --restart=Never --command --overrides="{\"spec\":{\"nodeName\":\"$node\"}}" -- true >/dev/null || fail "a pod on $node"
    done_there() { [ "$(kube get pod -n app "after-$node" -o 'jsonpath={.status.phase}')" = Succeeded ]; }
    until_ok 60 done_there || fail "$node runs no new pod: $(kube describe pod -n app "after-$node" | tail -n 12)"
    kube delete pod -n app "after-$node" >/dev/null
    until_ok 60 are 4 || fail "$node started again: $(servers) pods are ready"
    phase "$node started again"
done
diff "$TMP/ran" <(ran) >"$TMP/diff" || fail "containers did not outlive their node's daemons: $(cat "$TMP/diff")"
synced

enough() { [ $(($(pieces | wc -l) * PIECE)) -ge "$REQUESTS" ]; }
until_ok 200 enough || fail "only $(pieces | wc -l) pieces of $PIECE requests"
in_pod app client touch /tmp/stop
until_ok 30 in_pod app client test -e /tmp/stopped || fail "the load does not stop"
good "in all"
done_ok "$(($(pieces | wc -l) * PIECE)) requests, 0 failed; $PHASES"
