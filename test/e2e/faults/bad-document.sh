#!/bin/bash
# a document that the sidecar can't use is refused whole with a reason; the old one stays, and
# config_dump shows both versions.
# places: local, a sidecar that reads a file, without a mesh
. "$(dirname "$0")/../lib.sh"
cat >"$TMP/doc.json" <<JSON
{"Version": "1", "Spec": {"SidecarLogLevel": "error", "SidecarTimeout": 5, "Traffic": {"EnableEgress": true}},
 "Outbound": {"TrafficMatches": {"80": [{"DestinationIPRanges": ["10.9.9.9/32"], "Port": 80, "Protocol": "http",
   "HttpHostPort2Service": {"a": "a"}, "HttpServiceRouteRules": {"a": {".*": {"TargetClusters": {"c": 100}}}}}]},
  "ClustersConfigs": {"c": {"Endpoints": {"127.0.0.1:PORT": {"Weight": 100}}}}},
 "Listeners": [{"Address": "127.0.0.1:LISTEN", "Direction": "Outbound", "OriginalDst": "10.9.9.9:80"}]}
JSON
port=$((20000 + $$ % 10000))
admin=$((port + 1))
listen=$((port + 2))
sed -i "s/PORT/$port/; s/LISTEN/$listen/" "$TMP/doc.json"
$PY "$ROOT/test/e2e/peers/hostname_http.py" $port hello &
"$FSM_BIN/fsm-sidecar" -d -f "$TMP/doc.json" --admin 127.0.0.1:$admin --outbound 127.0.0.1:$((port + 3)) --inbound 127.0.0.1:$((port + 4)) \
    --metrics 127.0.0.1:$((port + 5)) 2>"$TMP/sidecar.log" &
sidecar=$!
get() { [ "$(curl -s -m 2 -H 'Host: a' "http://127.0.0.1:$listen/")" = hello ]; }
until_ok 10 get || { cat "$TMP/sidecar.log"; fail "no answer through the sidecar"; }
cp "$TMP/doc.json" "$TMP/good.json"
sed -e 's/"Version": "1"/"Version": "2"/' -e 's/"Weight": 100/"Weight": "heavy"/' "$TMP/good.json" >"$TMP/doc.json"
kill -HUP $sidecar
told() { curl -s "http://127.0.0.1:$admin/config_dump" | grep -q Weight; }
refused() { curl -s "http://127.0.0.1:$admin/config_dump" | jq -e '.. | strings | select(contains("Weight"))' >/dev/null; }
until_ok 10 refused || fail "config_dump does not give the reason: $(curl -s "http://127.0.0.1:$admin/config_dump" | head -c 2000)"
dump=$(curl -s "http://127.0.0.1:$admin/config_dump")
expect_eq "version in force" "$(jq -r .Version <<<"$dump")" 1
jq -e '.. | strings | select(. == "2")' <<<"$dump" >/dev/null || fail "config_dump does not name the refused version"
get || fail "the old document is not served any more"
sed -e 's/"Version": "1"/"Version": "3"/' "$TMP/good.json" >"$TMP/doc.json"
kill -HUP $sidecar
third() { [ "$(curl -s "http://127.0.0.1:$admin/config_dump" | jq -r .Version)" = 3 ]; }
until_ok 10 third || fail "a good document is not taken after a bad one"
"$FSM_BIN/fsm-sidecar" -n -f "$TMP/good.json" || fail "-n refuses a good document"
echo '{"Outbound": 3}' >"$TMP/bad.json"
"$FSM_BIN/fsm-sidecar" -n -f "$TMP/bad.json" 2>"$TMP/n.log" && fail "-n takes a bad document"
expect_match "-n names file and path" "$(cat "$TMP/n.log")" 'bad.json.*Outbound'
done_ok
