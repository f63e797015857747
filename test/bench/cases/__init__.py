"""The cases, in the order in which they are run.  A case is an object with NAME, TITLE, proxies (names),
begin(options), round(options, proxy) -> ({metric: value}, noise), end(); rounds.py runs it.
"""
from bench.cases import http, pair, tcp, tls, idle, latency, control

ALL = {c.name: c for family in (http, tcp, tls, pair, latency, idle, control) for c in family.CASES}
