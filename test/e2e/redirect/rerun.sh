#!/bin/bash
# running fsm-init again gives exactly the same rules, --undo leaves nothing of it, and other
# people's rules stay where they are; both backends
. "$(dirname "$0")/lib.bash"
ip netns add pod && ip -n pod link set lo up
init() { in_pod "$INIT" -d "$@" >"$TMP/log" 2>&1 || { cat "$TMP/log"; failed "fsm-init $*"; }; }
same() { # NAME BEFORE: the rules are what they were
    if [ "$(nat_rules)" = "$2" ]; then ok "$1"; else
        failed "$1"
        diff <(echo "$2") <(nat_rules)
    fi
}
none() { # NAME: nothing of fsm's
    if nat_rules | grep -q PROXY_; then
        failed "$1"
        nat_rules
    else ok "$1"; fi
}
LISTS=(--outbound-ip-exclude 10.0.0.0/8,fd00::/8 --outbound-ip-include 10.0.0.0/7,fc00::/7
    --outbound-port-exclude "$(seq -s, 1 40)" --inbound-port-exclude 22,23 --interface-exclude eth9
    --local-proxy-mode PodIP --pod-ip 10.0.0.5,fd00::5)

init --undo
[ -z "$(in_pod nft list ruleset)$(in_pod cat /proc/net/ip_tables_names)" ] && ok "--undo where nothing is makes no table" ||
    failed "--undo where nothing is makes no table"

for b in nft legacy; do
    ipt() { in_pod iptables-$b -t nat "$@"; }
    ip6t() { in_pod ip6tables-$b -t nat "$@"; }
    init --backend $b "${LISTS[@]}"
    first=$(nat_rules)
    [ "$(grep -c '^-A' <<<"$first")" -ge 47 ] || failed "$b: rules were made"
    init --backend $b "${LISTS[@]}"
    same "$b: the second run changes nothing" "$first"
    init "${LISTS[@]}"
    same "$b: without --backend it is recognised" "$first"
    init --backend $b --outbound-port-exclude 80
    [ "$(nat_rules)" != "$first" ] || failed "$b: other lists give other rules"
    init "${LISTS[@]}"
    same "$b: and back again" "$first"

    # what else may have happened to our chains
    ipt -A OUTPUT -p tcp -j PROXY_OUTPUT
    ipt -I PREROUTING -p tcp --dport 99 -j PROXY_IN_REDIRECT
    ip6t -A PROXY_OUTPUT -p tcp --dport 7 -j ACCEPT
    ip6t -F PROXY_REDIRECT
    ipt -N EXTRA && ipt -A EXTRA -j PROXY_REDIRECT
    init "${LISTS[@]}"
    same "$b: doubled jumps, foreign and missing rules are put right" \
        "$(sed -n "0,/^:PROXY_INBOUND/{/^:PROXY_INBOUND/i :EXTRA -
p};0,/^:PROXY_INBOUND/!p" <<<"$first")"
    ipt -X EXTRA

    # other people's rules keep their place
    init --undo
    none "$b: --undo leaves nothing"
    ipt -A OUTPUT -p tcp --dport 1111 -j ACCEPT
    ip6t -A PREROUTING -p tcp --dport 1111 -j ACCEPT
    init "${LISTS[@]}"
    ipt -A OUTPUT -p tcp --dport 2222 -j ACCEPT
    ip6t -A PREROUTING -p tcp --dport 2222 -j ACCEPT
    mixed=$(nat_rules)
    init "${LISTS[@]}"
    same "$b: rules of others before and behind the jumps stay there" "$mixed"
    init --undo
    none "$b: --undo takes only its own"
    [ "$(nat_rules | grep -c 'dport [12]\{4\} -j ACCEPT')" = 4 ] && ok "$b: rules of others survive --undo" ||
        failed "$b: rules of others survive --undo"
    ipt -F
    ip6t -F
    init --undo
    none "$b: --undo again"
done
# several at once in one namespace
for b in nft legacy; do
    for i in 1 2 3; do
        pids=()
        for _ in 1 2 3 4 5 6; do
            in_pod "$INIT" --backend $b >/dev/null 2>&1 &
            pids+=($!)
        done
        bad=0
        for p in "${pids[@]}"; do wait "$p" || bad=1; done
        n=$(in_pod iptables-$b-save -t nat | grep -c -- '-A OUTPUT.*PROXY_OUTPUT')
        if [ $bad = 0 ] && [ "$n" = 1 ]; then ok "$b: six at once ($i)"; else failed "$b: six at once: $n jumps, failed: $bad"; fi
        in_pod "$INIT" --undo >/dev/null 2>&1
    done
done
# a table of that name that iptables cannot show is not taken for an empty one
in_pod nft -f - <<'N' || failed "nft"
table ip nat {
    map ports { type inet_service : inet_service; elements = { 8080 : 8081 }; }
    chain PREROUTING { type nat hook prerouting priority -100; meta l4proto tcp redirect to :tcp dport map @ports; }
}
N
for what in "" --undo --check; do
    # shellcheck disable=SC2086
    in_pod "$INIT" -d --backend nft $what >"$TMP/log" 2>&1
    rc=$?
    if [ $rc = 1 ] && grep -q 'made a table nat with nft' "$TMP/log"; then
        ok "fsm-init $what beside what iptables cannot show"
    else
        failed "fsm-init $what beside what iptables cannot show: status $rc: $(cat "$TMP/log")"
    fi
done
finish
