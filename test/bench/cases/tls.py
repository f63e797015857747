"""TLS from clients without a certificate, plaintext to the upstream: kept connections, and handshakes."""
from bench import load, measure, setup
from bench.cases.case import per_request
from bench.cases.http import Http

ROLE = setup.Role(name="server", front_tls="server")
ALL = ("fsm", "fsm-openssl", "nginx", "haproxy", "nghttpx", "envoy")
CONNECTIONS = 8
WARM_HANDSHAKES = 800


class Handshakes(Http):
    """Each request on a connection of its own; resumed ones with the ticket of the one before."""
    resume = False
    counted = (16, 116)  # under callgrind each takes long

    def ask(self, requests):
        more = {"resume": True} if self.resume else {}
        report = load.Generator.run(port=setup.FRONT, requests=requests, connections=CONNECTIONS, bytes=self.size,
                                    host=setup.HOST, tls=True, new=True, **more)
        # the first of each slot has no ticket yet
        wanted = requests - CONNECTIONS if self.resume else 0
        if not wanted <= report["resumed"] <= (requests if self.resume else 0):
            raise load.Wrong(f"{report['resumed']} of {requests} handshakes resumed, expected {wanted}")
        return report["seconds"]

    def one(self, o, processes):
        n = max(WARM_HANDSHAKES, int(WARM_HANDSHAKES / self.ask(WARM_HANDSHAKES) * o.seconds))
        span = measure.Span(processes, self.upstreams)
        took = self.ask(n)
        return per_request(span.end(), n, took, processes)


CASES = [
    Http("tls-1k", "TLS 1.3 (mbedTLS: 1.2) from clients, HTTP/1.1 kept open, 1 KiB answers, 50 connections", role=ROLE, names=ALL),
    Handshakes("tls-handshake", "a full TLS 1.3 (mbedTLS: 1.2) handshake (P-256, X25519) and one request", role=ROLE, names=ALL),
    Handshakes("tls-resume", "a resumed TLS 1.3 (mbedTLS: 1.2) handshake and one request", role=ROLE, names=ALL, resume=True),
]
