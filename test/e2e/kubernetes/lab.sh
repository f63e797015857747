#!/bin/bash
# The lab's Kubernetes does what meshed pods need of one, and goes without a trace
# optional: its programs are built from Go modules, which takes minutes the first time
# In a network and with mounts of its own, so that what is compared before and after is the lab's alone
[ -n "${LAB_ALONE:-}" ] || LAB_ALONE=1 exec unshare --net --mount --propagation private bash "$0"
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib.bash"
ip link set lo up

# ---- what the machine looks like -------------------------------------------------------------------
OURS="fsm-lab-[tu]$$"
look() {
    echo "links, addresses, routes:"
    ip -o link | sed 's/^[0-9]*: //; s/@.*//; s/ .*//' | sort
    ip -o addr | awk '{print $2, $4}' | sort
    ip route show table all | sort
    ip rule
    echo "rules:"
    nft list ruleset
    iptables-legacy-save 2>/dev/null | grep -v '^#'
    echo "mounts:"
    awk '$5 !~ /^.run.netns./ || $5 ~ /fsm-lab|cni-/ {print $5, $9}' /proc/self/mountinfo | sort
    echo "namespaces:"
    find /run/netns -name 'fsm-lab*' -o -name 'cni-*' 2>/dev/null | sort
    lsns -n -o TYPE,COMMAND | grep -E "$OURS"
    echo "control groups:"
    find /sys/fs/cgroup -type d | grep -E "$OURS"
    echo "settings:"
    sysctl -a 2>/dev/null | grep -E '^(vm\.(overcommit_memory|panic_on_oom)|kernel\.(panic|panic_on_oops|keys\.root_.*)|net\.(bridge|netfilter\.nf_conntrack_max|ipv4\.(ip_forward|conf\.all)|ipv6\.conf\.all)[^ ]*) '
    echo "files:"
    ls -d "/run/fsm/lab/t$$" "/run/fsm/lab/u$$" 2>/dev/null
    find /run /var/lib /var/log /etc /opt -maxdepth 3 2>/dev/null | grep -E "$OURS|kube|containerd|/cni|coredns" | grep -vE '/fsm/local/|/fsm-lab-[^tu]|/fsm/lab/' | sort
    echo "processes:"
    grep -lsE "$OURS" /proc/[0-9]*/cgroup
}
same() {
    look >"$TMP/after"
    diff "$TMP/before" "$TMP/after" >"$TMP/diff"
}
look >"$TMP/before"

# ---- up ------------------------------------------------------------------------------------------------
t0=$(now_ms)
lab_up 2
up_ms=$(($(now_ms) - t0))
KUBECONFIG=$(lab kubeconfig)
export KUBECONFIG
expect_eq "nodes that are Ready" "$(kube get nodes --no-headers | awk '$2 == "Ready"' | wc -l)" 2
lab up >"$TMP/again.log" 2>&1 && fail "a second up of the same name was not refused"
grep -q 'is up already' "$TMP/again.log" || fail "a second up says: $(cat "$TMP/again.log")"
lab_tools

# ---- pods ------------------------------------------------------------------------------------------------
# what an injected pod looks like: rules by an init container with one capability, a proxy that starts
# before and ends after the application, a token for an audience of its own
kube apply -f - >"$TMP/apply.log" 2>&1 <<'YAML' || fail "apply: $(cat "$TMP/apply.log")"
apiVersion: v1
kind: Pod
metadata: {name: meshed, labels: {app: meshed}}
spec:
  nodeName: node1
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: rules
    image: tools:1
    command: [sh, -ec, "iptables -t nat -A OUTPUT -p tcp --dport 4444 -j REDIRECT --to-ports 8080; iptables -t nat -S"]
    securityContext: {runAsUser: 0, capabilities: {drop: [ALL], add: [NET_ADMIN]}, allowPrivilegeEscalation: false}
  - name: proxy
    image: tools:1
    restartPolicy: Always
    command: [sh, -ec, "busybox mkdir -p /tmp/www; echo from the sidecar >/tmp/www/index.html; exec busybox httpd -f -p 8080 -h /tmp/www"]
    startupProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1, failureThreshold: 30}
    securityContext: {runAsUser: 1500, runAsNonRoot: true, capabilities: {drop: [ALL]}, allowPrivilegeEscalation: false, seccompProfile: {type: RuntimeDefault}}
    volumeMounts: [{name: token, mountPath: /var/run/secrets/fsm}]
  containers:
  - name: main
    image: tools:1
    command: [sh, -ec, "busybox wget -q -O - http://127.0.0.1:8080/; exec busybox sleep infinity"]
    resources: {limits: {memory: 64Mi, cpu: 500m}}
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
  volumes:
  - name: token
    projected: {sources: [{serviceAccountToken: {path: token, audience: fsm, expirationSeconds: 3600}}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: meshed}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, labels: {app: other}}
spec:
  nodeName: node2
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: "tools:1", command: [busybox, sleep, infinity]}]
---
apiVersion: v1
kind: Pod
metadata: {name: near, labels: {app: other}}
spec:
  nodeName: node1
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: "tools:1", command: [busybox, sleep, infinity]}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: sum}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: "tools:1", command: [sh, -c, "echo $((6 * 7))"]}]
YAML
for pod in meshed other near; do kube_wait default "pod/$pod" condition=Ready; done
pods_ms=$(($(now_ms) - t0))
expect_eq "the sidecar was there before the application" "$(kube logs meshed -c main)" "from the sidecar"
expect_match "the init container's rules" "$(kube logs meshed -c rules)" 'dport 4444 -j REDIRECT --to-ports 8080'
expect_eq "redirected" "$(kube exec meshed -c main -- curl -s -m 5 http://127.0.0.9:4444/)" "from the sidecar"
claims=$(kube exec meshed -c proxy -- busybox cat /var/run/secrets/fsm/token | cut -d. -f2 | tr '_-' '/+')
claims=$(while [ $((${#claims} % 4)) != 0 ]; do claims+="="; done; base64 -d <<<"$claims")
expect_eq "the token's audience and pod" "$(jq -r '.aud[0] + " " + ."kubernetes.io".pod.name' <<<"$claims")" "fsm meshed"

# ---- the network -----------------------------------------------------------------------------------------
ip=$(kube get pod meshed -o 'jsonpath={.status.podIP}')
service=$(kube get service web -o 'jsonpath={.spec.clusterIP}')
from() { # POD URL, or "host"
    if [ "$1" = host ]; then
        curl -s -m 5 --noproxy '*' "$2"
    else
        kube exec "$1" -c main -- curl -s -m 5 "$2"
    fi
}
answers() { [ "$(from "$1" "$2")" = "from the sidecar" ]; }
for who in host near other meshed; do
    until_ok 10 answers $who "http://$ip:8080/" || fail "pod address from $who"
    until_ok 10 answers $who "http://$service/" || fail "Service address from $who"
    [ $who = host ] || until_ok 10 answers $who "http://web.default.svc.cluster.local/" || fail "Service name from $who"
done
answers_on_node() { [ "$(lab exec "$1" curl -s -m 5 "http://$service/")" = "from the sidecar" ]; }
for node in node1 node2; do until_ok 10 answers_on_node $node || fail "Service address on $node itself"; done
expect_match "a name outside the cluster" "$(kube exec other -- busybox nslookup example.com 2>&1)" NXDOMAIN

# ---- port-forward, Job -------------------------------------------------------------------------------------
kube port-forward pod/meshed :8080 >"$TMP/forward" 2>&1 &
forward=$!
until_ok 10 grep -q 'Forwarding from 127.0.0.1' "$TMP/forward" || fail "port-forward: $(cat "$TMP/forward")"
port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$TMP/forward" | head -n 1)
expect_eq "port-forward" "$(curl -s -m 5 --noproxy '*' "http://127.0.0.1:$port/")" "from the sidecar"
kill $forward
kube_wait default job/sum condition=Complete
expect_eq "the Job's log" "$(kube logs job/sum)" 42

# ---- faults ------------------------------------------------------------------------------------------------
lab kill control/kube-apiserver || fail "kill the API server"
answers host "http://$service/" || fail "without the API server the Service does not answer"
lab status >"$TMP/status" && fail "status is content without an API server"
t1=$(now_ms)
lab start control/kube-apiserver || fail "start the API server"
until_ok 60 kube get --raw /readyz || fail "the API server does not come back"
api_ms=$(($(now_ms) - t1))
kube delete pod near --wait=false >/dev/null
until_ok 60 eval '! kube get pod near' || fail "after the API server's restart its kubelet does nothing"
for program in kubelet containerd; do lab kill node2/$program || fail "kill $program"; done
for program in containerd kubelet; do lab start node2/$program || fail "start $program"; done
until_ok 60 answers other "http://$service/" || fail "a pod after the restart of kubelet and containerd"
expect_eq "restarts of a pod whose node's kubelet and containerd were killed" \
    "$(kube get pod other -o 'jsonpath={.status.containerStatuses[0].restartCount}')" 0
lab status >"$TMP/status" || fail "status: $(cat "$TMP/status")"
memory=$(awk '/MiB/ {n += $3} END {print n}' "$TMP/status")

# ---- a second one beside it --------------------------------------------------------------------------------
beside() { "$ROOT/test/kubernetes/lab" --name "u$$" "$@"; }
t1=$(now_ms)
# what the caller has open besides is not its daemons' to keep
beside up --nodes 0 >"$TMP/beside.log" 2>&1 7> >(cat >/dev/null && touch "$TMP/closed") || {
    beside down
    fail "a second lab: $(cat "$TMP/beside.log")"
}
until_ok 5 test -e "$TMP/closed" || fail "the second lab's daemons keep a descriptor of who started them"
beside_ms=$(($(now_ms) - t1))
expect_eq "nodes of the second lab" "$(beside kubectl get nodes --no-headers 2>/dev/null | wc -l)" 0
# its state is lost, and with it all that says what it is
rm -rf "/run/fsm/lab/u$$"
beside down || fail "down of a lab without its state"
answers host "http://$service/" || fail "the first lab, after the second was taken down"

# ---- down ------------------------------------------------------------------------------------------------
# one machine has died, and so have some of the others' programs
kill -KILL "$(cat "/run/fsm/lab/$LAB_NAME/node2/pid")"
lab exec node1 bash -c 'kill -KILL $(pidof containerd-shim-runc-v2)'
lab kill control/etcd
t1=$(now_ms)
lab down || fail "down"
down_ms=$(($(now_ms) - t1))
until_ok 10 same || fail "left behind: $(cat "$TMP/diff")"
done_ok "two nodes up in $up_ms ms, pods after $pods_ms ms, $memory MiB, API server back in $api_ms ms," \
    "control plane alone in $beside_ms ms, down in $down_ms ms"
