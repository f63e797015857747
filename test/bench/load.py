"""The load generators: h2load, and load.c for what h2load does not do.  Every answer is checked."""
import json
import os
import re
import subprocess

from bench import measure, setup

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


class Wrong(measure.Failed):
    """Answers that were not as they must be."""


def h2load(args, requests, size, tls=False):
    """-> seconds it took.  size = bytes of body in each answer."""
    url = f"{'https' if tls else 'http'}://127.0.0.1:{setup.FRONT}/"
    argv = ["taskset", "-c", str(measure.LOAD_CORE), "h2load", "-n", str(requests), "-t", "1",
            "-H", f":authority: {setup.HOST}", *args, url]
    out = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    done = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", out)
    good = re.search(r"status codes: (\d+) 2xx", out)
    body = re.search(r"\((\d+)\) data", out)
    took = re.search(r"finished in ([\d.]+)(us|ms|s)", out)
    if not (done and good and body and took):
        raise Wrong("h2load: " + " ".join(out.split())[-200:])
    if int(done[1]) != requests or int(good[1]) != requests or int(body[1]) != requests * size:
        raise Wrong(f"of {requests} requests {done[0]}; {good[0]}; {body[1]} bytes of bodies")
    return float(took[1]) * SECONDS[took[2]]


class Generator:
    """Our own: see load.c for the options."""
    path = os.environ.get("FSM_BENCH_LOAD", str(setup.ROOT / "build/mbedtls/test/bench/load"))

    @classmethod
    def argv(cls, options, core=measure.LOAD_CORE, realtime=False):
        words = []
        for key, value in options.items():
            words += [f"--{key}"] if value is True else [f"--{key}", str(value)]
        return [*(["chrt", "-f", "1"] if realtime else []), "taskset", "-c", str(core), cls.path, *words]

    @classmethod
    def run(cls, core=measure.LOAD_CORE, realtime=False, **options):
        """-> its report: {"ok": N, "failed": N, "resumed": N, "seconds": S, ...}"""
        argv = cls.argv(options, core, realtime)
        r = subprocess.run(argv, capture_output=True, text=True, check=False)
        if r.returncode != 0:
            raise Wrong((r.stderr or r.stdout).strip().split("\n")[-1][:300])
        return json.loads(r.stdout)
