#!/bin/bash
# fsm-init --check: says ok where redirection works, and FAIL with what to do where it does not;
# both backends
. "$(dirname "$0")/lib.bash"
net_up
RC=0
init() { in_pod "$INIT" -d "$@" >"$TMP/log" 2>&1 || { cat "$TMP/log"; failed "fsm-init $*"; }; }
check() { # FLAGS...
    in_pod ${WITH:-} "$INIT" -d --check "$@" >"$TMP/log" 2>"$TMP/err"
    RC=$?
}
good() { # NAME LINES... : status 0, no FAIL, every pattern there
    local name=$1 p
    shift
    if [ $RC != 0 ] || grep -q ^FAIL "$TMP/log"; then
        failed "$name: status $RC"
        cat "$TMP/log" "$TMP/err"
        return
    fi
    for p; do
        grep -q -- "$p" "$TMP/log" || { failed "$name: no line '$p'"; cat "$TMP/log"; return; }
    done
    ok "$name"
}
bad() { # NAME LINES... : status 1, every pattern there
    local name=$1 p
    shift
    [ $RC = 1 ] || { failed "$name: status $RC"; cat "$TMP/log"; return; }
    for p; do
        grep -q -- "$p" "$TMP/log" || { failed "$name: no line '$p'"; cat "$TMP/log"; return; }
    done
    ok "$name"
}
check
bad "no rules at all" "^FAIL  IPv4: no rules of fsm-init" "^FAIL  IPv6: no rules of fsm-init"
for b in nft legacy; do
    ipt() { in_pod iptables-$b -t nat "$@"; }
    init --backend $b
    check
    good "$b: all is well" "^note  backend $b" \
        "^ok    IPv4: an outbound connection arrives on port 15001 (192.0.2.1:80, destination kept)" \
        "^ok    IPv6: an outbound connection arrives on port 15001 (\[2001:db8::1\]:80, destination kept)" \
        "^ok    IPv4: the sidecar's own traffic is left alone" \
        "^ok    IPv6: loopback is left alone" \
        "^ok    IPv4: the sidecar's call to its own pod arrives on port 15003 (10.77.0.2:[0-9]*, destination kept)" \
        "^ok    IPv6: the sidecar's call to its own pod arrives on port 15003"
    lists=(--outbound-ip-exclude 10.88.1.0/24,fd88:1::/32 --outbound-port-exclude 80,81
        --outbound-ip-include 10.88.0.0/16,fd88::/16 --inbound-port-exclude 22 --interface-exclude eth1)
    init "${lists[@]}"
    check
    good "$b: with lists, not told" "^ok    IPv4: an outbound connection arrives on port 15001 (10.88.0.1:82" \
        "^ok    IPv6: an excluded range is left alone (\[fd88:1::1\]:82)" \
        "^ok    IPv4: an excluded port is left alone (10.88.0.1:81)"
    check "${lists[@]}"
    good "$b: with lists, told"
    check --outbound-ip-exclude fd88:1::/32,10.88.1.0/24 --outbound-port-exclude 81,80 \
        --outbound-ip-include fd88::/16,10.88.0.0/16 --inbound-port-exclude 22 --interface-exclude eth1
    good "$b: with lists, told in another order"
    check --outbound-port-exclude 80
    bad "$b: the rules are not those of these flags" "^FAIL  IPv4: the rules are not as fsm-init writes them for these flags"
    init --outbound-ip-exclude 0.0.0.0/0
    check
    good "$b: everything excluded" "^note  IPv4: there is no route to any address that would be redirected"
    init --local-proxy-mode PodIP --pod-ip 10.77.0.2
    check
    good "$b: PodIP mode"

    init
    ipt -I OUTPUT -p tcp -d 192.0.2.0/24 -j ACCEPT
    check
    bad "$b: somebody's rule comes before ours" "^ok    IPv4: the rules are as" \
        "^FAIL  IPv4: an outbound connection arrives on port 15001: connection to 192.0.2.1:80: it was not redirected; see 'iptables-$b-save -t nat'"
    ipt -D OUTPUT 1
    # inbound ones cannot be tried: who comes before is told
    ipt -I PREROUTING -p udp -j ACCEPT
    check
    good "$b: a rule that is not about TCP"
    grep -q 'asked before' "$TMP/log" && failed "$b: a rule that is not about TCP is told of"
    ipt -I PREROUTING -p tcp --dport 9999 -j ACCEPT
    check
    good "$b: a rule about some TCP" "^note  IPv4: 1 rule of somebody's in PREROUTING are asked before"
    ipt -I PREROUTING -p tcp -j ACCEPT
    check
    bad "$b: a rule before ours takes all that comes in" "^ok    IPv4: an outbound connection arrives on port 15001" \
        "^FAIL  IPv4: somebody's rule in PREROUTING is asked before fsm's and takes all TCP connections: inbound ones are NOT"
    for i in 1 2 3; do ipt -D PREROUTING 1; done
    ipt -D OUTPUT -p tcp -j PROXY_OUTPUT
    check
    bad "$b: the jump is missing" "^FAIL  IPv4: the rules are not as fsm-init writes them" "^ok    IPv6: the rules are as"
    init
    ipt -I PROXY_OUTPUT -m owner --uid-owner 1500 -p tcp -d 192.0.2.1 -j PROXY_REDIRECT
    check
    bad "$b: the sidecar would loop" "^FAIL  IPv4: the sidecar's own traffic is left alone: connection to 192.0.2.1:80: it arrived on port 15001"
    init
    ipt -I PREROUTING -p tcp -m comment --comment hello -j PROXY_IN_REDIRECT
    check
    bad "$b: a foreign jump" "^FAIL  IPv4: the rules are not as fsm-init writes them .*and 1 foreign"
    init
    WITH="setpriv --bounding-set=-setuid" check
    good "$b: without SETUID the rest is checked" "^note  IPv4: the sidecar's own traffic is left alone: not tried, CAP_SETUID is missing" \
        "^ok    IPv4: an outbound connection arrives on port 15001"
    serve pod 1500 sidecar:15001,15003
    check
    good "$b: beside a running sidecar it answers" "^note  IPv4: ports 15001 and 15003 are in use" \
        "^ok    IPv4: an outbound connection is answered (192.0.2.1:80)" \
        "^ok    IPv6: the sidecar's own traffic is left alone" \
        "^ok    IPv6: the sidecar's call to its own pod is answered"
    ipt -I OUTPUT -p tcp -j ACCEPT
    ipt -I PREROUTING -p tcp -j ACCEPT
    check
    bad "$b: beside a running sidecar that gets nothing" \
        "^FAIL  IPv4: an outbound connection is answered: connection to 192.0.2.1:80: it was not redirected" \
        "^FAIL  IPv4: somebody's rule in PREROUTING"
    ipt -D OUTPUT 1
    ipt -D PREROUTING 1
    kill "${STUBS[-1]}"
    wait "${STUBS[-1]}" 2>/dev/null
    init --undo
done
finish
