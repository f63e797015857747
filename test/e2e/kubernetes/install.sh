#!/bin/bash
# fsm install, upgrade, uninstall at a real API server: the manifests of deploy/, values, nothing left
# optional: its API server is built from Go modules, which takes minutes the first time
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib.bash"
CHECKS=0
same() { # WHAT GOT EXPECTED
    [ "$2" = "$3" ] || fail "$1: got \"$2\", expected \"$3\""
    CHECKS=$((CHECKS + 1))
}
# words as a user types them; there are no nodes, so nothing becomes ready
fsm() { "$FSM" "$@" >"$TMP/out" 2>"$TMP/err"; }
must() {
    fsm "$@" || fail "fsm $*: $(cat "$TMP/err")"
    CHECKS=$((CHECKS + 1))
}
refuses() { # WORDS... -- ERROR
    local words=()
    while [ "$1" != -- ]; do words+=("$1") && shift; done
    ! fsm "${words[@]}" || fail "fsm ${words[*]} did not fail"
    grep -qF -e "$2" "$TMP/err" || fail "fsm ${words[*]}: $(cat "$TMP/err"), expected: $2"
    CHECKS=$((CHECKS + 1))
}
config() { kube get meshconfig fsm-mesh-config -n "${2:-fsm-system}" -o json | jq -c ".spec.$1"; }
# names of all objects, but for what comes and goes by itself
everything() {
    kube api-resources --verbs=list -o name | grep -vE '^(events|leases|componentstatuses|endpointslices|endpoints)' |
        while read -r kind; do kube get "$kind" -A -o name --ignore-not-found 2>/dev/null | sed "s|^|$kind |"; done | sort
}
versions() { kube get "$1" -A -o json | jq -r '.items[] | select(.metadata.labels["app.kubernetes.io/name"] == "flomesh.io")
    | "\(.kind) \(.metadata.name) \(.metadata.resourceVersion)"'; }
KINDS=serviceaccounts,services,roles,rolebindings,clusterroles,clusterrolebindings,mutatingwebhookconfigurations,secrets,crd

lab_up 0
KUBECONFIG=$(lab kubeconfig)
export KUBECONFIG
everything >"$TMP/before"

# what is installed is what kustomize makes of deploy/
"$FSM" install --dry-run >"$TMP/ours.yaml" || fail "--dry-run"
for dir in crds kustomize/base kustomize/mesh-config; do
    echo ---
    kube kustomize "$ROOT/deploy/$dir"
done >"$TMP/theirs.yaml"
"$PY" - "$TMP/ours.yaml" "$TMP/theirs.yaml" <<'PYTHON' || fail "not what kustomize makes"
import sys, yaml
def objects(path):
    found = {}
    for o in yaml.safe_load_all(open(path)):
        if o:
            if o["kind"] == "MeshConfig":
                o["metadata"].pop("labels", None)
            found[o["kind"], o["metadata"]["name"]] = o
    return found
ours, theirs = objects(sys.argv[1]), objects(sys.argv[2])
for key in sorted(set(ours) | set(theirs)):
    if ours.get(key) != theirs.get(key):
        sys.exit("%s: ours\n%s\ntheirs\n%s" % (key, ours.get(key), theirs.get(key)))
print(len(ours), "objects are what kustomize makes")
PYTHON
CHECKS=$((CHECKS + 1))
grep -q 'PRIVATE KEY\|kind: Secret' "$TMP/ours.yaml" && fail "a secret in --dry-run"
same "changed by --dry-run" "$(everything | diff - "$TMP/before")" ""

refuses install --set fsm.enableEgres=false -- 'did you mean fsm.enableEgress?'
refuses upgrade --no-wait -- 'nothing was installed into namespace [fsm-system]'
refuses install --timeout 1s -- 'not ready in time: fsm-controller 0/1, fsm-injector 0/2'
grep -q 'no nodes available' "$TMP/err" || fail "it is not said why: $(cat "$TMP/err")"
same "permissive" "$(config traffic.enablePermissiveTrafficPolicyMode)" true
same "the CA" "$(kube get secret fsm-ca-bundle -n fsm-system -o json | jq -c '.data | keys')" '["ca.crt","ca.key"]'
kube get secret fsm-ca-bundle -n fsm-system -o 'jsonpath={.data.ca\.crt}' | base64 -d | openssl x509 -noout -checkend 86400 >/dev/null || fail "no certificate"

# again: nothing changes
versions $KINDS >"$TMP/versions"
must install --no-wait
same "changed by doing it again" "$(versions $KINDS | diff - "$TMP/versions")" ""
[ "$(wc -l <"$TMP/versions")" -gt 40 ] || fail "too few objects: $(cat "$TMP/versions")"

# the ways to set what the specification shows
must install --no-wait --set fsm.enablePermissiveTrafficPolicy=false
same "permissive" "$(config traffic.enablePermissiveTrafficPolicyMode)" false
must install --no-wait --set fsm.enablePermissiveTrafficPolicy=true
same "permissive" "$(config traffic.enablePermissiveTrafficPolicyMode)" true
must install --no-wait --set=fsm.outboundIPRangeExclusionList="{1.1.1.1/32,2.2.2.2/24}"
same "exclusions" "$(config traffic.outboundIPRangeExclusionList)" '["1.1.1.1/32","2.2.2.2/24"]'
must install --no-wait --set=fsm.outboundIPRangeInclusionList="[1.1.1.1/32,2.2.2.2/24]"
same "inclusions" "$(config traffic.outboundIPRangeInclusionList)" '["1.1.1.1/32","2.2.2.2/24"]'
same "exclusions, not named this time" "$(config traffic.outboundIPRangeExclusionList)" '[]'
must install --no-wait --set=fsm.outboundPortExclusionList="{6379,7070}"
same "ports" "$(config traffic.outboundPortExclusionList)" '[6379,7070]'
must install --no-wait --set=fsm.inboundPortExclusionList="[6379,7070]"
same "ports" "$(config traffic.inboundPortExclusionList)" '[6379,7070]'
must install --no-wait --set fsm.enableEgress=false
same "egress" "$(config traffic.enableEgress)" false
must install --no-wait --mesh-name fsm --fsm-namespace fsm-system --set=fsm.trafficInterceptionMode=ebpf \
    --set=fsm.fsmInterceptor.debug=true --timeout=900s
same "mode" "$(config traffic.interceptionMode)" '"ebpf"'
grep -q 'note: fsm.fsmInterceptor.debug: ' "$TMP/err" || fail "not said that nothing is debugged: $(cat "$TMP/err")"
must install --no-wait --set=fsm.image.registry=addozhang --set=fsm.image.tag=latest-main --set=fsm.fsmIngress.enabled=true \
    --set=fsm.fsmIngress.tls.enabled=true --set=fsm.fsmIngress.tls.sslPassthrough.enabled=true
same "ingress" "$(config ingress.tls.sslPassthrough.enabled)" true
same "image" "$(kube get deployment fsm-controller -n fsm-system -o json | jq -r '.spec.template.spec.containers[0].image')" \
    addozhang/fsm-controller:latest-main

# upgrade: earlier values stay, what users patched stays, and what is given now wins
kube patch meshconfig fsm-mesh-config -n fsm-system -p '{"spec":{"traffic":{"enablePermissiveTrafficPolicyMode":false}}}' --type=merge >/dev/null
must upgrade --no-wait --set fsm.injector.replicaCount=3
same "image" "$(config image.registry)" '"addozhang"'
same "patched by a user" "$(config traffic.enablePermissiveTrafficPolicyMode)" false
same "replicas" "$(kube get deployment fsm-injector -n fsm-system -o 'jsonpath={.spec.replicas}')" 3
must upgrade --no-wait --reset-values
same "image" "$(config image.registry)" '"flomesh"'
same "replicas" "$(kube get deployment fsm-injector -n fsm-system -o 'jsonpath={.spec.replicas}')" 2
same "patched by a user" "$(config traffic.enablePermissiveTrafficPolicyMode)" false
# somebody scales: that is theirs, until it is taken over
kube patch deployment fsm-controller -n fsm-system --type=merge -p '{"spec":{"replicas":2}}' >/dev/null
refuses upgrade --no-wait -- 'somebody else has set fields of Deployment fsm-controller'
must upgrade --no-wait --force-conflicts

# one mesh, or two that know of each other
refuses install --no-wait --mesh-name blue -- 'namespace [fsm-system] has the mesh [fsm]'
refuses install --no-wait --fsm-namespace blue-system -- 'the mesh [fsm] is in namespace [fsm-system]'
refuses install --no-wait --mesh-name blue --fsm-namespace blue-system -- 'fsm.enforceSingleMesh=false'
must install --no-wait --mesh-name blue --fsm-namespace blue-system --set fsm.enforceSingleMesh=false
must mesh list
same "meshes" "$(sed -n '2,3s/  .*//p' "$TMP/out" | paste -sd' ')" "blue fsm"
kube create namespace app >/dev/null
must namespace add app
must namespace list
same "the namespace" "$(sed -n '2s/  */ /gp' "$TMP/out")" "app fsm enabled"
refuses namespace add app --mesh-name green -- 'mesh [green] does not exist'
must namespace remove app
kube delete namespace app >/dev/null

# and away
refuses uninstall cluster-wide-resources -f -- "there is the mesh [blue] in namespace [blue-system] and [fsm] in namespace [fsm-system]"
echo n | fsm uninstall mesh && fail "uninstalled in spite of 'n'"
must uninstall mesh -f --mesh-name blue --fsm-namespace blue-system --delete-namespace
same "the first mesh" "$(kube get deployment -n fsm-system -o name | wc -l)" 2
kube create configmap mine -n fsm-system >/dev/null
must uninstall mesh -f
grep -q 'Kept: the namespace: others may have put something into it' "$TMP/out" || fail "$(cat "$TMP/out")"
same "what is somebody else's" "$(kube get configmap mine -n fsm-system -o name)" configmap/mine
kube delete namespace fsm-system >/dev/null
must uninstall cluster-wide-resources -f
left() { everything | diff - "$TMP/before" >"$TMP/left"; }
until_ok 30 left || fail "left: $(cat "$TMP/left")"
CHECKS=$((CHECKS + 1))
done_ok "$CHECKS checks; nothing of $(wc -l <"$TMP/versions") objects is left"
