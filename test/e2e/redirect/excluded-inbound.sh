#!/bin/bash
# a port that a pod's redirection leaves alone (inbound-port-exclusion-list) is reached by meshed
# clients too, in plaintext; the pod's other port by mutual TLS.
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: two, namespace: app}
spec:
  ports: [{name: http-in, port: 8082}, {name: http-alone, port: 8083}]
  selector: {app: two}
---
apiVersion: v1
kind: Pod
metadata:
  name: two
  namespace: app
  labels: {app: two}
  annotations: {flomesh.io/inbound-port-exclusion-list: "8083"}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: a, image: "debian:12", command: [sh, -c, "cd /tmp && exec python3 -m http.server 8082"], readinessProbe: {tcpSocket: {port: 8082}, periodSeconds: 1}}
  - {name: b, image: "debian:12", command: [sh, -c, "cd /tmp && exec python3 -m http.server 8083"], readinessProbe: {tcpSocket: {port: 8083}, periodSeconds: 1}}
YAML
client app
wait_ready app pod/two pod/client
code() { in_pod app client curl -s -o /dev/null -m 5 -w '%{http_code}' "http://$1/"; }
expect_eq "the port in the mesh" "$(code two.app:8082)" 200
expect_eq "the port left alone" "$(code two.app:8083)" 200
expect_eq "the port left alone, by address" "$(code "$(pod_ip app two):8083")" 200
# a pod that is in the mesh reaches itself by its Service: both ports
own() { in_pod app two curl -s -o /dev/null -m 5 -w '%{http_code}' "http://$1/"; }
expect_eq "its own port in the mesh" "$(own two.app:8082)" 200
expect_eq "its own port left alone" "$(own two.app:8083)" 200
expect_eq "its own port left alone, by address" "$(own "$(pod_ip app two):8083")" 200
ids=$(proxy_get config_dump app client | jq -c '[.Outbound.ClustersConfigs[].Endpoints | to_entries[] | select(.value.Identity) | .key | split(":")[-1]] | sort | unique')
expect_eq "ports with an identity" "$ids" '["8082"]'
# a pod whose only interface is left alone is called in plaintext on all ports
meshconfig '{"spec":{"traffic":{"networkInterfaceExclusionList":["eth0"]}}}'
sleep 1 # the injection reads the configuration in force
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: bare, namespace: app}
spec: {ports: [{name: http, port: 8082}], selector: {app: bare}}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: app, labels: {app: bare}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: a, image: "debian:12", command: [sh, -c, "cd /tmp && exec python3 -m http.server 8082"], readinessProbe: {tcpSocket: {port: 8082}, periodSeconds: 1}}
YAML
wait_ready app pod/bare
expect_eq "a pod whose interface is left alone" "$(code bare.app:8082)" 200
done_ok
