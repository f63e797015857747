"""A large mesh as files, a real controller that serves it, real sidecars: what services-5000 and
change-5000 are made of.

    m = Mesh(tmp, services=5000, endpoints=10)     writes the resources
    m.controller()                                 starts fsm-controller, waits until it is ready
    s = m.sidecar()                                starts fsm-sidecar as pod bench/client
    m.move(i)                                      one endpoint of service i goes, another comes
    m.stop()

Everything runs on loopback in the namespace of the caller.
"""
import base64
import json
import os
import pathlib
import subprocess
import time
import http.client

NAMESPACES = 50
PORT_API, PORT_ADMIN, PORT_OUTBOUND = 16060, 16091, 16001


def _b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def get(port, path, method="GET"):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    c.request(method, path)
    r = c.getresponse()
    body = r.read()
    c.close()
    return r.status, body


def status_kb(pid):
    """resident and anonymous memory of a process, KiB"""
    out = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        k, _, v = line.partition(":")
        if k in ("VmRSS", "RssAnon", "VmHWM"):
            out[k] = int(v.split()[0])
    return out


def run_us(pid):
    """CPU time of all threads so far"""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((t / "schedstat").read_text().split()[0]) for t in tasks) / 1000


class Mesh:
    def __init__(self, tmp, binary, services=5000, endpoints=10, core_proxy=None, core_other=None):
        self.tmp, self.bin = pathlib.Path(tmp), pathlib.Path(binary)
        self.n, self.k = services, endpoints
        self.core_proxy, self.core_other = core_proxy, core_other
        self.procs = []
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "token.key")
        self.openssl("pkey", "-in", "token.key", "-pubout", "-out", "token.pub")
        self.moved = {}
        (self.tmp / "res").mkdir()
        self.write()

    # -- resources
    @staticmethod
    def ip(i, k):
        n = i * 16 + k
        return f"10.{64 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"

    def ns(self, i):
        return f"team-{i % NAMESPACES}"

    def pod(self, name, ns, sa, ip, uid):
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": ns, "uid": uid, "labels": {"app": sa, "fsm-proxy-uuid": uid}},
                "spec": {"serviceAccountName": sa, "containers": [{"name": "a", "image": "a"}]},
                "status": {"phase": "Running", "podIP": ip}}

    def slice(self, i, ips):
        return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": f"service-{i}-a", "namespace": self.ns(i),
                             "labels": {"kubernetes.io/service-name": f"service-{i}"}},
                "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
                "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips]}

    def put(self, name, objects):
        path = self.tmp / "res" / name
        new = self.tmp / (name + ".new")
        new.write_text("".join("---\n" + json.dumps(o) + "\n" for o in objects))
        new.rename(path)

    def write(self):
        base = [{"apiVersion": "v1", "kind": "Namespace",
                 "metadata": {"name": n, "labels": {"flomesh.io/monitored-by": "fsm"}}}
                for n in ["bench"] + [f"team-{i}" for i in range(NAMESPACES)]]
        base.append({"apiVersion": "config.flomesh.io/v1alpha3", "kind": "MeshConfig",
                     "metadata": {"name": "fsm-mesh-config", "namespace": "fsm-system"},
                     "spec": {"traffic": {"enablePermissiveTrafficPolicyMode": True, "enableEgress": True}}})
        for j in range(200):
            base.append(self.pod(f"client-{j}", "bench", "client", f"10.63.0.{j}", f"uid-client-{j}"))
        self.put("base.yaml", base)
        for part in range(0, self.n, 500):
            objects = []
            for i in range(part, min(part + 500, self.n)):
                name = f"service-{i}"
                objects.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": self.ns(i)},
                                "spec": {"clusterIP": f"10.96.{i >> 8}.{i & 255}", "selector": {"app": name},
                                         "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
                for k in range(self.k + 1):
                    objects.append(self.pod(f"{name}-7f9c4d-{k:05d}", self.ns(i), name, self.ip(i, k), f"uid-{i}-{k}"))
                if i >= 100:
                    objects.append(self.slice(i, [self.ip(i, k) for k in range(self.k)]))
            self.put(f"part-{part}.yaml", objects)
        for i in range(min(100, self.n)):  # those that change: a file each
            self.put(f"slice-{i}.yaml", [self.slice(i, [self.ip(i, k) for k in range(self.k)])])

    def move(self, i):
        """the last endpoint of service i goes, or comes back"""
        i %= min(100, self.n)
        self.moved[i] = not self.moved.get(i)
        last = self.k if self.moved[i] else self.k - 1
        self.put(f"slice-{i}.yaml", [self.slice(i, [self.ip(i, k) for k in range(self.k - 1)] + [self.ip(i, last)])])

    # -- processes
    def token(self, j):
        now = int(time.time())
        head = _b64(json.dumps({"alg": "ES256", "typ": "JWT"}).encode())
        body = _b64(json.dumps({"iss": "https://kubernetes.default.svc", "aud": ["fsm"], "iat": now, "nbf": now, "exp": now + 3600,
                                "sub": "system:serviceaccount:bench:client",
                                "kubernetes.io": {"namespace": "bench", "serviceaccount": {"name": "client", "uid": "u"},
                                                  "pod": {"name": f"client-{j}", "uid": f"uid-client-{j}"}}}).encode())
        der = self.openssl("dgst", "-sha256", "-sign", "token.key", text=f"{head}.{body}".encode())
        n = 4 + der[3]  # SEQUENCE { INTEGER r, INTEGER s }
        r, s = int.from_bytes(der[4:n], "big"), int.from_bytes(der[n + 2:], "big")
        return f"{head}.{body}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def openssl(self, *args, text=b""):
        return subprocess.run(["openssl", *args], cwd=self.tmp, input=text, capture_output=True, check=True).stdout

    def start(self, core, args, log, nice=0):
        if nice:
            args = ["nice", "-n", str(nice)] + args
        if core is not None:
            args = ["taskset", "-c", str(core)] + args
        p = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=open(self.tmp / log, "w"))
        self.procs.append(p)
        return p

    def controller(self, nice=0):
        p = self.start(self.core_other, [str(self.bin / "fsm-controller"), "-d", "-f", str(self.tmp / "res"), "--ca-dir",
                       str(self.tmp / "ca"), "--token-key", str(self.tmp / "token.pub"), "--listen", f"127.0.0.1:{PORT_API}",
                       "--admin", f"127.0.0.1:{PORT_ADMIN}"], "controller.log", nice)
        while True:
            try:
                if get(PORT_ADMIN, "/health/ready")[0] == 200:
                    return p
            except OSError:
                pass
            if p.poll() is not None:
                raise SystemExit("fsm-controller ended: " + (self.tmp / "controller.log").read_text()[-500:])
            time.sleep(0.01)

    def sidecar(self, j=0, admin=16000):
        (self.tmp / f"token-{j}").write_text(self.token(j))
        args = [str(self.bin / "fsm-sidecar"), "-d", "--controller", f"https://127.0.0.1:{PORT_API}", "--token-file",
                str(self.tmp / f"token-{j}"), "--ca-file", str(self.tmp / "ca/ca.crt"), "--admin", f"127.0.0.1:{admin}",
                "--metrics", f"127.0.0.1:{admin + 10}", "--outbound", f"127.0.0.1:{admin + 1}",
                "--inbound", f"127.0.0.1:{admin + 3}"]
        begin = time.monotonic()
        p = self.start(self.core_proxy, args, f"sidecar-{j}.log")
        while True:
            try:
                if get(admin, "/ready")[0] == 200:
                    break
            except OSError:
                pass
            if p.poll() is not None:
                raise SystemExit("fsm-sidecar ended: " + (self.tmp / f"sidecar-{j}.log").read_text()[-500:])
            time.sleep(0.001)
        p.ready_ms = (time.monotonic() - begin) * 1000
        return p

    def proxies(self):
        return json.loads(get(PORT_ADMIN, "/proxies")[1])

    def metric(self, what):
        """bytes of documents or patches sent so far"""
        for line in get(PORT_ADMIN, "/metrics")[1].decode().splitlines():
            if line.startswith(f"fsm_proxy_{what}_bytes_total "):
                return int(float(line.split()[1]))
        raise SystemExit(f"no metric of {what} bytes")

    def settled(self, was=None):
        """waits until every sidecar says that it uses what it should, which is not `was` any more"""
        while True:
            v = [p for p in self.proxies() if p["connected"]]
            if v and all(p["applied"] == p["current"] != was for p in v):
                return
            time.sleep(0.001)

    def stop(self):
        for p in self.procs:
            p.kill()
        for p in self.procs:
            p.wait()
