#!/bin/bash
# restart policies, exit codes, back-off, init containers, Jobs and their limits.
. "$(dirname "$0")/plain.bash"
mesh_up --without-controller --restart-backoff 300ms
pod() { # NAME POLICY SCRIPT [INIT-SCRIPT]
    apply <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  restartPolicy: $2
  terminationGracePeriodSeconds: 1
${4:+$(printf '  initContainers: [{name: init, image: "debian:12", command: [sh, -c, "%s"]}]' "$4")}
  containers: [{name: main, image: "debian:12", command: [sh, -c, '$3']}]
YAML
}
field() { fsml get pod "$1" -o "jsonpath={.status.$2}"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }
pod ok Never "exit 0"
pod bad Never "exit 7"
pod killed Never 'kill -9 $$$$'
pod nocommand Never "exec /no/such/program"
pod onfail OnFailure "exit 0"
pod initbad Never "sleep 1000" "exit 3"
pod crash Always "exit 1"
pod order Never "test -e /nothing" "exit 0"
until_ok 10 is ok phase Succeeded || fail "ok: $(field ok phase)"
until_ok 10 is bad phase Failed || fail "bad: $(field bad phase)"
expect_eq "exit code" "$(field bad 'containerStatuses[0].state.terminated.exitCode')" 7
until_ok 10 is killed phase Failed || fail "killed"
expect_eq "exit code of SIGKILL" "$(field killed 'containerStatuses[0].state.terminated.exitCode')" 137
until_ok 10 is nocommand phase Failed || fail "nocommand"
expect_eq "exit code of what is not there" "$(field nocommand 'containerStatuses[0].state.terminated.exitCode')" 127
until_ok 10 is onfail phase Succeeded || fail "onfail"
until_ok 10 is initbad phase Failed || fail "initbad: $(field initbad phase)"
expect_eq "the container behind a failed init container" "$(field initbad 'containerStatuses[0].state.waiting.reason')" ContainerCreating
# back-off: the first restart at once, then 300, 600, 1200 ms
crashed() { [ "$(field crash 'containerStatuses[0].restartCount')" -ge "$1" ]; }
t=$(now_ms)
until_ok 10 crashed 4 || fail "crash: $(field crash 'containerStatuses[0].restartCount') restarts"
waited=$(($(now_ms) - t))
[ $waited -lt 8000 ] || fail "four restarts took $waited ms"
until_ok 5 is crash 'containerStatuses[0].state.waiting.reason' CrashLoopBackOff || fail "no CrashLoopBackOff"
expect_eq "last state" "$(field crash 'containerStatuses[0].lastState.terminated.exitCode')" 1
n=$(field crash 'containerStatuses[0].restartCount')
sleep 1 # the next wait is longer than that
[ "$(field crash 'containerStatuses[0].restartCount')" -le $((n + 1)) ] || fail "it does not back off"
# Jobs
job() { # NAME SPEC SCRIPT POLICY
    apply <<YAML
apiVersion: batch/v1
kind: Job
metadata: {name: $1}
spec:
  $2
  template:
    spec:
      restartPolicy: ${4:-Never}
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "debian:12", command: [sh, -c, "$3"]}]
YAML
}
job done "completions: 3
  parallelism: 2" "exit 0"
job fails "backoffLimit: 1" "exit 1"
job late "activeDeadlineSeconds: 1" "sleep 1000"
WAIT=20s wait_ready default job/done
expect_eq "succeeded" "$(fsml get job done -o 'jsonpath={.status.succeeded}')" 3
fsml wait job/fails --for=condition=failed --timeout=20s >/dev/null || fail "a Job that fails"
expect_eq "why it failed" "$(fsml get job fails -o 'jsonpath={.status.conditions[0].reason}')" BackoffLimitExceeded
expect_eq "pods of a Job that fails" "$(fsml get pods -l job-name=fails -o name | wc -l)" 2
fsml wait job/late --for=condition=failed --timeout=20s >/dev/null || fail "a Job that is late"
expect_eq "why it was too late" "$(fsml get job late -o 'jsonpath={.status.conditions[0].reason}')" DeadlineExceeded
fsml delete job done >/dev/null
none() { [ -z "$(fsml get pods -l job-name=done -o name)" ]; }
until_ok 5 none || fail "the pods of a deleted Job are still there"
done_ok
