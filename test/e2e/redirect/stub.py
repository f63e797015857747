#!/usr/bin/python3
"""Stand-ins for redirection tests: they say who carried a connection.

stub.py serve WORD[:PORT,...] ...   servers on every address of both families: a connection gets
                                    the line "WORD PORT"; WORD sidecar also tells the original
                                    destination. Prints "ready" when all listen.
stub.py ask                         lines "UID ADDRESS PORT = EXPECTED ANSWER" on standard input:
                                    connects as that user and compares. One line per question.
stub.py get ADDRESS PORT            prints what one connection is answered
"""
import ctypes
import os
import select
import socket
import struct
import sys

ORIGINAL_DST = 80
IDLE = "nobody"  # the answer when no one answers


def listen(family, address, port, kind=socket.SOCK_STREAM):
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, port))
    if kind == socket.SOCK_STREAM:
        s.listen(64)
    return s


def original(c):
    try:
        if c.family == socket.AF_INET:
            port, raw = struct.unpack("!2xH4s8x", c.getsockopt(socket.SOL_IP, ORIGINAL_DST, 16))
            return "%s:%d" % (socket.inet_ntop(c.family, raw), port)
        port, raw = struct.unpack("!2xH4x16s4x", c.getsockopt(socket.IPPROTO_IPV6, ORIGINAL_DST, 28))
        return "[%s]:%d" % (socket.inet_ntop(c.family, raw), port)
    except OSError:
        return "not redirected"


def serve(words):
    tcp, udp = {}, {}
    for word in words:
        word, _, ports = word.rpartition(":")
        word, _, only = word.partition("@")  # WORD@ADDRESS: on that address only
        for port in ports.split(","):
            lo, _, hi = port.partition("-")
            for p in range(int(lo), int(hi or lo) + 1):
                for family, anyone in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                    if only and (":" in only) != (family == socket.AF_INET6):
                        continue
                    s = listen(family, only or anyone, p)
                    tcp[s.fileno()] = (s, "%s %d" % (word, p), word == "sidecar")
                    if p == 53:
                        s = listen(family, only or anyone, p, socket.SOCK_DGRAM)
                        udp[s.fileno()] = (s, "%s udp %d" % (word, p))
    poll = select.poll()
    for fd in list(tcp) + list(udp):
        poll.register(fd, select.POLLIN)
    print("ready", flush=True)
    while True:
        for fd, _ in poll.poll():
            if fd in udp:
                s, line = udp[fd]
                s.sendto(line.encode(), s.recvfrom(2048)[1])
                continue
            s, line, tell = tcp[fd]
            c, _ = s.accept()
            if tell:
                line += " " + original(c)
            try:
                c.sendall(line.encode())
            except OSError:
                pass
            c.close()


def ask(uid, address, port, datagram):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    r, w = os.pipe()
    if os.fork() == 0:
        if uid != os.getuid():
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        s = socket.socket(family, socket.SOCK_DGRAM if datagram else socket.SOCK_STREAM)
        s.settimeout(2)
        try:
            s.connect((address, port))
            if datagram:
                s.send(b"?")
            answer = s.recv(200).decode() or "closed"
        except (ConnectionRefusedError, ConnectionResetError):
            answer = IDLE
        except OSError as e:
            answer = str(e)
        os.write(w, answer.encode())
        os._exit(0)
    os.close(w)
    answer = os.read(r, 400).decode()
    os.close(r)
    os.wait()
    return answer


def questions(name):
    failed = 0
    for line in sys.stdin:
        question, _, want = line.strip().partition(" = ")
        if not question:
            continue
        uid, address, port = question.split()
        datagram = port.startswith("udp/")
        got = ask(int(uid), address, int(port.replace("udp/", "")), datagram)
        ok = got == want
        failed += not ok
        print("%s %s: uid %s to %s %s: %s%s" % ("ok" if ok else "FAILED", name, uid, address, port,
              got, "" if ok else ", expected " + want), flush=True)
    return 1 if failed else 0


# whoever starts a server and dies takes it along
ctypes.CDLL(None).prctl(1, 9)
if sys.argv[1] == "serve":
    if os.environ.get("STUB_UID"):
        os.setresgid(*[int(os.environ["STUB_UID"])] * 3)
        os.setresuid(*[int(os.environ["STUB_UID"])] * 3)
    serve(sys.argv[2:])
elif sys.argv[1] == "get":
    print(ask(os.getuid(), sys.argv[2], int(sys.argv[3]), False))
else:
    sys.exit(questions(sys.argv[2] if len(sys.argv) > 2 else ""))
