#!/usr/bin/python3
"""What a pair of sidecars takes of memory and gives up under pressure: cases with printed figures.

bounds.py [-s SECONDS] FSM_SIDECAR DIR [CASE...]    DIR has flock (make soak-bounds builds it); root,
for namespaces.  SECONDS: how long what has no end of its own goes on (60).

Each case prints its figures and fails on what must not be: a client beside it that is not served, a
process that has ended, descriptors, connections or memory that stay.
"""
import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, "..", "e2e", "engine"))


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("-s", type=float, default=60, metavar="SECONDS")
    p.add_argument("sidecar")
    p.add_argument("dir")
    p.add_argument("case", nargs="*")
    return p.parse_args()


ARGS = arguments()
sys.argv[1:] = [ARGS.sidecar]
import pair
from pair import SC, S, TMP, children, curl, dial, eventually, read_head, sh

FLOCK = os.path.join(os.path.abspath(ARGS.dir), "flock")
cases = []


def case(fn):
    cases.append(fn)
    return fn


# ---- figures ------------------------------------------------------------------------------------

def sizes(name):
    """KiB resident, KiB anonymous, descriptors, clients' connections"""
    sc = SC[name]
    m = {}
    for line in open(f"/proc/{sc.p.pid}/smaps_rollup"):
        word = line.split()
        m[word[0]] = word[1]
    return (int(m["Rss:"]), int(m["Anonymous:"]), len(os.listdir(f"/proc/{sc.p.pid}/fd")),
            sc.stat("downstream_cx_active"))


def show(when):
    got = {n: sizes(n) for n in SC}
    print(f"    {when:18} " + "   ".join(
        f"{'client' if n == 'c' else 'server'}: rss {r:6} anon {a:6} KiB, {f:5} descriptors, {c:5} connections"
        for n, (r, a, f, c) in got.items()), flush=True)
    return got


def back_to(before, what, seconds=90, kib=4096):
    """connections gone, descriptors as they were, anonymous memory no more than that above before"""
    def connections():
        return SC["c"].stat("downstream_cx_active") == 0

    def descriptors():
        return all(sizes(n)[2] <= before[n][2] + 40 for n in SC)

    def memory():
        return all(sizes(n)[1] <= before[n][1] + kib for n in SC)
    for test in (connections, descriptors, memory):
        try:
            eventually("", test, seconds)
        except AssertionError:
            show("left")
            raise AssertionError(f"after {what}: {test.__name__} stay")
    show("afterwards")


class Beside:
    """a client that behaves, meanwhile"""

    def __init__(self, seconds):
        self.result = self.error = None
        self.seconds = seconds
        self.t = threading.Thread(target=self.run)
        self.t.start()

    def run(self):
        try:
            self.result = pair.good_client(self.seconds)
        except Exception as e:
            self.error = e

    def end(self):
        self.t.join()
        if self.error:
            raise AssertionError(f"the client beside it: {self.error}")
        return f"p50 {self.result[0]:.1f} ms, p99 {self.result[1]:.1f} ms"


# ---- cases --------------------------------------------------------------------------------------

@case
def burst():
    """5,000 requests at once, answered all together"""
    n = 5000
    before = show("before")
    conns = [dial("holding") for _ in range(n)]
    for s in conns:
        s.sendall(b"GET /%d HTTP/1.1\r\nHost: holding\r\n\r\n" % n)
    eventually("not all under way", lambda: SC["c"].stat("downstream_rq_active") >= n - 1 or
               conns[0].recv(1, 0x42), 30)  # MSG_PEEK | MSG_DONTWAIT
    show("in it")
    for s in conns:
        assert read_head(s)[0].startswith(b"HTTP/1.1 200")
    show("answered")
    for s in conns:
        s.close()
    end = time.time()
    for after in (1, 10, 30, 60, 80):
        time.sleep(max(0, end + after - time.time()))
        show(f"{after} s after")
    back_to(before, "the burst", 20, 1024)


@case
def slow_readers():
    """fifty clients that take 1 GB each, slowly"""
    with open(TMP + "/www/1g", "wb") as f:
        f.truncate(1 << 30)
    before = show("before")
    conns = []
    for _ in range(50):
        s = dial("web", rcvbuf=65536)
        s.sendall(b"GET /1g HTTP/1.1\r\nHost: web\r\n\r\n")
        conns.append(s)
    beside = Beside(10)
    got, end, shown = 0, time.time() + 20, 0
    while time.time() < end:
        for s in conns:
            got += len(s.recv(16384))
        time.sleep(0.1)
        if time.time() > end - 20 + 5 * shown + 4:
            shown += 1
            show(f"{got >> 20} MiB read")
    print("    beside it: " + beside.end())
    for n, (_, anon, _, _) in {n: sizes(n) for n in SC}.items():
        assert anon < before[n][1] + 50 * pair.STREAM_BYTES // 1024, f"{n}: {anon} KiB"
    for s in conns:
        s.close()
    back_to(before, "slow readers")


def flock(*args, **kw):
    return subprocess.Popen([*kw.get("inside", []), FLOCK, *args], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)


@case
def idle():
    """10,000 connections, a request on each, then silence"""
    n = 10000
    before = show("before")
    p = flock("-t", f"127.0.0.1:{S('web').out}", "-n", str(n))
    got = json.loads(p.stdout.readline())
    now = show("open")
    assert got["served"] == n, got
    time.sleep(10)
    now = show("10 s later")
    a, b = now["c"], before["c"]
    print(f"    for each: {(a[0] - b[0]) * 1024 / n:.0f} bytes resident, "
          f"{(a[1] - b[1]) * 1024 / n:.0f} anonymous")
    p.stdin.close()
    p.wait()
    back_to(before, "idle connections")


class Namespaces:
    """networks of their own with several addresses each, on links to us"""

    made = 0

    def __init__(self, n, addresses):
        self.names, self.sources, self.ours = [], [], []
        self.base = 10 + os.getpid() % 200
        for i in range(n):
            Namespaces.made += 1
            name = f"soak{os.getpid()}-{Namespaces.made}"
            link = f"sk{os.getpid() % 100000}-{Namespaces.made}"
            net = f"10.{self.base}.{i}"
            sh("ip", "netns", "add", name)
            self.names.append((name, link))
            sh("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            sh("ip", "addr", "add", f"{net}.1/24", "dev", link)
            sh("ip", "link", "set", link, "up")
            own = [f"{net}.{2 + k}" for k in range(addresses)]
            for a in own:
                sh("ip", "-n", name, "addr", "add", f"{a}/24", "dev", "eth0")
            sh("ip", "-n", name, "link", "set", "eth0", "up")
            self.sources.append(own)
            self.ours.append(f"{net}.1")

    def end(self):
        for name, link in self.names:
            subprocess.run(["ip", "link", "del", link], check=False)
            subprocess.run(["ip", "netns", "del", name], check=False)


def flocks(ns, n, *more):
    """n connections from all of the namespaces at once; what came of them"""
    for_each = n // len(ns.names)
    ps = []
    for (name, _), sources, ours in zip(ns.names, ns.sources, ns.ours):
        args = [w for a in sources for w in ("-s", a)]
        ps.append(flock("-t", f"{ours}:{S('web').out}", "-n", str(for_each), "-w", "30", "-c", "600", *args, *more,
                        inside=["ip", "netns", "exec", name]))
    total = {}
    for p in ps:
        for k, v in json.loads(p.stdout.readline()).items():
            total[k] = max(total.get(k, 0), v) if k == "seconds" else total.get(k, 0) + v
    return ps, total


def connections(*more):
    """50,000 from ten addresses in five namespaces, in figures"""
    n = 50000
    before = show("before")
    beside = Beside(5) if more else None
    ns = Namespaces(5, 2)
    try:
        ps, got = flocks(ns, n, *more)
        show("all of them")
        print(f"    {json.dumps(got)}, {got['connections'] / got['seconds']:.0f}/s")
        if beside:
            print("    beside it: " + beside.end())
        came = sum(v for k, v in got.items() if k not in ("seconds", "connections", "bytes"))
        assert came == got["connections"] == n, got
        assert got["silent"] == got["failed"] == got["answered_otherwise"] == 0, got
        for p in ps:
            p.stdin.close()
            p.wait()
        eventually("served again", lambda: curl(S("web").url + "/hello") == (0, b"hello\n"), 10)
        back_to(before, "fifty thousand")
        return got
    finally:
        ns.end()


@case
def connections_that_come_and_go():
    """50,000 from ten addresses in five namespaces, as fast as can be; closed when served"""
    got = connections("-o")
    assert got["served"] == 50000, got


@case
def connections_that_stay():
    """the same held open, with descriptors for 20,000: above, they are turned away, none waits in doubt"""
    got = connections()
    assert 15000 < got["served"] < 20000, got


@case
def garbage():
    """random bytes at full speed on both listeners"""
    before = show("before")
    ps = [flock("-t", f"127.0.0.1:{port}", "-g", str(int(ARGS.s)), "-c", "50")
          for port in (S("web").out, S("web").inb)]
    beside = Beside(ARGS.s)
    for i in range(4):
        time.sleep(ARGS.s / 5)
        show(f"{ARGS.s / 5 * (i + 1):.0f} s")
    for which, p in zip(("outbound", "inbound"), ps):
        print(f"    {which}: {p.stdout.readline().strip()}")
        p.wait()
    print("    beside it: " + beside.end())
    back_to(before, "garbage")


@case
def floods():
    """every flood of HTTP/2 and HTTP/1, one after the other, a client that behaves beside each"""
    before = show("before")
    os.environ["FSM_FLOOD"] = str(max(0.7, ARGS.s / 12))
    pair.floods_do_not_reach_the_client_beside_them()
    back_to(before, "floods")


# ---- the run ------------------------------------------------------------------------------------

def start():
    """as pair.py does, but reached from everywhere"""
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    pair.start_all()
    client, _ = pair.documents()
    for k in client["Listeners"]:
        k["Address"] = k["Address"].replace("127.0.0.1", "0.0.0.0")
    SC["c"].write(dict(client, Version="2"))
    pair.reload("c")
    pair.wait_port(S("web").out)
    assert curl(S("web").url + "/hello") == (0, b"hello\n")


def run(fn):
    print(f"  {fn.__name__}: {fn.__doc__}", flush=True)
    begin = time.time()
    try:
        fn()
        for n, sc in SC.items():
            assert sc.p.poll() is None, f"{n} has ended with {sc.p.returncode}"
        print(f"  ok      {fn.__name__} ({time.time() - begin:.0f} s)", flush=True)
        return 0
    except Exception as e:
        print(f"  FAILED  {fn.__name__}: {e}", flush=True)
        if not isinstance(e, AssertionError):
            traceback.print_exc()
        return 1


def main():
    failed = 0
    try:
        start()
        for fn in cases:
            if not ARGS.case or fn.__name__ in ARGS.case:
                failed += run(fn)
    finally:
        for p in children:
            if p.poll() is None:
                p.kill()
        shutil.rmtree(TMP, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
