#!/bin/bash
# a token opens its own pod's document and certificate, by the API server's word, and nothing else does
# optional: its API server is built from Go modules, which takes minutes the first time
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/lib.bash"
. "$(dirname "$0")/pods.bash"
PORT=$(free_port)
CHECKS=0
AWAY_S=20
CROWD=300

controller() { # starts it
    "$FSM_BIN/fsm-controller" --kubeconfig "$TMP/kubeconfig" --ca-dir "$TMP/ca" --listen "127.0.0.1:$PORT" \
        --admin "unix:$TMP/admin.sock" -v -d >>"$TMP/controller.log" 2>&1 &
    CONTROLLER=$!
    until_ok 30 ready || fail "not ready: $(tail -n 3 "$TMP/controller.log")"
}
admin() { curl -sf --max-time 5 --unix-socket "$TMP/admin.sock" "http://fsm$1"; }
ready() { admin /health/ready >/dev/null; }
# METHOD PATH TOKEN [CURL FLAG...]: the status on standard output, the rest in $TMP/answer and $TMP/head
ask() {
    local method=$1 path=$2 token=$3
    shift 3
    curl -s --max-time 70 --cacert "$TMP/ca/ca.crt" -o "$TMP/answer" -D "$TMP/head" -w '%{http_code}' -X "$method" \
        -H "Authorization: Bearer $token" "$@" "https://127.0.0.1:$PORT$path"
}
answered() { # STATUS METHOD PATH TOKEN [CURL FLAG...]
    local want=$1
    shift
    [ "$(ask "$@")" = "$want" ]
}
# WHAT STATUS REASON TOKEN: on every path, and never anybody's document
refused() {
    local path method
    for path in "/v1/config?version=" /v1/roots /v1/certificate /v1/status; do
        method=GET
        [[ $path =~ (certificate|status) ]] && method=POST
        expect_eq "$1: $path" "$(ask $method "$path" "$4")" "$2"
        expect_match "$1: $path" "$(cat "$TMP/answer")" "$3"
        CHECKS=$((CHECKS + 1))
    done
}
own() { # POD TOKEN: its document and certificate, and only its own
    expect_eq "document of $1" "$(ask GET "/v1/config?version=" "$2")" 200
    expect_eq "whose document" "$(jq -r '.Proxy.Pod + " " + .Proxy.ServiceAccount' "$TMP/answer")" "$1 $1"
    expect_eq "certificate of $1" "$(ask POST /v1/certificate "$2" -H 'Content-Type: application/json' --data @"$TMP/csr.json")" 200
    jq -r .chain "$TMP/answer" | openssl x509 -noout -ext subjectAltName >"$TMP/san" || fail "certificate of $1"
    expect_match "names of $1" "$(cat "$TMP/san")" "URI:spiffe://cluster.local/ns/mesh/sa/$1\$"
    expect_match "names of $1" "$(cat "$TMP/san")" "DNS:$1.mesh.cluster.local,"
    CHECKS=$((CHECKS + 4))
}
# POD ACCOUNT EXPIRES KEY [N]: tokens with the claims that the API server would write, N different ones
forge() {
    "$PY" - "$(kube get pod -n mesh "$1" -o jsonpath='{.metadata.uid}')" \
        "$(kube get serviceaccount -n mesh "$2" -o jsonpath='{.metadata.uid}')" "$@" <<'PY'
import base64, json, subprocess, sys, time
pod_uid, account_uid, pod, account, expires, key, *many = sys.argv[1:]
now = int(time.time())
def part(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=")
claims = {"aud": ["fsm"], "exp": now + int(expires), "iat": now - 4000, "nbf": now - 4000,
          "iss": "https://kubernetes.default.svc.cluster.local", "sub": "system:serviceaccount:mesh:" + account,
          "kubernetes.io": {"namespace": "mesh", "pod": {"name": pod, "uid": pod_uid},
                            "serviceaccount": {"name": account, "uid": account_uid}}}
for i in range(int(many[0]) if many else 1):
    claims["exp"] += 1
    text = part(b'{"alg":"RS256","kid":""}') + b"." + part(json.dumps(claims).encode())
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text, stdout=subprocess.PIPE, check=True).stdout
    print((text + b"." + part(signature)).decode())
PY
}
# The API server remembers a good token for seconds itself.
api_refuses() { # TOKEN
    kube create -f - -o json <<<"{\"apiVersion\": \"authentication.k8s.io/v1\", \"kind\": \"TokenReview\",
        \"metadata\": {\"name\": \"x\"}, \"spec\": {\"token\": \"$1\", \"audiences\": [\"fsm\"]}}" | jq -e '.status.authenticated != true'
}
logged() { grep -q "$1" "$TMP/controller.log"; }

lab_up 0
fsm_rights
mesh_namespace mesh || fail "no namespace"
n=1
for pod in web other gone late; do
    kube_pod mesh $pod 10.9.8.$((n++))
done
kube_pod default outsider 10.9.8.9
openssl ecparam -name prime256v1 -genkey -noout -out "$TMP/key" 2>/dev/null
openssl req -new -key "$TMP/key" -subj /CN=other.mesh.cluster.local -addext subjectAltName=DNS:other.mesh.cluster.local 2>/dev/null |
    jq -Rs '{csr: .}' >"$TMP/csr.json"
WEB=$(pod_token mesh web) OTHER=$(pod_token mesh other) GONE=$(pod_token mesh gone) LATE=$(pod_token mesh late)
expect_eq "algorithm of the tokens" "$(cut -d. -f1 <<<"$WEB" | base64 -d 2>/dev/null | jq -r .alg)" RS256

# ---- its own ---------------------------------------------------------------------------------------
controller
own web "$WEB"
own other "$OTHER"
own gone "$GONE"
expect_eq "reviews of three tokens" "$(admin /metrics | sed -n 's/^fsm_token_reviews_total{verdict="good"} //p')" 3

# ---- nobody else's ---------------------------------------------------------------------------------
KEYS=$(dirname "$(lab kubeconfig)")
refused "no token" 401 'expected "Authorization: Bearer' ""
refused "for the API server" 401 'not for the audience "fsm"' \
    "$(kube create token -n mesh web --audience=api --bound-object-kind=Pod --bound-object-name=web)"
refused "not bound to a pod" 401 'not bound to a pod' "$(kube create token -n mesh web --audience=fsm)"
refused "of a pod without a sidecar's namespace" 404 'not (known|in the mesh)' "$(pod_token default outsider)"
refused "expired" 401 'the API server does not take it: .*expired' "$(forge web web -600 "$KEYS/service-accounts.key")"
openssl genrsa -out "$TMP/thief.key" 2048 2>/dev/null
refused "signed by somebody else" 401 'the API server does not take it: ' "$(forge web web 600 "$TMP/thief.key")"
refused "signature of another token" 401 'the API server does not take it: ' "${WEB%.*}.${OTHER##*.}"
refused "of another pod's account" 403 'names service account other, the pod mesh/web runs as web' \
    "$(forge web other 600 "$KEYS/service-accounts.key")"

# ---- nor by the admin address, when that can be reached from elsewhere --------------------------------
HOST=$(sed -nE 's|.*server: https://([0-9.]+)\.2:.*|\1.1|p' "$(lab kubeconfig)")
ADMIN=$(free_port)
"$FSM_BIN/fsm-controller" --kubeconfig "$TMP/kubeconfig" --ca-dir "$TMP/ca" --listen 127.0.0.1:0 --admin "0.0.0.0:$ADMIN" \
    -d >"$TMP/open.log" 2>&1 &
open=$!
page() { curl -s --noproxy '*' -o "$TMP/answer" -w '%{http_code}' "${@:2}" "http://$1"; }
page_is() { [ "$(page "${@:2}")" = "$1" ]; }
until_ok 30 page_is 200 "$HOST:$ADMIN/health/ready" || fail "not ready: $(tail -n 3 "$TMP/open.log")"
until_ok 10 page_is 200 "127.0.0.1:$ADMIN/debug/document?pod=mesh/web" || fail "from this machine: $(cat "$TMP/answer")"
expect_eq "a document from elsewhere" "$(page "$HOST:$ADMIN/debug/document?pod=mesh/web")" 403
expect_match "the refusal" "$(cat "$TMP/answer")" 'for this machine only'
for step in prepare promote retire; do
    expect_eq "/ca/$step from elsewhere" "$(page "$HOST:$ADMIN/ca/$step" -X POST)" 403
done
for path in problems proxies ca; do
    expect_eq "/$path from elsewhere" "$(page "$HOST:$ADMIN/$path")" 403
    expect_eq "/$path from this machine" "$(page "127.0.0.1:$ADMIN/$path")" 200
done
for path in metrics version health/alive; do expect_eq "$path" "$(page "$HOST:$ADMIN/$path")" 200; done
kill "$open"
wait "$open" || fail "the end of the one with an open admin address: $?"
CHECKS=$((CHECKS + 15))

# ---- a crowd -----------------------------------------------------------------------------------------
forge web web 600 "$KEYS/service-accounts.key" $CROWD | while read -r token; do
    printf 'next\nurl = "https://127.0.0.1:%s/v1/roots"\ncacert = "%s"\nheader = "Authorization: Bearer %s"\noutput = "/dev/null"\nwrite-out = "%%{http_code}\\n"\nmax-time = 60\n' \
        "$PORT" "$TMP/ca/ca.crt" "$token"
done | sed 1d >"$TMP/crowd"
expect_eq "tokens of the crowd" "$(grep -c '^url' "$TMP/crowd")" $CROWD
t0=$(now_ms)
expect_eq "of $CROWD tokens at once, good ones" "$(curl -sZ --parallel-max $CROWD -K "$TMP/crowd" 2>/dev/null | grep -c '^200$')" $CROWD
crowd_ms=$(($(now_ms) - t0))

# ---- a deleted pod -----------------------------------------------------------------------------------
kube delete pod -n mesh gone --wait=false --grace-period=0 --force >/dev/null 2>&1
until_ok 10 answered 404 GET "/v1/config?version=" "$GONE" || fail "the token of a deleted pod: $(cat "$TMP/answer")"
refused "of a deleted pod" 404 'pod mesh/gone with uid .* is not known' "$GONE"
kube delete serviceaccount -n mesh gone >/dev/null
kube_pod mesh gone 10.9.8.30
again=$(pod_token mesh gone)
until_ok 10 answered 200 GET "/v1/config?version=" "$again" || fail "a new pod of that name: $(cat "$TMP/answer")"
refused "of a deleted pod, with a new one of its name" 404 'is not known' "$GONE"
until_ok 60 api_refuses "$GONE" || fail "the API server takes the token of a deleted pod"
kill -KILL "$CONTROLLER"
wait "$CONTROLLER" 2>/dev/null
controller
refused "of a deleted pod, by a new controller" 401 'the API server does not take it: ' "$GONE"

# ---- the API server is away ----------------------------------------------------------------------------
own web "$WEB"
version=$(ask GET "/v1/config?version=" "$WEB" >/dev/null && jq -r .Version "$TMP/answer")
lab stop control/kube-apiserver >/dev/null || fail "stop the API server"
end=$(($(date +%s) + AWAY_S)) asked=0
while [ "$(date +%s)" -lt $end ]; do
    own web "$WEB"
    expect_eq "a poll meanwhile" "$(ask GET "/v1/config?version=$version&wait=1" "$WEB")" 304
    refused "not verified yet" 503 "can't be checked now: no answer from the API server" "$LATE"
    expect_match "the answer's head" "$(tr -d '\r' <"$TMP/head")" 'Retry-After: [1-9]'
    asked=$((asked + 1))
done
expect_match "what is wrong" "$(admin /problems | jq -r '.[] | select(.object == "TokenReview") | .message')" 'no answer'
lab start control/kube-apiserver </dev/null >/dev/null 2>&1 || fail "start the API server"
until_ok 60 kube get --raw /readyz || fail "the API server does not come back"
t0=$(now_ms)
until_ok 30 answered 200 GET "/v1/config?version=" "$LATE" || fail "after the API server came back: $(cat "$TMP/answer")"
back_ms=$(($(now_ms) - t0))
own late "$LATE"
expect_eq "problems afterwards" "$(admin /problems | jq '[.[] | select(.object == "TokenReview")] | length')" 0

for token in "$WEB" "$OTHER" "$GONE" "$LATE"; do
    ! logged "$token" || fail "a token is in the log"
    ! logged "${token##*.}" || fail "a token's signature is in the log"
done
done_ok "$CHECKS checks; $CROWD new tokens at once in $crowd_ms ms; API server away for $AWAY_S s: $asked rounds, new tokens again after $back_ms ms"
