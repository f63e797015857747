#!/bin/bash
# who has no mesh certificate gets nothing through 15003: plain bytes, TLS without a certificate,
# TLS with a foreign one, from a pod outside the mesh and from the node.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
plain_ns outside
httpbin app
client outside
client app
wait_ready app deployment/httpbin pod/client
wait_ready outside pod/client
ip=$(pod_ip app "$(pods_of app app=httpbin)")
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=client.app.cluster.local \
    -addext 'subjectAltName=DNS:client.app.cluster.local,URI:spiffe://cluster.local/ns/app/sa/client' \
    -keyout "$TMP/key.pem" -out "$TMP/cert.pem" 2>/dev/null
in_pods "$TMP"
request='GET /get HTTP/1.1\r\nHost: httpbin.app\r\nConnection: close\r\n\r\n'
try() { # WHERE(host|ns/pod) COMMAND...  -> output; must not hold an HTTP answer
    local where=$1
    shift
    if [ "$where" = host ]; then
        printf "$request" | timeout 5 "$@" 2>&1
    else
        printf "$request" | fsml exec -i -n "${where%/*}" "${where#*/}" -- timeout 5 "$@" 2>&1
    fi
}
s_client=(openssl s_client -quiet -connect)
n=0
for where in host outside/client; do
    for port in 14001 15003; do
        for alpn in "" fsm-h2 fsm-http/1.1 fsm-tcp; do
            for cert in "" "-cert $TMP/cert.pem -key $TMP/key.pem"; do
                # shellcheck disable=SC2086
                out=$(try $where "${s_client[@]}" "$ip:$port" ${alpn:+-alpn $alpn} $cert)
                grep -aqE 'HTTP/(1|2)|"url"|Access denied' <<<"$out" && fail "$where $port alpn='$alpn' cert='$cert': $out"
                n=$((n + 1))
            done
        done
        out=$(try $where nc -w 3 "$ip" $port)
        grep -aqE '"url"|200 OK' <<<"$out" && fail "$where plain $port: $out"
        n=$((n + 1))
    done
done
# the same from a meshed pod as the sidecar's own user, so that nothing is redirected: right source
# address, no certificate
for alpn in "" fsm-h2 fsm-http/1.1 fsm-tcp; do
    out=$(printf "$request" | as_sidecar app client timeout 5 "${s_client[@]}" "$ip:14001" ${alpn:+-alpn $alpn} 2>&1)
    grep -aqE '"url"|200 OK' <<<"$out" && fail "as uid 1500, alpn='$alpn': $out"
    n=$((n + 1))
done
# and a mesh client still gets its answer
expect_eq "mesh client" "$(in_pod app client curl -s -o /dev/null -m 5 -w '%{http_code}' http://httpbin.app:14001/get)" 200
done_ok "$n attempts, nothing let through"
