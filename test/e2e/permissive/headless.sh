#!/bin/bash
# a headless Service and the names of a StatefulSet's pods lead to the pods.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: db, namespace: app}
spec:
  clusterIP: None
  ports: [{name: http, port: 8080}]
  selector: {app: db}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: app}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: "debian:12"
        command: [$PY, "$ROOT/test/e2e/peers/hostname_http.py", "8080"]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
YAML
client app
wait_ready app statefulset/db pod/client
get() { in_pod app client curl -sS -m 5 "http://$1:8080/"; }
for n in db-0 db-1; do
    for host in $n.db $n.db.app $n.db.app.svc.cluster.local; do
        until_ok 10 get $host || fail "$host does not answer"
        expect_eq "$host" "$(get $host)" "$n"
    done
done
# who dials a pod's address means that pod, whatever Service it belongs to
for n in db-0 db-1; do
    ip=$(pod_ip app $n)
    for _ in 1 2 3 4; do
        expect_eq "the address of $n" "$(in_pod app client curl -sS -m 5 -H 'Host: db.app' "http://$ip:8080/")" $n
    done
done
expect_match "headless name" "$(get db.app)" '^db-[01]$'
done_ok
