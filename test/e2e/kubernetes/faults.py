"""Faults of an API server and of what a mesh keeps there, with traffic through two sidecars; see faults-*.sh.

    faults.py ROOT BIN "LAB COMMAND" DIRECTORY [PART...]

PART: names of functions fault_*, without it.  Through each of them real requests go from one sidecar to
the other, twenty a second over a connection that stays and as many over new ones.  None may fail, no
daemon may be started anew, whatever was changed meanwhile must be in the documents within a bound
after the fault is over, and `fsm check` says what is wrong.  The last line says what was shown, or what failed.
"""
import contextlib
import glob
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import *  # noqa: E402,F403

PID = os.getpid()
BRIDGE = f"fsmf{PID % 1000000}"
NET = f"10.{210 + PID % 40}.{PID // 40 % 250}"
HOST = f"{NET}.1"
RATE = 20  # requests a second, of each kind
BOUND_S = 20  # for everything to be right after a fault
UID = 1500
# the controller's clock can be set (libfaketime)
CLOCK = {"LD_PRELOAD": next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), ""), "FAKETIME_TIMESTAMP_FILE": f"{TMP}/clock",
         "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DISABLE_SHM": "1"} if "skew" in sys.argv[5:] else {}


# ---- two pods of this machine ------------------------------------------------------------------------

class Pod:
    def __init__(self, name, last):
        self.name, self.ip, self.ns = name, f"{NET}.{last}", f"{BRIDGE}-{last}"
        self.dir = f"{TMP}/{name}"
        self.log = f"{TMP}/sidecar-{name}.log"
        os.mkdir(self.dir)
        run("sh", "-euc", f"ip netns add {self.ns}; ip -n {self.ns} link set lo up;"
            f" ip link add {self.ns} type veth peer name eth0 netns {self.ns};"
            f" ip link set {self.ns} master {BRIDGE} up; ip -n {self.ns} addr add {self.ip}/24 dev eth0;"
            f" ip -n {self.ns} link set eth0 up; ip -n {self.ns} route add default via {HOST}")

    def inside(self, *command, **more):
        return ["ip", "netns", "exec", self.ns, *command]

    def give(self, name, text):
        path = f"{self.dir}/{name}"
        with open(f"{path}.new", "w") as f:
            f.write(text)
        os.rename(f"{path}.new", path)

    def start(self, url, roots):
        run(*self.inside(f"{BIN}/fsm-init", "--pod-ip", self.ip))
        self.give("ca.crt", roots)
        self.give("token", kubectl("create", "token", self.name, "-n", "app", "--audience=fsm", "--bound-object-kind=Pod",
                                   f"--bound-object-name={self.name}"))
        run("chown", "-R", f"{UID}:{UID}", self.dir)
        self.process = spawn(*self.inside("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--",
                             f"{BIN}/fsm-sidecar", "--controller", url, "--token-file", f"{self.dir}/token",
                             "--ca-file", f"{self.dir}/ca.crt", "-v"), stderr=open(self.log, "w"))

    def curl(self, *words):
        return subprocess.run(self.inside("curl", "-s", "-m", "5", *words), capture_output=True, text=True)


def spawn(*command, **more):
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **more)
    Controller.running.append(process)
    return process


class Load:
    """requests of one kind, a line each"""
    def __init__(self, pod, url, *words):
        self.path = f"{TMP}/load-{time.monotonic_ns()}"
        self.process = spawn(*pod.inside("stdbuf", "-oL", "curl", "-s", "-m", "5", "--rate", f"{RATE}/s", "-o", "/dev/null",
                             "-w", "%{http_code} %{errormsg}\\n", "-H", "Host: web.app", *words, f"{url}/[1-1000000]"),
                             stdout=open(self.path, "w"))

    def counts(self):
        """of answers, of failures"""
        with open(self.path) as f:
            lines = [line for line in f.read().split("\n")[:-1]]
        self.failed = [line for line in lines if not line.startswith("200 ")]
        return len(lines), len(self.failed)


Controller.everything = True


class Mesh:
    """fsm-controller by the bad way, two pods that talk"""
    def __init__(self, http=False):
        set_up_cluster()
        run("sh", "-euc", f"ip link add {BRIDGE} type bridge; ip addr add {HOST}/24 dev {BRIDGE}; ip link set {BRIDGE} up")
        os.chmod(TMP, 0o711)
        self.pods = [Pod("client", 2), Pod("web", 3)]
        self.client, self.web = self.pods
        self.port = free_port(HOST)
        self.config = bad_way("controller", http, {"tokenFile": "token"})
        self.admin = bad_way("admin", http, {"token": server.token})
        self.set_clock("+0")
        self.controller = Controller("--kubeconfig", self.config, tokens=(), listen=f"{HOST}:{self.port}", env=CLOCK)
        self.install_pods()
        c = self.controller
        until("the controller is ready", c.ready, 60)
        roots = until("the ConfigMap with the roots", lambda: roots_of("app"))
        for pod in self.pods:
            pod.start(f"https://{HOST}:{self.port}", roots)
        self.serve()

    def set_clock(self, offset):
        """of the controller"""
        with open(f"{TMP}/clock.new", "w") as f:
            f.write(offset)
        os.rename(f"{TMP}/clock.new", f"{TMP}/clock")

    def remount(self):
        """the roots as the kubelet gives them to the pods"""
        for p in self.pods:
            p.give("ca.crt", roots_of("app"))

    def install_pods(self):
        apply(namespace("app"))
        until("the default service account", lambda: "default" in kubectl("get", "sa", "-n", "app"))
        accounts = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": p.name, "namespace": "app"}}
                    for p in self.pods]
        apply(*accounts)
        pods = [pod("app", p.name, app=p.name) for p in self.pods]
        for p in pods:
            p["spec"]["serviceAccountName"] = p["metadata"]["name"]
        apply(service("app", "web"), slice_of("app", "web", self.web.ip), service("app", "other", 81),
              slice_of("app", "other", "10.200.0.1"), *pods)
        for p in self.pods:
            set_ip("app", p.name, p.ip)

    def serve(self):
        with open(f"{TMP}/nginx.conf", "w") as f:
            f.write(f"""daemon off; master_process off; pid {TMP}/nginx.pid; error_log {TMP}/nginx.log;
events {{ worker_connections 512; }}
http {{ access_log off; keepalive_requests 1000000;
  {' '.join(f'{x}_temp_path {TMP}/{x};' for x in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))}
  server {{ listen 8080; location / {{ return 200 "hello\\n"; }} }} }}
""")
        spawn(*self.web.inside("nginx", "-c", f"{TMP}/nginx.conf"))
        address = kubectl("get", "service", "-n", "app", "web", "-o", "jsonpath={.spec.clusterIP}")
        self.url = f"http://{address}"
        until("a request is answered", lambda: self.client.curl("-H", "Host: web.app", self.url).stdout == "hello\n", 30)
        stats = subprocess.run(self.web.inside("curl", "-s", "http://127.0.0.1:15000/stats/prometheus"), capture_output=True, text=True)
        if not any("downstream_tls_handshakes_total" in line and not line.endswith(" 0") for line in stats.stdout.splitlines()
                   if not line.startswith("#")):
            raise Failed("the requests do not go by mutual TLS between the sidecars")
        self.loads = [Load(self.client, self.url), Load(self.client, self.url, "-H", "Connection: close")]

    def daemons(self):
        return [("fsm-controller", self.controller.process)] + [(f"sidecar of {p.name}", p.process) for p in self.pods]

    def check_traffic(self, least):
        """since the last look"""
        for load in self.loads:
            got, failed = load.counts()
            if failed:
                raise Failed(f"{failed} of {got} requests failed: {load.failed[:3]}")
            if got - getattr(load, "seen", 0) < least:
                raise Failed(f"{got - getattr(load, 'seen', 0)} requests, expected {least}: has the load stopped?")
            load.seen = got
        for name, process in self.daemons():
            if process.poll() is not None:
                raise Failed(f"{name} has ended: {process.returncode}")

    def expect_right(self, seconds):
        """Documents are what the API server's objects make, sidecars have them, nothing is complained of."""
        begin = time.monotonic()
        for p in self.pods:
            want = of_files(f"app/{p.name}")
            until(f"the document of {p.name} is what the API server says", lambda: self.controller.document(f"app/{p.name}") == want,
                  seconds)
        expect_no_problem(self.controller, seconds)
        until("the sidecars have their documents", self.applied, seconds)
        return time.monotonic() - begin

    def applied(self):
        rows = [r for r in json.loads(self.controller.get("/proxies")[1])]
        return len(rows) == 2 and all(r["connected"] and r["applied"] == r["current"] for r in rows)

    @contextlib.contextmanager
    def fault(self, name, seconds=BOUND_S):
        """what is inside makes it and ends it"""
        self.check_traffic(0)
        begin = time.monotonic()
        yield
        lasted = time.monotonic() - begin
        took = self.expect_right(seconds)
        self.check_traffic(int(lasted * RATE / 2))
        figures[name] = f"{took:.1f}"
        say(f"{name}: lasted {lasted:.0f} s, all is right {took:.1f} s after it")

    # ---- fsm check ------------------------------------------------------------------------------

    def check(self, *words):
        done = subprocess.run([f"{BIN}/fsm", "check", "-o", "json", "--kubeconfig", self.admin, *words],
                              capture_output=True, text=True, timeout=120)
        try:
            return json.loads(done.stdout)["items"]
        except ValueError:
            raise Failed(f"fsm check: {done.stdout} {done.stderr}") from None

    def expect_row(self, name, status, *texts):
        """one row of fsm check says so, and what to do"""
        rows = self.check()
        for row in rows:
            said = f"{row['message']} -> {row['hint']}"
            if row["name"] == name and row["status"] == status and all(t in said for t in texts):
                if status in ("warning", "FAILED") and not row["hint"]:
                    raise Failed(f"{name}: fsm check does not say what to do: {row}")
                return
        raise Failed(f"no row \"{name}\" {status} with {texts} in {[r for r in rows if r['status'] not in ('ok', 'skipped')]}")


def free_port(address):
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def bad_way(name, http, user):
    port = way.http_port if http else way.tcp_port
    return kubeconfig(name, f"https://127.0.0.1:{port}", way.ca_file if http else server.ca_file, user)


def set_up_cluster():
    base = f"{ROOT}/deploy/kustomize"
    kubectl("apply", "--server-side", "-k", f"{ROOT}/deploy/crds")
    kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
    kubectl("apply", "-f", f"{base}/base/namespace.yaml")
    kubectl("apply", "--server-side", "-k", f"{base}/base")
    # nobody serves the webhooks at their Service
    kubectl("delete", "mutatingwebhookconfiguration/fsm-webhook-fsm", "validatingwebhookconfiguration/fsm-validator-mesh-fsm")
    kubectl("create", "-k", f"{base}/mesh-config")
    write_token()
    make_ca()


# ---- the CA, as a kubelet mounts it ------------------------------------------------------------------

def new_root(name):
    """PEM of certificate and key"""
    run("sh", "-euc", f"cd {TMP} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 10"
        f" -subj /CN={name} -addext keyUsage=critical,keyCertSign,cRLSign -keyout root.key -out root.crt 2>/dev/null")
    with open(f"{TMP}/root.crt") as crt, open(f"{TMP}/root.key") as key:
        return crt.read(), key.read()


def put_secret(**files):
    """the Secret of the CA holds these; "_" in a name is a dot"""
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fsm-ca-bundle", "namespace": "fsm-system"},
           "stringData": {name.replace("_", "."): text for name, text in files.items()}})


def mount_secret():
    """as the kubelet does it: a directory of its own, then one rename"""
    got = json.loads(kubectl("get", "secret", "-n", "fsm-system", "fsm-ca-bundle", "-o", "json"))["data"]
    mount, name = f"{TMP}/ca", f"..{time.monotonic_ns()}"
    os.makedirs(f"{mount}/{name}", 0o755)
    for key, data in got.items():
        with open(os.open(f"{mount}/{name}/{key}", os.O_CREAT | os.O_WRONLY, 0o400), "wb") as f:
            f.write(base64.b64decode(data))
    os.symlink(name, f"{mount}/..data_tmp")
    before = os.path.realpath(f"{mount}/..data")
    os.rename(f"{mount}/..data_tmp", f"{mount}/..data")
    for key in got:
        if not os.path.islink(f"{mount}/{key}"):
            os.symlink(f"..data/{key}", f"{mount}/{key}")
    for key in os.listdir(mount):
        if not key.startswith("..") and key not in got:
            os.unlink(f"{mount}/{key}")
    if os.path.isdir(before) and before != f"{mount}/..data":
        run("rm", "-r", before)


def make_ca():
    os.makedirs(f"{TMP}/ca", mode=0o1777, exist_ok=True)
    os.chmod(f"{TMP}/ca", 0o1777)
    crt, key = new_root("first")
    put_secret(ca_crt=crt, ca_key=key)
    mount_secret()


# ---- the way to the server -----------------------------------------------------------------------------

def change(i):
    """what nobody may miss: an endpoint comes, a Service comes or goes"""
    apply(slice_of("app", "other", f"10.200.9.{i % 250 + 1}"))
    if i % 2:
        apply(service("app", f"extra{i}", 90 + i % 100))
    else:
        kubectl("delete", "service", "-n", "app", "--ignore-not-found", f"extra{i - 1}")


def fault_gone(m):
    """the API server is away for half a minute"""
    with m.fault("gone"):
        lab("kill", "control/kube-apiserver")
        expect_problem(m.controller, ["API server", "no answer from the API server"])
        end = time.monotonic() + 30
        m.expect_row("it answers", "FAILED", "the API server https://127.0.0.1:")
        while time.monotonic() < end:
            if not m.controller.ready() or not m.applied():
                raise Failed("sidecars are not served while the API server is away")
            time.sleep(1)
        start_api_server()
        change(1)


def fault_away(m):
    """the network to it is away, while much changes; what was missed is caught up with"""
    with m.fault("away"):
        way.open = False
        way.cut()
        expect_problem(m.controller, ["API server", "no answer from the API server"])
        for i in range(2, 6):
            change(i)
        m.expect_row("it answers", "FAILED", "")
        time.sleep(5)
        way.open = True


def fault_flapping(m):
    """the network comes and goes"""
    with m.fault("flapping"):
        for i in range(12):
            way.open = not way.open
            way.cut()
            change(i)
            time.sleep(0.5)
        way.open = True


def fault_cut(m):
    """every watch is closed once a second"""
    lists = m.controller.metric("fsm_kube_lists_total", kind="Service")
    with m.fault("cut"):
        for i in range(15):
            way.cut()
            change(i)
            time.sleep(0.6)
    if m.controller.metric("fsm_kube_lists_total", kind="Service") != lists:
        raise Failed("a cut made the kind be listed anew")


def fault_gone_410(m):
    """what was missed cannot be had any more: 410"""
    before = m.controller.metric("fsm_kube_errors_total", kind="EndpointSlice", reason="expired")
    with m.fault("410", 40):
        way.open = False
        way.cut()
        change(7)
        kubectl("delete", "service", "-n", "app", "--ignore-not-found", "extra7")
        lab("kill", "control/kube-apiserver")
        compact()
        start_api_server()
        change(8)
        way.open = True
    if m.controller.metric("fsm_kube_errors_total", kind="EndpointSlice", reason="expired") == before:
        raise Failed("there was no 410")


def compact():
    """etcd forgets all versions but the present ones"""
    status = json.loads(lab("exec", "control", "curl", "-s", "http://127.0.0.1:2379/v3/maintenance/status", "-X", "POST", "-d", "{}"))
    lab("exec", "control", "curl", "-s", "http://127.0.0.1:2379/v3/kv/compaction", "-d",
        json.dumps({"revision": status["header"]["revision"], "physical": True}))


# ---- what it answers ---------------------------------------------------------------------------------

def answers(m, fault, problem, row, seconds=4, bound=BOUND_S):
    with m.fault(fault, bound):
        made = way.faults
        way.fault = fault
        way.cut()
        expect_problem(m.controller, [problem])
        if row:
            m.expect_row("it answers", "FAILED", row)
        change(20)
        time.sleep(seconds)
        change(21)
        if way.faults < made + 3:
            raise Failed(f"{way.faults - made} faults were made")
        way.fault = None
        way.cut()


def fault_slow(m):
    """every answer comes by the kilobyte"""
    with m.fault("slow"):
        way.fault = "slow"
        way.cut()
        for i in range(10, 16):
            change(i)
            time.sleep(1)
        m.expect_right(BOUND_S)
        way.fault = None


def fault_429(m):
    """too many requests, and when to come again"""
    answers(m, "429", "answers 429 to", "429")


def fault_500(m):
    """an internal error"""
    answers(m, "500", "answers 500 to", "500")


def fault_garbage(m):
    """bytes that are nothing"""
    answers(m, "garbage", "cannot be read", "")


def fault_half(m):
    """an answer that breaks off"""
    answers(m, "half", "", None)


def fault_short(m):
    """a whole answer with half a JSON text"""
    answers(m, "short", "cannot be read", "")


def fault_mid_list(m):
    """410 in the middle of a list of several pages"""
    many = 600
    jobs = [("/api/v1/namespaces/app/services", service("app", f"page{i}")) for i in range(many)]
    create(jobs)
    m.expect_right(BOUND_S)
    before = m.controller.metric("fsm_kube_errors_total", kind="Service", reason="expired")
    with m.fault("410-mid-list", 60):
        way.hold = "continue="
        # what makes it list anew: what it has is too old
        way.open = False
        way.cut()
        kubectl("delete", "service", "-n", "app", "page0", "page599")
        lab("kill", "control/kube-apiserver")
        compact()
        start_api_server()
        way.open = True
        until("the second page is asked for", lambda: way.held, 40)
        kubectl("delete", "service", "-n", "app", "page1")
        lab("kill", "control/kube-apiserver")
        compact()
        start_api_server()
        way.hold = None
    if m.controller.metric("fsm_kube_errors_total", kind="Service", reason="expired") < before + 2:
        raise Failed("there was no 410 in mid-list")


# ---- what the mesh keeps there ----------------------------------------------------------------------

def roots_of(ns):
    """the ConfigMap that pods trust first"""
    return kubectl("get", "configmap", "-n", ns, "fsm-root-ca", "-o", "jsonpath={.data.ca\\.crt}", check=False)


def ca_state(m):
    return json.loads(m.controller.get("/ca")[1])


def serial(p):
    return next(line for line in subprocess.run(
        p.inside("curl", "-s", "http://127.0.0.1:15000/certs"), capture_output=True, text=True).stdout.splitlines()
        if "erial" in line)


def fault_ca_steps(m):
    """the CA is rotated by its Secret, as the kubelet mounts it: next root told of, signs, old one gone"""
    before = serial(m.client)
    old = [open(f"{TMP}/ca/ca.{x}").read() for x in ("crt", "key")]
    new = new_root("second")
    with m.fault("ca-steps"):
        roots = ca_state(m)["roots"]
        put_secret(ca_crt=old[0], ca_key=old[1], next_crt=new[0], next_key=new[1])
        mount_secret()
        until("the next root is told of", lambda: ca_state(m)["roots"] != roots and ca_state(m)["proxiesWithoutRoots"] == 0)
        until("pods that come trust it", lambda: new[0].strip() in roots_of("app"))
        issuer = ca_state(m)["issuer"]
        put_secret(ca_crt=new[0], ca_key=new[1], old_crt=old[0])
        drop_keys("next.crt", "next.key")
        mount_secret()
        until("the next root signs", lambda: ca_state(m)["issuer"] != issuer and ca_state(m)["proxiesWithOldCertificates"] == 0)
        if serial(m.client) == before:
            raise Failed("the client has the certificate of before")
        drop_keys("old.crt")
        mount_secret()
        until("the old root is gone", lambda: old[0].strip() not in roots_of("app"))
        until("everybody knows", lambda: ca_state(m)["proxiesWithoutRoots"] == 0)
        # certificates of now, by connections of now
        reset_peers(m)
        m.remount()


def drop_keys(*names):
    kubectl("patch", "secret", "-n", "fsm-system", "fsm-ca-bundle", "--type=json", "-p",
            json.dumps([{"op": "remove", "path": f"/data/{n}"} for n in names]))


def reset_peers(m):
    """connections between the sidecars are made anew"""
    run(*m.web.inside("ss", "-K", "dst", m.client.ip), check=False)


def fault_secret(m):
    """the CA's Secret is deleted, and another comes: all of them trust both before the other one signs"""
    old = open(f"{TMP}/ca/ca.crt").read()
    with m.fault("secret", 40):
        kubectl("delete", "secret", "-n", "fsm-system", "fsm-ca-bundle")
        m.expect_row("the mesh's CA is valid", "FAILED", "the Secret fsm-ca-bundle is missing", "backup")
        time.sleep(6)
        m.check_traffic(20)
        issuer = ca_state(m)["issuer"]
        run(f"{BIN}/fsm", "upgrade", "--no-wait", "--kubeconfig", m.admin, check=False)
        crt, key = new_root("stranger")
        put_secret(ca_crt=crt, ca_key=key)
        mount_secret()
        until("the other root is told of", lambda: crt.strip() in roots_of("app"))
        until("every sidecar trusts it", lambda: ca_state(m)["proxiesWithoutRoots"] == 0)
        if ca_state(m)["issuer"] != issuer:
            raise Failed("the other root signs before it is known everywhere")
        until("the other root signs", lambda: ca_state(m)["issuer"] != issuer, 120)
        until("certificates are new", lambda: ca_state(m)["proxiesWithOldCertificates"] == 0)
        reset_peers(m)
        if old.strip() not in roots_of("app"):
            raise Failed("the old root is forgotten at once")


def fault_crd(m):
    """the definition of the MeshConfig is deleted with it, and both come again"""
    def egress():
        return m.controller.document("app/client")["Spec"]["Traffic"]["EnableEgress"]
    apply(mesh_config())
    until("the MeshConfig is in force", lambda: egress() is False)
    with m.fault("crd"):
        kubectl("delete", "crd", f"meshconfigs.{GROUP}")
        until("defaults are in force", egress)
        m.expect_row("definitions (CRDs) are there", "FAILED", f"meshconfigs.{GROUP} is missing", "fsm upgrade")
        time.sleep(5)
        install_crd()
        apply(mesh_config())
        until("the MeshConfig is in force again", lambda: egress() is False)


def fault_rbac(m):
    """a right is taken away: told by the controller and by fsm check, and what was read stays"""
    role = json.loads(kubectl("get", "clusterrole", "fsm-controller", "-o", "json"))
    rules = role["rules"]
    rule = '{apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"]}'
    with m.fault("rbac"):
        kubectl("patch", "clusterrole", "fsm-controller", "--type=merge", "-p", json.dumps(
            {"rules": [r for r in rules if r["resources"] != ["endpointslices"]]}))
        time.sleep(1)
        way.cut()
        expect_problem(m.controller, ["may not watch endpointslices", rule, "ClusterRole"])
        m.expect_row("fsm-controller may do its work in all namespaces", "FAILED",
                     "list endpointslices and watch endpointslices", rule, "ClusterRole fsm-controller")
        change(30)
        kubectl("patch", "clusterrole", "fsm-controller", "--type=merge", "-p", json.dumps({"rules": rules}))


def fault_two(m):
    """one of two controllers writes, both serve; the one that writes is killed"""
    first = m.controller
    other_port = free_port(HOST)
    config = kubeconfig("second", server.url, server.ca_file, {"tokenFile": "token"})
    second = Controller("--kubeconfig", config, tokens=(), listen=f"{HOST}:{other_port}", name="second")
    until("the second is ready", second.ready, 60)
    until("the first writes", lambda: leads(first))
    if leads(second):
        raise Failed("two write")
    token = open(f"{m.client.dir}/token").read()
    for port in (m.port, other_port):
        got = subprocess.run(m.client.inside("setpriv", f"--reuid={UID}", "curl", "-s", "--cacert", f"{m.client.dir}/ca.crt", "-H",
                             f"Authorization: Bearer {token}", f"https://{HOST}:{port}/v1/config?version="), capture_output=True, text=True).stdout
        if json.loads(got)["Proxy"]["Pod"] != "client":
            raise Failed(f"the controller at {port} does not serve the client: {got[:200]}")
    with m.fault("two", 40):
        first.process.kill()
        first.process.wait()
        # the Service leads to the other one
        front = spawn("socat", f"TCP-LISTEN:{m.port},bind={HOST},fork,reuseaddr", f"TCP:{HOST}:{other_port}")
        m.controller = second
        change(40)
        until("the second writes", lambda: leads(second), 30)
        figures["lease"] = f"{figures['last']:.1f}"
        apply(namespace("late"))
        until("it writes the roots of a namespace", lambda: roots_of("late"))
        if front.poll() is not None:
            raise Failed("no way to the second")


def leads(c):
    return "fsm_leader 1\n" in c.get("/metrics")[1]


def fault_skew(m):
    """the controller's clock is an hour ahead of the API server's, and right again"""
    with m.fault("skew", 40):
        m.set_clock("+3600")
        way.cut()
        expect_problem(m.controller, ["clock is 3", "ahead of the API server's", "NTP"])
        change(50)
        time.sleep(6)
        m.set_clock("+0")


# ---- fsm-injector ------------------------------------------------------------------------------------

OURS = server.address[0].rsplit(".", 1)[0] + ".1"  # this machine, as the API server sees it


class Injector:
    def __init__(self):
        token = kubectl("create", "token", "fsm-injector", "-n", "fsm-system").strip()
        self.config = kubeconfig("injector", server.url, server.ca_file, {"token": token})
        self.port = free_port(OURS)
        self.admin = f"{TMP}/injector.sock"
        kubectl("apply", "--server-side", "-k", f"{ROOT}/deploy/kustomize/base")
        for kind, name, path in (("mutating", "fsm-webhook-fsm", "/mutate-pod-creation"), ("validating", "fsm-validator-mesh-fsm", "/validate")):
            kubectl("patch", f"{kind}webhookconfiguration", name, "--type=json", "-p", json.dumps([
                {"op": "replace", "path": "/webhooks/0/clientConfig", "value": {"url": f"https://{OURS}:{self.port}{path}"}}]))
        self.start()

    def start(self):
        self.process = spawn(f"{BIN}/fsm-injector", "--kubeconfig", self.config, "--ca-dir", f"{TMP}/ca", "--listen",
                             f"{OURS}:{self.port}", "--admin", f"unix:{self.admin}", stderr=open(f"{TMP}/controller-injector.log", "a"))
        until("the injector is ready", self.ready)

    def get(self, path):
        c = UnixConnection(self.admin)
        c.request("GET", path)
        answer = c.getresponse()
        return answer.status, answer.read().decode()

    def ready(self):
        return self.get("/health/ready")[0] == 200 and self.get("/problems")[1].strip() == "[]"

    def reviews(self):
        """how many, and how many of them took at most so many seconds"""
        found = {}
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith("fsm_injector_review_seconds_bucket"):
                found[float(line.split('le="')[1].split('"')[0].replace("+Inf", "inf"))] = int(line.split()[-1])
        return found


def new_pods(prefix, first, n):
    return [("/api/v1/namespaces/crowd/pods", {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{prefix}{i}", "namespace": "crowd"},
        "spec": {"schedulingGates": [{"name": "test/stays"}], "containers": [{"name": "web", "image": "web:1", "ports": [
            {"containerPort": 8080}], "readinessProbe": {"httpGet": {"path": "/ok", "port": 8080}}}]}}) for i in range(first, first + n)]


def crowd_namespace():
    o = namespace("crowd")
    o["metadata"]["annotations"] = {"flomesh.io/sidecar-injection": "enabled"}
    apply(o)
    until("the default service account", lambda: "default" in kubectl("get", "sa", "-n", "crowd"))


def fault_webhook(m):
    """nobody answers the webhook's calls: pods of the mesh are refused, all else goes on"""
    m.injector = Injector()
    crowd_namespace()
    create(new_pods("before", 0, 1))
    with m.fault("webhook"):
        m.injector.process.kill()
        m.injector.process.wait()
        try:
            create(new_pods("down", 0, 1))
        except Failed as e:
            if "fsm-inject.k8s.io" not in str(e):
                raise
        else:
            raise Failed("a pod of the mesh was made without its sidecar")
        m.expect_row("the API server reaches the webhook", "FAILED", "failed calling webhook", "fsm-injector ready")
        m.expect_row("the API server reaches the validating webhook", "FAILED", "was taken", "fsm-injector ready")
        change(60)
        m.injector.start()
        create(new_pods("down", 0, 1))
    m.expect_row("the API server reaches the webhook", "ok")
    m.expect_row("the API server reaches the validating webhook", "ok")


def fault_crowd(m, n=1000, rate=200):
    """1,000 pods are created at 200 a second"""
    before, held = m.injector.reviews(), m.controller.metric("fsm_kube_objects", kind="Pod")
    with m.fault("crowd"):
        begin = time.monotonic()
        create(new_pods("crowd", 0, n), rate)
        lasted = time.monotonic() - begin
        until("the controller knows them", lambda: m.controller.metric("fsm_kube_objects", kind="Pod") == held + n)
    pods = json.loads(kubectl("get", "pods", "-n", "crowd", "-o", "json"))["items"]
    bare = [p["metadata"]["name"] for p in pods if "fsm-proxy-uuid" not in p["metadata"].get("labels", {})]
    if bare or len(pods) < n:
        raise Failed(f"{len(pods)} pods, without a sidecar: {bare[:5]}")
    after = m.injector.reviews()
    counts = {le: after[le] - before[le] for le in after}
    p99 = min(le for le in counts if counts[le] >= 0.99 * counts[float("inf")])
    figures["pods_a_second"] = f"{n / lasted:.0f}"
    figures["p99_at_most_s"] = p99
    if p99 > 0.01:
        raise Failed(f"p99 of the injector's {counts[float('inf')]} reviews is more than 10 ms: {counts}")


ANSWERS = ["slow", "429", "500", "garbage", "half", "short", "mid_list"]


def main():
    wanted = sys.argv[5:]
    m = None
    try:
        m = Mesh(http=set(wanted) <= set(ANSWERS))
        say("two sidecars talk")
        for name in wanted:
            globals()[f"fault_{name}"](m)
        total = sum(load.counts()[0] for load in m.loads)
        figures.pop("last", None)
        print(f"{len(wanted)} faults, {total} requests, 0 failed; seconds until all was right: " +
              " ".join(f"{k}={v}" for k, v in figures.items()))
    except Exception:
        for log in sorted(p for p in os.listdir(TMP) if p.endswith(".log") and p.startswith(("controller-", "sidecar-"))):
            with open(f"{TMP}/{log}") as f:
                print(f"---- {log}\n{f.read()[-4000:]}")
        raise
    finally:
        end_all()
        for last in (2, 3):
            subprocess.run(["ip", "netns", "del", f"{BRIDGE}-{last}"], stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "link", "del", BRIDGE], stderr=subprocess.DEVNULL)


finish(main)
