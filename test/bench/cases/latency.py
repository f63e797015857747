"""What a pair adds to the latency of a request at 1,000 requests/s.

Client, proxies and upstream share one core, beside a spinner of the idle class that keeps it from
going to sleep: with two cores the figure is that of the hypervisor's wake-ups.  All of them run in
the real-time class, so that what else the machine does stays out.  The same without proxies is
measured before each round and taken off."""
import os

from bench import load, measure, setup, upstream
from bench.cases.pair import Pair

CORE = measure.PROXY_CORE
RATE = 1000
SPINNER = ["/bin/sh", "-c", "while :; do :; done"]


class Latency(Pair):
    main = "p50_us"

    def begin(self, o):
        if os.geteuid() != 0:
            raise measure.Failed("only root may use the real-time class")
        self.upstreams, self.files = upstream.http1(o.tmp, self.size, CORE, realtime=True)
        self.upstreams.append(measure.Process(SPINNER, CORE, o.tmp / "spinner.log", idle=True))

    def ask(self, port, seconds):
        return load.Generator.run(core=CORE, realtime=True, port=port, requests=int(RATE * seconds), rate=RATE,
                                  connections=8, bytes=self.size, host=setup.HOST)

    def running(self, o, proxy):
        return super().running(o, proxy, CORE, realtime=True)

    def one(self, o, processes):
        self.ask(setup.UPSTREAM, 0.3)
        direct = self.ask(setup.UPSTREAM, o.seconds / 2)
        self.ask(setup.FRONT, 0.5)
        span = measure.Span(processes, self.upstreams)
        through = self.ask(setup.FRONT, o.seconds)
        span.end()
        figures = {m: through[m] - direct[m] for m in ("p50_us", "p99_us")}
        figures["cpu_us_per_request"] = span.cpu / through["ok"] * 1e6
        return figures, span.noise


CASES = [Latency("latency-1000rps", "latency that the mutual-TLS pair adds at 1,000 requests/s, everything on one core")]
