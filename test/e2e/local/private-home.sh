#!/bin/bash
# fsm built under umask 077 in a home directory of mode 0700 that is not root's: containers, which
# may read neither, run its programs all the same; and what is built anew is what starts next.
. "$(dirname "$0")/../lib.sh"
home=$TMP/home/alice # $TMP is 0700 as well
mkdir -p "$home/fsm/build/bin" "$home/fsm/deploy/local"
cp "$FSM_BIN"/fsm* "$home/fsm/build/bin/"
cp "$ROOT/deploy/local/images.yaml" "$home/fsm/deploy/local/"
chown -R 5001:5001 "$TMP/home"
chmod -R u=rwX,go= "$TMP/home"
FSM=$home/fsm/build/bin/fsm
umask 077
mesh_up
mesh_ns app
httpbin app
client app
wait_ready app deployment/httpbin pod/client
code=$(in_pod app client curl -s -m 5 -o /dev/null -w '%{http_code}' http://httpbin:14001/get)
expect_eq "a request through two sidecars" "$code" 200
# a user without any right, in a pod of its own
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: plain}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: "debian:12"
    command: [sh, -c, "fsm-sidecar -V && exec sleep infinity"]
    securityContext: {runAsUser: 1234, runAsGroup: 1234, capabilities: {drop: [ALL]}}
YAML
wait_ready default pod/plain
where() { in_pod default plain sh -c 'command -v fsm-sidecar'; }
expect_eq "where programs are" "$(where)" /run/fsm/bin/fsm-sidecar
in_pod default plain sh -c 'touch /run/fsm/bin/x' 2>/dev/null && fail "a container writes beside fsm's programs"
# the next run of a container has what was built last
printf '#!/bin/sh\necho built anew\n' >"$home/fsm/build/bin/fsm-sidecar.new"
chmod 700 "$home/fsm/build/bin/fsm-sidecar.new"
mv "$home/fsm/build/bin/fsm-sidecar.new" "$home/fsm/build/bin/fsm-sidecar"
in_pod default plain sh -c 'kill $(pidof sleep)'
said_anew() { fsml logs plain 2>&1 | grep -q 'built anew'; }
until_ok 15 said_anew || fail "a new program was not taken: $(fsml logs plain 2>&1 | tail -n 3)"
done_ok
