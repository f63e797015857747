#!/bin/bash
# an upstream that refuses, resets, stalls or answers garbage: 502/503/504 with a short body naming
# the reason code, and the same code in the metric.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
meshconfig '{"spec":{"sidecar":{"sidecarTimeout":2}}}'
server app bad 8080 http -- $PY "$ROOT/test/e2e/peers/faulty.py" 8080
client app
wait_ready app pod/bad pod/client
# a Service whose pod listens on nothing
printf 'apiVersion: v1\nkind: Service\nmetadata: {name: nobody, namespace: app}\nspec: {ports: [{name: http, port: 8099}], selector: {app: bad}}\n' | apply
ask() { in_pod app client curl -s -m 10 -o - -w '\n%{http_code}' "http://$1"; }
answers() { [ "$(ask bad.app:8080/ok | tail -n 1)" = 200 ]; }
until_ok 10 answers || fail "the peer does not answer at all"
timeout_set() { [ "$(proxy_get config_dump app client | jq .Spec.SidecarTimeout)" = 2 ]; }
until_ok 10 timeout_set || fail "sidecarTimeout does not arrive"
known() { [ "$(ask nobody.app:8099/ | tail -n 1)" = 503 ] || [ "$(ask nobody.app:8099/ | tail -n 1)" = 502 ]; }
until_ok 10 known || fail "refused: $(ask nobody.app:8099/)"
report=
check() { # NAME URL STATUS-REGEX
    local out status body code
    out=$(ask "$2")
    status=$(tail -n 1 <<<"$out")
    body=$(head -n 1 <<<"$out")
    [[ $status =~ ^($3)$ ]] || fail "$1: status $status, expected $3 ($body)"
    [ -n "$body" ] && [ ${#body} -lt 100 ] || fail "$1: body '$body'"
    code=$(grep -oE '[a-z]+(_[a-z]+)+' <<<"$body" | head -n 1)
    [ -n "$code" ] || fail "$1: no reason code in '$body'"
    { proxy_get stats app client && proxy_get stats app bad; } | grep "$code" >/dev/null || fail "$1: no metric names $code"
    report="$report $1=$status/$code"
}
check refused nobody.app:8099/ '502|503'
check reset bad.app:8080/reset '502|503'
check early-close bad.app:8080/close '502|503'
check stall bad.app:8080/stall '504'
check garbage bad.app:8080/garbage '502'
check two-lengths bad.app:8080/two-lengths '502'
answers || fail "the peer does not answer after the faults"
done_ok "$report"
