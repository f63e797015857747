"""Sidecars as processes on loopback, without a controller: identities, documents' common parts,
ports, waiting.  What pair.py and hostile/run.py share."""
import http.client
import json
import os
import socket
import subprocess
import tempfile
import time

TMP = tempfile.mkdtemp(prefix="fsm-engine-")
os.chmod(TMP, 0o755)  # servers read it as somebody else
children = []
# below those that the kernel gives to outgoing connections
ports = iter(range(21000 + os.getpid() % 1100 * 10, 32768))


def free_port():
    for p in ports:
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", p))
                return p
            except OSError:
                continue


def sh(*args, **kw):
    return subprocess.run(args, check=True, capture_output=True, **kw)


# ---- identities ---------------------------------------------------------------------------------

def make_pki():
    d = os.path.join(TMP, "pki")
    os.mkdir(d)
    sh("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", d + "/ca.key")
    sh("openssl", "req", "-x509", "-new", "-key", d + "/ca.key", "-subj", "/CN=root", "-days", "2",
       "-out", d + "/ca.crt", "-addext", "basicConstraints=critical,CA:TRUE")
    for name in ("c", "w", "x"):
        f = f"{d}/{name}"
        sh("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", f + ".key")
        sh("openssl", "req", "-new", "-key", f + ".key", "-subj", f"/CN={name}.{name}.cluster.local",
           "-out", f + ".csr")
        with open(f + ".ext", "w") as o:
            o.write(f"subjectAltName=DNS:{name}.{name}.cluster.local,"
                    f"URI:spiffe://cluster.local/ns/{name}/sa/{name}\n"
                    "extendedKeyUsage=serverAuth,clientAuth\n")
        sh("openssl", "x509", "-req", "-in", f + ".csr", "-CA", d + "/ca.crt", "-CAkey",
           d + "/ca.key", "-CAcreateserial", "-days", "2", "-out", f + ".crt", "-extfile",
           f + ".ext")
    return d


# ---- documents ----------------------------------------------------------------------------------

SPEC = {"SidecarLogLevel": os.environ.get("LEVEL", "info"), "SidecarTimeout": 60,
        "Traffic": {"EnableEgress": True, "HTTP1PerRequestLoadBalancing": False,
                    "HTTP2PerRequestLoadBalancing": True}}


def proxy(n):
    return {"Pod": n + "-1", "Namespace": n, "ServiceAccount": n, "TrustDomain": "cluster.local",
            "Principal": f"{n}.{n}.cluster.local", "Spiffe": f"spiffe://cluster.local/ns/{n}/sa/{n}",
            "Workload": {"Kind": "Deployment", "Name": n}}


def route(cluster, allowed=None, methods=None, headers=None):
    return {"Headers": headers, "Methods": methods, "TargetClusters": {cluster: 100},
            "AllowedServices": allowed}


# ---- processes ----------------------------------------------------------------------------------

class Sidecar:
    def __init__(self, binary, name, doc, pki, cert=None, args=()):
        self.name = name
        self.admin, self.metrics = free_port(), free_port()
        self.file = os.path.join(TMP, name + ".json")
        self.log = os.path.join(TMP, name + ".log")
        self.write(doc)
        c = cert or name
        self.p = subprocess.Popen(
            [binary, "-d", "-f", self.file, "--cert", f"{pki}/{c}.crt", "--key", f"{pki}/{c}.key",
             "--ca", f"{pki}/ca.crt", "--admin", f"127.0.0.1:{self.admin}", "--metrics",
             f"127.0.0.1:{self.metrics}", *args],
            stdout=open(self.log + ".access", "w"), stderr=open(self.log, "w"))
        children.append(self.p)
        wait_port(self.admin)

    def write(self, doc):
        with open(self.file + ".new", "w") as o:
            json.dump(doc, o)
        os.rename(self.file + ".new", self.file)

    def get(self, path, method="GET"):
        h = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        h.request(method, path)
        r = h.getresponse()
        return r.status, r.read().decode()

    def stat(self, name):
        for line in self.get("/stats")[1].splitlines():
            if line.startswith(name + ": "):
                return int(line.split(": ")[1])
        raise AssertionError(f"no stat {name}")


def end_all():
    """what was started and still runs; asked first, as some have processes of their own (nginx)"""
    running = [p for p in children if p.poll() is None]
    for p in running:
        p.terminate()
    for p in running:
        try:
            p.wait(5)
        except subprocess.TimeoutExpired:
            p.kill()


def wait_port(port, seconds=20):
    end = time.time() + seconds
    while time.time() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"nothing listens on {port}")


def eventually(what, fn, seconds=5):
    end = time.time() + seconds
    while time.time() < end:
        if fn():
            return
        time.sleep(0.02)
    raise AssertionError(what)
