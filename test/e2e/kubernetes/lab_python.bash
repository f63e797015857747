# lab_python.bash - what runs a scenario in Python against a lab without nodes; on top of ../lib.sh.
#   lab_python PROGRAM ARGUMENT...
LAB=$ROOT/test/kubernetes/lab
NAME=a$(($$ % 1000000))
scenario_cleanup() { "$LAB" --name "$NAME" down >/dev/null 2>&1; }
lab_python() {
    local rc
    "$LAB" --name "$NAME" up --nodes 0 >"$TMP/lab" 2>&1 || {
        rc=$?
        [ $rc = 77 ] && skip "$(tail -n 1 "$TMP/lab")"
        cat "$TMP/lab" >&2
        fail "lab up"
    }
    $PY -P "$ROOT/test/e2e/kubernetes/$1" "$ROOT" "$FSM_BIN" "$LAB --name $NAME" "$TMP" "${@:2}" >"$TMP/out" 2>&1 || {
        cat "$TMP/out" >&2
        fail "$(tail -n 1 "$TMP/out")"
    }
    sed 's/^/  /' "$TMP/out"
    done_ok "$(tail -n 1 "$TMP/out")"
}
