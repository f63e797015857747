# lib.bash - what the redirection scenarios start with: a pod and the world outside, in namespaces
# that nobody else sees and that end with this script, however it ends (also by SIGKILL): it runs
# itself again in new process, mount and network namespaces.
set -uo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
FSM_BIN=${FSM_BIN:-$ROOT/build/bin}
INIT=$FSM_BIN/fsm-init
PY=/usr/bin/python3
SCENARIO=$(basename "$0" .sh)
say() { printf '%s: %s\n' "$SCENARIO" "$*"; }
skip() {
    say "SKIP: $*"
    exit 77
}
FAILED=0
CASES=0
ok() {
    CASES=$((CASES + 1))
    say "ok $*"
}
failed() {
    CASES=$((CASES + 1))
    FAILED=$((FAILED + 1))
    say "FAILED $*"
}
finish() {
    if [ "$FAILED" -gt 0 ]; then
        say "FAILED: $FAILED of $CASES cases"
        exit 1
    fi
    say "ok: $CASES cases"
    exit 0
}
[ "$(id -u)" = 0 ] || skip "needs root (network namespaces, iptables)"
[ -x "$INIT" ] || {
    say "FAILED: no $INIT: run make first"
    exit 1
}
if [ "${REDIRECT_INSIDE:-}" != yes ]; then
    REDIRECT_INSIDE=yes exec unshare --mount --net --pid --fork --kill-child --mount-proc \
        -- bash "$0" "$@"
fi
mkdir -p /run/netns
mount -t tmpfs none /run/netns || skip "cannot mount a tmpfs"
TMP=/mnt # covered too: what is in it goes with us
mount -t tmpfs none $TMP || skip "cannot mount a tmpfs"

# ---- the network -------------------------------------------------------------------------------
# pod: eth0 10.77.0.2 fd77::2, eth1 10.78.0.2 fd78::2; outside: .1 of both, and 10.88.1.1, 10.88.2.1,
# fd88:1::1, fd88:2::1 behind it
POD=pod
in_pod() { ip netns exec $POD "$@"; }
outside() { ip netns exec out "$@"; }
address() { # NAMESPACE DEVICE ADDRESS...
    local ns=$1 dev=$2 a
    shift 2
    for a; do
        case $a in
        *:*) ip -n "$ns" addr add "$a" dev "$dev" nodad ;;
        *) ip -n "$ns" addr add "$a" dev "$dev" ;;
        esac
    done
}
net_up() {
    ip netns add pod && ip netns add out || skip "cannot make network namespaces"
    ip -n pod link set lo up
    ip -n out link set lo up
    ip -n pod link add eth0 type veth peer name pod0 netns out
    ip -n pod link add eth1 type veth peer name pod1 netns out
    for d in eth0 eth1; do ip -n pod link set $d up; done
    for d in pod0 pod1; do ip -n out link set $d up; done
    address pod eth0 10.77.0.2/24 fd77::2/64
    address pod eth1 10.78.0.2/24 fd78::2/64
    address out pod0 10.77.0.1/24 fd77::1/64
    address out pod1 10.78.0.1/24 fd78::1/64
    address out lo 10.88.1.1/32 10.88.2.1/32 fd88:1::1/128 fd88:2::1/128
    ip -n pod route add default via 10.77.0.1
    ip -n pod -6 route add default via fd77::1
}
STUBS=()
serve() { # NAMESPACE UID WORDS...
    local ns=$1 uid=$2
    shift 2
    STUB_UID=$uid ip netns exec "$ns" $PY "$HERE/stub.py" serve "$@" >"$TMP/stub.$ns.$uid" 2>&1 &
    STUBS+=($!)
    for _ in $(seq 200); do
        grep -q ready "$TMP/stub.$ns.$uid" && return
        sleep 0.02
    done
    cat "$TMP/stub.$ns.$uid" >&2
    failed "stub $* did not start"
    finish
}
# everybody who may be met: the sidecar's stand-in, the application, the world
stubs_up() {
    serve pod 1500 sidecar:15001,15003
    serve pod 1000 app:8080,8081,9000-9040,15010,15901-15904 app@10.77.0.2:8082 app@fd77::2:8082
    serve out 0 out:53,80,81,7000-7040
}
# ask NAME <<QUESTIONS: from the pod; ask_in: from outside
ask_from() { # NAMESPACE NAME
    local out
    out=$(ip netns exec "$1" $PY "$HERE/stub.py" ask "$2")
    while read -r word rest; do
        case $word in
        ok) ok "$rest" ;;
        *) failed "$rest" ;;
        esac
    done <<<"$out"
}
ask() { ask_from pod "$1"; }
ask_in() { ask_from out "$1"; }

# ---- rules -------------------------------------------------------------------------------------
# everything that is in table nat of both families and backends, counters and comments left out
nat_rules() {
    local t
    for t in iptables ip6tables; do
        in_pod $t-nft-save -t nat 2>/dev/null
        # asking for a legacy table creates it
        in_pod grep -qs nat "/proc/net/${t%tables}_tables_names" && in_pod $t-legacy-save -t nat 2>/dev/null
    done | sed -e '/^#/d' -e 's/ \[[0-9]*:[0-9]*\]//'
}
