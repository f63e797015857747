#!/bin/bash
# `fsm local down` leaves the machine as it was: links, rules, mounts, namespaces, processes, files
# and kernel settings compared before and after; also when the daemon was killed before.
# exclusive: other scenarios make and remove the same kinds of things meanwhile
. "$(dirname "$0")/../lib.sh"
look() {
    echo "links:"
    ip -o link | sed 's/^[0-9]*: //; s/@.*//; s/ .*//' | sort
    echo "addresses:"
    ip -o addr | awk '{print $2, $4}' | sort
    echo "routes:"
    ip route | sort
    echo "rules:"
    nft list ruleset
    echo "mounts:"
    awk '{print $5, $9}' /proc/self/mountinfo | sort
    echo "named namespaces:"
    ls /run/netns 2>/dev/null
    echo "settings:"
    sysctl -a 2>/dev/null | grep -E 'ip_forward |all.forwarding|bridge-nf|all.rp_filter|accept_ra '
    echo "files:"
    ls /run/fsm/local 2>/dev/null
    ls -d /run/fsm 2>/dev/null
}
# what lives: here only what came counts, since others' may still be going
living() {
    echo "namespaces:"
    lsns -n -o TYPE,COMMAND 2>/dev/null | awk '$1 == "net" || $1 == "pid" || $1 == "mnt"' | grep -v lsns | sort
    echo "processes:"
    # not what has ended and waits for its parent: another scenario's may still be there
    ps -eo stat=,args= | awk '$1 !~ /^Z/ {$1 = ""; print}' | grep -E '[f]sm|[d]nsmasq|[g]unicorn' | grep -v "$SCENARIO" | sort
}
use() {
    mesh_up
    mesh_ns app
    httpbin app
    client app
    wait_ready app deployment/httpbin pod/client
    fsml up >"$TMP/up.log" 2>&1 && fail "a second up of the same name was not refused"
    grep -q 'is up already' "$TMP/up.log" || fail "a second up says: $(cat "$TMP/up.log")"
    expect_eq "a request" "$(in_pod app client curl -s -o /dev/null -m 5 -w '%{http_code}' http://httpbin.app:14001/get)" 200
}
same() {
    look >"$TMP/after"
    living >"$TMP/living-after"
    diff "$TMP/before" "$TMP/after" >"$TMP/diff" &&
        ! diff "$TMP/living-before" "$TMP/living-after" | grep '^>' >"$TMP/diff"
}
# the kernel removes links a while after their namespace: what was before must stand still
settled() {
    look >"$TMP/before"
    sleep 0.5
    look >"$TMP/again"
    diff "$TMP/before" "$TMP/again"
}
until_ok 20 settled || fail "the machine does not stand still"
living >"$TMP/living-before"
use
fsml down >/dev/null || fail "fsm local down"
until_ok 5 same || fail "left behind: $(cat "$TMP/diff")"
use
daemon=$(fsml status -o json | jq -r '.components[] | select(.name == "daemon") | .pid')
kill -KILL "$daemon" || fail "no daemon to kill"
fsml down >"$TMP/down.log" 2>&1 || fail "fsm local down after a crash: $(cat "$TMP/down.log")"
until_ok 5 same || fail "left behind after the daemon was killed: $(cat "$TMP/diff")"
MESH_UP=
done_ok "compared twice, once after kill -9 of the daemon"
