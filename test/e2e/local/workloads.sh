#!/bin/bash
# Deployments roll without a failed request and within their bounds; StatefulSets go in order and
# keep their names and claims; DaemonSets have one pod; owners take their pods with them.
. "$(dirname "$0")/plain.bash"
mesh_up --without-controller
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: main
        image: "debian:12"
        command: [$PY, -m, http.server, "8080"]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {selector: {app: db}, clusterIP: None, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: "debian:12"
        command: [sh, -c, "date +%s.%N >>/data/started; sleep 0.3; touch /tmp/up; exec sleep 1000"]
        readinessProbe: {exec: {command: [test, -e, /tmp/up]}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "debian:12", command: [sleep, "1000"]}]
YAML
wait_ready default deployment/web statefulset/db daemonset/agent
# never more than 5, never fewer than 4 ready, while every pod is replaced; no request fails
ip=$(service_ip default web)
curl -s "http://$ip/" -o /dev/null || fail "the Service does not answer"
: >"$TMP/stop"
(while [ -e "$TMP/stop" ]; do curl -s -m 3 -o /dev/null -w '%{http_code}\n' "http://$ip/"; done >"$TMP/codes") &
load=$!
(while [ -e "$TMP/stop" ]; do
    fsml get pods -l app=web -o json | jq -r '[.items[] | select(.metadata.deletionTimestamp == null)] |
        "\(length) \([.[] | select(.status.conditions[]? | .type == "Ready" and .status == "True")] | length)"'
done >"$TMP/bounds") &
watch=$!
old=$(pods_of default app=web | sort)
fsml restart deployment web >/dev/null || fail "restart"
wait_ready default deployment/web
fsml scale deployment web --replicas=6 >/dev/null
wait_ready default deployment/web
fsml scale deployment web --replicas=4 >/dev/null
wait_ready default deployment/web
rm "$TMP/stop"
wait $load $watch
new=$(pods_of default app=web | sort)
expect_eq "pods that survived a restart" "$(comm -12 <(echo "$old") <(echo "$new"))" ""
expect_eq "failed requests while rolling and scaling" "$(grep -vc 200 "$TMP/codes")" 0
expect_eq "moments with fewer than 4 ready pods" "$(awk '$2 < 4' "$TMP/bounds" | wc -l)" 0
expect_eq "moments with more than 6 pods" "$(awk '$1 > 6' "$TMP/bounds" | wc -l)" 0
requests=$(wc -l <"$TMP/codes")
# a StatefulSet goes one by one, and a new pod finds what the old one of its name wrote
t() { in_pod default "db-$1" tail -n 1 /data/started; }
awk -v a="$(t 0)" -v b="$(t 1)" -v c="$(t 2)" 'BEGIN { exit !(b - a > 0.25 && c - b > 0.25) }' || fail "they did not start one after the other: $(t 0) $(t 1) $(t 2)"
uid=$(fsml get pod db-1 -o 'jsonpath={.metadata.uid}')
fsml delete pod db-1 >/dev/null || fail "delete db-1"
wait_ready default statefulset/db
[ "$(fsml get pod db-1 -o 'jsonpath={.metadata.uid}')" != "$uid" ] || fail "db-1 is the same pod"
expect_eq "starts that db-1's claim remembers" "$(in_pod default db-1 sh -c 'wc -l </data/started')" 2
expect_eq "starts that db-0's claim remembers" "$(in_pod default db-0 sh -c 'wc -l </data/started')" 1
fsml scale statefulset db --replicas=1 >/dev/null
only() { [ "$(pods_of default app=db)" = db-0 ]; }
until_ok 10 only || fail "after scaling down: $(pods_of default app=db)"
# a pod of a DaemonSet that is deleted comes back; there is one
agent=$(pods_of default app=agent)
fsml delete pod "$agent" >/dev/null
wait_ready default daemonset/agent
[ "$(pods_of default app=agent)" != "$agent" ] || fail "the DaemonSet's pod did not change"
expect_eq "pods of the DaemonSet" "$(pods_of default app=agent | wc -l)" 1
fsml delete deployment/web daemonset/agent statefulset/db >/dev/null || fail "delete"
none() { [ -z "$(fsml get pods,replicasets -o name 2>/dev/null)" ]; }
until_ok 10 none || fail "their pods are still there: $(fsml get pods,rs -o name)"
done_ok "$requests requests while rolling and scaling, none failed"
