"""A way to an API server that can be bad.  Runs in a thread of its own.

    way = Way(("10.1.2.3", 6443), ca_file, directory)
    way.tcp_port      bytes both ways, TLS from end to end, so HTTP/2:
                      way.open (new connections are taken), way.hang(), way.cut()
    way.http_port     ends TLS with a certificate of its own (way.ca_file), speaks HTTP/1.1:
                      way.fault = "429" | "500" | "garbage" | "half" | "short" | "slow" | None,
                      way.hold = text of requests that wait (way.held), way.open, way.cut()

Faults come from here only; every good answer is the API server's own.
"""
import asyncio
import os
import ssl
import subprocess
import threading

PART = 16384


def length_of(head):
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
    return 0


class Way:
    def __init__(self, upstream, upstream_ca, directory):
        self.upstream = upstream
        self.open = True
        self.fault = None
        self.faults = 0  # how many were made
        self.hold = None  # requests whose head has this wait until it is None
        self.held = 0
        self.requests = 0
        self._pairs = []
        self._client_tls = ssl.create_default_context(cafile=upstream_ca)
        self._client_tls.check_hostname = False
        self._server_tls = self._make_certificate(directory)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, daemon=True).start()
        self._ready.wait()

    def _make_certificate(self, directory):
        self.ca_file = os.path.join(directory, "way.crt")
        key = os.path.join(directory, "way.key")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-days", "2", "-subj", "/CN=way", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", key, "-out", self.ca_file], check=True, capture_output=True)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.ca_file, key)
        return tls

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()

    async def _start(self):
        tcp = await asyncio.start_server(self._tcp, "127.0.0.1", 0)
        http = await asyncio.start_server(self._http, "127.0.0.1", 0, ssl=self._server_tls)
        self.tcp_port = tcp.sockets[0].getsockname()[1]
        self.http_port = http.sockets[0].getsockname()[1]

    # ---- bytes -----------------------------------------------------------------------------

    def cut(self):
        """every connection is reset"""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self):
        for pair in list(self._pairs):
            for writer in pair["writers"]:
                writer.transport.abort()

    def hang(self):
        """what is open now stays open, and nothing goes through any more"""
        self._loop.call_soon_threadsafe(self._hang)

    def _hang(self):
        for pair in self._pairs:
            pair["hangs"] = True

    async def _tcp(self, reader, writer):
        if not self.open:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.upstream)
        except OSError:
            writer.transport.abort()
            return
        pair = {"writers": (writer, up_writer), "hangs": False}
        self._pairs.append(pair)
        await asyncio.gather(self._copy(pair, reader, up_writer), self._copy(pair, up_reader, writer))
        self._pairs.remove(pair)

    async def _copy(self, pair, reader, writer):
        try:
            while data := await reader.read(PART):
                while pair["hangs"]:
                    await asyncio.sleep(0.1)
                    if writer.transport.is_closing():
                        return
                writer.write(data)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        for w in pair["writers"]:
            w.transport.abort()

    # ---- requests --------------------------------------------------------------------------

    async def _http(self, reader, writer):
        try:
            if not self.open:
                writer.transport.abort()
                return
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(length_of(head))
            self.requests += 1
            await self._wait(head)
            if self.fault:
                self.faults += 1
            await self._answer(self.fault, head, body, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    async def _wait(self, head):
        if not self.hold or self.hold.encode() not in head:
            return
        self.held += 1
        while self.hold:
            await asyncio.sleep(0.02)

    async def _answer(self, fault, head, body, writer):
        if fault == "429":
            await self._say(writer, "429 Too Many Requests", b'{"kind":"Status","message":"slow down"}',
                            "Retry-After: 1\r\n")
        elif fault == "500":
            await self._say(writer, "500 Internal Server Error", b"<html>oops</html>")
        elif fault == "garbage":
            await self._say(writer, "200 OK", bytes(range(256)) * 64)
        else:
            await self._forward(fault, head, body, writer)

    async def _say(self, writer, status, body, headers=""):
        writer.write((f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n"
                      "Connection: close\r\n\r\n").encode() + body)
        await writer.drain()

    async def _forward(self, fault, head, body, writer):
        up_reader, up_writer = await asyncio.open_connection(*self.upstream, ssl=self._client_tls)
        pair = {"writers": (writer, up_writer), "hangs": False}
        self._pairs.append(pair)
        up_writer.write(head[:-2] + b"Connection: close\r\n\r\n" + body)
        sent = 0
        try:
            while data := await up_reader.read(1024 if fault == "slow" else PART):
                if fault == "half" and sent + len(data) > 900:
                    data = data[:max(0, 900 - sent)]
                    writer.write(data)
                    await writer.drain()
                    writer.transport.abort()
                    break
                if fault == "short":  # a whole HTTP message with half a JSON text
                    await self._say(writer, "200 OK", b'{"kind":"List","items":[{"metadata":{"na')
                    break
                writer.write(data)
                await writer.drain()
                sent += len(data)
                if fault == "slow":
                    await asyncio.sleep(0.02)
        finally:
            up_writer.transport.abort()
            self._pairs.remove(pair)
