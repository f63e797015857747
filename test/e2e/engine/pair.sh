#!/bin/bash
# two sidecars on loopback with mutual TLS between them and no controller: what the engine carries,
# refuses, counts and survives, one line per check
# exclusive the first time: it says how long a client beside a flood waits
# in a network of its own, whose ports are its alone
[ -n "${OWN_NET:-}" ] || OWN_NET=1 exec unshare --net bash "$0"
. "$(dirname "$0")/../lib.sh"
ip link set lo up
$PY "$(dirname "$0")/pair.py" "$FSM_BIN/fsm-sidecar" | tee "$TMP/checks"
[ "${PIPESTATUS[0]}" = 0 ] || fail "$(grep -c FAILED "$TMP/checks") checks failed"
done_ok "$(grep -c '^  ok' "$TMP/checks") checks"
