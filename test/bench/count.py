"""System calls and instructions per request, of fsm and nginx: strace counts the former, callgrind those
executed in user space.  Both slow a proxy down many times, so these are runs of their own, short and by
number of requests; what was counted for a request does not depend on the machine."""
import re
import signal
import subprocess
import time

from bench import measure, rounds
from bench.cases.http import Http

NAMES = ("fsm", "fsm-openssl", "nginx")
SYSCALL_REQUESTS = 4000
CALLGRIND_REQUESTS = 2000


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


def trace(o, case, processes):
    """-> system calls per request, by name"""
    tracers = []
    for i, p in enumerate(processes):
        report = o.tmp / f"strace-{i}"
        tracers.append((report, subprocess.Popen(
            ["taskset", "-c", str(measure.PROXY_CORE), "strace", "-c", "-f", "-o", str(report), "-p", str(p.pid)],
            stderr=subprocess.DEVNULL)))
    time.sleep(0.5)
    try:
        case.ask(SYSCALL_REQUESTS)
    finally:
        for _, t in tracers:
            t.send_signal(signal.SIGINT)
            t.wait()
    calls = {}
    for report, _ in tracers:
        for name, n in by_name(report.read_text()).items():
            calls[name] = calls.get(name, 0) + n / SYSCALL_REQUESTS
    return calls


def instructions(o, case, processes):
    """per request, in user space, of all processes"""
    total = 0
    for p in processes:
        subprocess.run(["callgrind_control", "-z", str(p.pid)], capture_output=True, check=True)
    case.ask(CALLGRIND_REQUESTS)
    for p in processes:
        subprocess.run(["callgrind_control", "-d", str(p.pid)], capture_output=True, check=True)
        dump = max(o.tmp.glob(f"callgrind.{p.pid}*"), key=lambda f: f.stat().st_mtime)
        total += int(re.search(r"^(?:totals|summary): (\d+)", dump.read_text(), re.M)[1])
    return total / CALLGRIND_REQUESTS


def one(o, case, name):
    with case.running(o, name) as processes:
        case.ask(500)
        calls = trace(o, case, processes)
    figures = {"syscalls_per_request": sum(calls.values())}
    with Valgrind(case, o.tmp), case.running(o, name) as processes:
        case.ask(500)
        figures["instructions_per_request"] = instructions(o, case, processes)
    return figures, calls


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
                    with case.served(options, name):
                        figures, outcome.calls[name] = one(options, case, name)
                    outcome.clean[name] = [rounds.Sample(figures, 0.0)]
                except measure.Failed as e:
                    outcome.failed[name] = [str(e)]
    finally:
        case.end()
        rounds.progress("")
    outcome.seconds = time.monotonic() - started
    return outcome
