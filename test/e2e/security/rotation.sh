#!/bin/bash
# exclusive: it measures time, or needs both cores
# certificates that live 4 s and are renewed every 2 s, under load: no request fails.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
REQUESTS=${REQUESTS:-100000}
mesh_up
meshconfig '{"spec":{"certificate":{"serviceCertValidityDuration":"4s"}}}'
mesh_ns app
cat >"$TMP/nginx.conf" <<CONF
daemon off; master_process off; pid /tmp/nginx.pid; error_log stderr;
events { worker_connections 512; }
http { access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
  uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; keepalive_requests 1000000;
  server { listen 8080; location / { return 200 "hello\n"; } } }
CONF
in_pods "$TMP"
server app web 8080 http -- nginx -c "$TMP/nginx.conf"
client app
wait_ready app pod/web pod/client
serials() { proxy_get certs app client | jq -r '.. | .Serial? // empty' | head -n 1; }
first=$(serials)
(while :; do serials; sleep 0.5; done) >"$TMP/serials" 2>/dev/null &
total=0
ok=0
start=$(now_ms)
# in pieces, so that new connections are made all the time, for at least ten renewals
while [ $total -lt "$REQUESTS" ] || [ $(($(now_ms) - start)) -lt 21000 ]; do
    out=$(in_pod app client h2load --h1 -n 5000 -c 10 http://web.app:8080/)
    n=$(grep -oE '[0-9]+ succeeded' <<<"$out" | grep -oE '[0-9]+')
    total=$((total + 5000))
    ok=$((ok + ${n:-0}))
    expect_eq "succeeded of $total" "$ok" "$total"
done
kill %1
changed=$(sort -u "$TMP/serials" | grep -c .)
[ "$changed" -ge 5 ] || fail "only $changed certificates seen in $(($(now_ms) - start)) ms (first $first)"
done_ok "$total requests, 0 failed, $changed certificates in $(($(now_ms) - start)) ms"
