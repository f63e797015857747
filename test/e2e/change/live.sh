#!/bin/bash
# exclusive: it measures time, or needs both cores
# a new Service, a scaled Deployment and a moved endpoint are live in less than a second; p50 and
# p99 over at least 50 changes.
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
# a client that asks again every 5 ms until it gets what it wants, and prints how long that took
cat >"$TMP/until.py" <<'PYEOF'
import http.client, sys, time
host, port, name, want, t0 = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], float(sys.argv[5])
while time.time() < t0 + 10:
    try:
        c = http.client.HTTPConnection(host, port, timeout=2)
        c.request("GET", "/", headers={"Host": name})
        r = c.getresponse()
        body = r.read().decode()
        c.close()
        if r.status == 200 and body == want:
            print(int((time.time() - t0) * 1000))
            sys.exit(0)
    except OSError:
        pass
    except http.client.HTTPException:
        pass
    time.sleep(0.005)
print("never")
sys.exit(1)
PYEOF
in_pods "$TMP"
client app
server app base 8080 http -- $PY "$ROOT/test/e2e/peers/hostname_http.py" 8080 base
wait_ready app pod/client pod/base
: >"$TMP/ms"
for i in $(seq 1 25); do
    # a new Service for pods that run already
    ip=$(service_ip app base)
    t0=$(date +%s.%N)
    printf 'apiVersion: v1\nkind: Service\nmetadata: {name: s%d, namespace: app}\nspec: {ports: [{name: http, port: 9%03d, targetPort: 8080}], selector: {app: base}}\n' "$i" "$i" | apply
    ip=$(service_ip app "s$i")
    in_pod app client $PY "$TMP/until.py" "$ip" "9$(printf %03d "$i")" "s$i.app" base "$t0" >>"$TMP/ms" || fail "Service s$i never answered"
done
for i in $(seq 1 25); do
    # an endpoint moves: the Service selects another pod
    name=w$((i % 2))
    [ "$i" -le 2 ] && server app $name 8080 http -- $PY "$ROOT/test/e2e/peers/hostname_http.py" 8080 $name && wait_ready app pod/$name
    t0=$(date +%s.%N)
    printf 'apiVersion: v1\nkind: Service\nmetadata: {name: moving, namespace: app}\nspec: {ports: [{name: http, port: 8080}], selector: {app: %s}}\n' "$name" | apply
    ip=$(service_ip app moving)
    in_pod app client $PY "$TMP/until.py" "$ip" 8080 moving.app $name "$t0" >>"$TMP/ms" || fail "moved endpoint $i never answered"
done
q=$(quantiles <"$TMP/ms")
p99=$(sed 's/.*p99=\([0-9]*\).*/\1/' <<<"$q")
[ "$p99" -lt 1000 ] || fail "changes take too long: $q ms"
done_ok "$q ms"
