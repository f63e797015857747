#!/bin/bash
# a Job in the mesh makes its request and completes: the sidecar does not keep it alive.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
httpbin app
wait_ready app deployment/httpbin
apply <<YAML
apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: app}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
      - name: main
        image: "debian:12"
        command: [curl, -sS, -f, -m, "10", "http://httpbin.app:14001/get"]
YAML
complete() {
    [ "$(fsml get job -n app once -o json | jq -r '.status.succeeded // 0')" = 1 ]
}
until_ok 30 complete || fail "the Job did not complete"
pod=$(pods_of app job-name=once)
expect_eq "the pod's phase" "$(fsml get pod -n app "$pod" -o json | jq -r .status.phase)" Succeeded
n=$(fsml get pod -n app "$pod" -o json | jq '[.spec.initContainers[] | select(.name == "sidecar")] | length')
expect_eq "sidecars in the Job's pod" "$n" 1
done_ok
