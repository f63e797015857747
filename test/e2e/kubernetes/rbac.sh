#!/bin/bash
# fsm-controller works with the rights of deploy/kustomize/base, and misses each of them by name
# optional: its API server is built from Go modules, which takes minutes the first time
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/pods.bash"
ACCOUNT=system:serviceaccount:fsm-system:fsm-controller
CHECKS=0
GENERATION=60
PORT=$(free_port)

controller() { # starts it; it need not wait for the one before
    kube delete lease -n fsm-system fsm-controller --ignore-not-found >/dev/null || fail "the Lease"
    "$FSM_BIN/fsm-controller" --kubeconfig "$TMP/kubeconfig" --ca-dir "$TMP/ca" \
        --listen 127.0.0.1:$PORT --admin "unix:$TMP/admin.sock" -d >"$TMP/controller.log" 2>&1 &
    CONTROLLER=$!
}
end() {
    kill -KILL "$CONTROLLER"
    wait "$CONTROLLER" 2>/dev/null
}
admin() { curl -sf --max-time 5 --unix-socket "$TMP/admin.sock" "http://fsm$1"; }
ready() { admin /health/ready >/dev/null; }
# a sidecar's question, with the token of a pod
ask() {
    curl -s --max-time 20 --cacert "$TMP/ca/ca.crt" -o "$TMP/answer" -w '%{http_code}' \
        -H "Authorization: Bearer $TOKEN" "https://127.0.0.1:$PORT/v1/roots"
}
complains() { # VERB PLURAL
    [ "$2" != tokenreviews ] || ask >/dev/null
    [ "$2" != meshconfigs/status ] || new_generation
    admin /problems | grep -q "may not $1 $2:"
}
# of the MeshConfig: there is something to write
new_generation() {
    GENERATION=$((GENERATION + 1))
    kube patch meshconfig fsm-mesh-config -n fsm-system --type=merge -p "{\"spec\":{\"sidecar\":{\"sidecarTimeout\":$GENERATION}}}" >/dev/null
}
works() { ready && [ "$(ask)" = 200 ]; }

# "KIND NAME INDEX VERB PLURAL" of every rule of the account
rules() {
    kube kustomize "$ROOT/deploy/kustomize/base" | "$PY" -c '
import sys, yaml
for o in yaml.safe_load_all(sys.stdin):
    if o["kind"] not in ("Role", "ClusterRole") or o["metadata"]["name"] != "fsm-controller":
        continue
    for i, rule in enumerate(o["rules"]):
        for word in rule["apiGroups"] + rule["resources"] + rule["verbs"]:
            if "*" in word:
                sys.exit("%s %s: a wildcard in rule %d" % (o["kind"], o["metadata"]["name"], i))
        if len(rule["resources"]) != 1:
            sys.exit("%s %s: one resource a rule, so that each can be taken away" % (o["kind"], o["metadata"]["name"]))
        print(o["kind"], o["metadata"]["name"], i, rule["verbs"][0], rule["resources"][0])'
}

lab_up 0
fsm_rights
mesh_namespace mesh || fail "no namespace"
kube_pod mesh web 10.9.8.7
TOKEN=$(pod_token mesh web) || fail "no token of a pod"

controller
until_ok 30 ready || fail "not ready with the rights of the base: $(admin /problems) $(tail -n 3 "$TMP/controller.log")"
! admin /problems | grep -q 'may not' || fail "$(admin /problems)"
until_ok 30 works || fail "a sidecar is not served: $(cat "$TMP/answer")"
say "ready with $(rules | wc -l) rules"
# what pods trust first: in the mesh and nowhere else, whatever becomes of it
root_map() { [ "$(kube get configmap -n mesh fsm-root-ca -o 'jsonpath={.data.ca\.crt}')" = "$(cat "$TMP/ca/ca.crt")" ]; }
until_ok 10 root_map || fail "namespace mesh has no ConfigMap with the roots: $(admin /problems)"
expect_eq "ConfigMaps with the roots" "$(kube get configmaps -A -l app.kubernetes.io/name=flomesh.io --no-headers | wc -l)" 1
kube delete configmap -n mesh fsm-root-ca >/dev/null
until_ok 10 root_map || fail "a ConfigMap that was deleted does not come back: $(admin /problems)"
kube patch configmap -n mesh fsm-root-ca --type=merge -p '{"data":{"ca.crt":"nonsense"}}' >/dev/null
until_ok 20 root_map || fail "a ConfigMap that was spoilt stays so: $(admin /problems)"
CHECKS=$((CHECKS + 4))
end

rules >"$TMP/rules" || fail "$(cat "$TMP/rules")"
while read -r kind name index verb plural <&3; do
    ns=()
    [ "$kind" = Role ] && ns=(-n fsm-system)
    kube patch "$kind" "${ns[@]}" "$name" --type=json -p "[{\"op\":\"remove\",\"path\":\"/rules/$index\"}]" >"$TMP/out" 2>&1 ||
        fail "$(cat "$TMP/out")"
    controller
    until_ok 30 complains "$verb" "$plural" || fail "without the rule for $plural: $(admin /problems)"
    admin /problems | grep -q "resources: \[.*$plural" || fail "the words do not say which rule is missing: $(admin /problems)"
    CHECKS=$((CHECKS + 1))
    # the rule comes back, and so does the mesh, without a restart
    kube apply --server-side --force-conflicts -k "$ROOT/deploy/kustomize/base" >/dev/null || fail "the rules again"
    until_ok 60 works || fail "not ready after the rule for $plural came back: $(admin /problems)"
    end
done 3<"$TMP/rules"

# and nothing beyond: what a thief of the token would want first
for what in 'list secrets' 'get secrets' 'create pods' 'patch pods' 'list configmaps' 'create configmaps' 'patch configmaps/other' \
    'delete configmaps/fsm-root-ca' 'create subjectaccessreviews' 'list tokenreviews' \
    'update meshconfigs' 'list nodes' 'create serviceaccounts/token' 'create pods/exec' 'escalate clusterroles'; do
    # shellcheck disable=SC2086
    expect_eq "may the account $what" "$(kube auth can-i $what -A --as=$ACCOUNT 2>/dev/null)" no
    CHECKS=$((CHECKS + 1))
done
expect_eq "may the account list another MeshConfig" \
    "$(kube auth can-i list meshconfigs/other -n fsm-system --as=$ACCOUNT 2>/dev/null)" no
done_ok "$CHECKS checks, $(wc -l <"$TMP/rules") rules"
