#!/bin/bash
# the sidecar runs as user 1500 with no capability at all and cannot gain any; its key is nowhere to
# be read, and nothing it prints holds one.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
httpbin app
client app
wait_ready app deployment/httpbin pod/client
in_pod app client curl -s -o /dev/null -m 5 http://httpbin.app:14001/get || fail "no answer"
status=$(sidecar_status app client)
for line in 'Uid:	1500	1500	1500	1500' 'CapInh:	0000000000000000' 'CapPrm:	0000000000000000' \
    'CapEff:	0000000000000000' 'CapAmb:	0000000000000000' 'NoNewPrivs:	1'; do
    grep -qF "$line" <<<"$status" || fail "not '$line' in: $status"
done
# processes that hold keys make no core dump and are closed to others of the same user (prctl(2))
for p in fsm-sidecar fsm-controller; do
    pid=$(pgrep -x -n $p) || fail "no $p runs"
    expect_eq "owner of /proc/$pid/fd of $p" "$(stat -c %u "/proc/$pid/fd")" 0
done
for query in config_dump certs clusters listeners ready stats; do
    out=$(proxy_get $query app client) || fail "fsm proxy get $query"
    grep -q 'PRIVATE KEY' <<<"$out" && fail "$query prints a private key"
done
fsml logs -n app client -c sidecar 2>&1 | grep -qE 'PRIVATE KEY|Bearer|eyJ' && fail "the log holds a secret"
# the admin page is not to be had from outside of the pod, nor from the outside through the sidecar
ip=$(pod_ip app client)
curl -s -m 2 "http://$ip:15000/config_dump" >/dev/null && fail "the admin page answers the node"
if [ "$PLACE" = local ]; then
    grep -rqs 'PRIVATE KEY' "/run/fsm/local/$MESH/resources" && fail "a resource holds a private key"
    expect_eq "mode of the CA's key" "$(stat -c %a "/run/fsm/local/$MESH/ca/ca.key")" 600
fi
done_ok
