"""HAProxy: one thread, connections to the upstream kept and shared, no log."""
import shutil

NAME = "haproxy"
BETWEEN = "http2"
SUITE = "ciphersuites TLS_AES_128_GCM_SHA256 ssl-min-ver TLSv1.3"
MODES = {"http1": "http", "http2": "http", "tcp": "tcp"}


def missing():
    return None if shutil.which("haproxy") else "not installed"


def bind(tmp, role):
    words = []
    if role.front_tls:
        words += ["ssl crt", f"{tmp}/server.pem", SUITE, "curves X25519:P-256"]
        words += ["alpn", "h2" if role.front == "http2" else "http/1.1"]
        if role.front_tls == "mutual":
            words += [f"ca-file {tmp}/ca.crt verify required"]
    elif role.front == "http2":
        words += ["proto h2"]
    return " ".join(words)


def server(tmp, role):
    words = []
    if role.back_tls:
        words += [f"ssl crt {tmp}/client.pem ca-file {tmp}/ca.crt verify required verifyhost localhost", SUITE]
        words += ["alpn", "h2" if role.back == "http2" else "http/1.1"]
    elif role.back == "http2":
        words += ["proto h2"]
    return " ".join(words)


def command(tmp, role):
    reuse = "http-reuse always" if role.front != "tcp" else ""
    # an HTTP/2 answer has no reason phrase, and h2load takes an empty one for a failure
    reason = "http-response set-status 200 reason OK" if role.front == "http1" and role.back == "http2" else ""
    path = tmp / f"haproxy-{role.name}.cfg"
    path.write_text(f"""global
  nbthread 1
  maxconn 8000
  tune.ssl.cachesize 20000
defaults
  mode {MODES[role.front]}
  timeout client 600s
  timeout server 600s
  timeout connect 5s
  timeout http-keep-alive 600s
  {reuse}
frontend f
  bind 127.0.0.1:{role.listen} backlog 4096 {bind(tmp, role)}
  default_backend b
  {reason}
backend b
  server s 127.0.0.1:{role.upstream} {server(tmp, role)}
""")
    return ["haproxy", "-db", "-f", str(path)]
