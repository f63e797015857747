#!/bin/bash
# ClusterIPs, IPv4 and IPv6, from pods and from the machine: spread over the endpoints, source
# address kept, TCP and UDP, a pod that meets itself, sticky sessions, no endpoint = refused at
# once, explicit addresses and those that cannot be had.
. "$(dirname "$0")/plain.bash"
mesh_up --without-controller
cat >"$TMP/who.py" <<'PYEOF'
# answers over TCP (HTTP) and UDP, IPv4 and IPv6, with its host name and who asked
import socket, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class H(BaseHTTPRequestHandler):
    def do_GET(self):
        body = (socket.gethostname() + " " + self.client_address[0] + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a):
        pass
class S(ThreadingHTTPServer):
    address_family = socket.AF_INET6
def udp():
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("::", 8080))
    while True:
        data, who = s.recvfrom(2048)
        s.sendto(socket.gethostname().encode() + b"\n", who)
threading.Thread(target=udp, daemon=True).start()
S(("::", 8080), H).serve_forever()
PYEOF
in_pods "$TMP"
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ipFamilyPolicy: RequireDualStack
  ports: [{name: http, port: 80, targetPort: http}, {name: udp, protocol: UDP, port: 53, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec: {selector: {app: web}, sessionAffinity: ClientIP, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: six}
spec: {selector: {app: web}, ipFamilies: [IPv6], ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: "debian:12"
        command: [$PY, "$TMP/who.py"]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
YAML
client default
wait_ready default deployment/web pod/client
four=$(service_ip default web)
six=$(fsml get service web -o 'jsonpath={.spec.clusterIPs[1]}')
ask() { in_pod default client curl -sSg -m 3 "$@"; }
many() { for _ in $(seq 40); do "$@"; done | awk '{print $1}' | sort -u | wc -l; }
expect_eq "endpoints met by IPv4" "$(many ask "http://$four/")" 3
expect_eq "endpoints met by IPv6" "$(many ask "http://[$six]/")" 3
expect_eq "endpoints met by name" "$(many ask http://web/)" 3
expect_eq "endpoints met from the machine" "$(many curl -sS -m 3 "http://$four/")" 3
expect_eq "endpoints met from the machine, IPv6" "$(many curl -sSg -m 3 "http://[$six]/")" 3
expect_eq "sticky" "$(many ask http://sticky/)" 1
expect_match "only IPv6" "$(service_ip default six)" ":"
expect_eq "endpoints met by a Service of IPv6 only" "$(many ask http://six/)" 3
expect_eq "the source address" "$(ask -4 http://web/ | awk '{print $2}' | sed 's/::ffff://')" "$(pod_ip default client)"
expect_eq "UDP" "$(for _ in $(seq 20); do echo x | in_pod default client sh -c "timeout 3 socat -t 1 - UDP:$four:53 </etc/hostname"; done | sort -u | wc -l)" 3
web=$(pods_of default app=web | head -n 1)
itself() { for _ in $(seq 40); do in_pod default "$web" curl -sS -m 3 "http://$four/"; done | awk '{print $1}' | sort -u | wc -l; }
expect_eq "endpoints met from one of them, itself included" "$(itself)" 3
t=$(now_ms)
ask http://empty/ >/dev/null 2>&1 && fail "a Service without endpoints answers"
ask "http://$four:81/" >/dev/null 2>&1 && fail "a port that the Service does not have answers"
[ $(($(now_ms) - t)) -lt 1500 ] || fail "without endpoints it takes $(($(now_ms) - t)) ms to be refused"
# explicit addresses
base=${four%.*}
make_service() { printf 'apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {clusterIP: "%s", ports: [{port: 80}]}\n' "$1" "$2" | fsml apply -f - 2>&1; }
expect_match "an address of its own" "$(make_service own "$base.200")" created
expect_eq "an address of its own" "$(service_ip default own)" "$base.200"
expect_match "an address twice" "$(make_service twice "$base.200")" "belongs to another Service"
expect_match "an address outside" "$(make_service outside 192.0.2.1)" "not in the service range"
# one endpoint fewer, at once
fsml scale deployment web --replicas=1 >/dev/null
two_gone() { [ "$(many ask "http://$four/")" = 1 ]; }
until_ok 10 two_gone || fail "endpoints that are gone are still met"
# a Service keeps its address, whatever a patch or a manifest says; others are not harmed
printf 'apiVersion: v1\nkind: Service\nmetadata: {name: keeps}\nspec: {selector: {app: none}, ports: [{port: 80}]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: other}\nspec: {selector: {app: none}, ports: [{port: 80}]}\n' >"$TMP/keeps.yaml"
apply <"$TMP/keeps.yaml"
ip=$(service_ip default keeps)
for bad in '{"spec":{"clusterIP":"1.2.3.4","clusterIPs":["1.2.3.4"]}}' "{\"spec\":{\"clusterIPs\":[\"$(service_ip default other)\"]}}"; do
    fsml patch service keeps --type=merge -p "$bad" >"$TMP/out" 2>&1 && fail "a patch changed an address: $bad"
    expect_match "a patch" "$(cat "$TMP/out")" 'spec.clusterIPs?: got .*it cannot be changed'
done
fsml patch service keeps --type=merge -p '{"spec":{"clusterIP":null,"clusterIPs":null}}' >/dev/null || fail "a patch that says nothing"
sed 's/selector/clusterIP: 1.2.3.4, selector/' "$TMP/keeps.yaml" | fsml apply -f - >"$TMP/out" 2>&1 && fail "a manifest changed an address"
apply <"$TMP/keeps.yaml"
expect_eq "its address" "$(service_ip default keeps)" "$ip"
fsml patch service keeps --type=merge -p '{"spec":{"type":"ExternalName","externalName":"x.example"}}' >/dev/null || fail "to ExternalName"
expect_eq "an ExternalName has none" "$(service_ip default keeps)" null
fsml patch service keeps --type=merge -p '{"spec":{"type":"ClusterIP","externalName":null}}' >/dev/null || fail "from ExternalName"
expect_match "and back" "$(service_ip default keeps)" '^[0-9.]+$'
done_ok
