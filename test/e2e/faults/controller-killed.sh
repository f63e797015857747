#!/bin/bash
# the controller is killed: traffic goes on; it is restarted: proxies resume by version, and changes
# arrive again.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
httpbin app
client app
wait_ready app deployment/httpbin pod/client
code() { in_pod app client curl -s -o /dev/null -m 5 -w '%{http_code}' "http://${1:-httpbin.app:14001}/get"; }
expect_eq "before" "$(code)" 200
version=$(proxy_get config_dump app client | jq -r .Version)
restarts=$(controller_restarts)
controller_signal STOP # gone from the proxies' view, and not restarted yet
for _ in 1 2 3 4 5; do expect_eq "while the controller hangs" "$(code)" 200; done
controller_signal KILL
expect_eq "right after the kill" "$(code)" 200
fresh() { [ "$(controller_restarts)" = $((restarts + 1)) ]; }
until_ok 20 fresh || fail "the controller was not restarted, or it is not told: $(controller_restarts) restarts"
expect_eq "same version after the restart" "$(proxy_get config_dump app client | jq -r .Version)" "$version"
printf 'apiVersion: v1\nkind: Service\nmetadata: {name: second, namespace: app}\nspec: {ports: [{name: http, port: 14002, targetPort: 14001}], selector: {app: httpbin}}\n' | apply
new() { [ "$(code second.app:14002)" = 200 ]; }
until_ok 20 new || fail "no change arrives after the restart"
done_ok
