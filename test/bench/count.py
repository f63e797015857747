"""System calls and instructions per request, of fsm and nginx: strace counts the former, callgrind those
executed in user space.  Both slow a proxy down many times, so these are runs of their own, short and by
number of requests; what was counted for a request depends on the machine only as far as more requests come
at once when it is slow."""
import re
import shutil
import signal
import subprocess
import time

from bench import measure, rounds, setup
from bench.cases.http import Http

NAMES = ("fsm", "fsm-openssl", "nginx")


class Valgrind:
    """A case whose proxies run under callgrind."""

    def __init__(self, case, tmp):
        self.case = case
        self.tmp = tmp

    def __enter__(self):
        plain = self.case.commands

        def commands(o, proxy):
            return [["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={self.tmp}/callgrind.%p", *c]
                    for c in plain(o, proxy)]
        self.case.commands = commands

    def __exit__(self, *_):
        del self.case.commands


def by_name(table):
    """strace -c -> calls by name"""
    return {m[2]: int(m[1]) for m in re.finditer(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", table, re.M)
            if m[2] != "total"}


def total(counts):
    out = {}
    for one_process in counts:
        for name, n in one_process.items():
            out[name] = out.get(name, 0) + n
    return out


def strace(o, case, processes, requests):
    """-> system calls by name"""
    tracers = []
    for i, p in enumerate(processes):
        report = o.tmp / f"strace-{i}"
        tracers.append((report, subprocess.Popen(
            ["taskset", "-c", str(measure.PROXY_CORE), "strace", "-c", "-f", "-o", str(report), "-p", str(p.pid)],
            stderr=subprocess.DEVNULL)))
    time.sleep(0.5)
    try:
        case.ask(requests)
    finally:
        for _, t in tracers:
            t.send_signal(signal.SIGINT)
            t.wait()
    return total(by_name(report.read_text()) for report, _ in tracers)


def callgrind(o, case, processes, requests):
    """-> {"instructions": N}; what was counted last stays in build/bench/callgrind"""
    keep = setup.OUT / "callgrind"
    keep.mkdir(parents=True, exist_ok=True)
    counts = []
    for p in processes:
        subprocess.run(["callgrind_control", "-z", str(p.pid)], capture_output=True, check=True)
    case.ask(requests)
    for p, role in zip(processes, ("a", "b")):
        subprocess.run(["callgrind_control", "-d", str(p.pid)], capture_output=True, check=True)
        dump = max(o.tmp.glob(f"callgrind.{p.pid}*"), key=lambda f: f.stat().st_mtime)
        counts.append({"instructions": int(re.search(r"^(?:totals|summary): (\d+)", dump.read_text(), re.M)[1])})
        shutil.copy(dump, keep / f"{case.name}-{p.name}-{role}.out")
    return total(counts)


def per_request(counter, o, case, processes):
    """Counts few requests and many on as many connections: the difference is free of what a connection costs."""
    few_of, many_of = case.counted
    few = counter(o, case, processes, few_of)
    many = counter(o, case, processes, many_of)
    return {name: max(0.0, (n - few.get(name, 0)) / (many_of - few_of)) for name, n in many.items()}


def one(o, case, name):
    with case.running(o, name) as processes:
        case.ask(case.counted[0])
        calls = per_request(strace, o, case, processes)
    with Valgrind(case, o.tmp), case.running(o, name) as processes:
        for p in processes:
            p.name = name
        case.ask(case.counted[0])
        spent = per_request(callgrind, o, case, processes)
    return {"syscalls_per_request": sum(calls.values()), "instructions_per_request": spent["instructions"]}, calls


def run(case, options):
    outcome = rounds.Outcome(case)
    outcome.calls = {}
    if not isinstance(case, Http) or case.name in ("idle", "idle-conns", "latency-1000rps"):
        outcome.left_out["all"] = "is not counted by request"
        return outcome
    started = time.monotonic()
    try:
        case.begin(options)
        for name in rounds.choose(case, options, outcome):
            if name in NAMES:
                rounds.progress(f"{case.name}: counting {name}")
                try:
                    figures, outcome.calls[name] = one(options, case, name)
                    outcome.clean[name] = [rounds.Sample(figures, 0.0)]
                except measure.Failed as e:
                    outcome.failed[name] = [str(e)]
    finally:
        case.end()
        rounds.progress("")
    outcome.seconds = time.monotonic() - started
    return outcome
