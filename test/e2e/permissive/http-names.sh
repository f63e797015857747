#!/bin/bash
# curl reaches gunicorn+httpbin by every name of its Service, by ClusterIP and by pod IP, over
# mutual TLS; serviceAccessMode domain takes the addresses away and leaves the names.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app other
httpbin app
client app
client other
wait_ready app deployment/httpbin pod/client
wait_ready other pod/client
pod=$(pods_of app app=httpbin)
cip=$(service_ip app httpbin)
pip=$(pod_ip app "$pod")

code() { # NS URL [HOST]
    in_pod "$1" client curl -s -o /dev/null -m 5 -w '%{http_code}' ${3:+-H "Host: $3"} "$2"
}
n=0
for name in httpbin httpbin.app httpbin.app.svc httpbin.app.svc.cluster httpbin.app.svc.cluster.local; do
    # the name as Host with and without port; "svc.cluster" is no DNS name, so the address is given
    expect_eq "Host $name from app" "$(code app "http://$cip:14001/get" "$name")" 200
    expect_eq "Host $name:14001 from app" "$(code app "http://$cip:14001/get" "$name:14001")" 200
    n=$((n + 2))
done
for name in httpbin httpbin.app httpbin.app.svc httpbin.app.svc.cluster.local; do
    expect_eq "http://$name:14001 from app" "$(code app "http://$name:14001/get")" 200
done
expect_eq "http://httpbin.app:14001 from other" "$(code other http://httpbin.app:14001/get)" 200
expect_eq "bare Host from another namespace" "$(code other "http://$cip:14001/get" httpbin)" 403
expect_eq "ClusterIP" "$(code other "http://$cip:14001/get")" 200
expect_eq "pod IP" "$(code other "http://$pip:14001/get")" 200
expect_eq "unknown Host" "$(code other "http://$cip:14001/get" nobody.example)" 403
expect_eq "body of a refusal" "$(in_pod other client curl -s -m 5 -H 'Host: nobody.example' "http://$cip:14001/get")" "Access denied"

# the request arrived through two sidecars: the server sees the client's identity
headers=$(in_pod other client curl -s -m 5 http://httpbin.app:14001/headers)
expect_match "httpbin's view" "$headers" '"Host": ?"httpbin.app:14001"'

meshconfig '{"spec":{"traffic":{"serviceAccessMode":"domain"}}}'
gone() { [ "$(code other "http://$cip:14001/get")" = 403 ]; }
until_ok 10 gone || fail "serviceAccessMode domain: ClusterIP as Host still answers"
expect_eq "domain mode: name" "$(code other http://httpbin.app:14001/get)" 200
expect_eq "domain mode: name by ClusterIP" "$(code other "http://$cip:14001/get" httpbin.app)" 200
done_ok "$n hosts, names, ClusterIP, pod IP"
