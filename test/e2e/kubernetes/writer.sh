#!/bin/bash
# of two fsm-controllers one writes: whether the MeshConfig is in force, and why not; the other takes over
# optional: its API server is built from Go modules, which takes minutes the first time
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/pods.bash"
CHECKS=0
declare -A PID

controller() { # NAME: starts it
    "$FSM_BIN/fsm-controller" --kubeconfig "$TMP/kubeconfig" --ca-dir "$TMP/ca" --listen 127.0.0.1:0 \
        --admin "unix:$TMP/$1.sock" -d >>"$TMP/$1.log" 2>&1 &
    PID[$1]=$!
    until_ok 30 ready "$1" || fail "$1 is not ready: $(tail -n 3 "$TMP/$1.log")"
}
admin() { curl -sf --max-time 5 --unix-socket "$TMP/$1.sock" "http://fsm$2"; }
ready() { admin "$1" /health/ready >/dev/null; }
metric() { admin "$1" /metrics | awk -v m="$2" '$1 == m {print $2}'; }
leads() { [ "$(metric "$1" fsm_leader)" = 1 ]; }
config() { kube get meshconfig fsm-mesh-config -n fsm-system -o "jsonpath={$1}"; }
mode() { kube patch meshconfig fsm-mesh-config -n fsm-system --type=merge -p "{\"spec\":{\"traffic\":{\"interceptionMode\":\"$1\"}}}" >/dev/null || fail "patch $1"; }
# STATUS REASON: the condition, of the present generation
accepted() {
    [ "$(config '.status.conditions[?(@.type=="Accepted")].status}{" "}{.status.conditions[?(@.type=="Accepted")].reason')" = "$1 $2" ] &&
        [ "$(config '.status.conditions[0].observedGeneration')" = "$(config .metadata.generation)" ]
}
# REASON: notes of such Events
notes() { kube get events.events.k8s.io -n fsm-system -o json | jq -r --arg r "$1" '.items[] | select(.reason == $r) | .note'; }
has_note() { notes "$1" | grep -q "$2"; }

lab_up 0
fsm_rights
# a definition of before there were words for the modes: what it takes, the mesh need not
kube patch crd meshconfigs.config.flomesh.io --type=json \
    -p '[{"op":"remove","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/traffic/properties/interceptionMode/enum"}]' >/dev/null ||
    fail "the definition"

controller one
until_ok 20 leads one || fail "nobody writes: $(admin one /problems)"
controller two
until_ok 10 accepted True InForce || fail "the condition: $(config .status)"
expect_eq "the holder" "$(kube get lease -n fsm-system fsm-controller -o 'jsonpath={.spec.holderIdentity}' | sed 's/_.*//')" "$(uname -n)"
expect_eq "what kubectl prints of it" "$(kube get meshconfig -n fsm-system --no-headers | awk '{print $4}')" True
leads two && fail "two write"
CHECKS=$((CHECKS + 4))

# ---- refused, and good again ----------------------------------------------------------------------
mode ebfp
until_ok 10 accepted False Invalid || fail "the condition: $(config .status)"
expect_match "its message" "$(config '.status.conditions[0].message')" '^spec.traffic.interceptionMode: got "ebfp".*expected.*; the last good one stays in force$'
until_ok 10 has_note Refused 'interceptionMode: got "ebfp"' || fail "no Event: $(kube get events -n fsm-system)"
expect_eq "kubectl describe" "$(kube describe meshconfig -n fsm-system fsm-mesh-config | grep -c 'Warning *Refused')" 1
mode iptables
until_ok 10 accepted True InForce || fail "the condition: $(config .status)"
until_ok 10 has_note Accepted 'works by these settings' || fail "no Event: $(kube get events -n fsm-system)"
writes=$(metric one fsm_status_writes_total)
sleep 3
expect_eq "writes when nothing changes" "$(metric one fsm_status_writes_total)" "$writes"
expect_eq "writes of the other" "$(metric two fsm_status_writes_total)" 0
expect_eq "problems" "$(admin one /problems | jq '[.[] | select(.severity == "error")] | length')" 0
CHECKS=$((CHECKS + 8))

# ---- who writes -----------------------------------------------------------------------------------
kill -KILL "${PID[one]}"
wait "${PID[one]}" 2>/dev/null
began=$SECONDS
until_ok 40 leads two || fail "nobody writes after the first one's death: $(admin two /problems)"
say "another writes $((SECONDS - began)) s after the death of the one that did"
mode ebfp
until_ok 10 accepted False Invalid || fail "the second one does not write: $(config .status)"
controller one
kill -TERM "${PID[two]}"
began=$SECONDS
wait "${PID[two]}" || fail "the end of the second one: $?"
until_ok 10 leads one || fail "a released Lease is not taken: $(kube get lease -n fsm-system fsm-controller -o yaml)"
say "... and $((SECONDS - began)) s after its end in good order"
mode iptables
until_ok 10 accepted True InForce || fail "the condition: $(config .status)"
kube delete lease -n fsm-system fsm-controller >/dev/null || fail "delete the Lease"
anew() { [ "$(metric one fsm_leader_elections_total)" = 2 ] && leads one; }
until_ok 20 anew || fail "a deleted Lease is not made anew"
CHECKS=$((CHECKS + 5))
kill -TERM "${PID[one]}"
wait "${PID[one]}" || fail "the end of the first one: $?"
done_ok "$CHECKS checks"
