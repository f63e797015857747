#!/bin/bash
# an HTTP/2 client reaches an HTTP/1.1 server of its own choosing, and h1 keep-alive, pipelining,
# HEAD, 100-continue, chunked uploads and trailers pass through the pair unharmed.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
httpbin app
server app echo 8080 http-echo -- $PY "$ROOT/test/e2e/peers/http1_echo.py" 8080
client app
wait_ready app deployment/httpbin pod/echo pod/client
c() { in_pod app client curl -sS -m 10 "$@"; }
expect_match "HEAD" "$(c -I http://httpbin.app:14001/bytes/1000)" '[Cc]ontent-[Ll]ength: 1000'
expect_match "chunked upload" "$(seq 1 1000 | tr '\n' ' ' | fsml exec -i -n app client -- \
    curl -sS -m 10 -T - -H 'Content-Type: text/plain' http://echo.app:8080/echo)" '^1 2 3 .*999 1000'
out=$(c -v -H 'Expect: 100-continue' -d "$(printf 'x%.0s' $(seq 1 2000))" http://echo.app:8080/echo 2>&1)
expect_match "100-continue" "$out" '100 Continue'
expect_match "trailers" "$(c --raw http://echo.app:8080/trailers 2>&1)" '[Xx]-[Ss]um: ok'
expect_match "103" "$(c -v http://echo.app:8080/early 2>&1)" 'HTTP/1.1 103'
expect_eq "204" "$(c -o /dev/null -w '%{http_code}' http://httpbin.app:14001/status/204)" 204
expect_match "HTTP/1.0" "$(c -0 -i http://httpbin.app:14001/get)" '200 OK'
expect_eq "keep-alive" "$(c -o /dev/null -o /dev/null -w '%{num_connects},' \
    http://httpbin.app:14001/get http://httpbin.app:14001/get)" "1,0,"
# two requests in one segment: two answers in order, one connection
out=$(printf 'GET /echo?1 HTTP/1.1\r\nHost: echo.app:8080\r\n\r\nGET /echo?2 HTTP/1.1\r\nHost: echo.app:8080\r\nConnection: close\r\n\r\n' |
    fsml exec -i -n app client -- nc -w 5 echo.app 8080)
expect_eq "pipelining" "$(grep -aoE 'target: /echo\?[12]' <<<"$out" | tr '\n' ' ')" "target: /echo?1 target: /echo?2 "
expect_match "ambiguous framing" "$(printf 'POST /echo HTTP/1.1\r\nHost: echo.app:8080\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n' |
    fsml exec -i -n app client -- nc -w 5 echo.app 8080)" 'HTTP/1.1 400'
done_ok
