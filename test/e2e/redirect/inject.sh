#!/bin/bash
# fsm inject: manifests in, injected manifests out; its patches by a second implementation
. "$(dirname "$0")/lib.bash"
FSM=$FSM_BIN/fsm
GOLDEN=$ROOT/test/golden/inject
[ -x "$FSM" ] || {
    say "FAILED: no $FSM: run make first"
    exit 1
}
command -v jq >/dev/null || skip "needs jq"
inject() { "$FSM" inject --proxy-uuid u --hook-key k "$@"; }

# every golden patch, applied by other code, gives a pod that the API server would take
for json in "$GOLDEN"/*.json; do
    name=$(basename "$json" .json)
    # a document that is no Kubernetes object comes out as it is: YAML to JSON
    inject -f "${json%.json}.yaml" -o json >"$TMP/case" 2>/dev/null || failed "$name cannot be read"
    jq .pod "$TMP/case" >"$TMP/pod"
    mode=$(jq -r 'if .native == false then "plain" else "native" end' "$TMP/case")
    if $PY "$GOLDEN/check.py" pod "$TMP/pod" "$json" "$mode" >"$TMP/said"; then ok "golden $name"; else
        failed "golden $name: $(cat "$TMP/said")"
    fi
    # and the command's own patch and manifest agree
    jq '{apiVersion: "v1", kind: "Pod"} + .pod' "$TMP/case" >"$TMP/pod"
    native=$([ "$mode" = native ] && echo true || echo false)
    inject -f "$TMP/pod" --native-sidecar=$native --patch >"$TMP/patch" 2>/dev/null &&
        inject -f "$TMP/pod" --native-sidecar=$native -o json >"$TMP/manifest" 2>/dev/null &&
        [ "$($PY "$GOLDEN/check.py" apply "$TMP/pod" "$TMP/patch" | jq -S .)" = "$(jq -S . "$TMP/manifest")" ] ||
        failed "$name: --patch and the manifest differ"
done

# pods of a list that says what its items are, and of a list in a list
printf 'apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: PodList\n  items:\n  - {metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}\n  - {metadata: {name: b}, spec: {containers: [{name: c, image: i}]}}\n' >"$TMP/lists.yaml"
if [ "$(inject -f "$TMP/lists.yaml" -o json 2>"$TMP/said" | jq '[.. | objects | select(.name? == "sidecar")] | length')" = 2 ]; then
    ok "lists in lists"
else
    failed "lists in lists: $(inject -f "$TMP/lists.yaml" -o json 2>&1 | head -n 20)"
fi

cat >"$TMP/all.yaml" <<'Y'
# before everything
apiVersion: v1
kind: Service
metadata: {name: web}   # stays flow style
spec: {ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web:1
        livenessProbe: {httpGet: {port: 8080}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: night}
spec:
  schedule: "0 3 * * *"
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: j, image: j:1}]}}}}
---
# a ConfigMap that holds a manifest
apiVersion: v1
kind: ConfigMap
metadata: {name: text}
data:
  pod.yaml: |
    ---
    kind: Pod
Y
inject -f "$TMP/all.yaml" >"$TMP/out" 2>"$TMP/err" && [ ! -s "$TMP/err" ] && ok "several documents" || failed "several documents: $(cat "$TMP/err")"
grep -q '^metadata: {name: web}   # stays flow style$' "$TMP/out" && grep -q '^# before everything$' "$TMP/out" &&
    grep -q '^# a ConfigMap that holds a manifest$' "$TMP/out" && ok "what is not injected is printed as written" ||
    failed "what is not injected is printed as written"
inject -f "$TMP/out" -o json >"$TMP/j" 2>/dev/null
got=$(jq -c '[.items[] | .kind, (.. | .initContainers? // empty | map(.name))]' "$TMP/j")
want='["Service","Deployment",["fsm-init","sidecar"],"CronJob",["fsm-init","sidecar"],"ConfigMap"]'
[ "$got" = "$want" ] && ok "templates of workloads are injected" || failed "templates of workloads: $got"
jq -e '.items[1].spec.template.spec.containers[0].livenessProbe.httpGet.port == 15901' "$TMP/j" >/dev/null && ok "probes of workloads are rewritten" ||
    failed "probes of workloads are rewritten"
inject -f "$TMP/out" >"$TMP/out2" 2>"$TMP/err2"
cmp -s "$TMP/out" "$TMP/out2" && grep -q "Deployment web: the pod is injected already" "$TMP/err2" && ok "a second time changes nothing" ||
    failed "a second time changes nothing: $(diff "$TMP/out" "$TMP/out2" | head -5) $(cat "$TMP/err2")"
inject -f - <"$TMP/all.yaml" | cmp -s - "$TMP/out" && ok "from standard input" || failed "from standard input"
jq -n '{apiVersion: "v1", kind: "List", items: [{kind: "Pod", metadata: {name: "a"}, spec: {containers: [{name: "a"}]}},
  {kind: "Secret", metadata: {name: "s"}}]}' >"$TMP/list.json"
got=$(inject -f "$TMP/list.json" -o json | jq -c '[.items[] | .kind, (.spec.initContainers // [] | length)]')
[ "$got" = '["Pod",2,"Secret",0]' ] && ok "a List" || failed "a List: $got"
got=$(inject -f "$TMP/all.yaml" -f "$TMP/list.json" -o json | jq -c '[.items[].kind]')
[ "$got" = '["Service","Deployment","CronJob","ConfigMap","List"]' ] && ok "several files" || failed "several files: $got"
awk '/^---/ { exit } { print }' "$TMP/all.yaml" >"$TMP/one.yaml"
inject -f "$TMP/one.yaml" | cmp -s - "$TMP/one.yaml" && ok "nothing to inject: byte for byte" || failed "nothing to inject"
got=$("$FSM" inject -f "$TMP/list.json" -o json | jq -r '.items[0].metadata.labels["fsm-proxy-uuid"]')
[[ $got =~ ^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$ ]] && ok "a new UUID for each run" || failed "a new UUID: $got"

cat >"$TMP/mc.yaml" <<'Y'
apiVersion: config.flomesh.io/v1alpha3
kind: MeshConfig
metadata: {name: fsm-mesh-config, namespace: fsm-system}
spec:
  traffic: {outboundPortExclusionList: [6379]}
  image: {registry: registry.example, tag: "9"}
Y
got=$(inject -f "$TMP/list.json" -o json --meshconfig "$TMP/mc.yaml" | jq -c '.items[0].spec.initContainers | [.[0].args, .[0].image, .[1].image]')
[ "$got" = '[["--outbound-port-exclude","6379"],"registry.example/fsm-init:9","registry.example/fsm-sidecar:9"]' ] &&
    ok "--meshconfig" || failed "--meshconfig: $got"
got=$(inject -f "$TMP/list.json" -o json --sidecar-image s:1 --init-image i:1 --mesh-name m --fsm-namespace n | jq -c '.items[0].spec.initContainers | [.[].image, .[1].args[1], .[1].env[0].value]')
[ "$got" = '["i:1","s:1","https://fsm-controller.n.svc:6060","m"]' ] && ok "images and names by flag" || failed "images and names by flag: $got"

refuse() { # NAME STATUS PATTERN COMMAND...
    local name=$1 status=$2 pattern=$3 rc
    shift 3
    "$@" >"$TMP/stdout" 2>"$TMP/stderr"
    rc=$?
    if [ $rc = "$status" ] && [ ! -s "$TMP/stdout" ] && grep -q -- "$pattern" "$TMP/stderr"; then ok "$name"; else
        failed "$name: status $rc, printed $(wc -c <"$TMP/stdout") bytes, said '$(cat "$TMP/stderr")'"
    fi
}
printf 'kind: Pod\nmetadata: {name: ok}\nspec: {containers: [{name: a}]}\n---\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: [{name: a, ports: [{containerPort: 15001}]}]}\n' >"$TMP/bad.yaml"
refuse "one refused pod: nothing is printed" 1 'Pod bad: container "a" uses port 15001' inject -f "$TMP/bad.yaml"
printf 'kind: Pod\nspec: {}\n---\nkind: Service\nspec: [\n' >"$TMP/broken.yaml"
refuse "broken YAML: file and line" 1 'broken.yaml:[56]' inject -f "$TMP/broken.yaml"
refuse "no such file" 1 "no-such-file" inject -f no-such-file
refuse "no file" 2 "give -f FILE" inject
refuse "--patch of several objects" 1 "found 2" inject -f "$TMP/all.yaml" --patch
refuse "--native-sidecar=maybe" 2 "expected true or false" inject -f "$TMP/one.yaml" --native-sidecar=maybe
refuse "-o xml" 2 "expected yaml or json" inject -f "$TMP/one.yaml" -o xml
refuse "--meshconfig without one" 1 "expected an object of kind MeshConfig" inject -f "$TMP/one.yaml" --meshconfig "$TMP/one.yaml"
printf 'apiVersion: config.flomesh.io/v1alpha3\nkind: MeshConfig\nmetadata: {name: m}\nspec: {traffic: {outboundPortExclusionList: [x]}}\n' >"$TMP/mcbad.yaml"
refuse "--meshconfig with a fault" 1 'outboundPortExclusionList' inject -f "$TMP/one.yaml" --meshconfig "$TMP/mcbad.yaml"
finish
