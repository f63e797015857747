# lib.bash - what scenarios on a real Kubernetes share, on top of ../lib.sh.
#
#   lab_up NODES [OPTION...]   a lab of this scenario's own, gone when the scenario ends; skips when the lab's
#                     programs cannot be had here
#   kube ARGUMENT...  kubectl for it
#   lab ARGUMENT...   test/kubernetes/lab for it
#   kube_wait NS WHAT CONDITION [SECONDS]
LAB_NAME=t$$
LAB_UP=
lab() { "$ROOT/test/kubernetes/lab" --name "$LAB_NAME" "$@"; }
kube() { lab kubectl "$@"; }
lab_up() { # NODES [OPTION...]
    local rc
    LAB_UP=1
    lab up --nodes "$1" "${@:2}" >"$TMP/lab.log" 2>&1
    rc=$?
    [ $rc != 77 ] || skip "$(grep -m 1 'could be fetched\|could not be fetched' "$TMP/lab.log" || tail -n 1 "$TMP/lab.log")"
    [ $rc = 0 ] || {
        cat "$TMP/lab.log" >&2
        fail "lab up --nodes $1"
    }
}
scenario_cleanup() {
    [ -z "$LAB_UP" ] || [ -n "${FSM_KEEP:-}" ] || lab down
}
# tools:1 has a shell, curl and iptables
lab_tools() {
    "$ROOT/test/kubernetes/image" --name "$LAB_NAME" --package iptables --package busybox-static --package curl \
        tools:1 /bin/sh /usr/sbin/iptables >"$TMP/image.log" 2>&1 || {
        cat "$TMP/image.log" >&2
        fail "image tools:1"
    }
}
kube_wait() { # NS WHAT CONDITION [SECONDS]
    kube wait -n "$1" "$2" --for="$3" --timeout="${4:-60}s" >"$TMP/wait.log" 2>&1 || {
        cat "$TMP/wait.log" >&2
        kube describe -n "$1" "$2" 2>&1 | tail -n 30 >&2
        fail "$1 $2: not $3"
    }
}
