#!/bin/bash
# `fsm proxy get config_dump` of real pods prints the outbound and inbound matches of the
# documentation: same keys, same values.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
meshconfig '{"spec":{"traffic":{"serviceAccessMode":"domain"}}}'
apply <<YAML
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: app}
spec:
  ports: [{name: http, port: 14001}]
  selector: {app: httpbin}
---
apiVersion: v1
kind: Pod
metadata: {name: httpbin, namespace: app, labels: {app: httpbin}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: "debian:12", command: [gunicorn, -b, "0.0.0.0:14001", "httpbin:app"],
     readinessProbe: {tcpSocket: {port: 14001}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {name: curl, namespace: app}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: "debian:12", command: [sleep, infinity]}]
YAML
wait_ready app pod/httpbin pod/curl
ip=$(service_ip app httpbin)
hosts=$(jq -n '[("httpbin" + ("", ".app", ".app.svc", ".app.svc.cluster", ".app.svc.cluster.local")) | ., . + ":14001"]
    | map({(.): "httpbin.app.svc.cluster.local"}) | add')
rules() { jq -n --arg c "$1" '{"httpbin.app.svc.cluster.local": {".*": {Headers: null, Methods: null, TargetClusters: {($c): 100}, AllowedServices: null}}}'; }
want_out=$(jq -nS --arg r "$ip/32" --argjson h "$hosts" --argjson rr "$(rules 'app/httpbin|14001')" '[{DestinationIPRanges: [$r],
    Port: 14001, Protocol: "http", HttpHostPort2Service: $h, HttpServiceRouteRules: $rr, TargetClusters: null,
    AllowedEgressTraffic: false, ServiceIdentity: "default.app.cluster.local"}]')
want_in=$(jq -nS --argjson h "$hosts" --argjson rr "$(rules 'app/httpbin|14001|local')" '{SourceIPRanges: null, Port: 14001,
    Protocol: "http", HttpHostPort2Service: $h, HttpServiceRouteRules: $rr, TargetClusters: null, AllowedEndpoints: null}')
out() { proxy_get config_dump app curl | jq -S '.Outbound.TrafficMatches["14001"]'; }
same() { [ "$(out)" = "$want_out" ]; }
until_ok 10 same || { diff <(echo "$want_out") <(out); fail "Outbound of curl differs"; }
got_in=$(proxy_get config_dump app httpbin | jq -S '.Inbound.TrafficMatches["14001"]')
[ "$got_in" = "$want_in" ] || { diff <(echo "$want_in") <(echo "$got_in"); fail "Inbound of httpbin differs"; }
dump=$(proxy_get config_dump app curl)
expect_eq "Spec.Traffic.EnableEgress" "$(jq .Spec.Traffic.EnableEgress <<<"$dump")" true
expect_eq "Spec.SidecarLogLevel" "$(jq -r .Spec.SidecarLogLevel <<<"$dump")" error
row() { proxy_get "$1" app curl -o json | jq -r --arg n "$2" '[.[] | select(.name | test($n))][0].value'; }
expect_match "a listener's address as a row" "$(row listeners outbound)" ':15001$'
in_pod app curl curl -s -o /dev/null http://httpbin.app:14001/
expect_match "a number of a cluster as a row" "$(row clusters 'rq_total$')" '^[0-9]+$'
expect_match "a number of stats as a row" "$(row stats '^downstream_rq_total$')" '^[0-9]+$'
# a namespace that is ignored can be taken back
plain_ns aside
fsm_cli namespace ignore aside >/dev/null || fail "namespace ignore"
out=$(fsm_cli namespace add aside 2>&1) && fail "an ignored namespace was added"
expect_match "an ignored namespace" "$out" "'fsm namespace remove aside' ends that"
expect_match "an ignored namespace" "$(fsm_cli namespace remove aside)" 'not ignored any more'
fsm_cli namespace add aside >/dev/null || fail "namespace add after ignore"
grep -q 'PRIVATE KEY' <<<"$dump$(proxy_get certs app curl)" && fail "a private key is printed"
done_ok
