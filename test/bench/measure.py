"""What a process costs, what the machine did meanwhile, and how processes are started and ended.

CPU is the run time of all threads of a process and of its children, as the scheduler counted it; it
does not contain the time that others held the core.
"""
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

TICK = os.sysconf("SC_CLK_TCK")
PROXY_CORE = 0  # the proxy alone
LOAD_CORE = 1   # load generator and upstream


class Failed(Exception):
    """A round that gives no figures; says why."""


class Process:
    """A program pinned to a core, in a session of its own, ended with all that it started."""

    def __init__(self, argv, core, log, realtime=False, idle=False):
        self.argv = argv
        self.log = log
        place = ["taskset", "-c", str(core)]
        if realtime:
            place = ["chrt", "-f", "1", *place]
        if idle:
            place = ["chrt", "-i", "0", *place]
        with open(log, "wb") as out:
            self.started = time.monotonic()
            self.popen = subprocess.Popen([*place, *argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          start_new_session=True)
        self.pid = self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def stop(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.popen.wait()

    def last_words(self):
        lines = pathlib.Path(self.log).read_text(errors="replace").strip().split("\n")
        return " | ".join(lines[-3:])[:400]


def family(pid):
    """The process and all that descend from it."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += family(int(child))
    return found


def cpu_ns(pid):
    total = 0
    for p in family(pid):
        for task in pathlib.Path(f"/proc/{p}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total


def memory_kb(pid):
    """Resident and anonymous memory; what processes of the family share counts for each."""
    total = {"rss_kb": 0, "anon_kb": 0}
    for p in family(pid):
        text = pathlib.Path(f"/proc/{p}/smaps_rollup").read_text()
        for metric, field in (("rss_kb", "Rss"), ("anon_kb", "Anonymous")):
            total[metric] += int(re.search(rf"^{field}:\s+(\d+)", text, re.M)[1])
    return total


def busy_seconds():
    """CPU seconds that all cores spent for anybody."""
    with open("/proc/stat") as f:
        v = list(map(int, f.readline().split()[1:]))
    return (sum(v[:3]) + sum(v[5:8])) / TICK


def own_seconds():
    """CPU seconds of this program and of what it ran and waited for: the load generator."""
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


class Span:
    """CPU of some processes between start and end, and how many cores others kept busy meanwhile."""

    def __init__(self, counted, helpers):
        self.counted = [p.pid for p in counted]
        self.helpers = [p.pid for p in helpers]
        self.cpu0 = self._cpu(self.counted)
        self.known0 = self._known()
        self.busy0 = busy_seconds()
        self.wall0 = time.monotonic()

    @staticmethod
    def _cpu(pids):
        return sum(cpu_ns(p) for p in pids) / 1e9

    def _known(self):
        return self._cpu(self.counted + self.helpers) + own_seconds()

    def end(self):
        self.wall = time.monotonic() - self.wall0
        self.cpu = self._cpu(self.counted) - self.cpu0
        known = self._known() - self.known0
        self.noise = max(0.0, (busy_seconds() - self.busy0 - known) / self.wall)
        return self


def wait_port(port, process, seconds=15.0):
    """Seconds from the process's start until the port takes connections."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return time.monotonic() - process.started
        except OSError:
            if not process.alive():
                raise Failed(f"{process.argv[0]} ended: {process.last_words()}") from None
            time.sleep(0.0005)
    raise Failed(f"{process.argv[0]} does not listen on port {port}: {process.last_words()}")
