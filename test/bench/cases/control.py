"""Cases that a program of their own measures: control/NAME PROXY DIRECTORY prints {"metric": number}.
Exit status 77 = not for this proxy, and why."""
import json
import os
import subprocess
import tempfile

from bench import measure, setup
from bench.cases.case import Case

SECONDS = 60


class Program(Case):
    names = ("fsm",)
    main = "rss_kb"

    @property
    def path(self):
        return setup.ROOT / "test/bench/control" / self.name

    def begin(self, o):
        if not os.access(self.path, os.X_OK):
            raise measure.Failed(f"{self.path.relative_to(setup.ROOT)} is not there")

    def round(self, o, proxy):
        environment = {**os.environ, "FSM_BIN": str(setup.OPENSSL_BIN if proxy == "fsm-openssl" else setup.BIN)}
        busy, own = measure.busy_seconds(), measure.own_seconds()
        with tempfile.TemporaryDirectory(dir=o.tmp) as d:
            r = subprocess.run([str(self.path), proxy, d], cwd=setup.ROOT, env=environment, capture_output=True,
                               text=True, timeout=SECONDS, check=False)
        if r.returncode == 77:
            raise setup.NotOffered((r.stderr.strip().split("\n") or [""])[-1])
        if r.returncode != 0:
            raise measure.Failed((r.stderr.strip().split("\n") or ["failed"])[-1])
        figures = json.loads(r.stdout.strip().split("\n")[-1])
        return figures, max(0.0, measure.busy_seconds() - busy - (measure.own_seconds() - own))


CASES = [
    Program("services-5000", "a mesh of 5,000 services of 10 endpoints, all visible"),
    Program("change-5000", "one endpoint changes among 5,000 services, under load", main="ms"),
    Program("proxies-200", "one endpoint changes among 5,000 services, for 200 proxies", main="ms"),
]
