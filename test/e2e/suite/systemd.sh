#!/bin/bash
# the systemd units: nothing wrong with them, as hardened as they were, and under a real systemd they
# start, reload, come back, are followed by another build under load, and stop
. "$(dirname "$0")/../lib.sh"
command -v systemd-analyze >/dev/null || skip "no systemd-analyze (Debian package systemd)"
units="fsm-controller.service fsm-sidecar@.service fsm-init@.service"

# ---- what can be said without running them ------------------------------------------------------
"$ROOT/deploy/install" "$FSM_BIN" "$TMP/dest" /usr/local || fail "deploy/install"
expect_eq "programs installed" "$(ls "$TMP/dest/usr/local/bin")" "$(cd "$FSM_BIN" && ls -d fsm*)"
mkdir "$TMP/units"
for u in $units; do # as installed, with programs that are there
    sed "s,/usr/local/bin,$FSM_BIN," "$TMP/dest/usr/local/lib/systemd/system/$u" >"$TMP/units/$u"
done
verified=$(cd "$TMP/units" && systemd-analyze verify --man=no ./fsm-controller.service ./fsm-sidecar@node.service ./fsm-init@node.service 2>&1) ||
    fail "systemd-analyze verify: $verified"
expect_eq "systemd-analyze verify" "$verified" ""
figures=
exposed() { # UNIT: tenths, 0 (nothing can be done) to 100
    systemd-analyze security --offline=true --no-pager "$TMP/units/$1" 2>&1 | sed -n 's/.*Overall exposure level for .*: \([0-9]*\)\.\([0-9]\) .*/\1\2/p'
}
while read -r u most; do
    e=$((10#$(exposed "$u")))
    [ "$e" -le "$most" ] || fail "$u: exposure $e, at most $most before: systemd-analyze security says what"
    figures+=" ${u%%[.@]*} ${e%?}.${e: -1}"
done <<'MOST'
fsm-controller.service 11
fsm-sidecar@.service 11
fsm-init@.service 19
MOST

# ---- a machine of its own: this one's files, with changes that are lost, its own processes and network
box=$TMP/box
boot=
scenario_cleanup() {
    [ -z "$boot" ] || kill -KILL "$boot" 2>/dev/null
    for h in "${groups[@]}"; do
        until_ok 10 gone "$h" || say "left: $h"
    done
    ip netns del "$far" 2>/dev/null
}
gone() {
    [ ! -d "$1" ] || {
        find "$1" -depth -type d -exec rmdir {} \; 2>/dev/null
        [ ! -d "$1" ]
    }
}
far=fsm-far-$$
groups=()
for h in $(findmnt -rno TARGET -t cgroup2) $(findmnt -rno TARGET -t cgroup -O name=systemd); do
    mkdir "$h/fsm-systemd-$$" 2>/dev/null && groups+=("$h/fsm-systemd-$$")
done
[ ${#groups[@]} -gt 0 ] || skip "units are right ($figures ); none is run: no control group can be made"
mkdir "$box"
cat >"$TMP/boot" <<'BOOT'
set -e
to=$1 box=$2 files=$3
shift 3
for g; do echo $$ >"$g/cgroup.procs"; done
exec unshare --cgroup bash -e "$to" "$box" "$files"
BOOT
cat >"$TMP/begin" <<'BEGIN'
box=$1 files=$2
mount -t tmpfs tmpfs "$box"
mkdir "$box/up" "$box/work" "$box/root"
root=$box/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$box/up,workdir=$box/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
for d in run tmp dev; do mount -t tmpfs tmpfs "$root/$d"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for n in null zero full random urandom tty; do
    touch "$root/dev/$n"
    mount --bind "/dev/$n" "$root/dev/$n"
done
if grep -q ' - cgroup .*name=systemd' /proc/self/mountinfo; then
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"
else
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
fi
rm -rf "$root"/etc/systemd/system/*.wants
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id" # one without would have all units of this machine enabled
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >"$root/etc/systemd/system/box.target"
cp -a "$files/dest/." "$root/"
cp -a "$files/etc/." "$root/etc/"
mkdir -p "$root/.old"
ip link set lo up
exec 9<"$root"
# The root of the mount namespace itself is exchanged, whatever ours is: in a chroot there are no user
# namespaces.
exec nsenter --mount=/proc/self/ns/mnt sh -ec 'cd /proc/self/fd/9
pivot_root . .old
exec 9<&-
umount -l /.old
exec env -i container=other PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=box.target --log-target=journal --show-status=false'
BEGIN

# ---- a mesh of one node: its own pod, by hand -----------------------------------------------------
mkdir -p "$TMP/etc/fsm/resources" "$TMP/etc/fsm/sidecar"
openssl ecparam -name prime256v1 -genkey -noout -out "$TMP/token.key" 2>/dev/null
openssl ec -in "$TMP/token.key" -pubout -out "$TMP/etc/fsm/token.pub" 2>/dev/null
cat >"$TMP/etc/fsm/resources/node.yaml" <<'YAML'
apiVersion: v1
kind: Namespace
metadata: {name: bare, labels: {flomesh.io/monitored-by: fsm}}
---
apiVersion: config.flomesh.io/v1alpha3
kind: MeshConfig
metadata: {name: fsm-mesh-config, namespace: fsm-system}
spec: {traffic: {enablePermissiveTrafficPolicyMode: true, enableEgress: true}}
---
apiVersion: v1
kind: Pod
metadata: {name: node, namespace: bare, uid: node-1, labels: {fsm-proxy-uuid: node-1}}
spec: {serviceAccountName: node, containers: [{name: node, image: node}]}
status: {phase: Running, podIP: 10.99.0.1}
YAML
"$PY" - "$TMP/token.key" >"$TMP/etc/fsm/sidecar/node.token" <<'TOKEN' || fail "no token"
import base64, json, subprocess, sys, time
b64 = lambda d: base64.urlsafe_b64encode(d).rstrip(b"=").decode()
now = int(time.time())
text = b64(json.dumps({"alg": "ES256", "typ": "JWT"}).encode()) + "." + b64(json.dumps({
    "iss": "x", "aud": ["fsm"], "iat": now, "nbf": now, "exp": now + 3600, "sub": "system:serviceaccount:bare:node",
    "kubernetes.io": {"namespace": "bare", "serviceaccount": {"name": "node", "uid": "u"},
                      "pod": {"name": "node", "uid": "node-1"}}}).encode())
der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", sys.argv[1]], input=text.encode(), capture_output=True, check=True).stdout
n = 4 + der[3]
print(text + "." + b64(int.from_bytes(der[4:n], "big").to_bytes(32, "big") + int.from_bytes(der[n + 2:], "big").to_bytes(32, "big")), end="")
TOKEN
chmod 644 "$TMP/etc/fsm/sidecar/node.token"
echo 'FLAGS=-d --controller https://127.0.0.1:6060 --token-file /etc/fsm/sidecar/node.token --ca-file /etc/fsm/sidecar/ca.crt' \
    >"$TMP/etc/fsm/sidecar/node.conf"

# Everything in it ends with its first process.
setsid unshare --mount --pid --fork --uts --ipc --net bash "$TMP/boot" "$TMP/begin" "$box" "$TMP" "${groups[@]}" >"$TMP/console" 2>&1 </dev/null &
unshare=$!
up() { boot=$(pgrep -P "$unshare" -x systemd) && [ -n "$boot" ] && in_box systemctl is-active -q box.target; }
in_box() { nsenter -t "$boot" -m -r -w/ -p -n -u -i -- "$@"; }
until_ok 30 up || {
    [ -n "$boot" ] || skip "units are right ($figures ); none is run, systemd does not start here: $(tail -n 1 "$TMP/console")"
    skip "units are right ($figures ); none is run, systemd does not come up here: $(in_box systemctl list-jobs --no-pager | tail -n 3 | tr '\n' ' ')"
}
why() { in_box journalctl --no-pager -n 30 -u "$1" >&2; }
sctl() { # VERB UNIT
    in_box timeout 60 systemctl "$@" || {
        why "${*: -1}"
        fail "systemctl $*"
    }
}
main_of() { in_box systemctl show -P MainPID "$1"; }
in_box systemd-sysusers || fail "systemd-sysusers"
expect_eq "the sidecar's user" "$(in_box id -u fsm-sidecar)" 1500

# ---- the controller ------------------------------------------------------------------------------
sctl start fsm-controller
ready() { in_box curl -fs http://127.0.0.1:9091/health/ready >/dev/null; }
ready || fail "the controller was started, and is not ready"
expect_eq "the CA's directory" "$(in_box stat -c %a /var/lib/private/fsm-controller)" 700
in_box cp /var/lib/private/fsm-controller/ca.crt /etc/fsm/sidecar/ca.crt || fail "no ca.crt"
was=$(main_of fsm-controller)
sctl reload fsm-controller
expect_eq "the controller after a reload" "$(main_of fsm-controller)" "$was"
in_box kill -KILL "$was"
back() { now=$(main_of fsm-controller) && [ "$now" != 0 ] && [ "$now" != "$was" ] && ready; }
until_ok 15 back || fail "killed, the controller does not come back"

# ---- the sidecar, and what leads to it --------------------------------------------------------------
ip netns add "$far"
ip -n "$far" link add box type veth peer name far netns "$boot"
ip -n "$far" addr add 10.99.0.2/24 dev box
ip -n "$far" link set box up
in_box ip addr add 10.99.0.1/24 dev far
in_box ip link set far up
ip netns exec "$far" "$PY" "$ROOT/test/e2e/peers/hostname_http.py" 8080 far >/dev/null 2>&1 &
asks() { [ "$(in_box curl -s -m 5 http://10.99.0.2:8080/)" = far ]; }
until_ok 10 asks || fail "no network"
sctl start fsm-init@node # brings the sidecar, and waits for it
expect_eq "the sidecar" "$(in_box systemctl is-active fsm-sidecar@node)" active
expect_eq "the sidecar's user" "$(in_box stat -c %u "/proc/$(main_of fsm-sidecar@node)")" 1500
expect_match "its capabilities" "$(in_box grep -E 'Cap(Eff|Bnd)|NoNewPrivs|Seccomp:' "/proc/$(main_of fsm-sidecar@node)/status" | tr -s '\n\t ' ' ')" \
    'CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2'
carried() { in_box curl -s http://127.0.0.1:15010/stats/prometheus | awk '/^sidecar_listener_downstream_cx_total|downstream_cx_total/ {n += $2} END {print n + 0}'; }
before=$(carried)
asks || fail "no answer through the sidecar"
[ "$(carried)" -gt "$before" ] || fail "the node's connections do not go through its sidecar"
sctl reload fsm-sidecar@node

# another build follows, under load: the first process stays the main one
first=$(main_of fsm-sidecar@node)
in_box "$PY" - >"$TMP/load" 2>&1 <<'LOAD' &
import socket, time
end, good, bad = time.time() + 4, 0, 0
while time.time() < end:
    try:
        with socket.create_connection(("10.99.0.2", 8080), 5) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: far\r\nConnection: close\r\n\r\n")
            text = b""
            while part := s.recv(4096):
                text += part
            good += text.endswith(b"far")
            bad += not text.endswith(b"far")
    except OSError:
        bad += 1
print(good, bad)
LOAD
load=$!
sleep 1
in_box cp /usr/local/bin/fsm-sidecar /usr/local/bin/new
in_box mv /usr/local/bin/new /usr/local/bin/fsm-sidecar
sctl kill --kill-whom=main -s USR2 fsm-sidecar@node
followed() { [ "$(in_box systemctl show -P TasksCurrent fsm-sidecar@node)" -ge 2 ] && [ "$(in_box pgrep -c -x fsm-sidecar)" -ge 2 ]; }
until_ok 10 followed || {
    why fsm-sidecar@node
    fail "no successor"
}
wait $load
read -r good bad <"$TMP/load"
[ "$bad" = 0 ] && [ "$good" -gt 100 ] || fail "while another build followed: $(cat "$TMP/load") (good, failed)"
expect_eq "the main process" "$(main_of fsm-sidecar@node)" "$first"
expect_eq "the sidecar" "$(in_box systemctl is-active fsm-sidecar@node)" active

# without its sidecar nothing leads to it
rules() { in_box iptables-save -t nat 2>/dev/null | grep -c PROXY_; }
[ "$(rules)" -gt 0 ] || fail "no rules"
sctl stop fsm-sidecar@node
expect_eq "rules that are left" "$(rules)" 0
asks || fail "the sidecar has gone, and connections still lead to it"
sctl start fsm-init@node
asks || fail "started again: no answer"
sctl restart fsm-sidecar@node
until_ok 10 asks || fail "restarted: no answer"
leads() { [ "$(rules)" -gt 0 ]; }
until_ok 20 leads || {
    why fsm-init@node
    fail "the sidecar was restarted, and nothing leads to it any more"
}
sctl stop fsm-init@node fsm-sidecar@node fsm-controller
for u in fsm-init@node fsm-sidecar@node fsm-controller; do
    [ "$(in_box systemctl show -P Result $u)" = success ] || why $u
    expect_eq "$u stopped" "$(in_box systemctl show -P Result $u)" success
done
denied=$(in_box journalctl --no-pager -q -u 'fsm-*' | grep -iE 'core-dump|SIGSYS|status=31|Operation not permitted' | head -n 3)
expect_eq "what the units forbid and the programs want" "$denied" ""
done_ok "exposure$figures; $good requests while another build followed, 0 failed"
