#!/bin/bash
# exclusive: it measures time, or needs both cores
# a new Service and a moved endpoint are live in less than a second; p50 and p99 over at least 50
# changes, from before the change is written until a client in a pod has the answer it should get.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
# for each line "ADDRESS PORT HOST ANSWER TIME": asks every 5 ms until that is the answer; prints how
# many ms after TIME it was
cat >"$TMP/until.py" <<'PYEOF'
import http.client, sys, time

def get(address, port, host):
    c = http.client.HTTPConnection(address, port, timeout=2)
    try:
        c.request("GET", "/", headers={"Host": host})
        r = c.getresponse()
        body = r.read().decode()
        return body if r.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        c.close()

print("begun", flush=True)
for line in sys.stdin:
    address, port, host, want, begin = line.split()
    begin = float(begin)
    while get(address, int(port), host) != want and time.time() < begin + 10:
        time.sleep(0.005)
    took = time.time() - begin
    print(int(took * 1000) if took < 10 else "never", flush=True)
PYEOF
in_pods "$TMP"
client app
server app base 8080 http -- $PY "$ROOT/test/e2e/peers/hostname_http.py" 8080 base
for name in w0 w1; do server app $name 8080 http -- $PY "$ROOT/test/e2e/peers/hostname_http.py" 8080 $name; done
wait_ready app pod/client pod/base pod/w0 pod/w1
mkfifo "$TMP/questions" "$TMP/answers"
fsml exec -i -n app client -- $PY "$TMP/until.py" <"$TMP/questions" >"$TMP/answers" &
exec 7>"$TMP/questions" 8<"$TMP/answers"
answer() { IFS= read -r -t 20 ANSWER <&8 || fail "the client in the pod has ended"; }
answer
expect_eq "the client" "$ANSWER" begun
# live NAME PORT APP: Service NAME sends PORT to the pods of APP, from now on
live() {
    local begin ip
    begin=$(date +%s.%N)
    ip=$(service_put app "$1" <<YAML
apiVersion: v1
kind: Service
metadata: {name: $1, namespace: app}
spec: {ports: [{name: http, port: $2, targetPort: 8080}], selector: {app: $3}}
YAML
    )
    date +%s.%N | awk -v b="$begin" '{printf "%d\n", ($1 - b) * 1000}' >>"$TMP/write-ms"
    echo "$ip $2 $1.app $3 $begin" >&7
    answer
    [ "$ANSWER" != never ] || fail "Service $1, pods of $3: never live"
    echo "$ANSWER" >>"$TMP/ms"
}
for i in $(seq 1 25); do live "s$i" $((9000 + i)) base; done  # a new Service for pods that run already
for i in $(seq 1 25); do live moving 8080 w$((i % 2)); done    # the Service selects another pod
exec 7>&-
q=$(quantiles <"$TMP/ms")
p99=$(sed 's/.*p99=\([0-9]*\).*/\1/' <<<"$q")
[ "$p99" -lt 1000 ] || fail "changes take too long: $q ms; of that to write them: $(quantiles <"$TMP/write-ms") ms"
done_ok "$q ms; of that to write them: $(quantiles <"$TMP/write-ms") ms"
