#!/bin/bash
# which backend: what is in use stays in use, probing makes no tables, never both; missing tools,
# kernels, IPv6 NAT and capabilities are said
. "$(dirname "$0")/lib.bash"
MULTI=$(readlink -f /usr/sbin/iptables-nft-restore)
RC=0
init() { # FLAGS...: output in $TMP/log, status in RC
    in_pod "$INIT" -d "$@" >"$TMP/log" 2>&1
    RC=$?
}
fresh() {
    ip netns del pod 2>/dev/null
    ip netns add pod
    ip -n pod link set lo up
}
where() { # which backends have our chains
    local b=
    in_pod iptables-nft-save -t nat 2>/dev/null | grep -q ^:PROXY && b+=nft
    in_pod grep -qs nat /proc/net/ip_tables_names && in_pod iptables-legacy-save -t nat | grep -q ^:PROXY && b+=legacy
    echo "$b"
}
expect() { # NAME STATUS BACKENDS [PATTERN IN THE OUTPUT]
    if [ $RC = "$2" ] && [ "$(where)" = "$3" ] && grep -q -- "${4:-}" "$TMP/log"; then ok "$1"; else
        failed "$1: status $RC, rules in '$(where)', said:"
        cat "$TMP/log"
    fi
}
cp "$MULTI" "$TMP/real-multi"
fake() { # SCRIPT: stands in for the nft programs until unfake
    printf '#!/bin/bash\n%s\n' "$1" >"$TMP/fake"
    chmod 755 "$TMP/fake"
    mount --bind "$TMP/fake" "$MULTI"
}
unfake() { umount "$MULTI"; }

fresh
init
expect "a fresh namespace: nft" 0 nft "backend=nft"
[ -z "$(in_pod cat /proc/net/ip_tables_names)" ] && ok "looking made no legacy table" || failed "looking made no legacy table"
init
expect "again: still nft" 0 nft "rules are there already"
init --backend legacy
expect "--backend legacy is refused where nft has the rules" 1 nft "both would apply"
init --undo
init --backend legacy
expect "after --undo: legacy if asked for" 0 legacy "backend=legacy"
init
expect "again: still legacy" 0 legacy "rules are there already"
init --backend nft
expect "--backend nft is refused where legacy has the rules" 1 legacy "both would apply"

fresh
in_pod iptables-legacy-save >/dev/null
in_pod ip6tables-legacy -t nat -L >/dev/null
init
expect "empty legacy tables of another's probing do not decide" 0 nft "backend=nft"
fresh
in_pod ip6tables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT
init
expect "somebody's legacy rule, in any table and family, decides" 0 legacy "somebody"
fresh
in_pod iptables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT
in_pod iptables-nft -A INPUT -p tcp --dport 22 -j ACCEPT
init
expect "both in use by others: nft" 0 nft "backend=nft"

fresh
init
in_pod iptables-nft-save -t nat >"$TMP/rules"
in_pod iptables-legacy-restore "$TMP/rules"
init
expect "rules in both: refused" 1 nftlegacy "in both backends"
init --check
expect "rules in both: --check fails" 1 nftlegacy "FAIL.*in both backends"
init --undo
expect "rules in both: --undo takes both" 0 ""

fresh
fake 'exit 0'
chmod 644 "$TMP/fake"
init
unfake
expect "no iptables-nft programs: legacy takes over" 0 legacy "there is no iptables-nft-restore\|there is no iptables-nft-save"
fresh
fake 'echo "iptables-restore v1.8.9 (nf_tables): Could not fetch rule set generation id: Invalid argument" >&2; exit 3'
init
unfake
expect "a kernel without nf_tables: legacy takes over" 0 legacy "taking the other"
fresh
fake 'echo "iptables-restore v1.8.9 (nf_tables): Could not fetch rule set generation id: Invalid argument" >&2; exit 3'
init --backend nft
unfake
expect "a kernel without nf_tables: --backend nft fails" 1 "" "generation id"
fresh
fake 'echo "iptables-restore: line 7 failed" >&2; exit 2'
init
unfake
expect "a refused transaction is an error, not a reason to change the backend" 1 "" "line 7 failed"
fresh
fake 'case $0 in */ip6*) echo "RULE_APPEND failed (Operation not supported): rule in chain PROXY_REDIRECT" >&2; exit 4 ;; esac
exec -a "$(basename "$0")" '"$TMP"'/real-multi "$@"'
init
expect "no IPv6 NAT: IPv4 is installed, and it is said" 0 nft "IPv6 traffic is NOT intercepted"
ip -n pod link add eth0 type veth peer name eth0p && ip -n pod link set eth0 up && ip -n pod link set eth0p up
ip -n pod addr add fd00::2/64 dev eth0 nodad
init
expect "no IPv6 NAT, but an IPv6 address: the pod does not start unprotected" 1 nft "would pass the mesh by"
unfake
init --check
expect "--check fails for a pod with an IPv6 address and no IPv6 rules" 1 nft "FAIL.*IPv6.*NOT intercepted"

caps() { # CAPS COMMAND...
    local caps=$1
    shift
    in_pod setpriv --no-new-privs --inh-caps=-all --bounding-set="$caps" "$@"
}
for b in nft legacy; do
    fresh
    caps -all,+net_admin,+net_raw "$INIT" -d --backend $b >"$TMP/log" 2>&1
    RC=$?
    expect "$b: NET_ADMIN and NET_RAW are enough" 0 $b "installed"
    fresh
    caps -net_admin "$INIT" -d --backend $b >"$TMP/log" 2>&1
    RC=$?
    expect "$b: without NET_ADMIN: named" 1 "" "CAP_NET_ADMIN is missing"
done
fresh
caps -net_raw "$INIT" -d --backend legacy >"$TMP/log" 2>&1
RC=$?
expect "legacy: without NET_RAW: named" 1 "" "CAP_NET_RAW is missing"
fresh
caps -net_raw "$INIT" -d >"$TMP/log" 2>&1
RC=$?
expect "nft needs no NET_RAW" 0 nft
fresh
if unshare --user true 2>/dev/null; then
    in_pod unshare --user --map-root-user "$INIT" -d >"$TMP/log" 2>&1
    RC=$?
    expect "root of another user namespace: told" 1 "" "not over this network namespace"
else
    echo "backend: not tried: root of another user namespace (inside a chroot the kernel makes none)"
fi
finish
