#!/bin/bash
# fsm-injector over TLS: reviews answered, what is no review refused, settings and CA followed live
. "$(dirname "$0")/../lib.sh"
URL=https://fsm-injector.fsm-system.svc:9090
INJECTOR=
CHECKS=0
mkdir "$TMP/resources"

meshed() { # NAME [ANNOTATION]
    printf 'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n  labels: {flomesh.io/monitored-by: fsm}\n  annotations: {%s}\n' \
        "$1" "${2:-flomesh.io/sidecar-injection: enabled}" >"$TMP/resources/$1.yaml"
}
mesh_config() { # SIDECAR-IMAGE
    printf 'apiVersion: config.flomesh.io/v1alpha3\nkind: MeshConfig\nmetadata: {name: fsm-mesh-config, namespace: fsm-system}\nspec: {sidecar: {sidecarImage: "%s"}}\n' \
        "$1" >"$TMP/next" && mv "$TMP/next" "$TMP/resources/meshconfig.yaml"
}
# review NAMESPACE POD-AS-JSON [DRYRUN]
review() {
    jq -n --arg ns "$1" --argjson pod "$2" --argjson dry "${3:-false}" '
        {apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: {uid: "u-1", operation: "CREATE",
         kind: {group: "", version: "v1", kind: "Pod"}, resource: {group: "", version: "v1", resource: "pods"},
         namespace: $ns, dryRun: $dry, object: ({apiVersion: "v1", kind: "Pod"} + $pod)}}'
}
pod() { # SPEC-MEMBERS
    echo "{\"metadata\":{\"generateName\":\"web-\"},\"spec\":{\"containers\":[{\"name\":\"web\",\"image\":\"web:1\"$1}]}}"
}
ask() { # PATH CURL-ARGUMENT...: the status; the body is in $TMP/answer
    local path=$1
    shift
    curl -sS --max-time 10 --cacert "$TMP/ca/ca.crt" --connect-to "fsm-injector.fsm-system.svc:9090:127.0.0.1:$PORT" \
        -o "$TMP/answer" -w '%{http_code}' "$@" "$URL$path"
}
judge() { # FILE: the review's answer is in $TMP/answer
    expect_eq "status of a review" "$(ask /mutate-pod-creation -H 'Content-Type: application/json; charset=utf-8' --data-binary "@$1")" 200
    expect_eq "head of the answer" "$(jq -r '"\(.apiVersion) \(.kind) \(.response.uid)"' "$TMP/answer")" "admission.k8s.io/v1 AdmissionReview u-1"
    CHECKS=$((CHECKS + 1))
}
said() { jq -r "$1" "$TMP/answer"; }
patch() { said .response.patch | base64 -d; }
image() { # of the sidecar that a pod of the shop gets
    review shop "$(pod '')" >"$TMP/review"
    judge "$TMP/review"
    patch | jq -r '.[] | select(.path == "/spec/initContainers") | .value[] | select(.name == "sidecar") | .image'
}
has_image() { [ "$(image)" = "$1" ]; }
admin() { curl -sS --max-time 5 --unix-socket "$TMP/admin.sock" "http://fsm$1"; }
metric() { admin /metrics | awk -v m="$1" '$1 == m {print $2}'; }
bad() { # WHAT STATUS WORDS PATH CURL-ARGUMENT...
    expect_eq "$1" "$(ask "${@:4}")" "$2"
    expect_match "$1" "$(cat "$TMP/answer")" "$3"
    CHECKS=$((CHECKS + 1))
}
make_ca() {
    rm -rf "$TMP/ca.next"
    mkdir "$TMP/ca.next"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 10 -subj "/CN=$1" \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$TMP/ca.next/ca.key" -out "$TMP/ca.next/ca.crt" 2>/dev/null || fail "openssl"
    chmod 600 "$TMP/ca.next/ca.key"
}

# ---- start ----------------------------------------------------------------------------------------
PORT=$(($$ % 12000 + 20000)) # below those that the kernel gives out
meshed shop
meshed typo 'flomesh.io/sidecar-injection: "maybe"'
printf 'apiVersion: v1\nkind: Namespace\nmetadata: {name: plain}\n' >"$TMP/resources/plain.yaml"
mesh_config sidecar:one
"$FSM_BIN/fsm-injector" -f "$TMP/resources" --ca-dir "$TMP/ca" 2>"$TMP/refused" && fail "started without a CA"
grep -q 'ca.crt cannot be read' "$TMP/refused" || fail "without a CA: $(cat "$TMP/refused")"
expect_eq "-n" "$("$FSM_BIN/fsm-injector" -n -f "$TMP/resources")" "3 namespaces, a MeshConfig: good"
make_ca first
mv "$TMP/ca.next" "$TMP/ca"
"$FSM_BIN/fsm-injector" -f "$TMP/resources" --ca-dir "$TMP/ca" --listen "127.0.0.1:$PORT" --admin "unix:$TMP/admin.sock" \
    --drain 300ms >"$TMP/log" 2>&1 &
INJECTOR=$!
ready() { [ "$(admin /health/ready)" = "Service is ready" ]; }
until_ok 10 ready || fail "not ready: $(cat "$TMP/log")"

# ---- reviews --------------------------------------------------------------------------------------
review shop "$(pod ', "livenessProbe": {"httpGet": {"port": 80}}')" >"$TMP/review"
judge "$TMP/review"
expect_eq "allowed, how" "$(said '"\(.response.allowed) \(.response.patchType)"')" "true JSONPatch"
patch >"$TMP/patch"
jq '.request.object' "$TMP/review" >"$TMP/pod"
$PY "$ROOT/test/golden/inject/check.py" pod "$TMP/pod" "$TMP/patch" native >"$TMP/out" || fail "the patch: $(cat "$TMP/out")"
review shop "$(pod '')" true >"$TMP/review"
judge "$TMP/review"
expect_match "a dry run's patch" "$(patch)" fsm-proxy-uuid
review plain "$(pod '')" >"$TMP/review"
judge "$TMP/review"
expect_eq "outside of the mesh" "$(said .response)" "$(printf '{\n  "allowed": true,\n  "uid": "u-1"\n}')"
review shop "$(pod ', "securityContext": {"runAsUser": 1500}')" >"$TMP/review"
judge "$TMP/review"
expect_eq "a reserved user" "$(said '"\(.response.allowed) \(.response.status.code) \(.response.status.reason)"')" "false 422 Invalid"
expect_match "its message" "$(said .response.status.message)" 'container "web".*1500'
# words of it that are too many for the message, cut in the middle of a character or not
long=$(printf 'ä%.0s' {1..700})
for long in "$long" "x$long"; do
    review shop "$(pod '' | jq -c --arg a "$long" '.metadata.annotations = {"flomesh.io/sidecar-injection": $a}')" >"$TMP/review"
    judge "$TMP/review"
    expect_match "a long annotation" "$(said '"\(.response.status.code) \(.response.status.message)"')" '^422 Invalid annotation value.*ä.*[.][.][.]$'
done
review typo "$(pod '')" >"$TMP/review"
judge "$TMP/review"
expect_match "an annotation that nobody can read" "$(said .response.status.message)" 'flomesh.io/sidecar-injection": "maybe" on the namespace'
review unknown "$(pod '')" >"$TMP/review"
judge "$TMP/review"
expect_match "a namespace that nobody knows" "$(said '"\(.response.status.code) \(.response.status.message)"')" '^500 namespace "unknown" is not among'
jq '.request.operation = "UPDATE"' "$TMP/review" >"$TMP/update"
judge "$TMP/update"
expect_match "an update" "$(said '"\(.response.allowed) \(.response.warnings[0])"')" '^true fsm-injector changes pods when they are created'

# ---- resources of the mesh ------------------------------------------------------------------------
# object OPERATION OBJECT-AS-JSON [OLD [DRYRUN]]: what /validate says of it
object() {
    jq -n --arg op "$1" --argjson object "$2" --argjson old "${3:-null}" --argjson dry "${4:-false}" '
        {apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: {uid: "u-1", operation: $op, dryRun: $dry,
         resource: {group: "config.flomesh.io", version: "v1alpha3", resource: "meshconfigs"},
         namespace: $object.metadata.namespace, object: $object, oldObject: $old}}' >"$TMP/object"
    expect_eq "status of a validation" "$(ask /validate -H 'Content-Type: application/json' --data-binary "@$TMP/object")" 200
    expect_eq "head of the answer" "$(jq -r '"\(.apiVersion) \(.kind) \(.response.uid)"' "$TMP/answer")" "admission.k8s.io/v1 AdmissionReview u-1"
    CHECKS=$((CHECKS + 1))
}
config() { # SPEC [NAME]
    jq -n --argjson spec "$1" --arg name "${2:-fsm-mesh-config}" '
        {apiVersion: "config.flomesh.io/v1alpha3", kind: "MeshConfig", metadata: {name: $name, namespace: "fsm-system"}, spec: $spec}'
}
object CREATE "$(config '{"traffic": {"enableEgress": true}}')"
expect_eq "a good MeshConfig" "$(said .response)" "$(printf '{\n  "allowed": true,\n  "uid": "u-1"\n}')"
object CREATE "$(config '{"traffic": {"interceptionMode": "ebfp"}}')"
expect_match "a bad one" "$(said '"\(.response.allowed) \(.response.status.code) \(.response.status.message)"')" \
    '^false 422 MeshConfig fsm-system/fsm-mesh-config: spec.traffic.interceptionMode: got "ebfp".*expected'
object UPDATE "$(config '{"traffic": {"interceptionMode": "ebfp"}}')" "$(config '{"traffic": {"interceptionMode": "ebfp"}}')" true
expect_match "a bad one that nobody changed" "$(said '"\(.response.allowed) \(.response.warnings[0])"')" '^true not in force: '
object CREATE "$(config '{"trafic": {}}' mine)"
expect_match "warnings" "$(said '.response.warnings | join(" ")')" 'did you mean "traffic".*fsm-system/mine has no effect'
object DELETE "$(config '{}')"
expect_match "a deletion" "$(said '"\(.response.allowed) \(.response.warnings[0])"')" '^true fsm-injector judges objects'
[ "$(metric 'fsm_injector_validations_total{verdict="refused",dry_run="false"}')" = 1 ] || fail "$(admin /metrics)"
[ "$(metric 'fsm_injector_validations_total{verdict="warned",dry_run="true"}')" = 1 ] || fail "$(admin /metrics)"
[ "$(metric fsm_injector_validation_seconds_count)" = 4 ] || fail "$(admin /metrics)"

# ---- what is no review ------------------------------------------------------------------------------
json=(-H 'Content-Type: application/json')
bad "a GET" 405 'expected POST' /mutate-pod-creation
bad "another path" 404 /mutate-pod-creation /convert "${json[@]}" --data-binary "@$TMP/review"
bad "a form" 415 'expected content type application/json' /mutate-pod-creation --data-binary "@$TMP/review"
bad "an empty body" 400 'the body is empty' /mutate-pod-creation "${json[@]}" -X POST
bad "no JSON" 400 'no JSON: line 1' /mutate-pod-creation "${json[@]}" --data-binary '{"'
bad "an older version" 400 'of "admission.k8s.io/v1beta1"' /mutate-pod-creation "${json[@]}" \
    --data-binary '{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}'
head -c 7000000 /dev/zero >"$TMP/large"
bad "no object" 400 'request.object: expected an object' /validate "${json[@]}" --data-binary "$(jq -c '.request.object = 7 | .request.operation = "CREATE"' "$TMP/object")"
bad "too much" 413 . /mutate-pod-creation "${json[@]}" -H 'Expect:' --data-binary "@$TMP/large"
expect_eq "plain HTTP" "$(curl -s --max-time 5 "http://127.0.0.1:$PORT/" -o /dev/null -w '%{http_code}')" 000
expect_eq "a command to the admin port" "$(curl -s --unix-socket "$TMP/admin.sock" -X POST -o /dev/null -w '%{http_code}' http://fsm/metrics)" 405

# ---- what changes while it runs ----------------------------------------------------------------------
expect_eq "image" "$(image)" sidecar:one
mesh_config sidecar:two
until_ok 5 has_image sidecar:two || fail "the new image is not used: $(image)"
echo 'spec: [' >"$TMP/resources/meshconfig.yaml"
broken() { admin /problems | grep -q meshconfig.yaml; }
until_ok 5 broken || fail "a broken MeshConfig is not told"
expect_eq "image of a broken MeshConfig" "$(image)" sidecar:two
rm "$TMP/resources/meshconfig.yaml"
gone() { grep -q 'the MeshConfig is gone' "$TMP/log"; }
until_ok 5 gone || fail "the loss of the MeshConfig is not told"
expect_eq "image without a MeshConfig" "$(image)" sidecar:two
make_ca second
cat "$TMP/ca.next/ca.key" >"$TMP/ca/ca.key"
cat "$TMP/ca.next/ca.crt" >"$TMP/ca/ca.crt"
renewed() { review shop "$(pod '')" >"$TMP/review" && ask /mutate-pod-creation "${json[@]}" --data-binary "@$TMP/review"; }
until_ok 10 renewed || fail "no certificate of the new CA: $(tail -n 3 "$TMP/log")"

# ---- figures, and the end -----------------------------------------------------------------------------
[ "$(metric 'fsm_injector_reviews_total{result="injected",dry_run="true"}')" = 1 ] || fail "$(admin /metrics)"
[ "$(metric 'fsm_injector_reviews_total{result="refused",dry_run="false"}')" = 4 ] || fail "$(admin /metrics)"
[ "$(metric 'fsm_injector_bad_requests_total{code="400"}')" = 4 ] || fail "$(admin /metrics)"
[ "$(metric fsm_injector_review_seconds_count)" -ge 9 ] || fail "$(admin /metrics)"
kill -TERM "$INJECTOR"
wait "$INJECTOR"
expect_eq "exit status" "$?" 0
[ ! -e "$TMP/admin.sock" ] || fail "the admin socket was left behind"
done_ok "$CHECKS answers"
