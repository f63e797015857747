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
place_join() { "$FSM" namespace add --local "$MESH" "$1"; }
place_wait() { fsml wait -n "$1" "$2" --for=ready --timeout="$3"; }
controller_get() { curl -s --max-time 5 --unix-socket "/run/fsm/local/$MESH/controller.sock" "http://fsm$1"; }
proxy_get() { # QUERY NS POD
    "$FSM" proxy get --local "$MESH" "$1" -n "$2" "$3"
}
# a pod's programs see this machine's files, if everybody may read them
in_pods() { chmod -R a+rX "$@"; }
