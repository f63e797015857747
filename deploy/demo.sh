#!/bin/bash
# fsm on one machine, from nothing: installs what is missing, builds, starts a mesh without any
# cluster, sends a request from an unmodified client to an unmodified server through two sidecars
# over mutual TLS, shows what happened, and takes everything down again.
#   sudo deploy/demo.sh            the whole show
#   sudo deploy/demo.sh --keep     the same, but the mesh stays up to play with
set -euo pipefail
cd "$(dirname "$0")/.."

export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # what root's tools are in, whatever su left

NAME=${FSM_DEMO_NAME:-demo}
KEEP=
for a; do
    case "$a" in
    --keep) KEEP=1 ;;
    -h | --help)
        sed -n '2,6s/^# \{0,1\}//p' deploy/demo.sh
        exit 0
        ;;
    *)
        echo "demo.sh: unknown argument $a (see --help)" >&2
        exit 2
        ;;
    esac
done
if [ "$(id -u)" != 0 ]; then
    echo "demo.sh: network namespaces and iptables need root: run 'sudo deploy/demo.sh'" >&2
    exit 1
fi

# two shows would be in each other's way
exec 9<deploy/demo.sh
flock -n 9 || {
    echo "demo.sh: another one is under way in this tree: wait for its end" >&2
    exit 1
}

T0=$(date +%s%N)
ms() { echo $((($(date +%s%N) - T0) / 1000000)); }
took() { local m; m=$(ms); printf '%d.%03d s' $((m / 1000)) $((m % 1000)); }
step() { printf '\n\033[1m[%s] %s\033[0m\n' "$(took)" "$*"; }

if [ ! -t 1 ]; then
    step() { printf '\n[%s] %s\n' "$(took)" "$*"; }
fi

step "dependencies"
deploy/install-deps.sh demo
step "build"
make -s -j"$(nproc)" all
FSM=$PWD/build/bin/fsm
local_() { "$FSM" local "$1" --name "$NAME" "${@:2}"; }

# However it ends, nothing stays behind; only a whole show with --keep leaves the mesh up.
finish() {
    local rc=$?
    set +e
    trap - EXIT
    trap '' INT TERM HUP PIPE
    [ $rc = 0 ] && [ -n "$KEEP" ] && exit 0
    if [ $rc != 0 ] && [ $rc != 130 ]; then
        printf '\ndemo.sh: it did not work; what the mesh says:\n' >&2
        local_ status >&2
    fi
    local_ down >/dev/null 2>&1
    exit $rc
}
trap finish EXIT
trap 'exit 130' INT TERM HUP PIPE

step "a mesh on this machine: fsm local up --name $NAME"
# an earlier show may have been kept
local_ down >/dev/null
local_ up

step "two applications join it"
for ns in httpbin curl; do
    local_ apply -f - >/dev/null <<YAML
apiVersion: v1
kind: Namespace
metadata:
  name: $ns
YAML
    "$FSM" namespace add --local "$NAME" "$ns"
done
local_ apply -f deploy/demo/
local_ wait -n httpbin deployment/httpbin --for=ready --timeout=60s
local_ wait -n curl pod/curl --for=ready --timeout=60s
local_ get pods -A

step "the request: curl http://httpbin.httpbin:14001/headers, inside the curl pod"
# a new endpoint is known everywhere within a second; then show one request
for _ in $(seq 1 50); do
    local_ exec -n curl curl -c curl -- curl -sf -m 2 -o /dev/null http://httpbin.httpbin:14001/headers && break
    sleep 0.1
done
local_ exec -n curl curl -c curl -- curl -sS -i --max-time 10 http://httpbin.httpbin:14001/headers

step "who talked to whom: the identities that mutual TLS established"
server=$(local_ get pods -n httpbin -o name | sed 's|^pod/||' | head -n 1)
echo "the client's sidecar proved to be:"
"$FSM" proxy get --local "$NAME" certs -n curl curl | grep -E 'CommonName|SubjectAltNames|Issuer|Expiration'
echo "the server's sidecar proved to be:"
"$FSM" proxy get --local "$NAME" certs -n httpbin "$server" | grep -E 'CommonName|SubjectAltNames|Issuer|Expiration'
echo "(and the server saw \"Serviceidentity\" above: its sidecar took it from the client's certificate)"
"$FSM" proxy get --local "$NAME" stats -n curl curl | grep -E 'upstream_tls_handshakes|httpbin.*(rq_total|rq_2xx)'

step "what the client's sidecar was told (excerpt of config_dump)"
"$FSM" proxy get --local "$NAME" config_dump -n curl curl |
    sed -n '/"Outbound": {/,/"ServiceIdentity"/p' | head -n 45

if [ -n "$KEEP" ]; then
    step "up and running; what to try next"
    prefix="sudo build/bin/fsm"
    cat <<NEXT
  $prefix local status --name $NAME
  $prefix local exec --name $NAME -n curl curl -c curl -- curl -s http://httpbin.httpbin:14001/get
  $prefix proxy get --local $NAME config_dump -n curl curl
  $prefix local patch --name $NAME meshconfig fsm-mesh-config -n fsm-system \\
      -p '{"spec":{"traffic":{"enableEgress":false}}}' --type=merge
  $prefix local scale --name $NAME -n httpbin deployment/httpbin --replicas=3
  $prefix local down --name $NAME                 removes everything again
NEXT
else
    local_ down
    step "everything is removed again; what to try next"
    cat <<NEXT
  sudo deploy/demo.sh --keep          the same, and the mesh stays up to play with
  build/bin/fsm local --help          a mesh of your own, from any Kubernetes YAML
  sudo test/run.sh --quick            the quick tests
  man man/fsm.1                       the manual
NEXT
fi
printf '\ndemo: %s\n' "$(took)"
