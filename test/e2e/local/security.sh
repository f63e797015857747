#!/bin/bash
# user, groups, capabilities, no_new_privs, read-only root, and what a container cannot see: the
# runtime's state, the machine's processes and devices.
. "$(dirname "$0")/plain.bash"
mesh_up --without-controller
NOTHING='{}'
pod() { # NAME CONTEXT POD-CONTEXT
    apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: ${3:-$NOTHING}
  containers: [{name: main, image: "debian:12", command: [sleep, "1000"], securityContext: $2}]
YAML
}
pod plain '{}'
pod none '{capabilities: {drop: [ALL]}, allowPrivilegeEscalation: false}'
pod one '{capabilities: {drop: [ALL], add: [NET_ADMIN, CAP_SYS_TIME]}}'
pod user '{runAsUser: 1500, runAsGroup: 1600, capabilities: {add: [NET_ADMIN]}}' '{supplementalGroups: [7, 8]}'
pod all '{privileged: true}'
pod ro '{readOnlyRootFilesystem: true}'
pod nonroot '{runAsNonRoot: true}'
pod unknown '{capabilities: {add: [FLY]}}'
wait_ready default pod/plain pod/none pod/one pod/user pod/all pod/ro
caps() { in_pod default "$1" sed -n "s/^Cap$2:\t//p" /proc/self/status; }
of_main() { in_pod default "$1" sed -n "s/^$2:\t//p" /proc/2/status; } # the container's own process
for set in Prm Eff Bnd; do
    expect_eq "plain $set" "$(caps plain $set)" 00000000a00425fb
    expect_eq "none $set" "$(caps none $set)" 0000000000000000
    expect_eq "one $set" "$(caps one $set)" 0000000002001000
    expect_eq "of the container's own process" "$(of_main one Cap$set)" 0000000002001000
done
expect_eq "a user's effective set" "$(caps user Eff)" 0000000000000000
expect_eq "a user's bounding set" "$(caps user Bnd)" 00000000a00435fb
expect_eq "a user's ambient set" "$(caps user Amb)" 0000000000000000
expect_eq "privileged" "$(caps all Eff)" "$(sed -n 's/^CapBnd:\t//p' /proc/self/status)"
expect_eq "no_new_privs" "$(in_pod default none sed -n 's/^NoNewPrivs:\t//p' /proc/self/status)" 1
expect_eq "no_new_privs of the container" "$(of_main none NoNewPrivs)" 1
expect_eq "no no_new_privs" "$(of_main plain NoNewPrivs)" 0
expect_eq "user and groups" "$(in_pod default user id -u -r):$(in_pod default user id -g -r):$(in_pod default user id -G)" "1500:1600:1600 7 8"
expect_eq "its own process's user" "$(of_main user Uid)" "$(printf '1500\t1500\t1500\t1500')"
in_pod default ro touch /x 2>/dev/null && fail "a read-only root was written to"
in_pod default ro touch /dev/shm/x || fail "/dev/shm is read-only too"
expect_match "runAsNonRoot" "$(fsml get pod nonroot -o 'jsonpath={.status.containerStatuses[0].state.waiting.message}')" "runAsNonRoot is true"
expect_match "an unknown capability" "$(fsml get pod unknown -o 'jsonpath={.status.containerStatuses[0].state.waiting.message}')" '"FLY", expected the name'
# what is not there
expect_eq "the runtime's state" "$(in_pod default plain ls /run/fsm/local 2>&1 | grep -c 'No such')" 1
[ "$(in_pod default plain sh -c 'ls -d /proc/[0-9]* | wc -l')" -le 6 ] || fail "a container sees the machine's processes"
in_pod default plain sh -c 'cat /proc/1/environ >/dev/null' 2>/dev/null && fail "a container reads its shim's environment"
in_pod default plain sh -c 'echo 1 >/proc/sys/kernel/sysrq' 2>/dev/null && fail "a container writes to /proc/sys"
in_pod default plain sh -c 'mount -t tmpfs x /mnt' 2>/dev/null && fail "a container mounts"
in_pod default plain sh -c 'mknod /tmp/disk b 7 0 || mknod /dev/disk b 7 0' 2>/dev/null && fail "a container makes a device"
in_pod default plain sh -c 'ls /dev' | grep -q vda && fail "a container sees the machine's disks"
# ports below 1024 are for every user of a pod
in_pod default user timeout 1 socat TCP-LISTEN:80 - </dev/null
[ $? = 124 ] || fail "a user cannot listen on port 80"
# the caller's terminal is not the command's
cat >"$TMP/tiocsti.py" <<'PY'
import fcntl, sys, termios
for name in ("/dev/tty", 0):
    try:
        fd = open(name, "rb", buffering=0) if name else sys.stdin
        for c in "echo INJECTED\n":
            fcntl.ioctl(fd, termios.TIOCSTI, c.encode())
        print("typed into", name)
    except OSError as e:
        print("refused", e.errno)
PY
out=$(script -qec "$FSM local exec -i --name $MESH plain -- $PY $TMP/tiocsti.py" /dev/null </dev/null)
expect_eq "typing into the caller's terminal" "$(grep -c refused <<<"$out")" 2
# an interruption reaches the command all the same
timeout -k 1 20 "$FSM" local exec --name "$MESH" plain -- sh -c 'trap "echo caught; exit 3" INT; while :; do sleep 0.05; done' >"$TMP/caught" &
begun() { in_pod default plain pgrep -f 'echo caught' >/dev/null; }
until_ok 5 begun || fail "exec does not begin"
sleep 0.3
kill -INT $!
wait $!
expect_eq "status of an interrupted command" $? 3
expect_eq "its words" "$(cat "$TMP/caught")" caught
# the runtime's own files are root's alone
expect_eq "state directory" "$(stat -c %a "/run/fsm/local/$MESH")" 700
expect_eq "socket" "$(stat -c %a "/run/fsm/local/$MESH/daemon.sock")" 600
# names do not become paths
for bad in '../../x' 'a/b' '.' 'A'; do
    printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: "%s"}\nspec: {containers: [{name: m, image: x, command: [sleep, "9"]}]}\n' "$bad" | fsml apply -f - >/dev/null 2>&1 && fail "a pod named $bad"
    "$FSM" local up --name "$bad" >/dev/null 2>&1 && fail "an instance named $bad"
done
done_ok
