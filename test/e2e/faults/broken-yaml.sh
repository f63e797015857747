#!/bin/bash
# broken files, unknown fields, wrong types and duplicates: an error that names file, line, object,
# field and what was expected, in validate, in the log and in status; the rest is served on, and the
# last good version of the broken object stays in force.
# places: local, an API server keeps what is broken out: kubernetes/crds, kubernetes/injector
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
httpbin app
client app
wait_ready app deployment/httpbin pod/client
code() { in_pod app client curl -s -o /dev/null -m 5 -w '%{http_code}' http://httpbin.app:14001/get; }
expect_eq "before" "$(code)" 200
res=/run/fsm/local/$MESH/resources
file=$(ls "$res"/*ervice*app*httpbin* | head -n 1)
[ -f "$file" ] || fail "no file for Service app/httpbin in $res"
cp "$file" "$TMP/good.yaml"
cat >"$TMP/bad.yaml" <<YAML
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: app}
spec:
  ports:
  - name: http
    port: "http"
    targetprt: 1
  selector: {app: httpbin}
YAML
out=$("$FSM" validate -f "$TMP/bad.yaml" 2>&1)
expect_eq "fsm validate exit status" "$?" 1
expect_match "validate names file, line, object, field" "$out" 'bad.yaml:[0-9]+: Service app/httpbin: spec.ports\[0\]'
expect_match "validate knows the nearest field" "$out" 'targetPort'
cp "$TMP/bad.yaml" "$file"
told() { [[ $(fsml status 2>&1) == *'spec.ports[0].port'* ]]; }
until_ok 10 told || fail "status does not tell of the broken Service: $(fsml status)"
expect_eq "last good version stays" "$(code)" 200
printf 'a: [1, 2\nb: {' >"$res/broken.yaml"
told2() { [[ $(fsml status 2>&1) =~ broken.yaml:[0-9] ]]; }
until_ok 10 told2 || fail "status does not tell of broken.yaml"
# everything else goes on: a new Service is served
printf 'apiVersion: v1\nkind: Service\nmetadata: {name: second, namespace: app}\nspec: {ports: [{name: http, port: 14002, targetPort: 14001}], selector: {app: httpbin}}\n' | apply
new() { [ "$(in_pod app client curl -s -o /dev/null -m 5 -w '%{http_code}' http://second.app:14002/get)" = 200 ]; }
until_ok 10 new || fail "a new Service is not served while others are broken"
rm "$res/broken.yaml"
cp "$TMP/good.yaml" "$file"
healed() { ! told && ! told2; }
until_ok 10 healed || fail "problems do not go away"
printf 'apiVersion: v1\nkind: Servise\nmetadata: {name: x}\n' | fsml apply -f - >"$TMP/apply.log" 2>&1 && fail "an unknown kind was taken"
expect_match "apply names the nearest kind" "$(cat "$TMP/apply.log")" 'Service'
done_ok
