#!/bin/bash
# a gRPC client and server of the grpc libraries: unary, both streaming directions, both at once,
# error status in trailers, deadline.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
server app greeter 50051 grpc-api -- $PY "$ROOT/test/e2e/peers/grpc_peer.py" serve 50051
client app
wait_ready app pod/greeter pod/client
out=$(in_pod app client $PY "$ROOT/test/e2e/peers/grpc_peer.py" call greeter.app:50051 2>&1) || fail "client: $out"
for kind in unary server-stream client-stream bidi-stream status deadline large; do
    expect_match "$kind" "$out" "$kind ok"
done
done_ok "$(tr '\n' ' ' <<<"$out")"
