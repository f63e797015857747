"""Keeps N keep-alive clients asking one URL until interrupted; prints what failed, the share of each host
and the time within which 9 of 10 answers came, and last: requests, failures, hosts seen."""
import collections
import http.client
import signal
import sys
import threading
import time
import urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
stop = threading.Event()
signal.signal(signal.SIGINT, lambda *a: stop.set())
signal.signal(signal.SIGTERM, lambda *a: stop.set())
lock = threading.Lock()
count = collections.Counter()
errors = collections.Counter()
times = []


def client():
    conn = None
    while not stop.is_set():
        try:
            if conn is None:
                conn = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
            start = time.monotonic()
            conn.request("GET", url.path or "/")
            response = conn.getresponse()
            body = response.read().decode(errors="replace")
            times.append(time.monotonic() - start)
            key = body if response.status == 200 else None
            error = None if response.status == 200 else f"{response.status} {body.strip()[:60]}"
            if response.will_close:
                conn = None
        except (OSError, http.client.HTTPException) as e:
            key, error, conn = None, repr(e), None
        with lock:
            count[key] += 1
            if error:
                errors[error] += 1


threads = [threading.Thread(target=client) for _ in range(int(sys.argv[2]))]
for t in threads:
    t.start()
for t in threads:
    while t.is_alive():
        t.join(0.2)
for e, n in errors.most_common(5):
    print(f"{n} x {e}")
shares = " ".join(f"{k}={100 * n // sum(count.values())}%" for k, n in sorted(count.items(), key=str))
times.sort()
print(f"{shares} p90={int(times[len(times) * 9 // 10] * 1000) if times else 0}ms")
print(f"requests={sum(count.values())} failed={sum(errors.values())} hosts={len([k for k in count if k])}")
