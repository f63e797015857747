"""The API source against a real API server; see api-source.sh.

    api_source.py ROOT BIN "LAB COMMAND" DIRECTORY [PART...]

The last line says what was shown, or what failed.  PART: names of functions show_*, without it.
"""
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import *  # noqa: E402,F403


# ---- the shows ---------------------------------------------------------------------------------

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
    until("ready in a pod", c.ready, 30)
    c.stop()
    path = kubeconfig("strange", f"https://127.0.0.1:{way.tcp_port}", way.ca_file, {"tokenFile": "token"})
    c = Controller("--kubeconfig", path)
    until("the admin port", lambda: os.path.exists(c.admin) and c.get("/healthz")[0] == 200)
    expect_problem(c, ["API server", "certificate"])
    if c.ready():
        raise Failed("ready with a server that nobody vouches for")
    c.stop()


def make_many(prefix, services, per_service, pods):
    """objects without pods: Services with endpoints, and Pods"""
    jobs = []
    for i in range(services):
        ns = f"{prefix}{i % 20}"
        jobs.append((f"/api/v1/namespaces/{ns}/services", service(ns, f"s{i}")))
        addresses = [f"10.{(i * per_service + k) >> 16 & 127}.{(i * per_service + k) >> 8 & 255}.{(i * per_service + k) & 255}"
                     for k in range(per_service)]
        jobs.append((f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices", slice_of(ns, f"s{i}", *addresses)))
    jobs += [(f"/api/v1/namespaces/{prefix}{i % 20}/pods", pod(f"{prefix}{i % 20}", f"p{i}")) for i in range(pods)]
    create(jobs)


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
    make_keys()
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


finish(main)
