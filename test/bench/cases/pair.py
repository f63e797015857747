"""Two proxies with mutual TLS between them, as two sidecars are; the CPU of both."""
from bench import setup
from bench.cases.http import Http

ALL = ("fsm", "fsm-openssl", "nginx", "haproxy", "envoy")


class Pair(Http):
    names = ALL

    def roles(self, proxy):
        return setup.pair(proxy.BETWEEN)


CASES = [Pair("mtls-pair", "two proxies with mutual TLS between them, HTTP/1.1 outside, 1 KiB answers, 50 connections")]
