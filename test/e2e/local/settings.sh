#!/bin/bash
# What the machine forwards, per interface and in all, is as it was after down; instances come and go
# without touching each other's interfaces; one that was started in another network namespace goes from
# there; names whose bridges would be one are refused.
if [ "${INSIDE:-}" != yes ]; then
    INSIDE=yes exec unshare --net -- bash "$0" "$@"
fi
. "$(dirname "$0")/plain.bash"
ip link set lo up
ip link add d0 type bridge
ip link add d1 type bridge
ip link set d0 up
ip link set d1 up
sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
sysctl -qw net.ipv4.conf.d0.forwarding=1 net.ipv6.conf.d0.forwarding=1 net.ipv4.conf.all.accept_redirects=0
look() { (cd /proc/sys/net && grep -rs . ipv4/conf ipv4/ip_forward ipv6/conf | grep -E 'forward|redirects|accept_ra:|/accept_ra' | sort); }
look >"$TMP/before"
grep -q 'd0/forwarding:1' "$TMP/before" || fail "the test's own settings"
mesh_up --without-controller
client default
wait_ready default pod/client
expect_eq "forwarding" "$(cat /proc/sys/net/ipv4/ip_forward)" 1
record=$(ls "/run/fsm/local/.sysctl-$(stat -Lc %i /proc/self/ns/net)")
size=$(stat -c %s "$record")
other() { "$FSM" local "$1" --name "$MESH-$2" "${@:3}"; }
scenario_cleanup() { for i in 1 2; do other down $i >/dev/null 2>&1; done; }
for i in 1 2; do
    other up $i --without-controller -q || fail "another instance"
    other down $i || fail "down of another instance"
done
expect_eq "the record after others came and went" "$(stat -c %s "$record")" "$size"
grep -q '"net/[^"]*/fl[0-9a-f]' "$record" && fail "instances' own interfaces are on record: $(cat "$record")"
fsml down || fail "down"
look >"$TMP/after"
diff "$TMP/before" "$TMP/after" || fail "settings are not what they were"
[ ! -e "$record" ] || fail "the record stays"
# from elsewhere
fsml up --without-controller -q || fail "up"
unshare --net "$FSM" local down --name "$MESH" || fail "down from another network namespace"
[ -z "$(ip -o link show type bridge | grep -v 'd[01]:')" ] || fail "the bridge stays: $(ip -o link show type bridge)"
look >"$TMP/after"
diff "$TMP/before" "$TMP/after" || fail "settings are not what they were, after down from elsewhere"
[ ! -e "$record" ] || fail "the record stays, after down from elsewhere"
# two names, one bridge
"$FSM" local up --name rvc4876 --without-controller -q || fail "up rvc4876"
msg=$("$FSM" local up --name rvc8623 --without-controller -q 2>&1) && fail "two instances share a bridge"
"$FSM" local down --name rvc4876
expect_match "two names with one bridge" "$msg" 'choose another --name'
# an up that fails leaves nothing
for bad in '--images /nonexist' '--dns-upstream banana' '--pod-cidr banana'; do
    # shellcheck disable=SC2086
    "$FSM" local up --name "$MESH" --without-controller $bad >"$TMP/out" 2>&1
    rc=$?
    expect_eq "status of up $bad ($(cat "$TMP/out"))" $rc 2
    [ ! -e "/run/fsm/local/$MESH" ] || fail "up $bad leaves its directory"
done
done_ok
