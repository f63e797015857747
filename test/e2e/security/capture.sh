#!/bin/bash
# a packet capture between the pods shows only TLS: no word of the requests, the answers or the
# raw TCP bytes goes from pod to pod in the clear.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
httpbin app
server app raw 7000 tcp-raw -- socat TCP-LISTEN:7000,fork,reuseaddr EXEC:cat
client app
wait_ready app deployment/httpbin pod/raw pod/client
capture app/client "$TMP/cap" 'tcp and (port 14001 or port 7000)'
until_ok 10 grep -q listening "$TMP/tcpdump.log" || fail "tcpdump does not start: $(cat "$TMP/tcpdump.log")"
for _ in 1 2 3 4 5; do
    in_pod app client curl -sS -m 5 -H 'X-Mark: sesame-open' http://httpbin.app:14001/anything/secret-path >"$TMP/answer" || fail curl
    grep -q sesame-open "$TMP/answer" || fail "the mark did not come back"
    got=$(echo sesame-raw | fsml exec -i -n app client -- nc -N -w 5 raw.app 7000)
    expect_eq "raw echo" "$got" sesame-raw
done
seen() { [ "$(tcpdump -r "$TMP/cap" 2>/dev/null | wc -l)" -gt 20 ]; }
until_ok 5 seen || fail "the capture is empty"
capture_end
# (the names in certificates are public in TLS 1.2)
for word in sesame secret-path HTTP/1 httpbin.app:14001 gunicorn; do
    grep -aq "$word" "$TMP/cap" && fail "'$word' went from pod to pod in the clear"
done
# every connection's first payload bytes are TLS handshake records
hello=$(tcpdump -r "$TMP/cap" -nn -x 'tcp[((tcp[12] & 0xf0) >> 2)] = 0x16' 2>/dev/null | grep -c '^[0-9]')
[ "$hello" -gt 0 ] || fail "no TLS handshake in the capture"
done_ok "$(tcpdump -r "$TMP/cap" 2>/dev/null | wc -l) packets, all TLS"
