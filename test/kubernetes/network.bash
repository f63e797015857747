# network.bash - one /16 for each lab: NET is its first half, as in 10.180
#   NET.0.0/24    machines: .1 this one, .2 the control plane, .11 ... the nodes
#   NET.1.0/24    addresses for LoadBalancer Services
#   NET.64.0/18   pods: a /24 for each node
#   NET.128.0/17  Services; .1 the API server, .10 the cluster's DNS
# With --dual-stack the same in IPv6, below NET6: NET6::/64, NET6:40::/60 (a /64 for each node),
# NET6:80::/112.
# The bridge between the machines is on the control plane's machine.  This one gets a single link, and
# routes over it; nothing is forwarded, so that nothing leaves the lab and nothing gets in.

LINK=fsmlab-$LAB # at most 15 characters
FIRST_NET=180
NETS=16

# Claims a range that no route of this machine touches: that the address is there is the claim.
network_claim() {
    local i used
    # one at a time on this machine
    exec 8</sys/class/net && flock 8 || return 1
    used=$(ip route show table all)
    for ((i = 0; i < NETS; i++)); do
        NET=10.$((FIRST_NET + i))
        if ! grep -qE "(^|[ /])$NET\\." <<<"$used"; then
            ip link add "$LINK" type veth peer name host netns "$(machine_pid control)" &&
                ip addr add "$NET.0.1/24" dev "$LINK" && ip link set "$LINK" up
            local rc=$?
            exec 8<&-
            echo "$NET" >"$STATE/net"
            network_names
            [ -z "$DUAL" ] || ip addr add "$NET6::1/64" dev "$LINK" nodad || rc=1
            return $rc
        fi
    done
    exec 8<&-
    say "none of the ranges 10.$FIRST_NET.0.0/16 to 10.$((FIRST_NET + NETS - 1)).0.0/16 is free on this machine"
    return 1
}
network_names() { # sets what follows from the range
    NET=${NET:-$(cat "$STATE/net" 2>/dev/null)}
    CONTROL=$NET.0.2
    DUAL=$(cat "$STATE/dual" 2>/dev/null)
    NET6=fd6c:6162:$(printf '%x' "${NET#*.}")
}
node_address() { echo "$NET.0.$((10 + $1))"; }
node_address6() { echo "$NET6::$((10 + $1))"; }
node_pods() { echo "$NET.$((63 + $1)).0/24"; }
node_pods6() { printf '%s:%x::/64\n' "$NET6" $((63 + $1)); }
# IPv4 alone, or both with a comma between
families() { echo "$1${DUAL:+,$2}"; }

# the rest of the control plane's side, once the range is known
network_control() {
    machine_run control bash -euc '
        ip link add lab type bridge
        ip link set host master lab
        ip link set host up
        ip link set lab up
        ip addr add "$1/24" dev lab' x "$CONTROL" || return 1
    [ -z "$DUAL" ] || machine_run control ip addr add "$NET6::2/64" dev lab nodad
}
# a node's second family
network_node6() { # NUMBER
    local i
    machine_run "node$1" bash -euc '
        sysctl -q -w net.ipv6.conf.all.forwarding=1
        ip addr add "$1/64" dev eth0 nodad
        ip route add "$2:80::/112" dev eth0 src "$1"' x "$(node_address6 "$1")" "$NET6" || return 1
    for ((i = 1; i <= NODES; i++)); do
        [ "$i" != "$1" ] || continue
        machine_run "node$1" ip route add "$(node_pods6 "$i")" via "$(node_address6 "$i")" || return 1
    done
    machine_run control ip route add "$(node_pods6 "$1")" via "$(node_address6 "$1")" || return 1
    ip route add "$(node_pods6 "$1")" via "$(node_address6 "$1")" dev "$LINK" || return 1
    [ "$1" = 1 ] || return 0
    machine_run control ip route add "$NET6:80::/112" via "$(node_address6 1)" || return 1
    ip route add "$NET6:80::/112" via "$(node_address6 1)" dev "$LINK"
}
# Nodes are numbered from 1; the first is also the way to Services for who is on no node.
network_node() { # NUMBER
    local i address
    address=$(node_address "$1")
    ip link add "node$1" netns "$(machine_pid control)" type veth peer name eth0 netns "$(machine_pid "node$1")" || return 1
    machine_run control bash -euc 'ip link set "$1" master lab; ip link set "$1" up' x "node$1" || return 1
    machine_run "node$1" bash -euc '
        ip addr add "$1/24" dev eth0
        ip link set eth0 up
        sysctl -q -w net.ipv4.ip_forward=1
        # translated before they would be sent there, but a route there must be
        ip route add "$2.128.0/17" dev eth0 src "$1"
        ip route add "$2.1.0/24" dev eth0 src "$1"' x "$address" "$NET" || return 1
    # the others'\'' ways to its pods, and its to theirs
    for ((i = 1; i <= NODES; i++)); do
        [ "$i" != "$1" ] || continue
        machine_run "node$1" ip route add "$(node_pods "$i")" via "$(node_address "$i")" || return 1
    done
    machine_run control ip route add "$(node_pods "$1")" via "$address" || return 1
    ip route add "$(node_pods "$1")" via "$address" dev "$LINK" || return 1
    [ -z "$DUAL" ] || network_node6 "$1" || return 1
    [ "$1" = 1 ] || return 0
    for i in 128.0/17 1.0/24; do
        machine_run control ip route add "$NET.$i" via "$address" || return 1
        ip route add "$NET.$i" via "$address" dev "$LINK" || return 1
    done
}
