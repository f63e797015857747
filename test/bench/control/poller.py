"""Clients that speak fsm-controller's API as waiting sidecars do, many in one process.

    p = Proxy("bench/client-0", token, port)
    await p.open(context)        TLS, and the word that it is there, with no version
    hold(proxies, listed)        each holds the version that /proxies says is current, without reading it
    await p.poll(b"10.1.2.3")    until an answer has these bytes: p.at (perf_counter), p.bytes, p.version
"""
import asyncio
import json
import ssl
import time


def context(ca_file):
    return ssl.create_default_context(cafile=str(ca_file))


def hold(proxies, listed):
    now = {p["pod"]: p["current"] for p in listed}
    for p in proxies:
        p.version = now[p.pod]


class Proxy:
    def __init__(self, pod, token, port):
        self.pod, self.token, self.port = pod, token, port
        self.version, self.bytes, self.at = "", 0, 0

    async def open(self, tls):
        self.r, self.w = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls, server_hostname="localhost")
        status, body = await self.ask("POST", "/v1/status", b'{"applied": ""}')
        if status != 204:
            raise SystemExit(f"{self.pod}: the controller answers {status} {body.decode(errors='replace')}")

    async def ask(self, method, path, body=b""):
        self.w.write(f"{method} {path} HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer {self.token}\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = (await self.r.readuntil(b"\r\n\r\n")).decode().lower()
        n = int(head.split("content-length:")[1].split("\r")[0]) if "content-length:" in head else 0
        return int(head.split()[1]), await self.r.readexactly(n) if n else b""

    async def poll(self, wanted=b""):
        while True:
            status, body = await self.ask("GET", f"/v1/config?version={self.version}&wait=50")
            if status != 200:
                continue
            self.at, self.bytes = time.perf_counter(), len(body)
            self.version = json.loads(body)["Version"]
            if wanted in body:
                return

    def close(self):
        self.w.transport.abort()
