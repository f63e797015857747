#!/bin/bash
# the order of things: init containers and native sidecars start one after the other, sidecars stop
# last and in reverse; hooks; grace; a pod leaves its Services before it is told to end; nothing
# survives its pod.
. "$(dirname "$0")/plain.bash"
mesh_up --without-controller --endpoint-lead 2s
mkdir "$TMP/log"
cat >"$TMP/stamp.sh" <<'SH'
echo "$(date +%s%N) $1" >>/log/order
SH
cat >"$TMP/stay.sh" <<'SH'
# NAME: says when it starts and when it is told to end
stamp() { sh "$(dirname "$0")/stamp.sh" "$1"; }
trap 'stamp "$1-term"; sleep 0.2; stamp "$1-end"; exit 0' TERM
stamp "$1-start"
touch /tmp/up
while :; do sleep 0.05; done
SH
in_pods "$TMP"
STAMP="sh $TMP/stamp.sh"
STAY="sh $TMP/stay.sh"
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: svc}
spec: {selector: {app: ord}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ord, labels: {app: ord}}
spec:
  terminationGracePeriodSeconds: 10
  volumes: [{name: log, hostPath: {path: $TMP/log}}]
  initContainers:
  - {name: i1, image: "debian:12", command: [sh, -c, "$STAMP i1-start; sleep 0.2; $STAMP i1-end"], volumeMounts: [{name: log, mountPath: /log}]}
  - name: s1
    image: "debian:12"
    restartPolicy: Always
    command: [sh, -c, "sleep 0.3; exec $STAY s1"]
    startupProbe: {exec: {command: [test, -e, /tmp/up]}, periodSeconds: 1}
    volumeMounts: [{name: log, mountPath: /log}]
  - {name: i2, image: "debian:12", command: [sh, -c, "$STAMP i2-start"], volumeMounts: [{name: log, mountPath: /log}]}
  - name: s2
    image: "debian:12"
    restartPolicy: Always
    command: [sh, -c, "exec $STAY s2"]
    volumeMounts: [{name: log, mountPath: /log}]
  containers:
  - name: main
    image: "debian:12"
    command: [sh, -c, "(sleep 7777 &); exec $STAY main"]
    lifecycle:
      postStart: {exec: {command: [sh, -c, "$STAMP poststart"]}}
      preStop: {exec: {command: [sh, -c, "$STAMP prestop; sleep 0.2"]}}
    readinessProbe: {exec: {command: [test, -e, /tmp/up]}, periodSeconds: 1}
    volumeMounts: [{name: log, mountPath: /log}]
YAML
wait_ready default pod/ord
order() { awk '{print $2}' "$TMP/log/order" | tr '\n' ' '; }
# what is started side by side writes in any order
expect_match "starting" "$(order)" '^i1-start i1-end s1-start i2-start ((main-start|s2-start|poststart) ){3}$'
expect_eq "each once" "$(order | tr ' ' '\n' | sort | uniq -d)" ""
endpoint() { fsml get endpointslice svc-v4 -o "jsonpath={.endpoints[0].conditions.$1}"; }
expect_eq "endpoint" "$(endpoint ready)" true
: >"$TMP/log/order"
t=$(date +%s%N)
fsml delete pod ord --wait=false >/dev/null
not_ready() { [ "$(endpoint ready) $(endpoint terminating) $(endpoint serving)" = "false true true" ]; }
until_ok 2 not_ready || fail "the endpoint of an ending pod: ready=$(endpoint ready) terminating=$(endpoint terminating) serving=$(endpoint serving)"
expect_eq "what it heard by then" "$(order)" ""
fsml wait pod/ord --for=delete --timeout=10s >/dev/null || fail "the pod does not end"
expect_eq "ending" "$(order)" "prestop main-term main-end s2-term s2-end s1-term s1-end "
lead=$((($(awk 'NR == 1 {print $1}' "$TMP/log/order") - t) / 1000000))
[ $lead -ge 1900 ] || fail "it was told to end $lead ms after delete, expected 2000"
pgrep -f 'sleep 7777' >/dev/null && fail "a child of the container outlived the pod"
# one that does not listen is killed when its grace is over
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: deaf}
spec:
  terminationGracePeriodSeconds: 2
  containers: [{name: main, image: "debian:12", command: [sh, -c, "trap '' TERM; while :; do sleep 0.05; done"]}]
YAML
wait_ready default pod/deaf
t=$(now_ms)
fsml delete pod deaf >/dev/null
ms=$(($(now_ms) - t))
[ $ms -ge 1900 ] && [ $ms -lt 4500 ] || fail "a pod that does not listen took $ms ms to end, expected 2 s"
# one that needs its time has it, also with the largest grace there is
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: patient}
spec:
  terminationGracePeriodSeconds: 9223372036854775807
  containers: [{name: main, image: "debian:12", command: [sh, -c, "trap 'sleep 1; echo ended >>/log/patient; exit 0' TERM; while :; do sleep 0.05; done"], volumeMounts: [{name: log, mountPath: /log}]}]
  volumes: [{name: log, hostPath: {path: $TMP/log}}]
YAML
wait_ready default pod/patient
fsml delete pod patient >/dev/null || fail "a pod with the largest grace"
expect_eq "its last word" "$(cat "$TMP/log/patient" 2>&1)" ended
# and at once when that is asked for
apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: deaf}
spec:
  terminationGracePeriodSeconds: 60
  containers: [{name: main, image: "debian:12", command: [sh, -c, "trap '' TERM; while :; do sleep 0.05; done"]}]
YAML
wait_ready default pod/deaf
t=$(now_ms)
fsml delete pod deaf --grace-period=0 --force >/dev/null
[ $(($(now_ms) - t)) -lt 1500 ] || fail "--grace-period=0 took $(($(now_ms) - t)) ms"
# a killed sidecar starts again while its pod goes on; one whose pod is done is stopped, and the pod completes
apply <<YAML
apiVersion: batch/v1
kind: Job
metadata: {name: job}
spec:
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      initContainers: [{name: side, image: "debian:12", restartPolicy: Always, command: [sleep, "1000"]}]
      containers: [{name: main, image: "debian:12", command: [sleep, "1"]}]
YAML
wait_ready default job/job
done_ok
