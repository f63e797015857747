"""An HTTP server that misbehaves on demand, by path."""
import socket
import struct
import sys
import threading
import time


def handle(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(4096)
        if not part:
            return sock.close()
        data += part
    path = data.split(b" ")[1]
    if path == b"/reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif path == b"/close":
        pass
    elif path == b"/stall":
        time.sleep(30)
    elif path == b"/garbage":
        sock.sendall(b"\x00\x01\x02 this is no HTTP\r\n\r\n")
    elif path == b"/two-lengths":
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc")
    else:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
    sock.close()


server = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    conn, _ = server.accept()
    threading.Thread(target=handle, args=(conn,), daemon=True).start()
