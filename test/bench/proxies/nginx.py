"""nginx: one process, keep-alive to the upstream, no access log."""
import pathlib
import shutil

from bench import setup

NAME = "nginx"
BETWEEN = "http1"  # it speaks HTTP/2 only to clients (and to gRPC servers, without sharing connections)
STREAM_MODULE = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")

HEAD = """{modules}daemon off; master_process off; worker_processes 1; pid {tmp}/{name}.pid; error_log stderr crit;
events {{ worker_connections 8000; }}
"""
HTTP = """http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s; client_body_temp_path {tmp}/b;
 proxy_temp_path {tmp}/p; fastcgi_temp_path {tmp}/f; uwsgi_temp_path {tmp}/u; scgi_temp_path {tmp}/s;
 tcp_nodelay on; {body} }}
"""
SUITES = "ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; ssl_ecdh_curve X25519:P-256;"


def missing():
    return None if shutil.which("nginx") else "not installed"


def config(tmp, name, body, context="http"):
    """Writes a configuration; -> the command that runs it."""
    if context == "http":
        text = HEAD.format(tmp=tmp, name=name, modules="") + HTTP.format(tmp=tmp, body=body)
    else:
        load = f"load_module {STREAM_MODULE};\n"
        text = HEAD.format(tmp=tmp, name=name, modules=load) + f"stream {{ {body} }}\n"
    path = tmp / f"nginx-{name}.conf"
    path.write_text(text)
    return ["nginx", "-e", "stderr", "-c", str(path)]


def front_tls(tmp, role):
    if not role.front_tls:
        return ""
    client = f"ssl_client_certificate {tmp}/ca.crt; ssl_verify_client on;" if role.front_tls == "mutual" else ""
    return f"ssl_certificate {tmp}/server.crt; ssl_certificate_key {tmp}/server.key; {client} {SUITES}"


def back_tls(tmp, role):
    if not role.back_tls:
        return ""
    return (f"proxy_ssl_certificate {tmp}/client.crt; proxy_ssl_certificate_key {tmp}/client.key; "
            f"proxy_ssl_trusted_certificate {tmp}/ca.crt; proxy_ssl_verify on; proxy_ssl_name localhost; "
            "proxy_ssl_protocols TLSv1.3; proxy_ssl_session_reuse on;")


def stream(tmp, role):
    if not STREAM_MODULE.exists():
        raise setup.NotOffered("the package libnginx-mod-stream is not installed")
    body = (f"upstream u {{ server 127.0.0.1:{role.upstream}; }} "
            f"server {{ listen 127.0.0.1:{role.listen} backlog=4096; proxy_pass u; tcp_nodelay on; }}")
    return config(tmp, role.name, body, "stream")


def command(tmp, role):
    if role.front == "tcp":
        return stream(tmp, role)
    if role.back == "http2" and not role.grpc:
        raise setup.NotOffered("does not speak HTTP/2 to upstreams")
    flags = (" ssl" if role.front_tls else "") + (" http2" if role.front == "http2" else "")
    scheme = "https" if role.back_tls else "http"
    if role.grpc:
        forward = "grpc_pass grpc://u;"
    else:
        forward = f"proxy_pass {scheme}://u; proxy_http_version 1.1; proxy_set_header Connection '';"
        forward += " proxy_set_header Host $host;"
    return config(tmp, role.name, f"""
 http2_max_requests 100000000; http2_max_concurrent_streams 128;
 upstream u {{ server 127.0.0.1:{role.upstream}; keepalive 256; keepalive_requests 100000000; }}
 server {{ listen 127.0.0.1:{role.listen}{flags} backlog=4096; {front_tls(tmp, role)}
  location / {{ {forward} {back_tls(tmp, role)} }} }}
""")
