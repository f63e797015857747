# on_kubernetes.bash - a scenario's mesh on a real Kubernetes: a lab (test/kubernetes/lab).  What
# on_local.bash does with fsm local; lib.sh says what each is for.
#
# FSM_LAB_MESH names a lab that has the mesh and the tests' image already; scenarios that run one after
# the other share it.  Else the scenario makes its own.
. "$(dirname "${BASH_SOURCE[0]}")/kubernetes/lib.bash"
unset -f scenario_cleanup # a scenario may have its own
MESH=${FSM_LAB_MESH:-$LAB_NAME}
LAB_NAME=$MESH
PLACE_NAMESPACES=()

# kubectl without the lab's script around it: scenarios call it hundreds of times
kube() {
    KUBECONFIG=/run/fsm/lab/$LAB_NAME/keys/admin.kubeconfig "$(cat "/run/fsm/lab/$LAB_NAME/programs")/kubectl" "$@"
}
# a verb of fsm local: kubectl has them all, under the same names but for one, and says more
fsml() {
    case $1 in
    restart) shift && kube rollout restart "$@" ;;
    exec) shift && kube exec -q "$@" ;;
    *) kube "$@" ;;
    esac
}
place_up() {
    [ $# = 0 ] || skip "fsm local up $*: this is for one machine"
    [ -z "${FSM_LAB_MESH:-}" ] || return 0
    lab_up "${LAB_NODES:-1}"
    {
        "$ROOT/test/kubernetes/mesh" --name "$LAB_NAME" up && "$ROOT/test/kubernetes/test-image" | lab import
    } >"$TMP/up.log" 2>&1 || {
        cat "$TMP/up.log" >&2
        fail "no mesh on the lab"
    }
}
place_down() {
    if [ -z "${FSM_LAB_MESH:-}" ]; then
        lab down
        return
    fi
    [ ${#PLACE_NAMESPACES[@]} = 0 ] || kube delete namespace --ignore-not-found --timeout=60s "${PLACE_NAMESPACES[@]}"
    kube replace -k "$ROOT/deploy/kustomize/mesh-config"
}
place_status() {
    kube get pods -A -o wide
    kube get events -A --field-selector type=Warning --sort-by=.lastTimestamp | tail -n 15
}
has_account() { kube get serviceaccount -n "$1" default; }
place_namespace() {
    PLACE_NAMESPACES+=("$1")
    # until its account is there no pod can be made
    until_ok 20 has_account "$1" || fail "namespace $1 gets no service account"
}
place_join() {
    kube label namespace "$1" flomesh.io/monitored-by=fsm --overwrite &&
        kube annotate namespace "$1" flomesh.io/sidecar-injection=enabled --overwrite
}
place_wait() { # NS WHAT TIMEOUT
    case $2 in
    pod/*) kube wait -n "$1" "$2" --for=condition=Ready --timeout="$3" ;;
    *) kube rollout status -n "$1" "$2" --timeout="$3" ;;
    esac || {
        kube describe -n "$1" pods | tail -n 40
        return 1
    }
}
controller_get() { kube get --raw "/api/v1/namespaces/fsm-system/services/http:fsm-controller:http-admin/proxy$1"; }
# the admin port is on the pod's loopback: the kubelet forwards to it
proxy_get() { # QUERY NS POD
    local port pid rc
    kube port-forward -n "$2" "pod/$3" :15000 >"$TMP/forward" 2>&1 &
    pid=$!
    until_ok 10 grep -q '^Forwarding from 127.0.0.1' "$TMP/forward" || fail "port-forward to $2/$3: $(cat "$TMP/forward")"
    port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$TMP/forward")
    curl -sf --noproxy '*' --max-time 10 "http://127.0.0.1:$port/$1"
    rc=$?
    kill $pid
    wait $pid 2>/dev/null
    return $rc
}
# pods have files from images alone: these are added to the tests' image, for pods that come
in_pods() {
    "$ROOT/test/kubernetes/test-image" "$@" | lab import >"$TMP/in-pods.log" 2>&1 || fail "files for pods: $(cat "$TMP/in-pods.log")"
}
