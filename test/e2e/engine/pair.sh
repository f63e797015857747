#!/bin/bash
# two sidecars on loopback with mutual TLS between them and no controller: what the engine carries,
# refuses, counts and survives, one line per check
# exclusive: it looks at how long a client beside a flood waits
. "$(dirname "$0")/../lib.sh"
$PY "$(dirname "$0")/pair.py" "$FSM_BIN/fsm-sidecar" | tee "$TMP/checks"
[ "${PIPESTATUS[0]}" = 0 ] || fail "$(grep -c FAILED "$TMP/checks") checks failed"
done_ok "$(grep -c '^  ok' "$TMP/checks") checks"
