"""WebSocket echo server and its client, by the websockets library."""
import asyncio
import os
import sys

import websockets


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def serve(port):
    async with websockets.serve(echo, None, port, max_size=None):
        await asyncio.Future()


async def call(url):
    async with websockets.connect(url, max_size=None) as ws:
        for i in range(200):
            await ws.send(f"hello {i}")
            assert await asyncio.wait_for(ws.recv(), 5) == f"hello {i}"
        blob = os.urandom(2_000_000)
        await ws.send(blob)
        assert await asyncio.wait_for(ws.recv(), 20) == blob
        pong = await ws.ping()
        await asyncio.wait_for(pong, 5)
    print("websocket ok: 200 texts, 2 MB binary, ping, clean close")


if sys.argv[1] == "serve":
    asyncio.run(serve(int(sys.argv[2])))
else:
    asyncio.run(call(sys.argv[2]))
