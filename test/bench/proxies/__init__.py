"""The proxies that are compared.  A module has NAME, BETWEEN (what a pair of them speaks between its
halves), missing() -> why it cannot run here, or None, and command(tmp, role) -> its argv.
"""
from bench.proxies import envoy, fsm, haproxy, nghttpx, nginx

ALL = {p.NAME: p for p in (fsm.Fsm(), fsm.FsmOpenssl(), nginx, haproxy, nghttpx, envoy)}
OURS = ("fsm", "fsm-openssl")
