"""Memory: of a proxy that has nothing to do, and of connections that have nothing to say."""
import json
import subprocess
import time

from bench import load, measure, setup
from bench.cases.http import Http

IDLE_CONNECTIONS = 5000


class Idle(Http):
    """After one request; and how long it takes from its start until it takes connections."""
    main = "rss_kb"

    def one(self, o, processes):
        load.Generator.run(port=setup.FRONT, requests=1, connections=1, bytes=self.size, host=setup.HOST)
        span = measure.Span(processes, self.upstreams)
        time.sleep(0.5)
        figures = measure.memory_kb(processes[0].pid)
        figures["ms"] = processes[0].ready_s * 1e3
        return figures, span.end().noise


class IdleConnections(Http):
    """Each has carried one request and stays open.  Kernel memory is not in it."""
    main = "bytes_per_conn"

    def one(self, o, processes):
        options = {"port": setup.FRONT, "bytes": self.size, "host": setup.HOST, "connections": 50}
        load.Generator.run(requests=2000, new=True, **options)
        before = measure.memory_kb(processes[0].pid)["anon_kb"]
        span = measure.Span(processes, self.upstreams)
        held = subprocess.Popen(load.Generator.argv({"requests": IDLE_CONNECTIONS, "hold": True, **options}),
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            line = held.stdout.readline()
            if not line or json.loads(line)["ok"] != IDLE_CONNECTIONS:
                raise load.Wrong("not all connections were served")
            time.sleep(0.3)
            after = measure.memory_kb(processes[0].pid)
        finally:
            held.stdin.close()
            held.wait()
        return {"bytes_per_conn": (after["anon_kb"] - before) * 1024 / IDLE_CONNECTIONS, **after}, span.end().noise


CASES = [
    Idle("idle", "memory of an idle proxy, and the time from its start to its first connection"),
    IdleConnections("idle-conns", f"{IDLE_CONNECTIONS:,} idle HTTP/1.1 connections"),
]
