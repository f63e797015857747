# lib.sh - what every end-to-end scenario starts with.
#
#   #!/bin/bash
#   # what this scenario proves, in one line
#   . "$(dirname "$0")/../lib.sh"
#   mesh_up
#   ...
#   done_ok "figures worth printing"
#
# A scenario is one behaviour.  It runs alone as root, makes its own mesh under its own name,
# leaves nothing behind however it ends, and exits 0 (proved), 1 (failed) or 77 (skipped, with the
# reason on the last line).  It waits for conditions, never for a number of seconds.
#
# FSM_PLACE says where: "local" (fsm local) or "kubernetes" (a lab).  What a scenario uses of the place is
#   fsml VERB ...           fsm local VERB, or kubectl VERB: get, apply, exec, logs, patch, scale ...
#   fsm_cli WORD...         fsm, for this mesh: namespace add NS, proxy get ...
#   controller_get PATH     a page of fsm-controller's admin address
#   warnings                what the mesh has to say about its resources
#   in_pods FILE...         pods made from now on can read these files, at their own paths
#   service_put NS NAME     makes, or changes, the Service on standard input as fast as can be; its address
#   as_sidecar NS POD COMMAND...   runs a command of this machine in the pod's network, as the sidecar's user
#   sidecar_status NS POD   /proc/PID/status of it; sidecar_kill NS POD
#   controller_signal SIGNAL, controller_restarts
#   capture NS/POD FILE FILTER     packets on their way between this pod and others, until capture_end
# and what is defined below in terms of these.  A scenario that runs in both says so in a line of its head,
# "# places: local kubernetes"; one that does not says why: "# places: local, REASON".
set -uo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
FSM_BIN=${FSM_BIN:-$ROOT/build/bin}
FSM=$FSM_BIN/fsm
PY=/usr/bin/python3
SCENARIO=$(basename "$0" .sh)
PLACE=${FSM_PLACE:-local}
TMP=$(mktemp -d "/tmp/fsm-$SCENARIO-XXXXXX")
MESH_UP=

say() { printf '%s: %s\n' "$SCENARIO" "$*"; }
skip() {
    say "SKIP: $*"
    exit 77
}
fail() {
    say "FAILED: $*" >&2
    if [ -n "$MESH_UP" ]; then
        place_status 2>&1 | sed 's/^/  status| /' >&2
        for ns_pod in ${FAIL_LOGS:-}; do
            echo "  logs of $ns_pod:" >&2
            fsml logs -n "${ns_pod%/*}" "${ns_pod#*/}" -c sidecar 2>&1 | tail -n 20 | sed 's/^/  log| /' >&2
        done
    fi
    exit 1
}
done_ok() {
    say "ok${*:+: $*}"
    exit 0
}

cleanup() {
    local rc=$?
    trap - EXIT INT TERM
    for j in $(jobs -p); do kill "$j" 2>/dev/null; done
    [ -n "$MESH_UP" ] && [ -z "${FSM_KEEP:-}" ] && place_down >/dev/null 2>&1
    type scenario_cleanup >/dev/null 2>&1 && scenario_cleanup
    [ -z "${FSM_KEEP:-}" ] && rm -rf "$TMP"
    exit $rc
}
trap cleanup EXIT
trap 'exit 130' INT TERM

[ "$(id -u)" = 0 ] || skip "needs root (network namespaces, iptables)"
[ -x "$FSM" ] || fail "no $FSM: run make first"

place_namespace() { :; } # it was made
case $PLACE in
local | kubernetes) . "$ROOT/test/e2e/on_$PLACE.bash" ;;
*) fail "FSM_PLACE '$PLACE': expected local or kubernetes" ;;
esac

mesh_up() {
    MESH_UP=1
    place_up "$@"
}
# namespaces that are in the mesh
mesh_ns() {
    local ns
    for ns; do
        plain_ns "$ns"
        place_join "$ns" >/dev/null || fail "namespace $ns does not join the mesh"
    done
}
# a namespace outside of it
plain_ns() {
    local ns
    for ns; do
        printf 'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n' "$ns" | apply
        place_namespace "$ns"
    done
}
apply() {
    fsml apply -f - >"$TMP/apply.log" 2>&1 || {
        cat "$TMP/apply.log" >&2
        fail "fsm local apply"
    }
}
meshconfig() {
    fsml patch meshconfig fsm-mesh-config -n fsm-system -p "$1" --type=merge >/dev/null ||
        fail "patch meshconfig $1"
}
# wait_ready NS pod/NAME|deployment/NAME|statefulset/NAME ...
wait_ready() {
    local ns=$1 what
    shift
    for what; do
        place_wait "$ns" "$what" "${WAIT:-60s}" >"$TMP/wait.log" 2>&1 || {
            cat "$TMP/wait.log" >&2
            fail "$ns $what did not become ready"
        }
    done
    synced
}
# Every sidecar uses what the controller has for it now, and that has stopped changing: equal in
# four looks, which are further apart than the controller's quiet time.
synced() {
    local last= now same=0 end=$(($(date +%s) + 20))
    while [ $same -lt 4 ]; do
        now=$(controller_get /proxies |
            jq -c 'map(select(.connected)) | if all(.current == .applied) then map([.pod, .current]) else "waiting" end')
        if [ "$now" = "$last" ] && [ "$now" != '"waiting"' ] && [ -n "$now" ]; then
            same=$((same + 1))
        else
            same=0
        fi
        last=$now
        [ "$(date +%s)" -lt $end ] || fail "sidecars are not up to date: $now"
        sleep 0.1
    done
}
# proxy_get QUERY NS POD [ARGUMENT...]: what the pod's sidecar says of itself
proxy_get() { fsm_cli proxy get "$1" -n "$2" "${@:3}"; }
# in_pod NS POD COMMAND...   (in its first container)
in_pod() {
    local ns=$1 pod=$2
    shift 2
    fsml exec -n "$ns" "$pod" -- "$@"
}
pod_ip() { fsml get pod -n "$1" "$2" -o json | jq -r .status.podIP; }
pods_of() { # NS LABEL=VALUE
    fsml get pods -n "$1" -o json |
        jq -r --arg k "${2%%=*}" --arg v "${2#*=}" '.items[] | select(.metadata.labels[$k] == $v) | .metadata.name'
}
service_ip() { fsml get service -n "$1" "$2" -o json | jq -r .spec.clusterIP; }
# until_ok SECONDS COMMAND... : tries every 50 ms
until_ok() {
    local end=$(($(date +%s%N) + $1 * 1000000000))
    shift
    while ! "$@" >"$TMP/until.log" 2>&1; do
        if [ "$(date +%s%N)" -ge $end ]; then
            cat "$TMP/until.log" >&2
            return 1
        fi
        sleep 0.05
    done
}
expect_eq() { # WHAT GOT EXPECTED
    [ "$2" = "$3" ] || fail "$1: got '$2', expected '$3'"
}
expect_match() { # WHAT GOT REGEX
    [[ $2 =~ $3 ]] || fail "$1: got '$2', expected it to match '$3'"
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }
# p50 and p99 of numbers on standard input
quantiles() {
    sort -n | awk '{v[NR] = $1} END {
        if (NR == 0) { print "none"; exit }
        printf "n=%d p50=%s p99=%s max=%s", NR, v[int((NR - 1) * 0.5) + 1], v[int((NR - 1) * 0.99) + 1], v[NR]
    }'
}

# ---- manifests used by many scenarios --------------------------------------------------------
# client NS [NAME [SERVICEACCOUNT]]: a pod that only waits for commands
client() {
    local ns=$1 name=${2:-client} sa=${3:-client}
    apply <<YAML
apiVersion: v1
kind: ServiceAccount
metadata: {name: $sa, namespace: $ns}
---
apiVersion: v1
kind: Pod
metadata: {name: $name, namespace: $ns, labels: {app: $name}}
spec:
  serviceAccountName: $sa
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "debian:12", command: [sleep, infinity]}
YAML
}
# httpbin NS [PORT]: Deployment and Service of that name
httpbin() {
    local ns=$1 port=${2:-14001}
    apply <<YAML
apiVersion: v1
kind: ServiceAccount
metadata: {name: httpbin, namespace: $ns}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: $ns}
spec:
  ports: [{name: http, port: $port}]
  selector: {app: httpbin}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: $ns}
spec:
  selector: {matchLabels: {app: httpbin}}
  template:
    metadata: {labels: {app: httpbin}}
    spec:
      serviceAccountName: httpbin
      terminationGracePeriodSeconds: 2
      containers:
      - name: httpbin
        image: "debian:12"
        command: [gunicorn, -b, "0.0.0.0:$port", "httpbin:app", -k, gevent]
        ports: [{containerPort: $port}]
        readinessProbe: {httpGet: {path: /status/200, port: $port}, periodSeconds: 1}
YAML
}
# server NS NAME PORT [PORTNAME] -- COMMAND...: one pod and a Service of that name, of these FAMILIES
server() {
    local ns=$1 name=$2 port=$3 portname=
    shift 3
    if [ "$1" != -- ]; then
        portname=$1
        shift
    fi
    shift
    local cmd
    cmd=$(printf '%s\n' "$@" | jq -R . | jq -sc .)
    apply <<YAML
apiVersion: v1
kind: ServiceAccount
metadata: {name: $name, namespace: $ns}
---
apiVersion: v1
kind: Service
metadata: {name: $name, namespace: $ns}
spec:
  ipFamilyPolicy: ${FAMILIES:-SingleStack}
  ports: [{${portname:+name: $portname, }port: $port}]
  selector: {app: $name}
---
apiVersion: v1
kind: Pod
metadata: {name: $name, namespace: $ns, labels: {app: $name}}
spec:
  serviceAccountName: $name
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: "debian:12"
    command: $cmd
    ports: [{containerPort: $port}]
    readinessProbe: {tcpSocket: {port: $port}, periodSeconds: 1}
YAML
}
