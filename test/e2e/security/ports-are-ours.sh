#!/bin/bash
# the ports that traffic is redirected to are the sidecar's from its start, whatever the document says:
# a container of a pod without a Service cannot bind them and so get around mutual TLS
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
plain_ns outside
client app
client outside
wait_ready app pod/client
wait_ready outside pod/client
sidecar_listens() { # PORT
    as_sidecar app client ss -Hltn "sport = :$1" | grep -q LISTEN
}
for port in 15001 15003; do
    sidecar_listens $port || fail "nobody listens on $port of a pod without a Service"
    out=$(in_pod app client $PY -c "import socket
socket.create_server(('0.0.0.0', $port))" 2>&1) && fail "a container could bind $port"
    expect_match "binding $port" "$out" 'Address already in use'
done
ip=$(pod_ip app client)
in_pod outside client curl -s -m 3 "http://$ip:7777/" >/dev/null && fail "an outsider got an answer"
# a Service of its own, no egress, none again: the listeners stay
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: client, namespace: app}
spec: {selector: {app: client}, ports: [{name: http, port: 80, targetPort: 8080}]}
YAML
fsml delete service -n app client >/dev/null || fail "delete"
fsml patch meshconfig -n fsm-system fsm-mesh-config --type=merge \
    -p '{"spec":{"traffic":{"enableEgress":false,"enablePermissiveTrafficPolicyMode":false}}}' >/dev/null || fail "patch"
closed() { ! in_pod app client curl -s -m 2 -o /dev/null "http://$(pod_ip outside client):15999/"; }
until_ok 5 closed || fail "egress is still open"
for port in 15001 15003; do sidecar_listens $port || fail "$port is closed by a document"; done
done_ok
