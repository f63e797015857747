#!/bin/bash
# h2spec, the conformance test of HTTP/2 servers, strictly, against the sidecar
# optional: it is a Go program that Debian does not have
. "$(dirname "$0")/../lib.sh"
MODULE=github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
H2SPEC=$(command -v h2spec || echo "$ROOT/build/tools/h2spec")
if [ ! -x "$H2SPEC" ]; then
    command -v go >/dev/null || skip "no h2spec, and no Go to build it: go install $MODULE"
    GOBIN=$ROOT/build/tools timeout 300 go install "$MODULE" >"$TMP/go.log" 2>&1 ||
        skip "go install $MODULE failed: $(tail -n 1 "$TMP/go.log")"
fi
$PY "$ROOT/test/e2e/engine/h2spec.py" "$FSM_BIN/fsm-sidecar" "$H2SPEC" >"$TMP/out" 2>&1 || {
    cat "$TMP/out" >&2
    fail "$(tail -n 1 "$TMP/out")"
}
done_ok "$(tail -n 1 "$TMP/out")"
