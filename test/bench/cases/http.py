"""HTTP through one proxy: HTTP/1.1 on 50 connections, HTTP/2 as 10 connections of 10 streams."""
from bench import load, measure, setup, upstream
from bench.cases.case import Case, per_request

HTTP1 = ["--h1", "-c", "50"]
HTTP2 = ["-c", "10", "-m", "10"]
WARM_REQUESTS = 3000
RATE_REQUESTS = 6000  # to learn how many fill the measured stretch


class Http(Case):
    role = setup.Role()
    args = HTTP1
    size = 1024
    counted = (400, 2400)  # requests of the two runs whose difference count.py takes

    def roles(self, proxy):
        return [self.role]

    def begin(self, o):
        self.upstreams, self.files = upstream.http1(o.tmp, self.size)

    def ask(self, requests):
        """-> seconds"""
        return load.h2load(self.args, requests, self.size, bool(self.role.front_tls))

    def one(self, o, processes):
        self.ask(WARM_REQUESTS)
        n = max(RATE_REQUESTS, int(RATE_REQUESTS / self.ask(RATE_REQUESTS) * o.seconds))
        span = measure.Span(processes, self.upstreams)
        took = self.ask(n)
        return per_request(span.end(), n, took, processes, self.size)


class Http2(Http):
    """The application speaks HTTP/1.1, so every proxy translates."""
    role = setup.Role(front="http2")
    args = HTTP2


class Grpc(Http):
    role = setup.Role(front="http2", back="http2", grpc=True)

    def begin(self, o):
        message = o.tmp / "message"
        message.write_bytes(upstream.grpc_message(128))
        self.args = [*HTTP2, "-d", str(message), "-H", "content-type: application/grpc", "-H", "te: trailers"]
        self.upstreams, self.files = upstream.grpc(o.tmp, self.size)


CASES = [
    Http("http1-1k", "HTTP/1.1 to HTTP/1.1, 1 KiB answers, 50 connections"),
    Http("http1-64k", "HTTP/1.1 to HTTP/1.1, 64 KiB answers, 50 connections", size=65536),
    Http2("h2-1k", "HTTP/2 from the client, HTTP/1.1 to the upstream, 1 KiB answers, 10 connections of 10 streams"),
    Grpc("grpc", "HTTP/2 on both sides: gRPC calls with a message each way and trailers, 10 connections of 10 streams"),
]
