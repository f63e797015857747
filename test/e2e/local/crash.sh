#!/bin/bash
# exclusive: it compares the whole machine before and after
# `fsm local down` leaves the machine as it was: links, addresses, routes, rules, settings, mounts,
# processes and files; after an orderly end and after the daemon was killed.
. "$(dirname "$0")/plain.bash"
[ -n "${FSM_OWN_NET:-}" ] || FSM_OWN_NET=1 exec unshare -n bash "$0" # links and rules of nobody else
ip link set lo up
shape() {
    ip -o link | sed 's/ \(qdisc\|mtu\) .*//'
    ip -o addr | sed 's/ valid_lft.*//'
    ip route show table all | sort
    ip -6 route show table all | sort
    nft list ruleset
    cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding \
        /proc/sys/net/ipv4/conf/all/send_redirects
    sort /proc/self/mountinfo | cut -d' ' -f3-
    ls -d /run/fsm/local/"$MESH" 2>/dev/null
    grep -lsz "^FSM_LOCAL_INSTANCE=$MESH\$" /proc/[0-9]*/environ
    find /etc /usr /opt /srv /home /var/lib /var/log -xdev -newer "$TMP/start" -path "*fsm*" 2>/dev/null
    find / -xdev -name "left-by-$MESH" -not -path '/proc/*' 2>/dev/null
}
load() {
    apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}], ipFamilyPolicy: PreferDualStack}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: "debian:12"
        # what it writes to the machine's directories must stay its own
        command: [sh, -c, "touch /etc/left-by-$MESH /left-by-$MESH /var/lib/left-by-$MESH; mkdir /opt/left-by-$MESH; (sleep 1000 &); exec sleep 1000"]
        volumeMounts:
        - {name: memory, mountPath: /var/lib/left-by-$MESH.d/memory}
        - {name: scratch, mountPath: /left-by-$MESH.d}
      volumes:
      - {name: memory, emptyDir: {medium: Memory}}
      - {name: scratch, emptyDir: {}}
YAML
    wait_ready default deployment/web
}
touch "$TMP/start"
shape >"$TMP/before"
mesh_up --without-controller
load
[ "$(ip -o link | grep -c ": fl")" -ge 4 ] || fail "the pods have no links"
fsml down || fail "down"
shape >"$TMP/after"
diff -U3 "$TMP/before" "$TMP/after" >&2 || fail "down left something"
mesh_up --without-controller
load
kill -9 "$(cat "/run/fsm/local/$MESH/pid")"
fsml get pods >/dev/null 2>&1 && fail "a killed daemon answers"
fsml down || fail "down after a crash"
shape >"$TMP/after"
diff -U3 "$TMP/before" "$TMP/after" >&2 || fail "down after a crash left something"
fsml down || fail "down of what is not there"
# a crash, and then up without down in between
mesh_up --without-controller
load
kill -9 "$(cat "/run/fsm/local/$MESH/pid")"
mesh_up --without-controller
expect_eq "pods after up" "$(fsml get pods -A -o name)" ""
fsml down
shape >"$TMP/after"
diff -U3 "$TMP/before" "$TMP/after" >&2 || fail "up after a crash left something"
done_ok
