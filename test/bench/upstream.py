"""The servers behind the proxies: nginx for HTTP/1.1, nghttpd for HTTP/2; one worker each, on the load's core."""
import pathlib
import struct
import tempfile

from bench import measure, setup
from bench.proxies import nginx

KIB = 1024


def http1(tmp, size, core=measure.LOAD_CORE, realtime=False):
    """size bytes from memory if they are few, else by sendfile out of memory-backed files."""
    if size <= KIB:
        where = f'location / {{ return 200 "{"x" * (size - 1)}\\n"; }}'
        command = nginx.config(tmp, "upstream", server(where))
        return [start(tmp, command, core, realtime)], None
    files = tempfile.TemporaryDirectory(prefix="fsm-bench-", dir="/dev/shm")
    (pathlib.Path(files.name) / "index.html").write_bytes(b"x" * size)
    where = f"root {files.name}; location / {{ }}"
    more = "sendfile on; tcp_nopush on; open_file_cache max=16 inactive=1h; open_file_cache_valid 1h;"
    command = nginx.config(tmp, "upstream", more + server(where))
    return [start(tmp, command, core, realtime)], files


def server(where):
    return f" server {{ listen 127.0.0.1:{setup.UPSTREAM} backlog=4096; {where} }}\n"


def grpc_message(size):
    """One gRPC message of size bytes in all: not compressed, its length, its bytes."""
    return struct.pack(">BI", 0, size - 5) + b"x" * (size - 5)


def grpc(tmp, size):
    """A message of so many bytes for every request, and trailers behind it."""
    root = tmp / "htdocs"
    root.mkdir(exist_ok=True)
    (root / "index.html").write_bytes(grpc_message(size))
    command = ["nghttpd", "--no-tls", "-n", "1", "-a", "127.0.0.1", "-d", str(root), "-m", "1000",
               "--trailer=grpc-status: 0", str(setup.UPSTREAM)]
    return [start(tmp, command)], None


def start(tmp, command, core=measure.LOAD_CORE, realtime=False):
    process = measure.Process(command, core, tmp / "upstream.log", realtime)
    measure.wait_port(setup.UPSTREAM, process)
    return process
