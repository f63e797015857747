#!/bin/bash
# resources from a real API server: equal documents, every fault of the server and of the way to it
# optional: it needs an API server, which is built from Go modules (test/kubernetes/lab)
# api-source.sh [SHOW...]: those alone; "many" (10,000 objects: time and memory) only when named
. "$(dirname "$0")/../lib.sh"
LAB=$ROOT/test/kubernetes/lab
NAME=a$(($$ % 1000000))
scenario_cleanup() { "$LAB" --name "$NAME" down >/dev/null 2>&1; }
[ -x "$LAB" ] || skip "no test/kubernetes/lab"
"$LAB" --name "$NAME" up --nodes 0 >"$TMP/lab" 2>&1 || {
    rc=$?
    [ $rc = 77 ] && skip "$(tail -n 1 "$TMP/lab")"
    cat "$TMP/lab" >&2
    fail "lab up"
}
$PY -P "$ROOT/test/e2e/kubernetes/api_source.py" "$ROOT" "$FSM_BIN" "$LAB --name $NAME" "$TMP" "$@" >"$TMP/out" 2>&1 || {
    cat "$TMP/out" >&2
    fail "$(tail -n 1 "$TMP/out")"
}
sed 's/^/  /' "$TMP/out"
done_ok "$(tail -n 1 "$TMP/out")"
