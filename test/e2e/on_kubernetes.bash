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
    lab_up "${LAB_NODES:-1}" --dual-stack
    {
        "$ROOT/test/kubernetes/mesh" --name "$LAB_NAME" up "${OVERLAY:-default}" && "$ROOT/test/kubernetes/test-image" | lab import
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
    local ns
    # nobody is served any more: nothing to drain
    for ns in "${PLACE_NAMESPACES[@]}"; do kube delete pods --all -n "$ns" --grace-period=1 --wait=false; done
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
# the API server without kubectl, which takes as long to start as a change to arrive
api() { # METHOD PATH [CURL OPTIONS...]
    local keys=/run/fsm/lab/$LAB_NAME/keys
    curl -sSf --noproxy '*' --max-time 10 --cacert "$keys/ca.crt" -H @"$keys/admin.header" -X "$1" \
        "$(sed -n 's/^ *server: //p' "$keys/admin.kubeconfig")$2" "${@:3}"
}
controller_pods() { api GET '/api/v1/namespaces/fsm-system/pods?labelSelector=app%3Dfsm-controller'; }
# of all replicas together: the pages are lists.  They are for those in the pod's network only; the file is
# where containerd's shim keeps a container's first process
controller_get() {
    local node id
    controller_pods | jq -r '.items[] | "\(.spec.nodeName) \(.status.containerStatuses[0].containerID)"' |
        while read -r node id; do
            lab exec "$node" sh -c 'exec nsenter -t "$(cat "/run/containerd/io.containerd.runtime.v2.task/k8s.io/$1/init.pid")" \
                -n curl -sf --noproxy "*" --max-time 10 "http://127.0.0.1:9091$2"' sh "${id#containerd://}" "$1" </dev/null
        done | jq -cs add
}
fsm_cli() { KUBECONFIG=/run/fsm/lab/$LAB_NAME/keys/admin.kubeconfig "$FSM" "$@"; }
warnings() { controller_get /problems | jq -r '.[] | select(.severity == "note").message'; }
service_put() { # NS NAME: what is on standard input
    api PATCH "/api/v1/namespaces/$1/services/$2?fieldManager=test&force=true" \
        -H 'Content-Type: application/apply-patch+yaml' --data-binary @- | jq -r .spec.clusterIP
}
# A container's first process, on the machine that its node is: sets NODE and PID
process_of() { # NS POD CONTAINER
    local pod id
    pod=$(kube get pod -n "$1" "$2" -o json)
    NODE=$(jq -r .spec.nodeName <<<"$pod")
    id=$(jq -r --arg c "$3" '.status | (.initContainerStatuses // []) + .containerStatuses | .[] | select(.name == $c).containerID' <<<"$pod")
    PID=$(lab exec "$NODE" ctr -n k8s.io tasks ls | awk -v id="${id#containerd://}" '$1 == id {print $2}')
    [ -n "$PID" ] || fail "no process of $1/$2 $3"
}
# in the pod's network, with the node's programs: the sidecar's image has none
as_sidecar() { # NS POD COMMAND...
    process_of "$1" "$2" sidecar
    lab exec "$NODE" nsenter -t "$PID" -n -- setpriv --reuid=1500 --regid=1500 --clear-groups -- "${@:3}"
}
sidecar_status() {
    process_of "$1" "$2" sidecar
    lab exec "$NODE" cat "/proc/$PID/status"
}
sidecar_kill() {
    process_of "$1" "$2" sidecar
    lab exec "$NODE" kill -KILL "$PID"
}
controller_signal() {
    process_of fsm-system "$(controller_pods | jq -r '.items[0].metadata.name')" fsm-controller
    lab exec "$NODE" kill "-$1" "$PID"
}
controller_restarts() { controller_pods | jq '[.items[].status.containerStatuses[].restartCount] | add'; }
# all that passes the pod's node, so also what stays on it
capture() { # POD FILE FILTER
    NODE=$(kube get pod -n "${1%/*}" "${1#*/}" -o 'jsonpath={.spec.nodeName}')
    lab exec "$NODE" tcpdump -i any -s 0 -U -w - "$3" >"$2" 2>"$TMP/tcpdump.log" &
    CAPTURE=$!
}
capture_end() {
    lab exec "$NODE" pkill -x tcpdump
    wait $CAPTURE
}
# pods have files from images alone: these are added to the tests' image, for pods that come
in_pods() {
    "$ROOT/test/kubernetes/test-image" "$@" | lab import >"$TMP/in-pods.log" 2>&1 || fail "files for pods: $(cat "$TMP/in-pods.log")"
}
