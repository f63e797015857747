#!/bin/bash
# `fsm local status` tells what is wrong and its exit status says whether anything is: a killed
# controller and a killed sidecar are started again and counted, a pod that injection refuses and a
# broken object are named.
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
client app
wait_ready app pod/client
st() { fsml status -o json; }
well() { fsml status; }
until_ok 10 well || fail "a mesh that is well is not said to be"
row() { st | jq -c --arg n "$1" '.components[] | select(.name == $n)'; }
pid=$(row controller | jq .pid)
kill -9 "$pid"
again() { [ "$(row controller | jq .restarts)" = 1 ] && [ "$(row controller | jq .pid)" != "$pid" ]; }
until_ok 5 again || fail "a killed controller: $(row controller)"
until_ok 10 well || fail "it does not recover: $(st)"
# the sidecar's process, as the machine sees it
shim=
for p in $(pgrep -f "fsm-local-shim run app/client/sidecar"); do # others may have such a pod, too
    tr '\0' '\n' <"/proc/$p/environ" 2>/dev/null | grep -qx "FSM_LOCAL_INSTANCE=$MESH" && shim=$p
done
[ -n "$shim" ] || fail "no sidecar"
pkill -9 -P "$shim"
restarted() { [[ $(st | jq -r '.pods[] | select(.name == "client") | .sidecar') == *"restarted 1 times"* ]]; }
until_ok 10 restarted || fail "a killed sidecar: $(st | jq -c .pods)"
until_ok 20 well || fail "it does not recover from a killed sidecar"
expect_match "the version that the sidecar applied" "$(st | jq -r '.pods[] | select(.name == "client") | .config')" '^[0-9]+$'
# a workload whose pods injection refuses
apply <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: refused, namespace: app}
spec:
  selector: {matchLabels: {app: refused}}
  template:
    metadata: {labels: {app: refused}}
    spec:
      containers: [{name: greedy, image: "debian:12", command: [sleep, "1"], securityContext: {runAsUser: 1500}}]
YAML
refused() { [[ $(st | jq -r '.problems[]') == *greedy*1500* ]]; }
until_ok 5 refused || fail "a refused pod: $(st | jq -c .problems)"
fsml status >/dev/null && fail "status is 0 with a refused pod"
expect_match "event" "$(fsml get events -n app)" 'FailedCreate.*refused.*greedy'
expect_match "condition" "$(fsml get deployment refused -n app -o json | jq -r '.status.conditions[] | select(.type == "ReplicaFailure") | .message')" greedy
printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: bare, namespace: app}\nspec: {containers: [{name: greedy, image: "debian:12", command: [sleep], securityContext: {runAsUser: 1500}}]}\n' | fsml apply -f - >"$TMP/out" 2>&1 && fail "a refused pod was made"
expect_match "a bare pod" "$(cat "$TMP/out")" 'greedy.*1500'
fsml delete deployment refused -n app >/dev/null
until_ok 10 well || fail "it does not recover from a refused pod"
# an object that the controller cannot read
printf 'apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: app}\nspec: {ports: [{port: 99999}]}\n' >"/run/fsm/local/$MESH/resources/Service.app.x.yaml"
broken() { [[ $(st | jq -r '.problems[]') == *"Service app/x"*"spec.ports[0].port"* ]]; }
until_ok 10 broken || fail "a broken file: $(st | jq -c .problems)"
rm "/run/fsm/local/$MESH/resources/Service.app.x.yaml"
until_ok 10 well || fail "it does not recover from a broken file"
# namespaces and the mesh
expect_match "mesh list" "$("$FSM" mesh list --local "$MESH")" 'fsm +fsm-system +[0-9.]+ +app'
expect_eq "namespace list -o name" "$("$FSM" namespace list --local "$MESH" -o name)" app
expect_eq "config_dump as YAML" "$("$FSM" proxy get --local "$MESH" config_dump -n app client -o yaml | $PY -c 'import sys, yaml; print(len(yaml.safe_load(sys.stdin)) > 3)')" True
for q in clusters listeners certs ready stats; do
    "$FSM" proxy get --local "$MESH" $q -n app client -o json | jq -e . >/dev/null || fail "proxy get $q -o json"
    "$FSM" proxy get --local "$MESH" $q -n app client -o table >"$TMP/table" || fail "proxy get $q -o table"
done
expect_match "stats as a table" "$("$FSM" proxy get --local "$MESH" stats -n app client -o table)" '^NAME +VALUE'
# an ordinary user is told whose the mesh is
setpriv --reuid 65534 --clear-groups "$FSM" namespace list >"$TMP/out" 2>&1 && fail "an ordinary user lists namespaces"
expect_match "an ordinary user" "$(cat "$TMP/out")" "root's|Permission denied"
expect_eq "namespace list" "$("$FSM" namespace list --local "$MESH" -o json | jq -c '.items | map(.namespace)')" '["app"]'
expect_match "add again" "$("$FSM" namespace add --local "$MESH" app)" 'already been added'
expect_match "ignore" "$("$FSM" namespace ignore --local "$MESH" default)" 'configured namespace \[default\] to be ignored'
expect_match "add ignored" "$("$FSM" namespace add --local "$MESH" default 2>&1)" 'Cannot add ignored namespace'
expect_match "remove" "$("$FSM" namespace remove --local "$MESH" app)" 'successfully removed from mesh \[fsm\]'
expect_eq "list" "$("$FSM" namespace list --local "$MESH")" "No namespaces in any mesh"
done_ok
