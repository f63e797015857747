#!/bin/bash
# names of Services, headless Services and StatefulSet pods, for IPv4 and IPv6; names that are not
# there do not exist; no query is lost while names change.
. "$(dirname "$0")/plain.bash"
mesh_up --without-controller
plain_ns a b
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: web, namespace: a}
spec: {selector: {app: web}, ports: [{port: 80}], ipFamilyPolicy: PreferDualStack}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: a}
spec: {selector: {app: db}, clusterIP: None, ports: [{port: 5432}], ipFamilyPolicy: PreferDualStack}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: a}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "debian:12", command: [sleep, infinity]}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: client, namespace: b}
YAML
client a
client b
wait_ready a statefulset/db pod/client
wait_ready b pod/client
look() { in_pod "$1" client getent "$2" "$3" | awk '{print $1}' | sort -u; }
web4=$(service_ip a web)
web6=$(fsml get service -n a web -o 'jsonpath={.spec.clusterIPs[1]}')
for name in web web.a web.a.svc web.a.svc.cluster.local web.a.svc.cluster.local.; do
    expect_eq "$name from a" "$(look a ahostsv4 $name)" "$web4"
    expect_eq "$name from a, IPv6" "$(look a ahostsv6 $name)" "$web6"
done
expect_eq "web.a from b" "$(look b ahostsv4 web.a)" "$web4"
expect_eq "web from b" "$(look b ahostsv4 web)" ""
all4=$(fsml get pods -n a -l app=db -o 'jsonpath={.items[*].status.podIP}' | tr ' ' '\n' | sort)
expect_eq "headless" "$(look a ahostsv4 db)" "$all4"
for i in 0 1; do
    expect_eq "db-$i.db" "$(look a ahostsv4 db-$i.db)" "$(pod_ip a db-$i)"
    expect_eq "db-$i.db.a from b" "$(look b ahostsv4 db-$i.db.a)" "$(pod_ip a db-$i)"
    expect_eq "hostname of db-$i" "$(in_pod a db-$i hostname)" "db-$i"
    expect_eq "full name of db-$i" "$(in_pod a db-$i hostname -f)" "db-$i.db.a.svc.cluster.local"
done
for name in nothing nothing.a.svc.cluster.local www.example.com; do
    expect_eq "$name" "$(look a ahosts $name)" ""
done
# names come and go 40 times; a name that stays is always found
cat >"$TMP/ask.py" <<'PYEOF'
import socket, sys, time
n = bad = 0
end = time.time() + float(sys.argv[1])
while time.time() < end:
    n += 1
    try:
        socket.getaddrinfo("web.a.svc.cluster.local.", 80, socket.AF_INET)
    except OSError:
        bad += 1
print(n, bad)
PYEOF
in_pods "$TMP"
in_pod a client $PY "$TMP/ask.py" 6 >"$TMP/asked" &
asker=$!
for i in $(seq 40); do
    printf 'apiVersion: v1\nkind: Service\nmetadata: {name: s%d, namespace: a}\nspec: {ports: [{port: 80}]}\n' "$i" | apply
done
until_ok 3 in_pod a client getent hosts s40 || fail "s40 is not found"
fsml delete service -n a s40 >/dev/null || fail "delete"
gone() { ! in_pod a client getent hosts s40; }
until_ok 3 gone || fail "s40 is still found"
wait $asker
read -r n bad <"$TMP/asked"
[ "$n" -gt 500 ] || fail "only $n queries"
expect_eq "queries lost while names change" "$bad" 0
done_ok "$n queries while 41 names changed, none lost"
