"""Hostile input against the real sidecar: what the client is answered, and what bytes a recording
server behind it gets.

run.py FSM_SIDECAR [-v] [TEXT...]   runs the rows of cases.py that have TEXT in family or name
run.py --table                      prints them: family, name, what the RFC says, what fsm does

Each row runs on every way it can take, named by the protocols on it:

    1-1    HTTP/1 client, HTTP/1 server            2-2    HTTP/2 on both sides
    1-2    HTTP/1 client, HTTP/2 server            2-1    HTTP/2 client, HTTP/1 server
    1-2-1  two sidecars, mutual TLS with HTTP/2 between them

After each row a good request follows on a connection of its own: its answer must be its own, and
the server must have got nothing but what the row says and that request.  The access log must have
one line for each request, with the reason that the client was told.
"""
import os
import json
import shutil
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import cases
import wire
from sidecars import (SPEC, TMP, Sidecar, end_all, eventually, free_port, make_pki, proxy, route,
                      wait_port)

SECONDS = 10
STATS = b"w,Deployment,w,w-1"
OWN_IDENTITY = (b"serviceidentity", b"c.c.cluster.local")


# ---- recording servers --------------------------------------------------------------------------

class Recorder:
    """keeps what every connection sent; `reply`: bytes for the request of the row, `close`: and
    ends the connection behind them"""

    def __init__(self):
        self.port = free_port()
        self.lock = threading.Lock()
        self.reset(None)
        self.l = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self.run, daemon=True).start()

    def reset(self, case):
        with self.lock:
            self.reply = case.reply if case else None
            self.close = case.close if case else False
            self.connections = [c for c in getattr(self, "connections", []) if c.open]
            for c in self.connections:
                c.mark()
            self.broken = []

    def run(self):
        while True:
            s, _ = self.l.accept()
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            c = self.connection(self, s)
            with self.lock:
                self.connections.append(c)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            c.serve()
        except (EOFError, OSError):
            pass
        except Exception as e:
            self.broken.append(repr(e))
        c.open = False
        c.s.close()


class H1Connection:
    def __init__(self, rec, s):
        self.rec, self.s, self.open = rec, s, True
        self.from_ = 0
        self.r = wire.H1Reader(lambda: s.recv(65536))

    def mark(self):
        self.from_ = len(self.r.raw)

    def got(self):
        return self.r.raw[self.from_:]

    def serve(self):
        while True:
            method, target, fields, body, trailers = self.r.request()
            if self.rec.reply is not None and target == b"/r":
                self.s.sendall(self.rec.reply)
                if self.rec.close:
                    return
                if b" 101 " in self.rec.reply[:20]:
                    self.s.sendall(self.s.recv(65536))
            elif method == b"HEAD":
                self.s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            elif method == b"CONNECT":
                self.s.sendall(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")
            else:
                self.s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class H2Connection:
    def __init__(self, rec, s):
        self.rec, self.s, self.open = rec, s, True
        self.r = wire.H2Reader(lambda: s.recv(65536), self.send, True)
        self.answered = set()
        self.old = set()

    def send(self, b):
        self.s.sendall(b)

    def mark(self):
        self.old = set(self.r.streams)

    def got(self):
        return [self.r.streams[i] for i in sorted(set(self.r.streams) - self.old)]

    def serve(self):
        self.send(wire.frame(wire.SETTINGS, 0, 0))
        while self.r.more():
            for i, st in list(self.r.streams.items()):
                if i not in self.answered and st.heads and not st.rst:
                    self.answer(i, st)

    def answer(self, i, st):
        if self.rec.reply is not None and dict(st.heads[0]).get(b":path") == b"/r":
            self.answered.add(i)
            self.send(self.rec.reply(i))
        elif st.ended:
            self.answered.add(i)
            head = wire.block([(b":status", b"200"), (b"content-length", b"2")])
            if dict(st.heads[0]).get(b":method") == b"HEAD":
                self.send(wire.frame(wire.HEADERS, 5, i, head))
            else:
                self.send(wire.frame(wire.HEADERS, 4, i, head) + wire.frame(wire.DATA, 1, i, b"ok"))


class H1Recorder(Recorder):
    connection = H1Connection


class H2Recorder(Recorder):
    connection = H2Connection


# ---- what is expected, told in HTTP/1 and made into other forms ---------------------------------

def requests_of(data):
    """the requests in well-formed bytes; the last one may be cut short: (.., complete)"""
    given = [data]
    r = wire.H1Reader(lambda: given.pop() if given else b"")
    out = []
    while r.buf or given:
        try:
            out.append(r.request())
        except EOFError:
            return out, False
    return out, True


FRAMING = (b"content-length", b"transfer-encoding", b"connection", b"host", b"te", b"expect")


def as_pair(data):
    """the same as it leaves the second of two sidecars"""
    out = b""
    while data:
        head, data = data.split(b"\r\n\r\n", 1)
        lines = head.split(b"\r\n")
        ours = (b"Host: ", b"Content-Length: ", b"Transfer-Encoding: ")
        fields = [l for l in lines[1:] if not l.startswith(ours)]
        lower = [l.split(b":", 1)[0].lower() + b":" + l.split(b":", 1)[1] for l in fields]
        lower.append(b": ".join(OWN_IDENTITY))
        lower.sort(key=lambda l: l.startswith(b"cookie:"))  # joined, they come last
        out += b"\r\n".join([lines[0]] + [l for l in lines[1:] if l.startswith(ours[0])] + lower +
                            [l for l in lines[1:] if l.startswith(ours[1:])]) + b"\r\n\r\n"
        body = requests_of(head + b"\r\n\r\n" + data)
        n = consumed(head + b"\r\n\r\n" + data) - len(head) - 4
        chunk, data = data[:n], data[n:]
        if b"\r\nTransfer-Encoding: chunked" in head:
            chunk = lower_trailers(chunk)
        out += chunk
        if not body[1] and len(body[0]) == 0:
            break
    return out


def consumed(data):
    """bytes of the first request"""
    given = [data]
    r = wire.H1Reader(lambda: given.pop() if given else b"")
    try:
        r.request()
    except EOFError:
        return len(data)
    return len(data) - len(r.buf)


def lower_trailers(chunks):
    at = 0
    while at < len(chunks) and not chunks.startswith(b"0\r\n", at):
        line = chunks.index(b"\r\n", at)
        at = line + 2 + int(chunks[at:line], 16) + 2
    lines = chunks[at:].split(b"\r\n")
    return chunks[:at] + b"\r\n".join(
        l.split(b":", 1)[0].lower() + b":" + l.split(b":", 1)[1] if b":" in l else l for l in lines)


def as_h2(request, scheme=b"http"):
    """(sorted fields, body, sorted trailers)"""
    method, target, fields, body, trailers = request
    head = [(b":method", method)]
    for n, v in fields:
        if n.lower() == b"host":
            head.append((b":authority", v))
        elif n.lower() not in (b"transfer-encoding", b"connection"):
            head.append((n.lower(), v))
    if method != b"CONNECT":
        head += [(b":scheme", scheme), (b":path", target)]
    return sorted(head), body, sorted((n.lower(), v) for n, v in trailers)


def body_of(status, reason):
    return {403: b"Access denied", 404: b"Not found"}.get(status, reason.encode())


# ---- the mesh -----------------------------------------------------------------------------------

class Way:
    """protocols on the way of a request, where a client dials, which sidecar faces what"""

    def __init__(self, name, port, recorder, client, edge):
        self.name, self.port, self.recorder = name, port, recorder
        self.client, self.edge = client, edge
        self.client_h2, self.server_h2 = name[0] == "2", name[-1] == "2"
        self.tls = None


HOSTS = {"h": {".*": {}}, "p": {"/open/.*": {}, "/exact": {}},
         "m": {".*": {"methods": ["GET", "BREW"]}}}


def rules(cluster, aliases):
    names = {h: h for h in HOSTS}
    names.update({a: "h" for a in ("h:80", *aliases)})
    return {"HttpHostPort2Service": names,
            "HttpServiceRouteRules": {h: {p: route(cluster, **k) for p, k in paths.items()}
                                      for h, paths in HOSTS.items()}}


def start(binary, aliases=()):
    """aliases: other names of host h"""
    pki = make_pki()
    h1, h2, app = H1Recorder(), H2Recorder(), H1Recorder()
    inbound = free_port()
    out = {"TrafficMatches": {}, "ClustersConfigs": {}}
    listeners, ways = [], []
    for name, protocol, endpoint, rec in (
            ("1-1", "http", {f"127.0.0.1:{h1.port}": {"Weight": 100}}, h1),
            ("1-2", "grpc", {f"127.0.0.1:{h2.port}": {"Weight": 100}}, h2),
            ("2-2", "http", {f"127.0.0.1:{h2.port}": {"Weight": 100}}, h2),
            ("1-2-1", "http", {f"127.0.0.1:{inbound}": {
                "Weight": 100, "Identity": "spiffe://cluster.local/ns/w/sa/w"}}, app)):
        port = free_port()
        cluster = f"w/{name}|{port}"
        out["TrafficMatches"][str(port)] = [dict(
            rules(cluster, aliases), DestinationIPRanges=["10.9.9.9/32"], Port=port,
            Protocol=protocol, TargetClusters=None, AllowedEgressTraffic=False,
            ServiceIdentity="c.c.cluster.local")]
        out["ClustersConfigs"][cluster] = {"Endpoints": endpoint}
        listeners.append({"Address": f"127.0.0.1:{port}", "Direction": "Outbound",
                          "OriginalDst": f"10.9.9.9:{port}"})
        ways.append(Way(name, port, rec, "c", "w" if name == "1-2-1" else "c"))
    local = f"w/app|{app.port}|local"
    match = dict(rules(local, aliases), SourceIPRanges=None, Port=app.port, Protocol="http",
                 TargetClusters=None, AllowedEndpoints=None)
    base = {"Version": "1", "Metrics": False, "Spec": SPEC}
    client = dict(base, Proxy=proxy("c"), Certificate={"CommonName": "c"}, Inbound=None,
                  Outbound=out, AllowedEndpoints={}, Listeners=listeners)
    server = dict(base, Proxy=proxy("w"), Certificate={"CommonName": "w"}, Outbound=None,
                  Inbound={"TrafficMatches": {str(inbound): match},
                           "ClustersConfigs": {local: {f"127.0.0.1:{app.port}": 100}}},
                  AllowedEndpoints={"127.0.0.1": "c.c-1"},
                  Listeners=[{"Address": f"127.0.0.1:{inbound}", "Direction": "Inbound",
                              "OriginalDst": f"127.0.0.1:{inbound}"}])
    way = Way("2-1", inbound, app, "w", "w")
    way.tls = f"{pki}/c"
    ways.append(way)
    sidecars = {"c": Sidecar(binary, "c", client, pki), "w": Sidecar(binary, "w", server, pki)}
    for w in ways:
        wait_port(w.port)
    for sc in sidecars.values():
        sc.lines = Lines(sc)
        sc.get("/access_log?format=json", "POST")
    return ways, sidecars


class Lines:
    """the access log, read on"""

    def __init__(self, sc):
        self.file = open(sc.log + ".access")
        self.part = ""
        self.seen = []

    def until(self, path):
        """the lines up to the one of that path, which is left out"""
        end = time.time() + SECONDS
        while time.time() < end:
            self.part += self.file.read()
            *whole, self.part = self.part.split("\n")
            self.seen += [json.loads(l) for l in whole]
            for i, l in enumerate(self.seen):
                if l.get("path") == path:
                    before, self.seen = self.seen[:i], self.seen[i + 1:]
                    return before
            time.sleep(0.001)
        raise AssertionError(f"no access-log line of {path}: {self.seen}")


# ---- clients ------------------------------------------------------------------------------------

class Client:
    def __init__(self, way):
        self.s = wire.connect(way.port, way.tls, "fsm-h2", SECONDS)
        self.recv, self.send = wire.receiver(self.s), wire.sender(self.s)
        if way.client_h2:
            self.h2 = wire.H2Reader(self.recv, self.send, False)
            self.send(wire.PREFACE + wire.frame(wire.SETTINGS, 0, 0))
        else:
            self.h1 = wire.H1Reader(self.recv)

    def left_over(self):
        """bytes that nobody asked for"""
        self.s.setblocking(False)
        try:
            return self.h1.buf + self.s.recv(65536)
        except OSError:
            return self.h1.buf


def sync(way, n):
    """a good request: its answer must be its own"""
    c = Client(way)
    path = b"/sync-%d" % n
    if way.client_h2:
        c.send(cases.request(path=path))
        st = wait_stream(c.h2, 1)
        got = (dict(st.heads[-1]).get(b":status"), st.data) if st.heads else st.rst
        assert got == (b"200", b"ok"), f"the next request was answered {got}"
    else:
        c.send(b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % path)
        status, _, body, _ = c.h1.response()
        assert (status, body) == (200, b"ok"), f"the next request was answered {status} {body}"
    c.s.close()
    return path


def wait_stream(h2, i, seconds=SECONDS):
    while True:
        st = h2.stream(i)
        if (st.ended and st.final() >= 0) or st.rst or h2.goaway not in (None, "NO_ERROR"):
            return st
        if not h2.more():
            return st


def wait_for_cut(rec, path):
    """a request that was cut short ends its connection: then all that it sent has been read"""
    def ended():
        with rec.lock:
            return all(b"GET " + path + b" " in c.got() for c in rec.connections if c.open)
    eventually("the connection of a request that was cut short goes on", ended, SECONDS)


def forwarded(way, case, path):
    """what the server got of the row: bytes, or streams"""
    rec = way.recorder
    if case.cut and not way.server_h2:
        wait_for_cut(rec, path)
    with rec.lock:
        parts = [c.got() for c in rec.connections]
    assert not rec.broken, f"the server cannot read what it got: {rec.broken}"
    if way.server_h2:
        streams = [st for part in parts for st in part]
        return [st for st in streams if not (st.heads and dict(st.heads[0]).get(b":path") == path)]
    out, found = b"", 0
    for data in parts:
        at = data.find(b"GET " + path + b" ")
        if at >= 0:
            end = data.index(b"\r\n\r\n", at) + 4
            data, found = data[:at] + data[end:], found + 1
        out += data
    assert found == 1, f"the next request arrived {found} times"
    return out


# ---- judging ------------------------------------------------------------------------------------

def same(what, got, want):
    assert got == want, f"{what}:\n      got  {got!r}\n      want {want!r}"


def judge_forwarded(way, case, got):
    want = case.forwards
    if way.server_h2:
        wanted, complete = requests_of(want)
        have = [st for st in got if st.heads]
        if case.cut:
            assert len(have) <= len(wanted) + 1 and not any(
                st.ended and not st.rst for st in have[len(wanted):]), "a cut request arrived whole"
            return
        same("requests that arrived", len(have), len(wanted))
        for st, w in zip(have, wanted):
            head, body, trailers = as_h2(w, case.scheme)
            fields = sorted(f for f in st.heads[0] if f != (b"te", b"trailers"))
            same("head at the server", fields, head)
            same("body at the server", st.data, body)
            same("trailers at the server", sorted(st.trailers or []), trailers)
    else:
        if way.name in ("1-2-1", "2-1"):
            want = as_pair(want)
        if case.cut:
            assert want.startswith(got), f"the server got {got!r}, at most {want!r} expected"
            assert not requests_of(got)[1] or not got, "a cut request arrived whole"
        else:
            same("bytes at the server", got, want)


def judge_log(case, way, lines, answers):
    got = [(l["status"], l["reason"]) for l in lines if l.get("protocol") != "tcp"]
    want = [(a.status, a.reason) for a in answers]
    ok = len(got) == len(want) and all(
        g[0] == w[0] and g[1] in w[1].split("|") for g, w in zip(got, want))
    assert ok, f"access log: {got}, want {want}"


def judge_answer(got, want):
    status, fields, body, _ = got
    same("status", status, want.status)
    if want.reason != "ok":
        same("body", body, body_of(want.status, want.reason))


def run_q1(way, case, n):
    c = Client(way)
    c.send(case.bytes)
    if case.shut:
        c.s.shutdown(socket.SHUT_WR)
    for a, method in zip(case.answers, case.methods + [b"GET"] * 99):
        judge_answer(c.h1.response(method), a)
    if case.closes:
        try:
            c.h1.more()
            raise AssertionError(f"more than one answer: {c.h1.buf!r}")
        except EOFError:
            pass
    path = sync(way, n)
    same("bytes behind the answers", c.left_over(), b"")
    c.s.close()
    judge_forwarded(way, case, forwarded(way, case, path))
    return path


def run_q2(way, case, n):
    c = Client(way)
    c.send(case.bytes)
    st = wait_stream(c.h2, case.stream)
    if case.goaway:
        assert c.h2.goaway == case.goaway, f"goaway {c.h2.goaway}, rst {st.rst}, {st.heads}"
    elif case.rst:
        assert st.rst in case.rst.split("|"), f"rst {st.rst}, {st.heads} {st.data} {c.h2.goaway}"
        if not case.began:
            same("head", st.heads, [])
    else:
        for a in case.answers:
            got = (int(dict(st.heads[-1])[b":status"]) if st.heads else st.rst, [], st.data, [])
            judge_answer(got, a)
    path = sync(way, n)
    c.s.close()
    judge_forwarded(way, case, forwarded(way, case, path))
    return path


def fields_of(fields):
    drop = (b"content-length", b"transfer-encoding", b"connection", b":status")
    return [(n.lower(), v) for n, v in fields if n.lower() not in drop]


def ask(way, case):
    """the client's side of a row about a response: (status, fields, body, trailers), or None when
    it was cut off; and how many 1xx came"""
    c = Client(way)
    if way.client_h2:
        c.send(cases.request(method=case.asks, path=b"/r"))
        st = wait_stream(c.h2, 1)
        c.s.close()
        i = st.final()
        if st.rst and st.rst != "NO_ERROR" or i < 0 or not st.ended:
            return None, len(st.heads), b""
        status = int(dict(st.heads[i])[b":status"])
        return (status, fields_of(st.heads[i]), st.data, fields_of(st.trailers or [])), i, b""
    upgrade = b"Connection: upgrade\r\nUpgrade: websocket\r\n" if case.upgrade else b""
    c.send(b"%s /r HTTP/1.1\r\nHost: h\r\n%s\r\n" % (case.asks, upgrade))
    try:
        status, fields, body, trailers = c.h1.response(case.asks)
        got = (status, fields_of(fields), body, fields_of(trailers))
    except EOFError:
        got = None
    raw = c.h1.raw
    if got and case.upgrade and got[0] == 101:
        c.send(b"echo")
        while len(c.h1.buf) < 4:
            c.h1.more()
        same("bytes in the tunnel", c.h1.buf, b"echo")
    elif got:
        same("bytes behind the answer", c.left_over(), b"")
    c.s.close()
    return got, getattr(c.h1, "infos", 0), raw


def run_r(way, case, n):
    got, infos, raw = ask(way, case)
    path = sync(way, n)
    if way.name == "2-1" and got and (b"fsm-stats", STATS) in got[1]:
        got[1].remove((b"fsm-stats", STATS))  # what one sidecar tells the other
    if case.cut:
        # before anything of it left, it may still become an answer of our own
        assert got is None or got[0] == 502, f"an answer that looks whole: {got}"
    elif case.reason != "ok":
        assert got is not None, "no answer"
        body = got[2].decode()
        assert got[0] == 502 and body in case.reason.split("|"), f"the answer is {got}"
    else:
        given = [case.arrives]
        r = wire.H1Reader(lambda: given.pop() if given else b"")
        status, fields, body, trailers = r.response(case.asks)
        same("1xx responses", infos, r.infos)
        assert got is not None, "no answer"
        same("answer", got, (status, fields_of(fields), body, fields_of(trailers)))
        if way.name == "1-1":
            same("bytes to the client", raw, case.arrives)
    return path


def run_row(ways, sidecars, case, n):
    way = ways[case.way]
    way.recorder.reset(case)
    run = {"q1": run_q1, "q2": run_q2, "r1": run_r, "r2": run_r}[case.kind]
    path = run(way, case, n).decode()
    lines = sidecars[way.client].lines.until(path)
    if case.kind in ("q1", "q2"):
        judge_log(case, way, lines, case.logged())
    else:
        if way.edge != way.client:
            lines = sidecars[way.edge].lines.until(path)
        mine = [l for l in lines if l.get("path") == "/r"]
        same("access-log lines", len(mine), 1)
        assert mine[0]["reason"] in case.reason.split("|"), f"the log says {mine[0]}"
        same("fault", mine[0].get("upstream_fault", ""), case.fault or "")


# ---- the run ------------------------------------------------------------------------------------

def forget(way, sidecars, n):
    """a row that failed is not to spoil the next one"""
    try:
        way.recorder.reset(None)
        path = sync(way, n + 1000000).decode()
        for sc in {way.client, way.edge}:
            sidecars[sc].lines.until(path)
    except Exception as e:
        print(f"          and the sidecar does not serve any more: {e}")


class OnWay:
    """a row on one of its ways"""

    def __init__(self, case, way):
        self.__dict__.update(case.__dict__)
        self.logged = case.logged
        self.way = way


def main():
    if sys.argv[1:] == ["--table"]:
        print(cases.table())
        return 0
    verbose = "-v" in sys.argv
    wanted = [a for a in sys.argv[2:] if a != "-v"]
    failed = runs = 0
    rows = [c for c in cases.CASES
            if not wanted or any(w in c.family + ": " + c.name for w in wanted)]
    sidecars = {}
    try:
        ways, sidecars = start(os.path.abspath(sys.argv[1]))
        ways = {w.name: w for w in ways}
        for case in rows:
            for name in case.ways:
                runs += 1
                try:
                    run_row(ways, sidecars, OnWay(case, name), runs)
                    if verbose:
                        print(f"  ok      {name:6} {case.family}: {case.name}", flush=True)
                except Exception as e:
                    failed += 1
                    forget(ways[name], sidecars, runs)
                    print(f"  FAILED  {name:6} {case.family}: {case.name}: {type(e).__name__} {e}",
                          flush=True)
                for sc in sidecars.values():
                    if sc.p.poll() is not None:
                        print(f"  FAILED  {sc.name} ended with {sc.p.returncode}")
                        print(open(sc.log).read()[-4000:])
                        return 1
        def quiet():
            return all(sc.stat("downstream_rq_active") == 0 for sc in sidecars.values())
        eventually("requests are left under way", quiet)
        print(f"{len(rows)} rows in {len({c.family for c in rows})} families, {runs} runs, "
              f"{failed} failed")
    finally:
        for sc in sidecars.values():
            sc.p.terminate()
            sc.p.wait(10)
            log = open(sc.log).read()
            if "Sanitizer" in log:
                print(log[-6000:])
                failed += 1
        end_all()
        shutil.rmtree(TMP, ignore_errors=True)
    return 1 if failed or not runs else 0


if __name__ == "__main__":
    sys.exit(main())
