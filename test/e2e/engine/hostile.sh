#!/bin/bash
# hostile input by family, in HTTP/1, HTTP/2 and across: refused or forwarded exactly as it must be
# in a network of its own, whose ports are its alone
[ -n "${OWN_NET:-}" ] || OWN_NET=1 exec unshare --net bash "$0"
. "$(dirname "$0")/../lib.sh"
ip link set lo up
$PY "$ROOT/test/e2e/engine/hostile/run.py" "$FSM_BIN/fsm-sidecar" >"$TMP/out" 2>&1 || {
    tail -n 60 "$TMP/out" >&2
    fail "$(grep -c '^  FAILED' "$TMP/out") runs"
}
done_ok "$(tail -n 1 "$TMP/out")"
