"""What the cases have in common: proxies started for one round, a warm-up, a measured stretch, an end."""
import contextlib

from bench import measure, proxies, setup


class Case:
    """A kind of load on a kind of proxy.  Subclasses say roles(), begin(), one()."""
    name = ""
    title = ""
    names = ("fsm", "nginx", "haproxy", "nghttpx", "envoy")
    main = "cpu_us_per_request"  # the metric that is compared

    def __init__(self, name, title, **fields):
        self.name = name
        self.title = title
        self.upstreams = []
        self.files = None
        for key, value in fields.items():
            setattr(self, key, value)

    def begin(self, o):
        """Starts what lasts for all rounds."""

    def end(self):
        for p in self.upstreams:
            p.stop()
        self.upstreams = []
        if self.files:
            self.files.cleanup()
            self.files = None

    def roles(self, proxy):
        """The proxies of a request's way, the last one first."""
        return [setup.Role()]

    def commands(self, o, proxy):
        return [proxies.ALL[proxy].command(o.tmp, r) for r in self.roles(proxies.ALL[proxy])]

    @contextlib.contextmanager
    def running(self, o, proxy, core=measure.PROXY_CORE, realtime=False):
        """-> the processes of the proxy, each taking connections."""
        roles = self.roles(proxies.ALL[proxy])
        processes = []
        try:
            for role, command in zip(roles, self.commands(o, proxy)):
                p = measure.Process(command, core, o.tmp / f"{proxy}-{role.name}.log", realtime)
                processes.append(p)
                p.ready_s = measure.wait_port(role.listen, p)
            yield processes
        finally:
            for p in processes:
                p.stop()

    def round(self, o, proxy):
        """-> {metric: value}, cores that others kept busy"""
        with self.running(o, proxy) as processes:
            try:
                return self.one(o, processes)
            except measure.Failed as e:
                gone = [p for p in processes if not p.alive()]
                if gone:
                    raise measure.Failed(f"{proxy} ended: {gone[0].last_words()}") from e
                raise

    def one(self, o, processes):
        raise NotImplementedError


def per_request(span, requests, seconds, processes, size=0):
    """The figures of a measured stretch."""
    figures = {"cpu_us_per_request": span.cpu / requests * 1e6, "rps": requests / seconds}
    if size > 16384:
        figures["cpu_us_per_mb"] = span.cpu * 1e6 / (requests * size / 1e6)
    memory = [measure.memory_kb(p.pid) for p in processes]
    for metric in ("rss_kb", "anon_kb"):
        figures[metric] = sum(m[metric] for m in memory)
    return figures, span.noise
