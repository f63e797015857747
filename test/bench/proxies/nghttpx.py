"""nghttpx: one worker thread in one process, connections to the upstream kept."""
import shutil

from bench import setup

NAME = "nghttpx"
BETWEEN = "http2"


def missing():
    return None if shutil.which("nghttpx") else "not installed"


def command(tmp, role):
    if role.front == "tcp":
        raise setup.NotOffered("carries HTTP only")
    if role.back_tls or role.front_tls == "mutual":
        raise setup.NotOffered("is not set up as a pair")
    backend = ";;proto=h2" if role.back == "http2" else ""
    argv = ["nghttpx", "--conf=/dev/null", "--single-process", "--workers=1", "--no-ocsp", "--log-level=ERROR",
            "--accesslog-file=/dev/null", "--errorlog-file=/dev/stderr", "--no-via", "--no-server-rewrite",
            "--no-location-rewrite", "--frontend-keep-alive-timeout=600s", "--frontend-read-timeout=600s",
            "--frontend-http2-read-timeout=600s", "--backend-keep-alive-timeout=60s", "--backlog=4096",
            f"-b127.0.0.1,{role.upstream}{backend}"]
    if not role.front_tls:
        return [*argv, f"-f127.0.0.1,{role.listen};no-tls"]
    return [*argv, f"-f127.0.0.1,{role.listen}", "--tls13-ciphers=TLS_AES_128_GCM_SHA256",
            "--tls-min-proto-version=TLSv1.3", "--ecdh-curves=X25519:P-256",
            "--npn-list=" + ("h2" if role.front == "http2" else "http/1.1"),
            str(tmp / "server.key"), str(tmp / "server.crt")]
