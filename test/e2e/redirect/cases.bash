# cases.bash - every case of the exclusion and inclusion lists, with BACKEND, over both families:
# a real connection each, and the one who carried it tells so.
. "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# init NAME FLAGS...: programs the pod; lists hold both families
init() {
    local name=$1
    shift
    in_pod "$INIT" -d --backend "$BACKEND" "$@" >"$TMP/init.log" 2>&1 || {
        cat "$TMP/init.log"
        failed "$name: fsm-init $*"
    }
}
# what fsm-init is to have used, and only that
only_backend() {
    local here=nft there=legacy
    [ "$BACKEND" = nft ] || here=legacy there=nft
    for t in iptables ip6tables; do
        in_pod $t-$here-save -t nat 2>/dev/null | grep -q '^:PROXY_OUTPUT' || failed "$t: nothing in $here"
        if [ $there = legacy ]; then
            in_pod grep -qs . "/proc/net/${t%tables}_tables_names" && failed "$t: legacy tables were made"
        else
            [ -z "$(in_pod nft list ruleset)" ] || failed "$t: nf_tables rules were made"
        fi
    done
    ok "rules are in $here and nowhere else"
}
V4=(10.77.0.1 10.77.0.2 127.0.0.1 10.88.1.1 10.88.2.1 10.78.0.1 10.78.0.2)
V6=(fd77::1 fd77::2 ::1 fd88:1::1 fd88:2::1 fd78::1 fd78::2)
# names for one family: WORLD, ME, LOOP, B and C (in the ranges of the lists), SIDE (behind eth1)
family() {
    local v=("${V4[@]}")
    [ "$1" = 4 ] || v=("${V6[@]}")
    WORLD=${v[0]} ME=${v[1]} LOOP=${v[2]} B=${v[3]} C=${v[4]} SIDE=${v[5]} ME_SIDE=${v[6]}
}
at() { # ADDRESS PORT: as the sidecar's stand-in prints it
    case $1 in *:*) echo "[$1]:$2" ;; *) echo "$1:$2" ;; esac
}

net_up
stubs_up

init "no lists"
only_backend
for f in 4 6; do
    family $f
    ask "IPv$f everything is redirected" <<Q
1000 $WORLD 80 = sidecar 15001 $(at "$WORLD" 80)
0 $B 7005 = sidecar 15001 $(at "$B" 7005)
0 $B 9 = sidecar 15001 $(at "$B" 9)
1500 $WORLD 80 = out 80
1000 $LOOP 8080 = app 8080
1500 $LOOP 8080 = app 8080
1000 $ME 8080 = app 8080
1500 $ME 8080 = sidecar 15003 $(at "$ME" 8080)
1000 $WORLD udp/53 = out udp 53
Q
    ask_in "IPv$f everything that enters is redirected" <<Q
1000 $ME 8080 = sidecar 15003 $(at "$ME" 8080)
1000 $ME 4444 = sidecar 15003 $(at "$ME" 4444)
1500 $ME 8080 = sidecar 15003 $(at "$ME" 8080)
1000 $ME 15000 = sidecar 15003 $(at "$ME" 15000)
1000 $ME 15001 = sidecar 15003 $(at "$ME" 15001)
1000 $ME 15010 = app 15010
1000 $ME 15901 = app 15901
1000 $ME 15902 = app 15902
1000 $ME 15903 = app 15903
1000 $ME 15904 = app 15904
1000 $ME_SIDE 8080 = sidecar 15003 $(at "$ME_SIDE" 8080)
Q
done

init "outbound IP exclusion" --outbound-ip-exclude 10.88.1.0/24,fd88:1::/32
for f in 4 6; do
    family $f
    ask "IPv$f outbound IP exclusion" <<Q
1000 $B 80 = out 80
1000 $C 80 = sidecar 15001 $(at "$C" 80)
1000 $WORLD 80 = sidecar 15001 $(at "$WORLD" 80)
Q
done

init "outbound IP inclusion" --outbound-ip-include 10.88.1.0/24,fd88:1::/32
for f in 4 6; do
    family $f
    ask "IPv$f outbound IP inclusion" <<Q
1000 $B 80 = sidecar 15001 $(at "$B" 80)
1000 $C 80 = out 80
1000 $WORLD 80 = out 80
Q
    ask_in "IPv$f an outbound inclusion does not concern inbound" <<Q
1000 $ME 8080 = sidecar 15003 $(at "$ME" 8080)
Q
done

init "exclusion beats inclusion" --outbound-ip-include 10.88.0.0/16,fd88::/16 \
    --outbound-ip-exclude 10.88.1.0/24,fd88:1::/32 --outbound-port-exclude 81
for f in 4 6; do
    family $f
    ask "IPv$f exclusion beats inclusion" <<Q
1000 $B 80 = out 80
1000 $C 80 = sidecar 15001 $(at "$C" 80)
1000 $C 81 = out 81
1000 $WORLD 80 = out 80
Q
done

init "a list of one family" --outbound-ip-include 10.88.1.0/24 --outbound-ip-exclude fd00::/8
for f in 4 6; do
    family $f
    carrier="out 80"
    [ $f = 6 ] || carrier="sidecar 15001 $(at "$B" 80)"
    ask "IPv$f an inclusion of IPv4 only includes no IPv6" <<Q
1000 $B 80 = $carrier
Q
done

init "all addresses excluded" --outbound-ip-exclude 0.0.0.0/0,::/0
for f in 4 6; do
    family $f
    ask "IPv$f all addresses excluded" <<Q
1000 $B 80 = out 80
1000 $WORLD 80 = out 80
1500 $ME 8080 = sidecar 15003 $(at "$ME" 8080)
Q
done

init "outbound port exclusion" --outbound-port-exclude 81,7001
for f in 4 6; do
    family $f
    ask "IPv$f outbound port exclusion" <<Q
1000 $WORLD 81 = out 81
1000 $B 7001 = out 7001
1000 $WORLD 80 = sidecar 15001 $(at "$WORLD" 80)
Q
    ask_in "IPv$f an outbound exclusion does not concern inbound" <<Q
1000 $ME 8081 = sidecar 15003 $(at "$ME" 8081)
Q
done

init "inbound port exclusion" --inbound-port-exclude 8081
for f in 4 6; do
    family $f
    ask_in "IPv$f inbound port exclusion" <<Q
1000 $ME 8081 = app 8081
1000 $ME 8080 = sidecar 15003 $(at "$ME" 8080)
Q
    ask "IPv$f an exclusion does not concern the sidecar's call to its own pod" <<Q
1500 $ME 8081 = sidecar 15003 $(at "$ME" 8081)
1000 $WORLD 81 = sidecar 15001 $(at "$WORLD" 81)
Q
done

init "40 ports in one list" --outbound-port-exclude "$(seq -s, 7000 7039)" \
    --inbound-port-exclude "$(seq -s, 9000 9039)"
for f in 4 6; do
    family $f
    ask "IPv$f 40 ports in one list" <<Q
1000 $WORLD 7000 = out 7000
1000 $WORLD 7014 = out 7014
1000 $WORLD 7015 = out 7015
1000 $WORLD 7029 = out 7029
1000 $WORLD 7030 = out 7030
1000 $WORLD 7039 = out 7039
1000 $WORLD 7040 = sidecar 15001 $(at "$WORLD" 7040)
Q
    ask_in "IPv$f 40 ports in one list" <<Q
1000 $ME 9000 = app 9000
1000 $ME 9015 = app 9015
1000 $ME 9039 = app 9039
1000 $ME 9040 = sidecar 15003 $(at "$ME" 9040)
Q
done

init "interface exclusion" --interface-exclude eth1
for f in 4 6; do
    family $f
    ask "IPv$f interface exclusion" <<Q
1000 $SIDE 80 = out 80
1000 $WORLD 80 = sidecar 15001 $(at "$WORLD" 80)
Q
    ask_in "IPv$f interface exclusion" <<Q
1000 $ME_SIDE 8080 = app 8080
1000 $ME 8080 = sidecar 15003 $(at "$ME" 8080)
Q
done
init "interface exclusion by prefix" --interface-exclude eth+
family 4
ask "interface exclusion by prefix" <<Q
1000 $WORLD 80 = out 80
Q

# the application listens on the pod's address only
init "no PodIP mode"
for f in 4 6; do
    family $f
    ask "IPv$f without PodIP mode" <<Q
1500 $LOOP 8082 = nobody
Q
done
init "PodIP mode" --local-proxy-mode PodIP --pod-ip 10.77.0.2,fd77::2
for f in 4 6; do
    family $f
    ask "IPv$f PodIP mode" <<Q
1500 $LOOP 8082 = app 8082
1000 $LOOP 8080 = app 8080
1000 $LOOP 8082 = nobody
1500 $ME 8082 = sidecar 15003 $(at "$ME" 8082)
1500 $WORLD 80 = out 80
1000 $WORLD 80 = sidecar 15001 $(at "$WORLD" 80)
Q
done

init "another user ID" --proxy-uid 1700
for f in 4 6; do
    family $f
    ask "IPv$f another user ID" <<Q
1700 $WORLD 80 = out 80
1500 $WORLD 80 = sidecar 15001 $(at "$WORLD" 80)
Q
done
finish
