"""What the scenarios against a real API server share: the server by its administrator, fsm-controller, objects,
conditions, and a way to the server that can be bad (faulty_api.py).

    program.py ROOT BIN "LAB COMMAND" DIRECTORY [PART...]

A program that imports this ends by finish(main); its last line says what was shown, or what failed.
"""
import base64
import concurrent.futures
import http.client
import json
import os
import shlex
import socket
import ssl
import subprocess
import sys
import threading
import time

import yaml

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import faulty_api  # noqa: E402

ROOT, BIN, LAB, TMP = sys.argv[1], sys.argv[2], shlex.split(sys.argv[3]), sys.argv[4]
CRD = os.path.join(ROOT, "deploy/crds/config.flomesh.io_meshconfigs.yaml")
GROUP = "config.flomesh.io"
figures = {}


class Failed(Exception):
    pass


def say(text):
    print(f"[{time.monotonic() - began:6.1f} s] {text}", flush=True)


began = time.monotonic()


def run(*command, text=None, check=True):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120)
    if check and done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def lab(*verb, **more):
    return run(*LAB, *verb, **more)


def start_api_server():
    """what is started must not inherit a pipe that somebody reads to its end"""
    subprocess.run([*LAB, "start", "control/kube-apiserver"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, timeout=60)
    until("the API server is ready", lambda: server.ready(), 60)


def kubectl(*words, text=None, check=True):
    return lab("kubectl", *words, text=text, check=check)


def apply(*objects):
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", text=yaml.safe_dump_all(objects))


def until(what, condition, seconds=30):
    """the condition's first true value; how long it took goes to figures["last"]"""
    begin = time.monotonic()
    last = None
    while time.monotonic() - begin < seconds:
        try:
            last = condition()
        except (OSError, http.client.HTTPException, ValueError) as e:
            last = None
            error = e
        if last:
            figures["last"] = time.monotonic() - begin
            return last
        time.sleep(0.03)
    raise Failed(f"not within {seconds} s: {what}")


# ---- the API server, by its administrator ------------------------------------------------------

class Server:
    def __init__(self):
        path = lab("kubeconfig").strip()
        with open(path) as f:
            self.config = yaml.safe_load(f)
        cluster = self.config["clusters"][0]["cluster"]
        self.url = cluster["server"]
        host, port = self.url.removeprefix("https://").split(":")
        self.address = (host, int(port))
        self.ca_data = cluster["certificate-authority-data"]
        self.ca_file = os.path.join(TMP, "server-ca.crt")

        with open(self.ca_file, "wb") as f:
            f.write(base64.b64decode(self.ca_data))
        self.token = self.config["users"][0]["user"]["token"]
        self.tls = ssl.create_default_context(cafile=self.ca_file)

    def connection(self):
        return http.client.HTTPSConnection(*self.address, context=self.tls, timeout=20)

    def post(self, connection, path, body):
        connection.request("POST", path, json.dumps(body), {
            "Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status not in (200, 201, 409):
            raise Failed(f"POST {path}: {answer.status} {text[:200]}")
        return json.loads(text)

    def put_status(self, connection, path, body):
        connection.request("PATCH", path, json.dumps(body), {
            "Authorization": f"Bearer {self.token}", "Content-Type": "application/merge-patch+json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise Failed(f"PATCH {path}: {answer.status} {text[:200]}")

    def ready(self):
        c = self.connection()
        c.request("GET", "/readyz", headers={"Authorization": f"Bearer {self.token}"})
        return c.getresponse().status == 200


# ---- the controller ----------------------------------------------------------------------------

class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("controller", timeout=5)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


class Controller:
    running = []
    everything = False

    def __init__(self, *flags, wrap=(), env=None, name="admin", tokens=("--token-key", f"{TMP}/token.pub"),
                 listen="127.0.0.1:0", level=("-v",)):
        self.admin = os.path.join(TMP, f"{name}.sock")
        self.log = os.path.join(TMP, f"controller-{time.monotonic_ns()}.log")
        command = [*wrap, f"{BIN}/fsm-controller", *flags, *level, "--ca-dir", f"{TMP}/ca", *tokens,
                   "--listen", listen, "--admin", f"unix:{self.admin}"]
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stderr=open(self.log, "w"), env={**os.environ, **(env or {})})
        Controller.running.append(self.process)

    def get(self, path):
        if self.process.poll() is not None:
            raise Failed(f"the controller ended: {self.logged()[-2000:]}")
        c = UnixConnection(self.admin)
        c.request("GET", path)
        answer = c.getresponse()
        body = answer.read().decode()
        return answer.status, body

    def ready(self):
        if not os.path.exists(self.admin) and self.process.poll() is None:
            return False
        return self.get("/health/ready")[0] == 200

    def problems(self):
        """of reading; others, which have no text of their own, where everything counts"""
        return [p.get("text") or f"{p['object']}: {p['message']}" for p in json.loads(self.get("/problems")[1])
                if p["severity"] == "error" and ("text" in p or self.everything)]

    def document(self, pod):
        status, body = self.get(f"/debug/document?pod={pod}")
        if status != 200:
            return None
        document = json.loads(body)
        document.pop("Ts")
        return document

    def metric(self, name, **labels):
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + "{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
                return float(line.split()[-1])
        return None

    def rss_kib(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def logged(self):
        with open(self.log) as f:
            return f.read()

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def kubeconfig(name, server, ca_file, user):
    path = os.path.join(TMP, name)
    with open(path, "w") as f:
        yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority": ca_file}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}, f)
    return path


# ---- what is served ----------------------------------------------------------------------------

def rights(without=None):
    """what the base gives to the account, but for the rule for a resource"""
    with open(os.path.join(ROOT, "deploy/kustomize/base/rbac.yaml")) as f:
        objects = list(yaml.safe_load_all(f))
    for o in objects:
        if not o["kind"].startswith("Cluster"):
            o["metadata"]["namespace"] = "fsm-system"
        for subject in o.get("subjects", []):
            subject["namespace"] = "fsm-system"
        if "rules" in o:
            o["rules"] = [r for r in o["rules"] if r["resources"] != [without]]
    return objects


def set_up_access():
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "fsm-system"}})
    apply({"apiVersion": "v1", "kind": "ServiceAccount",
           "metadata": {"name": "fsm-controller", "namespace": "fsm-system"}}, *rights())
    write_token()


def write_token(text=None):
    text = text or kubectl("create", "token", "fsm-controller", "-n", "fsm-system").strip()
    with open(f"{TMP}/token.new", "w") as f:
        f.write(text + "\n")
    os.rename(f"{TMP}/token.new", f"{TMP}/token")


def install_crd():
    kubectl("apply", "--server-side", "-f", CRD)
    until("the CRD is established", lambda: "meshconfigs" in kubectl(
        "api-resources", f"--api-group={GROUP}", "--no-headers", check=False))


def mesh_config(**traffic):
    return {"apiVersion": f"{GROUP}/v1alpha3", "kind": "MeshConfig",
            "metadata": {"name": "fsm-mesh-config", "namespace": "fsm-system"},
            "spec": {"traffic": {"enablePermissiveTrafficPolicyMode": True, "enableEgress": False, **traffic}}}


def namespace(name):
    return {"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"flomesh.io/monitored-by": "fsm"}}}


def service(ns, name, port=80, **more):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": ns},
            "spec": {"ports": [{"name": "http", "port": port, "targetPort": 8080}], **more}}


def slice_of(ns, svc, *addresses):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": f"{svc}-1", "namespace": ns, "labels": {"kubernetes.io/service-name": svc}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [{"addresses": [a], "conditions": {"ready": True}, "nodeName": "node-1"} for a in addresses]}


def pod(ns, name, **labels):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": ns,
                         "labels": {"fsm-proxy-uuid": "7c9f4f1e-0000-4000-8000-000000000000", **labels}},
            "spec": {"automountServiceAccountToken": False, "schedulingGates": [{"name": "test/stays"}],
                     "containers": [{"name": "app", "image": "app:1", "ports": [{"name": "http", "containerPort": 8080}],
                                     "env": [{"name": "A", "value": "a" * 200}],
                                     "readinessProbe": {"httpGet": {"path": "/ok", "port": 8080}}},
                                    {"name": "sidecar", "image": "fsm:1"}]}}


def set_ip(ns, name, ip, phase="Running"):
    kubectl("patch", "pod", name, "-n", ns, "--subresource=status", "--type=merge", "-p",
            json.dumps({"status": {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}]}}))


def set_up_mesh():
    install_crd()
    apply(namespace("app"), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
    until("the default service accounts", lambda: "default" in kubectl("get", "sa", "-n", "app") and
          "default" in kubectl("get", "sa", "-n", "other"))
    apply(mesh_config(), service("app", "web"), slice_of("app", "web", "10.200.0.1", "10.200.0.2"),
          service("app", "tcp", 9000, clusterIP="None"), slice_of("app", "tcp", "10.200.0.2"),
          service("other", "far"), slice_of("other", "far", "10.200.0.9"),
          pod("app", "web-1", app="web"), pod("app", "client"), pod("other", "far-1"))
    set_ip("app", "web-1", "10.200.0.1")
    set_ip("app", "client", "10.200.0.3")
    set_ip("other", "far-1", "10.200.0.9")


def of_files(pod_name):
    """the document that the directory source makes of what kubectl prints"""
    directory = f"{TMP}/export"
    os.makedirs(directory, exist_ok=True)
    kinds = "namespaces,services,endpointslices,pods,meshconfigs"
    with open(f"{directory}/all.yaml", "w") as f:
        f.write(kubectl("get", kinds, "-A", "-o", "yaml"))
    out = subprocess.run([f"{BIN}/fsm-controller", "-n", "-f", directory, "--document", pod_name],
                         capture_output=True, text=True)
    if not out.stdout.startswith("{"):
        raise Failed(f"the directory source: {out.stderr}")
    document = json.loads(out.stdout)
    document.pop("Ts")
    return document


def clusters(document):
    """cluster -> addresses of its endpoints"""
    found = (document.get("Outbound") or {}).get("ClustersConfigs", {})
    return {name: sorted(c["Endpoints"]) for name, c in found.items()}


def endpoints(c, svc):
    document = c.document("app/client")
    return clusters(document).get(f"app/{svc}|8080") if document else None


def expect_endpoints(c, svc, *addresses, seconds=30):
    want = [f"{a}:8080" for a in addresses]
    until(f"{svc} has {want}, it has {endpoints(c, svc)}", lambda: endpoints(c, svc) == want, seconds)
    return figures["last"]


def expect_problem(c, words, seconds=30):
    def found():
        return next((p for p in c.problems() if all(w in p for w in words)), None)
    try:
        return until(f"a problem with {words}", found, seconds)
    except Failed:
        raise Failed(f"no problem with {words}: {c.problems()}") from None


def expect_no_problem(c, seconds=30):
    try:
        until("no problems", lambda: not c.problems(), seconds)
    except Failed:
        raise Failed(f"problems stay: {c.problems()}") from None


# ---- a controller --------------------------------------------------------------------------------

def start(user=None, http=False, straight=False, wait=True, **more):
    """through the bad way by TCP or HTTP, or straight to the API server"""
    user = user or {"tokenFile": "token"}
    url = server.url if straight else f"https://127.0.0.1:{way.http_port if http else way.tcp_port}"
    path = kubeconfig("kubeconfig", url, way.ca_file if http else server.ca_file, user)
    c = Controller("--kubeconfig", path, **more)
    if wait:
        until("ready", c.ready, 60)
    return c


def create(jobs, rate=1e9, send=None):
    """(path, object) each, 16 at a time, so many a second at most; or what Server.put_status takes, by that"""
    send = send or server.post
    local = threading.local()
    begin = time.monotonic()

    def one(i, job):
        time.sleep(max(0, begin + i / rate - time.monotonic()))
        if not hasattr(local, "connection"):
            local.connection = server.connection()
        send(local.connection, *job)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(len(jobs)), jobs))


def end_all():
    for process in Controller.running:
        if process.poll() is None:
            process.kill()
            process.wait()


def make_keys():
    os.makedirs(f"{TMP}/ca", mode=0o700, exist_ok=True)
    run("sh", "-c", f"openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out {TMP}/token.pub")


def finish(main):
    try:
        main()
    except Failed as e:
        print(f"FAILED: {e}")
        sys.exit(1)
    finally:
        end_all()


server = Server()
state = os.path.dirname(os.path.dirname(lab("kubeconfig").strip()))
way = faulty_api.Way(server.address, server.ca_file, TMP)
