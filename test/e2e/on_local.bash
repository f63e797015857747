# on_local.bash - a scenario's mesh on this machine: fsm local, with an instance of its own.
# What on_kubernetes.bash does on a cluster; lib.sh says what each is for.
MESH=${FSM_MESH_NAME:-t$$}

# fsm local VERB ... for this scenario's mesh
fsml() {
    local verb=$1
    shift
    "$FSM" local "$verb" --name "$MESH" "$@"
}
place_up() {
    fsml up "$@" >"$TMP/up.log" 2>&1 || {
        cat "$TMP/up.log" >&2
        fail "fsm local up"
    }
}
place_down() { fsml down; }
place_status() { fsml status; }
place_join() { fsm_cli namespace add "$1"; }
place_wait() { fsml wait -n "$1" "$2" --for=ready --timeout="$3"; }
controller_get() { curl -s --max-time 5 --unix-socket "/run/fsm/local/$MESH/controller.sock" "http://fsm$1"; }
fsm_cli() { "$FSM" "$@" --local "$MESH"; }
warnings() { fsml status -o json | jq -r '.warnings[]'; }
service_put() { # NS NAME: what is on standard input
    fsml apply -f - >"$TMP/apply.log" 2>&1 || fail "fsm local apply: $(cat "$TMP/apply.log")"
    service_ip "$1" "$2"
}
as_sidecar() { # NS POD COMMAND...
    fsml exec -i -n "$1" "$2" -c sidecar -- "${@:3}"
}
# shellcheck disable=SC2016
sidecar_status() { as_sidecar "$1" "$2" bash -c 'cat /proc/$(pgrep -x fsm-sidecar)/status'; }
sidecar_kill() { as_sidecar "$1" "$2" pkill -KILL -x fsm-sidecar; }
controller_row() { fsml status -o json | jq -r ".components[] | select(.name == \"controller\") | .$1"; }
controller_signal() { kill "-$1" "$(controller_row pid)"; }
controller_restarts() { controller_row restarts; }
capture() { # POD FILE FILTER
    local bridge
    bridge=$(fsml status -o json | jq -r .bridge)
    [ -n "$bridge" ] || fail "no bridge found for this mesh"
    tcpdump -i "$bridge" -s 0 -U -w "$2" "$3" 2>"$TMP/tcpdump.log" &
    CAPTURE=$!
}
capture_end() {
    kill $CAPTURE
    wait $CAPTURE 2>/dev/null
}
# a pod's programs see this machine's files, if everybody may read them
in_pods() { chmod -R a+rX "$@"; }
