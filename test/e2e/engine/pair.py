"""Two sidecars on loopback, mutual TLS between them, no controller: what the engine must carry.

pair.py FSM_SIDECAR [CHECK...]   one line per check; exit 1 if one failed.
The documents use static listeners that pretend an original destination, so nothing here needs
root.  Peers are real ones (curl, nginx, h2load, grpc, websockets) and raw sockets.
"""
import http.client
import json
import os
import resource
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "..", "peers")
SIDECAR = os.path.abspath(sys.argv[1])
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True
from sidecars import (SPEC, TMP, Sidecar, children, end_all, eventually, free_port, make_pki, proxy,
                      route, sh, wait_port)
PY = "/usr/bin/python3"
# ---- documents ----------------------------------------------------------------------------------

DST = "10.9.9.9"


class Service:
    """one service: what the client dials, what the server's sidecar is dialled at, the app"""
    all = {}

    def __init__(self, name, protocol, app_port=None, detect=False, routes=None, plain=False):
        self.name, self.protocol, self.detect = name, protocol, detect
        self.app = app_port or free_port()
        self.out, self.inb = free_port(), free_port()
        self.routes = routes
        self.plain = plain
        Service.all[name] = self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.out}"


def documents(spec=SPEC):
    out = {"TrafficMatches": {}, "ClustersConfigs": {}}
    inb = {"TrafficMatches": {}, "ClustersConfigs": {}}
    cl, sl = [], []
    for n, s in Service.all.items():
        c = f"w/{n}|{s.app}"
        local = c + "|local"
        item = {"DestinationIPRanges": [DST + "/32"], "Port": s.out, "Protocol": s.protocol,
                "HttpHostPort2Service": None, "HttpServiceRouteRules": None,
                "TargetClusters": None, "AllowedEgressTraffic": False,
                "ServiceIdentity": "c.c.cluster.local"}
        match = {"SourceIPRanges": None, "Port": s.app, "Protocol": s.protocol,
                 "HttpHostPort2Service": None, "HttpServiceRouteRules": None,
                 "TargetClusters": None, "AllowedEndpoints": None}
        if s.protocol == "tcp":
            item["TargetClusters"] = {c: 100}
            match["TargetClusters"] = {local: 100}
        else:
            hosts = {h: n for h in (n, f"127.0.0.1:{s.out}", f"localhost:{s.out}")}
            item["HttpHostPort2Service"] = match["HttpHostPort2Service"] = hosts
            item["HttpServiceRouteRules"] = {n: {".*": route(c)}}
            match["HttpServiceRouteRules"] = {
                n: {p: route(local, **k) for p, k in (s.routes or {".*": {}}).items()}}
        if s.detect:
            item["OpaqueTargets"] = {DST + "/32": {c: 100}}
            match["OpaqueTargets"] = {local: 100}
        out["TrafficMatches"][str(s.out)] = [item]
        inb["TrafficMatches"][str(s.inb)] = match
        endpoint = {"Weight": 100}
        if not s.plain:
            endpoint["Identity"] = "spiffe://cluster.local/ns/w/sa/w"
        out["ClustersConfigs"][c] = {"Endpoints": {f"127.0.0.1:{s.app if s.plain else s.inb}": endpoint}}
        inb["ClustersConfigs"][local] = {f"127.0.0.1:{s.app}": 100}
        cl.append({"Address": f"127.0.0.1:{s.out}", "Direction": "Outbound",
                   "OriginalDst": f"{DST}:{s.out}"})
        sl.append({"Address": f"127.0.0.1:{s.inb}", "Direction": "Inbound",
                   "OriginalDst": f"127.0.0.1:{s.inb}"})
    base = {"Version": "1", "Metrics": False, "Spec": spec}
    client = dict(base, Proxy=proxy("c"), Certificate={"CommonName": "c"}, Inbound=None,
                  Outbound=out, AllowedEndpoints={}, Listeners=cl)
    server = dict(base, Proxy=proxy("w"), Certificate={"CommonName": "w"}, Inbound=inb,
                  Outbound=None, AllowedEndpoints={"127.0.0.1": "c.c-1"}, Listeners=sl)
    return client, server


def workers(sc):
    task = f"/proc/{sc.p.pid}/task"
    return sum(open(f"{task}/{t}/comm").read().startswith("worker-") for t in os.listdir(task))


# ---- applications -------------------------------------------------------------------------------

def spawn(*args):
    p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children.append(p)
    return p


def start_nginx(h1, h2):
    www = TMP + "/www"
    os.mkdir(www)
    for name, size in (("1k", 1024), ("64k", 65536), ("10m", 10 << 20)):
        with open(f"{www}/{name}", "wb") as o:
            o.write(os.urandom(size))
    with open(TMP + "/nginx.conf", "w") as o:
        o.write(f"""daemon off; pid {TMP}/nginx.pid; error_log {TMP}/nginx.err; worker_processes 1;
events {{ worker_connections 4096; }}
http {{ access_log off; client_max_body_size 1g; keepalive_requests 100000000;
 {' '.join(f'{x}_temp_path {TMP}/{x};' for x in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))}
 server {{ listen 127.0.0.1:{h1}; root {www}; location /hello {{ return 200 "hello\\n"; }}
   location /head {{ return 200 "$request_uri|$http_host|$http_serviceidentity|$http_fsm_protocol|$remote_addr|$server_protocol\\n"; }} }}
 server {{ listen 127.0.0.1:{h2} http2; root {www}; http2_max_requests 100000000;
   location /hello {{ return 200 "hello\\n"; }} }} }}
""")
    spawn("nginx", "-c", TMP + "/nginx.conf")
    wait_port(h1)


class TcpApp:
    """a thread per connection running fn(socket)"""

    def __init__(self, port, fn):
        self.accepted = 0
        self.l = socket.create_server(("127.0.0.1", port), backlog=64)
        self.fn = fn
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            s, _ = self.l.accept()
            self.accepted += 1
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            self.fn(s)
        except OSError:
            pass
        finally:
            s.close()


def read_head(s):
    b = b""
    while b"\r\n\r\n" not in b:
        d = s.recv(65536)
        if not d:
            return b, b""
        b += d
    head, rest = b.split(b"\r\n\r\n", 1)
    return head, rest


def recv_all(s, limit=1 << 30):
    b = []
    n = 0
    while n < limit:
        d = s.recv(min(262144, limit - n))
        if not d:
            break
        b.append(d)
        n += len(d)
    return b"".join(b)


def recv_exactly(s, n):
    b = recv_all(s, n)
    assert len(b) == n, f"{len(b)} of {n} bytes"
    return b


# what an HTTP application of raw sockets answers, by path
def odd_http(s):
    while True:
        head, rest = read_head(s)
        if not head:
            return
        path = head.split(b" ")[1].decode()
        fn = ODD.get(path.split("?")[0])
        if fn is None:
            s.sendall(b"HTTP/1.1 404 Nope\r\nContent-Length: 0\r\n\r\n")
        elif fn(s, head, rest) == "close":
            return


def reply(s, text):
    s.sendall(text.replace("\n", "\r\n").encode("latin-1"))


def odd_chunks(s, head, rest):
    reply(s, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: x-check\n\n")
    for i in range(100):
        d = b"%04d" % i * (1 + i * 7 % 50)
        s.sendall(b"%x\r\n" % len(d) + d + b"\r\n")
    reply(s, "0\nx-check: done\n\n")


def odd_until_close(s, head, rest):
    reply(s, "HTTP/1.0 200 OK\n\nuntil the end")
    return "close"


def odd_garbage(s, head, rest):
    reply(s, "this is no HTTP\n\n")
    return "close"


def odd_short(s, head, rest):
    reply(s, "HTTP/1.1 200 OK\nContent-Length: 100\n\nonly this")
    return "close"


def odd_vanish(s, head, rest):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return "close"


def odd_hints(s, head, rest):
    reply(s, "HTTP/1.1 103 Early Hints\nLink: </a.css>; rel=preload\n\n")
    time.sleep(0.05)
    reply(s, "HTTP/1.1 200 OK\nContent-Length: 2\n\nok")


def odd_continue(s, head, rest):
    assert b"xpect: 100-continue" in head, head
    reply(s, "HTTP/1.1 100 Continue\n\n")
    body = rest
    while len(body) < 5:
        body += s.recv(100)
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)


def odd_echo_body(s, head, rest):
    """chunked or with length; answers with what came, chunked"""
    body = rest
    if b"hunked" in head:
        while b"0\r\n\r\n" not in body[-5:]:
            body += s.recv(65536)
        out, p = b"", 0
        while True:
            e = body.index(b"\r\n", p)
            n = int(body[p:e], 16)
            if n == 0:
                break
            out += body[e + 2:e + 2 + n]
            p = e + 4 + n
    else:
        n = int([l for l in head.split(b"\r\n") if l.lower().startswith(b"content-length")][0].split(b":")[1])
        while len(body) < n:
            body += s.recv(65536)
        out = body
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(out) + out)


def odd_early(s, head, rest):
    """answers before the body was read"""
    reply(s, "HTTP/1.1 413 Too much\nContent-Length: 3\nConnection: close\n\nno\n")
    time.sleep(0.3)
    return "close"


def odd_show(s, head, rest):
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(head) + head)


def odd_101(s, head, rest):
    reply(s, "HTTP/1.1 101 Switching Protocols\nConnection: upgrade\nUpgrade: websocket\n\n")
    s.sendall(rest)
    while True:
        d = s.recv(65536)
        if not d:
            break
        s.sendall(d)
    s.sendall(b"bye")
    return "close"


def odd_stall(s, head, rest):
    time.sleep(30)
    return "close"


def odd_close_after(s, head, rest):
    """says nothing about closing, and closes: the pooled connection is stale"""
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return "close"


def odd_close_later(s, head, rest):
    s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    time.sleep(0.15)
    return "close"


endless_ended = threading.Semaphore(0)


def endless(s):
    """speaks until nobody listens any more"""
    try:
        while True:
            s.sendall(b"z" * 65536)
    except OSError:
        endless_ended.release()


def odd_endless(s, head, rest):
    reply(s, "HTTP/1.1 200 OK\n\n")
    endless(s)
    return "close"


def odd_endless_101(s, head, rest):
    reply(s, "HTTP/1.1 101 Switching Protocols\nConnection: upgrade\nUpgrade: websocket\n\n")
    endless(s)
    return "close"


ODD = {"/endless": odd_endless, "/endless-ws": odd_endless_101, "/chunks": odd_chunks,
       "/until-close": odd_until_close, "/garbage": odd_garbage,
       "/short": odd_short, "/vanish": odd_vanish, "/hints": odd_hints, "/continue": odd_continue,
       "/echo": odd_echo_body, "/early": odd_early, "/show": odd_show, "/ws": odd_101,
       "/stall": odd_stall, "/close-after": odd_close_after,
       "/close-later": odd_close_later}


def echo(s):
    while True:
        d = s.recv(262144)
        if not d:
            break
        s.sendall(d)
    s.shutdown(socket.SHUT_WR)


def half_close_app(s):
    """reads to the end, then answers"""
    n = len(recv_all(s))
    s.sendall(b"got %d" % n)


def server_first(s):
    s.sendall(b"220 hello\r\n")
    line = s.recv(100)
    s.sendall(b"250 " + line)


def resetting(s):
    s.recv(10)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# ---- checks -------------------------------------------------------------------------------------

checks = []


def check(fn):
    checks.append(fn)
    return fn


def S(name):
    return Service.all[name]


def curl(*args):
    r = subprocess.run(["curl", "-s", "-m", "20", *args], capture_output=True)
    return r.returncode, r.stdout


def dial(name, rcvbuf=None):
    s = socket.socket()
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    s.settimeout(10)
    s.connect(("127.0.0.1", S(name).out))
    return s


def raw(name, request, all_of_it=False):
    """one request by raw socket: head and body as long as Content-Length says"""
    s = dial(name)
    s.sendall(request.replace("\n", "\r\n").encode("latin-1"))
    if all_of_it:
        return recv_all(s)
    head, rest = read_head(s)
    n = [l for l in head.lower().split(b"\r\n") if l.startswith(b"content-length:")]
    want = int(n[0].split(b":")[1]) if n else 0
    while len(rest) < want:
        rest += s.recv(65536)
    s.close()
    return head + b"\r\n\r\n" + rest


def status_of(answer):
    return int(answer.split(b" ", 2)[1])


@check
def http1_and_http2_reach_the_application():
    for args in ([], ["--http2-prior-knowledge"]):
        for svc in ("web", "anyhttp"):
            if args and svc == "web":
                continue
            rc, out = curl(*args, S("h2" if args else svc).url + "/hello")
            assert (rc, out) == (0, b"hello\n"), (args, svc, rc, out)


@check
def an_http2_client_reaches_an_http1_application():
    for svc in ("odd", "plainodd"):
        for i in range(2):
            rc, out = curl("--http2-prior-knowledge", S(svc).url + "/show")
            assert rc == 0 and out.startswith(b"GET /show HTTP/1.1"), (svc, rc, out)
            rc, out = curl("--http2-prior-knowledge", "-d", "body", S(svc).url + "/echo")
            assert rc == 0 and out == b"body", (svc, rc, out)


@check
def what_the_application_sees():
    rc, out = curl("-H", "serviceidentity: forged", "-H", "fsm-protocol: h2",
                   S("web").url + "/head?x=1")
    want = f"/head?x=1|127.0.0.1:{S('web').out}|c.c.cluster.local||127.0.0.6|HTTP/1.1\n"
    assert out.decode() == want, (out, want)


@check
def bodies_arrive_whole():
    want = open(TMP + "/www/10m", "rb").read()
    for svc, args in (("web", []), ("h2", ["--http2-prior-knowledge"]), ("anyhttp", [])):
        rc, out = curl(*args, S(svc).url + "/10m")
        assert out == want, (svc, rc, len(out))
    up = TMP + "/www/10m"
    rc, out = curl("--data-binary", "@" + up, "-H", "Expect:", S("odd").url + "/echo")
    assert out == want, len(out)
    rc, out = curl("-T", up, "-H", "Transfer-Encoding: chunked", "-H", "Expect:",
                   S("odd").url + "/echo")
    assert out == want, len(out)


@check
def load_without_a_failed_request():
    for svc, args in (("web", ["--h1", "-c", "20"]), ("h2", ["-c", "4", "-m", "16"]),
                      ("plainweb", ["--h1", "-c", "20"]), ("plainh2", ["-c", "4", "-m", "16"])):
        for path, n in (("/1k", 3000), ("/64k", 500)):
            r = sh("h2load", *args, "-n", str(n), S(svc).url + path)
            assert f"{n} succeeded, 0 failed".encode() in r.stdout, r.stdout[-600:]


def data_segments_in(s):
    """how often the kernel was handed bytes for us (struct tcp_info, tcpi_data_segs_in)"""
    return struct.unpack_from("I", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)[0]


@check
def head_and_body_leave_in_one_write():
    with dial("web") as s:
        segments = []
        for _ in range(20):
            before = data_segments_in(s)
            s.sendall(b"GET /1k HTTP/1.1\r\nHost: web\r\n\r\n")
            head, rest = read_head(s)
            while len(rest) < 1024:
                rest += s.recv(65536)
            segments.append(data_segments_in(s) - before)
    # the application's own may come in two, now and then
    assert segments.count(1) >= 15, segments


@check
def chunks_and_trailers():
    a = raw("odd", "GET /chunks HTTP/1.1\nHost: odd\nTE: trailers\nConnection: close, TE\n\n", True)
    assert status_of(a) == 200 and a.endswith(b"0\r\nx-check: done\r\n\r\n"), a[-80:]
    r = subprocess.run(["curl", "-s", "-m", "10", "--raw", S("odd").url + "/chunks"], capture_output=True)
    assert b"x-check: done" in r.stdout


@check
def response_until_close():
    rc, out = curl(S("odd").url + "/until-close")
    assert (rc, out) == (0, b"until the end"), (rc, out)
    a = raw("odd", "GET /until-close HTTP/1.0\nHost: odd\n\n", True)
    assert a.endswith(b"\r\n\r\nuntil the end") and b"chunked" not in a, a


@check
def early_hints_and_continue():
    a = raw("odd", "GET /hints HTTP/1.1\nHost: odd\nConnection: close\n\n", True)
    assert a.startswith(b"HTTP/1.1 103 ") and b"rel=preload" in a and a.endswith(b"\r\n\r\nok"), a
    a = raw("odd", "GET /hints HTTP/1.0\nHost: odd\n\n", True)
    assert a.startswith(b"HTTP/1.1 200 "), a
    s = dial("odd")
    s.sendall(b"POST /continue HTTP/1.1\r\nHost: odd\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    head, rest = read_head(s)
    assert head.startswith(b"HTTP/1.1 100 "), head
    s.sendall(b"12345")
    head, rest = read_head(s)
    rest += recv_exactly(s, 5 - len(rest))
    assert head.startswith(b"HTTP/1.1 200 ") and rest == b"12345", (head, rest)


@check
def head_requests_keep_the_length():
    a = raw("web", "HEAD /1k HTTP/1.1\nHost: web\nConnection: close\n\n", True)
    assert status_of(a) == 200 and b"content-length: 1024" in a.lower() and a.endswith(b"\r\n\r\n"), a


@check
def pipelined_requests_in_order():
    s = dial("web")
    s.sendall(b"GET /head?%d HTTP/1.1\r\nHost: web\r\n\r\n" * 50 % tuple(range(50)))
    got = b""
    while got.count(b"/head?") < 50:
        d = s.recv(65536)
        assert d, got[-200:]
        got += d
    order = [int(x.split(b"|")[0]) for x in got.split(b"/head?")[1:]]
    assert order == list(range(50)), order


@check
def split_head_byte_by_byte():
    s = dial("web")
    for b in b"GET /hello HTTP/1.1\r\nHost: web\r\nX-Y: z\r\n\r\n":
        s.sendall(bytes([b]))
        time.sleep(0.001)
    head, rest = read_head(s)
    assert head.startswith(b"HTTP/1.1 200"), head


@check
def refusals_by_policy():
    a = raw("web", "GET / HTTP/1.1\nHost: nobody\n\n")
    assert status_of(a) == 403 and a.endswith(b"\r\n\r\nAccess denied"), a
    a = raw("web", "GET /secret/x HTTP/1.1\nHost: web\n\n")
    assert status_of(a) == 403, a
    a = raw("web", "GET /nowhere/at/all HTTP/1.1\nHost: web\n\n")
    assert status_of(a) == 403 and a.endswith(b"Access denied"), a
    a = raw("web", "GET /only-c HTTP/1.1\nHost: web\n\n")
    assert status_of(a) == 404 and b"nginx" in a, a  # allowed; the application has no such file
    a = raw("web", "POST /only-c HTTP/1.1\nHost: web\nContent-Length: 0\n\n")
    assert status_of(a) == 403, a


@check
def refusals_by_syntax():
    for text, want in (("GET / HTTP/1.1\n\n", 400), ("GET / HTTP/1.1\nHost: web\nHost: web\n\n", 400),
                       ("GET /\x01 HTTP/1.1\nHost: web\n\n", 400),
                       ("GET / HTTP/1.1\nHost: web\nContent-Length: 1\nTransfer-Encoding: chunked\n\n", 400),
                       ("GET / HTTP/1.1\nHost: web\nTransfer-Encoding: gzip, chunked\n\n", 501),
                       ("GET / HTTP/3.0\nHost: web\n\n", 505),
                       ("GET /" + "a" * 9000 + " HTTP/1.1\nHost: web\n\n", 414),
                       ("GET / HTTP/1.1\nHost: web\n" + "X: %s\n" % ("y" * 8000) * 5 + "\n", 431),
                       ("\x16\x03\x01\x02\x00\x01\x00\n\n", 400),
                       ("GET /../../x HTTP/1.1\nHost: web\n\n", 400),
                       ("GET /%zz HTTP/1.1\nHost: web\n\n", 400)):
        a = raw("web", text)
        assert status_of(a) == want, (text[:60], want, a[:200])


@check
def one_canonical_path():
    a = raw("web", "GET /a/../%68ead?q=%41 HTTP/1.1\nHost: web\nConnection: close\n\n", True)
    assert b"\r\n\r\n/head?q=%41|" in a, a


@check
def faults_of_the_application():
    for path, want, body in (("/garbage", 502, b"upstream_protocol_error"),
                             ("/vanish", 502, b"upstream_"), ("/short", 200, None)):
        a = raw("odd", f"GET {path} HTTP/1.1\nHost: odd\nConnection: close\n\n", True)
        assert status_of(a) == want, (path, a)
        assert body is None or body in a, (path, a)
    a = raw("dead", "GET / HTTP/1.1\nHost: dead\n\n")
    assert status_of(a) == 502 and a.endswith(b"connect_refused"), a


@check
def a_cut_response_is_seen_as_cut():
    rc, out = curl(S("odd").url + "/short")
    assert rc != 0, (rc, out)


@check
def stale_connections_cost_no_request():
    r = sh("h2load", "--h1", "-c", "10", "-n", "1000", S("odd").url + "/close-after")
    assert b"1000 succeeded, 0 failed" in r.stdout, r.stdout[-600:]


def answered(s):
    """the status of an answer with two bytes of body"""
    head, rest = read_head(s)
    assert len(rest) <= 2, (head, rest)
    recv_exactly(s, 2 - len(rest))
    return status_of(head)


@check
def what_ended_while_we_were_stopped_is_not_used():
    """the request and the end of the idle connection that would carry it are found at once"""
    s = dial("plainodd")
    for _ in range(5):
        s.sendall(b"GET /close-later HTTP/1.1\r\nHost: plainodd\r\n\r\n")
        assert answered(s) == 200
        SC["c"].p.send_signal(signal.SIGSTOP)
        time.sleep(0.05)
        s.sendall(b"POST /close-later HTTP/1.1\r\nHost: plainodd\r\nContent-Length: 0\r\n\r\n")
        time.sleep(0.3)
        SC["c"].p.send_signal(signal.SIGCONT)
        assert answered(s) == 200
        time.sleep(0.3)
    s.close()


@check
def an_early_answer_ends_the_upload():
    big = TMP + "/www/10m"
    rc, out = curl("-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@" + big, "-H", "Expect:",
                   S("odd").url + "/early")
    assert out == b"413", (rc, out)


@check
def upgrade_becomes_a_tunnel():
    s = dial("odd")
    s.sendall(b"GET /ws HTTP/1.1\r\nHost: odd\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
    head, rest = read_head(s)
    assert head.startswith(b"HTTP/1.1 101") and b"pgrade: websocket" in head, head
    s.sendall(b"x" * 300000)
    got = rest + recv_exactly(s, 300005 - len(rest))
    assert got == b"early" + b"x" * 300000
    s.shutdown(socket.SHUT_WR)
    assert recv_all(s) == b"bye"


@check
def upgrade_that_is_not_carried():
    a = raw("odd", "GET /show HTTP/1.1\nHost: odd\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\n"
                   "HTTP2-Settings: AAMAAABkAAQAAP__\n\n")
    assert status_of(a) == 200 and b"pgrade" not in a.split(b"\r\n\r\n", 1)[1], a


@check
def hop_by_hop_fields_stay_here():
    a = raw("odd", "GET /show HTTP/1.1\nHost: odd\nConnection: keep-alive, X-Secret\nX-Secret: 1\n"
                   "Keep-Alive: 5\nProxy-Connection: x\nX-Kept: 2\ntraceparent: 00-1-2-3\n\n")
    seen = a.split(b"\r\n\r\n", 1)[1].lower()
    assert b"x-secret" not in seen and b"x-kept: 2" in seen and b"proxy-connection" not in seen, a
    assert b"traceparent: 00-1-2-3" in seen, a


@check
def websocket_library():
    r = subprocess.run([PY, "-P", PEERS + "/websocket_peer.py", "call", f"ws://127.0.0.1:{S('ws').out}/"],
                       capture_output=True, timeout=60)
    assert r.returncode == 0, r.stderr[-500:]


@check
def grpc_all_kinds():
    for svc in ("grpc", "anygrpc"):
        r = subprocess.run([PY, "-P", PEERS + "/grpc_peer.py", "call", f"127.0.0.1:{S(svc).out}"],
                           capture_output=True, timeout=120)
        assert r.returncode == 0, (svc, r.stdout[-500:], r.stderr[-900:])


@check
def bytes_both_ways():
    for svc in ("echo", "anyecho", "plainecho"):
        s = dial(svc)
        data = os.urandom(20 << 20)
        t = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
        t.start()
        assert recv_all(s) == data, svc
        t.join()
    assert SC["c"].stat("tunnels_spliced_bytes_total") > 1 << 20, "plaintext in plenty is not copied"
    assert SC["w"].stat("tunnels_spliced_bytes_total") == 0, "one side of it is TLS"


@check
def a_request_without_a_host_means_the_service_that_was_dialled():
    a = raw("web", "GET /hello HTTP/1.0\n\n")
    assert status_of(a) == 200 and a.endswith(b"hello\n"), a
    assert status_of(raw("web", "GET /hello HTTP/1.1\n\n")) == 400


@check
def a_client_that_gave_up_ends_its_request():
    before = SC["w"].stat("downstream_rq_active")
    s = dial("odd")
    s.sendall(b"GET /stall HTTP/1.1\r\nHost: odd\r\n\r\n")
    eventually("not under way", lambda: SC["w"].stat("downstream_rq_active") == before + 1)
    s.close()
    eventually("still under way", lambda: SC["w"].stat("downstream_rq_active") == before, 10)


@check
def half_close():
    for svc in ("halfclose", "anyhalfclose"):
        s = dial(svc)
        s.sendall(b"\x00" + b"z" * 100000)
        s.shutdown(socket.SHUT_WR)
        assert recv_all(s) == b"got 100001", svc


@check
def server_speaks_first():
    for svc in ("smtp", "anysmtp"):
        begin = time.time()
        s = dial(svc)
        got = s.recv(100)
        assert got == b"220 hello\r\n", got
        assert time.time() - begin < 1, "a long wait"
        s.sendall(b"QUIT\r\n")
        assert recv_all(s) == b"250 QUIT\r\n"


@check
def http_after_a_silence():
    s = dial("anyhttp")
    time.sleep(0.3)
    s.sendall(b"GET /hello HTTP/1.1\r\nHost: anyhttp\r\n\r\n")
    head, rest = read_head(s)
    assert head.startswith(b"HTTP/1.1 200"), head


@check
def binary_and_redis_like_bytes_are_opaque():
    for first in (b"\x00\x01\x02\x03", b"GET key\r\n", b"*1\r\n$4\r\nPING\r\n", b"PRX", b"GE"):
        s = dial("anyecho")
        s.sendall(first)
        assert recv_exactly(s, len(first)) == first, first


@check
def the_applications_own_tls_is_carried():
    r = subprocess.run(["curl", "-s", "-m", "10", "-k", f"https://127.0.0.1:{S('owntls').out}/hello"],
                       capture_output=True)
    assert r.returncode == 0 and r.stdout == b"tls hello\n", (r.returncode, r.stdout)


@check
def a_reset_is_passed_on():
    s = dial("reset")
    s.sendall(b"x" * 20)
    try:
        d = recv_all(s)
        raise AssertionError(f"an orderly end: {d!r}")
    except ConnectionResetError:
        pass


@check
def without_a_mesh_certificate_nothing_passes():
    port = S("web").inb
    s = socket.create_connection(("127.0.0.1", port), 5)
    s.settimeout(5)
    s.sendall(b"GET /hello HTTP/1.1\r\nHost: web\r\n\r\n")
    try:
        assert recv_all(s) == b""
    except ConnectionResetError:
        pass
    for alpn in (["-alpn", "fsm-h2"], ["-alpn", "fsm-tcp"], []):
        r = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *alpn, "-quiet"],
                           input=b"GET /hello HTTP/1.1\r\nHost: web\r\n\r\n", capture_output=True,
                           timeout=20)
        assert b"hello" not in r.stdout, (alpn, r.stdout)


@check
def a_wrong_identity_is_not_talked_to():
    client, _ = documents()
    for c in client["Outbound"]["ClustersConfigs"].values():
        for ep in c["Endpoints"].values():
            if "Identity" in ep:
                ep["Identity"] = "spiffe://cluster.local/ns/w/sa/other"
    SC["c"].write(client)
    reload("c")
    try:
        a = raw("web", "GET /hello HTTP/1.1\nHost: web\n\n")
        assert status_of(a) == 502 and a.endswith(b"upstream_tls_error"), a
    finally:
        SC["c"].write(documents()[0])
        reload("c")
    assert status_of(raw("web", "GET /hello HTTP/1.1\nHost: web\n\n")) == 200


def reload(name):
    sc = SC[name]
    before = json.loads(sc.get("/config_dump")[1])["Status"]["Generation"]
    sc.p.send_signal(signal.SIGHUP)

    def done():
        st = json.loads(sc.get("/config_dump")[1])["Status"]
        return st["Generation"] > before or st["Rejected"]
    eventually("no new generation", done)


@check
def a_bad_document_is_refused_whole():
    client, _ = documents()
    name = next(iter(client["Outbound"]["ClustersConfigs"]))
    good = client["Outbound"]["ClustersConfigs"][name]
    client["Outbound"]["ClustersConfigs"][name] = {"Endpoints": {"not an address": {"Weight": 1}}}
    client["Version"] = "2"
    SC["c"].write(client)
    SC["c"].p.send_signal(signal.SIGHUP)
    eventually("no refusal", lambda: json.loads(SC["c"].get("/config_dump")[1])["Status"]["Rejected"])
    st = json.loads(SC["c"].get("/config_dump")[1])["Status"]
    assert st["Rejected"]["Version"] == "2" and st["VersionInForce"] == "1", st
    assert f'Outbound.ClustersConfigs["{name}"].Endpoints' in st["Rejected"]["Reason"], st
    assert curl(S("web").url + "/hello")[1] == b"hello\n"
    client["Outbound"]["ClustersConfigs"][name] = good
    client["Version"] = "1"
    SC["c"].write(client)
    reload("c")


@check
def a_new_document_costs_no_request():
    done = threading.Event()
    n = [0]

    def churn():
        while not done.is_set():
            for which in ("c", "w"):
                SC[which].p.send_signal(signal.SIGHUP)
            n[0] += 1
            time.sleep(0.02)
    t = threading.Thread(target=churn)
    t.start()
    try:
        for svc, args in (("web", ["--h1", "-c", "10"]), ("h2", ["-c", "2", "-m", "10"])):
            r = sh("h2load", *args, "-n", "8000", S(svc).url + "/1k")
            assert b"8000 succeeded, 0 failed" in r.stdout, r.stdout[-600:]
    finally:
        done.set()
        t.join()
    assert n[0] > 5


@check
def a_listener_that_went_comes_back():
    """although a connection that came by it is still open, and so the old document in use"""
    client, _ = documents()
    s = dial("echo")
    s.sendall(b"before")
    assert recv_exactly(s, 6) == b"before"
    for version in ("3", "4"):
        without = dict(client, Version=version + "0")
        without["Listeners"] = [k for k in client["Listeners"]
                                if not k["Address"].endswith(f":{S('echo').out}")]
        SC["c"].write(without)
        reload("c")

        def refused():
            try:
                dial("echo").close()
            except ConnectionRefusedError:
                return True
        eventually("the listener that no document names is open", refused)
        SC["c"].write(dict(client, Version=version))
        reload("c")
        wait_port(S("echo").out)
        t = dial("echo")
        t.sendall(b"again")
        assert recv_exactly(t, 5) == b"again"
        t.close()
    s.sendall(b"still")
    assert recv_exactly(s, 5) == b"still"
    s.close()
    SC["c"].write(dict(client, Version="1"))
    reload("c")


@check
def the_number_of_workers_changes_under_load():
    sizes = [4, 1, 3, 2, 1]
    ws = socket.create_connection(("127.0.0.1", S("echo").out))  # a tunnel that stays
    ws.sendall(b"before")
    assert recv_exactly(ws, 6) == b"before"
    load = subprocess.Popen(["h2load", "--h1", "-c", "20", "-t", "1", "-D", "6", S("web").url + "/hello"],
                            stdout=subprocess.PIPE, text=True)
    for n in sizes:
        time.sleep(1)
        for sc in SC.values():
            status, text = sc.get(f"/workers?n={n}", "POST")
            assert (status, text) == (200, f"{n}\n"), text
        ws.sendall(b"still")
        assert recv_exactly(ws, 5) == b"still"
    out = load.communicate()[0]
    done = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", out)
    assert done and int(done[1]) > 1000 and done[2] == done[3] == "0", out
    ws.close()
    for sc in SC.values():
        assert sc.get("/workers?n=0", "POST")[0] == 400
        eventually(f"{sc.name}: threads that are not needed leave", lambda sc=sc: workers(sc) == 1)
        assert sc.stat("downstream_cx_active") >= 0


def descendants(pid):
    out = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as f:
            for child in map(int, f.read().split()):
                out += [child] + descendants(child)
    return out


def upgrade(sc):
    before = set(descendants(sc.p.pid))
    sc.p.send_signal(signal.SIGUSR2)
    eventually("no successor", lambda: set(descendants(sc.p.pid)) - before, 10)
    new = (set(descendants(sc.p.pid)) - before).pop()
    eventually("the successor does not serve",
               lambda: open(sc.log).read().count(f"pid={new}"), 10)


@check
def another_build_takes_over_under_load():
    tunnel = dial("echo")
    tunnel.sendall(b"before")
    assert recv_exactly(tunnel, 6) == b"before"
    load = subprocess.Popen(["h2load", "--h1", "-c", "20", "-t", "1", "-D", "8", S("web").url + "/hello"],
                            stdout=subprocess.PIPE, text=True)
    for _ in range(3):
        time.sleep(1)
        for sc in SC.values():
            upgrade(sc)
        tunnel.sendall(b"still")
        assert recv_exactly(tunnel, 5) == b"still"
    out = load.communicate()[0]
    done = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", out)
    assert done and int(done[1]) > 1000 and done[2] == done[3] == "0", out
    tunnel.close()
    for sc in SC.values():
        # the first stays behind the last, those between leave
        eventually("those between stay", lambda sc=sc: len(descendants(sc.p.pid)) == 1, 10)
    assert curl(S("web").url + "/hello")[1] == b"hello\n"


@check
def a_successor_resumes_the_sessions_of_peers():
    def sessions():
        return [SC["w"].stat(f"downstream_tls_{what}_total") for what in ("handshakes", "resumed")]

    def call():
        with dial("echo") as s:
            s.sendall(b"again")
            assert recv_exactly(s, 5) == b"again"

    call()  # it has a session then
    upgrade(SC["w"])
    full = sessions()[0] - sessions()[1]
    for _ in range(3):
        call()
    done, resumed = sessions()
    assert resumed >= 3 and done - resumed == full, (done, resumed, full)


@check
def a_successor_inherits_the_sockets_of_workers_that_left():
    """more sockets than it has workers: connections wait in the backlog of each"""
    for n in (3, 1):
        assert SC["c"].get(f"/workers?n={n}", "POST")[0] == 200
    upgrade(SC["c"])
    for _ in range(40):
        with dial("web") as s:
            s.settimeout(3)
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: web\r\n\r\n")
            assert read_head(s)[0].startswith(b"HTTP/1.1 200")


@check
def a_successor_inherits_what_was_switched():
    sc, port = solo()
    assert sc.get("/access_log?format=json", "POST") == (200, "json\n"), "access log"
    assert sc.get("/logging?level=debug", "POST")[0] == 200
    upgrade(sc)
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(b"GET /show HTTP/1.1\r\nHost: odd\r\n\r\n")
        assert read_head(s)[0].startswith(b"HTTP/1.1 200")
    eventually("no line of the access log", lambda: "/show" in open(sc.log + ".access").read())
    assert sc.get("/logging") == (200, "debug\n"), sc.get("/logging")
    sc.p.terminate()
    assert sc.p.wait(10) == 0


@check
def a_successor_that_cannot_serve_changes_nothing():
    client, _ = documents()
    sc = SC["c"]
    sc.write(dict(client, Outbound=7))
    before = descendants(sc.p.pid)
    sc.p.send_signal(signal.SIGUSR2)
    eventually("nothing is said", lambda: "nothing has changed" in open(sc.log).read(), 10)
    eventually("a process is left", lambda: descendants(sc.p.pid) == before)
    assert curl(S("web").url + "/hello")[1] == b"hello\n"
    sc.write(dict(client, Version="1"))
    reload("c")


def solo(*args, binary=SIDECAR):
    """a sidecar of its own, to be ended; the port of its way to the service odd"""
    client, _ = documents()
    port = free_port()
    doc = dict(client, Listeners=[{"Address": f"127.0.0.1:{port}", "Direction": "Outbound",
                                   "OriginalDst": f"{DST}:{S('odd').out}"}])
    sc = Sidecar(binary, f"solo{port}", doc, os.path.join(TMP, "pki"), "c", args)
    wait_port(port)
    return sc, port


def half_a_request(port):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(b"POST /echo HTTP/1.1\r\nHost: odd\r\nContent-Length: 10\r\n\r\n12345")
    time.sleep(0.2)
    return s


def the_other_half(s):
    s.settimeout(10)
    s.sendall(b"67890")
    assert read_head(s)[0].startswith(b"HTTP/1.1 200")
    s.close()


@check
def a_signal_to_the_group_is_one_signal():
    for sig in signal.SIGTERM, signal.SIGINT:
        sc, port = solo()
        upgrade(sc)
        successor = descendants(sc.p.pid)[0]
        s = half_a_request(port)
        for pid in sc.p.pid, successor:
            os.kill(pid, sig)
        time.sleep(0.5)
        the_other_half(s)
        assert sc.p.wait(10) == 0, sc.p.returncode
    # and a second one is a second one
    sc, port = solo()
    upgrade(sc)
    s = half_a_request(port)
    for _ in range(2):
        sc.p.send_signal(signal.SIGTERM)
        time.sleep(0.4)
    try:
        assert s.recv(1) == b"", "a second signal did not end it"
    except ConnectionResetError:
        pass
    assert sc.p.wait(10) == 0, sc.p.returncode


@check
def a_process_that_has_a_successor_drains_with_it():
    """whichever of the two is empty first"""
    for last in (0, 1):
        sc, port = solo()
        halves = [half_a_request(port)]
        upgrade(sc)
        halves.append(half_a_request(port))
        sc.p.send_signal(signal.SIGTERM)
        the_other_half(halves[1 - last])
        time.sleep(2)  # longer than an empty one stays
        assert sc.p.poll() is None, "it did not wait"
        the_other_half(halves[last])
        assert sc.p.wait(10) == 0, sc.p.returncode


@check
def what_the_end_of_a_drain_cuts_off_does_not_look_whole():
    """only the end of the connection says that these are over"""
    sc, port = solo("--drain", "1s")
    old, tunnel = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
    old.sendall(b"GET /endless HTTP/1.0\r\nHost: odd\r\n\r\n")
    tunnel.sendall(b"GET /endless-ws HTTP/1.1\r\nHost: odd\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    for s in (old, tunnel):
        s.settimeout(10)
        assert s.recv(12)
    sc.p.send_signal(signal.SIGTERM)
    assert sc.p.wait(10) == 0, sc.p.returncode
    for s in (old, tunnel):
        try:
            while s.recv(1 << 16):
                pass
        except ConnectionResetError:
            s.close()
        else:
            raise AssertionError("an orderly end")
        assert endless_ended.acquire(timeout=10), "the application does not learn of it"


@check
def it_listens_for_as_long_as_it_was_told_to_be_quiet():
    sc, port = solo("--drain-quiet", "6s")
    sc.p.send_signal(signal.SIGTERM)
    for _ in range(2):  # more than the default apart
        time.sleep(2)
        s = half_a_request(port)
        the_other_half(s)
    began = time.time()
    assert sc.p.wait(10) == 0, sc.p.returncode
    assert time.time() - began > 2, "it did not wait for others"


@check
def a_successor_that_comes_after_the_end_was_asked_for_ends_too():
    for ms in (0, 3, 6, 10, 15, 25):  # a successor takes about ten to serve
        sc, _ = solo()
        sc.p.send_signal(signal.SIGUSR2)
        time.sleep(ms / 1000)
        sc.p.send_signal(signal.SIGTERM)
        assert sc.p.wait(10) == 0, sc.p.returncode
        with socket.socket() as s:
            s.bind(("127.0.0.1", sc.admin))  # nobody has it any more


SLOW_WORD = r"""
#include <sys/syscall.h>
#include <unistd.h>
ssize_t write(int fd, const void *p, size_t n)
{
    if (n == 1 && *(const char *)p == 0) /* "I serve" (handover.c) */
        sleep(2);
    return syscall(SYS_write, fd, p, n);
}
"""


@check
def what_a_successor_took_before_its_predecessor_knew_is_finished():
    """it takes connections a moment before it says that it serves: here for two seconds"""
    source, library = os.path.join(TMP, "slow.c"), os.path.join(TMP, "slow.so")
    with open(source, "w") as f:
        f.write(SLOW_WORD)
    sh("cc", "-shared", "-fPIC", "-o", library, source)
    # a build with sanitizers wants theirs to be the first
    env = {"LD_PRELOAD": library, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
    before = dict(os.environ)
    os.environ.update(env)
    try:
        sc, port = solo()
    finally:
        os.environ.clear()
        os.environ.update(before)
    sc.p.send_signal(signal.SIGUSR2)
    time.sleep(0.5)
    halves = [half_a_request(port) for _ in range(6)]  # some are the successor's
    sc.p.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    for s in halves:
        the_other_half(s)
    assert sc.p.wait(10) == 0, sc.p.returncode
    with socket.socket() as b:
        b.bind(("127.0.0.1", sc.admin))  # nobody has it any more


@check
def signals_that_come_at_once_wait_for_their_handlers():
    sc, _ = solo()
    for _ in range(3):
        before = set(descendants(sc.p.pid))
        log = open(sc.log).read().count("in force")
        sc.p.send_signal(signal.SIGUSR2)
        sc.p.send_signal(signal.SIGHUP)
        eventually("no successor", lambda: set(descendants(sc.p.pid)) - before, 10)
        eventually("it is not read again", lambda: open(sc.log).read().count("in force") > log, 10)
        time.sleep(0.2)
    assert "nothing has changed" not in open(sc.log).read()
    sc.p.send_signal(signal.SIGTERM)
    assert sc.p.wait(10) == 0, sc.p.returncode


def inbound_document(version, sources):
    _, server = documents()
    name = str(S("web").inb)
    match = dict(server["Inbound"]["TrafficMatches"][name], SourceIPRanges=sources)
    return dict(server, Version=version, Outbound=None, AllowedEndpoints={},
                Inbound=dict(server["Inbound"], TrafficMatches={name: match})), name


@check
def a_rule_that_changes_holds_for_kept_connections():
    """of a source outside the mesh: plaintext, a certificate, another principal"""
    rules = [None, {"mTLS": True, "AuthenticatedPrincipals": ["c.c.cluster.local"]},
             {"mTLS": True, "AuthenticatedPrincipals": ["x.x.cluster.local"]}]
    doc, target = inbound_document("1", {"127.0.0.1/32": rules[0]})
    port = free_port()
    listen = [{"Address": f"127.0.0.1:{port}", "Direction": "Inbound",
               "OriginalDst": f"127.0.0.1:{target}"}]
    sc = Sidecar(SIDECAR, f"rules{port}", dict(doc, Listeners=listen), os.path.join(TMP, "pki"), "w")
    wait_port(port)

    def ask(s):
        try:
            s.sendall(f"GET /hello HTTP/1.1\r\nHost: web\r\n\r\n".encode())
            return read_head(s)[0][9:12] or b"end"
        except (OSError, AssertionError):
            return b"end"

    def change(n):
        sc.write(dict(inbound_document(str(n + 1), {"127.0.0.1/32": rules[n]})[0], Listeners=listen))
        sc.p.send_signal(signal.SIGHUP)
        eventually("the document", lambda: f"version={n + 1}" in open(sc.log).read())

    plain = socket.create_connection(("127.0.0.1", port))
    plain.settimeout(5)
    assert ask(plain) == b"200"
    change(1)
    assert ask(plain) == b"end"
    context = ssl.create_default_context(cafile=os.path.join(TMP, "pki", "ca.crt"))
    context.check_hostname = False
    context.load_cert_chain(os.path.join(TMP, "pki", "c.crt"), os.path.join(TMP, "pki", "c.key"))
    known = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
    known.settimeout(5)
    assert ask(known) == b"200"
    change(2)
    assert ask(known) == b"403"
    sc.p.kill()
    sc.p.wait()


def greet_first(s):
    s.sendall(b"220 hello\r\n")
    s.recv(100)


def mesh_greeting(port, before, inside):
    """what comes over TLS between proxies; before the ClientHello, and inside it, is a pause"""
    context = ssl.create_default_context(cafile=os.path.join(TMP, "pki", "ca.crt"))
    context.check_hostname = False
    context.load_cert_chain(os.path.join(TMP, "pki", "c.crt"), os.path.join(TMP, "pki", "c.key"))
    context.set_alpn_protocols(["fsm-tcp"])
    came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(came, goes)
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.settimeout(5)
        time.sleep(before)

        def until(fn):
            nonlocal inside
            while True:
                try:
                    return fn()
                except ssl.SSLWantReadError:
                    out = goes.read()
                    s.sendall(out[:7])
                    time.sleep(inside)
                    inside = 0
                    s.sendall(out[7:])
                    got = s.recv(65536)
                    assert got, "the end"
                    came.write(got)
        until(tls.do_handshake)
        return until(lambda: tls.read(100))


@check
def a_late_hello_of_the_mesh_is_awaited_where_plaintext_is_taken():
    doc, target = inbound_document("1", {"127.0.0.0/8": None})
    app, port = free_port(), free_port()
    local = f"w/greets|{app}|local"
    TcpApp(app, greet_first)
    inbound = doc["Inbound"]
    match = dict(inbound["TrafficMatches"][target], OpaqueTargets={local: 100})
    doc.update(AllowedEndpoints={"127.0.0.1": "c.c-1"},
               Inbound=dict(TrafficMatches={target: match}, ClustersConfigs=dict(
                   inbound["ClustersConfigs"], **{local: {f"127.0.0.1:{app}": 100}})),
               Listeners=[{"Address": f"127.0.0.1:{port}", "Direction": "Inbound",
                           "OriginalDst": f"127.0.0.1:{target}"}])
    sc = Sidecar(SIDECAR, f"late{port}", doc, os.path.join(TMP, "pki"), "w")
    wait_port(port)
    for before, inside in (0, 0), (0.3, 0), (0, 1.3), (0.3, 1.3):
        assert mesh_greeting(port, before, inside) == b"220 hello\r\n", (before, inside)
    waited = {}
    for source in "127.0.0.2", "127.0.0.1":  # in plaintext: of somebody else, of the mesh
        with socket.create_connection(("127.0.0.1", port), 5, (source, 0)) as s:
            begin = time.time()
            assert s.recv(100) == b"220 hello\r\n", source
            waited[source] = time.time() - begin
    assert waited["127.0.0.1"] > 0.9 > waited["127.0.0.2"], waited
    sc.p.kill()
    sc.p.wait()


@check
def counters_and_pages():
    for which in ("c", "w"):
        sc = SC[which]
        assert sc.get("/ready") == (200, "LIVE\n"), sc.get("/ready")
        assert "PRIVATE" not in sc.get("/certs")[1] and "spiffe" in sc.get("/certs")[1]
        text = sc.get("/stats/prometheus")[1]
        assert "sidecar_server_live 1" in text and "sidecar_cluster_upstream_rq_total{" in text
        assert "::" in sc.get("/clusters")[1]
        assert sc.get("/nowhere")[0] == 404
    assert "fsm_request_duration_ms_count" in SC["c"].get("/stats/prometheus")[1]
    assert 'destination_name="w"' in SC["c"].get("/stats/prometheus")[1]


@check
def an_access_log_line_per_request():
    SC["c"].get("/access_log?format=json", "POST")
    try:
        curl("-H", "traceparent: 00-abc-def-01", S("web").url + "/hello?a=b")

        def line():
            for l in open(SC["c"].log + ".access"):
                j = json.loads(l)
                if j.get("path") == "/hello" and j.get("traceparent") == "00-abc-def-01":
                    return j
        eventually("no line", line)
        j = line()
        assert j["status"] == 200 and j["reason"] == "ok" and j["upstream_protocol"] == "fsm-h2", j
        assert j["upstream_identity"] == "spiffe://cluster.local/ns/w/sa/w", j
    finally:
        SC["c"].get("/access_log?format=off", "POST")


def memory():
    return {w: SC[w].stat("memory_bytes") for w in SC}


def memory_is_below(bounds, what, seconds=20):
    """under a sanitizer memory tells nothing"""
    if "san" not in SIDECAR:
        try:
            eventually("", lambda: all(m < bounds[w] for w, m in memory().items()), seconds)
        except AssertionError:
            raise AssertionError(f"{what}: {memory()}, more than {bounds}")


# of each sidecar: a window of HTTP/2, what may wait at a sink, what one read brings, rounded up
STREAM_BYTES = 512 << 10
IDLE_BYTES = 8 << 20
BURST_LEAVES = 2500 << 10  # half of it goes when connections to the application are idle for long


@check
def slow_readers_are_waited_for_not_stored_for():
    conns = []
    before = memory()
    for i in range(30):
        # small before connecting: a window that shrinks later makes the kernel probe it five times
        # a second, and 10 MB take four minutes
        s = dial("web", rcvbuf=4096)
        s.sendall(b"GET /10m HTTP/1.1\r\nHost: web\r\n\r\n")
        conns.append(s)
    seen = []

    def stands_still():
        time.sleep(0.2)
        seen.append([SC[w].stat("buffers_used_bytes") for w in SC])
        return len(seen) > 3 and seen[-1] == seen[-2] == seen[-3] and min(seen[-1]) > 0
    eventually("it goes on and on", stands_still, 20)
    memory_is_below({w: m + 30 * STREAM_BYTES for w, m in before.items()}, "thirty readers", 1)
    rc, out = curl(S("web").url + "/hello")
    assert out == b"hello\n", "others must be served meanwhile"
    want = open(TMP + "/www/10m", "rb").read()
    head, rest = read_head(conns[0])
    assert rest + recv_exactly(conns[0], len(want) - len(rest)) == want
    for s in conns:
        s.close()
    memory_is_below({w: max(m + (1 << 20), IDLE_BYTES) for w, m in before.items()}, "left behind")


@check
def after_a_burst_memory_is_given_back():
    n = int(os.environ.get("FSM_BURST", 3000))
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    before = memory()
    conns = [dial("holding") for i in range(n)]
    for s in conns:
        s.sendall(b"GET /%d HTTP/1.1\r\nHost: holding\r\n\r\n" % n)
    for s in conns:
        head, rest = read_head(s)
        assert head.startswith(b"HTTP/1.1 200"), head
    if "FSM_BURST" in os.environ:
        print(f"  {n} at once: before {before}, in it {memory()}")
    for s in conns:
        s.close()
    memory_is_below({w: m + BURST_LEAVES for w, m in before.items()}, "left behind")


@check
def what_lies_free_is_given_back_before_anybody_is_refused_for_long():
    """under a sanitizer memory tells nothing, and nothing lies free"""
    if "san" in SIDECAR:
        return
    sc, port = solo()
    doc = json.load(open(sc.file))
    doc.update(Version="2", Spec=dict(doc["Spec"], Limits={"MemoryMiB": 7}))
    sc.write(doc)
    sc.p.send_signal(signal.SIGHUP)
    eventually("the document", lambda: "version=2" in open(sc.log).read())

    def answered():
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as s:
                s.settimeout(2)
                s.sendall(b"GET /nothing HTTP/1.1\r\nHost: odd\r\n\r\n")
                return read_head(s)[0].startswith(b"HTTP/1.1 404")
        except (OSError, AssertionError):
            return False

    assert answered()
    conns = []
    try:
        for _ in range(250):  # each makes the sidecar hold what it does not take
            s = socket.create_connection(("127.0.0.1", port), 5)
            s.sendall(b"GET /endless HTTP/1.1\r\nHost: odd\r\n\r\n")
            conns.append(s)
        eventually("no limit is reached", lambda: not answered(), 20)
    finally:
        for s in conns:
            s.close()
    eventually("still refused", answered, 4)
    sc.p.send_signal(signal.SIGTERM)
    sc.p.wait(40)


# ---- floods: what they cost the one who behaves ------------------------------------------------

def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


H2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
GET = b"\x82\x84\x86\x41\x03web"  # GET / http, :authority web


def rapid_reset(i):
    return frame(1, 5, 2 * i + 1, GET) + frame(3, 0, 2 * i + 1, b"\0\0\0\x08")


def continuation(i):
    return frame(1, 1, 1, GET) if i == 0 else frame(9, 0, 1, b"\0\x01x\x01y")


def hpack_bomb(i):
    # one field of 4,000 bytes into the table, then named three thousand times
    return frame(1, 5, 2 * i + 1, GET + b"\x40\x01x\x7f\xa1\x1e" + b"v" * 4000 + b"\xbe" * 3000)


FLOODS = {"rapid reset": rapid_reset, "continuation": continuation, "hpack": hpack_bomb,
          "ping": lambda i: frame(6, 0, 0, b"12345678"), "settings": lambda i: frame(4, 0, 0),
          "empty data": lambda i: frame(1, 4, 1, GET) if i == 0 else frame(0, 0, 1),
          "priority": lambda i: frame(2, 0, 2 * i + 1, b"\0\0\0\0\x10"),
          "window update": lambda i: frame(8, 0, 0, b"\0\0\0\x01"),
          "http/1 heads": None, "connections": None, "tls warnings": None}


def client_hello():
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    try:
        ctx.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    except ssl.SSLWantReadError:
        return out.read()


def flood_handshakes(end):
    """anybody's: they begin, and go on with warnings instead"""
    hello, warnings = client_hello(), b"\x15\x03\x03\0\x02\x01\x5a" * 20000
    peers = [socket.create_connection(("127.0.0.1", S("web").inb), 10) for i in range(50)]
    for s in peers:
        s.sendall(hello)
    for s in peers:
        with s:
            while time.time() < end:
                s.sendall(warnings)


def flood_connection(what, end):
    if what == "tls warnings":
        flood_handshakes(end)
    with dial("web") as s:
        if what == "connections":
            return
        if what == "http/1 heads":
            while time.time() < end:
                s.sendall(b"GET /hello HTTP/1.1\r\nHost: web\r\nX-A: " + b"a" * 40000)
            return
        s.sendall(H2_HELLO)
        for i in range(0, 100000, 50):
            if time.time() > end:
                return
            s.sendall(b"".join(FLOODS[what](k) for k in range(i, i + 50)))


def flood(what, end):
    while time.time() < end:
        try:
            flood_connection(what, end)
        except OSError:
            pass  # ended, as it should be: again


def good_client(seconds):
    """its slowest answers, p50 and p99 in ms"""
    took = []
    h = http.client.HTTPConnection("127.0.0.1", S("web").out, timeout=10)
    end = time.time() + seconds
    while time.time() < end:
        begin = time.time()
        h.request("GET", "/hello", headers={"Host": "web"})
        r = h.getresponse()
        body = r.read()
        assert r.status == 200 and body == b"hello\n", (r.status, body)
        took.append((time.time() - begin) * 1000)
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100]


@check
def floods_do_not_reach_the_client_beside_them():
    before = memory()
    seconds = float(os.environ.get("FSM_FLOOD", 0.7))
    alone = good_client(seconds)
    figures = [f"alone {alone[0]:.1f}/{alone[1]:.1f}"]
    for what in FLOODS:
        ended = SC["c"].stat("http2_floods_total")
        t = threading.Thread(target=flood, args=(what, time.time() + seconds))
        t.start()
        p50, p99 = good_client(seconds)
        t.join()
        figures.append(f"{what} {p50:.1f}/{p99:.1f}")
        assert p99 < 1000, (what, p50, p99)
        # empty DATA may end with its stream, which is answered meanwhile
        if what not in ("empty data", "http/1 heads", "connections", "tls warnings"):
            assert SC["c"].stat("http2_floods_total") > ended, f"{what} was not ended"
    print("          ms p50/p99: " + ", ".join(figures))
    memory_is_below({w: m + (8 << 20) for w, m in before.items()}, "after floods")


@check
def without_descriptors_it_waits_and_does_not_spin():
    free = 40
    used = len(os.listdir(f"/proc/{SC['c'].p.pid}/fd"))
    limits = resource.prlimit(SC["c"].p.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(SC["c"].p.pid, resource.RLIMIT_NOFILE, (used + free, limits[1]))
    conns = []
    try:
        first = dial("web")
        first.sendall(b"GET /hello HTTP/1.1\r\nHost: web\r\n\r\n")
        head, rest = read_head(first)
        assert head.startswith(b"HTTP/1.1 200"), head
        conns = [dial("web") for i in range(2 * free)]
        time.sleep(0.5)

        def cpu():
            fields = open(f"/proc/{SC['c'].p.pid}/stat").read().rsplit(") ", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        spent = cpu()
        time.sleep(1.5)
        spent = cpu() - spent
        assert spent < 0.3, f"{spent} s of CPU in 1.5 s"
        recv_exactly(first, 6 - len(rest))
        first.sendall(b"GET /hello HTTP/1.1\r\nHost: web\r\n\r\n")
        head, rest = read_head(first)
        assert head.startswith(b"HTTP/1.1 200"), "who was there is served: " + head.decode()
    finally:
        for s in conns:
            s.close()
        resource.prlimit(SC["c"].p.pid, resource.RLIMIT_NOFILE, limits)
    eventually("served again", lambda: curl(S("web").url + "/hello")[0] == 0)


@check
def descriptors_are_left_for_what_is_not_users():
    """clients take all that they may; the admin pages, a document and an upgrade still work"""
    wrapper = os.path.join(TMP, "few-descriptors")
    with open(wrapper, "w") as o:
        o.write(f'#!/bin/sh\nulimit -n 80\nexec {SIDECAR} "$@"\n')
    os.chmod(wrapper, 0o755)
    sc, port = solo(binary=wrapper)
    served = half_a_request(port)
    conns = [socket.create_connection(("127.0.0.1", port)) for _ in range(120)]
    try:
        time.sleep(1.5)
        for _ in range(100): # who reaches the metrics port has but a few of those left
            s = socket.socket()
            s.bind(("127.0.0.2", 0))
            s.connect(("127.0.0.1", sc.metrics))
            conns.append(s)
        time.sleep(0.5)
        assert sc.get("/ready")[0] == 200
        h = http.client.HTTPConnection("127.0.0.1", sc.metrics, timeout=10)
        h.request("GET", "/stats/prometheus")
        assert h.getresponse().status == 200
        h.close()
        conns[0].settimeout(5)
        # an upgrade is dialled for
        conns[0].sendall(b"GET /ws HTTP/1.1\r\nHost: odd\r\nConnection: upgrade\r\n"
                         b"Upgrade: websocket\r\n\r\n")
        head, body = read_head(conns[0])
        assert head.startswith(b"HTTP/1.1 503") and b"no_descriptors" in body, (head, body)
        sc.write(dict(json.load(open(sc.file)), Version="2"))
        sc.p.send_signal(signal.SIGHUP)
        eventually("the document", lambda: "version=2" in open(sc.log).read())
        upgrade(sc)
        s = half_a_request(port)
        the_other_half(s)
        the_other_half(served)
    finally:
        for s in conns:
            s.close()
    sc.p.send_signal(signal.SIGTERM)
    assert sc.p.wait(10) == 0, sc.p.returncode


@check
def a_client_that_leaves_ends_what_was_sent_to_it():
    upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\n"
    for svc, first in (("odd", "GET /endless HTTP/1.1\r\nHost: odd\r\n\r\n"),
                       ("odd", f"GET /endless-ws HTTP/1.1\r\nHost: odd\r\n{upgrade}\r\n"),
                       ("endless", "x"), ("plainendless", "x")):
        for how in ("reset", "close", "half close, then close"):
            s = dial(svc)
            s.sendall(first.encode())
            assert s.recv(1000)
            if how == "reset":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif how != "close":
                s.shutdown(socket.SHUT_WR)
                time.sleep(0.1)
            s.close()
            assert endless_ended.acquire(timeout=10), (svc, first[:20], how)


@check
def nothing_is_left_under_way():
    def quiet():
        return all(SC[w].stat("downstream_rq_active") == 0 and SC[w].stat("tunnels_active") == 0
                   for w in ("c", "w"))
    eventually("streams left", quiet, 10)
    eventually("connections left", lambda: SC["c"].stat("downstream_cx_active") == 0, 10)


@check
def drain_finishes_what_is_under_way():
    s = dial("odd")
    s.sendall(b"POST /echo HTTP/1.1\r\nHost: odd\r\nContent-Length: 10\r\n\r\n12345")
    time.sleep(0.2)
    SC["c"].p.send_signal(signal.SIGTERM)
    eventually("still ready", lambda: SC["c"].get("/ready")[0] == 503)
    rc, out = curl("-i", S("web").url + "/hello")
    assert rc == 0 and b"onnection: close" in out, (rc, out)
    s.sendall(b"67890")
    head, rest = read_head(s)
    assert head.startswith(b"HTTP/1.1 200") and b"onnection: close" in head, head
    s.close()
    assert SC["c"].p.wait(10) == 0, SC["c"].p.returncode
    SC["w"].p.send_signal(signal.SIGTERM)
    assert SC["w"].p.wait(10) == 0


# ---- the run ------------------------------------------------------------------------------------

SC = {}


def start_tls_app(port, pki):
    import ssl
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(pki + "/x.crt", pki + "/x.key")

    def fn(s):
        with ctx.wrap_socket(s, server_side=True) as t:
            read_head(t)
            t.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\ntls hello\n")
    TcpApp(port, fn)


def start_all():
    pki = make_pki()
    h1, h2, grpc_port, ws, oddp, echop, halfp, smtp, tlsp, resetp, endlessp, holdp = (
        free_port() for _ in range(12))
    Service("web", "http", h1, routes={
        "/secret/.*": {"allowed": ["x.x"]}, "/only-c": {"allowed": ["c.c"], "methods": ["GET"]},
        "/[0-9a-z]+": {}, "/a/.*": {}})
    Service("h2", "http", h2)
    Service("plainweb", "http", h1, plain=True)
    Service("plainh2", "http", h2, plain=True)
    Service("anyhttp", "http", h1, detect=True)
    Service("odd", "http", oddp)
    Service("plainodd", "http", oddp, plain=True)
    Service("dead", "http")
    Service("grpc", "grpc", grpc_port)
    Service("anygrpc", "http", grpc_port, detect=True)
    Service("ws", "http", ws)
    Service("holding", "http", holdp)
    for name, port in (("echo", echop), ("halfclose", halfp), ("smtp", smtp)):
        Service(name, "tcp", port)
        Service("any" + name, "http", port, detect=True)
    Service("plainecho", "tcp", echop, plain=True)
    Service("owntls", "http", tlsp, detect=True)
    Service("reset", "tcp", resetp)
    Service("endless", "tcp", endlessp)
    Service("plainendless", "tcp", endlessp, plain=True)
    start_nginx(h1, h2)
    TcpApp(oddp, odd_http)
    TcpApp(echop, echo)
    TcpApp(halfp, half_close_app)
    TcpApp(smtp, server_first)
    TcpApp(resetp, resetting)
    TcpApp(endlessp, endless)
    start_tls_app(tlsp, pki)
    spawn(PY, "-P", PEERS + "/grpc_peer.py", "serve", str(grpc_port))
    spawn(PY, "-P", PEERS + "/websocket_peer.py", "serve", str(ws))
    spawn(PY, "-P", PEERS + "/holding_peer.py", str(holdp))
    wait_port(holdp)
    wait_port(grpc_port)
    wait_port(ws)
    client, server = documents()
    SC["c"] = Sidecar(SIDECAR, "c", client, pki)
    SC["w"] = Sidecar(SIDECAR, "w", server, pki)
    for s in Service.all.values():
        wait_port(s.out)
        wait_port(s.inb)


def main():
    wanted = sys.argv[2:]
    failed = 0
    try:
        start_all()
        for fn in checks:
            if wanted and fn.__name__ not in wanted:
                continue
            begin = time.time()
            try:
                fn()
                print(f"  ok      {fn.__name__} ({time.time() - begin:.2f} s)", flush=True)
            except Exception as e:
                failed += 1
                print(f"  FAILED  {fn.__name__}: {e}", flush=True)
                if not isinstance(e, AssertionError):
                    traceback.print_exc()
            for sc in SC.values():
                if sc.p.poll() not in (None, 0):
                    print(f"  FAILED  {sc.name} ended with {sc.p.returncode}", flush=True)
                    print(open(sc.log).read()[-6000:])
                    failed += 1
                    return 1
    finally:
        for sc in SC.values():
            if sc.p.poll() is None:
                sc.p.terminate()
                try:
                    sc.p.wait(5)
                except subprocess.TimeoutExpired:
                    pass
            log = open(sc.log).read()
            if "Sanitizer" in log:
                print(log[-6000:])
                failed += 1
        end_all()
        if not os.environ.get("FSM_KEEP"):
            shutil.rmtree(TMP, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
