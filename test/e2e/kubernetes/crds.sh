#!/bin/bash
# a real API server takes our definitions, every example, and none of the refused variants
# optional: its API server is built from Go modules, which takes minutes the first time
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib.bash"
CHECKS=0
k() { "$KUBECTL" "$@"; }
same() { # WHAT GOT EXPECTED
    [ "$2" = "$3" ] || fail "$1: got \"$2\", expected \"$3\""
    CHECKS=$((CHECKS + 1))
}
quietly() { # COMMAND...: must work
    "$@" >"$TMP/out" 2>&1 || fail "${*:1:6}: $(tail -n 3 "$TMP/out" | cut -c1-600)"
    CHECKS=$((CHECKS + 1))
}
begin() {
    lab_up 0
    KUBECONFIG=$(lab kubeconfig)
    KUBECTL=$("$ROOT/test/kubernetes/programs")/kubectl # itself, so that ending it ends it
    export KUBECONFIG KUBECTL
    PATH=$PATH:$(dirname "$("$ROOT/test/kubernetes/programs" --go)")
}

# ---- definitions ------------------------------------------------------------------------------
generations() { k get crd -o 'jsonpath={range .items[*]}{.metadata.name}={.metadata.generation} {end}'; }
definitions() {
    local n before
    n=$(find "$ROOT/deploy/crds" -name '*_*.yaml' | wc -l)
    quietly k apply --server-side -k "$ROOT/deploy/crds"
    quietly k wait --for=condition=Established --timeout=60s crd --all
    same "definitions" "$(k get crd -o name | wc -l)" "$n"
    same "conditions that are not fine" "$(k get crd -o json | jq -r '.items[] | .metadata.name as $n
        | .status.conditions[] | select(.type == "NonStructuralSchema" or .status != "True")
        | "\($n) \(.type) \(.message)"')" ""
    before=$(generations)
    quietly k apply -k "$ROOT/deploy/crds"
    quietly k apply -k "$ROOT/deploy/crds"
    same "not unchanged by the second kubectl apply" "$(grep -v unchanged "$TMP/out")" ""
    quietly k apply --server-side -k "$ROOT/deploy/crds" --force-conflicts
    same "generations" "$(generations)" "$before"
    quietly "$ROOT/deploy/gateway-api/crds" apply
    quietly k wait --for=condition=Established --timeout=60s crd --all
    say "$n definitions and $(($(k get crd -o name | wc -l) - n)) of the Gateway API are established"
}
newer_stays() { # what the cluster has in a newer version is not touched
    local crd=httproutes.gateway.networking.k8s.io before
    k annotate --overwrite crd $crd gateway.networking.k8s.io/bundle-version=v9.9.9 >/dev/null
    before=$(k get crd $crd -o 'jsonpath={.metadata.resourceVersion}')
    quietly "$ROOT/deploy/gateway-api/crds" apply
    same "a newer $crd" "$(k get crd $crd -o 'jsonpath={.metadata.resourceVersion}')" "$before"
    k annotate --overwrite crd $crd gateway.networking.k8s.io/bundle-version=v1.0.0 >/dev/null
    quietly "$ROOT/deploy/gateway-api/crds" apply
    same "an older $crd" "$(k get crd $crd -o 'jsonpath={.metadata.annotations.gateway\.networking\.k8s\.io/bundle-version}')" v1.6.3
}

# ---- objects ----------------------------------------------------------------------------------
examples() {
    local ns files=() again=() f
    for ns in httpbin fsm server grpcbin bar curl test; do quietly k create namespace $ns; done
    k get namespace fsm-system >/dev/null 2>&1 || quietly k create namespace fsm-system
    for f in "$ROOT"/test/kubernetes/examples/*.yaml; do
        case $f in # workloads with the names of other examples', which do not change into them
        *7.4.18-*-1.yaml | *7.4.15-retry-1.yaml) again+=(-f "$f") ;;
        *) files+=(-f "$f") ;;
        esac
    done
    quietly k apply --server-side --force-conflicts "${files[@]}"
    quietly k delete fsm --all -A
    quietly k apply "${files[@]}"
    quietly k delete deployments,pods -n server --all --force --grace-period=0
    quietly k apply "${again[@]}"
    say "$(((${#files[@]} + ${#again[@]}) / 2)) files of examples are accepted, both ways"
}
refused() {
    "$KUBECTL" proxy --port=0 >"$TMP/proxy" 2>&1 &
    until_ok 10 grep -q 127 "$TMP/proxy" || fail "kubectl proxy: $(cat "$TMP/proxy")"
    "$PY" "$ROOT/test/e2e/kubernetes/refused.py" "$(sed -n 's/.* \(127[0-9.:]*\).*/\1/p' "$TMP/proxy")" \
        "$ROOT"/test/kubernetes/examples/refused/*.yaml >"$TMP/refused" 2>&1 || fail "$(cat "$TMP/refused")"
    kill $!
    say "$(tail -n 1 "$TMP/refused")"
}
explain() {
    local kind
    for kind in $(k get crd -o 'jsonpath={range .items[?(@.metadata.labels.app\.kubernetes\.io/name=="flomesh.io")]}{.metadata.name} {end}'); do
        quietly k explain "$kind"
    done
    quietly k explain meshconfig.spec.traffic.serviceAccessMode
    same "explain of a word" "$(grep -c 'mixed' "$TMP/out")" 1
    same "explain without a description" "$(k explain meshconfig --recursive | grep -c '<unknown>')" 0
}
columns() {
    local kind want
    while read -r kind want; do
        # shellcheck disable=SC2086
        same "columns of $kind" "$(k get $kind -A | sed -n '1s/  */ /gp' | sed 's/ *$//')" "$want"
    done <<'KINDS'
meshconfig NAMESPACE NAME PERMISSIVE EGRESS ACCEPTED AGE
tt NAMESPACE NAME DESTINATION SOURCES AGE
htr NAMESPACE NAME MATCHES AGE
tcproutes.specs.smi-spec.io NAMESPACE NAME PORTS AGE
ts NAMESPACE NAME SERVICE BACKENDS WEIGHTS AGE
egresses NAMESPACE NAME HOSTS PORTS AGE
egressgateways NAMESPACE NAME SERVICES AGE
ingressbackends NAMESPACE NAME BACKENDS STATUS AGE
accesscontrols NAMESPACE NAME BACKENDS STATUS AGE
retries NAMESPACE NAME SOURCE RETRY-ON RETRIES AGE
upstreamtrafficsettings NAMESPACE NAME HOST STATUS AGE
ratelimitpolicies NAMESPACE NAME KIND TARGET ACCEPTED AGE
clusters NAME REGION ZONE GROUP GATEWAY HOST GATEWAY PORT MANAGED AGE
sexp NAMESPACE NAME VALID CONFLICT AGE
simp NAMESPACE NAME TYPE IP AGE
gtp NAMESPACE NAME LB TYPE AGE
nsig NAMESPACE NAME TYPE REPLICAS AGE
KINDS
    quietly k get fsm -A
}
of() { # KIND NAMESPACE NAME JQ
    k get "$1" -n "$2" "$3" -o json | jq -c "$4"
}
defaults() {
    k apply -f - >/dev/null <<'YAML' || fail "defaults"
apiVersion: config.flomesh.io/v1alpha3
kind: MeshConfig
metadata: {name: sparse, namespace: curl}
spec: {traffic: {}, sidecar: {}, observability: {}, egressGateway: {}}
---
apiVersion: config.flomesh.io/v1alpha3
kind: MeshConfig
metadata: {name: empty, namespace: curl}
---
apiVersion: flomesh.io/v1alpha1
kind: Cluster
metadata: {name: sparse}
spec: {gatewayHost: a.example, kubeconfig: x}
---
apiVersion: gateway.flomesh.io/v1alpha1
kind: RetryPolicy
metadata: {name: sparse, namespace: curl}
spec: {targetRef: {kind: Service, name: a}, ports: [{port: 1, config: {retryOn: [5xx]}}]}
YAML
    same "defaults" "$(of meshconfig curl sparse .spec | jq -S -c .)" \
        '{"egressGateway":{"adminPort":6060,"logLevel":"error","mode":"http2tunnel","port":1080,"replicas":1},"observability":{"fsmLogLevel":"info"},"sidecar":{"localProxyMode":"Localhost","logLevel":"error"},"traffic":{"interceptionMode":"iptables","serviceAccessMode":"mixed"}}'
    same "defaults of nothing" "$(of meshconfig curl empty .spec)" '{}'
    same "defaults" "$(of cluster "" sparse '.spec | [.region, .gatewayPort, .fsmMeshConfigName, .fsmNamespace]')" \
        '["default",80,"fsm-mesh-config","fsm-system"]'
    same "defaults" "$(of retrypolicies.gateway.flomesh.io curl sparse '[.spec.targetRef.group, .spec.ports[0].config.numRetries]')" '["",3]'
}
patches() { # as the specification prints them (1, 2.1, 8.1)
    local patch path want
    quietly k create -k "$ROOT/deploy/kustomize/mesh-config"
    while IFS='|' read -r patch path want; do
        quietly k patch meshconfig fsm-mesh-config -n fsm-system -p "$patch" --type=merge
        same "$patch" "$(of meshconfig fsm-system fsm-mesh-config ".spec.$path")" "$want"
    done <<'PATCHES'
{"spec":{"traffic":{"enablePermissiveTrafficPolicyMode":false}}}|traffic.enablePermissiveTrafficPolicyMode|false
{"spec":{"traffic":{"enablePermissiveTrafficPolicyMode":true}}}|traffic.enablePermissiveTrafficPolicyMode|true
{"spec":{"traffic":{"outboundIPRangeExclusionList":["1.1.1.1/32", "2.2.2.2/24"]}}}|traffic.outboundIPRangeExclusionList|["1.1.1.1/32","2.2.2.2/24"]
{"spec":{"traffic":{"outboundIPRangeInclusionList":["1.1.1.1/32", "2.2.2.2/24"]}}}|traffic.outboundIPRangeInclusionList|["1.1.1.1/32","2.2.2.2/24"]
{"spec":{"traffic":{"outboundPortExclusionList":[6379, 7070]}}}|traffic.outboundPortExclusionList|[6379,7070]
{"spec":{"traffic":{"inboundPortExclusionList":[6379, 7070]}}}|traffic.inboundPortExclusionList|[6379,7070]
{"spec":{"featureFlags":{"enableEgressPolicy":true},"traffic":{"enableEgress":false}}}|traffic.enableEgress|false
{"spec":{"traffic":{"enableEgress":true}}}|traffic.enableEgress|true
PATCHES
    k patch meshconfig fsm-mesh-config -n fsm-system -p '{"spec":{"traffic":{"enableEgress":"on"}}}' --type=merge 2>"$TMP/out" &&
        fail "a patch with a wrong type was taken"
    grep -q 'spec.traffic.enableEgress' "$TMP/out" || fail "a wrong patch: $(cat "$TMP/out")"
    CHECKS=$((CHECKS + 1))
}
statuses() {
    quietly k patch ingressbackends -n test basic --subresource=status --type=merge \
        -p '{"status":{"currentStatus":"committed","reason":"successfully committed by the system"}}'
    quietly k patch ingressbackends -n test basic --type=merge -p '{"status":{"currentStatus":"error"}}'
    same "status" "$(of ingressbackends test basic .status.currentStatus)" '"committed"'
    same "status column" "$(k get ingressbackends -n test basic --no-headers | awk '{print $3}')" committed
    quietly k scale nsig -n httpbin namespaced-ingress-httpbin --replicas=3
    same "scaled" "$(of nsig httpbin namespaced-ingress-httpbin .spec.replicas)" 3
}

# ---- older versions ---------------------------------------------------------------------------
versions() {
    same "v1alpha1 read as v1alpha3" "$(of meshconfigs.v1alpha3.config.flomesh.io fsm-system first '.spec.observability.tracing.sampledFraction')" 0.5
    same "v1alpha2 read as v1alpha3" "$(of meshconfigs.v1alpha3.config.flomesh.io fsm-system second '.spec.sidecar.sidecarDrivers[0].proxyServerPort')" 6060
    same "v1alpha3 read as v1alpha1" "$(of meshconfigs.v1alpha1.config.flomesh.io fsm-system lists '.spec.traffic.networkInterfaceExclusionList[0]')" '"eth1"'
    same "stored" "$(k get crd meshconfigs.config.flomesh.io -o 'jsonpath={.status.storedVersions}')" '["v1alpha3"]'
}
# The cluster of somebody who had other definitions: stored in an older version, with other rules.
upgrade() {
    k delete crd meshconfigs.config.flomesh.io traffictargets.access.smi-spec.io >/dev/null
    k create -f - >/dev/null <<'YAML' || fail "the older definitions"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: meshconfigs.config.flomesh.io}
spec:
  group: config.flomesh.io
  scope: Namespaced
  names: {kind: MeshConfig, plural: meshconfigs, singular: meshconfig, listKind: MeshConfigList}
  versions:
  - {name: v1alpha2, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: traffictargets.access.smi-spec.io}
spec:
  group: access.smi-spec.io
  scope: Namespaced
  names: {kind: TrafficTarget, plural: traffictargets, singular: traffictarget, listKind: TrafficTargetList}
  versions:
  - {name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
YAML
    quietly k wait --for=condition=Established --timeout=60s crd --all
    cat >"$TMP/old.yaml" <<'YAML'
apiVersion: config.flomesh.io/v1alpha2
kind: MeshConfig
metadata: {name: old, namespace: curl}
spec: {sidecar: {sidecarClass: pipy}, traffic: {enableEgress: true, serviceAccessMode: ""}, mystery: 1}
---
apiVersion: access.smi-spec.io/v1alpha1
kind: TrafficTarget
metadata: {name: old, namespace: curl}
destination: {kind: ServiceAccount, name: a}
YAML
    # the API server needs a moment to serve a new kind
    until_ok 20 k apply -f "$TMP/old.yaml" || fail "the older objects"
    quietly k apply --server-side --force-conflicts -k "$ROOT/deploy/crds"
    quietly k wait --for=condition=Established --timeout=60s crd --all
    until_ok 20 k get meshconfigs.v1alpha3.config.flomesh.io -n curl old
    same "an older object" "$(of meshconfigs.v1alpha3.config.flomesh.io curl old '[.apiVersion, .spec.sidecar.sidecarClass, .spec.traffic.enableEgress, .spec.mystery]')" \
        '["config.flomesh.io/v1alpha3","pipy",true,null]'
    # a value that was allowed once does not stand in the way of other changes
    quietly k patch meshconfig -n curl old --type=merge -p '{"spec":{"traffic":{"enableEgress":false}}}'
    same "a changed older object" "$(of meshconfig curl old .spec.traffic.enableEgress)" false
    same "stored" "$(k get crd meshconfigs.config.flomesh.io -o 'jsonpath={.status.storedVersions}')" '["v1alpha2","v1alpha3"]'
    quietly k get tt -n curl old
    quietly k delete tt -n curl old
}
# ---- the control plane's objects --------------------------------------------------------------
kustomize() {
    quietly k apply -f "$ROOT/deploy/kustomize/base/namespace.yaml"
    k apply -k "$ROOT/deploy/kustomize/base" --dry-run=server >"$TMP/out" 2>&1 || fail "base: $(cat "$TMP/out")"
    same "warnings" "$(grep -i warning "$TMP/out" | grep -v last-applied)" ""
    quietly k apply --server-side --force-conflicts -k "$ROOT/deploy/kustomize/base"
    # flags that the Deployments use are the programs'
    local flag program file
    for program in controller injector; do
        file=$ROOT/deploy/kustomize/base/$program.yaml
        [ -e "$file" ] || file=$ROOT/deploy/kustomize/base/deployment.yaml
        for flag in $(sed -n 's/^ *- \(--[a-z-]*\)=.*/\1/p' "$file"); do
            "$FSM_BIN/fsm-$program" --help | grep -q -- "$flag" || fail "fsm-$program has no $flag"
            CHECKS=$((CHECKS + 1))
        done
        same "rights of fsm-$program" "$(k auth can-i list secrets -A --as="system:serviceaccount:fsm-system:fsm-$program")" no
    done
}

begin
definitions
newer_stays
kustomize
examples
refused
explain
columns
defaults
patches
statuses
versions
upgrade
done_ok "$CHECKS checks"
