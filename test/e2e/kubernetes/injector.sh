#!/bin/bash
# a real API server asks fsm-injector about pods and resources; its CA bundles and its rights are kept to the least
# optional: its API server is built from Go modules, which takes minutes the first time
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib.bash"
WEBHOOK=fsm-webhook-fsm
VALIDATOR=fsm-validator-mesh-fsm
CHECKS=0
INJECTOR=

make_ca() { # NAME: what the Secret holds
    mkdir -p "$TMP/ca"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 10 -subj "/CN=$1" \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$TMP/key" -out "$TMP/crt" 2>/dev/null || fail "openssl"
    install -m 600 "$TMP/key" "$TMP/ca/ca.key"
    install -m 600 "$TMP/crt" "$TMP/ca/ca.crt"
}
# a kubeconfig that holds the account's token instead of the administrator's
account_config() {
    local token
    token=$(kube create token fsm-injector -n fsm-system --duration=1h) || fail "no token"
    sed "s|token: [^}]*|token: $token|" "$(lab kubeconfig)" >"$TMP/kubeconfig"
    grep -q "$token" "$TMP/kubeconfig" || fail "the lab's kubeconfig has no token to replace"
}
# The API server is in a network of its own; this side of it is where the injector listens.
injector() { # starts it
    "$FSM_BIN/fsm-injector" --kubeconfig "$TMP/kubeconfig" --ca-dir "$TMP/ca" --listen "$HOST:$PORT" \
        --admin "unix:$TMP/admin.sock" --drain 100ms -d >>"$TMP/injector.log" 2>&1 &
    INJECTOR=$!
}
end() {
    kill -TERM "$INJECTOR"
    wait "$INJECTOR" || fail "the injector's end: $? $(tail -n 3 "$TMP/injector.log")"
}
admin() { curl -sf --max-time 5 --unix-socket "$TMP/admin.sock" "http://fsm$1"; }
metric() { admin /metrics | awk -v m="$1" '$1 == m {print $2}'; }
fine() { admin /health/ready >/dev/null && [ "$(admin /problems)" = "[]" ]; }
complains() { admin /problems | grep -q "$1"; }
to_url() { # KIND NAME PATH
    kube patch "$1" "$2" --type=json -p "[{\"op\":\"replace\",\"path\":\"/webhooks/0/clientConfig\",
        \"value\":{\"url\":\"https://$HOST:$PORT$3\"}}]" >/dev/null || fail "patch $2"
}
by_url() { # where the manifest names the Service, which has no endpoints here
    to_url mutatingwebhookconfiguration $WEBHOOK /mutate-pod-creation
    to_url validatingwebhookconfiguration $VALIDATOR /validate
}
validator_bundle() { kube get validatingwebhookconfiguration $VALIDATOR -o 'jsonpath={.webhooks[0].clientConfig.caBundle}'; }
bundle() { kube get mutatingwebhookconfiguration $WEBHOOK -o 'jsonpath={.webhooks[0].clientConfig.caBundle}'; }
bundle_right() { [ "$(bundle)" = "$(base64 -w 0 "$TMP/ca/ca.crt")" ] && [ "$(validator_bundle)" = "$(bundle)" ]; }
namespace() { # NAME [ANNOTATIONS]
    printf 'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n  labels: {flomesh.io/monitored-by: fsm}\n  annotations: {%s}\n---\n' "$1" "${2:-}"
    printf 'apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web, namespace: %s}\n---\n' "$1"
}
pod() { # NS NAME [MEMBERS-OF-THE-CONTAINER [ANNOTATIONS]]
    cat <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $2, namespace: $1, annotations: {${4:-}}}
spec:
  serviceAccountName: web
  containers:
  - {name: web, image: "web:1"${3:-}}
---
YAML
}
create() { kube create -f - >"$TMP/out" 2>&1 || fail "create: $(cat "$TMP/out")"; }
names() { jq -r '[(.spec.initContainers // [])[].name, .spec.containers[].name] | join(" ")'; }
has() { # NS NAME CONTAINERS
    expect_eq "containers of $1/$2" "$(kube get pod -n "$1" "$2" -o json | names)" "$3"
    CHECKS=$((CHECKS + 1))
}

lab_up 0
HOST=$(sed -nE 's|.*server: https://([0-9.]+)\.2:.*|\1.1|p' "$(lab kubeconfig)")
PORT=$(($$ % 20000 + 20000))
kube apply --server-side -k "$ROOT/deploy/crds" >"$TMP/out" 2>&1 || fail "$(cat "$TMP/out")"
kube wait --for=condition=Established --timeout=60s crd --all >/dev/null || fail "definitions"
kube apply -f "$ROOT/deploy/kustomize/base/namespace.yaml" >/dev/null
kube apply --server-side -k "$ROOT/deploy/kustomize/base" >"$TMP/out" 2>&1 || fail "$(cat "$TMP/out")"
kube create -k "$ROOT/deploy/kustomize/mesh-config" >/dev/null || fail "MeshConfig"
account_config
make_ca first
by_url
injector
until_ok 30 fine || fail "not ready with the rights of the base: $(admin /problems) $(tail -n 3 "$TMP/injector.log")"
bundle_right || fail "the CA bundle is $(bundle | cut -c1-60)"

# ---- pods -----------------------------------------------------------------------------------------
# the namespace is as old as the pod
{
    namespace shop 'flomesh.io/sidecar-injection: enabled'
    pod shop first ', livenessProbe: {tcpSocket: {port: 80}}'
} | create
has shop first "fsm-init sidecar fsm-healthcheck web"
expect_eq "restart policy of the sidecar" \
    "$(kube get pod -n shop first -o json | jq -r '.spec.initContainers[] | select(.name == "sidecar").restartPolicy')" Always
expect_eq "its probe" "$(kube get pod -n shop first -o 'jsonpath={.spec.containers[0].livenessProbe.httpGet.port}')" 15904
pod shop dry | kube create --dry-run=server -o json -f - >"$TMP/dry" 2>"$TMP/out" || fail "dry run: $(cat "$TMP/out")"
expect_eq "containers of a dry run" "$(names <"$TMP/dry")" "fsm-init sidecar web"
kube get pod -n shop dry >/dev/null 2>&1 && fail "a dry run left a pod"
[ "$(metric 'fsm_injector_reviews_total{result="injected",dry_run="true"}')" -ge 1 ] || fail "the dry run is not counted"
pod shop refused ', securityContext: {runAsUser: 1500}' | kube create -f - >"$TMP/out" 2>&1 && fail "a pod of the reserved user was let in"
expect_match "the refusal" "$(cat "$TMP/out")" 'admission webhook "fsm-inject.k8s.io" denied the request: container "web".*1500'
pod shop unmeshed '' 'flomesh.io/sidecar-injection: disabled' | create
has shop unmeshed web
# a namespace that changes its mind: the very next pod
{
    namespace late
    pod late before
} | create
has late before web
kube annotate namespace late flomesh.io/sidecar-injection=enabled >/dev/null
pod late after | create
has late after "fsm-init sidecar web"
# outside of the mesh nobody is asked
before=$(metric fsm_injector_review_seconds_count)
kube create namespace plain >/dev/null && kube create serviceaccount -n plain web >/dev/null
pod plain one | create
has plain one web
expect_eq "reviews of a namespace outside of the mesh" "$(metric fsm_injector_review_seconds_count)" "$before"
# the settings of the mesh, changed while it runs
kube patch meshconfig fsm-mesh-config -n fsm-system --type=merge -p '{"spec":{"sidecar":{"sidecarImage":"mine:7"}}}' >/dev/null
new_image() { [ "$(pod shop image | kube create --dry-run=server -o 'jsonpath={.spec.initContainers[?(@.name=="sidecar")].image}' -f -)" = mine:7 ]; }
until_ok 10 new_image || fail "the MeshConfig's new image is not used"

# ---- resources of the mesh ------------------------------------------------------------------------
# patch SPEC: of the MeshConfig; what kubectl says is in $TMP/out
patch() { kube patch meshconfig fsm-mesh-config -n fsm-system --type=merge -p "{\"spec\":$1}" "${@:2}" >"$TMP/out" 2>&1; }
patch '{"traffic":{"outboundIPRangeExclusionList":["10.0.0.0/8"]}}' || fail "a good list: $(cat "$TMP/out")"
patch '{"sidecar":{"configResyncInterval":"5s"}}' || fail "a short interval: $(cat "$TMP/out")"
expect_match "the warning" "$(cat "$TMP/out")" 'Warning: spec.sidecar.configResyncInterval: less than 30s'
cat >"$TMP/target" <<'YAML'
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: web, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: web, namespace: late}
  sources: [{kind: ServiceAccount, name: web, namespace: shop}]
  rules: [{kind: TCPRoute, name: any}]
YAML
kube create -f "$TMP/target" >"$TMP/out" 2>&1 && fail "a TrafficTarget for another namespace was taken"
expect_match "the refusal" "$(cat "$TMP/out")" \
    'admission webhook "fsm-validator.k8s.io" denied the request: TrafficTarget shop/web: spec.destination.namespace: got "late", expected'
sed -i 's/namespace: late/namespace: shop/' "$TMP/target"
kube create --dry-run=server -f "$TMP/target" >"$TMP/out" 2>&1 || fail "a good TrafficTarget: $(cat "$TMP/out")"
expect_match "the warning" "$(cat "$TMP/out")" 'Warning: this TrafficTarget restricts nothing'
[ "$(metric 'fsm_injector_validations_total{verdict="warned",dry_run="true"}')" -ge 1 ] || fail "the dry run is not counted"
CHECKS=$((CHECKS + 5))

# ---- the CA bundle --------------------------------------------------------------------------------
kube patch mutatingwebhookconfiguration $WEBHOOK --type=json \
    -p '[{"op":"replace","path":"/webhooks/0/clientConfig/caBundle","value":"bm9uc2Vuc2U="}]' >/dev/null 2>&1 ||
    kube patch mutatingwebhookconfiguration $WEBHOOK --type=json -p '[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]' >/dev/null ||
    fail "the bundle cannot be spoilt"
until_ok 10 bundle_right || fail "the spoilt bundle stays"
kube delete mutatingwebhookconfiguration/$WEBHOOK validatingwebhookconfiguration/$VALIDATOR >/dev/null
until_ok 10 complains 'there is no such MutatingWebhookConfiguration' || fail "the loss is not told: $(admin /problems)"
until_ok 10 complains 'there is no such ValidatingWebhookConfiguration' || fail "the loss is not told: $(admin /problems)"
kube apply --server-side -k "$ROOT/deploy/kustomize/base" >/dev/null || fail "the base again"
until_ok 10 bundle_right || fail "a new configuration gets no bundle"
kube apply --server-side -k "$ROOT/deploy/kustomize/base" >/dev/null || fail "the base a third time"
bundle_right || fail "applying the manifest anew takes the bundle away"
by_url
make_ca second
until_ok 20 bundle_right || fail "the bundle does not follow the CA"
new_pod() { pod shop rotated | kube create --dry-run=server -o name -f -; }
until_ok 10 new_pod || fail "no pods under the new CA"
CHECKS=$((CHECKS + 5))
say "$(metric fsm_injector_review_seconds_count) reviews in $(metric fsm_injector_review_seconds_sum) s, $(metric fsm_injector_namespace_lookups_total) namespaces asked"
end

# ---- rights ---------------------------------------------------------------------------------------
take_away() { # KIND INDEX WORDS
    local ns=()
    [ "$1" = role ] && ns=(-n fsm-system)
    kube patch "$1" "${ns[@]}" fsm-injector --type=json -p "[{\"op\":\"remove\",\"path\":\"/rules/$2\"}]" >"$TMP/out" 2>&1 || fail "$(cat "$TMP/out")"
    injector
    until_ok 30 complains "$3" || fail "without rule $2 of the $1: $(admin /problems)"
    kube apply --server-side --force-conflicts -n fsm-system -f "$ROOT/deploy/kustomize/base/injector-rbac.yaml" >/dev/null ||
        fail "the rules again"
    until_ok 60 fine || fail "not right after the rule came back: $(admin /problems)"
    end
    CHECKS=$((CHECKS + 1))
}
take_away clusterrole 0 'may not list namespaces:'
take_away clusterrole 1 'may not get it: the ClusterRole misses.*mutatingwebhookconfigurations'
take_away clusterrole 2 'may not get it: the ClusterRole misses.*validatingwebhookconfigurations'
take_away role 0 'may not list meshconfigs:'
for what in 'list secrets' 'get secrets' 'create pods' 'list pods' 'patch namespaces' 'list configmaps' \
    'patch mutatingwebhookconfigurations/other' 'create mutatingwebhookconfigurations' 'delete mutatingwebhookconfigurations' \
    'patch validatingwebhookconfigurations/other' 'create tokenreviews' 'list nodes'; do
    # shellcheck disable=SC2086
    expect_eq "may the account $what" "$(kube auth can-i $what -A --as=system:serviceaccount:fsm-system:fsm-injector 2>/dev/null)" no
    CHECKS=$((CHECKS + 1))
done
done_ok "$CHECKS checks"
