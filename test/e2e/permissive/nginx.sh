#!/bin/bash
# nginx as the server: small and large files, ranges, 20 keep-alive clients.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
mkdir -p "$TMP/www"
echo small >"$TMP/www/small"
head -c 20000000 /dev/urandom >"$TMP/www/large"
cat >"$TMP/nginx.conf" <<CONF
daemon off; master_process off; pid /tmp/nginx.pid; error_log stderr;
events { worker_connections 512; }
http { access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
  uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s; sendfile on;
  server { listen 8080; listen [::]:8080; root $TMP/www; } }
CONF
in_pods "$TMP"
server app web 8080 http -- nginx -c "$TMP/nginx.conf"
client app
wait_ready app pod/web pod/client
got=$(in_pod app client curl -sS -m 20 http://web.app:8080/large | sha256sum)
expect_eq "20 MB" "$got" "$(sha256sum <"$TMP/www/large")"
got=$(in_pod app client curl -sS -m 20 -r 1000-1999 http://web.app:8080/large | sha256sum)
expect_eq "range" "$got" "$(tail -c +1001 "$TMP/www/large" | head -c 1000 | sha256sum)"
out=$(in_pod app client h2load --h1 -n 4000 -c 20 http://web.app:8080/small)
expect_match "h2load --h1" "$out" '4000 succeeded, 0 failed'
done_ok "4000 requests, 20 MB"
