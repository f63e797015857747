"""N MB in both directions at once over one TCP connection; each side checks what it got."""
import hashlib
import random
import socket
import sys
import threading
import time


def send_all(sock, seed, size):
    block = random.Random(seed).randbytes(1 << 16)
    digest = hashlib.sha256()
    left = size
    while left:
        part = block[: min(left, len(block))]
        sock.sendall(part)
        digest.update(part)
        left -= len(part)
    sock.sendall(digest.digest())
    sock.shutdown(socket.SHUT_WR)


def receive_all(sock):
    digest = hashlib.sha256()
    tail = b""
    size = 0
    while True:
        data = sock.recv(1 << 16)
        if not data:
            break
        tail += data
        if len(tail) > 32:
            digest.update(tail[:-32])
            size += len(tail) - 32
            tail = tail[-32:]
    assert digest.digest() == tail, f"checksum differs after {size} bytes"
    return size


def handle(sock):
    head = b""
    while not head.endswith(b"\n"):
        head += sock.recv(1)
    size = int(head)
    sender = threading.Thread(target=send_all, args=(sock, 1, size))
    sender.start()
    try:
        receive_all(sock)
    finally:
        sender.join()
        sock.close()


if sys.argv[1] == "serve":
    server = socket.create_server(("", int(sys.argv[2])))
    while True:
        conn, _ = server.accept()
        threading.Thread(target=handle, args=(conn,), daemon=True).start()
else:
    host, port = sys.argv[2].rsplit(":", 1)
    megabytes = int(sys.argv[3])
    start = time.monotonic()
    sock = socket.create_connection((host, int(port)), 10)
    sock.settimeout(60)
    sock.sendall(b"%d\n" % (megabytes << 20))
    sender = threading.Thread(target=send_all, args=(sock, 2, megabytes << 20))
    sender.start()
    got = receive_all(sock)
    sender.join()
    assert got == megabytes << 20, got
    seconds = time.monotonic() - start
    print(f"bulk ok: {megabytes} MB each way, {2 * megabytes / seconds:.0f} MB/s")
