#!/bin/bash
# A workload that asks for more pods than the instance can have gets what there is room for, and
# says so; meanwhile everybody else is answered; the gateway keeps the link address its neighbours
# know; and down is quick.
. "$(dirname "$0")/plain.bash"
mesh_up --without-controller --pod-cidr 10.252.0.0/26 --service-cidr 10.253.0.0/24
gateway=$(ip -o -4 addr show to 10.252.0.1 | awk '{print $2}')
link_address() { cat "/sys/class/net/$gateway/address"; }
address=$(link_address)
apply <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: many}
spec:
  replicas: 9000
  selector: {matchLabels: {app: many}}
  template:
    metadata: {labels: {app: many}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "debian:12", command: [sleep, infinity]}]
YAML
running() { fsml get pods -o json | jq '[.items[] | select(.status.phase == "Running")] | length'; }
slowest=0
end=$(($(date +%s) + 60))
while [ "$(running)" -lt 61 ]; do
    t=$(now_ms)
    fsml get namespaces >/dev/null || fail "no answer while pods are made"
    t=$(($(now_ms) - t))
    [ $t -le $slowest ] || slowest=$t
    [ "$(date +%s)" -lt $end ] || fail "only $(running) pods run"
done
[ "$slowest" -lt 3000 ] || fail "an answer took $slowest ms"
expect_eq "pods" "$(fsml get pods -o name | wc -l)" 61
expect_eq "link address of the gateway" "$(link_address)" "$address"
expect_match "why there are no more" "$(fsml get events)" 'many.* the instance is full: it has 61 pods'
fsml scale deployment many --replicas=2 >/dev/null
two() { [ "$(fsml get pods -o name | wc -l)" = 2 ]; }
until_ok 30 two || fail "scaling down: $(fsml get pods -o name | wc -l) pods"
client default
wait_ready default pod/client
fsml scale deployment many --replicas=5000 >/dev/null
t=$(now_ms)
fsml down || fail "down"
t=$(($(now_ms) - t))
[ "$t" -lt 15000 ] || fail "down took $t ms"
done_ok "slowest answer $slowest ms, down $t ms"
