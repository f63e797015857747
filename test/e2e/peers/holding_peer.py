"""An HTTP/1.1 application that answers nobody until N requests wait at once, then all of them.

holding_peer.py PORT        GET /N: N is how many; /0 answers at once
"""
import asyncio
import sys

waiting = []


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            want = int(head.split(b" ")[1].strip(b"/").split(b"?")[0] or 0)
            if want:
                here = asyncio.get_running_loop().create_future()
                waiting.append(here)
                if len(waiting) >= want:
                    for f in waiting:
                        if not f.done():
                            f.set_result(None)
                    waiting.clear()
                await here
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=8192)
    await server.serve_forever()


asyncio.run(main())
