#!/bin/bash
# fsm check at a real API server: each thing that can be wrong is named, and what to do about it
# optional: its API server is built from Go modules, which takes minutes the first time
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib.bash"
WEBHOOK=fsm-webhook-fsm
VALIDATOR=fsm-validator-mesh-fsm
CHECKS=0
INJECTOR=

# the rows of a check, as JSON
check() { "$FSM" check -o json "$@" >"$TMP/rows" 2>"$TMP/err"; }
row() { jq -r --arg n "$1" '.items[] | select(.name == $n) | "\(.status) \(.message)"' "$TMP/rows"; }
expect() { # NAME STATUS [TEXT]: in the rows of the last check
    local got
    got=$(row "$1")
    [[ $got == "$2 "*"${3:-}"* ]] || fail "$1: got \"$got\", expected $2 ${3:-} ($(cat "$TMP/err"))"
    [ "$2" = ok ] || [ "$2" = skipped ] || [ -n "$(jq -r --arg n "$1" '.items[] | select(.name == $n).hint' "$TMP/rows")" ] ||
        fail "$1: it is not said what to do"
    CHECKS=$((CHECKS + 1))
}
checked() { # NAME STATUS [TEXT]: after a new check
    check
    expect "$@"
}
is() { # NAME STATUS: in a new check
    check
    [[ $(row "$1") == "$2 "* ]]
}
becomes() { # NAME STATUS: within seconds
    until_ok 20 is "$@" || fail "$1: $(row "$1"), expected $2"
    CHECKS=$((CHECKS + 1))
}
injector() { # the webhook runs beside the cluster, since there are no nodes
    "$FSM_BIN/fsm-injector" --kubeconfig "$KUBECONFIG" --ca-dir "$TMP/ca" --listen "$HOST:$PORT" \
        --admin "unix:$TMP/admin.sock" --drain 100ms -d >>"$TMP/injector.log" 2>&1 &
    INJECTOR=$!
}
to_url() { # KIND NAME PATH
    kube patch "$1" "$2" --type=json -p "[{\"op\":\"replace\",\"path\":\"/webhooks/0/clientConfig\",
        \"value\":{\"url\":\"https://$HOST:$PORT$3\"}}]" >/dev/null || fail "patch $2"
}
by_url() {
    to_url mutatingwebhookconfiguration $WEBHOOK /mutate-pod-creation
    to_url validatingwebhookconfiguration $VALIDATOR /validate
}
spoil_bundle() { # KIND NAME BUNDLE
    kube patch "$1" "$2" --type=json \
        -p "[{\"op\":\"add\",\"path\":\"/webhooks/0/clientConfig/caBundle\",\"value\":\"$3\"}]" >/dev/null || fail "spoil $2"
}

# nobody there
"$FSM" check --kubeconfig /nowhere >"$TMP/out" 2>&1 && fail "no kubeconfig, and all is well"
printf 'apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\ncurrent-context: a\nusers: [{name: a, user: {token: t}}]\n' >"$TMP/dead"
check --kubeconfig "$TMP/dead" && fail "no server, and all is well"
grep -q 'cannot connect' "$TMP/rows" "$TMP/err" || fail "not said that nobody answers: $(cat "$TMP/rows" "$TMP/err")"
CHECKS=$((CHECKS + 2))

lab_up 0
KUBECONFIG=$(lab kubeconfig)
export KUBECONFIG
HOST=$(sed -nE 's|.*server: https://([0-9.]+)\.2:.*|\1.1|p' "$KUBECONFIG")
PORT=$(($$ % 20000 + 20000))

# before: an administrator may, a reader may not
check --pre || fail "--pre: $(cat "$TMP/rows" "$TMP/err")"
expect "clocks agree" ok
expect "may install clusterroles" ok
kube create serviceaccount reader -n default >/dev/null
kube create clusterrolebinding reader --clusterrole=view --serviceaccount=default:reader >/dev/null
token=$(kube create token reader -n default) || fail "no token"
sed "s|token: [^}]*|token: $token|" "$KUBECONFIG" >"$TMP/reader"
check --pre --kubeconfig "$TMP/reader" && fail "a reader may install"
expect "may install customresourcedefinitions" FAILED "get, create, patch, delete"
expect "may install services" FAILED "create, patch, delete"
expect "clocks agree" skipped

check && fail "nothing is installed, and all is well"
expect "fsm-controller is ready" FAILED "no such Deployment"

"$FSM" install --no-wait >"$TMP/out" 2>&1 || fail "install: $(cat "$TMP/out")"
check && fail "nothing is ready, and all is well"
expect "fsm-controller is ready" FAILED "0 of 1 replicas are available: "
row "fsm-controller is ready" | grep -q 'no nodes available' || fail "not said why"
expect "definitions (CRDs) are there" ok
expect "versions agree" ok
expect "the MeshConfig is valid" ok
expect "the mesh's CA is valid" ok
expect "the webhook's CA bundle is right" FAILED "there is none"
expect "the validating webhook's CA bundle is right" FAILED "there is none"
for account in fsm-controller fsm-injector; do
    expect "$account may do its work in all namespaces" ok
    expect "$account may do its work in its namespace" ok
done

# a webhook that answers
mkdir -m 700 "$TMP/ca"
for f in ca.crt ca.key; do
    kube get secret fsm-ca-bundle -n fsm-system -o "jsonpath={.data.${f/./\\.}}" | base64 -d >"$TMP/ca/$f"
    chmod 600 "$TMP/ca/$f"
done
by_url
injector
becomes "the webhook's CA bundle is right" ok
becomes "the validating webhook's CA bundle is right" ok
becomes "the API server reaches the validating webhook" ok
expect_eq "objects left by the check" "$(kube get httproutegroups -A -o name)" ""
expect_eq "skipped without members" "$(check; row 'the API server reaches the webhook' | cut -d' ' -f1)" skipped
kube create namespace app >/dev/null
until_ok 20 kube get serviceaccount default -n app >/dev/null 2>&1 || fail "no account"
printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: old, namespace: app}\nspec: {containers: [{name: a, image: "a:1"}]}\n' | kube apply -f - >/dev/null
"$FSM" namespace add app >/dev/null || fail "namespace add"
becomes "the API server reaches the webhook" ok
expect_eq "pods left by the check" "$(kube get pods -n app -o name)" pod/old
checked "pods of the mesh have a sidecar" warning "app/old"
printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: new, namespace: app}\nspec: {containers: [{name: a, image: "a:1"}]}\n' | kube apply -f - >/dev/null
kube delete pod old -n app --force --grace-period=0 >/dev/null 2>&1
checked "pods of the mesh have a sidecar" ok
check --proxy && fail "a sidecar that never ran is ready"
expect "sidecars are ready" FAILED "app/new"
expect "sidecars are of the mesh's version" ok
kube patch meshconfig fsm-mesh-config -n fsm-system --type=merge -p '{"spec":{"image":{"tag":"9.9"}}}' >/dev/null
check --proxy
expect "sidecars are of the mesh's version" warning "app/new"

# and one that does not
kill "$INJECTOR"
wait "$INJECTOR" 2>/dev/null
checked "the API server reaches the webhook" FAILED "failed calling webhook"
expect "the API server reaches the validating webhook" FAILED "was taken"
spoil_bundle mutatingwebhookconfiguration $WEBHOOK bm9uc2Vuc2U=
spoil_bundle validatingwebhookconfiguration $VALIDATOR bm9uc2Vuc2U=
checked "the webhook's CA bundle is right" FAILED "does not hold the mesh's root"
expect "the validating webhook's CA bundle is right" FAILED "does not hold the mesh's root"
kube delete mutatingwebhookconfiguration $WEBHOOK >/dev/null
kube delete validatingwebhookconfiguration $VALIDATOR >/dev/null
checked "the webhook is configured" FAILED "pods get no sidecar"
expect "the validating webhook is configured" FAILED "is stored all the same"

# rights that somebody took away: of a role, and with a binding
kube patch clusterrole fsm-controller --type=json -p '[{"op":"remove","path":"/rules/3"}]' >/dev/null || fail "the rule"
kube delete rolebinding fsm-injector -n fsm-system >/dev/null
checked "fsm-controller may do its work in all namespaces" FAILED "it may not: list endpointslices and watch endpointslices"
hint=$(jq -r '.items[] | select(.name == "fsm-controller may do its work in all namespaces").hint' "$TMP/rows")
expect_match "what to do" "$hint" 'ClusterRole fsm-controller misses \{apiGroups: \["discovery.k8s.io"\], resources: \["endpointslices"\], verbs: \["list", "watch"\]\}'
expect "fsm-controller may do its work in its namespace" ok
expect "fsm-injector may do its work in its namespace" FAILED "list meshconfigs"
kube delete secret fsm-ca-bundle -n fsm-system >/dev/null
checked "the mesh's CA is valid" FAILED "the Secret fsm-ca-bundle is missing"

# members of nothing, and what users delete
kube create namespace lost >/dev/null
kube label namespace lost flomesh.io/monitored-by=green >/dev/null
checked "namespaces belong to a mesh that is there" warning "lost (green)"
kube delete crd retries.policy.flomesh.io >/dev/null
checked "definitions (CRDs) are there" FAILED "retries.policy.flomesh.io is missing"
kube delete meshconfig fsm-mesh-config -n fsm-system >/dev/null
checked "the MeshConfig is valid" FAILED "there is no MeshConfig"

# all of it comes back by what the hints say
"$FSM" upgrade --no-wait --force-conflicts >"$TMP/out" 2>&1 || fail "upgrade: $(cat "$TMP/out")"
check
expect "definitions (CRDs) are there" ok
expect "the webhook is configured" ok
expect "the validating webhook is configured" ok
expect "fsm-controller may do its work in all namespaces" ok
expect "fsm-injector may do its work in its namespace" ok
expect "the mesh's CA is valid" ok
expect "the MeshConfig is valid" ok
grep -q 'PRIVATE' "$TMP/rows" && fail "a key in the rows"
done_ok "$CHECKS checks"
