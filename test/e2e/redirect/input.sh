#!/bin/bash
# what fsm-init refuses, word for word, and what it does without privilege
. "$(dirname "$0")/lib.bash"
refuse() { # EXPECTED FLAGS...
    local want=$1 got rc
    shift
    got=$("$INIT" "$@" 2>&1)
    rc=$?
    if [ $rc = 2 ] && [ "$got" = "fsm-init: $want" ]; then ok "$* -> $want"; else
        failed "$*: status $rc, said '$got', expected '$want'"
    fi
}
ports='expected ports from 1 to 65535 separated by commas'
cidrs='expected ranges such as 10.0.0.0/16 or fd00::/8 separated by commas'
names='expected names of network interfaces (at most 15 characters) separated by commas'
refuse "--outbound-port-exclude: \"0\" is not valid: $ports" --outbound-port-exclude 80,0
refuse "--outbound-port-exclude: \"65536\" is not valid: $ports" --outbound-port-exclude 65536
refuse "--inbound-port-exclude: \"http\" is not valid: $ports" --inbound-port-exclude 80,http
refuse "--inbound-port-exclude: \"\" is not valid: $ports" --inbound-port-exclude 80,
refuse "--outbound-ip-exclude: \"10.0.0.0/33\" is not valid: $cidrs" --outbound-ip-exclude 10.0.0.0/33
refuse "--outbound-ip-include: \"fd00::/129\" is not valid: $cidrs" --outbound-ip-include 10.0.0.0/8,fd00::/129
refuse "--outbound-ip-include: \"example.com\" is not valid: $cidrs" --outbound-ip-include=example.com
refuse "--interface-exclude: \"eth0;reboot or so\" is not valid: $names" --interface-exclude "eth0;reboot or so"
refuse "--local-proxy-mode: \"podip\" is not valid: expected Localhost or PodIP" --local-proxy-mode podip
refuse "--local-proxy-mode PodIP needs the pod's address: give --pod-ip or set POD_IP" --local-proxy-mode PodIP
refuse "--pod-ip: \"127.0.0.1\" is not valid: expected the pod's IPv4 and IPv6 addresses separated by commas" \
    --local-proxy-mode PodIP --pod-ip 127.0.0.1
refuse "--backend: \"iptables\" is not valid: expected auto, nft or legacy" --backend iptables
refuse "--check, --dry-run and --undo exclude each other: expected one of them" --check --undo
refuse "\"80\": expected flags only" 80
refuse "unknown flag -f: see fsm-init --help" -f x
refuse "unknown flag --outbound-ports-exclude: did you mean --outbound-port-exclude?" --outbound-ports-exclude 80

nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all "$@"; }
cp "$INIT" "$TMP/fsm-init" && chmod 755 "$TMP" "$TMP/fsm-init" # its own place may not be readable
if nobody "$TMP/fsm-init" --dry-run --outbound-port-exclude= --outbound-ip-exclude 10.0.0.0/8,fd00::/8 >"$TMP/out" &&
    [ "$(grep -c '^\*nat' "$TMP/out")" = 2 ] && grep -q 'fd00::/8 -j RETURN' "$TMP/out"; then
    ok "--dry-run needs no privilege"
else failed "--dry-run needs no privilege"; fi
ip netns add pod
for t in iptables ip6tables; do
    n=$([ $t = iptables ] && echo 1 || echo 2)
    awk -v n=$n '/^# IPv/ { i++ } i == n' "$TMP/out" >"$TMP/$t.rules"
    if in_pod $t-nft-restore --test <"$TMP/$t.rules" && in_pod $t-legacy-restore --test <"$TMP/$t.rules"; then
        ok "--dry-run prints what $t-restore takes"
    else failed "--dry-run prints what $t-restore takes"; fi
done
nobody "$TMP/fsm-init" -n --outbound-port-exclude 80 && ok "-n checks flags and leaves" || failed "-n checks flags and leaves"
got=$(POD_IPS=10.0.0.1,fd00::1 "$INIT" --local-proxy-mode PodIP --dry-run | grep -c DNAT)
[ "$got" = 2 ] && ok "PodIP takes the addresses of POD_IPS" || failed "PodIP takes the addresses of POD_IPS: $got"
got=$(POD_IP=10.0.0.1 "$INIT" --local-proxy-mode PodIP --dry-run | grep -c DNAT)
[ "$got" = 1 ] && ok "PodIP takes the address of POD_IP" || failed "PodIP takes the address of POD_IP: $got"
got=$("$INIT" -d --dry-run --outbound-port-exclude 15001 --inbound-port-exclude 15010,15003 2>&1 >/dev/null | grep -c 'is reserved')
[ "$got" = 3 ] && ok "reserved ports in lists are noted" || failed "reserved ports in lists are noted: $got"
finish
