#!/bin/bash
# another root under load: prepared, promoted, the old one retired; every sidecar has a certificate
# of the new root within seconds, no request fails, no open connection ends.
# places: local, the controller does not write the Secret that the CA is in on a cluster
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
cat >"$TMP/nginx.conf" <<CONF
daemon off; master_process off; pid /tmp/nginx.pid; error_log stderr;
events { worker_connections 512; }
http { access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
  uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; keepalive_requests 1000000;
  server { listen 8080; location / { return 200 "hello\\n"; } } }
CONF
in_pods "$TMP"
server app web 8080 http -- nginx -c "$TMP/nginx.conf"
server app echo 9000 tcp-echo -- socat TCP-LISTEN:9000,fork,reuseaddr EXEC:cat
client app
wait_ready app pod/web pod/echo pod/client
ca() { curl -sS --max-time 5 --unix-socket "/run/fsm/local/$MESH/controller.sock" -X "${2:-GET}" "http://fsm/ca$1"; }
ca_is() { [ "$(ca "" | jq -r "$1")" = "$2" ]; }
issuer() { proxy_get certs app "$1" | jq -r .Serial; }
# one connection that stays open over all steps
mkfifo "$TMP/in"
fsml exec -i -n app client -- socat -t 5 - TCP:echo.app:9000 <"$TMP/in" >"$TMP/out" 2>"$TMP/err" &
exec 7>"$TMP/in"
echo before >&7
got() { grep -q "$1" "$TMP/out"; }
until_ok 10 got before || fail "the open connection does not answer"
# load: short runs, so that new connections are made all the time
(
    total=0 ok=0
    until [ -e "$TMP/stop" ]; do
        n=$(in_pod app client h2load --h1 -n 500 -c 5 http://web.app:8080/ | grep -oE '[0-9]+ succeeded' | grep -oE '[0-9]+')
        total=$((total + 500)) ok=$((ok + ${n:-0}))
        echo "$total $ok" >"$TMP/load.new" && mv "$TMP/load.new" "$TMP/load"
    done
) &
load=$!
loaded() { [ -e "$TMP/load" ]; }
until_ok 30 loaded || fail "no load"
old=$(issuer client)
expect_match "prepare" "$(ca /prepare POST)" '"roots"'
until_ok 20 ca_is .proxiesWithoutRoots 0 || fail "the next root does not reach everybody: $(ca "")"
before=$(now_ms)
expect_match "promote" "$(ca /promote POST)" '"roots"'
until_ok 20 ca_is .proxiesWithOldCertificates 0 || fail "certificates are not renewed: $(ca "")"
renewed=$(($(now_ms) - before))
[ "$(issuer client)" != "$old" ] || fail "the client's certificate is the old one"
expect_match "retire" "$(ca /retire POST)" '"roots"'
until_ok 20 ca_is .proxiesWithoutRoots 0 || fail "the old root stays: $(ca "")"
read -r total _ <"$TMP/load"
more() { [ "$(cut -d' ' -f1 "$TMP/load")" -gt $((total + 500)) ]; }
until_ok 30 more || fail "the load stopped"
touch "$TMP/stop"
wait $load
read -r total ok <"$TMP/load"
expect_eq "requests that succeeded" "$ok" "$total"
echo after >&7
until_ok 10 got after || fail "the connection of before was dropped: $(cat "$TMP/err")"
exec 7>&-
done_ok "$total requests, 0 failed, one connection open throughout; all certificates renewed in $renewed ms"
