#!/bin/bash
# nghttp and h2load reach nghttpd, which speaks only HTTP/2, through two sidecars.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
head -c 1024 /dev/urandom | base64 -w0 | head -c 1024 >"$TMP/1k"
mkdir -p "$TMP/www" && mv "$TMP/1k" "$TMP/www/" && in_pods "$TMP"
server app h2 8080 http-web -- nghttpd --no-tls -d "$TMP/www" 8080
client app
wait_ready app pod/h2 pod/client
got=$(in_pod app client nghttp http://h2.app:8080/1k | sha256sum)
expect_eq "nghttp body" "$got" "$(sha256sum <"$TMP/www/1k")"
out=$(in_pod app client h2load -n 5000 -c 10 -m 10 http://h2.app:8080/1k)
expect_match "h2load" "$out" '5000 succeeded, 0 failed, 0 errored'
got=$(in_pod app client curl -s -m 5 -o /dev/null -w '%{http_code} %{http_version}' --http2-prior-knowledge http://h2.app:8080/1k)
expect_eq "curl --http2-prior-knowledge" "$got" "200 2"
done_ok "5000 requests over HTTP/2"
