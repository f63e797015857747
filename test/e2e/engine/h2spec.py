"""h2spec against a sidecar: h2spec.py FSM_SIDECAR H2SPEC.  Prints what failed and the sum; exit 1 if
something did.

What is tested is the HTTP/2 between two sidecars: there, ALPN has said what is spoken.  (A plaintext
port takes HTTP/1 as well: what is no preface is answered 400 there.)  h2spec has no certificate of
the mesh, so that a relay with one stands before the sidecar.
"""
import os
import select
import shutil
import socket
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "hostile")]
import run
import wire
from sidecars import TMP, end_all, free_port

BODY = b"x" * 200


def carry(plain, tls):
    """one thread for both directions: a TLS connection takes no more"""
    try:
        while True:
            ready = [tls] if tls.pending() else select.select([plain, tls], [], [])[0]
            for a, b in ((plain, tls), (tls, plain)):
                if a in ready:
                    d = a.recv(65536)
                    if not d:
                        return
                    b.sendall(d)
    except OSError:
        pass
    finally:
        plain.close()
        tls.close()


def relay(port, way):
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    while True:
        plain, _ = listener.accept()
        tls = wire.connect(way.port, way.tls, "fsm-h2", 60)
        threading.Thread(target=carry, args=(plain, tls), daemon=True).start()


def main():
    sidecars, ok = {}, False
    try:
        port = free_port()
        ways, sidecars = run.start(os.path.abspath(sys.argv[1]), (f"127.0.0.1:{port}",))
        way = [w for w in ways if w.name == "2-1"][0]
        way.recorder.reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
        threading.Thread(target=relay, args=(port, way), daemon=True).start()
        r = subprocess.run([sys.argv[2], "-h", "127.0.0.1", "-p", str(port), "-P", "/r", "-o", "5", "-S"],
                           capture_output=True, text=True, timeout=400)
        at = r.stdout.find("Failures:")
        print(r.stdout[at:] if at >= 0 else r.stdout)
        print(r.stdout.strip().splitlines()[-1])
        ok = r.returncode == 0
    finally:
        for sc in sidecars.values():
            ok = ok and sc.p.poll() is None
            sc.p.terminate()
            sc.p.wait(10)
            ok = ok and "Sanitizer" not in open(sc.log).read()
        end_all()
        shutil.rmtree(TMP, ignore_errors=True)
    return 0 if ok else 1


sys.exit(main())
