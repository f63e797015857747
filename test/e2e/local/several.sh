#!/bin/bash
# several instances side by side, started at the same time: each with ranges, names and rules of its
# own; one goes and the others stay; ranges that collide are refused.
. "$(dirname "$0")/plain.bash"
other() { "$FSM" local "$1" --name "$MESH-$2" "${@:3}"; }
scenario_cleanup() { for i in 1 2 3; do other down $i >/dev/null 2>&1; done; }
for i in 1 2 3; do
    other up $i --without-controller -q &
done
for j in $(jobs -p); do wait "$j" || fail "an instance did not start"; done
pod='apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: "debian:12", command: [sh, -c, "echo INSTANCE >/tmp/index.html; cd /tmp; exec python3 -m http.server 8080"], readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}]'
for i in 1 2 3; do
    echo "${pod/INSTANCE/instance-$i}" | other apply $i -f - >/dev/null || fail "apply to $i"
done
for i in 1 2 3; do
    other wait $i pod/web --for=ready --timeout=30s >/dev/null || fail "the pod of $i"
    expect_eq "instance $i" "$(other exec $i web -- curl -s -m 3 http://web.default/)" "instance-$i"
done
if ! "$FSM" local status --name fsm >/dev/null 2>&1; then # else that one is meant
    msg=$("$FSM" mesh list 2>&1) && fail "mesh list chose one of several instances"
    for i in 1 2 3; do expect_match "which instances there are" "$msg" "$MESH-$i"; done
fi
ips=$(for i in 1 2 3; do other get $i pod web -o 'jsonpath={.status.podIP}{"\n"}' | cut -d. -f1-3; done | sort -u | wc -l)
expect_eq "ranges" "$ips" 3
cidr=$(other status 2 -o json | jq -r .podCidr)
msg=$("$FSM" local up --name "$MESH" --without-controller --pod-cidr "$cidr" 2>&1) && fail "a range was used twice"
expect_match "a range used twice" "$msg" "overlaps .*--pod-cidr"
msg=$("$FSM" local up --name "$MESH" --without-controller --service-cidr 300.1.1.0/24 2>&1) && fail "a wrong range"
expect_match "a wrong range" "$msg" "--service-cidr"
other down 2 || fail "down of one"
for i in 1 3; do
    expect_eq "instance $i after another went" "$(other exec $i web -- curl -s -m 3 http://web.default/)" "instance-$i"
done
expect_eq "forwarding" "$(cat /proc/sys/net/ipv4/ip_forward)" 1
mesh_up --without-controller --pod-cidr 10.250.0.0/24 --service-cidr 10.251.0.0/24 --pod-cidr6 fd99:1::/64 --service-cidr6 fd99:2::/112
client default
wait_ready default pod/client
expect_eq "an address of the range that was asked for" "$(pod_ip default client)" 10.250.0.2
expect_eq "IPv6 too" "$(fsml get pod client -o 'jsonpath={.status.podIPs[1].ip}')" fd99:1::2
done_ok
