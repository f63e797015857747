"""The API source against a real API server; see api-source.sh.

    api_source.py ROOT BIN "LAB COMMAND" DIRECTORY [PART...]

The last line says what was shown, or what failed.  PART: names of functions show_*, without it.
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

    def __init__(self, *flags, wrap=(), env=None):
        self.admin = os.path.join(TMP, "admin.sock")
        self.log = os.path.join(TMP, f"controller-{time.monotonic_ns()}.log")
        command = [*wrap, f"{BIN}/fsm-controller", *flags, "-v", "--ca-dir", f"{TMP}/ca", "--token-key", f"{TMP}/token.pub",
                   "--listen", "127.0.0.1:0", "--admin", f"unix:{self.admin}"]
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
        return self.get("/health/ready")[0] == 200

    def problems(self):
        """of reading; others have no text of their own"""
        return [p["text"] for p in json.loads(self.get("/problems")[1]) if "text" in p]

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


# ---- the shows ---------------------------------------------------------------------------------

def start(user=None, http=False, straight=False, wait=True, **more):
    """through the bad way by TCP or HTTP, or straight to the API server"""
    user = user or {"tokenFile": "token"}
    url = server.url if straight else f"https://127.0.0.1:{way.http_port if http else way.tcp_port}"
    path = kubeconfig("kubeconfig", url, way.ca_file if http else server.ca_file, user)
    c = Controller("--kubeconfig", path, **more)
    if wait:
        until("ready", lambda: os.path.exists(c.admin) and c.ready(), 60)
    return c


def show_equal(c):
    """the document is what the directory source makes of the same objects, before and after changes"""
    for name in ("app/client", "app/web-1"):
        got = until(f"the document of {name}", lambda: c.document(name))
        if got != of_files(name):
            raise Failed(f"{name}: not the same document:\n{json.dumps(got)}\n{json.dumps(of_files(name))}")
    expect_no_problem(c)
    apply(service("app", "web", 81), slice_of("app", "web", "10.200.0.1", "10.200.0.4"))
    expect_endpoints(c, "web", "10.200.0.1", "10.200.0.4")
    until("the same document", lambda: c.document("app/client") == of_files("app/client"), 10)
    set_ip("other", "far-1", "10.200.0.9", "Succeeded")  # finished pods are not even sent
    until("pods held", lambda: c.metric("fsm_kube_objects", kind="Pod") == 2)
    apply(service("app", "web"))


def show_latency(c):
    """an EndpointSlice changes: how long until the document has it"""
    connection = server.connection()
    path = "/apis/discovery.k8s.io/v1/namespaces/app/endpointslices/web-1"
    took = []
    for i in range(40):
        body = {"endpoints": slice_of("app", "web", "10.200.0.1", f"10.200.1.{i}")["endpoints"]}
        begin = time.monotonic()
        server.put_status(connection, path, body)
        while f"10.200.1.{i}:8080" not in endpoints(c, "web"):
            time.sleep(0.002)
            if time.monotonic() - begin > 20:
                raise Failed("a change does not arrive")
        took.append((time.monotonic() - begin) * 1000)
        time.sleep(0.06)
    took.sort()
    figures["change_ms"] = f"{took[20]:.0f}/{took[38]:.0f}"


def show_cuts(c):
    """the watches are cut each second, and every change arrives"""
    worst = 0
    before = c.metric("fsm_kube_watches_total", kind="Service")
    for i in range(10):
        way.cut()
        apply(slice_of("app", "web", "10.200.0.1", f"10.200.2.{i}"))
        worst = max(worst, expect_endpoints(c, "web", "10.200.0.1", f"10.200.2.{i}", seconds=15))
        time.sleep(0.5)
    if c.metric("fsm_kube_watches_total", kind="Service") < before + 5:
        raise Failed("the watches were not cut")
    if c.metric("fsm_kube_lists_total", kind="Service") != 1:
        raise Failed("a cut made the kind be listed anew")
    figures["cut_s"] = f"{worst:.1f}"


def show_killed(c):
    """the API server is killed: nothing is lost; it comes back: changes arrive"""
    before = c.document("app/client")
    lab("kill", "control/kube-apiserver")
    expect_problem(c, ["API server", "no answer from the API server"])
    time.sleep(3)
    if c.document("app/client") != before or not c.ready():
        raise Failed("the document changed while the API server was away")
    if len(c.problems()) != 1:
        raise Failed(f"one problem expected: {c.problems()}")
    start_api_server()
    apply(slice_of("app", "web", "10.200.3.1"))
    expect_endpoints(c, "web", "10.200.3.1", seconds=40)
    figures["restart_s"] = f"{figures['last']:.1f}"
    expect_no_problem(c)


def show_compaction(c):
    """what was missed cannot be had any more (410): listed anew, and what vanished goes"""
    before = c.metric("fsm_kube_errors_total", kind="EndpointSlice", reason="expired")
    way.open = False
    way.cut()
    expect_problem(c, ["no answer"])
    kubectl("delete", "endpointslice", "tcp-1", "-n", "app")
    apply(slice_of("app", "web", "10.200.4.1"))
    lab("kill", "control/kube-apiserver")
    status = json.loads(lab("exec", "control", "curl", "-s", "http://127.0.0.1:2379/v3/maintenance/status",
                            "-X", "POST", "-d", "{}"))
    lab("exec", "control", "curl", "-s", "http://127.0.0.1:2379/v3/kv/compaction", "-d",
        json.dumps({"revision": status["header"]["revision"], "physical": True}))
    start_api_server()
    if not endpoints(c, "tcp"):
        raise Failed("something was dropped while the API server was away")
    way.open = True
    expect_endpoints(c, "web", "10.200.4.1", seconds=40)
    until("what vanished is gone", lambda: not endpoints(c, "tcp"))
    if c.metric("fsm_kube_errors_total", kind="EndpointSlice", reason="expired") == before:
        raise Failed("there was no 410")
    expect_no_problem(c)
    apply(slice_of("app", "tcp", "10.200.0.2"))
    expect_endpoints(c, "tcp", "10.200.0.2")


def show_rbac(c):
    """a rule is taken away: named in log, problems and metric; given back: all is well"""
    apply(*rights(without="endpointslices"))
    time.sleep(1)
    way.cut()
    rule = 'add {apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"]}'
    expect_problem(c, ["EndpointSlice", "may not watch endpointslices", rule, "ClusterRole"])
    if rule.replace('"', '\\"') not in c.logged():
        raise Failed("the log does not name the rule")
    if not c.metric("fsm_kube_errors_total", kind="EndpointSlice", reason="forbidden"):
        raise Failed("the metric does not count it")
    if endpoints(c, "web") is None:
        raise Failed("endpoints were dropped")
    apply(*rights())
    expect_no_problem(c)


def show_crd(c):
    """the CRD goes with its objects, and comes back"""
    def egress():
        return c.document("app/client")["Spec"]["Traffic"]["EnableEgress"]
    if egress() is not False:
        raise Failed("the MeshConfig has no effect")
    kubectl("delete", "crd", f"meshconfigs.{GROUP}")
    until("the preset is in force", egress)
    time.sleep(7)
    if c.problems():
        raise Failed(f"a kind that is not installed is no problem: {c.problems()}")
    if c.logged().count("does not have this kind") > 2:
        raise Failed("the log is full of it")
    install_crd()
    apply(mesh_config())
    until("the MeshConfig is in force again", lambda: egress() is False)
    figures["crd_s"] = f"{figures['last']:.1f}"


def show_tokens(c):
    """the token file rotates; a token that is not taken is told"""
    write_token("nonsense")
    way.cut()
    expect_problem(c, ["does not take our credentials (401)"])
    write_token()
    expect_no_problem(c)
    apply(slice_of("app", "web", "10.200.5.1"))
    expect_endpoints(c, "web", "10.200.5.1")


def show_hang(c):
    """the peer says nothing any more, with its connection open: noticed within a minute"""
    time.sleep(1)
    way.hang()
    begin = time.monotonic()
    apply(slice_of("app", "web", "10.200.6.1"))
    expect_endpoints(c, "web", "10.200.6.1", seconds=90)
    figures["hang_s"] = f"{time.monotonic() - begin:.0f}"


def show_faults(c):
    """429 with Retry-After, 500, garbage, half a JSON, slow: at the start, and on watches"""
    c.stop()
    way.fault = "429"
    c = start(http=True, wait=False)
    try:
        until("the admin port", lambda: os.path.exists(c.admin) and c.get("/healthz")[0] == 200)
        for fault, words in (("429", "answers 429 to list"), ("500", "answers 500 to list"),
                             ("garbage", "cannot be read"), ("short", "cannot be read")):
            way.fault = fault
            expect_problem(c, [words, "not read yet"])
            if c.ready():
                raise Failed(f"ready, with nothing but {fault}")
        way.fault = "half"
        expect_problem(c, ["no answer from the API server"])
        way.fault = "slow"
        until("ready", c.ready, 60)
        want = of_files("app/client")
        until("the same document", lambda: c.document("app/client") == want, 30)
        before = way.faults
        for fault in ("429", "500", "garbage", "short", "half"):
            way.fault = fault
            way.cut()
            expect_problem(c, [""])
            time.sleep(1)
            if c.document("app/client") != want:
                raise Failed(f"{fault} changed the document")
        if way.faults < before + 5:
            raise Failed("the faults were not made")
        way.fault = None
        expect_no_problem(c, 30)
        apply(slice_of("app", "web", "10.200.7.1"))
        expect_endpoints(c, "web", "10.200.7.1")
        figures["faults"] = way.faults
    finally:
        way.fault = None
        c.stop()


def show_credentials(c):
    """a client certificate; a pod's service account; what is refused"""
    c.stop()
    run("sh", "-c", f"cd {TMP} && openssl ecparam -name prime256v1 -genkey -noout -out c.key 2>&1 &&"
        " openssl req -new -key c.key -subj /O=system:masters/CN=me -out c.csr 2>&1 &&"
        f" openssl x509 -req -in c.csr -CA {state}/keys/ca.crt -CAkey {state}/keys/ca.key -CAcreateserial -days 2 -out c.crt 2>&1")
    start(user={"client-certificate": "c.crt", "client-key": "c.key"}).stop()
    # the files where a pod has them, seen by the controller alone
    mounts = (f"mount -t tmpfs none /run && mkdir -p /run/secrets/kubernetes.io/serviceaccount &&"
              f" cp {TMP}/token {server.ca_file} /run/secrets/kubernetes.io/serviceaccount/ &&"
              f" mv /run/secrets/kubernetes.io/serviceaccount/server-ca.crt /run/secrets/kubernetes.io/serviceaccount/ca.crt &&"
              ' exec "$@"')
    c = Controller(wrap=("unshare", "-m", "sh", "-c", mounts, "sh"),
                   env={"KUBERNETES_SERVICE_HOST": server.address[0], "KUBERNETES_SERVICE_PORT": str(server.address[1])})
    until("ready in a pod", lambda: os.path.exists(c.admin) and c.ready(), 30)
    c.stop()
    path = kubeconfig("strange", f"https://127.0.0.1:{way.tcp_port}", way.ca_file, {"tokenFile": "token"})
    c = Controller("--kubeconfig", path)
    until("the admin port", lambda: os.path.exists(c.admin) and c.get("/healthz")[0] == 200)
    expect_problem(c, ["API server", "certificate"])
    if c.ready():
        raise Failed("ready with a server that nobody vouches for")
    c.stop()


def make_many(prefix, services, per_service, pods):
    """objects without pods: Services with endpoints, and Pods; 16 at a time"""
    local = {}

    def create(job):
        import threading
        me = threading.get_ident()
        if me not in local:
            local[me] = server.connection()
        server.post(local[me], *job)

    jobs = []
    for i in range(services):
        ns = f"{prefix}{i % 20}"
        jobs.append((f"/api/v1/namespaces/{ns}/services", service(ns, f"s{i}")))
        addresses = [f"10.{(i * per_service + k) >> 16 & 127}.{(i * per_service + k) >> 8 & 255}.{(i * per_service + k) & 255}"
                     for k in range(per_service)]
        jobs.append((f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices", slice_of(ns, f"s{i}", *addresses)))
    jobs += [(f"/api/v1/namespaces/{prefix}{i % 20}/pods", pod(f"{prefix}{i % 20}", f"p{i}")) for i in range(pods)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(create, jobs))


def show_many(c):
    """10,000 objects: time to sync and memory"""
    c.stop()
    c = start(straight=True)
    empty = c.rss_kib()
    c.stop()
    apply(*[namespace(f"many{i}") for i in range(20)])
    until("the default service accounts", lambda: kubectl("get", "sa", "-A").count("many") >= 20)
    begin = time.monotonic()
    make_many("many", 2500, 10, 5000)
    say(f"10,000 objects made in {time.monotonic() - begin:.0f} s")
    c = start(straight=True)
    sync = time.monotonic() - c.began
    held = sum(c.metric("fsm_kube_objects", kind=k) for k in ("Service", "EndpointSlice", "Pod", "Namespace"))
    with open(f"/proc/{c.process.pid}/stat") as f:
        ticks = f.read().split()
    cpu = (int(ticks[13]) + int(ticks[14])) / os.sysconf("SC_CLK_TCK")
    full = c.rss_kib()
    figures["many"] = (f"{held:.0f} objects in {sync:.2f} s, {cpu:.2f} s of CPU, {full / 1024:.0f} MiB, "
                       f"{(full - empty) / held:.2f} KiB each")
    c.stop()


SHARED = [show_equal, show_latency, show_cuts, show_killed, show_compaction, show_rbac, show_crd, show_tokens, show_hang]
ALONE = [show_faults, show_credentials]
NAMED = [show_many]  # long: only when they are named


def main():
    wanted = sys.argv[5:]
    os.makedirs(f"{TMP}/ca", exist_ok=True)
    run("sh", "-c", f"openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out {TMP}/token.pub")
    set_up_access()
    set_up_mesh()
    say("set up")
    c = start()
    say(f"ready after {time.monotonic() - c.began:.2f} s")
    shown = 0
    for show in SHARED + ALONE + NAMED:
        name = show.__name__.removeprefix("show_")
        if name not in wanted and (wanted or show in NAMED):
            continue
        try:
            show(c)
        except Exception:
            print(c.logged()[-6000:] if os.path.exists(c.log) else "")
            raise
        say(f"{show.__name__}: {show.__doc__}")
        shown += 1
    if c.process.poll() is None:
        c.stop()
    figures.pop("last", None)
    print(f"{shown} shows " + " ".join(f"{k}={v}" for k, v in figures.items()))


server = Server()
state = os.path.dirname(os.path.dirname(lab("kubeconfig").strip()))
way = faulty_api.Way(server.address, server.ca_file, TMP)
try:
    main()
except Failed as e:
    print(f"FAILED: {e}")
    sys.exit(1)
finally:
    for process in Controller.running:
        if process.poll() is None:
            process.kill()
