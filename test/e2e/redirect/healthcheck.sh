#!/bin/bash
# fsm-healthcheck tells the truth about TCP ports and gRPC health services, of allowed ports only,
# while redirection is in place
. "$(dirname "$0")/lib.bash"
HELPER=$FSM_BIN/fsm-healthcheck
[ -x "$HELPER" ] || {
    say "FAILED: no $HELPER: run make first"
    exit 1
}
$PY -c 'import grpc' 2>/dev/null || skip "needs python3-grpcio"
net_up
in_pod "$INIT" -d >/dev/null 2>&1 || failed "fsm-init"
as() { # UID COMMAND...: in the pod, in the background; its id in LAST
    local uid=$1
    shift
    ip netns exec pod setpriv --reuid="$uid" --regid="$uid" --clear-groups --inh-caps=-all --bounding-set=-all "$@" \
        >"$TMP/as.$uid.$((++N))" 2>&1 &
    LAST=$!
}
N=0
serve pod 1000 app@127.0.0.1:7001 app@::1:7002 app@10.77.0.2:7003 app@fd77::2:7004
cp "$HELPER" "$TMP/fsm-healthcheck"
chmod 755 "$TMP" "$TMP/fsm-healthcheck"
install -m 644 "$ROOT/test/e2e/peers/health_peer.py" "$TMP/"
as 1000 $PY "$TMP/health_peer.py" 9001
as 1000 $PY "$TMP/health_peer.py" 9002 bad
as 1000 $PY -m http.server 9003 --bind ::
cat >"$TMP/other.py" <<'PY'
import socket
from concurrent import futures
import grpc
server = grpc.server(futures.ThreadPoolExecutor(2))  # gRPC, but no health service
server.add_insecure_port("[::]:9004")
server.start()
s = socket.create_server(("127.0.0.1", 9005))  # accepts and says nothing
kept = []
while True:
    kept.append(s.accept())
PY
as 1000 $PY "$TMP/other.py"
POD_IPS=10.77.0.2,fd77::2 as 65534 "$TMP/fsm-healthcheck" -d -v --allow \
    tcp:7001,tcp:7002,tcp:7003,tcp:7004,tcp:7999,grpc:9001,grpc:9002,grpc:9003,grpc:9004,grpc:9005,grpc:9999
PID=$LAST
up() { outside curl -s -o /dev/null "http://10.77.0.2:15904/"; }
for _ in $(seq 200); do up && break; sleep 0.02; done
for port in 9001 9002 9003 9004 9005; do
    for _ in $(seq 200); do
        in_pod bash -c ": </dev/tcp/127.0.0.1/$port" 2>/dev/null && break
        sleep 0.02
    done
done
# probe NAME STATUS PATTERN CURL-ARGUMENTS...   (as the kubelet: from outside the pod)
probe() {
    local name=$1 want=$2 pattern=$3 got
    shift 3
    got=$(outside curl -s -m 5 -w '\n%{http_code}' "$@" "http://${HOST:-10.77.0.2}:15904${REQ:-/fsm-healthcheck}")
    if [ "${got##*$'\n'}" = "$want" ] && grep -q -- "$pattern" <<<"$got"; then ok "$name: $want"; else
        failed "$name: got '$got', expected $want '$pattern'"
    fi
}
probe "an open port on IPv4 loopback" 200 "Successfully established connection to 127.0.0.1:7001" -H "Original-Tcp-Port: 7001"
probe "an open port on IPv6 loopback" 200 "Successfully established connection to \[::1\]:7002" -H "Original-Tcp-Port: 7002"
probe "an open port on the pod's IPv4 address only" 200 "to 10.77.0.2:7003" -H "Original-Tcp-Port: 7003"
probe "an open port on the pod's IPv6 address only" 200 "to \[fd77::2\]:7004" -H "Original-Tcp-Port: 7004"
HOST='[fd77::2]' probe "asked over IPv6" 200 "Successfully" -H "original-tcp-port: 7001"
probe "a closed port" 404 "Failed to establish connection to .*connect_refused" -H "Original-Tcp-Port: 7999"
probe "a port no probe names" 403 "no probe of this pod" -H "Original-Tcp-Port: 15000"
probe "a gRPC port asked as TCP" 403 "no probe" -H "Original-Tcp-Port: 9001"
probe "no header" 400 "expected the header"
probe "a header that is no port" 400 "expected a port" -H "Original-Tcp-Port: 70000"
probe "a header that is no number" 400 "expected a port" -H "Original-Tcp-Port: pg"
REQ=/ probe "another path" 404 "Not found" -H "Original-Tcp-Port: 7001"
probe "another method" 405 "expected GET" -X POST -H "Original-Tcp-Port: 7001"
probe "gRPC serving" 200 "SERVING" -H "Original-Grpc-Port: 9001"
probe "gRPC serving, a named service" 200 "SERVING" -H "Original-Grpc-Port: 9001" -H "Original-Grpc-Service: my.Service"
probe "gRPC not serving" 503 "NOT_SERVING" -H "Original-Grpc-Port: 9002"
probe "gRPC asked of an HTTP/1 server" 503 "gRPC health check on port 9003" -H "Original-Grpc-Port: 9003"
probe "gRPC without a health service" 503 "grpc-status 12" -H "Original-Grpc-Port: 9004"
probe "gRPC refused" 503 "connect_refused" -H "Original-Grpc-Port: 9999"
start=$(date +%s%N)
outside curl -s -m 1 -H "Original-Grpc-Port: 9005" http://10.77.0.2:15904/fsm-healthcheck
[ $? = 28 ] && [ $(($(date +%s%N) - start)) -lt 3000000000 ] && ok "a silent server: the kubelet's own time-out ends it" ||
    failed "a silent server: the kubelet's own time-out ends it"

# many at once, and nothing is left open
fds() { ls "/proc/$PID/fd" | wc -l; }
before=$(fds)
urls=()
for _ in $(seq 300); do urls+=(-o /dev/null http://10.77.0.2:15904/fsm-healthcheck); done
codes=$(outside curl -sS -m 20 -Z --no-progress-meter --parallel-max 50 -w '%{http_code}\n' -H "Original-Grpc-Port: 9001" "${urls[@]}" | sort | uniq -c | tr -s ' ')
[ "$codes" = " 300 200" ] && ok "300 checks, 50 at a time" || failed "300 checks: $codes"
for _ in $(seq 100); do
    [ "$(fds)" -le "$before" ] && break
    sleep 0.05
done
[ "$(fds)" -le "$before" ] && ok "no descriptor is left over ($(fds))" || failed "descriptors left: $(ls -l "/proc/$PID/fd")"
say "memory: $(awk '/VmRSS/ {print $2 " kB RSS"} /RssAnon/ {print $2 " kB anonymous"}' "/proc/$PID/status" | tr '\n' ' ')"
kill -TERM $PID
wait $PID
[ $? = 0 ] && ok "SIGTERM ends it with status 0" || failed "SIGTERM"
grep -q ERROR: "$TMP"/as.65534.* && failed "sanitizer: $(cat "$TMP"/as.65534.*)"
for bad in "--allow 80" "--allow tcp:0" "--allow udp:53" "--listen 15904" "--pod-ip x" "x"; do
    # shellcheck disable=SC2086
    "$HELPER" $bad >"$TMP/bad" 2>&1
    [ $? = 2 ] && grep -q 'expected' "$TMP/bad" && ok "$bad: $(cat "$TMP/bad")" || failed "$bad: $(cat "$TMP/bad")"
done
finish
