#!/bin/bash
# the lists of MeshConfig and of annotations take effect on pods made afterwards, both families:
# with egress off only what is not redirected reaches a server outside the mesh
. "$(dirname "$0")/../lib.sh"
STUB=$ROOT/test/e2e/redirect/stub.py
mesh_up
mesh_ns app
plain_ns outside
server outside ext 8081 -- $PY "$STUB" serve out:8081,8082,7000-7040
server outside ext2 8081 -- $PY "$STUB" serve out2:8081
client outside plain
meshconfig '{"spec":{"traffic":{"enableEgress":false}}}'
N=0
# meshed NAME [ANNOTATION VALUE]...: a pod of the mesh that serves 8080 and 8081
meshed() {
    local name=$1 notes=
    shift
    while [ $# -gt 0 ]; do
        notes+="\"flomesh.io/$1\": \"$2\", "
        shift 2
    done
    apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $name, namespace: app, annotations: {$notes}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "debian:12", command: [$PY, $STUB, serve, "me:8080,8081"]}
YAML
}
ips() { fsml get pod -n "$1" "$2" -o json | jq -r '.status.podIPs[].ip'; }
# is CASE FROM-NS FROM-POD ADDRESS PORT ANSWER ("nobody": redirected, and refused by policy)
is() {
    local got
    got=$(in_pod "$2" "$3" $PY "$STUB" get "$4" "$5" | sed 's/^closed$/nobody/')
    expect_eq "$1: $3 to $4 port $5" "$got" "$6"
    say "ok $1: $3 to $4 port $5: $6"
    N=$((N + 1))
}
wait_ready outside pod/ext pod/ext2 pod/plain
mapfile -t EXT < <(ips outside ext)
mapfile -t EXT2 < <(ips outside ext2)
[ ${#EXT[@]} = 2 ] || fail "a pod has not two addresses: ${EXT[*]}"
range() { case $1 in *:*) echo "$1/128" ;; *) echo "$1/32" ;; esac }

meshed none
meshed ports outbound-port-exclusion-list "8081, 9999"
meshed ranges outbound-ip-range-exclusion-list "$(range "${EXT[0]}"),$(range "${EXT[1]}")"
meshed included outbound-ip-range-inclusion-list "$(range "${EXT2[0]}"),$(range "${EXT2[1]}")"
meshed inbound inbound-port-exclusion-list 8081
meshed forty outbound-port-exclusion-list "$(seq -s, 7000 7039)"
wait_ready app pod/none pod/ports pod/ranges pod/included pod/inbound pod/forty
for f in 0 1; do
    ext=${EXT[f]} ext2=${EXT2[f]}
    is "no lists" app none "$ext" 8081 nobody
    is "pod: port excluded" app ports "$ext" 8081 "out 8081"
    is "pod: port excluded" app ports "$ext" 8082 nobody
    is "pod: range excluded" app ranges "$ext" 8082 "out 8082"
    is "pod: range excluded" app ranges "$ext2" 8081 nobody
    is "pod: range included" app included "$ext" 8081 "out 8081"
    is "pod: range included" app included "$ext2" 8081 nobody
    is "pod: 40 ports" app forty "$ext" 7000 "out 7000"
    is "pod: 40 ports" app forty "$ext" 7039 "out 7039"
    is "pod: 40 ports" app forty "$ext" 7040 nobody
    mapfile -t me < <(ips app inbound)
    is "pod: inbound port excluded" outside plain "${me[f]}" 8081 "me 8081"
    is "pod: inbound port excluded" outside plain "${me[f]}" 8080 nobody
done

meshconfig "{\"spec\":{\"traffic\":{\"outboundPortExclusionList\":[8082],\"inboundPortExclusionList\":[8080],
  \"outboundIPRangeExclusionList\":[\"$(range "${EXT2[0]}")\",\"$(range "${EXT2[1]}")\"]}}}"
meshed global
meshed both outbound-port-exclusion-list 8081 inbound-port-exclusion-list 8081
wait_ready app pod/global pod/both
for f in 0 1; do
    ext=${EXT[f]} ext2=${EXT2[f]}
    is "mesh: port excluded" app global "$ext" 8082 "out 8082"
    is "mesh: port excluded" app global "$ext" 8081 nobody
    is "mesh: range excluded" app global "$ext2" 8081 "out2 8081"
    is "a pod of before is not touched" app none "$ext" 8082 nobody
    is "mesh and pod" app both "$ext" 8082 "out 8082"
    is "mesh and pod" app both "$ext" 8081 "out 8081"
    is "mesh and pod" app both "$ext" 7000 nobody
    mapfile -t me < <(ips app both)
    is "mesh and pod, inbound" outside plain "${me[f]}" 8080 "me 8080"
    is "mesh and pod, inbound" outside plain "${me[f]}" 8081 "me 8081"
    mapfile -t me < <(ips app global)
    is "mesh, inbound" outside plain "${me[f]}" 8080 "me 8080"
    is "mesh, inbound" outside plain "${me[f]}" 8081 nobody
done
meshconfig '{"spec":{"traffic":{"outboundPortExclusionList":[],"outboundIPRangeExclusionList":[],
  "outboundIPRangeInclusionList":["203.0.113.0/24"]}}}'
meshed narrow outbound-ip-range-inclusion-list "$(range "${EXT[0]}"),$(range "${EXT[1]}")" outbound-port-exclusion-list 8082
wait_ready app pod/narrow
for f in 0 1; do
    is "mesh and pod: ranges included" app narrow "${EXT[f]}" 8081 nobody
    is "mesh and pod: ranges included" app narrow "${EXT2[f]}" 8081 "out2 8081"
    is "exclusion beats inclusion" app narrow "${EXT[f]}" 8082 "out 8082"
done
# an unreadable list refuses the pod, and says so
fsml apply -f - >"$TMP/refused" 2>&1 <<YAML && fail "a pod with a bad list was taken"
apiVersion: v1
kind: Pod
metadata: {name: bad, namespace: app, annotations: {flomesh.io/outbound-port-exclusion-list: "6379,seventy"}}
spec: {containers: [{name: main, image: "debian:12", command: [sleep, "1"]}]}
YAML
expect_match "the refusal" "$(cat "$TMP/refused")" "Invalid port value 'seventy' specified for annotation 'flomesh.io/outbound-port-exclusion-list'"
done_ok "$N connections"
