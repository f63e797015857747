# pods.bash - pods that no kubelet runs, for what only asks the API server about them; on top of
# lib.bash.
#
#   mesh_namespace NS               monitored by the mesh "fsm"
#   kube_pod NS NAME ADDRESS        with a sidecar's label, an account of its own name, and a status
#   pod_token NS NAME               what the kubelet would project for its sidecar
#   fsm_rights                      definitions, rights and MeshConfig of deploy/; $TMP/kubeconfig is
#                                   then fsm-controller's account's
#   free_port
mesh_namespace() { # NS
    kube create namespace "$1" >/dev/null && kube label namespace "$1" flomesh.io/monitored-by=fsm >/dev/null
}
kube_pod() { # NS NAME ADDRESS
    kube create serviceaccount -n "$1" "$2" >/dev/null || fail "account $1/$2"
    kube apply -f - >"$TMP/apply.log" 2>&1 <<YAML || fail "pod $1/$2: $(cat "$TMP/apply.log")"
apiVersion: v1
kind: Pod
metadata: {name: $2, namespace: $1, labels: {app: $2, fsm-proxy-uuid: uuid-$2}}
spec:
  serviceAccountName: $2
  containers: [{name: main, image: main}]
YAML
    kube patch pod -n "$1" "$2" --subresource=status --type=merge \
        -p "{\"status\":{\"phase\":\"Running\",\"podIP\":\"$3\",\"podIPs\":[{\"ip\":\"$3\"}]}}" >/dev/null || fail "status of $1/$2"
}
pod_token() { # NS NAME
    kube create token -n "$1" "$2" --audience=fsm --bound-object-kind=Pod --bound-object-name="$2"
}
free_port() { "$PY" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
fsm_rights() {
    local token
    kube apply --server-side -k "$ROOT/deploy/crds" >"$TMP/out" 2>&1 || fail "$(cat "$TMP/out")"
    kube wait --for=condition=Established --timeout=60s crd --all >/dev/null || fail "definitions"
    kube apply -f "$ROOT/deploy/kustomize/base/namespace.yaml" >/dev/null
    kube apply --server-side -k "$ROOT/deploy/kustomize/base" >"$TMP/out" 2>&1 || fail "$(cat "$TMP/out")"
    # no injector runs here, and without one no pod could be made in the mesh
    kube delete mutatingwebhookconfiguration fsm-webhook-fsm >/dev/null || fail "the webhook's configuration"
    kube create -k "$ROOT/deploy/kustomize/mesh-config" >/dev/null || fail "MeshConfig"
    token=$(kube create token fsm-controller -n fsm-system --duration=1h) || fail "no token"
    sed "s|token: [^}]*|token: $token|" "$(lab kubeconfig)" >"$TMP/kubeconfig"
    grep -q "$token" "$TMP/kubeconfig" || fail "the lab's kubeconfig has no token to replace"
}
