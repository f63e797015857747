#!/bin/bash
# a WebSocket client and server (the websockets library) talk through two sidecars.
# places: local kubernetes
. "$(dirname "$0")/../lib.sh"
mesh_up
mesh_ns app
server app ws 8765 http-ws -- $PY "$ROOT/test/e2e/peers/websocket_peer.py" serve 8765
client app
wait_ready app pod/ws pod/client
out=$(in_pod app client $PY "$ROOT/test/e2e/peers/websocket_peer.py" call ws://ws.app:8765/chat 2>&1) || fail "$out"
expect_match "client" "$out" "websocket ok"
done_ok "$out"
