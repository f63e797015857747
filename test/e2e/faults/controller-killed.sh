#!/bin/bash
# the controller is killed: traffic goes on; it is restarted: proxies resume by version, and changes
# arrive again.
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
httpbin app
client app
wait_ready app deployment/httpbin pod/client
code() { in_pod app client curl -s -o /dev/null -m 5 -w '%{http_code}' "http://${1:-httpbin.app:14001}/get"; }
expect_eq "before" "$(code)" 200
version=$(proxy_get config_dump app client | jq -r .Version)
pid() { fsml status -o json | jq -r '.components[] | select(.name == "controller") | .pid'; }
old=$(pid)
kill -STOP "$old"   # gone from the proxies' view, and not restarted yet
for _ in 1 2 3 4 5; do expect_eq "while the controller hangs" "$(code)" 200; done
kill -KILL "$old"
expect_eq "right after the kill" "$(code)" 200
fresh() { p=$(pid) && [ -n "$p" ] && [ "$p" != null ] && [ "$p" != "$old" ]; }
until_ok 20 fresh || fail "the controller was not restarted"
expect_eq "same version after the restart" "$(proxy_get config_dump app client | jq -r .Version)" "$version"
printf 'apiVersion: v1\nkind: Service\nmetadata: {name: second, namespace: app}\nspec: {ports: [{name: http, port: 14002, targetPort: 14001}], selector: {app: httpbin}}\n' | apply
new() { [ "$(code second.app:14002)" = 200 ]; }
until_ok 20 new || fail "no change arrives after the restart"
expect_match "status counts the restart" "$(fsml status -o json | jq -c '.components[] | select(.name == "controller")')" '"restarts":1'
done_ok
