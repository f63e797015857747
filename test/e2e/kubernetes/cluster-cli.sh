#!/bin/bash
# fsm install until all is ready, check, proxy get, version, support bundle: on a node with real pods
# optional: its kubelet and API server are built from Go modules, which takes minutes the first time
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib.bash"
CHECKS=0
same() { # WHAT GOT EXPECTED
    [ "$2" = "$3" ] || fail "$1: got \"$2\", expected \"$3\""
    CHECKS=$((CHECKS + 1))
}
must() {
    "$FSM" "$@" >"$TMP/out" 2>"$TMP/err" || fail "fsm $*: $(cat "$TMP/err" "$TMP/out")"
    CHECKS=$((CHECKS + 1))
}
refuses() { # ERROR WORDS...
    ! "$FSM" "${@:2}" >"$TMP/out" 2>"$TMP/err" || fail "fsm ${*:2} did not fail"
    grep -qE -e "$1" "$TMP/err" || fail "fsm ${*:2}: $(cat "$TMP/err"), expected: $1"
    CHECKS=$((CHECKS + 1))
}
lab_up 1
KUBECONFIG=$(lab kubeconfig)
export KUBECONFIG
VERSION=$("$FSM" version --client-only -o json | jq -r .version)
for daemon in fsm-controller fsm-injector fsm-sidecar; do
    "$ROOT/test/kubernetes/image" --name "$LAB_NAME" "flomesh/$daemon:$VERSION" "$FSM_BIN/$daemon=/usr/local/bin/$daemon" \
        >"$TMP/image.log" 2>&1 || fail "image $daemon: $(tail -n 3 "$TMP/image.log")"
done

begun=$(date +%s%N)
must install --timeout 180s
ready=$((($(date +%s%N) - begun) / 1000000))
grep -q 'ready: fsm-controller 1/1, fsm-injector 2/2' "$TMP/err" || fail "no progress: $(cat "$TMP/err")"
must check

# a pod whose sidecar follows a document, and has something to hide
kube create namespace app >/dev/null
kube create configmap doc -n app --from-literal=doc.json='{"Spec":{}}' >/dev/null
kube create secret generic hidden -n app --from-literal=key=hunter3hunter3 >/dev/null
kube apply -f - >"$TMP/out" <<YAML || fail "pods"
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: app, labels: {fsm-proxy-uuid: u}}
spec:
  containers:
  - name: sidecar
    image: flomesh/fsm-sidecar:$VERSION
    command: [fsm-sidecar, -f, /doc/doc.json, -d, -v, -v]
    env: [{name: PASSWORD, value: hunter2hunter2}]
    volumeMounts: [{name: doc, mountPath: /doc}]
  volumes: [{name: doc, configMap: {name: doc}}]
---
apiVersion: v1
kind: Pod
metadata: {name: plain, namespace: app}
spec: {containers: [{name: app, image: "flomesh/fsm-sidecar:$VERSION", command: [sleep, --password=hunter4hunter4]}]}
YAML
kube_wait app pod/web condition=Ready

# the sidecar's loopback, by way of the API server
must proxy get ready web -n app
same "ready" "$(cat "$TMP/out")" LIVE
must proxy get config_dump app/web -n app
same "document" "$(jq -c .Spec "$TMP/out")" '{}'
must proxy get stats web -n app -o json
jq -e 'length > 20' "$TMP/out" >/dev/null || fail "stats: $(head -c 300 "$TMP/out")"
refuses 'pods "nobody" not found' proxy get ready nobody -n app
refuses 'pod plain has no sidecar' proxy get ready plain -n app
refuses 'port-forward: .*refused' proxy get ready web -n app -p 15999
kube create serviceaccount reader -n default >/dev/null
kube create clusterrolebinding reader --clusterrole=view --serviceaccount=default:reader >/dev/null
sed "s|token: [^}]*|token: $(kube create token reader -n default)|" "$KUBECONFIG" >"$TMP/reader"
refuses 'portforward.* \(403\)' proxy get ready web -n app --kubeconfig "$TMP/reader"

must version
same "versions" "$(sed -n '3,$s/  */ /gp' "$TMP/out" | paste -sd,)" \
    "COMPONENT NAMESPACE VERSION COUNT,fsm-controller fsm-system $VERSION 1,fsm-injector fsm-system $VERSION 2,sidecar app $VERSION 1"
must check --proxy
same "checks that are not fine" "$("$FSM" check --proxy -o json | jq -c '[.items[] | select(.status == "FAILED" or .status == "warning").name]')" '[]'

# one archive with all of it, and nothing in it that is a secret
must support bundle -o "$TMP/bundle.tar"
mkdir "$TMP/bundle"
tar -C "$TMP/bundle" -xf "$TMP/bundle.tar" || fail "tar"
controller=$(kube get pods -n fsm-system -l app=fsm-controller -o 'jsonpath={.items[0].metadata.name}')
for file in version.yaml check.yaml objects/pods.yaml objects/events.yaml objects/meshconfigs.config.flomesh.io.yaml \
    "logs/fsm-system/$controller/fsm-controller.log" logs/app/web/sidecar.log "admin/fsm-system/$controller/problems" \
    "admin/fsm-system/$controller/metrics" admin/app/web/config_dump admin/app/web/stats; do
    [ -s "$TMP/bundle/$file" ] || fail "no $file in the bundle: $(find "$TMP/bundle" -type f | sort | head -n 80; cat "$TMP/bundle/errors.txt" 2>/dev/null)"
    CHECKS=$((CHECKS + 1))
done
[ ! -e "$TMP/bundle/errors.txt" ] || fail "$(cat "$TMP/bundle/errors.txt")"
key=$(kube get secret fsm-ca-bundle -n fsm-system -o 'jsonpath={.data.ca\.key}')
for secret in hunter2hunter2 hunter3hunter3 hunter4hunter4 "$(printf hunter3hunter3 | base64)" "${key:60:40}" "$(base64 -d <<<"$key" | sed -n 2p)" \
    'PRIVATE KEY' 'kind: Secret$'; do
    found=$(grep -rlE -e "$secret" "$TMP/bundle" | head -n 3)
    same "files with a secret" "$found" ""
done
refuses 'File exists' support bundle -o "$TMP/bundle.tar"

must uninstall mesh -f --delete-namespace
grep -q 'Kept: the sidecars of pods app/web' "$TMP/out" || fail "it is not said that a sidecar runs on: $(cat "$TMP/out")"
same "the namespace" "$(kube get namespace fsm-system --ignore-not-found -o name)" ""
done_ok "$CHECKS checks; installed and ready in $((ready / 1000)).$((ready % 1000 / 100)) s"
