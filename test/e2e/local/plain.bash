# plain.bash - what scenarios of plain pods, without a mesh, start with; see ../lib.sh.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
# as lib.sh's, but there is no sidecar to wait for
wait_ready() {
    local ns=$1 what
    shift
    for what; do
        fsml wait -n "$ns" "$what" --for=ready --timeout="${WAIT:-60s}" >"$TMP/wait.log" 2>&1 || {
            cat "$TMP/wait.log" >&2
            fsml get events -n "$ns" >&2
            fail "$ns $what did not become ready"
        }
    done
}
